"""`lesson check`: what can be wrong with a lesson although it loads.

First what shows in the text: too long before something to do, too wide for the pane, hints or replies missing. Then
the lesson is played, once, by the model: every expression must have a value, no wrong answer may be right, no goal
may be met at its start, and each stored solution must lead to its goal, as far as is soon seen without a detour.
"""

import contextlib
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from lessons.author import check_hints, check_source, translate
from lessons.author import check_width as wording
from lessons.author.par import FEW_PLAYS, shortest
from lessons.file.library import COURSE, TOUR
from lessons.file.loader import load, read
from lessons.file.problems import LessonError, LessonProblem, did_you_mean, nearest
from lessons.file.schema import (
    ChoiceQuestion,
    Do,
    Goal,
    Item,
    Lesson,
    LessonCommand,
    NumberQuestion,
    PageQuestion,
    Prediction,
)
from lessons.i18n.lesson_folders import WORLDS, lesson_folders
from lessons.play.goal_search import holds, reached
from lessons.play.grading import fill, judge, true_option, true_subject, wrong_number
from lessons.play.playback import PlayedStep, Standing, play, play_all, power_on, set_scene
from lessons.play.played_lesson import pending
from model.script.ask import is_so, literal_number
from model.script.moment import Moment, NoAnswerError

NO_QUANTITY = "is no quantity"
"""What the rehearsal says of a placeholder too, without its place."""


def check_paths(paths: Sequence[Path], *, draft: bool = False) -> tuple[list[Lesson], list[LessonProblem]]:
    """Check lesson files and folders of lessons; no paths: the folders of one's own, or the course and the tour.

    `draft`: the template's own texts may still be there. Returns the lessons that could be loaded, and every problem
    found.
    """
    lessons: list[Lesson] = []
    problems: list[LessonProblem] = []
    for path in paths or lesson_folders() or [COURSE, TOUR.parent]:
        if path.is_dir():
            found = sorted(path.glob("*.md"))
            if not found:
                problems.append(LessonProblem(str(path), 1, 1, "no lesson in this folder", "lessons are *.md files"))
            problems += _unused_worlds(path)
        else:
            found = [path]
        for file in found:
            try:
                lessons.append(load(file))
            except LessonError as error:
                problems += error.problems
    for lesson in lessons:
        problems += check_lesson(lesson, draft=draft)
    return lessons, problems


def _unused_worlds(folder: Path) -> Iterator[LessonProblem]:
    """World scripts of a folder that none of its lessons names."""
    texts = []
    for path in folder.glob("*.md"):
        with contextlib.suppress(LessonError):  # it is reported where it is loaded
            texts.append(read(path))
    for world in sorted((folder / WORLDS).glob("*.pte")):
        named = re.compile(rf"^~~~world\s+{re.escape(world.stem)}\s*$", re.MULTILINE)
        if not any(named.search(text) for text in texts):
            yield LessonProblem(str(world), 1, 1, f"no lesson of {folder} uses this world")


def check_lesson(lesson: Lesson, *, draft: bool = False) -> list[LessonProblem]:
    """Every problem of one lesson, in the order of its lines. `draft`: the template's own texts may still be there."""
    source = list(check_source.check(lesson, draft=draft))
    problems = [
        *source,
        *_check_header(lesson),
        *_check_links(lesson),
        *wording.check(lesson),
        *_check_doing(lesson),
        *(one for one in _Rehearsal(lesson).problems() if not (source and NO_QUANTITY in one.text)),
        *translate.problems(lesson),
    ]
    return sorted(problems, key=lambda problem: (problem.file != lesson.file, problem.line, problem.column))


# -- what shows in the text ----------------------------------------------------------------------


def _check_header(lesson: Lesson) -> Iterator[LessonProblem]:
    """The name of the file, the lessons that should come first, the functions to read."""
    header = lesson.header
    if Path(lesson.file).stem != header.id:
        text = f"the lesson `{header.id}` belongs into a file {header.id}.md"
        yield LessonProblem(lesson.file, *check_source.place_of(lesson, "id"), text)
    known = _known_lessons(lesson)
    for needed in header.needs:
        if needed not in known:
            place = check_source.place_of(lesson, "needs", needed)
            text = f"it needs a lesson `{needed}` that is not there"
            yield LessonProblem(lesson.file, *place, text, nearest(needed, known))
    if not header.read:
        place = check_source.place_of(lesson, "read")
        yield LessonProblem(lesson.file, *place, "no kernel function to read", 'read = ["mm/memory.c: zap_pte_range"]')
    for source in header.read:
        file, colon, functions = source.partition(": ")
        if not colon or not functions or not file.endswith((".c", ".h", ".S", ".rst")):
            place = check_source.place_of(lesson, "read", source)
            yield LessonProblem(lesson.file, *place, f"`{source}` is no place to read", "mm/memory.c: zap_pte_range")


