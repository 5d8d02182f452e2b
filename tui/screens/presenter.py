"""The presenter: a lesson for a room, one thing at a time, moved on with a clicker; ballots instead of one guess."""

import time
from collections.abc import Callable
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType

from lessons.i18n.language import tr
from lessons.teach import presenter_state as presenting
from lessons.teach.presenter_state import Ballots
from tui.drivers.lesson import LessonDriver
from tui.screens.leaves_once import LeavesOnce
from tui.screens.picture_panes import LEAST, PicturePanes
from tui.views.bars import header, keys
from tui.views.glyphs import Glyphs
from tui.views.physical import physical
from tui.views.presenter import ballots, shown
from tui.views.row import Row, Span, cut, row
from tui.views.shown_state import ShownState, follow, marks
from tui.views.spaces import spaces
from tui.views.verdict import severities, verdict
from tui.views.walk import walk
from tui.widgets.bar import Bar
from tui.widgets.line_pane import LinePane

PANES: Final[dict[str, tuple[str, Callable[[ShownState, int], list[Row]]]]] = {
    "pte": ("Walk", walk),
    "table": ("Walk", walk),
    "tlb": ("Walk", walk),
    "frame": ("Memory", physical),
}
"""Kind of thing that changed → the pane that shows it to the room; all else: the address spaces."""


