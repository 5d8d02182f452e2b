"""Exercises as text in and text out."""

from collections.abc import Iterator
from typing import TextIO

from rich.console import Console
from rich.text import Text

from lessons.drills.book import chosen, exercise
from lessons.drills.exercise import Exercise, machine, perform
from lessons.drills.hints import hints
from lessons.drills.score import summary
from lessons.i18n.language import tr
from lessons.learner.progress import ProgressError, Store
from model.memory.state import State
from model.text.words import whole_number
from tui.plain.panes import legend, read_aloud, unfilled
from tui.plain.typed_lines import typed_line
from tui.views.glyphs import words
from tui.views.holders import holders
from tui.views.physical import physical
from tui.views.plain_text import Narrator
from tui.views.shown_state import ShownState
from tui.views.spaces import spaces

WIDEST = 100
LETTERS = "abcdef"


class PlainDrill:
    """One exercise after the other, until the input ends, `q`, or `count` are done."""

    def __init__(self, store: Store, lines: TextIO, output: Console) -> None:
        self.store = store
        self.lines = lines
        self.narrator = Narrator(output, signs=words())
        self.output = output
        self.scores = dict(store.read().drills)
        self.hinted = 0
        """Hints to this exercise that were given."""

    def run(self, kind: str, seed: int, count: int, *, fixed: bool = False) -> None:
        """Ask `count` exercises (0: without end) from number `seed` on. `fixed`: no score chooses the kind."""
        number = seed
        while not count or number < seed + count:
            made = exercise(chosen(kind, {} if fixed else self.scores, number), number)
            self.ask(made)
            answer = self.choose(made)
            if answer is None:
                break
            self.judge(made, answer)
            number += 1
        if score := summary(self.scores):
            self.say(tr("Right so far: {score}.").format(score=score))

    def ask(self, made: Exercise) -> None:
        """The scene and the question."""
        self.say("")
        self.say(tr("Drill {kind}, number {number}.").format(kind=made.kind, number=made.seed), "bold")
        self.hinted = 0
        if not made.blind:
            self.scene(made)
        self.say(made.ask.replace("`", ""))
        for letter, answer in zip(LETTERS, made.answers, strict=False):
            self.say(f"  {letter}: {unfilled(answer.text)}")

    def scene(self, made: Exercise) -> None:
        """The machine of the question; where it asks what happened, the one after that too."""
        runner = machine(made.scene)
        self.show(runner.context.state, tr("before") if made.both else "")
        if made.both:
            for line in made.account:
                perform(runner, line)
            self.show(runner.context.state, tr("after"))

    def show(self, state: State, title: str) -> None:
        """The machine, pane by pane."""
        if title:
            self.say(f"{title}:", "bold")
        scene = ShownState(state, glyphs=self.narrator.signs)
        width = min(self.output.width, WIDEST)
        for rows in (spaces(scene, width), physical(scene, width), holders(scene, width)):
            for row in rows:
                self.output.print(Text(read_aloud(row.text)), soft_wrap=True)

    def choose(self, made: Exercise) -> int | None:
        """The answer; None at the end of the input or `q`."""
        for line in self.typed():
            word = line.strip().lower()
            if word == "q":
                return None
            if word in {"?", "h", "s"}:
                self.help(word, made)
                continue
            chosen = whole_number(word)
            number = chosen - 1 if chosen is not None else LETTERS.find(word) if len(word) == 1 else -1
            if 0 <= number < len(made.answers):
                return number
            self.say(tr("Choose one of the answers by its letter; q ends."))
        return None

    def help(self, word: str, made: Exercise) -> None:
        """What `?`, `h` and `s` ask for: the keys and signs, a hint, the machine."""
        if word == "s":
            if made.blind:
                self.say(tr("The machine would tell the answer; w shows it afterwards."))
            else:
                self.scene(made)
            return
        if word == "h":
            self.hint(made)
            return
        self.say(tr("A letter answers. s shows the machine, h gives a hint, q ends."))
        for sign, meaning in legend():
            self.say(f"{sign:11} {meaning}")

    def hint(self, made: Exercise) -> None:
        """One more hint."""
        known = hints(made)
        if self.hinted == len(known):
            self.say(tr("Those were all the hints. Answer, and you get the reason; w shows how it happens."))
            return
        self.say(f"{tr('Hint')} {self.hinted + 1}/{len(known)}: {known[self.hinted].replace('`', '')}")
        self.hinted += 1

    def typed(self) -> Iterator[str]:
        """Lines of input, each after a prompt."""
        while True:
            line = typed_line("> ", self.lines, self.output)
            if not line:
                return
            yield line

    def judge(self, made: Exercise, chosen: int) -> None:
        """Right or not, why, and on demand the account."""
        right = chosen == made.right
        if right:
            self.say(f"{tr('Right')}: {unfilled(made.answers[made.right].text)}.", "bold green")
        else:
            said = tr("You said {guess}; it is {truth}.")
            text = said.format(guess=unfilled(made.answers[chosen].text), truth=unfilled(made.answers[made.right].text))
            self.say(f"{tr('No')}. {text}", "bold yellow")
        self.say(made.answers[chosen].reply)
        try:
            self.scores[made.kind] = self.store.answered(made.kind, right=right, seed=made.seed, chosen=chosen)
        except ProgressError as error:
            self.say(str(error))
        self.say(tr("w shows how it happens, Enter goes on."))
        if next(self.typed(), "").strip().lower() == "w":
            runner = machine(made.scene)
            for line in made.account:
                self.narrator.tell(perform(runner, line))

    def say(self, text: str, style: str = "") -> None:
        """Print a line that is no account of the machine."""
        self.output.print(Text(text, style))
