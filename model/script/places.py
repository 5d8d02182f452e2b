"""From the places and names in a command to what they stand for in a State."""

from collections.abc import Iterator
from typing import cast

from model.memory.state import Memory, State
from model.script.command import BackingSpec, Command, Place, RefPage, Value
from model.script.operands import MappingOf, Name, NewName, Operand
from model.script.pages import Missing, pages_at
from model.script.scope import KINDS
from model.script.verbs import verb_of


def resolve(state: Memory, process: str, command: Command, key: str) -> tuple[int, int]:
    """The pages that operand `key` of a command means: (first virtual page, number of pages).

    A bare label is all of what it labels. Raises Missing for a label that does not exist (any more).
    """
    return pages_at(state, process, cast("Place", command.operands[key]))


def check_names(state: State, command: Command) -> None:
    """Raise Missing for the first name that `command` uses and that does not exist now."""
    for operand, value in arguments(command):
        used = _used(operand, value)
        if used and (not exists(state, *used) or _not_running(state, *used)):
            raise Missing(*used)


def _not_running(state: State, kind: str, name: str) -> bool:
    """Whether it is a process that has only its own end before it, or that fork() has not let go yet."""
    return kind == "process" and (state.processes[name].exiting or state.processes[name].forking)


def taken(state: State, command: Command) -> str:
    """The first thing that `command` would create although there is one of that name; empty if none."""
    for operand, value in arguments(command):
        if isinstance(operand, NewName) and exists(state, operand.kind, str(value)):
            return f"{operand.kind} {value}"
    return ""


def exists(state: State, kind: str, name: str) -> bool:
    """Whether there is such a thing now."""
    return name in getattr(state, KINDS[kind], ())


def arguments(command: Command) -> Iterator[tuple[Operand, Value]]:
    """Everything that was given to a command: (how it is declared, its value)."""
    form = verb_of(command.verb).form
    yield from _operands(form.operands, command)
    for option in form.options:
        if option.value is not None and option.key in command.options:
            yield option.value, command.options[option.key]


def _operands(operands: tuple[Operand, ...], command: Command) -> Iterator[tuple[Operand, Value]]:
    for operand in operands:
        value = command.operands.get(operand.name)
        if value is None:
            continue
        yield operand, value
        yield from _operands(operand.following(value).operands, command)


def _used(operand: Operand, value: Value) -> tuple[str, str] | None:
    """(kind, name) of what an argument needs to exist."""
    if isinstance(value, RefPage):
        return "reference", value.reference
    if isinstance(operand, MappingOf) and isinstance(value, BackingSpec):
        owner = operand.kinds[value.kind]
        return (owner.kind, value.of) if owner else None
    return (operand.kind, str(value)) if isinstance(operand, Name) else None