class Presenter(LeavesOnce[None]):
    """Text above, the one pane that matters below, and as few keys as a clicker has."""

    DEFAULT_CSS = """
    Presenter #text { height: 3fr; }
    Presenter #machine { height: 2fr; }
    Presenter #bars { height: 3; }
    Presenter.-blank #text, Presenter.-blank #machine { visibility: hidden; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space,pagedown,right,n,enter", "on", "On", id="presenter.on"),
        Binding("pageup,left,p", "back", "Back", id="presenter.back"),
        Binding("V", "vote", "Ballot: type the counts", id="presenter.vote"),
        Binding("h", "hint", "Hint", id="presenter.hint"),
        Binding("full_stop", "blank", "Blank the screen, or show it again", id="presenter.blank"),
        Binding("A", "app.autoplay", "Autoplay, or stop it", id="presenter.autoplay"),
        Binding("colon", "command", "Type a command", id="presenter.command"),
        Binding("P,q,escape", "leave", "Leave the presentation", id="presenter.leave"),
        *(Binding(digit, f"number('{digit}')", f"Answer with {digit}...", show=False) for digit in "0123456789"),
        *(Binding(letter, f"choose('{letter}')", f"Answer {letter}", show=False) for letter in "abcdef"),
    ]

    def __init__(self, driver: LessonDriver, glyphs: Glyphs) -> None:
        super().__init__()
        self.driver = driver
        self.glyphs = glyphs
        self.picture = driver.picture()
        self.began = time.time()
        self.ballots: dict[str, Ballots] = {}
        self.drawing = PicturePanes(driver)
        self.word = ""
        self.hinted = False
        """The room has just been given a hint."""

    def compose(self) -> ComposeResult:
        """Title, text, machine, verdict and keys."""
        self.head = Bar(pane_id="head")
        self.text = LinePane("", "text", "", self.glyphs)
        self.machine = LinePane("", "machine", "", self.glyphs)
        self.bars = Bar(pane_id="bars")
        self.head.build = lambda width: [header(self.picture, width)]
        self.text.build = self._text
        self.machine.build = self._machine
        self.bars.build = lambda width: [*self._said(width), self._keys(width)]
        for pane in (self.text, self.machine):
            pane.can_focus = False
        yield from (self.head, self.text, self.machine, self.bars)

    def on_mount(self) -> None:
        """Tell the notes where we stand."""
        self._tell()

    def on_unmount(self) -> None:
        """Tell the teacher's notes that the presentation is over."""
        self.driver.keep()
        presenting.ended()

    def _said(self, width: int) -> list[Row]:
        """Why the last key could not be obeyed, or how the rules stand."""
        if not self.word:
            return verdict(self.picture, width, self.glyphs)
        return [row(Span(f" {self.glyphs.pointer} {cut(self.word, width - 4)}", "hazard")), Row()]

    def say(self, word: str) -> None:
        """A word to the teacher."""
        self.word = word
        self.bars.renew()

    def _tell(self) -> None:
        presenting.tell(presenting.presented(self.driver.player, self.began, self.ballots))

    def _text(self, width: int) -> list[Row]:
        """Double spaced where that fits."""
        prediction = self.driver.player.prediction
        votes = self.ballots.get(prediction.id) if prediction is not None else None
        voted = ballots(votes, width, self.glyphs) if votes is not None else []
        rows = [*shown(self.picture, width, self.glyphs, hinted=self.hinted), *voted]
        if len(rows) <= self.text.window:
            return rows
        return [*shown(self.picture, width, self.glyphs, air=False, hinted=self.hinted), *voted]

    def _below(self) -> bool:
        """Whether there is text below the visible part."""
        return self.text.top + self.text.window < len(self._text(self.text.outer_size.width))

    def _machine(self, width: int) -> list[Row]:
        """The picture where there is room for it, else the pane in which something changed."""
        picture = self.picture
        subject = follow(picture.changes)
        changed = marks(picture.changes)
        broken = severities(picture.broken)
        scene = ShownState(picture.state, picture.changes, changed, broken, subject, self.glyphs)
        title, build = PANES.get(subject.partition(":")[0], ("Address spaces", spaces))
        if width >= LEAST:
            self.drawing.take(scene)
            title, build = "Picture", lambda _, columns: self.drawing.picture(columns)
        if self.machine.heading != tr(title):
            self.machine.heading = tr(title)
            self.machine.refresh()
        return build(scene, width)

    def _keys(self, width: int) -> Row:
        onward = "more text" if self._below() else "on"
        hints = [("space", onward, "screen.on"), ("PgUp", "back", "screen.back")]
        if self.picture.tale.ask is not None:
            hints.insert(0, ("V", "ballot", "screen.vote"))
        if self.picture.tale.goal:
            hints.insert(0, (":", "command", "screen.command"))
        hints += [("A", "autoplay", "app.autoplay"), (".", "blank", "screen.blank"), ("?", "help", "app.help")]
        return keys([*hints, ("q", "leave", "screen.leave")], width)

    def move(self, make: Callable[[], str], *, hinted: bool = False) -> None:
        """Make a move, show it, and tell the notes."""
        self.word = make()
        self.hinted = hinted
        self.picture = self.driver.picture()
        self.text.to_top()
        for pane in (self.head, self.text, self.machine, self.bars):
            pane.renew()
        self._tell()

    def turn(self) -> bool:
        """Show the text that is still out of sight; False if there is none."""
        if not self._below():
            return False
        self.text.action_page(1)
        self.bars.renew()
        return True

    def action_on(self) -> None:
        """Forward; a question that the room has voted on is answered with what most of them said."""
        if self.turn():
            return
        prediction = self.driver.player.prediction
        if self.picture.tale.ask is None or prediction is None:
            self.move(lambda: self.driver.step("forward"))
            return
        votes = self.ballots.get(prediction.id)
        if votes is None:
            self.say(tr("The room first: V takes a ballot's counts; a letter or number answers."))
            return
        last = votes.counts[-1]
        self.move(lambda: self.driver.player.answer(self._most(votes.answers[last.index(max(last))])))

    def _most(self, answer: str) -> str:
        """The room's answer as one types it."""
        options = self.driver.player.view().choices
        return str(options.index(answer) + 1) if answer in options and len(options) > 2 else answer

    def action_back(self) -> None:
        """To the beginning of the text, then back."""
        if self.text.top:
            self.text.to_top()
            self.bars.renew()
            return
        self.move(self.driver.back)

    def action_choose(self, letter: str) -> None:
        """Answer for the room; where there is nothing to answer with it, b is what many clickers send to blank."""
        ask = self.picture.tale.ask
        if ask is not None and letter in {option.key for option in ask.options}:
            self.move(lambda: self.driver.answer(letter))
        elif letter == "b":
            self.action_blank()

    def action_number(self, digit: str) -> None:
        """Answer for the room, with a number that begins like this."""
        ask = self.picture.tale.ask
        if ask is None or ask.options:
            return
        from tui.screens.prompt import Prompt

        def typed(line: str | None) -> None:
            if line:
                self.move(lambda: self.driver.answer(line))

        self.app.push_screen(Prompt(tr("the room's answer"), begin=digit), typed)

    def action_hint(self) -> None:
        """Show one more hint to everybody."""
        self.move(self.driver.hint, hinted=True)
        self.text.scroll_rows(len(self.text.rows))
        self.bars.renew()

    def action_blank(self) -> None:
        """Nothing to look at: they shall talk."""
        self.toggle_class("-blank")

    def action_vote(self) -> None:
        """The counts of a ballot; the second stands beside the first."""
        prediction = self.driver.player.prediction
        if self.picture.tale.ask is None or prediction is None:
            self.say(tr("There is nothing to vote on here."))
            return
        from tui.screens.prompt import Prompt

        def typed(line: str | None) -> None:
            if not line:
                return
            try:
                votes = presenting.ballot_of(self.driver.player, line)
            except ValueError as error:
                self.say(str(error))
                return
            self.ballots[prediction.id] = presenting.joined(self.ballots.get(prediction.id), votes)
            self.move(str)
            self.text.scroll_rows(len(self.text.rows))
            self.bars.renew()

        options = self.picture.tale.ask.options
        wants = tr("counts, one for each answer") if options else tr("answers with their counts: e.g. 0:12 1:5 1024:3")
        self.app.push_screen(Prompt(wants), typed)

    def action_command(self) -> None:
        """Type a command at a goal."""
        from tui.screens.prompt import Prompt

        def typed(line: str | None) -> None:
            if line:
                self.move(lambda: self.driver.command(line))

        self.app.push_screen(Prompt(tr("command"), assist=self.driver.assist), typed)

    def action_leave(self) -> None:
        """Back to the stage, at this very place."""
        self.dismiss()
