"""Other names for the same things, put into every record of a State: for states that differ in nothing else.

What in a record is a name follows from its types: every `str` may be one, and every number with a mark of
`model.memory.units`. Vpns, offsets, counts and flags are no names.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache, partial
from types import NoneType, UnionType
from typing import Annotated, Any, Final, Literal, NamedTuple, Union, get_args, get_origin, get_type_hints

import msgspec
from rpds import HashTrieSet

from model.invariants.holders import Crowd, Holder
from model.memory.records import Pte
from model.memory.tasks import Locals
from model.memory.units import FrameMapping, Names, Ordered, Unit, Words


class NamePermutation(NamedTuple):
    """A permutation of names."""

    strings: Mapping[str, str]
    """Of processes, devices, references, tasks …; what is missing keeps its name."""
    numbers: Mapping[Unit, Mapping[int, int]]
    permissions: tuple[int, ...] = ()
    """Number of a permission → number of the one that takes its place."""


NOTHING: Final[Mapping[int, int]] = {}
ANON: Final = "anon_vma:"

Rename = Callable[[Any, NamePermutation], Any]
"""Puts the other names into a value."""


def rename(hint: Any, value: Any, renaming: NamePermutation) -> Any:
    """A value of a declared type under other names; the very same object where it bears none of them."""
    renamer = renamer_of(hint)
    return value if renamer is None else renamer(value, renaming)


@cache
def renamer_of(hint: Any) -> Rename | None:
    """How values of a type are renamed; None where they bear no names."""
    if hint is str:
        return _string
    if hint is Any or hint is object or hint is Locals:
        return _by_class
    if isinstance(hint, type) and get_origin(hint) is None:
        return _renamer_of_class(hint)
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _renamer_of_marked(arguments[0], arguments[1:])
    if origin in (Union, UnionType):
        return _by_class if any(renamer_of(part) for part in arguments if part is not NoneType) else None
    if origin is Literal:
        return None
    if origin is tuple:
        return _renamer_of_tuple(arguments)
    if origin in (frozenset, HashTrieSet):
        return _renamer_of_set(origin, arguments[0])
    raise TypeError(f"no way to rename a {hint}")


def _renamer_of_marked(base: Any, marks: tuple[Any, ...]) -> Rename | None:
    for mark in marks:
        if isinstance(mark, Names):
            return partial(_number, mark.unit)
        if isinstance(mark, Words):
            return None
        if isinstance(mark, FrameMapping):
            return _mapping
    inner = renamer_of(base)
    if inner is not None and any(isinstance(mark, Ordered) for mark in marks):
        return lambda value, renaming: _sorted(value, inner(value, renaming))
    return inner


def _renamer_of_class(hint: type) -> Rename | None:
    if issubclass(hint, msgspec.Struct):
        return _record
    if hint is Holder:
        return _holder
    if issubclass(hint, tuple) and hasattr(hint, "_fields"):
        return _named_tuple
    return None


def _renamer_of_tuple(arguments: tuple[Any, ...]) -> Rename | None:
    if len(arguments) == 2 and arguments[1] is Ellipsis:
        inner = renamer_of(arguments[0])
        return None if inner is None else lambda value, renaming: _kept(value, [inner(one, renaming) for one in value])
    parts = [renamer_of(part) for part in arguments]
    if not any(parts):
        return None
    return lambda value, renaming: _kept(
        value, [part(one, renaming) if part else one for part, one in zip(parts, value, strict=True)]
    )


def _renamer_of_set(kind: Any, argument: Any) -> Rename | None:
    inner = renamer_of(argument)
    return None if inner is None else lambda value, renaming: kind([inner(one, renaming) for one in value])


def _kept(old: tuple[Any, ...], new: list[Any]) -> tuple[Any, ...]:
    """The old tuple where nothing has changed."""
    return old if all(one is other for one, other in zip(old, new, strict=True)) else tuple(new)


def _sorted(old: tuple[Any, ...], new: tuple[Any, ...]) -> tuple[Any, ...]:
    return old if new is old else tuple(sorted(new))


def _string(value: Any, renaming: NamePermutation) -> Any:
    """A name; the owner of page tables is one with their level."""
    if isinstance(value, tuple):
        return _kept(value, [_string(value[0], renaming), *value[1:]])
    return renaming.strings.get(value, value)


def _number(unit: Unit, value: int, renaming: NamePermutation) -> int:
    return renaming.numbers.get(unit, NOTHING).get(value, value)


def _mapping(value: str, renaming: NamePermutation) -> str:
    """Frame.mapping: the number of an anon_vma behind a word, or the name of a file."""
    if value.startswith(ANON):
        return f"{ANON}{_number('anon_vma', int(value.removeprefix(ANON)), renaming)}"
    return renaming.strings.get(value, value)


def _by_class(value: Any, renaming: NamePermutation) -> Any:
    """By what the value is, where the type leaves it open: a procedure, or nothing."""
    if value is None:
        return None
    if isinstance(value, tuple) and not hasattr(value, "_fields"):
        return HELD(value, renaming)
    kind: Any = type(value)
    renamer = renamer_of(kind)
    return renamer(value, renaming) if renamer else value


def _record(value: msgspec.Struct, renaming: NamePermutation) -> msgspec.Struct:
    """A record with all that it says under other names."""
    if isinstance(value, Pte) and value.kind in {"swap", "marker"}:
        return value
    changed = {}
    for name, renamer in _fields(type(value)):
        old = getattr(value, name)
        new = renamer(old, renaming)
        if new is not old:
            changed[name] = new
    return msgspec.structs.replace(value, **changed) if changed else value


@cache
def _fields(record: Any) -> tuple[tuple[str, Rename], ...]:
    """The fields of a record that can bear names."""
    hints = get_type_hints(record, include_extras=True)
    found = [(name, renamer_of(hints[name])) for name in record.__struct_fields__]
    return tuple((name, renamer) for name, renamer in found if renamer is not None)


def _named_tuple(value: Any, renaming: NamePermutation) -> Any:
    if isinstance(value, Crowd):
        return Crowd(value.tally, HashTrieSet([_holder(one, renaming) for one in value.members]))
    hints = get_type_hints(type(value), include_extras=True)
    return type(value)(*(rename(hints[name], getattr(value, name), renaming) for name in value._fields))


def _holder(value: Holder, renaming: NamePermutation) -> Holder:
    """The owner, and for a TLB entry the CPU, which stands where others have the level of their table."""
    owner = renaming.strings.get(value.owner, value.owner)
    level = renaming.numbers.get("cpu", {}).get(value.level, value.level) if value.kind == "tlb" else value.level
    return value if owner == value.owner and level == value.level else value._replace(owner=owner, level=level)


def _held(value: Any, renaming: NamePermutation) -> Any:
    new = _kept(value, [_holder(one, renaming) for one in value])
    return _sorted(value, new)


HELD: Final[Rename] = _held
"""The holders of a frame, where they are few."""
