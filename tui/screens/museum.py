"""The museum: real bugs as a timeline, by mechanism or by culprit; Enter shows one in pictures."""

import asyncio
from typing import ClassVar

from textual.binding import Binding, BindingType

from lessons.file.museum import exhibits
from lessons.file.museum_schema import Exhibit
from lessons.file.problems import LessonError
from lessons.i18n.language import tr
from lessons.play.exhibit import ExhibitVerdict
from tui.drivers.exhibit import ExhibitDriver
from tui.jobs.exhibit import verdict_on
from tui.jobs.search import SearchFailed
from tui.screens.overlay import Overlay
from tui.views.glyphs import Glyphs
from tui.views.markdown import wrap
from tui.views.museum import ORDERS, grouped, legend, museum
from tui.views.row import BLANK, Row, Span, row


class Museum(Overlay):
    """The list of bugs."""

    title_text = "Museum: real bugs, as they were and as mended"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("o", "order(1)", "By year, by mechanism, by culprit", id="museum.order"),
        Binding("i", "facts", "All about it, as a text", id="museum.facts"),
        Binding("x", "search", "Search its schedules", id="museum.search"),
        Binding("s", "sandbox", "Play on in the sandbox", id="museum.sandbox"),
    ]

    def __init__(self, glyphs: Glyphs) -> None:
        super().__init__(glyphs)
        self.exhibits: list[Exhibit] = []
        self.order = 0
        self.problem = ""
        try:
            self.exhibits = exhibits()
        except LessonError as error:
            self.problem = str(error)
        self.verdicts: dict[str, ExhibitVerdict] = {}
        """What has been searched already."""
        self.searching: asyncio.Task[None] | None = None

    def on_mount(self) -> None:
        """The cursor begins at the oldest."""
        super().on_mount()
        self._to_the_first()

    def on_unmount(self) -> None:
        """Nobody waits for the verdict any more."""
        if self.searching is not None:
            self.searching.cancel()

    def _to_the_first(self) -> None:
        groups = grouped(self.exhibits, ORDERS[self.order])
        if groups:
            self.pane.point_at(f"exhibit:{groups[0].members[0].id}")

    # -- showing ------------------------------------------------------------------------------------

    def rows(self, width: int) -> list[Row]:
        """The list in its order, and what the signs say."""
        if self.problem:
            return wrap([Span(self.problem, "wrong")], width)
        said = legend(self.exhibits, self.glyphs)
        return [*wrap([Span(f" {said}", "dim")], width), *museum(self.exhibits, ORDERS[self.order], width, self.glyphs)]

    def hints(self) -> list[tuple[str, str, str]]:
        """The keys."""
        if self.searching is not None:
            return [("...", tr("searching both scenes"), "nothing")]
        following = ORDERS[(self.order + 1) % len(ORDERS)]
        return [
            ("Enter", tr("in pictures"), "choose"),
            ("o", tr("by {order}").format(order=tr(following)), "order(1)"),
            ("i", tr("as text"), "facts"),
            ("x", tr("search"), "search"),
            ("s", tr("sandbox"), "sandbox"),
        ]

    # -- moves --------------------------------------------------------------------------------------

    @property
    def here(self) -> Exhibit | None:
        """The bug under the cursor."""
        name = self.chosen.partition(":")[2]
        return next((exhibit for exhibit in self.exhibits if exhibit.id == name), None)

    def action_order(self, by: int) -> None:
        """Another order; the cursor stays on its bug."""
        chosen = self.chosen
        self.order = (self.order + by) % len(ORDERS)
        self.renew()
        self.pane.point_at(chosen)

    def choose(self, subject: str) -> None:
        """Show a bug in pictures; one that cannot be played, as a text."""
        del subject
        exhibit = self.here
        if exhibit is None or self.searching is not None:
            return
        if exhibit.before is None:
            self.action_facts()
        else:
            self.searching = asyncio.create_task(self._play(exhibit))
            self.keys.renew()

    async def _play(self, exhibit: Exhibit) -> None:
        """Search both scenes, unless that was done, and open the stage."""
        from tui.screens.exhibit_stage import ExhibitStage

        try:
            found = self.verdicts.get(exhibit.id) or await verdict_on(exhibit)
        finally:
            self.searching = None
            self.keys.renew()
        if isinstance(found, SearchFailed):
            self.notify(found.why, severity="error", markup=False)
            return
        self.verdicts[exhibit.id] = found
        if self.is_current:
            self.app.push_screen(ExhibitStage(ExhibitDriver(exhibit, found), self.glyphs))

    def action_facts(self) -> None:
        """All that is known of the bug, to read."""
        if self.here is not None:
            self.app.push_screen(ExhibitFacts(self.here, self.verdicts.get(self.here.id), self.glyphs))

    def action_search(self) -> None:
        """The explorer, from where the scene's set-up ends, with what its scene permits."""
        from tui.drivers.exhibit import scene_session
        from tui.screens.explorer import Explorer

        exhibit = self.here
        if exhibit is None or exhibit.before is None:
            self.notify(tr("The machine cannot play this one."), markup=False)
            return
        session, permitted = scene_session(exhibit.before.text)
        self.app.push_screen(Explorer(session.timeline, exhibit.header.title, self.glyphs, permitted=permitted))

    def action_sandbox(self) -> None:
        """A sandbox on the machine as it was, where the scene's set-up ends."""
        from tui.drivers.exhibit import scene_session
        from tui.drivers.sandbox import SandboxDriver
        from tui.screens.sandbox_stage import SandboxStage

        exhibit = self.here
        if exhibit is None or exhibit.before is None:
            self.notify(tr("The machine cannot play this one."), markup=False)
            return
        session, permitted = scene_session(exhibit.before.text)
        driver = SandboxDriver(title=exhibit.header.title, session=session)
        driver.about = "\n".join([exhibit.story, "", "```", *permitted, "```"])
        self.app.push_screen(SandboxStage(driver, self.glyphs))


class ExhibitFacts(Overlay):
    """One bug as a text."""

    def __init__(self, exhibit: Exhibit, found: ExhibitVerdict | None, glyphs: Glyphs) -> None:
        super().__init__(glyphs)
        self.exhibit = exhibit
        self.found = found
        self.title_text = exhibit.header.title

    def rows(self, width: int) -> list[Row]:
        """Facts, verdicts if they are known, both scenes, sources."""
        from tui.views.museum import facts, scenes, verdicts

        header = self.exhibit.header
        rows = facts(self.exhibit, width)
        if self.found is not None:
            rows += [BLANK, *verdicts(self.exhibit, self.found, width, self.glyphs)]
        rows += [BLANK, *scenes(self.exhibit, width)]
        return [*rows, row(Span(f"{tr('Looked up in')}: ", "dim")), *wrap([Span("; ".join(header.sources))], width)]
