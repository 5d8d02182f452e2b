"""BLAKE2, and the hash of one entry of a State, of which the State's fingerprint is made.

hashlib would load OpenSSL besides, which takes longer than any other module of the start.
"""

from typing import Final

from msgspec import Struct
from msgspec.msgpack import encode
from msgspec.structs import astuple

try:
    from _blake2 import blake2b
except ImportError:  # a Python that keeps it elsewhere
    from hashlib import blake2b

__all__ = ["blake2b", "entry_hash"]

NESTED: Final = frozenset({"tasks", "tlbs"})
"""Tables whose records have records inside."""
PLAIN: Final = frozenset({str, int, bool, type(None)})
"""Types of fields that stand for themselves: nearly all."""


def entry_hash(table: str, key: object, value: object) -> int:
    """64 bits that depend on nothing but the entry's value.

    The fields are spelled out: leaving the defaults out, as JSON does, compares strings by identity.
    """
    fields = _spelled_out(value) if table in NESTED else astuple(value) if isinstance(value, Struct) else value
    return int.from_bytes(blake2b(encode((table, key, fields)), digest_size=8).digest())


def _spelled_out(value: object) -> object:
    """A record as the list of its type and all its fields, records inside likewise."""
    if isinstance(value, Struct):
        fields = [field if field.__class__ in PLAIN else _spelled_out(field) for field in astuple(value)]
        return [type(value).__name__, *fields]
    return [*map(_spelled_out, value)] if isinstance(value, tuple) else value
