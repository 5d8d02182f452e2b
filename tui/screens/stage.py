"""The stage of lessons, sandbox and exercises: what each key and each click does there."""

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

from textual.binding import BindingType
from textual.message import Message
from textual.timer import Timer

from lessons.file.problems import LessonError
from lessons.i18n.language import tr
from tui.drivers.driver import Driver
from tui.screens.panes import PICTURED
from tui.screens.picture_panes import LEAST
from tui.screens.stage_keys import (
    HOMES,
    JUMPS,
    KEEP_AFTER,
    KEYS,
)
from tui.screens.stage_panes import StagePanes
from tui.session.prompt_history import PromptHistory
from tui.views.glyphs import Glyphs
from tui.widgets.line_pane import LinePane
from tui.widgets.picture_pane import PicturePane

if TYPE_CHECKING:
    from lessons.play.step_size import StepSize
    from model.script.complete import Completion


class Stage(StagePanes):
    """Turns keys and clicks into moves of the driver."""

    BINDINGS: ClassVar[list[BindingType]] = KEYS

    class Left(Message):
        """The learner goes back to where they came from."""

    def __init__(self, driver: Driver, glyphs: Glyphs) -> None:
        super().__init__(driver, glyphs)
        self.prompt_history = PromptHistory()
        """Lines typed at the prompt, for its history."""
        self._keeping: Timer | None = None
        self._complaint = ""

    # -- what is kept, what is shown ----------------------------------------------------------------

    def _keep(self) -> None:
        """Let the driver keep what must not be lost; say so once where it cannot."""
        if self._keeping is not None:
            self._keeping.stop()  # What is kept now must not be kept once more after the learner has had it forgotten.
        self._keeping = None
        word = self.driver.keep()
        if word and word != self._complaint:
            self._complaint = word
            self.notify(word, severity="warning", markup=False)

    def keep_now(self) -> str:
        """Keep what was done since it was kept last, because the app ends; says why where that is not possible."""
        return self.driver.keep() if self._keeping is not None else ""

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

    # -- the cursor ---------------------------------------------------------------------------------

    def on_line_pane_pointed(self, message: LinePane.Pointed) -> None:
        """Something was pointed at: an action, a place in the history, an answer, or a thing of the machine."""
        message.stop()
        kind, _, rest = message.subject.partition(":")
        if kind == "action":
            if message.clicked:  # Who goes there with the cursor still has to press Enter.
                self.call_later(self.run_action, rest)
        elif kind in JUMPS:
            if message.clicked:
                self._jump(kind, rest)
        else:
            self.point(message.subject, message.pane)

    def on_picture_pane_hovered(self, message: PicturePane.Hovered) -> None:
        """Light up what the mouse is over; when it is over nothing, what the cursor stands on."""
        message.stop()
        self.light(message.subject or self.focus_subject)

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

    def action_follow(self) -> None:
        """Point at nothing: the walk follows what changes."""
        self.focus_subject = ""
        for pane in self.panes.values():
            pane.forget_cursor()
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
        elif kind == "action" and rest != "act":
            self.call_later(self.run_action, rest)
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

    def action_next_exercise(self) -> None:
        """Where a question is answered and looked at: the next one."""
        self.move(lambda: self.driver.answer(""))

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

    @property
    def takes_typing(self) -> bool:
        """Whether letters may be the beginning of a command: not where they choose an answer."""
        return self.picture.tale.ask is None

    def begin_command(self, begin: str, place: int) -> None:
        """The prompt, with some letters typed already; `place`: where in the history they found the stage."""
        if self.driver.past().here.number != place:
            self.move(lambda: self.driver.revisit(place))
        self.ask_line(begin)

    def ask_line(self, begin: str) -> None:
        """Open the prompt for a command with something typed already."""
        self._ask(tr("command"), self.driver.command, self.driver.assist, begin)

    def action_prompt(self) -> None:
        """Type a command of the script language."""
        self.ask_line("")

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

    def action_show(self, number: str) -> None:
        """Give a pane the cursor; where only one has room, show it."""
        if self.pictured and number not in {key for key, *_ in PICTURED}:
            self.action_lists()
        name = next((name for key, _, name in self._panes() if key == number), "story")
        self._bring_up(name)
        self.panes[name].focus()
        self.show_picture()

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
        self._choose_view()
        number = next((key for key, _, pane in self._panes() if pane == name and pane != "story"), None)
        if number is not None:
            self.action_show(number)
        else:
            self.show_picture()

    def action_leave(self) -> None:
        """Back to where we came from."""
        self._keep()
        self.post_message(self.Left())
