"""Random programs for the two machines: system calls, accesses and references, each with names that exist.

The same seed gives the same program everywhere. A program is a list of script lines; what a line names may be gone by
the time it runs, which is an answer like any other.
"""

import random
from collections.abc import Callable, Iterator
from itertools import count
from typing import Final, NamedTuple

LENGTH: Final = 30
PROTECTIONS: Final = ("r", "rw", "rw", "rw", "none", "rx")
ADVICE: Final = (
    "dontneed",
    "dontneed",
    "free",
    "populate_read",
    "populate_write",
    "dontfork",
    "wipeonfork",
    "cold",
    "remove",
)
FEW_PAGES: Final = 0.5
"""So often a reference is taken to one page."""
WINDOW: Final = 96
"""Mappings are asked for in the pages from 16 to here, so that they meet."""


class ProgramNames(NamedTuple):
    """What a program has made so far."""

    labels: list[tuple[str, str, int]]
    """Process, label, pages."""
    processes: list[str]
    """Those alive."""
    files: list[tuple[str, str, int]]
    """Backing, name, pages."""
    references: list[tuple[str, str]]
    """Kind and name."""
    numbers: Iterator[int]
    """For new names."""
    uffds: list[tuple[str, str]]
    """Process and name of each userfaultfd."""
    registered: list[tuple[str, str, str]]
    """Process, range and userfaultfd of what was to be registered."""


def program(seed: int, length: int = LENGTH, *, ksm: bool = False, kind: str = "") -> list[str]:
    """The lines of the program that belongs to `seed`; `ksm`: ksmd may be told to scan, and has something to find.

    `kind`, of PROGRAM_KINDS: what the program is mostly about.
    """
    chance = random.Random(f"{kind}{seed}" if kind else seed)
    names = ProgramNames([], ["p0"], [], [], count(), [], [])
    first, more = PROGRAM_KINDS.get(kind, (_mmap, ()))
    lines = ["process p0", *(first(chance, names) for _ in range(2))]
    kinds = (*KINDS, *UFFD_KINDS) if not kind and seed % UFFD_EVERY == UFFD_EVERY - 1 else KINDS
    kinds = (*kinds, *WITH_KSM) if ksm or kind == "ksm" else kinds
    kinds = (*((make, weight) for make, weight in kinds if make is not _mmap or first is _mmap), *more)
    while len(lines) < length:
        make = chance.choices([kind for kind, _ in kinds], [weight for _, weight in kinds])[0]
        line = make(chance, names)
        if line:
            lines.append(line)
    return lines


Chance = random.Random
Maker = Callable[[Chance, ProgramNames], str]
"""Makes a line; an empty one where there is nothing to make it of."""


def _mmap(chance: Chance, names: ProgramNames) -> str:
    process, label = chance.choice(names.processes), f"m{next(names.numbers)}"
    pages = chance.choice((1, 2, 4, 8, 20))
    share = chance.choice(("private", "private", "shared"))
    backing, offset = "anon", ""
    if names.files and chance.random() < 0.5:
        kind, file, _ = chance.choice(names.files)
        backing, offset = f"{kind}:{file}", chance.choice(("", "", " offset=1"))
    at = chance.choice(("", f" at={chance.randrange(16, WINDOW)}", f" at={chance.randrange(16, WINDOW)} fixed"))
    extra = chance.choice(("", "", "", " populate", " locked", " noreserve"))
    prot = chance.choice(PROTECTIONS)
    names.labels.append((process, label, pages))
    return f"mmap {process} {label} {backing} {share} {prot} {pages}{at}{offset}{extra}"


def _huge(backing: str) -> Callable[[Chance, ProgramNames], str]:
    """A mapping of 2 MiB where one entry can map it, of a kind of memory."""

    def make(chance: Chance, names: ProgramNames) -> str:
        process, label = chance.choice(names.processes), f"m{next(names.numbers)}"
        names.labels.append((process, label, 512))
        share = chance.choice(("private", "private", "private", "shared"))
        prot = chance.choice(("rw", "rw", "rw", "r"))
        fixed = chance.choice(("", " fixed"))
        return f"mmap {process} {label} {backing} {share} {prot} 512 at={chance.choice((512, 1024, 1536))}{fixed}"

    return make


