"""Subjects: what a violation points at and what the cursor can stand on, as short strings.

A subject is a kind and a key, joined by colons: `frame:5`, `pte:p0:17`, `table:p0:1:0`, `vma:p0:16`, `tlb:0:p0:17`,
`ref:r0`, `file:f`, `cache:f:3`, `process:p0`, `task:main`, `cpu:0`, `lock:mmap_lock:p0`, `device:nic`, `buffer:b`,
`dmabuf:d`, `attachment:d:nic`, `swap:3` (a slot), `notifier:p0`. Virtual
pages and offsets are counted in pages.
"""

from typing import Final

NUMBERED: Final = {
    "frame": (0,),
    "pte": (1,),
    "vma": (1,),
    "table": (1, 2),
    "tlb": (0, 2),
    "cache": (1,),
    "cpu": (0,),
    "swap": (0,),
}
"""Which parts of a subject's key are numbers; all others are names."""

PARTS: Final = {"pte": 2, "vma": 2, "table": 3, "tlb": 3, "cache": 2, "lock": 2, "attachment": 2}
"""How many parts a key has where it has more than one."""


def subject(kind: str, *key: str | int) -> str:
    """The subject of that kind and key.

    >>> subject("pte", "p0", 17)
    'pte:p0:17'
    """
    return ":".join((kind, *map(str, key)))


def parse(text: str) -> tuple[str, tuple[str | int, ...]]:
    """Take a subject apart: its kind, and its key with numbers as numbers. ValueError if a number is none.

    Names contain no colons, but what a file or a lock belongs to may.

    >>> parse("tlb:0:p0:17"), parse("lock:ptl:p0:3")
    (('tlb', (0, 'p0', 17)), ('lock', ('ptl', 'p0:3')))
    """
    kind, _, rest = text.partition(":")
    cut = rest.split if kind == "lock" else rest.rsplit
    parts: list[str | int] = [*cut(":", PARTS.get(kind, 1) - 1)]
    for position in NUMBERED.get(kind, ()):
        parts[position] = int(parts[position])
    return kind, tuple(parts)
