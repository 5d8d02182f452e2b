"""The presenter: a lesson for a room, one thing at a time, moved on with a clicker; ballots instead of one guess."""

from collections.abc import Callable
from contextlib import ExitStack
from typing import ClassVar, Final

import msgspec
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container

from lessons.i18n.language import tr
from lessons.teach import presenter_state as presenting
from lessons.teach.room import RoomState, as_typed, ballot_key, published_room
from tui.drivers.lecture import LectureDriver
from tui.screens.leave_lecture import KEEP, OVER, LeaveLecture
from tui.screens.leaves_once import LeavesOnce
from tui.screens.picture_panes import LEAST
from tui.screens.presenter_machine import MACHINE, PICTURE, PresenterMachine
from tui.views.bars import header, keys
from tui.views.glyphs import Glyphs
from tui.views.markdown import wrap
from tui.views.presenter import WIDEST, as_markdown, ballots, shown
from tui.views.row import Row, Span, cut, row
from tui.views.verdict import is_muted, verdict
from tui.views.view_model import Picture
from tui.widgets.bar import Bar
from tui.widgets.line_pane import LinePane
from tui.widgets.picture_pane import PicturePane

BESIDE: Final = 48
"""Columns of text that are enough to have the picture beside it, not below."""
TEXT_LEAST: Final = 8
MACHINE_LEAST: Final = 5
"""Lines of either, where one stands above the other."""
EVERY: Final = 1.0
"""Seconds between two writings of the lecture: what a crash costs at most."""