def _mid_size(chance: Chance, names: ProgramNames) -> str:
    """A mapping in which folios of less than 2 MiB have room, or just not."""
    process, label = chance.choice(names.processes), f"m{next(names.numbers)}"
    pages, at = chance.choice((16, 20, 40, 64)), chance.choice((16, 32, 36, 48, 64, 80))
    names.labels.append((process, label, pages))
    return f"mmap {process} {label} anon private {chance.choice(('rw', 'rw', 'rw', 'r'))} {pages} at={at} fixed"


def _whole(text: str) -> Callable[[Chance, ProgramNames], str]:
    """A line on a whole mapping."""

    def make(chance: Chance, names: ProgramNames) -> str:
        process, label, _ = chance.choice(names.labels)
        return text.format(p=process, at=label) if process in names.processes else ""

    return make


def _place(chance: Chance, names: ProgramNames) -> tuple[str, str] | None:
    """A process and a page of it."""
    if not names.labels:
        return None
    process, label, pages = chance.choice(names.labels)
    return (process, f"{label}+{chance.randrange(pages)}") if process in names.processes else None


def _range(chance: Chance, names: ProgramNames) -> tuple[str, str] | None:
    """A process and some pages of it."""
    if not names.labels:
        return None
    process, label, pages = chance.choice(names.labels)
    if process not in names.processes:
        return None
    first = chance.randrange(pages)
    return process, label if chance.random() < 0.4 else f"{label}[{first}:{chance.randrange(first + 1, pages + 1)}]"


def _on_page(text: str) -> Callable[[Chance, ProgramNames], str]:
    def make(chance: Chance, names: ProgramNames) -> str:
        found = _place(chance, names)
        return text.format(p=found[0], at=found[1], byte=chance.randrange(1, 256)) if found else ""

    return make


def _on_range(text: str, words: tuple[str, ...] = ("",)) -> Callable[[Chance, ProgramNames], str]:
    def make(chance: Chance, names: ProgramNames) -> str:
        found = _range(chance, names)
        return text.format(p=found[0], at=found[1], word=chance.choice(words)) if found else ""

    return make


def _mremap(chance: Chance, names: ProgramNames) -> str:
    found = _range(chance, names)
    how = chance.choice((" maymove", "", " maymove dontunmap", f" maymove to={chance.randrange(16, WINDOW)}"))
    return f"mremap {found[0]} {found[1]} pages={chance.randrange(1, 12)}{how}" if found else ""


def _fork(chance: Chance, names: ProgramNames) -> str:
    if len(names.processes) > 3:
        return ""
    parent, child = chance.choice(names.processes), f"c{next(names.numbers)}"
    names.processes.append(child)
    names.labels.extend([(child, label, pages) for process, label, pages in names.labels if process == parent])
    return f"fork {parent} {child}"


def _exit(chance: Chance, names: ProgramNames) -> str:
    if len(names.processes) < 2:
        return ""
    process = chance.choice(names.processes)
    names.processes.remove(process)
    return f"exit {process}"


def _file(chance: Chance, names: ProgramNames) -> str:
    kind, verb = chance.choice((("memfd", "memfd"), ("file", "diskfile")))
    name, pages = f"f{next(names.numbers)}", chance.choice((1, 4, 18))
    names.files.append((kind, name, pages))
    return f"{verb} {name} {pages}"


def _on_file(chance: Chance, names: ProgramNames) -> str:
    if not names.files:
        return ""
    _, name, pages = chance.choice(names.files)
    page = chance.randrange(pages + 1)
    return chance.choice(
        (
            f"truncate {name} {page}",
            f"punch {name} {page} {chance.choice((1, 2, 4))}",
            f"pwrite {name} {page} {chance.randrange(1, 256)}",
            f"pread {name} {page}",
            f"fsync {name}",
        )
    )


