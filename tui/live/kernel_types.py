"""Where the fields of the kernel's structures stand, from the kernel's own description of its types (BTF).

The format: Documentation/bpf/btf.rst (6.12). Offsets and sizes are bytes.
"""

import struct
from functools import cache
from pathlib import Path
from typing import Final

BTF: Final = Path("/sys/kernel/btf/vmlinux")
HEADER: Final = struct.Struct("<HBBIIIII")
"""Magic, version, flags, length of this header; offsets and lengths of the types and of the strings."""
TYPE: Final = struct.Struct("<III")
"""Name, info (kind and number of members), size or type."""
MEMBER: Final = struct.Struct("<III")
"""Name, type, offset in bits."""
STRUCT, UNION = 4, 5
EXTRA: Final = {1: 4, 3: 12, 14: 4, 17: 4}
"""Bytes behind a type that has no members: INT, ARRAY, VAR, DECL_TAG."""
A_MEMBER: Final = {STRUCT: 12, UNION: 12, 6: 8, 13: 8, 15: 12, 19: 12}
"""Bytes of a member: of a structure, enumeration, function, section, 64-bit enumeration."""


class Types:
    """The structures of a kernel."""

    def __init__(self, text: bytes) -> None:
        """`text` is what the kernel says."""
        _, _, _, start, types, length, strings, _ = HEADER.unpack_from(text)
        self.text, self.strings = text, start + strings
        self.at: list[int] = [0]
        """Where each type stands in the text, by its number."""
        self.structures: dict[int, int] = {}
        """The same of the structures, by the offset of their name among the strings."""
        place = start + types
        while place < start + types + length:
            self.at.append(place)
            name, info, _ = TYPE.unpack_from(text, place)
            kind = info >> 24 & 31
            if kind == STRUCT:
                self.structures[name] = place
            place += TYPE.size + EXTRA.get(kind, 0) + A_MEMBER.get(kind, 0) * (info & 0xFFFF)

    def _name(self, offset: int) -> str:
        start = self.strings + offset
        return self.text[start : self.text.index(b"\0", start)].decode("ascii", "replace")

    def _structure(self, name: str) -> int:
        found = self.text.find(b"\0" + name.encode() + b"\0", self.strings) + 1 - self.strings
        if found not in self.structures:
            raise KeyError(name)
        return self.structures[found]

    def _member(self, place: int, name: str) -> int | None:
        """Offset of a member, also of one within members without a name."""
        _, info, _ = TYPE.unpack_from(self.text, place)
        for number in range(info & 0xFFFF):
            called, kind, bits = MEMBER.unpack_from(self.text, place + TYPE.size + number * MEMBER.size)
            offset: int = (bits & 0xFFFFFF if info >> 31 else bits) // 8
            if self._name(called) == name:
                return offset
            inner = self.at[kind]
            if not called and TYPE.unpack_from(self.text, inner)[1] >> 24 & 31 in (STRUCT, UNION):
                within = self._member(inner, name)
                if within is not None:
                    return offset + within
        return None

    def size(self, structure: str) -> int:
        """Size of a structure. Raises KeyError where this kernel has none of this name."""
        size: int = TYPE.unpack_from(self.text, self._structure(structure))[2]
        return size

    def offset(self, structure: str, member: str) -> int:
        """Offset of a member. Raises KeyError where this kernel has none of this name."""
        found = self._member(self._structure(structure), member)
        if found is None:
            raise KeyError(f"{structure}.{member}")
        return found


@cache
def kernel_types() -> Types:
    """Those of the kernel that runs. Raises OSError where it does not tell them."""
    return Types(BTF.read_bytes())