class Presenter(LeavesOnce[None]):
    """The text, the machine beside or below it, and as few keys as a clicker has."""

    DEFAULT_CSS = """
    Presenter #body { height: 1fr; }
    Presenter #text { height: 1fr; }
    Presenter.-beside #body { layout: horizontal; }
    Presenter.-beside #machine { height: 1fr; width: 1fr; }
    Presenter #bars { height: 3; }
    Presenter.-blank #text, Presenter.-blank #machine { visibility: hidden; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("space,pagedown,right,n,enter", "on", "On", id="presenter.on"),
        Binding("pageup,left,p", "back", "Back", id="presenter.back"),
        Binding("V", "vote", "Ballot: type the counts", id="presenter.vote"),
        Binding("s", "show", "Show it without asking", id="presenter.show"),
        Binding("U", "take_back", "Take the answer back: it is asked again", id="presenter.take-back"),
        Binding("h", "hint", "Hint", id="presenter.hint"),
        Binding("W", "why", "Why is it so?", id="presenter.why"),
        Binding("b,full_stop", "blank", "Blank the screen, or show it again", id="presenter.blank"),
        Binding("v", "pane", "The next pane of the machine", id="presenter.pane"),
        Binding("up,k", "scroll(-1)", "The machine a line up", show=False, id="presenter.up"),
        Binding("down,j", "scroll(1)", "The machine a line down", show=False, id="presenter.down"),
        Binding("L", "app.large_type", "Large type, or how to enlarge the font", id="presenter.large"),
        Binding("A", "app.autoplay", "Autoplay, or stop it", id="presenter.autoplay"),
        Binding("colon", "command", "Type a command", id="presenter.command"),
        Binding("G", "part", "Go to a section, by its number", id="presenter.part"),
        Binding("R", "afresh", "Start the lecture over", id="presenter.afresh"),
        Binding("P,q,escape", "leave", "Leave the presentation", id="presenter.leave"),
        *(Binding(f"f{key}", f"pane('{name}')", title, show=False) for key, title, name in MACHINE),
        *(Binding(digit, f"number('{digit}')", f"Answer with {digit}...", show=False) for digit in "0123456789"),
    ]

    def __init__(self, driver: LectureDriver, glyphs: Glyphs, held: ExitStack) -> None:
        """`held`: what keeps other programs from presenting; closed when this screen goes."""
        super().__init__()
        self.driver = driver
        self.glyphs = glyphs
        self.picture = driver.picture()
        self.machine_view = PresenterMachine(driver, glyphs)
        self._held = held
        self.word = ""
        self.hinted = False
        """The room has just been given a hint."""
        self.room: RoomState | None = None
        """The students with browsers, if a room is served."""
        self.where: presenting.Presented | None = None
        """What was told last."""
        self._there: tuple[int, int] | None = None
        """Students here, and votes on the question, as the header shows them; None: no room is served."""
        self._drawn: tuple[object, str, tuple[tuple[tuple[str, str], ...], ...]] = (None, "", ())
        """The picture for which text and drawing were made, and these."""
        self._needs = ("", 0)
        """The part of the lesson, and the most lines that the machine has needed in it: its edge seldom moves."""

    def compose(self) -> ComposeResult:
        """Title, text, machine, verdict and keys."""
        self.head = Bar(pane_id="head")
        self.text = LinePane("", "text", "", self.glyphs)
        self.machine = PicturePane(tr(self.machine_view.title), "machine", "", self.glyphs)
        self.bars = Bar(pane_id="bars")
        self.head.build = lambda width: [header(self._counted(), width)]
        self.text.build = self._text
        self.machine.build = lambda width: self.machine_view.rows(self.picture, width)
        self.bars.build = lambda width: [*self._said(width), self._keys(width)]
        for pane in (self.text, self.machine):
            pane.can_focus = False
        self._arrange()
        yield self.head
        with Container(id="body"):
            yield self.text
            yield self.machine
        yield self.bars

    def on_mount(self) -> None:
        """Tell the notes where we stand, and say that a lecture goes on."""
        if self.driver.goes_on:
            self.say(tr("This lecture goes on where it was left; R starts it over."))
        elif self.driver.lectures.report:
            self.say(self.driver.lectures.report)
        else:
            self.say(tr("For a room: L draws everything twice as large, or says how to enlarge the font."))
        self._keep()
        self.set_interval(EVERY, self._keep)

    def on_unmount(self) -> None:
        """Tell the teacher's notes that the presentation is over."""
        presenting.unpublish()
        self._held.close()

    def on_resize(self) -> None:
        """Another width: beside each other, or one below the other."""
        self._arrange()

    def _keep(self) -> None:
        """The lecture on disk, and the notes, as they are now."""
        if self._left:
            return
        if word := self.driver.keep():
            self.say(word)
        where = self.driver.presented()
        room = published_room()
        if room is not None:
            where = self._with_sight(where)
        presenting.publish(where)
        votes = len(room.votes) if room is not None and room.ballot == ballot_key(where) else 0
        there = (room.here, votes) if room is not None else None
        self.room, self.where = room, where
        if there != self._there:
            self._there = there
            self.head.renew()

    def _with_sight(self, where: presenting.Presented) -> presenting.Presented:
        """Where the lecture stands, with what the room's browsers show; made anew only where that has changed."""
        picture = self.picture
        if self._drawn[0] is not picture:
            drawn = self.machine_view.drawing.picture(LEAST)
            while drawn and not drawn[-1].text.strip():
                drawn.pop()
            rows = tuple(tuple((span.text, span.role) for span in row.spans) for row in drawn)
            self._drawn = (picture, as_markdown(picture, hinted=self.hinted), rows)
        return msgspec.structs.replace(where, shown=self._drawn[1], picture=self._drawn[2])

    def _counted(self) -> Picture:
        """The picture, with how many are here and have voted."""
        if self._there is None:
            return self.picture
        here, votes = self._there
        said = tr("{here} here, {votes} voted").format(here=here, votes=votes)
        return self.picture._replace(position=f"{said}  {self.picture.position}")

    # -- showing ------------------------------------------------------------------------------------

    @property
    def beside(self) -> bool:
        """Whether text and machine stand beside each other."""
        return self.app.size.width >= BESIDE + LEAST

    def _arrange(self) -> None:
        """Divide the screen: the text has what it needs, the machine what it needs, where both can be had."""
        self.set_class(self.beside, "-beside")
        width, height = self.app.size
        if self.beside:
            self.text.styles.width = min(max(BESIDE, width - LEAST - 1), WIDEST + 4)
            self.machine.styles.clear_rule("height")
            return
        self.text.styles.clear_rule("width")
        rows = len(self.machine_view.rows(self.picture, width)) + 1
        part, most = self._needs
        self._needs = self.picture.position, max(rows, most if part == self.picture.position else 0)
        body = height - 4
        self.machine.styles.height = max(MACHINE_LEAST, min(self._needs[1], body - TEXT_LEAST, body * 3 // 5))

    def _said(self, width: int) -> list[Row]:
        """Why the last key could not be obeyed, or how the rules stand."""
        if not self.word:
            return verdict(self.picture, width, self.glyphs)
        first, *rest = [line.text for line in wrap([Span(self.word)], width - 4)]
        second = cut(" ".join(rest), width - 4)
        return [row(Span(f" {self.glyphs.pointer} {first}", "hazard")), row(Span(f"   {second}", "hazard"))]

    def say(self, word: str) -> None:
        """A word to the teacher."""
        self.word = word
        self.bars.renew()

    def _text(self, width: int) -> list[Row]:
        """Double spaced where that fits."""
        prediction = self.driver.player.prediction
        votes = self.driver.ballots.get(prediction.id) if prediction is not None else None
        below = ballots(votes, min(width - 4, WIDEST), self.glyphs) if votes is not None else []
        rows = shown(self.picture, width, self.glyphs, hinted=self.hinted, below=below)
        if len(rows) <= self.text.window:
            return rows
        return shown(self.picture, width, self.glyphs, air=False, hinted=self.hinted, below=below)

    def _below(self) -> bool:
        """Whether there is text below the visible part."""
        return self.text.top + self.text.window < len(self._text(self.text.outer_size.width))

    def _keys(self, width: int) -> Row:
        onward = "more text" if self._below() else "on"
        hints = [("space", onward, "screen.on"), ("PgUp", "back", "screen.back")]
        prediction = self.driver.player.prediction
        if self.picture.tale.ask is not None:
            hints = [("V", "ballot", "screen.vote"), *hints, ("s", "show it", "screen.show")]
        elif prediction is not None:
            hints.append(("U", "ask again", "screen.take_back"))
        if self.picture.tale.goal:
            hints.insert(0, (":", "command", "screen.command"))
        if self.picture.broken and not is_muted(self.picture):
            hints.append(("W", "why", "screen.why"))
        hints += [("v", "other pane", "screen.pane"), ("b", "blank", "screen.blank"), ("?", "help", "app.help")]
        return keys([*hints, ("A", "autoplay", "app.autoplay"), ("q", "leave", "screen.leave")], width)

    def on_line_pane_pointed(self, message: LinePane.Pointed) -> None:
        """A click on the key line does what the key does."""
        message.stop()
        kind, _, rest = message.subject.partition(":")
        if kind == "action":
            self.call_later(self.run_action, rest)

    def move(self, make: Callable[[], str], *, hinted: bool = False) -> None:
        """Make a move, show it, and tell the notes."""
        self.word = make()
        self.hinted = hinted
        self.picture = self.driver.picture()
        self.text.to_top()
        self._arrange()
        for pane in (self.head, self.text, self.machine, self.bars):
            pane.renew()
        if self.machine_view.shown == PICTURE:
            self.machine.reveal(self.machine_view.touched)
        self._keep()

    def turn(self) -> bool:
        """Show the text that is still out of sight; False if there is none."""
        if not self._below():
            return False
        self.text.action_page(1)
        self.bars.renew()
        return True

    def _to_the_end(self) -> None:
        """Bring the end of the text into sight: a ballot, a hint."""
        self.text.scroll_rows(len(self.text.rows))
        self.bars.renew()

    # -- moves --------------------------------------------------------------------------------------

    def action_on(self) -> None:
        """Forward; a question that the room has voted on is answered with what most of them said."""
        if self.turn():
            return
        prediction = self.driver.player.prediction
        if self.picture.tale.ask is None or prediction is None:
            self.move(lambda: self.driver.step("forward"))
            return
        votes = self.driver.ballots.get(prediction.id)
        if votes is None:
            self.say(tr("The room first: V takes a ballot's counts, a number answers, s shows it without asking."))
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

    def action_number(self, digit: str) -> None:
        """Answer for the room, with an option's number or a number that begins like this; elsewhere show a pane."""
        ask = self.picture.tale.ask
        if ask is None:
            self.action_pane(next((name for key, _, name in MACHINE if key == digit), ""))
            return
        if ask.options:
            if digit in {option.key for option in ask.options}:
                self.move(lambda: self.driver.answer(digit))
            return
        from tui.screens.prompt import Prompt

        def typed(line: str | None) -> None:
            if line:
                self.move(lambda: self.driver.answer(line))

        self.app.push_screen(Prompt(tr("the room's answer"), begin=digit), typed)

    def action_show(self) -> None:
        """No time, or nobody knows: what happens is the answer."""
        self.move(self.driver.player.show)

    def action_take_back(self) -> None:
        """The answer to the question on the screen is forgotten, and its ballots with it."""
        self.move(self._taken_back)

    def _taken_back(self) -> str:
        forgotten = self.driver.forget_ballot()
        word = self.driver.player.take_back()
        return "" if forgotten else word

    def action_pane(self, name: str = "") -> None:
        """Another pane of the machine."""
        self.machine_view.turn(name)
        self.machine.heading = tr(self.machine_view.title)
        self._needs = ("", 0)
        self._arrange()
        self.machine.to_top()
        self.machine.renew()
        self.machine.refresh()

    def action_scroll(self, rows: int) -> None:
        """What of the machine is out of sight."""
        self.machine.scroll_rows(rows)

    def action_hint(self) -> None:
        """Show one more hint to everybody."""
        self.move(self.driver.hint, hinted=True)
        self._to_the_end()

    def action_why(self) -> None:
        """The steps behind what is broken, for everybody; Enter goes to one of them."""
        if is_muted(self.picture):
            self.say(tr("rules: after your answer"))
            return
        from tui.screens.why import Why

        def go(node: int | None) -> None:
            if node is not None:
                self.move(lambda: self.driver.revisit(node))

        self.app.push_screen(Why(self.driver.past(), "", self.glyphs), go)

    def action_blank(self) -> None:
        """Nothing to look at: they shall talk. `b` and `.` are what clickers send for that."""
        self.toggle_class("-blank")

    def action_vote(self) -> None:
        """The counts of a ballot; the second stands beside the first."""
        if self.picture.tale.ask is None:
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
            self.driver.voted(votes)
            self.move(str)
            self._to_the_end()

        options = self.picture.tale.ask.options
        wants = tr("counts, one for each answer") if options else tr("answers with their counts: e.g. 0:12 1:5 1024:3")
        voted = as_typed(self.room, self.where) if self.room is not None and self.where is not None else ""
        self.app.push_screen(Prompt(wants, begin=voted), typed)

    def action_part(self) -> None:
        """To another part of the lesson."""
        from tui.screens.prompt import Prompt

        def typed(line: str | None) -> None:
            if line:
                self.move(lambda: self.driver.to_part(line.strip()))

        self.app.push_screen(Prompt(tr("section")), typed)

    def action_command(self) -> None:
        """Type a command at a goal."""
        from tui.screens.prompt import Prompt

        def typed(line: str | None) -> None:
            if line:
                self.move(lambda: self.driver.command(line))

        self.app.push_screen(Prompt(tr("command"), assist=self.driver.assist), typed)

    def action_afresh(self) -> None:
        """Begin again, after a question."""
        from tui.screens.confirm import YES, Confirm

        def answered(choice: str | None) -> None:
            if choice == YES:
                self.driver.afresh()
                self.machine_view = PresenterMachine(self.driver, self.glyphs)
                self.move(str)

        text = tr("The lecture so far is put away with its ballots; your own progress is not touched.")
        self.app.push_screen(Confirm(tr("Start over?"), text, tr("start over"), self.glyphs), answered)

    def action_leave(self) -> None:
        """Ask: over, or kept for later; then back to the stage as it was."""

        def answered(choice: str | None) -> None:
            if choice == KEEP:
                self.driver.keep()
            elif choice == OVER:
                self.driver.finish()
            else:
                return
            self.dismiss()

        self.app.push_screen(LeaveLecture(self.glyphs), answered)
