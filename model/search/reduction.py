"""Fewer states for the same verdict: of steps that can change places only one order is tried.

In each state a search by *persistent sets* (Godefroid, "Partial-Order Methods for the Verification of Concurrent
Systems", LNCS 1032, 1996, chapter 4; Valmari 1991; Peled 1993) goes on with some of the tasks alone: with a set such
that nothing that the others may do until one of the set moves has anything to do with the next step of any of the set.
What the others do can then just as well come later.

What a step looks at and changes is known exactly, for it is run (`Touch`). What a task may do later is known as far as
the search has seen it: by *places*, that is values of the task's own record, with all that was ever looked at and
changed there, and the places that followed. From what was seen so far the sets are computed; as long as a search sees
anything new it is made again.

Why what was not seen cannot matter. Call an attempt (a step made, or found impossible) *seen* if the last search has
met one at the same place that looked at the same values. Claim: in every state that can be reached at all, every
attempt is seen. Suppose not. Take a state that the search has visited and a schedule a1 … am from there, all of it
seen, after which some task q makes an attempt u that was never seen; and of all these a shortest. Let P be the set that
was chosen in that state.

1. Some ai belongs to P. The first such ai has nothing to do with a1 … a(i-1), all of them seen and made by others, so
   it can be made first; the search has gone there, and the rest of the schedule is shorter.
2. None does, and q is in P. Nothing that q's next attempt looks at has been changed by a1 … am; so u is the attempt
   that q makes in the visited state itself, which the search has met.
3. None does, and q is not in P. Take a possible step t of P. It has nothing to do with a1 … am, so it can be made
   first, which the search did, and the schedule goes on from there. If u looks at nothing that t changes, it is still
   u, never seen. If it does, then in its place q makes an attempt that looks at the same values up to the first one
   that t has changed. Had that been seen, q would be known to look there, and would belong to P. So it was not seen
   either. The schedule is as long as before, but the search has gone a step further. It cannot go on like that for
   ever: see below. So there is a shorter one in the end; and with m = 0 every attempt is met.

Therefore every kind of violation, each of which is a property of an attempt and depends on what that looks at (what the
checker looks at counts), is met; and so is each outcome of each command. Moved to the front one by one, as in 1 and 3,
the steps of any schedule to an end turn into those of a schedule in the reduced graph, with the same violations, to the
same end. So the ends are the same, and those with waiting tasks; and there is a schedule to an end without some
violation if and only if the reduced graph has one. Never, sometimes and always are the verdicts of a search of
everything.

Not the same are the number of schedules, the shares, the nearest ways: for those everything is searched.

*For ever.* If the reduced graph had a circle on which some task is put off again and again, 3 would not end (the
"ignoring problem": Valmari 1991; a wrong proof of one remedy: Siegel, CAV 2019). On a circle of states some task walks
a circle of places, so it makes one of the steps that close one. Where a set has such a *sticky* step among its next
ones, all tasks go on (Kurshan, Levin, Minea, Peled, Yenigün, "Static Partial Order Reduction", TACAS 1998).

*Symmetry.* Of states that differ in names alone one is visited, and what is known of places is known of all that they
are called under other names (Emerson, Jha, Peled, "Combining Partial Order and Symmetry Reductions", TACAS 1997).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cached_property
from typing import Final, Literal, NamedTuple

from model.search.bfs import MOST_STATES, Property, SearchProgress, Transition, at_start
from model.search.final_states import broken_at
from model.search.packed import Component
from model.search.problem import SearchProblem
from model.search.read_tracking import Touch
from model.search.symmetry import Image, Symmetry
from model.search.transition_cache import STATED, Actor, TransitionCache

TOLD_EVERY: Final = 1000
"""States after which somebody is told how far it is."""

CodePlaceKey = tuple[Actor, int]
"""A task at a place: by its record, as bits. Or a permission: how often it may still be used."""


class CodePlace:
    """What was seen of a task, or of a permission, at one place."""

    __slots__ = ("ahead", "changed", "looked", "sticky")

    def __init__(self) -> None:
        self.looked = 0
        self.changed = 0
        self.ahead: set[CodePlaceKey] = set()
        """The places that a step from here leads to, those of a task that it starts too."""
        self.sticky = False
        """A step from here may close a circle of places."""


class NextStep(NamedTuple):
    """What one task, or permission, may do in a state."""

    looked: int
    """What its next step looks at …"""
    changed: int
    """… and changes; 0 where it is not possible."""
    later_looked: int
    """What it may look at from now on …"""
    later_changed: int
    moves: tuple[tuple[Actor, int], ...]
    """Its possible next steps with the bits that they turn over: one, or one for each choice of pages."""
    sticky: bool


class Reduction:
    """A search for the verdict alone. `run` does it; what was found stands in the other attributes."""

    def __init__(self, scene: SearchProblem, cache: TransitionCache, symmetry: Symmetry | None = None) -> None:
        self.scene: Final = scene
        self.cache: Final = cache
        self.cache.touching = True
        self.symmetry: Final = symmetry
        self.standing: Final = at_start(scene, cache)
        """What is broken before anything happens."""
        self.places: Final[dict[CodePlaceKey, CodePlace]] = {}
        self.before: dict[int, int] = {0: 0}
        """Every state of the last search → the one from which it was reached first."""
        self.found: dict[Property, Transition] = {}
        """Every kind of violation, with a transition that violates."""
        self.ends: list[int] = []
        """The states in which nothing more can happen."""
        self.transitions = 0
        self.searches = 0
        """How often the search was made, until it saw nothing new."""
        self.expanded = 0
        """States whose next steps were looked at, in all searches."""
        self.complete = False
        self._news = True
        self._later: dict[CodePlaceKey, tuple[int, int]] = {}
        self._actors: Final = [
            (thread.control, thread.idle, tuple(actor for actor in self.cache.tasks if actor.first is thread))
            for thread in self.cache.threads
        ] + [(starter.control, starter.idle, (starter,)) for starter in self.cache.starters]
        self._first: Final = {actor: actors[0] for _, _, actors in self._actors for actor in actors}
        self._marks: Final = [MarkImage(image) for image in symmetry.images] if symmetry is not None else []

    def run(self, most_states: int = MOST_STATES, progress: Callable[[SearchProgress], bool] = lambda _: True) -> None:
        """Search until nothing new is seen, or a search knows `most_states`, or `progress` returns False."""
        while self._news:
            self._news = False
            self._later = {}
            self._find_sticky()
            if not self._search(most_states, progress):
                return
        self.complete = not self.cache.left_out

    # -- what it says ----------------------------------------------------------------------

    @cached_property
    def badly_ended(self) -> dict[str, list[int]]:
        """Each property of the end, by its text → the ends that break it. Asked when the search is over."""
        found: dict[str, list[int]] = {one.text: [] for one in self.cache.finals}
        for packed in self.ends if found else ():
            for name in broken_at(self.cache, packed):
                found[name].append(packed)
        return found

    @property
    def waiting(self) -> int | None:
        """An end at which some task waits for ever; None if there is none."""
        threads = self.cache.threads
        return next(
            (end for end in self.ends if any(end & one.control.mask != one.idle for one in threads)),
            None,
        )

    @property
    def kinds(self) -> set[Property]:
        """Every kind of violation that there is, and every property of the end that is broken at some end."""
        ended = {(name, STATED) for name, ends in self.badly_ended.items() if ends}
        return {*self.standing, *self.found, *ended}

    def verdict(self, name: str) -> Literal["never", "sometimes", "always", "vacuous"] | None:
        """What the search says about a rule or a property; None if it was ended too early to say."""
        if not self.complete:
            return None
        if (ends := self.badly_ended.get(name)) is not None:
            if not ends:
                return "never" if self.ends else "vacuous"
            return "sometimes" if len(ends) < len(self.ends) else "always"
        if any(prop[0] == name for prop in self.standing):
            return "always"
        if any(prop[0] == name for prop in self.found):
            return "sometimes" if self._avoidable(name) else "always"
        unanswered = any(one.text == name for one in self.cache.stated) and name not in self.cache.answered
        return "vacuous" if unanswered else "never"

    def _avoidable(self, name: str) -> bool:
        """Whether some schedule comes to its end without a violation of a rule."""
        seen, todo = {0}, [0]
        while todo:
            packed = todo.pop()
            chosen = self.chosen(packed)
            if not chosen:
                return True
            for actor, turned in chosen:
                effect = self.cache.effect(actor, packed)
                if not isinstance(effect, int) and any(prop[0] == name for prop in effect[1]):
                    continue
                after = self.canonical(packed ^ turned)
                if after not in seen:
                    seen.add(after)
                    todo.append(after)
        return False

    def way_into(self, prop: Property) -> list[Transition]:
        """A way from the start that breaks something, not the nearest. KeyError if nothing breaks it so."""
        if (ends := self.badly_ended.get(prop[0])) is not None:
            return self.way_to(ends[0])
        last = self.found[prop]
        return [*self.way_to(last.packed), last]

    def way_to(self, packed: int) -> list[Transition]:
        """A way from the start to a state that the search has visited, told of states that stand for others."""
        way: list[Transition] = []
        while packed:
            before = self.before[packed]
            movers = (actor for actor, turned in self.chosen(before) if self.canonical(before ^ turned) == packed)
            way.append(Transition(before, next(movers)))
            packed = before
        return way[::-1]

    # -- one search ------------------------------------------------------------------------

    def _search(self, most_states: int, progress: Callable[[SearchProgress], bool]) -> bool:
        self.searches += 1
        self.transitions = 0
        self.ends = []
        self.found = {}
        before, todo = {0: 0}, [0]
        self.before = before
        due = min(TOLD_EVERY, most_states)
        while todo:
            packed = todo.pop()
            chosen = self.chosen(packed)
            self.expanded += 1
            if not chosen:
                self.ends.append(packed)
            for _, turned in chosen:
                self.transitions += 1
                after = packed ^ turned
                if after not in before and (after := self.canonical(after)) not in before:
                    before[after] = packed
                    todo.append(after)
            if len(before) > due:
                due = min(len(before) + TOLD_EVERY, max(most_states, len(before)))
                if self.symmetry is not None:
                    self.symmetry.check(packed)
                if len(before) > most_states or not progress(SearchProgress(len(before), 0, len(todo))):
                    return False
        return True

    def canonical(self, packed: int) -> int:
        """The state that stands for this one and all that count as the same."""
        return packed if self.symmetry is None else self.symmetry.canonical(packed)

    def chosen(self, packed: int) -> list[tuple[Actor, int]]:
        """The steps with which the search goes on from a state, each with the bits that it turns over."""
        live = list(self._live(packed))
        able = [number for number, one in enumerate(live) if one.moves]
        if len(able) < 2:
            return [move for number in able for move in live[number].moves]
        least = smallest(live, able)
        return [move for number in least for move in live[number].moves]

    def _live(self, packed: int) -> Iterator[NextStep]:
        """What may happen in a state; whatever is new in it is noted."""
        for control, idle, actors in self._actors:
            at = packed & control.mask
            if at == idle:
                continue
            looked = changed = 0
            moves = []
            for actor in actors:
                cell = actor.cells.get(at)
                key = packed & cell.mask if cell is not None else 0
                touch = cell.touches.get(key) if cell is not None else None
                if cell is None or touch is None:
                    self._meet(actor, packed)
                    cell = actor.cells[at]
                    key = packed & cell.mask
                    touch = cell.touches[key]
                looked |= touch.looked
                effect = cell.effects[key]
                if not effect:
                    continue
                changed |= touch.changed
                if isinstance(effect, int):
                    moves.append((actor, effect))
                else:
                    moves.append((actor, effect[0]))
                    for prop in effect[1]:
                        self.found.setdefault(prop, Transition(packed, actor))
            later = self._later.get((actors[0], at)) or self._from((actors[0], at))
            yield NextStep(looked, changed, *later, tuple(moves), self.places[actors[0], at].sticky)

    def _meet(self, actor: Actor, packed: int) -> None:
        """Note what an attempt that was not met before looks at and changes, and where it leads."""
        touch = self.cache.touch(actor, packed)
        effect = self.cache.effect(actor, packed)
        after = packed ^ (effect if isinstance(effect, int) else effect[0])
        self._note(self._first[actor], packed, after, touch)
        for marks in self._marks:
            image = marks.image
            self._note(image.actor(self._first[actor]), image.of(packed), image.of(after), marks.of(touch))

    def _note(self, thread: Actor, packed: int, after: int, touch: Touch) -> None:
        key = thread, packed & thread.control.mask
        place = self.places.get(key)
        if place is None:
            place = self.places[key] = CodePlace()
            self._news = True
        if touch.looked & ~place.looked or touch.changed & ~place.changed:
            place.looked |= touch.looked
            place.changed |= touch.changed
            self._news = True
        if packed == after:
            return
        for control, idle, actors in self._actors:
            there = after & control.mask
            moved = there != packed & control.mask or actors[0] is thread
            if moved and there != idle and (actors[0], there) not in place.ahead:
                place.ahead.add((actors[0], there))
                self._news = True

    def _from(self, key: CodePlaceKey) -> tuple[int, int]:
        """What may be looked at and changed from a place on, as far as it was seen."""
        looked = changed = 0
        reached, todo = {key}, [key]
        while todo:
            place = self.places.get(todo.pop())
            if place is not None:
                looked |= place.looked
                changed |= place.changed
                todo += place.ahead - reached
                reached |= place.ahead
        self._later[key] = looked, changed
        return looked, changed

    def _find_sticky(self) -> None:
        """Find the places from which a step may close a circle of places."""
        done: set[CodePlaceKey] = set()
        for start in self.places:
            if start in done:
                continue
            way: dict[CodePlaceKey, list[CodePlaceKey]] = {start: self._ahead(start)}
            while way:
                key, ahead = next(reversed(way.items()))
                if not ahead:
                    done.add(key)
                    del way[key]
                    continue
                following = ahead.pop()
                if following in way:
                    self.places[key].sticky = True
                elif following not in done:
                    way[following] = self._ahead(following)

    def _ahead(self, key: CodePlaceKey) -> list[CodePlaceKey]:
        place = self.places.get(key)
        return sorted(place.ahead, key=lambda one: (one[0].name, one[1])) if place is not None else []


class MarkImage:
    """What components are called under other names, as marks."""

    def __init__(self, image: Image) -> None:
        self.image: Final = image
        self.known: Final[dict[int, int]] = {}

    def of(self, touch: Touch) -> Touch:
        """What the same transition looks at and changes under other names."""
        return Touch(self._of(touch.looked), self._of(touch.changed))

    def _of(self, marks: int) -> int:
        found = self.known.get(marks)
        if found is None:
            found, rest, marked = 0, marks, self.image.cache.layout.marked
            while rest:
                least = rest & -rest
                rest ^= least
                one = marked[least.bit_length() - 1]
                found |= self.image.partner(one).mark if isinstance(one, Component) else one.mark
            self.known[marks] = found
        return found


def smallest(live: list[NextStep], able: list[int]) -> list[int]:
    """Of the sets of which each holds one that can move and all that must go with it, the smallest; of two the first.

    Only those that can move are told. A set that holds a sticky step is no smaller than all.
    """
    everybody = sum(1 << number for number in able)
    rows: dict[int, int] = {}
    best, size = everybody, len(able)
    for number in able:
        members = fresh = 1 << number
        sticky = live[number].sticky
        while fresh and not sticky:
            least = fresh & -fresh
            fresh ^= least
            one = least.bit_length() - 1
            row = rows.get(one)
            if row is None:
                row = rows[one] = _concerned(live, one)
            new = row & ~members
            members |= new
            fresh |= new
            sticky = any(live[other].sticky for other in able if new >> other & 1)
            if (members & everybody).bit_count() >= size:
                break
        else:
            if not sticky and (count := (members & everybody).bit_count()) < size:
                best, size = members & everybody, count
                if size == 1:
                    break
    return [number for number in able if best >> number & 1]


def _concerned(live: list[NextStep], number: int) -> int:
    """A bit for each of the others that may once do something which has to do with the next step of one."""
    looked, changed = live[number].looked, live[number].changed
    row = 0
    for other, one in enumerate(live):
        if other != number and (changed & one.later_looked or looked & one.later_changed):
            row |= 1 << other
    return row
