"""What every record of a State is: frozen, compared by value; and how the changed one is made."""

from collections.abc import Iterable
from typing import Any, TypeVar, cast

import msgspec


class Record(msgspec.Struct, frozen=True, omit_defaults=True, gc=False):
    """What all records share: frozen, compared and hashed by value, JSON without the defaults."""


R = TypeVar("R", bound=msgspec.Struct)


def replaced(record: R, **fields: object) -> R:
    """The record with some fields changed. One that stands for a record in a search knows itself how that is done."""
    known: Any = record
    if isinstance(known, msgspec.Struct):
        return msgspec.structs.replace(record, **fields)
    return cast("R", known.with_fields(fields))


def differ(old: object, new: object, field: str) -> bool:
    """Whether a record and what it has become differ in a field. Of a record in a search just what was set is read."""
    known: Any = new
    if isinstance(known, msgspec.Struct):
        return bool(getattr(old, field) != getattr(new, field))
    return bool(known.differs(old, field))


def changed_fields(old: object, new: object, fields: Iterable[str]) -> list[str]:
    """Those of some fields in which a record and what it has become differ, as `differ` says."""
    known: Any = new
    if isinstance(known, msgspec.Struct):
        return [field for field in fields if getattr(old, field) != getattr(new, field)]
    return [field for field in fields if known.differs(old, field)]