def _take(chance: Chance, names: ProgramNames) -> str:
    found = _range(chance, names)
    if not found:
        return ""
    kind, how = chance.choice((("get", ""), ("pin", " write pin longterm")))
    if chance.random() < FEW_PAGES or ":" not in found[1]:
        found = _place(chance, names) or found
    name = f"r{next(names.numbers)}"
    names.references.append((kind, name))
    return f"gup {found[0]} {found[1]} as={name}{how}"


def _use(chance: Chance, names: ProgramNames) -> str:
    if not names.references:
        return ""
    kind, name = chance.choice(names.references)
    if kind == "get":
        return f"peek {name}"
    return chance.choice((f"dma {name} read", f"dma {name} write {chance.randrange(1, 256)}"))


def _put(chance: Chance, names: ProgramNames) -> str:
    if not names.references:
        return ""
    gone = chance.choice(names.references)
    names.references.remove(gone)
    return f"put {gone[1]}"


def _remote(chance: Chance, names: ProgramNames) -> str:
    found, who = _place(chance, names), chance.choice(names.processes)
    if not found:
        return ""
    verb = chance.choice(("remote-read", "remote-write", "force-write"))
    byte = "" if verb == "remote-read" else f" {chance.randrange(1, 256)}"
    return f"{verb} {who} {found[0]} {found[1]}{byte}"


def _userfaultfd(chance: Chance, names: ProgramNames) -> str:
    process, name = chance.choice(names.processes), f"u{next(names.numbers)}"
    if any(owner == process for owner, _ in names.uffds) and chance.random() < 0.8:
        return ""
    names.uffds.append((process, name))
    return f"userfaultfd {process} {name} sigbus{chance.choice(('', ' wp_unpopulated', ' move', ' wp_async'))}"


def _uffd_close(chance: Chance, names: ProgramNames) -> str:
    if not names.uffds:
        return ""
    gone = chance.choice(names.uffds)
    names.uffds.remove(gone)
    return f"uffd-close {gone[0]} {gone[1]}"


def _uffdio_register(chance: Chance, names: ProgramNames) -> str:
    found = _range(chance, names)
    mine = [name for owner, name in names.uffds if found and owner == found[0]]
    if not found or not mine:
        return ""
    uffd = chance.choice(mine)
    names.registered.append((*found, uffd))
    modes = chance.choice(("missing", "missing", "wp", "missing wp", "missing wp", "minor", "missing minor"))
    return f"uffdio-register {found[0]} {found[1]} {uffd} {modes}"


def _whole_registered(chance: Chance, names: ProgramNames) -> str:
    """A whole mapping is registered: of huge pages none can be registered in part."""
    if not names.uffds or not names.labels:
        return ""
    owner, uffd = chance.choice(names.uffds)
    here = [label for process, label, _ in names.labels if process == owner]
    if owner not in names.processes or not here:
        return ""
    names.registered.append((owner, chance.choice(here), uffd))
    modes = chance.choice(("missing", "wp", "missing wp", "minor", "missing minor", "minor wp"))
    return f"uffdio-register {owner} {names.registered[-1][1]} {uffd} {modes}"


def _uffdio(chance: Chance, names: ProgramNames) -> str:
    """A call on a range, mostly on one page of what has been registered."""
    there = [one for one in names.registered if one[0] in names.processes]
    if not there:
        return ""
    process, place, uffd = chance.choice(there)
    label, _, rest = place.partition("[")
    first = int(rest.partition(":")[0]) if rest else 0
    at = chance.choice((f"{label}+{first}", f"{label}+{first}", f"{label}+{first + chance.randrange(4)}", place))
    others = [one for one in names.labels if one[0] == process]
    same = [one for one in others if one[1] == label]
    other = chance.choice(same if chance.random() < 0.5 else others)
    source = f"{other[1]}+{chance.randrange(other[2])}"
    verb, tail = chance.choice(UFFDIO)
    return f"uffdio-{verb} {process} {at} {uffd}{tail.format(source=source)}"


