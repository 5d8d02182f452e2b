"""Fewer states for the same verdict: of steps that can change places only one order is tried.

In each state a search by *persistent sets* (Godefroid, "Partial-Order Methods for the Verification of Concurrent
Systems", LNCS 1032, 1996, chapter 4; Valmari 1991; Peled 1993) goes on with some of the tasks alone: with a set such
that nothing that the others may do until one of the set moves has anything to do with the next step of any of the set.
What the others do can then just as well come later.

What a step looks at and changes is known exactly, for it is run (`Touch`). What a task may do later is known as far as
the search has seen it: by *places*, that is values of the task's own record, with all that was ever looked at and
changed there, and the places that followed. From what was seen so far the sets are computed. Where that turns out to
have been too little they are computed again, and the search goes on from the states that this concerns; if they are
many it is made anew. Where one task goes on alone, of the states that it passes the last one alone is kept, and none is
looked up under other names.

Three things make the sets smaller.

- *Locks.* Who holds a lock holds up everybody who must take it: as long as the holder stays where he is they do not
  pass the place where they take it, and whatever they would do behind it does not count.
- *Sections with interrupts off.* A step is made only while its CPU has interrupts on. That others may turn them off and
  on again before does not concern it. This presupposes that such a section comes to its end; if somebody is seen to
  wait, or to end, in one, it is given up.
- *Holders* of a frame are kept kind by kind, and what they add up to apart from who they are (`tracked_holders`).

Why what was not seen cannot matter. Call an attempt (a step made, or found impossible) *seen* if the last search has
met one at the same place that looked at the same values. An attempt that ends in waiting for a lock, or for its CPU,
counts as seen as well if it has looked, up to there, at the same values as one that was met: it does nothing, and tells
nothing that is not known. Claim: in every state that can be reached at all, every attempt is seen. Suppose not. Take a
state that the search has visited and a schedule a1 … am from there, all of it seen, after which some task q makes an
attempt u that was never seen; and of all these a shortest. Let P be the set that was chosen in that state.

1. Some ai belongs to P. The first such ai has nothing to do with a1 … a(i-1), all of them seen and made by others, so
   it can be made first; the search has gone there, and the rest of the schedule is shorter. If they have turned the
   interrupts of its CPU off they have turned them on again, for it was made.
2. None does, and q is in P. Nothing that q's next attempt looks at has been changed by a1 … am; so u is the attempt
   that q makes in the visited state itself, which the search has met; or it waits for its CPU. If q waits for a lock,
   one of its holders is in P, and has not moved.
3. None does, and q is not in P. Take a possible step t of P. It has nothing to do with a1 … am, so it can be made
   first, which the search did, and the schedule goes on from there. If u looks at nothing that t changes, it is still
   u, never seen. If it does, then in its place q makes an attempt that looks at the same values up to the first one
   that t has changed. Had that been seen, q would be known to look there, and would belong to P; unless what t has
   changed is a lock that P holds and that is taken at this place by whatever is made there, but then u waits for it,
   and counts as seen. So it was not seen either. The schedule is as long as before, but the search has gone a step
   further. It cannot go on like that for ever: see below. So there is a shorter one in the end; and with m = 0 every
   attempt is met.

None of a1 … am passes a place where a lock is taken that P holds: whatever was made there has taken it, and it was
held.

Therefore every kind of violation, each of which is a property of an attempt and depends on what that looks at (what the
checker looks at counts), is met; and so is each outcome of each command. Moved to the front one by one, as in 1 and 3,
the steps of any schedule to an end turn into those of a schedule in the reduced graph, with the same violations, to the
same end: there no step of P is possible any more, so one of P has moved, or P waits for a CPU whose section never ends.
So the ends are the same, and those with waiting tasks; and there is a schedule to an end without some violation if and
only if the reduced graph has one. Never, sometimes and always are the verdicts of a search of everything.

Not the same are the number of schedules, the shares, the nearest ways: for those everything is searched.

*For ever.* If the reduced graph had a circle on which some task is put off again and again, 3 would not end (the
"ignoring problem": Valmari 1991; a wrong proof of one remedy: Siegel, CAV 2019). On a circle of states some task walks
a circle of places, so it makes one of the steps that close one. Where a set has such a *sticky* step among its next
ones, all tasks go on (Kurshan, Levin, Minea, Peled, Yenigün, "Static Partial Order Reduction", TACAS 1998).

*Symmetry.* Of states that differ in names alone one is visited, and what is known of places is known of all that they
are called under other names (Emerson, Jha, Peled, "Combining Partial Order and Symmetry Reductions", TACAS 1997).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Final, Literal, NamedTuple

from model.search.bfs import MOST_STATES, SAMPLE, Property, SearchProgress, Transition, at_start
from model.search.code_places import NONE_HELD, CodePlaceKey, CodePlaces, Held, MarkImage, place_of
from model.search.final_states import broken_at
from model.search.packed import Component, Footprint
from model.search.persistent_sets import Live, NextStep, smallest
from model.search.problem import SearchProblem
from model.search.symmetry import Symmetry
from model.search.table_growth import growth_ahead
from model.search.touch import Touch
from model.search.transition_cache import CPUS, LOCKS, STATED, Actor, TransitionCache, holders_of, is_written

TOLD_EVERY: Final = 1000
"""Steps after which somebody is told how far it is, if one task alone could move. With each more, and each other way
to call things, a step takes longer, and somebody who wants to end the search waits no longer for that."""
FEW_LEARNT: Final = 256
"""Steps after which is asked for the first time whether enough is known of what may come later."""
MOST_AGAIN: Final = 10
"""If one in so many states must be looked at again, the search is made anew: it then visits fewer."""
Waiting = tuple[int, Live, int]
"""A state that is still to be looked at, with what may happen there, and who has moved last: -1 for nobody."""


class Arrival(NamedTuple):
    """How a search came to a state: from one that it had kept before, by steps of which each was the only one tried."""

    start: int
    movers: tuple[int, ...] = ()
    """Who made them, by their numbers in `Live`; all but the last step, which is found by where it leads."""


class PassedStep(NamedTuple):
    """A step that was the only one tried, and where it led."""

    transition: Transition
    after: int


AT_START: Final = Arrival(0)
EVERYTHING: Final = Footprint()
EVERYTHING.mask = -1
"""Every bit of a state."""


class Reduction:
    """A search for the verdict alone. `run` does it; what was found stands in the other attributes."""

    def __init__(self, scene: SearchProblem, cache: TransitionCache, symmetry: Symmetry | None = None) -> None:
        self.scene: Final = scene
        self.cache: Final = cache
        self.cache.touching = True
        self.symmetry: Final = symmetry
        self.standing: Final = at_start(scene, cache)
        """What is broken before anything happens."""
        self.seen_places: Final = CodePlaces()
        self.before: dict[int, Arrival] = {0: AT_START}
        """Every state that the last search has kept → how it was reached first. Where one task went on alone only the
        last state is kept, and those in which something was broken."""
        self._branched: set[int] = set()
        """Those from which several steps lead on, or none, each as the one that stands for it."""
        self.found: dict[Property, Transition] = {}
        """Every kind of violation, with a transition that violates."""
        self.ends: dict[int, int] = {}
        """The states in which nothing more can happen, each as the one that stands for it → the one that was met."""
        self.transitions = 0
        self.searches = 0
        """How often the search was made, until it saw nothing new."""
        self.complete = False
        self._sections_end = True
        """Nobody has been seen to wait with interrupts off."""
        self._held: dict[int, dict[str, Held]] = {}
        """The locks of a state, as bits → who holds which."""
        self._locks: Final = Footprint()
        self._locks.include((), (self.cache.tables[LOCKS], self.cache.tables[CPUS]))
        self._locks_known = self._locks.mask
        self._actors: Final = [
            (thread.control, thread.idle, tuple(actor for actor in self.cache.tasks if actor.first is thread))
            for thread in self.cache.threads
        ] + [(starter.control, starter.idle, (starter,)) for starter in self.cache.starters]
        self._first: Final = {actor: actors[0] for _, _, actors in self._actors for actor in actors}
        self._marks: Final = [MarkImage(image) for image in symmetry.images] if symmetry is not None else []
        self._told_every: Final = max(1, TOLD_EVERY // (len(self._actors) * (1 + len(self._marks))))
        self._sampled_at = 0
        """How many states were known when the symmetry was looked at last."""

    def run(self, most_states: int = MOST_STATES, progress: Callable[[SearchProgress], bool] = lambda _: True) -> None:
        """Search until nothing new is seen, or a search keeps `most_states`, or `progress` returns False."""
        learning = FEW_LEARNT
        todo = self._start_over()
        while todo:
            if not self._go_through(todo, learning, most_states, progress):
                return
            if self._sections_end is self.cache.waits_in_section:
                self._forget_sections()
                self.seen_places.settle()
                todo += self._start_over()
            elif again := self._not_settled(self.seen_places.settle()):
                learning = max(2 * learning, self.transitions)
                if todo or len(again) * MOST_AGAIN > self.transitions:
                    todo = self._start_over()
                else:
                    todo = [(packed, self._live(packed), -1) for packed in again]
            else:
                learning = 0
        self.complete = not self.cache.left_out

    def _forget_sections(self) -> None:
        """Whoever has interrupts off may wait for others: a step that needs its CPU is one that others may hold up."""
        self._sections_end = False
        for actor in (*self.cache.tasks, *self.cache.starters):
            for cell in actor.cells.values():
                cell.steps = {}

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
            live = self._live(packed)
            least = self._least(packed, live)
            if not least:
                return True
            for step in filter(None, (live[number] for number in least)):
                breaking = {actor for actor, broken in step.breaks if any(prop[0] == name for prop in broken)}
                for actor, turned in step.moves:
                    after = self.canonical(packed ^ turned)
                    if actor not in breaking and after not in seen:
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
        """A way from the start to a state that the search has visited, or to the end for which one stands."""
        packed = self.ends.get(packed, packed)
        way: list[Transition] = []
        while packed:
            arrival = self.before[packed]
            part = self.passed(arrival)
            last = part[-1].after if part else arrival.start
            way = [*(step.transition for step in part), Transition(last, self._mover(last, packed)), *way]
            packed = arrival.start
        return way

    def passed(self, arrival: Arrival) -> list[PassedStep]:
        """The steps before the last one of an arrival: where they led no state was kept."""
        packed, steps = arrival.start, []
        for number in arrival.movers:
            control, _, actors = self._actors[number]
            (actor, turned), *_ = self._next_step(packed, control, actors).moves
            steps.append(PassedStep(Transition(packed, actor), packed ^ turned))
            packed ^= turned
        return steps

    def _mover(self, before: int, after: int) -> Actor:
        """Who leads from one state to the next."""
        for actor in (*self.cache.tasks, *self.cache.starters):
            effect = self.cache.effect(actor, before)
            if before ^ (effect if isinstance(effect, int) else effect[0]) == after:
                return actor
        raise AssertionError("there is no such step")

    # -- one search ------------------------------------------------------------------------

    def _start_over(self) -> list[Waiting]:
        """Forget every state but the first."""
        self.transitions = 0
        self.ends, self.found, self.before = {}, {}, {0: AT_START}
        self._branched = set()
        return [(0, self._live(0), -1)]

    def _not_settled(self, changed: list[CodePlaceKey]) -> list[int]:
        """The states in which somebody is at one of these places: of what may come after, too little was known."""
        there: dict[Actor, set[int]] = {}
        for actor, code in changed:
            there.setdefault(actor, set()).add(code)
        again = []
        for packed, arrival in list(self.before.items()):
            for number, step in enumerate(self.passed(arrival), 1):
                if self._somebody_is_at(there, step.after):
                    self.before.setdefault(step.after, Arrival(arrival.start, arrival.movers[: number - 1]))
                    again.append(step.after)
            if self._somebody_is_at(there, packed):
                again.append(packed)
        self._branched -= {self.canonical(packed) for packed in again}
        return again

    @staticmethod
    def _somebody_is_at(there: dict[Actor, set[int]], packed: int) -> bool:
        """Whether, in a state, somebody is at one of some places."""
        return any(place_of(actor, packed & actor.control.mask)[1] in codes for actor, codes in there.items())

    def _go_through(
        self, todo: list[Waiting], learning: int, most_states: int, progress: Callable[[SearchProgress], bool]
    ) -> bool:
        """Search on from some states, until none is left or, to learn, so many steps were made.

        To learn, states from all over the list are taken: what can happen late in a schedule is then soon seen.
        Returns False if the search must end.
        """
        self.searches += 1
        before = self.before
        turn, due = 0, self.transitions + self._told_every
        while todo and not self.transitions >= learning > 0:
            if learning:
                turn = (turn + 5) % 8
                there = turn * len(todo) // 8
                todo[there], todo[-1] = todo[-1], todo[there]
            if len(before) > most_states:
                return False
            if self.transitions > due:
                due = self.transitions + self._told_every
                self._sample(todo[-1][0])
                growth = growth_ahead(before, 2 * TOLD_EVERY) + growth_ahead(self._branched, 2 * TOLD_EVERY)
                if not progress(SearchProgress(len(before), 0, len(todo), growth)):
                    return False
            start, live, mover = todo.pop()
            packed, moves, broken_off = self._follow(start, live, mover)
            if broken_off is not None:
                todo.append((packed, live, broken_off))
            if moves is None:
                continue
            stands = self.canonical(packed)
            if stands in self._branched:
                continue
            self._branched.add(stands)
            if not moves:
                self.ends[stands] = packed
            for number, turned in moves:
                self.transitions += 1
                after = packed ^ turned
                if after not in before:
                    before[after] = Arrival(packed)
                    following = list(live)
                    self._go_on(following, after, number, turned)
                    todo.append((after, following, number))
        return True

    def _sample(self, packed: int) -> None:
        """See now and then, in a state, whether the names make no difference."""
        if self.symmetry is not None and abs(len(self.before) - self._sampled_at) >= SAMPLE:
            self._sampled_at = len(self.before)
            self.symmetry.check(packed)

    def _follow(self, start: int, live: Live, mover: int) -> tuple[int, list[tuple[int, int]] | None, int | None]:
        """Go on from a state as long as one task goes on alone, to where several must be tried, or nothing can happen.

        Returns that state with the possible steps, each as who makes it (a number in `live`) and the bits that it turns
        over; no steps if the search has been there. Where it breaks off, because others wait to be told how far it is,
        it says who has moved last. `live` is brought up to date.
        """
        before, packed = self.before, start
        movers: list[int] = []
        passed = {packed}
        for _ in range(self._told_every):
            moves = [
                (number, turned)
                for number in self._least(packed, live, mover)
                if (one := live[number]) is not None
                for _, turned in one.moves
            ]
            if len(moves) != 1:
                self._keep(packed, start, movers)
                return packed, moves, None
            mover, turned = moves[0]
            self.transitions += 1
            after = packed ^ turned
            if after in before or after in passed:
                self._keep(packed, start, movers)  # what was passed on the way to it is looked at again with it
                return after, None, None
            packed = after
            passed.add(packed)
            movers.append(mover)
            broken = len(self.found)
            self._go_on(live, packed, mover, turned)
            if len(self.found) > broken:
                self._keep(packed, start, movers)
                start, movers = packed, []
        self._keep(packed, start, movers)
        return packed, None, mover

    def _keep(self, packed: int, start: int, movers: list[int]) -> None:
        """Keep a state that was reached by some tasks, one after the other."""
        if movers:
            self.before[packed] = Arrival(start, tuple(movers[:-1]))

    def canonical(self, packed: int) -> int:
        """The state that stands for this one and all that count as the same."""
        return packed if self.symmetry is None else self.symmetry.canonical(packed)

    def _least(self, packed: int, live: Live, last: int = -1) -> list[int]:
        """Who goes on from a state; `last`: who has moved last."""
        able = [number for number, one in enumerate(live) if one is not None and one.moves]
        if len(able) < 2:
            return able
        return smallest(live, able, last, self._holding(packed))

    def _live(self, packed: int) -> Live:
        """What may happen in a state; whatever is new in it is noted."""
        return [
            None if packed & control.mask == idle else self._next_step(packed, control, actors)
            for control, idle, actors in self._actors
        ]

    def _go_on(self, live: Live, packed: int, mover: int, turned: int) -> None:
        """What may happen after a step that has turned some bits over."""
        for number, (control, idle, actors) in enumerate(self._actors):
            one = live[number]
            if turned & control.mask or (one is not None and turned & one.looks_at.mask):
                live[number] = None if packed & control.mask == idle else self._next_step(packed, control, actors)
            elif one is not None and one.breaks:
                self._note_broken(one, packed)

    def _next_step(self, packed: int, control: Component, actors: tuple[Actor, ...]) -> NextStep:
        """What one task, or permission, may do."""
        at = packed & control.mask
        actor = actors[0]
        cell = actor.cells.get(at)
        step = cell.steps.get(packed & cell.mask) if cell is not None else None
        if step is None:
            step = self._met(packed, at, actors)
            if len(actors) == 1:
                cell = actor.cells[at]
                cell.steps[packed & cell.mask] = step
        if step.breaks:
            self._note_broken(step, packed)
        return step

    def _met(self, packed: int, at: int, actors: tuple[Actor, ...]) -> NextStep:
        """What was not met before, or may be one of several choices."""
        heeds = changed = waits_for = 0
        moves, breaks = [], []
        for actor in actors:
            cell = actor.cells.get(at)
            touch = cell.touches.get(packed & cell.mask) if cell is not None else None
            if touch is None or len(actors) == 1:
                touch = self._meet(actor, packed)
            heeds |= touch.heeds
            waits_for = touch.waits_for
            effect = self.cache.effect(actor, packed)
            if effect:
                changed |= touch.changed
                turned, broken = (effect, None) if isinstance(effect, int) else effect
                moves.append((actor, turned))
                breaks += [(actor, broken)] if broken else []
        place = self.seen_places.place(place_of(actors[0], at))
        looks_at = actors[0].cells[at] if len(actors) == 1 else EVERYTHING
        return NextStep(
            actors[0].task,
            place,
            looks_at,
            tuple(moves),
            tuple(breaks),
            heeds=heeds,
            changed=changed,
            waits_for=waits_for,
        )

    def _note_broken(self, step: NextStep, packed: int) -> None:
        for actor, broken in step.breaks:
            for prop in broken:
                self.found.setdefault(prop, Transition(packed, actor))

    def _holding(self, packed: int) -> dict[str, Held]:
        """Who holds which locks in a state."""
        if self._locks.mask != self._locks_known:
            self._locks_known = self._locks.mask
            self._held = {}
        key = packed & self._locks_known
        found = self._held.get(key)
        if found is None:
            found = self._held[key] = {}
            for number in (LOCKS, CPUS):
                for lock in self.cache.tables[number].components.values():
                    write = number == CPUS or is_written(lock.by_code[packed & lock.mask])
                    for name in holders_of(lock, packed):
                        found[name] = found.get(name, NONE_HELD) | Held(lock.mark if write else 0, lock.mark)
        return found

    def _meet(self, actor: Actor, packed: int) -> Touch:
        """Note what an attempt that was not met before looks at and changes, and where it leads."""
        touch = self.cache.touch(actor, packed)
        effect = self.cache.effect(actor, packed)
        after = packed ^ (effect if isinstance(effect, int) else effect[0])
        self._note(self._first[actor], packed, after, touch)
        for marks in self._marks:
            image = marks.image
            self._note(image.actor(self._first[actor]), image.of(packed), image.of(after), marks.of(touch))
        return touch if self._sections_end or not touch.made else touch._replace(heeds=touch.looked)

    def _note(self, thread: Actor, packed: int, after: int, touch: Touch) -> None:
        place = self.seen_places.note(place_of(thread, packed & thread.control.mask), touch)
        if packed == after:
            return
        for control, idle, actors in self._actors:
            there = after & control.mask
            moved = there != packed & control.mask or actors[0] is thread
            if moved and there != idle:
                self.seen_places.lead(place, place_of(actors[0], there))
