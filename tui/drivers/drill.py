"""Exercises on the stage: the scene in the panes, the question in the story, then the worked account step by step."""

from typing import TYPE_CHECKING, Final

from lessons.drills.book import chosen, exercise
from lessons.drills.exercise import Exercise, machine
from lessons.drills.hints import hints
from lessons.drills.own_worlds import WorldError
from lessons.drills.score import Score, summary
from lessons.i18n.language import tr
from lessons.learner.progress import ProgressError, Store
from model.invariants.checker import Checker
from model.kernel.arch.boot import boot
from model.script.context import Context
from model.session.session import Session
from model.session.timeline import Timeline
from tui.drivers.sandbox import SandboxDriver
from tui.views.view_model import LessonText, Picture, ShownGuess, ShownOption, ShownQuestion

if TYPE_CHECKING:
    from lessons.play.step_size import StepSize
    from model.script.complete import Completion

LETTERS: Final = "abcdef"


class DrillDriver:
    """One exercise after the other. `kind` empty: of all kinds, those that go badly more often; see `chosen`.

    `fixed`: the number alone chooses the kind, whatever the scores are.
    """

    free = False

    def __init__(self, store: Store, kind: str = "", seed: int = 1, *, fixed: bool = False, last: int = -1) -> None:
        """Exercises from number `seed` on; `fixed`: no score chooses the kind; `last`: the number of the last one."""
        self.store: Final = store
        self.kind: Final = kind
        self.fixed: Final = fixed
        self.last_seed: Final = last
        self.complaint = ""
        self.folds = False
        self.scores = dict(store.read().drills)
        self._take(seed)

    def _take(self, seed: int) -> None:
        """Set up the exercise of that number."""
        kind = chosen(self.kind, {} if self.fixed else self.scores, seed)
        self.exercise: Exercise = exercise(kind, seed)
        self.chosen = -1
        self.hinted = 0
        runner = machine(self.exercise.scene)
        self.inner = SandboxDriver(session=Session(runner.context, runner.checker))
        self.start = self.inner.session.node.number
        for line in self.exercise.account:
            self.inner.session.run(line)
        self.last = self.inner.session.node.number
        self._stand(self.start)

    def _stand(self, node: int) -> None:
        """Be at a node of the account; everything that is different from the start is marked."""
        self.inner.session.goto(node)
        self.inner.came_from = self.inner.session.timeline.nodes[self.start]

    # -- looking ---------------------------------------------------------------------------------

    def picture(self) -> Picture:
        """The exercise; before it is answered nothing of the account but the machine after it, where that is asked."""
        picture = self.inner.picture()
        made = self.exercise
        right = summary(self.scores)
        streak = self.scores.get(made.kind, Score()).streak
        position = f"{made.kind} {made.seed}" + (f"  {tr('{score} right').format(score=right)}" if right else "")
        position += f", {tr('{streak} in a row').format(streak=streak)}" if streak > 1 else ""
        if self.chosen < 0:
            can = {"forward", "back", "hint"} if made.both else {"hint"}
            side = tr("after") if self.inner.session.node.number != self.start else tr("before")
            return picture._replace(
                state=boot() if made.blind else picture.state,
                title=f"{tr('Drill')}: {made.kind}" + (f", {side}" if made.both else ""),
                position=position,
                tale=self._question(),
                last=None,
                next=None,
                broken=(),
                log=(),
                history=picture.history._replace(captions=(side,) if made.both else (), nodes=()),
                can=frozenset(can),
                hint=tr("answer"),
                enter="act",
            )
        history = picture.history
        if self.inner.session.node.number == self.start:
            history = history._replace(captions=(tr("before"),))
        return picture._replace(
            title=f"{tr('Drill')}: {made.kind}",
            position=position,
            tale=self._judged(),
            history=history,
            can=picture.can - {"command"},
            hint=tr("next exercise"),
            enter="next_exercise",
        )

    def _question(self) -> LessonText:
        options = tuple(
            ShownOption(letter, answer.text) for letter, answer in zip(LETTERS, self.exercise.answers, strict=False)
        )
        text = tr("`n` and `p` go back and forth between the two machines.") if self.exercise.both else ""
        known = hints(self.exercise)[: self.hinted] if self.hinted else ()
        taken = tuple(zip(("where", "what"), known, strict=False))
        return LessonText(text, ShownQuestion(self.exercise.ask, options, numbered=True), hints=taken)

    def _judged(self) -> LessonText:
        made, chosen = self.exercise, self.exercise.answers[self.chosen]
        truth = made.answers[made.right]
        judged = ShownGuess(self.chosen == made.right, chosen.text, truth.text, chosen.reply)
        how = tr("`n` and `p` go through the worked account, micro-step by micro-step; Enter takes the next exercise.")
        return LessonText(f"{made.ask}\n\n{how}", judged=(judged,))

    # -- moves -----------------------------------------------------------------------------------

    def step(self, size: "StepSize") -> str:
        """Step through the account; where the question is what happened, go to the machine after it."""
        if self.chosen < 0:
            if not self.exercise.both:
                return tr("Answer first. A guess is enough: it is the guess that makes you remember.")
            self._stand(self.last)
            return ""
        if self.inner.session.node.number == self.last:
            return tr("That was the whole account: Enter takes the next exercise.")
        self.inner.folds = self.folds
        return self.inner.step(size)

    def back(self) -> str:
        """Back through the account."""
        if self.chosen < 0:
            self._stand(self.start)
            return ""
        self.inner.folds = self.folds
        return self.inner.back()

    def answer(self, typed: str) -> str:
        """Answer with the letter of an option; nothing, once it is answered, takes the next exercise."""
        if self.chosen >= 0 and not typed:
            return self._next()
        number = LETTERS.find(typed) if len(typed) == 1 else -1
        if self.chosen >= 0 or not 0 <= number < len(self.exercise.answers):
            return tr("Choose one of the answers.")
        self.chosen = number
        self._stand(self.start)
        try:
            made = self.exercise
            right = number == made.right
            score = self.store.answered(made.kind, right=right, seed=made.seed, chosen=number)
        except ProgressError as error:
            self.complaint = str(error)
            return ""
        self.scores[self.exercise.kind] = score
        return ""

    def end(self, *, last: bool) -> str:
        """To the start of the account, or to its end once the question is answered."""
        if last and self.chosen < 0:
            return tr("Answer first. A guess is enough: it is the guess that makes you remember.")
        self._stand(self.last if last else self.start)
        return ""

    def _next(self) -> str:
        """The next exercise."""
        if self.exercise.seed == self.last_seed:
            return tr("That was the last of these exercises; q leads home.")
        try:
            self._take(self.exercise.seed + 1)
        except WorldError as error:  # its author is at work on it
            return str(error)
        return ""

    def go(self, node: int) -> str:
        """Jump to a step of the account."""
        return self.inner.go(node) if self.chosen >= 0 else ""

    def revisit(self, moment: int) -> str:
        """Jump to a step of the account."""
        return self.go(moment)

    def branch(self, by: int) -> str:
        """An exercise has one way only."""
        return self.inner.branch(by)

    def command(self, line: str) -> str:
        """An exercise takes no commands."""
        return tr("Commands belong in the sandbox; here you answer.")

    def hint(self) -> str:
        """Show one more hint; after the answer the account tells all."""
        if self.chosen >= 0:
            return tr("You have answered: `n` shows how it happens.")
        if self.hinted == len(hints(self.exercise)):
            return tr("Those were all the hints. Answer, and you get the reason; `n` shows how it happens.")
        self.hinted += 1
        return ""

    def assist(self, line: str) -> "Completion":
        """Help for a command that is being typed."""
        return self.inner.assist(line)

    def refers(self, subject: str) -> tuple[frozenset[str], frozenset[str]]:
        """What a subject refers to, and what refers to it."""
        return self.inner.refers(subject)

    def machine(self) -> tuple[Context, Checker]:
        """The machine as it stands."""
        return self.inner.machine()

    def past(self) -> Timeline:
        """The account, as far as it may be seen."""
        return self.inner.past()

    def keep(self) -> str:
        """Scores are kept with each answer."""
        complaint, self.complaint = self.complaint, ""
        return complaint or self.store.report
