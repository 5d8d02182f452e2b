"""A lesson or a script as a row of pictures: each with its command, its step, what is said of it and what it broke."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Final, NamedTuple

from lessons.file.schema import Lesson
from lessons.learner.progress import Store
from lessons.play.auto_player import play_next
from lessons.play.player import Player
from model.memory.state import Change
from model.script.command import Command
from model.session.session import Session
from model.session.timeline import Node, Timeline
from tui.drivers.history_view import broken, in_words
from tui.drivers.lesson import LessonDriver
from tui.export.picture_svg import Drawing
from tui.views.glyphs import UNICODE
from tui.views.markdown import wrap
from tui.views.picture.draw import picture
from tui.views.picture.history import History
from tui.views.picture.picture_state import PictureState
from tui.views.row import BLANK, Row, Span
from tui.views.shown_state import ShownState, marks, net
from tui.views.verdict import severities
from tui.views.view_model import LessonText, ShownViolation

MOST_MOVES: Final = 2000
"""Moves of a lesson that are made: far more than any needs."""


class PictureStep(NamedTuple):
    """One move, and the picture after it."""

    number: int
    """Counted from 1."""
    part: str
    """Of the lesson, e.g. `section 2 of 9`; empty in a script."""
    command: str
    name: str
    """Of the last micro-step, `procedure.step`; empty where a whole command was carried out, or none."""
    outcome: str
    """How the command ended; empty: it has not, or there is none."""
    text: str
    """What the lesson says here, as Markdown."""
    alarms: tuple[ShownViolation, ...]
    """What this move broke."""
    drawn: PictureState
    timeline: Timeline
    before: int
    """The node of the history from which the move was made …"""
    after: int
    """… and the one to which it led."""

    @property
    def title(self) -> str:
        """The step in a line."""
        words = self.command or self.part
        return f"{self.number}. {words}" + (f": {self.name}" if self.name else "")


def script_steps(commands: Iterable[Command]) -> Iterator[PictureStep]:
    """One step a command, with everything that it changed."""
    session = Session()
    history = History(session.timeline)
    known: set[tuple[str, int]] = set()
    for number, command in enumerate(commands, 1):
        before = session.node
        node = session.perform(command)
        timeline = session.timeline
        changes = net(change for one in timeline.path_to(node)[before.depth + 1 :] for change in one.changes)
        wrong = broken(timeline)
        drawn = _drawn(timeline, history, changes, wrong)
        outcome = in_words(node.outcome) if node.outcome is not None else ""
        yield PictureStep(
            number, "", command.shown, "", outcome, "", _new(wrong, known), drawn, timeline, before.number, node.number
        )


def lesson_steps(lesson: Lesson, store: Store) -> Iterator[PictureStep]:
    """Every move of a learner who knows the answers. Raises LessonError where the lesson cannot be played."""
    driver = LessonDriver(Player(lesson), store)
    history = History(driver.past())
    known: set[tuple[str, int]] = set()
    number, last = 0, -1
    for _ in range(MOST_MOVES):
        shown, place = driver.picture(), driver.player.place
        if place.number != last or shown.tale.judged:  # else: a guess that is judged later
            number, last = number + 1, place.number
            yield _lesson_step(number, driver, history, known)
        if not play_next(driver.player):
            return


def _lesson_step(number: int, driver: LessonDriver, history: History, known: set[tuple[str, int]]) -> PictureStep:
    """Where a lesson stands."""
    shown, place = driver.picture(), driver.player.place
    step = place.played_steps[-1] if place.played_steps else None
    outcome = in_words(step.outcome) if step is not None and step.outcome is not None else ""
    remark = shown.last.remark if shown.last is not None else ""
    return PictureStep(
        number,
        shown.position,
        step.command if step is not None else "",
        step.name if step is not None else "",
        outcome,
        _said(shown.tale, remark, moved=step is not None),
        _new(shown.broken, known),
        _drawn(driver.past(), history, shown.changes, shown.broken),
        driver.past(),
        driver.player.places[place.came_from].at if step is not None else place.at,
        place.at,
    )


def _said(tale: LessonText, remark: str, *, moved: bool) -> str:
    """What a lesson says at a place: the remark on a move, else its text; the question, and guesses judged."""
    parts = [remark if moved else tale.text]
    if tale.ask is not None:
        parts += [f"**{tale.ask.text}**", "\n".join(f"- {option.text}" for option in tale.ask.options)]
    parts += [f"**{one.truth}**. {one.reply}" for one in tale.judged]
    return "\n\n".join(part.strip() for part in parts if part.strip())


def _new(wrong: Iterable[ShownViolation], known: set[tuple[str, int]]) -> tuple[ShownViolation, ...]:
    """What was not broken at the step before."""
    now = {(one.invariant, one.node): one for one in wrong}
    found = tuple(one for key, one in now.items() if key not in known)
    known.clear()
    known.update(now)
    return found


def _drawn(
    timeline: Timeline, history: History, changes: tuple[Change, ...], wrong: tuple[ShownViolation, ...]
) -> PictureState:
    """What is to be drawn where a history stands."""
    node: Node = timeline.here
    scene = ShownState(node.state, changes, marks(changes), severities(wrong), "", UNICODE)
    return PictureState(scene, node.checker.scene.holding, history.at(node), history.last_step(node))


def drawing(step: PictureStep, width: int) -> Drawing:
    """The picture with its command above and what it broke below."""
    head = [
        Span(f"{step.number:>3}  ", "dim"),
        Span(step.command or step.part, "strong"),
        Span(f"  {step.name}", "dim"),
    ]
    rows = [Row(tuple(head)), BLANK, *picture(step.drawn, width)]
    for alarm in step.alarms:
        sign = UNICODE.caution if alarm.severity == "hazard" else UNICODE.broken
        rows.append(BLANK)
        rows += wrap([Span(f"{sign} {alarm.severity} {alarm.invariant}: ", alarm.severity), Span(alarm.message)], width)
    return Drawing(step.title, rows)


def chosen(steps: Iterable[PictureStep], first: int, last: int | None) -> list[PictureStep]:
    """The steps from `first` to `last`, counted from 1; `None`: to the end. Raises ValueError if there are none."""
    found = list(islice(steps, first - 1, last))
    if not found:
        raise ValueError(f"there is no step {first}")
    return found
