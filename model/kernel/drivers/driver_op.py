"""An operation of a driver that is described by a file: its list of steps, one micro-step each, in the file's order.

What a step does stands in `model.kernel.drivers.driver_steps`; here is who runs them. An error ends a list: of the
steps that are left only `unlock` is done.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import ClassVar, Final

from model.driver_files.line_forms import ASKED
from model.driver_files.parser import parse_step
from model.driver_files.records import DriverLine
from model.engine.procedure import Blocked, CallOut, Done, MicroStep, Outcome, Procedure, call, done, fail, goto, step
from model.kernel.drivers.buffer import EVICTED_BY_OTHERS, drop_handle, get_buffer, lookup_buffer
from model.kernel.drivers.driver import has_condition
from model.kernel.drivers.mapping_counts import count_user
from model.kernel.mm.filemap import release_file
from model.memory.buffer_records import Buffer
from model.memory.errno import ENOENT
from model.memory.state import Memory, Transaction
from model.memory.units import Pfn, Word
from model.text.docstrings import docstring


@lru_cache(maxsize=1024)
def steps_of(code: str) -> tuple[DriverLine, ...]:
    """The steps that a running list carries with it as text."""
    return tuple(parse_step(line) for line in code.split("\n") if line)


class driver_op(Procedure):
    """A list of steps of a driver. Returns 0 or an errno."""

    source: ClassVar[str] = "a driver's own operation"
    buffer: str
    driver: Word
    named: Word
    """The kernel function that it is, or DRIVER_OP."""
    code: Word
    said: Word = ""
    """Where that function stands."""
    place: Word = ""
    """Where `move B PLACE` wants the buffer."""
    entered: bool = False
    """A verb has called it, not another list: it keeps the buffer alive meanwhile."""
    at: int = 0
    """The step that comes next."""
    error: int = 0
    """A negated errno: only unlocking is left."""
    for_room: bool = False
    """Somebody else needs the room: a buffer without a handle, which is only mapped, is evicted as well."""
    evicting: str = ""
    """Another buffer, which is leaving the video memory for us."""
    index: int = 0
    """The page that `shrink` comes to next."""
    frames: tuple[Pfn, ...] = ()
    """The new memory, until the buffer has it."""
    first: int = 0
    """The page of the buffer that its first frame is for: more than 0 where a part moves."""
    old_frames: tuple[Pfn, ...] = ()
    """The memory before, until it is free."""
    switched: bool = False
    """The buffer is the new memory: what is freed from here on is the old."""

    @property
    def function(self) -> str:
        """As the file says."""
        return self.named

    @property
    def next_step(self) -> MicroStep:
        """The step of the file that comes next, with what the file and the kind of step say of it."""
        steps, number = steps_of(self.code), self.at
        if self.error or self.ret < 0:
            while number < len(steps) and steps[number].word != "unlock":
                number += 1
        while number < len(steps) - 1 and steps[number].word in ASKED:
            number += 1
        body = self.steps[0].body
        if number >= len(steps):
            return MicroStep("return", "The list is at its end.", self.said, body)
        one = steps[number]
        meanings = [meaning_of(part.word) for part in (one, *one.joined) if part.word != "call" or not one.words]
        doc = " ".join(filter(None, (one.words, *meanings)))
        return MicroStep(one.word_at("NAME") if one.word == "call" else one.word, doc, one.source or self.said, body)

    @property
    def next_name(self) -> str:
        """The step that comes next by its name."""
        return self.next_step.name

    def position(self, tx: Transaction, steps: tuple[DriverLine, ...]) -> int:
        """The number of the step that comes next: in the states that it asks for; behind an error only `unlock`."""
        number = self.at
        while number < len(steps) and not self.is_done(tx, steps[number]):
            number += 1
        return min(number, len(steps))

    def is_done(self, tx: Transaction, one: DriverLine) -> bool:
        """Whether a step is done at all as things stand."""
        if self.error and one.word != "unlock":
            return False
        return all(has_condition(tx, self.buffer, state) == wanted for state, wanted in one.when)

    def bo(self, mem: Memory) -> Buffer:
        """The buffer: it changes in the course of the list."""
        return mem.buffers[self.buffer]

    @step
    def perform(self, tx: Transaction) -> Outcome:
        """The next step of the list."""
        steps = steps_of(self.code)
        if self.entered and self.at == 0:
            bo = tx.buffers.get(self.buffer) if self.for_room else lookup_buffer(tx, self.buffer)
            if bo is None or bo.place == self.place:
                return done() if bo is not None else fail(ENOENT)
            count_user(tx, self.buffer)
            get_buffer(tx, self.buffer)
        if self.evicting and -self.ret in EVICTED_BY_OTHERS:
            self.ret = 0
        self.error, self.ret = self.error or min(self.ret, 0), 0
        self.at = self.position(tx, steps)
        while self.at < len(steps):
            one = steps[self.at]
            self.at += 1
            outcome = self.together(tx, one)
            if isinstance(outcome, Blocked):
                return outcome
            if isinstance(outcome, CallOut):
                last = self.at == len(steps) and not self.entered
                return outcome if last else call(outcome.procedure, then=driver_op.perform)
            if isinstance(outcome, Done):
                self.error = outcome.value
            self.at = self.position(tx, steps)
            if one.word not in ASKED:
                break
        return self.leave(tx) if self.at >= len(steps) else goto(driver_op.perform)

    def together(self, tx: Transaction, one: DriverLine) -> Outcome:
        """A step, and those that belong to the same micro-step."""
        for part in (one, *one.joined):
            outcome = PERFORMED[part.word](self, tx, part)
            if outcome is not None:
                return outcome
        return None

    def leave(self, tx: Transaction) -> Outcome:
        """The list is at its end; if the buffer's last user has left meanwhile, it goes."""
        if self.entered:
            file = tx.buffers[self.buffer].file
            if drop_handle(tx, self.buffer):
                release_file(tx, file)
        return done(self.error)


Performed = Callable[[driver_op, Transaction, DriverLine], Outcome]
PERFORMED: Final[dict[str, Performed]] = {}
"""Word → what it does: filled by `performs`. A `Done` is an error, a call is made and comes back."""


def performs(word: str) -> Callable[[Performed], Performed]:
    """Mark a function as what a step does; its docstring is what the learner reads."""

    def register(body: Performed) -> Performed:
        PERFORMED[word] = body
        return body

    return register


def meaning_of(word: str) -> str:
    """What a step does, in words."""
    return " ".join(docstring(PERFORMED[word]).split())
