"""A lesson given to a room: from the start, or where a lecture was cut off; the teacher's progress is left alone."""

import time
from typing import TYPE_CHECKING, ClassVar, Final

import msgspec

from lessons.file.schema import Lesson
from lessons.i18n.language import tr
from lessons.learner.progress import LessonProgress
from lessons.play.any_answer_player import MOST_MOVES
from lessons.play.player import Player
from lessons.teach.lecture import Lecture, Lectures, begun
from lessons.teach.presenter_state import Ballots, Presented, joined, presented
from model.text.words import whole_number
from tui.drivers.lesson import LessonDriver

if TYPE_CHECKING:
    from pathlib import Path


class LectureDriver(LessonDriver):
    """What a presenter shows and moves. Raises LessonError where the lesson cannot be played."""

    letters: ClassVar[str] = "123456"
    """Answers have numbers: a letter is what clickers send."""

    def __init__(self, lesson: Lesson, lectures: Lectures) -> None:
        self.lectures: Final = lectures
        found = lectures.find(lesson.id)
        self.goes_on = found is not None
        """A lecture that was left or cut off goes on."""
        self._take(found or begun(lesson.id))
        super().__init__(Player(lesson, self.lecture.progress), None)

    def _take(self, lecture: Lecture) -> None:
        self.lecture = lecture
        self._clock = time.monotonic() - lecture.elapsed

    def afresh(self) -> None:
        """Put the lecture away and begin another one, at the first part."""
        self.lectures.end(self.lecture.lesson, self.lecture.began)
        self._take(begun(self.lecture.lesson))
        self.player = Player(self.player.lesson, LessonProgress())
        self.goes_on = False
        self.keep()

    @property
    def elapsed(self) -> float:
        """Seconds since the lecture began."""
        return time.monotonic() - self._clock

    @property
    def ballots(self) -> dict[str, Ballots]:
        """How the room has voted, by the question's id."""
        return self.lecture.ballots

    def voted(self, votes: Ballots) -> None:
        """A ballot on the question on the screen: the second stands beside the first."""
        prediction = self.player.prediction
        if prediction is not None:
            known = joined(self.ballots.get(prediction.id), votes)
            rounds = self.lecture.rounds
            self.lecture = msgspec.structs.replace(
                self.lecture,
                ballots={**self.ballots, prediction.id: known},
                rounds={**rounds, prediction.id: rounds.get(prediction.id, 0) + 1},
            )
            self.keep()

    def forget_ballot(self) -> bool:
        """Forget the ballots on the question on the screen; False if there are none."""
        prediction = self.player.prediction
        if prediction is None or prediction.id not in self.ballots:
            return False
        rest = {name: votes for name, votes in self.ballots.items() if name != prediction.id}
        self.lecture = msgspec.structs.replace(self.lecture, ballots=rest)
        self.keep()
        return True

    def to_part(self, typed: str) -> str:
        """To a part by its number; questions on the way there are shown without an answer, goals are reached."""
        player = self.player
        parts = len(player.lesson.items)
        wanted = (whole_number(typed) or 0) - 1
        if not 0 <= wanted < parts:
            return tr("a section from 1 to {parts}, please").format(parts=parts)
        reached = next((place.number for place in player.places if place.item == wanted), None)
        if reached is not None:
            return player.go(reached)
        player.go(max(player.places, key=lambda place: (place.item, place.played, place.number)).number)
        for _ in range(MOST_MOVES):
            if player.place.item == wanted:
                break
            if word := self._past():
                return word
        return ""

    def _past(self) -> str:
        """One move on, whatever is asked here."""
        player = self.player
        if "forward" in player.view().may:
            return player.forward()
        if player.prediction is not None:
            return player.show()
        assert player.goal is not None
        done = len(player.place.typed)
        if done >= len(player.goal.solution):
            return tr("From here the solution that I know no longer works: go back to where this goal begins.")
        return player.command(player.goal.solution[done].text)

    def presented(self) -> Presented:
        """Where the lecture stands, for the notes and for a room."""
        player = self.player
        where = presented(player, self.elapsed, self.ballots)
        prediction = player.prediction
        asked = prediction is not None and "answer" in player.view().may and prediction.id not in player.guesses
        number = self.lecture.rounds.get(prediction.id, 0) + 1 if prediction is not None and asked else 0
        return msgspec.structs.replace(where, lecture=f"{self.lecture.began:.0f}", round=number)

    def keep(self) -> str:
        """Write the lecture; says why where that is not possible."""
        progress = self.player.progress()
        self.lecture = msgspec.structs.replace(self.lecture, alive=time.time(), elapsed=self.elapsed, progress=progress)
        return self.lectures.keep(self.lecture)

    def finish(self) -> "Path | None":
        """The lecture is over: it is put away; where it is now."""
        self.keep()
        return self.lectures.end(self.lecture.lesson, self.lecture.began)
