"""This machine's own kernel beside the model: the commands that led here, carried out on both, and both drawn."""

import sys
from typing import TYPE_CHECKING, ClassVar, Final

from textual import work
from textual.binding import Binding, BindingType
from textual.worker import get_current_worker

from lessons.i18n.language import tr
from model.script.command import Command
from model.script.parser import parse
from model.session.timeline import Timeline
from model.session.to_script import script_of
from model.text.problems import ScriptError
from tui.screens.overlay import Overlay
from tui.session.terminal import is_served
from tui.views import live as view
from tui.views.glyphs import Glyphs
from tui.views.markdown import wrap
from tui.views.picture.draw import LEAST, picture
from tui.views.picture.history import History
from tui.views.picture.picture_state import PictureState
from tui.views.row import BLANK, Row, Span, cut, padded, row
from tui.views.shown_state import ShownState

if TYPE_CHECKING:
    from tui.live.side_by_side import Compared, Machines
    from tui.screens.stage import Stage

GAP: Final = 4
"""Columns between the two drawings."""


class BesideKernel(Overlay):
    """Each command is a row; the drawings show both machines after the one under the cursor."""

    title_text = "Your own kernel"
    BINDINGS: ClassVar[list[BindingType]] = [Binding("r", "again", "Carry everything out again", id="live.again")]

    def __init__(self, commands: list[Command], glyphs: Glyphs) -> None:
        super().__init__(glyphs)
        self.commands = commands
        self.found: list[Compared] = []
        self.machines: Machines | None = None
        self.over_with = False
        self.trouble = ""
        self.shown = -1

    @classmethod
    def over(cls, stage: "Stage") -> "BesideKernel":
        """The commands that led to what the stage shows."""
        return cls(commands_of(stage.driver.past()), stage.glyphs)

    def on_mount(self) -> None:
        """Start at once."""
        super().on_mount()
        self.action_again()

    def action_again(self) -> None:
        """Carry everything out on fresh machines."""
        self.found, self.over_with, self.trouble, self.shown = [], False, "", -1
        if sys.platform != "linux":
            self.trouble = tr("This needs Linux: it compares with the kernel that it runs on.")
        elif is_served():
            self.trouble = tr("Not in a served session: the kernel is that of whoever serves it.")
        else:
            self.carry_out()
        self.renew()

    @work(thread=True, exclusive=True)
    def carry_out(self) -> None:
        """Both machines, beside the screen; it stops where the screen is left."""
        from tui.live.side_by_side import Machines, compare

        worker = get_current_worker()
        try:
            with Machines() as machines:
                self.machines = machines
                for one in compare(self.commands, machines):
                    if worker.is_cancelled:
                        return
                    self.app.call_from_thread(self.told, one)
        except OSError as error:
            self.trouble = tr("The kernel does not permit it: {error}.").format(error=error.strerror or str(error))
        if not worker.is_cancelled:
            self.app.call_from_thread(self.ended)

    def told(self, one: "Compared") -> None:
        """One command is done."""
        self.found.append(one)
        self.renew()

    def ended(self) -> None:
        """All are done."""
        self.over_with = True
        self.renew()

    # -- what is shown ---------------------------------------------------------------------------

    def rows(self, width: int) -> list[Row]:
        """The verdict, the commands, and both machines drawn."""
        if self.trouble:
            return [row(Span(self.trouble, "hazard"))]
        rows = self.head(width)
        for number, one in enumerate(self.found):
            rows += self.command(number, one, width)
        return [*rows, BLANK, *self.drawings(width)]

    def head(self, width: int) -> list[Row]:
        """How far it is, and the verdict when it is over."""
        import platform

        if self.machines is None:
            return [row(Span(tr("Starting processes…"), "dim"))]
        seen = self.machines.looking.seen
        if not self.over_with:
            heading = wrap([Span(view.heading(platform.release(), self.machines.kernel, seen), "dim")], width)
            return [*heading, row(Span(tr("Carrying out…"), "title"))]
        count = view.LiveCount.of(self.found)
        role = "ok" if count.agreed == count.done else "wrong"
        return wrap([Span(view.verdict(count, platform.release(), seen), role)], width)

    def command(self, number: int, one: "Compared", width: int) -> list[Row]:
        """One command: a sign, its text, the kernel's answer; then what differs."""
        if view.is_word(one):
            return []
        sign, role = self.sign(one)
        pointer = self.glyphs.pointer if number == self.at() else " "
        told = one.skipped or f"{self.glyphs.arrow} {one.kernel}"
        text = cut(f"{pointer} {sign} {one.command.text}  {told}", width)
        rows = [row(Span(text, role, f"live:{number}"))]
        return [*rows, *(row(Span(cut(f"      {view.sentence(two)}", width), "wrong")) for two in one.differences)]

    def sign(self, one: "Compared") -> tuple[str, str]:
        """A sign that needs no colour: `=` both agree, `≠` they differ, `-` carried out on neither."""
        if one.skipped:
            return "-", "dim"
        return ("=", "plain") if not one.differences else ("!", "wrong")

    def at(self) -> int:
        """The command whose machines are drawn: the chosen one, else the last that was carried out."""
        done = [number for number, one in enumerate(self.found) if not one.skipped]
        return self.shown if self.shown in done else done[-1] if done else -1

    def drawings(self, width: int) -> list[Row]:
        """The kernel's machine and the model's: side by side where there is room, else one below the other."""
        at = self.at()
        if at < 0 or self.machines is None:
            return []
        wide = width >= 2 * LEAST + GAP
        columns = (width - GAP) // 2 if wide else width
        kernel, model = (self.drawing(self.found[at], columns, real=real) for real in (True, False))
        titles = (tr("This machine's kernel"), tr("The model"))
        left, right = ([row(Span(title, "title")), *rows] for title, rows in zip(titles, (kernel, model), strict=True))
        counted = "refcount" in self.machines.looking.seen.counts
        note = (
            tr("Counts: as struct page has them. No TLB can be seen.")
            if counted
            else tr("Counts: who is known to hold each frame. The kernel shows no refcounts and no TLB.")
        )
        told = [BLANK, *wrap([Span(note, "dim")], width)]
        return [*(beside(left, right, columns + GAP) if wide else [*left, BLANK, *right]), *told]

    def drawing(self, one: "Compared", width: int, *, real: bool) -> list[Row]:
        """One machine after a command."""
        from model.invariants.checker import Checker
        from tui.live.seen_state import seen_state

        assert self.machines is not None
        timeline = self.machines.session.timeline
        node = timeline.nodes[one.node]
        past = History(timeline).at(node)
        state = seen_state(one, node.state) if real else node.state
        index = Checker.full(state).scene.holding if real else node.checker.scene.holding
        return picture(PictureState(ShownState(state, glyphs=self.glyphs), index, past), width)

    def hints(self) -> list[tuple[str, str, str]]:
        """The keys."""
        return [("Enter", tr("draw both after this command"), "choose"), ("r", tr("again"), "again")]

    def choose(self, subject: str) -> None:
        """Draw the machines as they were after a command."""
        kind, _, number = subject.partition(":")
        if kind == "live":
            self.shown = int(number)
            self.renew()


def beside(left: list[Row], right: list[Row], at: int) -> list[Row]:
    """Two blocks of rows, the right one from column `at` on."""
    rows = []
    for number in range(max(len(left), len(right))):
        one = left[number] if number < len(left) else BLANK
        two = right[number] if number < len(right) else BLANK
        rows.append(Row((*padded(list(one.spans), at), *two.spans)))
    return rows


def commands_of(timeline: Timeline) -> list[Command]:
    """The way from the start to here as commands; what cannot be said as a script is left out."""
    try:
        return list(parse("\n".join(script_of(timeline, timeline.here).lines)))
    except ScriptError:
        return []
