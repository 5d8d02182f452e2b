"""The mends of real bugs that this machine can undo: `set as-it-was NAME`.

Each stands here once, with the commit that made it. The micro-step that the commit changed asks `mended()` by name, as
it asks `fact()` what its kernel does; its docstring says what was missing.
"""

from typing import Final, NamedTuple

from model.memory.state import Memory

AS_IT_WAS: Final = "as-it-was"
"""The setting that holds the names of the mends that are undone."""
NONE: Final = "none"


class Mend(NamedTuple):
    """A fix, as its commit tells it."""

    commit: str
    title: str
    versions: str
    """The first mainline kernel that has it."""
    missing: str
    """What the machine does without it, in a sentence."""
    cve: str = ""


MENDS: Final[dict[str, Mend]] = {
    "foll-cow": Mend(
        "19be0eaffa3a",
        "mm: remove gup_flags FOLL_WRITE games from __get_user_pages()",
        "4.9",
        "GUP forgets FOLL_WRITE once a fault has broken copy-on-write, and takes whatever page it finds next.",
        "CVE-2016-5195",
    ),
    "mremap-flush": Mend(
        "eb66ae030829",
        "mremap: properly flush TLB before releasing the page",
        "4.19",
        "mremap() drops the page table locks first and flushes the old translations when all entries are moved.",
        "CVE-2018-18281",
    ),
    "lazyfree-refs": Mend(
        "6c8e2a256915",
        "mm: fix race between MADV_FREE reclaim and blkdev direct IO read",
        "5.18",
        "Reclaim throws a page of MADV_FREE out of the page table if it is clean, whoever holds a reference.",
    ),
}
"""By name: what the kernel has since."""


def mended(mem: Memory, name: str) -> bool:
    """Whether a mend is in this machine's kernel, that is, not undone. KeyError for a name that is not in MENDS."""
    undone = mem.settings.get(AS_IT_WAS)
    assert name in MENDS, name
    return undone is None or name not in undone.split(",")


def made_by(commit: str) -> str:
    """The mend that a commit made. KeyError: none.

    >>> made_by("19be0eaffa3a")
    'foll-cow'
    """
    for name, mend in MENDS.items():
        if mend.commit == commit:
            return name
    raise KeyError(commit)


def set_lines(value: str) -> tuple[str, ...]:
    """The lines of a script that undo these mends.

    >>> set_lines("foll-cow,mremap-flush")
    ('set as-it-was foll-cow', 'set as-it-was mremap-flush')
    """
    return tuple(f"set {AS_IT_WAS} {name}" for name in value.split(","))


def undone_too(undone: str, name: str) -> str:
    """The value of the setting with one more mend undone; `none` undoes nothing any more.

    >>> undone_too(undone_too("", "mremap-flush"), "foll-cow")
    'foll-cow,mremap-flush'
    >>> undone_too("foll-cow", "none")
    'none'
    """
    if name == NONE:
        return NONE
    return ",".join(sorted({*undone.split(","), name} - {"", NONE}))
