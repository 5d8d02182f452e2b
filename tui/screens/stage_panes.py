"""What the stage shows: one picture, always in the same place, for lessons and for the sandbox."""

from collections.abc import Callable, Sequence
from functools import partial
from operator import is_

from msgspec.structs import replace
from textual.app import ComposeResult
from textual.geometry import Region
from textual.screen import Screen
from textual.strip import Strip

from lessons.i18n.language import tr
from model.text.words import whole_number
from tui.drivers.driver import Driver
from tui.screens.lines_needed import LinesNeeded
from tui.screens.panes import LISTS, PANES, PICTURED, heights
from tui.screens.picture_panes import LEAST, PicturePanes
from tui.screens.stage_keys import (
    HEAD_AND_FOOT,
    HINTS,
    LOW,
    MACHINE_LEAST,
    NARROW,
    STORY,
    STORY_WIDTHS,
    VIEW_HINTS,
    WIDE,
)
from tui.views.bars import header, keys, relations, tabs
from tui.views.glyphs import Glyphs
from tui.views.history import log, timeline
from tui.views.lesson_text import last_answer, newest, pressing, story, tells_alarm
from tui.views.row import Row, Span, row, squeeze
from tui.views.shown_state import ShownState, follow, marks
from tui.views.verdict import alarms, captions, is_muted, rules, severities, verdict
from tui.widgets.bar import Bar
from tui.widgets.ground import Ground, blank_lines
from tui.widgets.line_pane import LinePane
from tui.widgets.picture_pane import PicturePane
from tui.widgets.tail import Tail


