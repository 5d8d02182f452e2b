"""Random scripts: whatever is typed, nothing breaks but what may break.

Scripts are drawn from the verb table itself, so a new verb is covered on the day it is added. After each micro-step
the invariants are checked incrementally, after each command also from scratch, and both must agree. Counts, locks,
TLBs and the kernel's own complaints must be in order at all times: only a device that writes through a stale
reference is allowed to do harm.

The number of scripts is taken from PTESCOPE_EXAMPLES; all 10 000 that the project promises are run by

    PTESCOPE_EXAMPLES=10000 pytest tests/model/test_random_scripts.py
"""

import os
from typing import Final

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from model.invariants.checker import Checker
from model.memory.state import State
from model.script.account import Runner
from model.script.calls import CALLS, SIMULATED_BACKINGS, not_simulated
from model.script.command import Command
from model.script.operands import (
    Branch,
    Choice,
    Form,
    Held,
    MappingOf,
    Name,
    Nested,
    NewLabel,
    NewName,
    Number,
    OneOf,
    Operand,
    Prot,
    Rest,
    Setting,
    Where,
)
from model.script.parser import parse_line
from model.script.problems import ScriptError
from model.script.scope import Scope
from model.script.verbs import VERBS

EXAMPLES: Final = int(os.environ.get("PTESCOPE_EXAMPLES", "400"))
LONGEST: Final = 25

SELF_INFLICTED: Final = frozenset({"stale-reference", "lost-write", "foreign-dma"})
"""What a script can do to itself with a reference that it keeps too long, or took for reading and lets a device write
through. Every other invariant is a promise of the model."""

PRELUDE: Final = (
    "process p0",
    "device nic",
    "memfd f0 5",
    "mmap p0 a anon private rw 4",
    "mmap p0 b memfd:f0 shared rw 4",
)
BUFFERS: Final = frozenset(
    {
        "bo",
        "dax",
        "export",
        "attach",
        "map",
        "unmap",
        "detach",
        "move",
        "evict",
        "invalidate",
        "destroy",
        "follow",
        "grab",
    }
)
"""Verbs for memory that no reference count governs, and for taking it blindly: with these anything can be broken."""
RUNNABLE: Final = tuple(
    verb for verb in VERBS if verb not in BUFFERS and (VERBS[verb].role != "kernel" or verb in CALLS)
)
OFTEN: Final = ("mmap", "write", "read", "gup", "fork", "madvise", "begin", "step", "step", "finish")
WEIGHTED: Final = ("note", *RUNNABLE, *OFTEN, *OFTEN, *OFTEN)
"""What comes first is what a failing example shrinks to."""


def draw_line(draw: st.DrawFn, scope: Scope) -> str:
    """One command, mostly of names that exist."""
    verb = draw(st.sampled_from(WEIGHTED))
    return " ".join((verb, *draw_form(draw, VERBS[verb].form, scope, {})))


def draw_form(draw: st.DrawFn, form: Form, scope: Scope, chosen: dict[str, str]) -> list[str]:
    """Operands, then some of the options."""
    words: list[str] = []
    for operand in form.operands:
        if operand.optional and draw(st.booleans()):
            continue
        word = draw_word(draw, operand, scope, chosen)
        chosen[operand.name] = word
        words.append(word)
        if isinstance(operand, Branch):
            words += draw_form(draw, operand.forms[word], scope, chosen)
    for option in form.options:
        if not option.required and draw(st.integers(0, 3)):
            continue
        words.append(
            option.key if option.value is None else f"{option.key}={draw_word(draw, option.value, scope, chosen)}"
        )
    return words


