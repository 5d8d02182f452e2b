"""A lesson as text in, text out: for screen readers, pipes and tests. No cursor movement, nothing by colour alone.

An empty line goes forward; a word is a key of the app (`b` back, `h` hint, `s` what the machine looks like …);
anything else answers the question or, at a goal, is a command.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Final, TextIO

from rich.console import Console
from rich.text import Text

from lessons.file.schema import Do
from lessons.i18n.language import localized, tr
from lessons.learner.progress import ProgressError, Store
from lessons.play.playback import PlayedStep
from lessons.play.player import Player
from lessons.play.step_size import StepSize
from lessons.play.view import LessonView, RevealedPrediction
from model.engine.splat import kernel_log
from model.memory.events import Printk, Refusal, Splat
from model.session.state_code import CodeError, encode
from tui.plain.panes import legend, machine
from tui.plain.typed_lines import typed_line
from tui.session.why_query import AskError, answer, offered
from tui.views.change_text import HIDDEN, change_rows
from tui.views.glyphs import Glyphs, words
from tui.views.markdown import markdown
from tui.views.plain_text import SEVERITY_STYLES, SIGN_STYLES, sign_of
from tui.views.row import Row

WIDEST: Final = 100
QUOTATION: Final = re.compile(r"(?m)(?:^>.*\n)+")
"""Lines of Markdown that quote somebody."""
"""Columns of prose at most: longer lines are hard to read."""

KEYS: Final = (
    ("Enter, n", "forward: the next step of a command, or the next piece of the lesson"),
    ("b, p", "back"),
    ("h", "one more hint"),
    ("s", "show the machine: address spaces, memory, holders, page table"),
    ("why, why X", "the steps behind what is broken, or behind X: `p0 buf`, a reference, buffer, file, frame (`f5`)"),
    ("code", "the state code of this step: `ptescope sandbox --code CODE` opens it"),
    ("i o u c", "step into, over, out, to the command's end"),
    ("q", "quit; the place is kept"),
    ("?", "this help"),
    ("else", "the answer to the question, or at a goal a command (`:` before it if it is also a key)"),
)
STEP_SIZES: Final[dict[str, StepSize]] = {
    "": "forward",
    "n": "forward",
    "i": "into",
    "o": "over",
    "u": "out",
    "c": "command",
}


class PlainLesson:
    """One lesson on a console."""

    def __init__(self, player: Player, store: Store, lines: TextIO, output: Console) -> None:
        self.player = player
        self.store = store
        self.lines = lines
        self.output = output
        self.signs: Glyphs = words()
        self.source = ""
        """Where the micro-step that was told last stands in the kernel; said once for a row of steps."""
        self.told: set[str] = set()
        """Complaints about keeping progress that have been made already."""
        self.deeds: dict[str, Callable[[], str]] = {
            **{key: lambda size=size: player.forward(size) for key, size in STEP_SIZES.items()},  # type: ignore[misc]
            "b": player.back,
            "p": player.back,
            "h": player.hint,
        }

    @property
    def width(self) -> int:
        """The columns that prose may take."""
        return min(self.output.width, WIDEST)

    def run(self) -> None:
        """Until the lesson or the input ends, or `q`. Raises LessonError if the lesson itself is broken."""
        header = self.player.lesson.header
        about = tr("{title}: {parts} parts, about {minutes} minutes.")
        self.say(about.format(title=header.title, parts=len(self.player.lesson.items), minutes=header.minutes))
        self.say(tr("Enter goes forward, b back, h gives a hint, s shows the machine, q quits, ? is help."))
        self.show(entered=True)
        while (line := self.ask()) is not None:
            if line == "q":
                break
            if line == "?":
                self.help()
            elif line == "s":
                self.machine()
            elif line == "code":
                self.code()
            elif line.partition(" ")[0] == "why":
                self.why(line.partition(" ")[2].strip())
            else:
                self.move(line)
            if self.player.finished and not self.player.view().may - {"back"}:
                break
        self.keep()

    def ask(self) -> str | None:
        """One line of input without surrounding blanks; None at its end."""
        view = self.player.view()
        what = "answer" if "answer" in view.may and not view.guess else "command" if view.goal else "Enter"
        try:
            line = typed_line(f"[{view.number}/{view.total}] {tr(what)}> ", self.lines, self.output)
        except KeyboardInterrupt:
            self.say("")
            line = ""
        return line.strip() if line else None

    def move(self, line: str) -> None:
        """One move; then what there is to see, and the progress is kept."""
        node, item = self.player.here, self.player.place.item
        judged = len(self.player.judged)
        word = self.deed(line)()
        if word:
            self.say(word)
            return
        if self.player.here != node:
            self.show(entered=self.player.place.item != item)
        elif line == "h":
            self.hint()
        else:
            self.answered(revealed=len(self.player.judged) > judged)
        self.keep()

    def deed(self, line: str) -> Callable[[], str]:
        """What a line means here."""
        view = self.player.view()
        if line in self.deeds and not (line and view.choices and line in view.choices):
            return self.deeds[line]
        text = line.removeprefix(":").strip()
        if view.goal:
            return lambda: self.player.command(text)
        if "answer" in view.may:
            return lambda: self.player.answer(text)
        return lambda: tr("`{line}` does nothing here; ? is help.").format(line=line)

    def keep(self) -> None:
        """Write the progress; say once if that is impossible."""
        try:
            self.store.save(self.player.lesson.id, self.player.progress())
        except ProgressError as error:
            if str(error) not in self.told:
                self.say(str(error))
                self.told.add(str(error))
        if self.store.report and self.store.report not in self.told:
            self.say(self.store.report)
            self.told.add(self.store.report)

    # -- showing -----------------------------------------------------------------------------------

    def show(self, *, entered: bool) -> None:
        """What there is to see after a move."""
        view = self.player.view()
        coarse = not isinstance(view.item.action, Do) or view.item.action.by in {"remark", "command"}
        for number, played_step in enumerate(view.played_steps, 1):
            self.played_step(played_step, brief=coarse and number < len(view.played_steps) and not played_step.remark)
        if entered:
            self.item(view)
        for judged in view.judged:
            self.verdict(judged)
        if view.played_steps and view.goal:
            self.goal(view)

    def item(self, view: LessonView) -> None:
        """A new part: its text, and what is to be done."""
        self.output.print()
        if view.item.world:
            self.say(f"{tr('A new scene')}: {view.item.world.replace('-', ' ')}.")
        self.prose(view.text)
        for note in view.notes:
            self.prose(f"{tr('Aside')}: {note}")
        if view.ask:
            self.prose(f"**{tr('Predict')}:** {view.ask}")
            for number, choice in enumerate(view.choices, 1):
                self.line(2, Text(f"{number}. {choice}"))
        if view.goal:
            self.goal(view)
        for command in _first_of_each(view):
            self.say(f"{tr('Going forward plays')}: {command}")
        if view.item.last:
            self.ending()

    def goal(self, view: LessonView) -> None:
        """Each condition with its sign."""
        self.say(f"{tr('Goal')}:")
        for met, text in view.goal:
            self.line(2, Text(f"{tr('done') if met else tr('open')}: {text}"))
        if all(met for met, _ in view.goal):
            self.say(tr("The goal is reached: go forward."))

    def played_step(self, played_step: PlayedStep, *, brief: bool) -> None:
        """One micro-step: its name and meaning, what changed, what broke, how the command ended.

        Briefly: only if something changed, and then without the meaning.
        """
        depth = 0
        if played_step.first:
            self.line(0, Text(f"{self.signs.command} {played_step.command}", "bold"))
            self.source = ""
        changed = played_step.stepped is not None and any(change.table not in HIDDEN for change in played_step.changes)
        if played_step.stepped is not None and (changed or not brief):
            depth = min(2 + 2 * played_step.stepped.depth, 12)
            source = f"  ({played_step.stepped.source})" if played_step.stepped.source not in {"", self.source} else ""
            self.source = played_step.stepped.source
            self.line(depth, Text(played_step.name, "cyan").append(source, "dim"))
            if not brief:
                self.rows(markdown(tr(played_step.stepped.doc), self.width - depth - 2), depth + 2)
            if played_step.remark:
                self.rows(markdown(f"{tr('Remark')}: {played_step.remark}", self.width - depth - 2), depth + 2)
            shown = (change for change in played_step.changes if change.table not in HIDDEN)
            for _, (sign, subject, words) in change_rows(
                played_step.standing.context.state, shown, self.signs.arrow.strip()
            ):
                text = Text(f"{sign_of(self.signs, sign)} ", SIGN_STYLES[sign]).append(
                    f"{subject}: {words}" if words else subject, "none"
                )
                self.line(depth + 2, text)
            self.events(played_step, depth + 2)
        for violation in played_step.fresh:
            head = f"{self.signs.alarm} {violation.severity} {violation.invariant}: "
            said = Text(head, SEVERITY_STYLES[violation.severity]).append(localized(violation.message), "none")
            self.line(depth + 2, said)
        if played_step.fresh:
            self.line(depth + 4, Text(offered(), "dim"))
        if played_step.outcome is not None:
            self.line(2, Text(f"{tr('The command ends')}: {played_step.outcome.in_words()}", "bold"))

    def events(self, played_step: PlayedStep, indent: int) -> None:
        """What the kernel printed, and why it refused."""
        for event in played_step.stepped.events if played_step.stepped else ():
            if isinstance(event, Splat):
                for text in kernel_log(event):
                    self.line(indent, Text(f"{self.signs.bar} {text}", "red"))
            elif isinstance(event, Printk):
                self.line(indent, Text(f"{self.signs.bar} {event.text}"))
            elif isinstance(event, Refusal):
                self.line(indent, Text(f"{tr('why')}: {tr(event.reason)}"))

    def answered(self, *, revealed: bool) -> None:
        """An answer was taken; it is judged at once or later."""
        view = self.player.view()
        if not revealed:
            self.say(tr("Your guess: {guess}. Go forward and see.").format(guess=view.guess))
            return
        for judged in view.judged:
            self.verdict(judged)

    def verdict(self, judged: RevealedPrediction) -> None:
        """The guess beside the truth."""
        verdict = judged.verdict
        if verdict.right:
            self.line(0, Text(f"{tr('Right')}: {verdict.truth}.", "bold green"))
        else:
            said = tr("You said {guess}; it is {truth}.").format(guess=verdict.guess, truth=verdict.truth)
            self.line(0, Text(f"{tr('No')}. {said}", "bold yellow"))
        self.prose(verdict.reply)

    def hint(self) -> None:
        """Print the hint that was just taken."""
        kind = self.player.hints_taken[-1]
        self.prose(f"{tr('Hint')}, {tr(kind.kind)}: {kind.text}")

    def machine(self) -> None:
        """All panes, one below the other."""
        view = self.player.view()
        changes = tuple(change for played_step in view.played_steps for change in played_step.changes)
        for title, rows in machine(view.standing.context.state, changes, self.width):
            self.line(0, Text(f"{title}:", "bold"))
            for text in rows:
                self.output.print(Text(text), soft_wrap=True)

    def why(self, words: str) -> None:
        """The steps behind what is broken, or behind a thing; nothing that would answer an open question."""
        view = self.player.view()
        if not words and view.ask and not view.guess:
            self.say(tr("rules: after your answer"))
            return
        try:
            told = answer(self.player.timeline, words)
        except AskError as error:
            told = str(error)
        for line in told.split("\n"):
            self.line(len(line) - len(line.lstrip()), Text(line.lstrip()))

    def code(self) -> None:
        """The code of this step on a line of its own, to copy; or why there is none."""
        try:
            timeline = self.player.timeline
            self.output.print(Text(encode(timeline, timeline.here)), soft_wrap=True)
        except CodeError as error:
            self.say(str(error))

    def ending(self) -> None:
        """The rule, what to read, and how it went."""
        summary = self.player.summary()
        self.prose(f"**{tr('The rule:')}** {summary.rule}")
        self.say(tr("Read in the kernel:"))
        for place in summary.read:
            self.line(2, Text(place))
        score = tr("Predictions right: {right} of {all}. Hints taken: {hints}.")
        self.say(score.format(right=summary.right, all=summary.predictions, hints=summary.hints))

    def help(self) -> None:
        """Print the keys."""
        for keys, meaning in KEYS:
            self.line(0, Text(f"{keys:9} {tr(meaning)}"))
        for sign, meaning in legend():
            self.line(0, Text(f"{sign:11} {meaning}"))

    # -- printing ------------------------------------------------------------------------------------

    def prose(self, text: str) -> None:
        """Markdown, wrapped, and a blank line after it."""
        if text:
            self.rows(markdown(quoted(text), self.width))
            self.output.print()

    def say(self, text: str) -> None:
        """Print a line that is no account of the machine."""
        self.line(0, Text(text))

    def rows(self, rows: Iterable[Row], indent: int = 0) -> None:
        """Rows of a pane as plain text."""
        for row in rows:
            self.output.print(Text((" " * indent + row.text).rstrip()), soft_wrap=True)

    def line(self, indent: int, text: Text) -> None:
        """One piece of text, wrapped with its indent kept."""
        for part in text.wrap(self.output, max(20, self.width - indent)) or [Text()]:
            part.rstrip()
            self.output.print(Text(" " * indent).append_text(part), soft_wrap=True)


def quoted(text: str) -> str:
    r"""Markdown in which what somebody said stands between quotation marks: `>` is the prompt, and nothing else.

    >>> quoted("The belief:\n\n> I hold a page,\n> so all is well.")
    'The belief:\n\n"I hold a page, so all is well."'
    """
    return QUOTATION.sub(lambda found: f'"{" ".join(found[0].replace(">", " ").split())}"\n', f"{text}\n").rstrip("\n")


def _first_of_each(view: LessonView) -> Iterator[str]:
    """The commands that the part is going to play."""
    action = view.item.action
    if view.upcoming and action is not None:
        yield from (command.text for command in getattr(action, "commands", ()))