UFFDIO: Final = (
    ("unregister", ""),
    ("copy", " {source}"),
    ("copy", " {source}"),
    ("copy", " {source} wp"),
    ("zeropage", ""),
    ("poison", ""),
    ("move", " {source}"),
    ("move", " {source}"),
    ("continue", ""),
    ("continue", " wp"),
    ("writeprotect", " wp"),
    ("writeprotect", " wp"),
    ("writeprotect", ""),
)
"""The calls on what is registered, and what follows the name of the descriptor."""


def _few_bytes(chance: Chance, names: ProgramNames) -> str:
    found = _place(chance, names)
    return f"write {found[0]} {found[1]} {chance.choice((0, 5, 6))}" if found else ""


def _ksm_scan(chance: Chance, _names: ProgramNames) -> str:
    return f"ksm-scan {chance.choice((3, 3, 4, 5))}{chance.choice(('', '', '', ' use-zero-pages'))}"


KINDS: Final[tuple[tuple[Callable[[Chance, ProgramNames], str], int], ...]] = (
    (_mmap, 10),
    (_on_range("munmap {p} {at}"), 4),
    (_on_range("mprotect {p} {at} {word}", PROTECTIONS), 6),
    (_mremap, 4),
    (_on_range("madvise {p} {at} {word}", ADVICE), 10),
    (_on_range("mlock {p} {at}"), 2),
    (_on_range("munlock {p} {at}"), 2),
    (_on_range("mseal {p} {at}"), 1),
    (_on_range("msync {p} {at}"), 1),
    (_on_page("read {p} {at}"), 12),
    (_on_page("write {p} {at} {byte}"), 16),
    (_fork, 4),
    (_exit, 2),
    (_file, 4),
    (_on_file, 10),
    (_take, 8),
    (_use, 8),
    (_put, 3),
    (_remote, 6),
)
"""What a line can be, and how often."""

UFFD_EVERY: Final = 4
"""Every so manyth program handles page faults itself."""

UFFD_KINDS: Final[tuple[tuple[Callable[[Chance, ProgramNames], str], int], ...]] = (
    (_userfaultfd, 10),
    (_uffdio_register, 16),
    (_uffdio, 50),
    (_uffd_close, 1),
)
"""What a line can be in those as well, and how often."""
WITH_KSM: Final[tuple[tuple[Callable[[Chance, ProgramNames], str], int], ...]] = (
    (_on_range("madvise {p} {at} {word}", ("mergeable", "mergeable", "mergeable", "unmergeable")), 24),
    (_few_bytes, 30),
    (_ksm_scan, 14),
)
"""What comes in where ksmd may run: few different contents, so that pages are alike."""

_HUGE_ADVICE: Final = (
    (_whole("madvise {p} {at} hugepage"), 24),
    (_whole("madvise {p} {at} collapse"), 6),
    (_on_range("madvise {p} {at} nohugepage"), 2),
)
UFFD_ON_HUGE: Final = (
    (_userfaultfd, 2),
    (_whole_registered, 3),
    (_uffdio, 12),
)
_SWAP_ADVICE: Final = ((_on_range("madvise {p} {at} {word}", ("pageout", "pageout", "pageout", "cold")), 30),)

PROGRAM_KINDS: Final[dict[str, tuple[Maker, tuple[tuple[Maker, int], ...]]]] = {
    "thp": (_huge("anon"), ((_huge("anon"), 10), *_HUGE_ADVICE)),
    "mthp": (_mid_size, ((_mid_size, 6), *_HUGE_ADVICE, *_SWAP_ADVICE)),
    "hugetlb": (_huge("hugetlb"), ((_huge("hugetlb"), 10), *UFFD_ON_HUGE)),
    "ksm": (_mmap, ()),
    "swap": (_mmap, _SWAP_ADVICE),
    "uffd": (_mmap, (*UFFD_KINDS, (_userfaultfd, 40))),
}
"""What a program can be mostly about: how it maps its memory, and what comes in, as the recordings of these kinds."""
