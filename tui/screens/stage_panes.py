"""The stage: one picture, always in the same place, for lessons and for the sandbox."""

from collections.abc import Callable, Sequence
from functools import partial
from operator import is_
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container
from textual.message import Message
from textual.screen import Screen
from textual.timer import Timer

from lessons.file.problems import LessonError
from lessons.i18n.language import tr
from tui.drivers.driver import Driver
from tui.screens.panes import LISTS, PANES, PICTURED, heights
from tui.screens.picture_panes import LEAST, PicturePanes
from tui.screens.stage_keys import (
    HEAD_AND_FOOT,
    HINTS,
    HOMES,
    JUMPS,
    KEEP_AFTER,
    KEYS,
    LOW,
    MACHINE_LEAST,
    MOST_RULES,
    NARROW,
    STORY,
    STORY_WIDTHS,
    WIDE,
)
from tui.session.prompt_history import PromptHistory
from tui.views.bars import header, keys, relations, tabs
from tui.views.glyphs import Glyphs
from tui.views.history import log, timeline
from tui.views.lesson_text import last_answer, pressing, story
from tui.views.row import Row, Span, row, squeeze
from tui.views.shown_state import ShownState, follow, marks
from tui.views.verdict import alarms, caption, is_muted, rules, severities, verdict
from tui.views.verdict import worst as worst_first
from tui.widgets.bar import Bar
from tui.widgets.line_pane import LinePane
from tui.widgets.picture_pane import PicturePane
from tui.widgets.tail import Tail

if TYPE_CHECKING:
    from lessons.play.step_size import StepSize
    from model.script.complete import Completion