LINK = re.compile(r"\[[^\]]+\]\((?P<target>[^)\s]+)\)")


def _check_links(lesson: Lesson) -> Iterator[LessonProblem]:
    """A link leads to another lesson, by its name, or to an address."""
    known = _known_lessons(lesson)
    for item in lesson.items:
        for number, line in enumerate(item.text.split("\n"), item.text_line):
            for link in LINK.finditer(line):
                target = link["target"]
                if not target.startswith(("https://", "http://")) and target not in known:
                    text = f"the link leads to no lesson: `{target}`"
                    yield LessonProblem(lesson.file, number, link.start() + 1, text, nearest(target, known))


def _known_lessons(lesson: Lesson) -> set[str]:
    """The names of the lessons beside this one, of the course and of one's own."""
    folders = (Path(lesson.file).parent, COURSE, *lesson_folders())
    return {path.stem for folder in folders for path in folder.glob("*.md")}


FIRST_DEED = 3
"""Within so many items the learner must have had something to answer or to reach."""


def _check_doing(lesson: Lesson) -> Iterator[LessonProblem]:
    """Something to do early on, hints where one can be stuck, a reply to each wrong answer."""
    if all(item.action is None or isinstance(item.action, Do) for item in lesson.items[:FIRST_DEED]):
        yield LessonProblem(
            lesson.file, lesson.items[0].line, 1, f"nothing to answer or to reach in the first {FIRST_DEED} items"
        )
    for item in lesson.items:
        action = item.action
        if action is None or isinstance(action, Do):
            continue
        kinds = {hint.kind for hint in item.hints}
        if isinstance(action, Goal):
            wanted = {"where", "what"}
            if not action.solution:
                yield LessonProblem(lesson.file, item.action_line, 1, "a goal without a solution block")
            if kinds - wanted:
                line = next(hint.line for hint in item.hints if hint.kind not in wanted)
                yield LessonProblem(lesson.file, line, 1, "the hints `next` and `show` of a goal are computed")
        else:
            wanted = {"where", "what", "next", "show"}
        if wanted - kinds:
            missing = ", ".join(sorted(wanted - kinds))
            yield LessonProblem(lesson.file, item.action_line, 1, f"its hints lack: {missing}", "a ~~~hint block")
        if isinstance(action, NumberQuestion) and not action.wrong:
            yield LessonProblem(
                lesson.file, item.action_line, 1, "no likely wrong answer has a reply", "[[wrong]] is = …"
            )


# -- what playing it shows -------------------------------------------------------------------------


