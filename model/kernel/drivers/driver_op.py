"""An operation of a driver that is described by a file: its list of steps, one micro-step each, in the file's order.

What a step does stands in `model.kernel.drivers.driver_steps`; here is who runs them. An error ends a list: of the
steps that are left only `unlock` is done.
"""

from collections.abc import Callable
from functools import lru_cache
from typing import ClassVar, Final

from model.driver_files.parser import parse_step
from model.driver_files.records import DriverLine
from model.engine.procedure import Blocked, CallOut, Done, MicroStep, Outcome, Procedure, call, done, fail, goto, step
from model.kernel.drivers.buffer import drop_handle, get_buffer, lookup_buffer
from model.kernel.mm.filemap import release_file
from model.memory.errno import ENOENT
from model.memory.records import Buffer
from model.memory.state import Memory, Transaction
from model.memory.units import Pfn, Word


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
    evicting: bool = False
    """Another buffer is leaving the video memory for us."""
    frames: tuple[Pfn, ...] = ()
    """The new memory, until the buffer has it."""
    old_frames: tuple[Pfn, ...] = ()
    """The memory before, until it is free."""

    @property
    def function(self) -> str:
        """As the file says."""
        return self.named

    @property
    def next_step(self) -> MicroStep:
        """The step of the file that comes next, with what the file and the kind of step say of it."""
        steps = steps_of(self.code)
        number = self.position(steps)
        body = self.steps[0].body
        if number == len(steps):
            return MicroStep(
                "return", "The operation is over. Whoever worked on the buffer lets go of it.", self.said, body
            )
        one = steps[number]
        meaning = meaning_of(one.word)
        doc = f"{one.words} {meaning}" if one.words else meaning
        return MicroStep(one.word_at("NAME") if one.word == "call" else one.word, doc, one.source or self.said, body)

    def position(self, steps: tuple[DriverLine, ...]) -> int:
        """The number of the step that comes next: behind an error the next `unlock`."""
        number = self.at
        if self.error or self.ret < 0:
            while number < len(steps) and steps[number].word != "unlock":
                number += 1
        return number

    def bo(self, mem: Memory) -> Buffer:
        """The buffer: it changes in the course of the list."""
        return mem.buffers[self.buffer]

    @step
    def perform(self, tx: Transaction) -> Outcome:
        """The next step of the list."""
        steps = steps_of(self.code)
        if self.entered and self.at == 0:
            if lookup_buffer(tx, self.buffer) is None:
                return fail(ENOENT)
            get_buffer(tx, self.buffer)
        self.at = self.position(steps)
        self.error, self.ret = self.error or min(self.ret, 0), 0
        if self.at == len(steps):
            return self.leave(tx)
        one = steps[self.at]
        self.at += 1
        outcome = PERFORMED[one.word](self, tx, one)
        if isinstance(outcome, Blocked):
            return outcome
        if isinstance(outcome, Done):
            self.error = outcome.value
        last = self.position(steps) == len(steps)
        if isinstance(outcome, CallOut):
            return outcome if last and not self.entered else call(outcome.procedure, then=driver_op.perform)
        return self.leave(tx) if last else goto(driver_op.perform)

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
    return " ".join((PERFORMED[word].__doc__ or "").split())
