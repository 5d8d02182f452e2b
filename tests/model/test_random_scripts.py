"""Random scripts: whatever is typed, nothing breaks but what may break.

Scripts are drawn from the verb table itself (`drawing`). After each micro-step the invariants are checked
incrementally, after each command (each eighth, with buffers) also from scratch, and both must agree. Where counts
govern memory, these, locks, TLBs and the kernel's own complaints must be in order at all times: only a device that
writes through a stale reference is allowed to do harm. With buffers, bad drivers and careless grabbers anything may be
broken, but nothing may raise.

The number of scripts is taken from PTESCOPE_EXAMPLES; all 10 000 that the project promises are run by

    PTESCOPE_EXAMPLES=10000 pytest tests/model/test_random_scripts.py
"""

import os
from typing import Final

from hypothesis import HealthCheck, given, settings

from model.engine.config import SETTINGS
from model.invariants.checker import Checker
from model.script.command import Command
from model.script.dispatch import CALLS, SIMULATED_BACKINGS, not_simulated
from model.script.runner import Account, Runner
from model.script.verbs import BACKINGS, VERBS, verb_of
from tests.model.random_scripts import Dialect, commands, scripts

EXAMPLES: Final = int(os.environ.get("PTESCOPE_EXAMPLES", "250"))

SELF_INFLICTED: Final = frozenset(
    {"stale-reference", "lost-write", "foreign-dma", "read-only-write", "clean-page-written", "secret-access"}
)
"""What a script can do to itself with a reference that it keeps too long, or took for reading and lets a device write
through. Every other invariant is a promise of the model."""

BUFFER_VERBS: Final = (
    *("bo", "dax", "export", "attach", "map", "unmap", "detach", "move", "evict", "invalidate", "destroy"),
    *("follow", "grab"),
)
"""Verbs for memory that no reference count governs, and for taking it blindly."""
RUNNABLE: Final = tuple(verb for verb in VERBS if VERBS[verb].role != "kernel" or verb in CALLS)
OFTEN: Final = ("mmap", "write", "read", "gup", "fork", "madvise", "begin", "step", "step", "finish")
UNOWNED: Final = tuple(sorted(kind for kind in SIMULATED_BACKINGS if BACKINGS[kind] is None))

COUNTED: Final = Dialect(
    prelude=(
        "process p0",
        "device nic",
        "memfd f0 5",
        "mmap p0 a anon private rw 4",
        "mmap p0 b memfd:f0 shared rw 4",
    ),
    verbs=("note", *(verb for verb in RUNNABLE if verb not in BUFFER_VERBS), *OFTEN, *OFTEN, *OFTEN),
    backings=("anon",) * 4 + ("memfd", "file") * 3 + UNOWNED,
)
"""Ordinary memory, which its counts govern."""

UNCOUNTED: Final = Dialect(
    prelude=(
        "device nic",
        "process p0",
        "memfd f0 5",
        "bo b0 4 in=gtt",
        "export b0 as=d0",
        "mmap p0 a bo:b0 shared rw 4",
        "bo b1 512 in=gtt exporter=ttm-huge caching=cached",
        "mmap p0 b bo:b1 shared rw 512 at=512",
    ),
    verbs=("note", *RUNNABLE, *BUFFER_VERBS, *BUFFER_VERBS, *OFTEN, *OFTEN),
    backings=("bo", "dmabuf", "dax") * 3 + ("anon", "memfd", "bar", "devmem"),
    settings=tuple(SETTINGS),
)
"""Buffers and storage, every driver, every defence."""


def performed(lines: list[str], every: int = 1) -> list[Account]:
    """Carry all of it out, checking after `every` so manyth command, and at the end, that the checker is whole."""
    runner, accounts = Runner(), []
    possible_ones = [command for command in commands(lines) if possible(command)]
    for number, command in enumerate(possible_ones, 1):
        accounts.append(runner.perform(command))
        if number % every == 0 or number == len(possible_ones):
            assert runner.checker == Checker.full(runner.context.state), command.text
    return accounts


def possible(command: Command) -> bool:
    """Whether the kernel has what the command asks for."""
    inner = command.operands.get("COMMAND")
    if isinstance(inner, Command):
        return possible(inner)
    return verb_of(command.verb).role != "kernel" or not not_simulated(command)


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(scripts(COUNTED))
def test_no_script_breaks_the_model(lines: list[str]) -> None:
    for account in performed(lines):
        broken = {violation.invariant for violation in account.violations} - SELF_INFLICTED
        assert not broken, (account.command.text, account.violations)


@settings(max_examples=max(EXAMPLES // 4, 1), deadline=None, suppress_health_check=list(HealthCheck))
@given(scripts(UNCOUNTED))
def test_no_driver_defence_or_grabber_raises(lines: list[str]) -> None:
    """Looking at all 512 pages of the huge buffer takes longer than commands do; what a checker misses stays missed."""
    assert len(performed(lines, every=8)) <= len(lines)