class _Rehearsal:
    """One run through a lesson, in which everything is asked of the model that a learner's run could ask."""

    def __init__(self, lesson: Lesson) -> None:
        self.lesson = lesson
        self.standing = power_on()

    def problems(self) -> Iterator[LessonProblem]:
        """Everything that goes wrong; what cannot be played ends the run."""
        try:
            for number, item in enumerate(self.lesson.items):
                yield from self._item(number, item)
        except LessonError as error:
            yield from error.problems

    def _problem(self, item: Item, text: str, line: int = 0) -> LessonProblem:
        return LessonProblem(self.lesson.file, line or item.action_line or item.line, 1, text)

    def _item(self, number: int, item: Item) -> Iterator[LessonProblem]:
        if item.world:
            self.standing = set_scene(self.lesson, item)
        yield from self._filled(item, item.text, item.text_line)
        match item.action:
            case Do() as do:
                played_steps: list[PlayedStep] = []
                yield from self._play(item, do, played_steps)
                for asked in pending(self.lesson, number):
                    yield from self._revealed(self._asking(asked), asked, played_steps)
            case Goal() as goal:
                yield from self._reach(item, goal)
                following = self.lesson.items[number + 1 : number + 2]
                if following and not following[0].world and not following[0].last:
                    yield self._problem(item, "after a goal nobody knows where the learner stands: a world must follow")
            case None:
                pass
            case prediction:
                yield from self._filled(item, prediction.ask, item.action_line)
                if prediction.reveal == "now":
                    yield from self._answerable(item, prediction)
                elif not self._answered_later(number):
                    yield self._problem(item, "no `do` block reveals this prediction", item.action_line)

    def _asking(self, prediction: Prediction) -> Item:
        """The item that asks a prediction."""
        return next(item for item in self.lesson.items if item.action is prediction)

    def _answered_later(self, number: int) -> bool:
        """A `do` block follows in the same scene."""
        for item in self.lesson.items[number + 1 :]:
            if isinstance(item.action, Do) and not item.world:
                return True
            if item.world or isinstance(item.action, Goal):
                return False
        return False

    def _filled(self, item: Item, text: str, line: int) -> Iterator[LessonProblem]:
        try:
            fill(text, self.standing.moment)
        except NoAnswerError as error:
            yield self._problem(item, f"a number in the text: {error}", line)

    def _revealed(self, item: Item, prediction: Prediction, played_steps: list[PlayedStep]) -> Iterator[LessonProblem]:
        """A prediction, asked where it will be revealed."""
        end = self.standing
        if prediction.at:
            at = next((played_step for played_step in played_steps if played_step.is_step(prediction.at)), None)
            if at is None:
                hint = did_you_mean(prediction.at, _step_names(played_steps))
                yield LessonProblem(
                    self.lesson.file, item.action_line, 1, f"at = {prediction.at}: no such micro-step is made", hint
                )
                return
            self.standing = at.standing
        yield from self._answerable(item, prediction)
        self.standing = end

    def _play(self, item: Item, do: Do, played: list[PlayedStep]) -> Iterator[LessonProblem]:
        """Play the commands into `played`; remarks and `until` must meet a micro-step."""
        standing = self.standing
        for command in do.commands:
            last = command is do.commands[-1]
            yield from self._asserted(item, command, standing)
            played_steps = play(standing, command, self.lesson.file, do.until if last else "")
            for remark in command.remarks:
                if not any(played_step.is_step(remark.step) for played_step in played_steps):
                    hint = did_you_mean(remark.step, _step_names(played_steps))
                    yield LessonProblem(
                        self.lesson.file, remark.line, 3, f"no micro-step `{remark.step}` is made here", hint
                    )
            if played_steps:
                standing = played_steps[-1].standing
                played += played_steps
            outcome = played_steps[-1].outcome if played_steps else None
            left_waiting = last and bool(do.until)  # the author means it
            if outcome is not None and outcome.status == "blocked" and not left_waiting:
                yield self._problem(item, f"`{command.text}` is blocked on {outcome.on}", command.line)
            if last and do.until and not (played_steps and played_steps[-1].is_step(do.until)):
                yield self._not_until(do, command, played_steps)
        self.standing = standing

    def _asserted(self, item: Item, command: LessonCommand, standing: Standing) -> Iterator[LessonProblem]:
        """An `expect` must hold where it stands; `may` is a word to a search."""
        verb, _, condition = command.text.partition(" ")
        if verb == "may":
            yield self._problem(item, "`may` has no meaning in a lesson: say what does happen", command.line)
        if verb != "expect":
            return
        try:
            if not is_so(condition, standing.moment):
                yield self._problem(item, f"`{command.text}` does not hold here", command.line)
        except NoAnswerError as error:
            yield self._problem(item, f"`{command.text}`: {error}", command.line)

    def _not_until(self, do: Do, command: LessonCommand, played_steps: Sequence[PlayedStep]) -> LessonProblem:
        """The last command of a block never comes to where it is to stop."""
        names = _step_names(played_steps)
        if not names:
            text = f"until={do.until} stops the last command of the block, but `{command.text}` makes no micro-steps"
            hint = "begin TASK COMMAND, then finish TASK"
        else:
            text = f"until={do.until}: `{command.text}` makes no such micro-step"
            hint = did_you_mean(do.until, names)
        return LessonProblem(self.lesson.file, do.line, 1, text, hint)

    def _reach(self, item: Item, goal: Goal) -> Iterator[LessonProblem]:
        """The goal must be ahead at the start, and reached by the solution."""
        if reached(goal, self.standing):
            yield self._problem(item, f"the goal `{goal.id}` is met before anything is done")
        yield from self._par(item, goal) if goal.par else self._detour(item, goal)
        try:
            solution = Do(goal.solution, "command", goal.line)
            for played_step in play_all(solution, self.standing, self.lesson.file):
                self.standing = played_step.standing
        except LessonError as error:
            yield from error.problems
            return
        for check in goal.checks:
            if goal.solution and not holds(check.condition, self.standing):
                yield self._problem(
                    item, f"the solution does not reach `{check.condition}`{self._why(check.condition)}", check.line
                )

    def _par(self, item: Item, goal: Goal) -> Iterator[LessonProblem]:
        """Par is what the stored solution takes, and no search finds a shorter way."""
        if len(goal.solution) != goal.par:
            yield self._problem(item, f"par={goal.par}, but the solution has {len(goal.solution)} commands", goal.line)
            return
        way, complete = shortest(goal, self.standing, goal.par)
        if way is not None:
            yield self._problem(item, f"par={goal.par}, but {len(way)} will do: {'; '.join(way)}", goal.line)
        elif not complete:
            yield self._problem(item, f"par={goal.par} cannot be proved: too many ways to try; leave it out", goal.line)

    def _detour(self, item: Item, goal: Goal) -> Iterator[LessonProblem]:
        """Where no par is said a shorter way that is soon found means that the goal asks for less than it should."""
        way, _ = shortest(goal, self.standing, len(goal.solution), FEW_PLAYS)
        if way is not None:
            text = f"the solution has {len(goal.solution)} commands, but {len(way)} will do: {'; '.join(way)}"
            yield self._problem(item, text, goal.line)

    def _why(self, text: str) -> str:
        """What keeps a condition from having an answer, if something does."""
        try:
            is_so(text, self.standing.moment)
        except NoAnswerError as error:
            return f": {error}"
        return ""

    # -- predictions -----------------------------------------------------------------------------

    def _answerable(self, item: Item, prediction: Prediction) -> Iterator[LessonProblem]:
        """The model has exactly one answer, and every wrong one is wrong and has its reply."""
        moment = self.standing.moment
        try:
            yield from self._wrong_answers(item, prediction, moment)
            if shown := check_hints.untrue(self.lesson.file, item, prediction, moment):
                yield shown
            for text in wording.replies(prediction):
                fill(text, moment)
        except NoAnswerError as error:
            yield self._problem(item, f"prediction `{prediction.id}`: {error}", item.action_line)

    def _wrong_answers(self, item: Item, prediction: Prediction, moment: Moment) -> Iterator[LessonProblem]:
        name = f"prediction `{prediction.id}`"
        match prediction:
            case ChoiceQuestion(option=options):
                true = true_option(prediction, moment)
                for number, option in enumerate(options):
                    if number != true and not option.reply:
                        yield self._problem(
                            item, f"{name}: no reply to the wrong answer `{option.text}`", item.action_line
                        )
                    if number == true and option.reply:
                        yield self._problem(item, f"{name}: a reply to the right answer `{option.text}`; it is `right`")
            case NumberQuestion(wrong=wrongs):
                if literal_number(prediction.answer) is not None:
                    yield self._problem(item, f"{name}: the answer is typed in; ask the model for it")
                truth = judge(prediction, "0", moment).truth
                seen: set[str] = set()
                for wrong in wrongs:
                    value = str(wrong_number(wrong.answer, moment))
                    if value == truth:
                        yield self._problem(item, f"{name}: the wrong answer {wrong.answer} is right", item.action_line)
                    if value in seen:
                        yield self._problem(item, f"{name}: the wrong answer {wrong.answer} stands there twice")
                    seen.add(value)
            case PageQuestion(wrong=wrongs, among=subjects):
                truth = true_subject(prediction, moment)
                for wrong in wrongs:
                    if str(wrong.answer) == truth:
                        yield self._problem(item, f"{name}: the wrong answer {wrong.answer} is right", item.action_line)
                    if str(wrong.answer) not in subjects:
                        yield self._problem(
                            item, f"{name}: `{wrong.answer}` is not among the answers", item.action_line
                        )
            case _:
                judge(prediction, "yes", moment)


def _step_names(played_steps: Iterable[PlayedStep]) -> set[str]:
    """Every name by which the micro-steps can be called."""
    return {
        name
        for played_step in played_steps
        if played_step.stepped
        for name in (played_step.name, played_step.stepped.step)
    }