class StagePanes(Screen[None]):
    """Shows a driver's picture in the panes that there is room for."""

    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (NARROW, "-normal"), (WIDE, "-wide")]  # noqa: RUF012 - Textual's own
    VERTICAL_BREAKPOINTS = [(0, "-low"), (LOW, "-high")]  # noqa: RUF012 - Textual's own

    def __init__(self, driver: Driver, glyphs: Glyphs) -> None:
        super().__init__()
        self.driver = driver
        self.glyphs = glyphs
        self.picture = driver.picture()
        self.focus_subject = ""
        """What the learner points at; empty: nothing, the walk follows what changes."""
        self.followed = ""
        self.listed = False
        """The machine is shown as lists although there is room for the picture."""
        self._shown = {True: "picture", False: "spaces"}
        """The pane in sight where there is room for one: as a picture, and as lists."""
        self.drawing = PicturePanes(driver)
        self.scene = self._scene()
        self.body = Ground(id="body")
        self.panes: dict[str, LinePane] = {}
        self._row_heights = ""
        """The heights of the panes' rows, as they are set; empty: as the style sheet has them."""
        self._needs = LinesNeeded()
        self._made: dict[str, tuple[tuple[object, ...], tuple[object, ...], list[Row]]] = {}
        """Pane → what its rows were made of, and the rows."""
        self.word = ""
        """Why the last move could not be made."""

    # -- building -----------------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        """Every widget once; from then on none goes. Nothing has a style yet, so no class updates any."""
        for number, title, name in dict.fromkeys((*PICTURED, *PANES)):
            kind = Tail if name == "log" else PicturePane if name == "picture" else LinePane
            self.panes[name] = kind(tr(title), name, number, self.glyphs)
        for name in ("head", "foot"):
            self.panes[name] = Bar("", name, "", self.glyphs)
        for name, pane in self.panes.items():
            pane.build = partial(self._rows, name)
        self._set_size_classes()
        self._choose_view()
        self._make_room()
        self._tell()
        yield self.panes["head"]
        with self.body:
            yield self.panes["story"]
            lists = [pane.name for pane in LISTS]
            for name in ("picture", "ledger", *lists, "rules", "log"):
                self.panes[name].add_class("side", update=False)
                self.panes[name].set_class(name in {"picture", "ledger"}, "drawn", update=False)
                self.panes[name].set_class(name in lists, "listing", update=False)
                if name not in lists or not self.pictured:
                    yield self.panes[name]
        yield self.panes["foot"]

    def render_lines(self, crop: Region) -> list[Strip]:
        """Nothing but what the panes leave free."""
        return blank_lines(self, crop)

    def _set_size_classes(self) -> None:
        """What the breakpoints are about to set: known before the first layout, so that there is only one."""
        width, height = self.app.size
        self.add_class("-narrow" if width < NARROW else "-normal" if width < WIDE else "-wide", update=False)
        self.add_class("-low" if height < LOW else "-high", update=False)

    def on_mount(self) -> None:
        """The machine's first pane is in sight where there is room for one."""
        self._make_room()
        self._take_question()

    @property
    def pictured(self) -> bool:
        """Whether the machine is drawn: there is room for it, and no lists were asked for."""
        width = self.app.size.width
        if width >= WIDE:
            width -= STORY_WIDTHS["wide"] + 1
        elif width >= NARROW:
            width -= STORY_WIDTHS["normal"] + 1
        return not self.listed and width >= LEAST

    @property
    def shown(self) -> str:
        """The pane in sight where there is room for one."""
        return self._shown[self.pictured]

    def _choose_view(self) -> None:
        """Picture or lists, by the room that there is and by what was asked for."""
        styled = self.is_mounted
        self.set_class(self.pictured, "-pictured", update=styled)
        self.set_class(self.one_pane, "-one", update=styled)
        for name, pane in self.panes.items():
            pane.set_class(name == self.shown, "-shown", update=pane.is_attached)
        lists = [self.panes[pane.name] for pane in LISTS] if styled and not self.pictured else []
        if lists and not lists[0].is_attached:  # The first frame of a picture did not wait for what it does not show.
            self.body.mount(*lists, before=self.panes["rules"])

    @property
    def low(self) -> bool:
        """Whether the screen has few lines."""
        return self.app.size.height < LOW

    @property
    def small(self) -> bool:
        """Only one pane beside the story has room."""
        return self.app.size.width < NARROW or self.low

    @property
    def one_pane(self) -> bool:
        """Only one pane beside the story is shown, for want of room or because it was asked for."""
        return self.small or self.has_class("-solo")

    # -- showing ------------------------------------------------------------------------------------

    def on_resize(self) -> None:
        """A narrow screen divides its height anew."""
        self._needs.alarms = 0
        self._choose_view()
        self._make_room()

    def show_picture(self) -> None:
        """Bring every pane in sight up to date, all in one frame."""
        self.scene = self._scene()
        self._make_room()
        self._tell()
        for pane in self.panes.values():
            pane.renew()
        self.light(self.focus_subject)
        picture = self.panes["picture"]
        if isinstance(picture, PicturePane) and self.pictured:
            picture.reveal(self.drawing.touched)
        self._take_question()

    def _tell(self) -> None:
        """Over the drawing stands what led here."""
        self.panes["picture"].caption(*captions(self.picture, self.drawing.command, self.glyphs))

    def _make_room(self) -> None:
        """A question and a remark are shown whole, and so is every alarm."""
        if not self.panes:  # the first time with all of them, before anything is laid out
            return
        rows = self._heights()
        if rows != self._row_heights:
            self._row_heights = rows
            styles, story = self.body.styles, self.panes["story"].styles
            for rule in ("grid_rows", "grid_size_rows"):
                styles.clear_rule(rule)
            story.clear_rule("row_span")
            if rows:
                styles.grid_rows = rows
            if rows and self.app.size.width >= NARROW and not self.pictured:  # however many lists there are
                styles.grid_size_rows = len(rows.split())
                story.row_span = len(rows.split()) - 1

    def _heights(self) -> str:
        """The heights of the rows of panes; empty: as the style sheet has them."""
        width, height = self.app.size
        if width < NARROW:
            if self.has_class("-story"):
                return ""
            spare = (
                height
                - HEAD_AND_FOOT
                - (not self.low)
                - self._needs.by_machine(self.shown, len(self._rows(self.shown, width)) + 1)
            )
            wanted = min(pressing(self.picture, width, self.glyphs) + 1, height - MACHINE_LEAST)
            return f"{max(STORY, spare, wanted)} 1fr"
        if self.one_pane:
            return ""
        divided = heights(wide=width >= WIDE, pictured=self.pictured)
        worst = self.picture._replace(broken=tuple(newest(self.picture.broken)[:1]))
        told = [] if is_muted(self.picture) else alarms(worst, self.panes["rules"].size.width or 40, self.glyphs)
        return divided.rows.format(max(divided.least, self._needs.by_alarms(len(told) + 1)))

    def _scene(self) -> ShownState:
        """The picture's machine, with signs for what changed and what is broken."""
        picture = self.picture
        self.followed = follow(picture.changes) or self.followed
        scene = ShownState(
            picture.state,
            picture.changes,
            marks(picture.changes),
            severities(picture.broken),
            self.focus_subject or self.followed,
            self.glyphs,
        )
        asked = picture.tale.ask is not None
        self.drawing.take(replace(scene, focus=self.focus_subject), picture.start, silent=asked)
        accessed = [one for one in self.drawing.state.last.accesses if one.process and not one.reference]
        if accessed:  # A fault may have mapped its neighbours too; the page that was asked for is the one to show.
            self.followed = f"pte:{accessed[-1].process}:{accessed[-1].vpn}"
        return replace(scene, focus=self.focus_subject or self.followed)

    def _rows(self, name: str, width: int) -> Sequence[Row]:
        """The rows of one pane."""
        picture, glyphs = self.picture, self.glyphs
        match name:
            case "story":
                return story(picture, width, glyphs, alarms=self.one_pane)
            case "head":
                return [header(picture, width), self._tabs(width)]
            case "foot":
                return [*self._verdict_and_strip(width), keys(self._key_hints(), width)]
            case "log":
                muted = is_muted(picture)
                return self._kept("log", (picture.log,), (width, muted), lambda: log(picture, width, muted=muted))
            case "rules":
                told = (is_muted(picture), picture.broken, picture.rules, width)
                return self._kept("rules", (), told, lambda: rules(picture, width, glyphs))
            case "picture":
                same, equal = self.drawing.made_of
                return self._kept("picture", same, (*equal, width), lambda: self.drawing.picture(width))
            case "ledger":
                return self.drawing.ledger(width)
            case _:
                scene = self.scene
                pane = next(pane for pane in LISTS if pane.name == name)
                maps = tuple(getattr(scene.state, table) for table in pane.tables)
                rest = (scene.changes, scene.marks, scene.broken, scene.focus, width)
                return self._kept(name, maps, rest, lambda: pane.rows(scene, width))

    def _kept(
        self, name: str, same: tuple[object, ...], equal: tuple[object, ...], build: Callable[[], list[Row]]
    ) -> list[Row]:
        """The rows of a pane as they are, if all that they are made of is the same object, or equal; else new ones.

        Most micro-steps change nothing but their task: then no pane but the holders' is made anew.
        """
        known = self._made.get(name)
        if known is not None and known[1] == equal and all(map(is_, known[0], same)):
            return known[2]
        rows = build()
        self._made[name] = same, equal, rows
        return rows

    def _panes(self) -> tuple[tuple[str, str, str], ...]:
        """The panes that there are now, and their keys."""
        return PICTURED if self.pictured else PANES

    def _tabs(self, width: int) -> Row:
        """One tab a pane, in sight where there is room for one pane."""
        panes = [(number, title, name == self.shown) for number, title, name in self._panes()]
        return tabs(panes, width, by_function_key=self._numbered())

    def _verdict_and_strip(self, width: int) -> list[Row]:
        """Whether the rules hold, the strip, and a line to say where we are or what the cursor points at.

        The worst alarm is told whole among the rules where these are in sight; else a second row has its beginning,
        unless the story tells it. A low screen has no row for that: there the line stands in its place while nothing
        is broken, or a word of refusal in place of the strip.
        """
        bar = verdict(self.picture, width, self.glyphs, lines=2 if self.one_pane else 1)
        told = self.one_pane and self._story_tells_alarm()
        strip, where = timeline(self.picture.history, width, self.glyphs)
        if self.focus_subject:
            to, of = self.driver.refers(self.focus_subject)
            where = relations(self.focus_subject, to, of, width, self.glyphs)
        if self.word:
            where = row(Span(squeeze(f"{self.glyphs.pointer} {self.word}", width), "hazard"))
        if not self.low:
            return [*(bar[:1] if told else bar), *[Row()] * told, strip, where]
        if told or not self.picture.broken:
            return [bar[0], where, strip]
        return [*bar, where if self.word else strip]

    def _story_tells_alarm(self) -> bool:
        """Whether all of the worst alarm is in sight there, as high as the story is going to be."""
        story = self.panes["story"]
        divided = self._row_heights if self.size.width < NARROW else ""
        lines = whole_number(divided.partition(" ")[0])  # none: the window has only just become so narrow
        window = lines - 1 if lines is not None else story.window
        return tells_alarm(self.picture, story.size.width, self.glyphs, window)

    def _key_hints(self) -> list[tuple[str, str, str]]:
        """What can be done now; the most needed first."""
        picture = self.picture
        can = picture.can | {"alarm"} if picture.broken and not is_muted(picture) else picture.can
        possible = [hint for hint in HINTS if hint[0] in can]
        same = any(action == picture.enter for *_, action in possible)
        hints = [] if same else [("Enter", picture.hint, "act")]
        for _, key, does, action in possible:
            enter = "Enter " if action == picture.enter else ""
            hints.append((enter + key.replace("->", self.glyphs.arrow), does, action))
        if self.size.width >= NARROW:
            hints += VIEW_HINTS[self.pictured]
        hints += [
            ("F2-F8" if self._numbered() else "1-8", "panes", "show('2')"),
            ("?", "help", "app.help"),
            ("q", "leave", "leave"),
        ]
        return [*hints, ("^p", "all actions", "app.command_palette")]

    def _take_question(self) -> None:
        """When a question comes up, the story gets the cursor, on the first answer; all answers are in sight."""
        ask = self.picture.tale.ask
        pane = self.panes["story"]
        if ask is None:
            return
        if ask.options and (pane.cursor is None or not pane.cursor.subject.startswith("answer:")):
            pane.point_at(f"answer:{ask.options[0].key}")
            pane.focus()
        pane.keep_in_sight(last_answer(pane.rows))

    def light(self, subject: str) -> None:
        """Light up a thing and its relatives; with no thing, nothing."""
        if not subject:
            for pane in self.panes.values():
                pane.light({})
            return
        to, of = self.driver.refers(subject)
        lit = {subject: "it", **dict.fromkeys(to, "to"), **dict.fromkeys(of, "from")}
        chain = dict.fromkeys(self.drawing.chain(subject), "to") if self.pictured else lit
        for name, pane in self.panes.items():
            pane.light(chain if name == "picture" else lit)

    def _numbered(self) -> bool:
        """Whether digits are answers now."""
        ask = self.picture.tale.ask
        return ask is not None and (ask.numbered or not ask.options)

    def _bring_up(self, name: str) -> None:
        """Where there is room for one pane only, this is the one."""
        self.set_class(name == "story", "-story")
        if name != "story":
            self._shown[self.pictured] = name
            self._choose_view()
