"""Every way through an operation: in each combination of states, with each step that can fail failing once.

A `DriverWay` says what is held, what is mapped, what has been freed so far. The machine carries a list out by the same
rules (model.kernel.drivers.driver_op): behind an error only `unlock` is done, in the list and in its callers.
"""

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from model.driver_files.line_forms import ASKED
from model.driver_files.page_ranges import WHOLE, BufferPart
from model.driver_files.records import DriverLine, KernelDriver, StepList

MOST_WALKS: Final = 2_000
"""Ways of one operation that are looked at."""
WAITED: Final = "wait-fence "
"""Before the name of a job, in what was done: that job alone has been waited for."""
KEEPING: Final = "keep-numbers"
"""Among what was done: frame numbers are used on that were given back."""
MAPPED: Final = "mapped"
"""The state that some VMA shows the buffer."""
PLACES: Final = ("vram", "gtt", "system", "swapped", "none")
"""A buffer is in one of them."""
MAY_FAIL: Final = frozenset({"refuse-when", "refuse-unless", "room", "alloc", "insert"})


class DriverWay(NamedTuple):
    """How things stand somewhere in an operation."""

    known: tuple[tuple[str, bool], ...] = ()
    """What has turned out, or was done, about the buffer's states, sorted."""
    held: tuple[tuple[str, bool], ...] = ()
    """(lock, whether for reading), in the order in which they were taken."""
    failed: bool = False
    """A step has ended with an error: of this list and its callers only `unlock` is left."""
    zap: str = "none"
    """What became of the entries: `none`, `part`, `no-flush`, `all`."""
    zapped: tuple[BufferPart, ...] = ()
    """The parts whose entries were taken away."""
    moved: BufferPart = WHOLE
    """What `alloc` has got memory for."""
    copied: tuple[BufferPart, ...] = ()
    """What was copied of it."""
    guarded: bool = True
    """Since the zap no fault could bring entries back."""
    bare: bool = False
    """No VMA showed the buffer, and since then nobody could make an entry."""
    done: frozenset[str] = frozenset()
    """Words of the steps that came to pass."""

    def knows(self, state: str) -> bool | None:
        """Whether the buffer is in a state; None: it may be."""
        return dict(self.known).get(state)

    def learns(self, state: str, value: bool) -> "DriverWay":
        """The same, with a state known. Of the places only one can be."""
        known = dict(self.known)
        if value and state in PLACES:
            known |= dict.fromkeys(PLACES, False)
        known[state] = value
        return self._replace(known=tuple(sorted(known.items())))

    def forgets_place(self) -> "DriverWay":
        """The buffer is somewhere else now."""
        return self._replace(known=tuple(pair for pair in self.known if pair[0] not in PLACES))

    def goes_on(self, driver: KernelDriver) -> "DriverWay":
        """The next micro-step comes: somebody may have mapped the buffer, or made entries, unless a lock forbids it."""
        writers = {lock for lock, read in self.held if not read}
        closed = bool(writers & set(driver.mmap_locks))
        faults = {lock for lock, _ in driver.fault_locks}
        bare = (self.bare or self.knows(MAPPED) is False) and (closed or (driver.at == "fault" and writers & faults))
        known = self.known if closed else tuple(pair for pair in self.known if pair != (MAPPED, False))
        return self._replace(known=known, bare=bool(bare))

    def loses_memory(self) -> "DriverWay":
        """The same without memory: swapped out, or nowhere."""
        known = dict(self.forgets_place().known) | dict.fromkeys(("vram", "gtt", "system"), False)
        return self._replace(known=tuple(sorted(known.items())))

    @property
    def states(self) -> str:
        """The combination of states as a phrase; empty where nothing was asked.

        >>> DriverWay(known=(("gone", False), ("vram", True))).states
        'where it is in vram, not in gone'
        """
        told = [state if value else f"not in {state}" for state, value in self.known]
        positive = [f"in {state}" for state, value in self.known if value]
        shown = [*positive, *(text for text in told if text.startswith("not ") and text[7:] not in PLACES)]
        return f"where it is {', '.join(shown)}" if shown else ""


Visit = Callable[[DriverWay, DriverLine], DriverWay]
"""Looks at a step that is about to be done, and says how things stand behind it."""


class TooManyWaysError(Exception):
    """More than MOST_WALKS."""


class Paths:
    """The ways through the operations of a driver."""

    def __init__(self, driver: KernelDriver, visit: Visit) -> None:
        self.driver = driver
        self.visit = visit
        self.seen = 0

    def ends(self, one: StepList, start: DriverWay) -> list[DriverWay]:
        """How things may stand behind a list that begins so; equal ways once. Raises TooManyWaysError."""
        walks = [start]
        for step in one.steps:
            behind: dict[DriverWay, None] = {}
            for walk in walks:
                self.seen += 1
                if self.seen > MOST_WALKS:
                    raise TooManyWaysError
                behind.update(dict.fromkeys(self._step(step, walk)))
            walks = list(behind)
        return walks

    def _step(self, step: DriverLine, walk: DriverWay) -> Iterator[DriverWay]:
        """A step, and those that are joined to it, in one way or several."""
        if walk.failed and step.word != "unlock":
            yield walk
            return
        yield from (passed for passed in _otherwise(step, walk))
        chosen = _chosen(step, walk)
        if chosen is None:
            return
        walks = [chosen]
        for part in (step, *step.joined):
            walks = [
                after
                for before in walks
                for after in ([before] if before.failed > walk.failed else self._part(part, before))
            ]
        # Whoever maps it comes between any two micro-steps; a refusal belongs to the step that follows it.
        yield from walks if step.word in ASKED else (walk.goes_on(self.driver) for walk in walks)

    def _part(self, part: DriverLine, walk: DriverWay) -> Iterator[DriverWay]:
        """One of the steps of a micro-step; behind an error this is an `unlock`."""
        if part.word == "call":
            callee = self.driver.steps(part.word_at("NAME"))
            yield from self.ends(callee, walk) if callee is not None else [walk]
            return
        state = part.word_at("STATE")
        if part.word in {"refuse-when", "refuse-unless"}:
            refuses = part.word == "refuse-when"
            for value in (True, False) if walk.knows(state) is None else (walk.knows(state),):
                learnt = walk.learns(state, bool(value))
                yield learnt._replace(failed=True) if value == refuses else learnt
            return
        if part.word in MAY_FAIL or part.has("try"):
            yield walk._replace(failed=True)
        after = self.visit(walk, part)
        if part.word in {"set", "clear"}:
            after = after.learns(state, part.word == "set")
        if part.word == "switch":
            after = after.forgets_place()
        elif part.has(KEEPING):
            after = after._replace(done=after.done | {KEEPING})
        elif part.word in {"free", "put"} and "switch" not in walk.done:
            after = after.loses_memory()
        named = f"{WAITED}{name}" if part.word == "wait-fence" and (name := part.word_at("NAME")) else part.word
        yield after._replace(done=after.done | {named})


def _chosen(step: DriverLine, walk: DriverWay) -> DriverWay | None:
    """The way on which a step is done, or None if it cannot be."""
    for state, wanted in step.when:
        known = walk.knows(state)
        if known is not None and known != wanted:
            return None
        walk = walk.learns(state, wanted)
    return walk


def _otherwise(step: DriverLine, walk: DriverWay) -> Iterator[DriverWay]:
    """The ways on which a step is left out: each of its conditions may be the one that is not met."""
    for state, wanted in step.when:
        known = walk.knows(state)
        if known is None:
            yield walk.learns(state, not wanted)
        elif known != wanted:
            yield walk
            return
        walk = walk.learns(state, wanted)