class Stage(Screen[None]):
    """Shows a driver's picture in the panes, and turns keys and clicks into moves."""

    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (NARROW, "-normal"), (WIDE, "-wide")]  # noqa: RUF012 - Textual's own
    VERTICAL_BREAKPOINTS = [(0, "-low"), (LOW, "-high")]  # noqa: RUF012 - Textual's own

    BINDINGS: ClassVar[list[BindingType]] = KEYS

    class Left(Message):
        """The learner goes back to where they came from."""

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
        self.panes: dict[str, LinePane] = {}
        self.prompt_history = PromptHistory()
        """Lines typed at the prompt, for its history."""
        self._row_heights = ""
        """The heights of the panes' rows, as they are set; empty: as the style sheet has them."""
        self._rules_need = 0
        """The most lines that the alarms have needed here: an edge that has moved stays where it is."""
        self._needed = ("", 0)
        """The pane in sight on a narrow screen, and how many lines it has needed at most."""
        self._made: dict[str, tuple[tuple[object, ...], tuple[object, ...], list[Row]]] = {}
        """Pane → what its rows were made of, and the rows."""
        self.word = ""
        """Why the last move could not be made."""
        self._keeping: Timer | None = None
        self._complaint = ""

    # -- building -----------------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        """Every widget once; from then on none comes or goes."""
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
        self.body = Container(id="body")
        with self.body:
            yield self.panes["story"]
            lists = [pane.name for pane in LISTS]
            for name in ("picture", "ledger", *lists, "rules", "log"):
                self.panes[name].add_class("side")
                self.panes[name].set_class(name in {"picture", "ledger"}, "drawn")
                self.panes[name].set_class(name in lists, "listing")
                yield self.panes[name]
        yield self.panes["foot"]

    def _set_size_classes(self) -> None:
        """What the breakpoints are about to set: known before the first layout, so that there is only one."""
        width, height = self.app.size
        self.add_class("-narrow" if width < NARROW else "-normal" if width < WIDE else "-wide")
        self.add_class("-low" if height < LOW else "-high")

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
        self.set_class(self.pictured, "-pictured")
        for name, pane in self.panes.items():
            pane.set_class(name == self.shown, "-shown")

    @property
    def low(self) -> bool:
        """Whether the screen has few lines."""
        return self.size.height < LOW

    @property
    def small(self) -> bool:
        """Only one pane beside the story has room."""
        return self.size.width < NARROW or self.low

    @property
    def one_pane(self) -> bool:
        """Only one pane beside the story is shown, for want of room or because it was asked for."""
        return self.small or self.has_class("-solo")

    # -- showing ------------------------------------------------------------------------------------

    def _keep(self) -> None:
        """Let the driver keep what must not be lost; say so once where it cannot."""
        if self._keeping is not None:
            self._keeping.stop()  # What is kept now must not be kept once more after the learner has had it forgotten.
        self._keeping = None
        word = self.driver.keep()
        if word and word != self._complaint:
            self._complaint = word
            self.notify(word, severity="warning", markup=False)

    def on_resize(self) -> None:
        """A narrow screen divides its height anew."""
        """The heights of the panes' rows, as they are set; empty: as the style sheet has them."""
        self._rules_need = 0
        """The most lines that the alarms have needed here: an edge that has moved stays where it is."""
        self._choose_view()
        self._make_room()

    def move(self, make: Callable[[], str]) -> None:
        """Make a move and show the new picture, or say why it could not be made."""
        try:
            self.word = make()
            self.picture = self.driver.picture()
        except LessonError as error:
            self.notify(str(error), title=tr("This lesson is damaged"), severity="error", markup=False)
            return
        if self._keeping is None:
            self._keeping = self.set_timer(KEEP_AFTER, self._keep)
        self.panes["story"].to_top()
        self.show_picture()

    def show_picture(self) -> None:
        """Bring every pane in sight up to date, all in one frame."""
        self.scene = self._scene()
        self._make_room()
        self._tell()
        for pane in self.panes.values():
            pane.renew()
        if self.focus_subject:
            self._light(self.focus_subject)
        picture = self.panes["picture"]
        if isinstance(picture, PicturePane) and self.pictured:
            picture.reveal(self.drawing.touched)
        self._take_question()

    def _tell(self) -> None:
        """Over the drawing stands what led here."""
        self.panes["picture"].caption(caption(self.picture, self.drawing.command, self.glyphs))

    def _make_room(self) -> None:
        """A question and a remark are shown whole, and so is every alarm."""
        if not self.is_mounted:
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
            spare = height - HEAD_AND_FOOT - (not self.low) - self._machine_needs(width)
            wanted = min(pressing(self.picture, width, self.glyphs) + 1, height - MACHINE_LEAST)
            return f"{max(STORY, spare, wanted)} 1fr"
        if self.one_pane:
            return ""
        rows, least = heights(wide=width >= WIDE, pictured=self.pictured)
        worst = self.picture._replace(broken=tuple(worst_first(self.picture.broken)[:1]))
        told = [] if is_muted(self.picture) else alarms(worst, self.panes["rules"].size.width or 40, self.glyphs)
        self._rules_need = max(self._rules_need, min(len(told) + 1, MOST_RULES))
        return rows.format(max(least, self._rules_need))

    def _machine_needs(self, width: int) -> int:
        """The most lines that the pane in sight has needed since it was chosen, so that its edge seldom moves."""
        needs = max(len(self._rows(self.shown, width)) + 1, MACHINE_LEAST - HEAD_AND_FOOT)
        self._needed = self.shown, max(needs, self._needed[1] if self._needed[0] == self.shown else 0)
        return self._needed[1]

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
        self.drawing.take(scene._replace(focus=self.focus_subject), picture.start, silent=asked)
        accessed = [one for one in self.drawing.state.last.accesses if one.process and not one.reference]
        if accessed:  # A fault may have mapped its neighbours too; the page that was asked for is the one to show.
            self.followed = f"pte:{accessed[-1].process}:{accessed[-1].vpn}"
        return scene._replace(focus=self.focus_subject or self.followed)

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
                return self._kept("log", (picture.log,), (width,), lambda: log(picture, width))
            case "rules":
                return self._kept(
                    "rules", (), (picture.broken, picture.rules, width), lambda: rules(picture, width, glyphs)
                )
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

        The worst alarm is told whole among the rules where these are in sight; else a second row has its beginning. A
        low screen has no row for that: there the line stands in its place while nothing is broken, or a word of
        refusal in place of the strip.
        """
        bar = verdict(self.picture, width, self.glyphs, lines=2 if self.one_pane else 1)
        strip, where = timeline(self.picture.history, width, self.glyphs)
        if self.focus_subject:
            to, of = self.driver.refers(self.focus_subject)
            where = relations(self.focus_subject, to, of, width, self.glyphs)
        if self.word:
            where = row(Span(squeeze(f"{self.glyphs.pointer} {self.word}", width), "hazard"))
        if not self.low:
            return [*bar, strip, where]
        if not self.picture.broken:
            return [bar[0], where, strip]
        return [*bar, where if self.word else strip]

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
            hints += [("v", "lists" if self.pictured else "picture", "lists")]
            hints += [("l", "legend", "legend")] if self.pictured else []
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

    # -- the cursor ---------------------------------------------------------------------------------

    def on_line_pane_pointed(self, message: LinePane.Pointed) -> None:
        """Something was pointed at: an action, a place in the history, an answer, or a thing of the machine."""
        message.stop()
        kind, _, rest = message.subject.partition(":")
        if kind == "action":
            self.call_later(self.run_action, rest)
        elif kind in JUMPS:
            if message.clicked:
                self._jump(kind, rest)
        else:
            self.point(message.subject, message.pane)

    def point(self, subject: str, source: LinePane | None = None) -> None:
        """The cursor goes to a thing: its walk is shown, and what is related to it lights up everywhere."""
        self.word = ""
        self.focus_subject = subject
        for pane in self.panes.values():
            if pane is not source:
                pane.forget_cursor()
        if source is None:
            home = "picture" if self.pictured else HOMES.get(subject.partition(":")[0], "holders")
            self._bring_up(home)
            if self.panes[home].point_at(subject):
                self.panes[home].focus()
        self.show_picture()

    def _light(self, subject: str) -> None:
        """Light up the relatives."""
        to, of = self.driver.refers(subject)
        lit = {subject: "it", **dict.fromkeys(to, "to"), **dict.fromkeys(of, "from")}
        chain = dict.fromkeys(self.drawing.chain(subject), "to") if self.pictured else lit
        for name, pane in self.panes.items():
            pane.light(chain if name == "picture" else lit)

    def action_follow(self) -> None:
        """Point at nothing: the walk follows what changes."""
        self.focus_subject = ""
        for pane in self.panes.values():
            pane.forget_cursor()
            pane.light({})
        self.show_picture()

    # -- moves --------------------------------------------------------------------------------------

    def action_step(self, size: "StepSize") -> None:
        """Take a step. The key `c` is an answer while the question has one of that letter."""
        if size == "command" and self._offers("c"):
            self.action_choose("c")
        else:
            self.move(lambda: self.driver.step(size))

    def action_back(self) -> None:
        """Undo the last move."""
        self.move(self.driver.back)

    def action_end(self, last: bool) -> None:
        """To the first or the last place of this way."""
        self.move(lambda: self.driver.end(last=last))

    def action_branch(self, by: int) -> None:
        """To another of the ways that lead on from here."""
        self.move(lambda: self.driver.branch(by))

    def action_hint(self) -> None:
        """Show one more hint."""
        self.move(self.driver.hint)

    def action_act(self) -> None:
        """Answer the question, go to the place under the cursor, or do what is proposed."""
        ask = self.picture.tale.ask
        pane = self.focused
        kind, _, rest = (
            pane.cursor.subject.partition(":") if isinstance(pane, LinePane) and pane.cursor else ("", "", "")
        )
        if kind in JUMPS and (kind != "answer" or ask is not None):
            self._jump(kind, rest)
        elif ask is not None and ask.options:
            self.panes["story"].focus()
        elif ask is not None:
            self._ask(ask.wants or tr("your answer"), self.driver.answer)
        else:
            self.call_later(self.run_action, self.picture.enter)

    def _jump(self, kind: str, rest: str) -> None:
        """Do what a click on, or Enter at, a place of the history or an answer means."""
        match kind:
            case "node":
                self.move(lambda: self.driver.go(int(rest)))
            case "moment":
                self.move(lambda: self.driver.revisit(int(rest)))
            case _:
                self.move(lambda: self.driver.answer(rest))

    def action_choose(self, letter: str) -> None:
        """Put the cursor on the answer of that letter; Enter gives it."""
        if self._offers(letter):
            self.panes["story"].focus()
            self.panes["story"].point_at(f"answer:{letter}")

    def action_nothing(self) -> None:
        """Esc: point at nothing, and lose nothing."""
        self.word = ""
        self.action_follow()

    def _offers(self, letter: str) -> bool:
        """Whether the question has an answer of that letter."""
        ask = self.picture.tale.ask
        return ask is not None and letter in {option.key for option in ask.options}

    def action_prompt(self) -> None:
        """Type a command of the script language."""
        self._ask(tr("command"), self.driver.command, self.driver.assist)

    def _ask(
        self,
        wants: str,
        carry_out: Callable[[str], str],
        assist: Callable[[str], "Completion"] | None = None,
        begin: str = "",
        *,
        many: bool = False,
    ) -> None:
        """Open the prompt; what is typed goes to `carry_out`, with `many` also several lines that are pasted."""
        from tui.screens.prompt import Prompt

        def typed(line: str | None) -> None:
            if line:
                self.move(lambda: carry_out(line))

        self.app.push_screen(Prompt(wants, self.prompt_history if assist else None, assist, begin, many=many), typed)

    # -- panes --------------------------------------------------------------------------------------

    def action_pane(self, number: str) -> None:
        """Show a pane. Where a number is asked for, begin to type it; where answers have numbers, give that one."""
        ask = self.picture.tale.ask
        if ask is not None and not ask.options:
            self._ask(ask.wants, self.driver.answer, begin=number)
        elif ask is not None and ask.numbered and 0 < int(number) <= len(ask.options):
            self.action_choose(ask.options[int(number) - 1].key)
        else:
            self.action_show(number)

    def _numbered(self) -> bool:
        """Whether digits are answers now."""
        ask = self.picture.tale.ask
        return ask is not None and (ask.numbered or not ask.options)

    def action_show(self, number: str) -> None:
        """Give a pane the cursor; where only one has room, show it."""
        if self.pictured and number not in {key for key, *_ in PICTURED}:
            self.action_lists()
        name = next((name for key, _, name in self._panes() if key == number), "story")
        self._bring_up(name)
        self.panes[name].focus()
        self.show_picture()

    def _bring_up(self, name: str) -> None:
        """Where there is room for one pane only, this is the one."""
        self.set_class(name == "story", "-story")
        if name != "story":
            self._shown[self.pictured] = name
            self._choose_view()

    def action_lists(self) -> None:
        """The machine as lists, or as a picture again."""
        self.listed = not self.listed
        if not self.listed and not self.pictured:
            self.notify(tr("The picture needs {columns} columns.").format(columns=LEAST), markup=False)
        self._choose_view()
        self.show_picture()

    def action_fold(self) -> None:
        """Unfold the equal pages at the cursor, or fold them again."""
        if self.drawing.fold(self.focus_subject):
            self.show_picture()
        else:
            self.notify(tr("Point at a page first: its neighbours fold and unfold."), markup=False)

    def action_maximize_pane(self) -> None:
        """One pane over the whole side, or all of them again."""
        name = self.focused.id if isinstance(self.focused, LinePane) else None
        self.toggle_class("-solo")
        number = next((key for key, _, pane in self._panes() if pane == name and pane != "story"), None)
        if number is not None:
            self.action_show(number)
        else:
            self.show_picture()

    def action_leave(self) -> None:
        """Back to where we came from."""
        self._keep()
        self.post_message(self.Left())
