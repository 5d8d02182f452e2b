"""A lesson on the stage: the player's view as a picture, and the stage's moves as the player's."""

from collections import Counter
from functools import cached_property
from typing import TYPE_CHECKING, ClassVar, Final

from lessons.file.library import next_in_course
from lessons.file.schema import Lesson, YesNoQuestion
from lessons.i18n.language import tr
from lessons.learner.progress import ProgressError, Store
from lessons.play.player import Player
from lessons.play.view import LessonPlace, LessonView
from model.invariants.checker import Checker
from model.memory.state import Change
from model.script.context import Context
from model.session.timeline import Timeline
from tui.drivers.history_view import WINDOW, Log, all_rules, broken, shown_command, shown_step
from tui.views.shown_state import net
from tui.views.view_model import (
    LessonText,
    Picture,
    ShownCheck,
    ShownGuess,
    ShownHistory,
    ShownNode,
    ShownOption,
    ShownQuestion,
    ShownStep,
)

if TYPE_CHECKING:
    from lessons.play.step_size import StepSize
    from model.script.complete import Completion

LETTERS: Final = "abcdef"


class LessonDriver:
    """One learner in one lesson. Raises LessonError where the lesson itself cannot be played."""

    free = False
    letters: ClassVar[str] = LETTERS
    """What one types for each answer to choose from."""

    def __init__(self, player: Player, store: Store | None) -> None:
        """`store`: where the progress is kept; None: nowhere."""
        self.player = player
        self.store: Final = store
        self.log = Log(player.timeline, player.place.scene)

    @cached_property
    def following(self) -> Lesson | None:
        """The lesson that comes next in the course."""
        return next_in_course(self.player.lesson.id)

    @property
    def folds(self) -> bool:
        """Where the author leaves the pace open, steps that change nothing in sight are part of the next one."""
        return self.player.folds

    @folds.setter
    def folds(self, folds: bool) -> None:
        self.player.folds = folds

    # -- looking ---------------------------------------------------------------------------------

    def picture(self) -> Picture:
        """Everything that the stage shows now."""
        view = self.player.view()
        timeline = self.player.timeline
        scene = timeline.nodes[self.player.place.scene]
        if self.log.start != scene.number:
            self.log = Log(timeline, scene.number)
        hint, enter = self._enter(view)
        return Picture(
            self.player.lesson.header.title,
            tr("section {at} of {parts}").format(at=view.number, parts=view.total),
            view.standing.context.state,
            self._tale(view),
            _last(view),
            _next(view),
            _changes(view),
            broken(timeline, scene.depth),
            all_rules(),
            self._history(view),
            self.log.at(timeline.here),
            view.may | {"steps"} if view.upcoming else view.may,
            hint,
            enter,
            scene.depth,
        )

    def _enter(self, view: LessonView) -> tuple[str, str]:
        """What the Enter key does here."""
        if "answer" in view.may and not view.guess:
            return tr("answer"), "act"
        if view.goal and "forward" not in view.may:
            return tr("type a command"), "prompt"
        if view.finished and "forward" not in view.may:
            following = self.following
            return (
                (tr("back to the lessons"), "leave")
                if following is None
                else (tr("next lesson"), f"app.next_lesson('{following.id}')")
            )
        return tr("forward"), "step('forward')"

    def _tale(self, view: LessonView) -> LessonText:
        """What there is to read and to answer."""
        ask = None
        prediction = self.player.prediction
        revealed = {one.prediction.id for one in view.judged}
        if view.ask and not view.guess and (prediction is None or prediction.id not in revealed):
            options = tuple(ShownOption(letter, text) for letter, text in zip(self.letters, view.choices, strict=False))
            ask = ShownQuestion(view.ask, options, tr("type a number"))
        text = view.text if ask is not None or not view.ask else f"{view.text}\n\n{view.ask}"
        text = "\n\n".join((text, *(f"> {asked}" for asked, _ in view.waiting))).strip()
        if view.item.last:
            text = f"{self._summary()}\n\n{text}\n\n{self._sources()}".strip()
        return LessonText(
            text,
            ask,
            "" if prediction is not None and prediction.id in revealed else view.guess or _guesses(view),
            tuple(ShownGuess(*one.verdict) for one in view.judged),
            tuple(ShownCheck(met, words) for met, words in view.goal),
            tuple((kind.kind, kind.text) for kind in view.hints),
            view.notes,
            view.upcoming,
        )

    def _summary(self) -> str:
        """What the lesson has come to, and where one goes from here."""
        summary = self.player.summary()
        score = tr("{right} of {all} predictions were right.").format(right=summary.right, all=summary.predictions)
        leads = tr("`q` leads home.")
        if self.following is not None:
            leads = tr("`Enter` opens the next lesson, *{title}*; `q` leads home.")
            leads = leads.format(title=self.following.header.title)
        return f"**{tr('The rule.')}** {summary.rule}\n\n{score if summary.predictions else ''}\n\n{leads}"

    def _sources(self) -> str:
        """The functions of the kernel that the lesson is about."""
        read = "\n".join(f"- `{name}`" for name in self.player.summary().read)
        return f"{tr('Read in the kernel:')}\n\n{read}" if read else ""

    def _history(self, view: LessonView) -> ShownHistory:
        """The way through the lesson, move by move."""
        player = self.player
        place = player.place
        past: list[LessonPlace] = []
        while place.came_from >= 0 and len(past) < WINDOW:
            place = player.places[place.came_from]
            past.append(place)
        future: list[LessonPlace] = []
        ahead = player.ahead(player.here)
        while ahead is not None and len(future) < WINDOW:
            future.append(player.places[ahead])
            ahead = player.ahead(ahead)
        ways = Counter(one.came_from for one in player.places)
        nodes = tuple(self._node(one, ways[one.number]) for one in [*reversed(past), player.place, *future])
        last = view.played_steps[-1] if view.played_steps else None
        whole = (last.command, last.name) if last is not None else (view.item.world,)
        where = tr("section {part}, step {step}").format(part=view.number, step=player.step)
        captions = (": ".join(filter(None, (where, *what))) for what in (whole, whole[-1:]))
        return ShownHistory(nodes, len(past), tuple(captions))

    def _node(self, place: LessonPlace, ways: int) -> ShownNode:
        """A place of the lesson on the strip, from which so many ways lead on; a new part begins with a bar."""
        timeline, ahead = self.player.timeline, self.player.ahead(place.number)
        turns = ahead is not None and self.player.places[ahead].item != place.item
        severity = timeline.severity(timeline.nodes[place.at])
        return ShownNode(place.number, severity, max(ways - 1, 0), "part" if turns else "")

    def assist(self, line: str) -> "Completion":
        """Help for a command that is being typed."""
        from tui.session.completion import help_for

        return help_for(self.player.standing.context.state, line)

    def refers(self, subject: str) -> tuple[frozenset[str], frozenset[str]]:
        """What a subject refers to, and what refers to it."""
        from tui.session.completion import related

        return related(self.player.standing.checker.scene, subject)

    def past(self) -> Timeline:
        """The history of all scenes."""
        return self.player.timeline

    def machine(self) -> tuple[Context, Checker]:
        """The machine as it stands; the lesson's own is not touched by what is done with it."""
        standing = self.player.standing
        return standing.context, standing.checker

    # -- moves -----------------------------------------------------------------------------------

    def step(self, size: "StepSize") -> str:
        """Take one step of that size."""
        return self.player.forward(size)

    def back(self) -> str:
        """Go to the place before."""
        return self.player.back()

    def go(self, node: int) -> str:
        """Jump to a place that was reached."""
        return self.player.go(node)

    def revisit(self, moment: int) -> str:
        """Jump to the end of the move that made a micro-step."""
        player = self.player
        found = [place for place in player.places if place.scene == player.place.scene and self._passes(place, moment)]
        nearest = min(found, key=lambda place: (player.timeline.nodes[place.at].depth, place.number), default=None)
        return tr("There is no such place.") if nearest is None else player.go(nearest.number)

    def _passes(self, place: LessonPlace, moment: int) -> bool:
        """Whether the way to a place leads through a node."""
        timeline = self.player.timeline
        return timeline.common_ancestor(timeline.nodes[place.at], timeline.nodes[moment]).number == moment

    def end(self, *, last: bool) -> str:
        """To the first place, or to the last one reached on this way."""
        end = 0
        if last:
            end = self.player.here
            while (ahead := self.player.ahead(end)) is not None:
                end = ahead
        return self.player.go(end)

    def branch(self, by: int) -> str:
        """Choose another of the branches that lead on from here."""
        return self.player.branch(by)

    def answer(self, typed: str) -> str:
        """Answer the question: by letter where there are answers to choose from, else with what was typed."""
        choices = self.player.view().choices
        number = self.letters.find(typed) if len(typed) == 1 else -1
        if isinstance(self.player.prediction, YesNoQuestion) and 0 <= number < len(choices):
            typed = choices[number]
        return self.player.answer(typed)

    def command(self, line: str) -> str:
        """Carry out a command to reach the goal."""
        return self.player.command(line)

    def hint(self) -> str:
        """Show one more hint."""
        return self.player.hint()

    def keep(self) -> str:
        """Write the progress; says why where that is not possible."""
        if self.store is None:
            return ""
        try:
            self.store.save(self.player.lesson.id, self.player.progress())
        except ProgressError as error:
            return str(error)
        return self.store.report


def _guesses(view: LessonView) -> str:
    """What was guessed about what is being played."""
    return ", ".join(guess for _, guess in view.waiting)


def _last(view: LessonView) -> ShownStep | None:
    """The last micro-step of the move, with the names of those before it and what the author says to any."""
    if not view.played_steps:
        return None
    played_step = view.played_steps[-1]
    remark = "\n\n".join(one.remark for one in view.played_steps if one.remark)
    last = shown_step(played_step.stepped, played_step.outcome, remark)
    if last is None:
        return shown_command(played_step.node, remark)
    return last._replace(before=tuple(one.stepped.step for one in view.played_steps[:-1] if one.stepped))


def _next(view: LessonView) -> ShownStep | None:
    """The micro-step that comes next, as it reads before it is made."""
    played_step = view.next_step
    ahead = shown_step(played_step.stepped) if played_step is not None else None
    return ahead._replace(waits="") if ahead is not None else None


def _changes(view: LessonView) -> tuple[Change, ...]:
    """What the last move changed, all its steps together."""
    return net(change for played_step in view.played_steps for change in played_step.changes)