def draw_word(draw: st.DrawFn, operand: Operand, scope: Scope, chosen: dict[str, str]) -> str:
    """Something for an operand, sensible or not."""
    match operand:
        case Number():
            high = min(operand.high, draw(st.sampled_from((3, 9, 9, 40, 1 << 52))))
            return str(draw(st.integers(operand.low, max(operand.low, high))))
        case Held():
            return f"{existing(draw, scope, operand)}{draw(st.sampled_from(('', '', '+1', '+9')))}"
        case Name():
            return existing(draw, scope, operand)
        case NewName():
            return f"{operand.kind[0]}{draw(st.integers(0, 3))}"
        case NewLabel():
            return draw(st.sampled_from("abcd"))
        case MappingOf():
            return draw_backing(draw, operand, scope)
        case Where():
            return draw_place(draw, operand, scope, chosen)
        case Prot():
            return draw(st.sampled_from(("r", "rw", "rw", "rwx", "x", "none")))
        case Setting():
            return draw(st.sampled_from(operand.values[chosen["KEY"]]))
        case Nested():
            verb = draw(st.sampled_from([verb for verb in WEIGHTED if VERBS[verb].role == "kernel"]))
            return " ".join((verb, *draw_form(draw, VERBS[verb].form, scope, {})))
        case Choice():
            return draw(st.sampled_from(operand.choices))
        case OneOf():
            return draw(st.sampled_from(sorted(operand.known())))
        case Rest():
            return draw(st.text("ab #", min_size=1, max_size=5))
        case _:
            raise AssertionError(f"nothing to draw for {operand}")


def existing(draw: st.DrawFn, scope: Scope, operand: Name) -> str:
    """A name that is known, nine times out of ten."""
    known = scope.made_by(operand.kind, operand.made_by)
    return str(draw(st.sampled_from([*known] * 9 + ["nobody"])))


def draw_backing(draw: st.DrawFn, operand: MappingOf, scope: Scope) -> str:
    kinds = sorted(kind for kind in SIMULATED_BACKINGS if operand.kinds[kind] is None)
    kind = draw(st.sampled_from(("anon",) * 4 + ("memfd", "file") * 3 + tuple(kinds)))
    owner = operand.kinds[kind]
    return kind if owner is None else f"{kind}:{existing(draw, scope, owner)}"


def draw_place(draw: st.DrawFn, operand: Where, scope: Scope, chosen: dict[str, str]) -> str:
    label = str(draw(st.sampled_from([*scope.labels.get(chosen.get(operand.of, ""), ()), "@"])))
    page = int(draw(st.sampled_from((0, 1, 2, 3, 4) if label != "@" else (0, 16, 17, 20, 21, 23, 511, (1 << 35) - 1))))
    if label != "@" and draw(st.booleans()):
        return label
    if operand.many and draw(st.booleans()):
        return f"{label}[{page}:{page + draw(st.sampled_from((1, 2, 3, 600)))}]"
    return f"{label}{page}" if label == "@" else f"{label}+{page}"


@st.composite
def scripts(draw: st.DrawFn) -> list[str]:
    """The lines of a script, wrong ones included; the names of the right ones are there for those that follow."""
    scope = Scope()
    lines = [*PRELUDE] if draw(st.integers(0, 9)) else []
    for line in lines:
        parse_line(line, scope)
    for _ in range(draw(st.integers(1, LONGEST))):
        line = draw_line(draw, scope)
        lines.append(line)
        try:
            parse_line(line, scope)
        except ScriptError:
            continue
    return lines


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(scripts())
def test_no_script_breaks_the_model(lines: list[str]) -> None:
    runner, scope = Runner(), Scope()
    for number, line in enumerate(lines, 1):
        try:
            command = parse_line(line, scope, number)
        except ScriptError:
            continue
        if command is None or not possible(command):
            continue
        account = runner.perform(command)
        broken = {violation.invariant for violation in account.violations} - SELF_INFLICTED
        assert not broken, (line, account.violations)
        assert runner.checker == Checker.full(account.state), line
    assert State.from_json(runner.context.state.to_json()) == runner.context.state


def possible(command: Command) -> bool:
    """Whether the kernel has what the command asks for."""
    inner = command.operands.get("COMMAND")
    if isinstance(inner, Command):
        return possible(inner)
    return VERBS[command.verb].role != "kernel" or not not_simulated(command)
