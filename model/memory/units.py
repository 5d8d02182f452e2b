"""What a number in a record names. To Python they are all ints.

The marks are for readers, and for a search that takes states as equal which differ only in such names
(`model.search.symmetry`).
"""

from typing import Annotated, Final, Literal, TypeAlias

import msgspec

Unit: TypeAlias = Literal["pfn", "cpu", "pid", "anon_vma"]
"""Numbers that are names: nothing depends on how large they are, only on which of them are the same."""


class Names(msgspec.Struct, frozen=True):
    """The mark of a number that names something."""

    unit: Unit


class Ordered(msgspec.Struct, frozen=True):
    """The mark of a tuple that is kept sorted: a set, really."""


ORDERED: Final = Ordered()


class Words(msgspec.Struct, frozen=True):
    """The mark of a string that is a word of the model, not a name that a script has given."""


class FrameMapping(msgspec.Struct, frozen=True):
    """The mark of Frame.mapping: a file's name, or `anon_vma:N`."""


MAPPING: Final = FrameMapping()

Word = Annotated[str, Words()]

Pfn = Annotated[int, Names("pfn")]
"""Page frame number."""
CpuNumber = Annotated[int, Names("cpu")]
"""A processor; -1: none."""
Pid = Annotated[int, Names("pid")]
AnonVmaNumber = Annotated[int, Names("anon_vma")]
