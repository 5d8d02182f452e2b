"""Where a learner is in a lesson: the places that were reached, and the ways between them."""

from typing import Final

from msgspec.structs import replace

from lessons.file.schema import Do, Goal, Item, Lesson, Prediction
from lessons.i18n.language import tr
from lessons.play.playback import PlayedStep, Standing, at_the_start, play_all, set_scene
from lessons.play.view import LessonPlace
from model.session.session import Session
from model.session.timeline import Timeline


class PlaceTree:
    """The places of one lesson that were reached; a place is an item of the lesson at a node of the history.

    What is done to the machine grows the history of a session, as in the sandbox: each scene is a way from its start.
    """

    def __init__(self, lesson: Lesson) -> None:
        self.lesson: Final = lesson
        self.session: Final = Session()
        """The machine, with every state of it that was reached, micro-step by micro-step."""
        self.places: list[LessonPlace] = []
        self.here = 0
        self._scenes: dict[int, int] = {}
        """Item that begins a scene → the node at which that begins."""
        self._at: dict[tuple[int, int], int] = {}
        """Item and node → the place."""
        self._ahead: dict[int, int] = {}
        """Place → the one that was reached from it last."""
        self.finished = False
        self._tracks: dict[int, tuple[PlayedStep, ...]] = {}
        """Entry place of a `do` item → all steps of its commands."""
        self._enter(0, -1)

    # -- looking ---------------------------------------------------------------------------------

    @property
    def place(self) -> LessonPlace:
        """The present place."""
        return self.places[self.here]

    @property
    def timeline(self) -> Timeline:
        """The history, of which the scene that we are in is a part."""
        return self.session.timeline

    @property
    def standing(self) -> Standing:
        """The machine where we are."""
        return self.standing_at(self.place)

    def standing_at(self, place: LessonPlace) -> Standing:
        """The machine at a place."""
        node = self.timeline.nodes[place.at]
        return at_the_start(node) if place.at == place.scene else Standing.at(node)

    @property
    def step(self) -> int:
        """Micro-steps since the scene began."""
        return self.timeline.here.depth - self.timeline.nodes[self.place.scene].depth

    @property
    def item(self) -> Item:
        """The present item."""
        return self.lesson.items[self.place.item]

    @property
    def prediction(self) -> Prediction | None:
        """The question of this item, if it is one."""
        action = self.item.action
        return None if isinstance(action, Do | Goal) else action

    @property
    def goal(self) -> Goal | None:
        """The goal of this item, if it has one."""
        return self.item.action if isinstance(self.item.action, Goal) else None

    @property
    def track(self) -> tuple[PlayedStep, ...]:
        """All steps of this item's commands, played or not."""
        action, entry = self.item.action, self.place.entry
        if not isinstance(action, Do):
            return ()
        if entry not in self._tracks:
            self._tracks[entry] = tuple(play_all(action, self.standing_at(self.places[entry]), self.lesson.file))
        return self._tracks[entry]

    # -- moves -----------------------------------------------------------------------------------

    def back(self) -> str:
        """To the place before; what was reached stays."""
        if self.place.came_from < 0:
            return tr("This is the beginning of the lesson.")
        self._stand(self.place.came_from)
        return ""

    def go(self, number: int) -> str:
        """Jump to any place that was reached."""
        if not 0 <= number < len(self.places):
            return tr("There is no such place.")
        at = number
        while (before := self.places[at].came_from) >= 0:
            self._ahead[before] = at
            at = before
        self._stand(number)
        return ""

    def following(self, number: int) -> list[int]:
        """The places that lead on from one, in the order in which they were first reached."""
        return [place.number for place in self.places if place.came_from == number]

    def ahead(self, number: int) -> int | None:
        """The place that going forward from one leads to again: where one went last; None at an end."""
        return self._ahead.get(number)

    def branch(self, by: int) -> str:
        """Turn to another of the ways that lead on from here, `by` ways further; does not move."""
        ways = self.following(self.here)
        if len(ways) < 2:
            return tr("Only one way leads on from here.")
        last = self._ahead[self.here]
        self._ahead[self.here] = ways[((ways.index(last) if last in ways else 0) + by) % len(ways)]
        return ""

    def _enter(self, item: int, came_from: int) -> None:
        """Begin an item, in its world if it names one: that is a scene, another way from the start of the history."""
        entered = self.lesson.items[item]
        if item in self._scenes:
            self.timeline.goto(self._scenes[item])
        elif entered.world:
            set_scene(self.lesson, entered, self.session)
            self._scenes[item] = self.timeline.here.number
        at = self.timeline.here.number
        scene = at if entered.world or came_from < 0 else self.places[came_from].scene
        number = self._at.get((item, at), len(self.places))
        self._visit(LessonPlace(number, item, at, scene, number, came_from))
        self.finished |= entered.last

    def _reach(self, place: LessonPlace) -> None:
        """Go to a place of this item, where some steps lead from here."""
        for played_step in place.played_steps:
            for node in played_step.nodes:
                self.timeline.grow(node)
        at = self.timeline.here.number
        number = self._at.get((place.item, at), len(self.places))
        self._visit(replace(place, number=number, at=at, came_from=self.here))

    def _visit(self, place: LessonPlace) -> None:
        """Be at a place that was reached from here, now or before."""
        if place.number == len(self.places):
            self.places.append(place)
            self._at[place.item, place.at] = place.number
        else:
            self.places[place.number] = place
        if place.came_from >= 0:
            self._ahead[place.came_from] = place.number
        self._stand(place.number)

    def _stand(self, number: int) -> None:
        self.here = number
        self.timeline.goto(self.place.at)
