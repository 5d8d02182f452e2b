"""A scene: everything the panes show of the machine at one place of the history."""

import re
from collections.abc import Iterable, Mapping
from itertools import islice
from typing import Any, Final

import msgspec
from msgspec.structs import replace

from model.kernel.mm.physical import BAR_BASE, PMEM_BASE, VRAM_BASE
from model.memory.changes import net_changes
from model.memory.leaf import PTRS_PER_TABLE
from model.memory.records import Frame, Pte
from model.memory.state import Change, State
from tui.views.glyphs import UNICODE, Glyphs
from tui.views.row import Span

HUGE_PAGES: Final = PTRS_PER_TABLE
"""Pages of 4 KiB that one PMD entry maps where it is a leaf."""
LEVEL_NAMES: Final = {3: "PGD", 2: "PUD", 1: "PMD", 0: "PTE"}
INDEX_BITS: Final = 9
INDEX_MASK: Final = (1 << INDEX_BITS) - 1
"""Of a page's number each level of the page table takes that many bits."""
MOST_SEARCHED: Final = 4096
"""Entries that are looked through to find one that maps a frame."""
MOST_CHANGES: Final = 20_000
"""Changes of one move that are told apart: more than anybody can look at."""
NO_MARKS: Final[Mapping[str, str]] = {}


class ShownState(msgspec.Struct, frozen=True):
    """One state of the machine, what the last move changed in it, and what is broken."""

    state: State
    changes: tuple[Change, ...] = ()
    """The journal of the last move: old and new of each changed entry."""
    marks: Mapping[str, str] = NO_MARKS
    """Subject → `+` new, `~` changed, `-` gone in the last move."""
    broken: Mapping[str, str] = NO_MARKS
    """Subject → worst severity of what is wrong with it now: hazard, corruption or splat."""
    focus: str = ""
    """The subject under the cursor."""
    glyphs: Glyphs = UNICODE

    def sign(self, subject: str) -> Span:
        """The two-column sign of a subject: `!` if it is broken, and what the last move did to it."""
        severity, mark = self.broken.get(subject, ""), self.marks.get(subject, " ")
        role = severity or MARK_ROLES.get(mark, "plain")
        text = f"{mark}{'!' if severity else ' '}"
        return Span(text, role, "" if text.isspace() else subject)

    def inline_sign(self, subject: str) -> list[Span]:
        """The sign of a mark in running text: empty where nothing has changed."""
        sign = self.sign(subject)
        text = sign.text.strip()
        return [replace(sign, text=text)] if text else []

    def part(self, subject: str, changed: bool, otherwise: str = "plain") -> str:
        """How one part of a subject looks: of what has changed, only the part that is another now stands out."""
        if self.marks.get(subject) != "~":
            return self.role(subject, otherwise)
        if changed:
            return MARK_ROLES["~"]
        severity = self.broken.get(subject)
        return otherwise if not severity else "hazard" if severity == "hazard" else "wrong"

    def role(self, subject: str, otherwise: str = "plain") -> str:
        """How the text of a subject looks: by what is wrong, by what changed, or as usual."""
        severity = self.broken.get(subject)
        if severity:
            return "hazard" if severity == "hazard" else "wrong"
        mark = self.marks.get(subject)
        return MARK_ROLES[mark] if mark else otherwise


FRAME: Final = re.compile(r"\bframe (\d+)")
MARK_ROLES: Final = {"+": "new", "~": "changed", "-": "gone"}


def net(changes: Iterable[Change]) -> tuple[Change, ...]:
    """The changes of several steps as those of one; MOST_CHANGES at most are looked at."""
    return tuple(net_changes(islice(changes, MOST_CHANGES)))


def marks(changes: Iterable[Change]) -> dict[str, str]:
    """Subject → sign, for everything that the changes touched."""
    found: dict[str, str] = {}
    for table, key, old, new in changes:
        if table == "content":
            found.setdefault(f"frame:{key}", "~")
        elif table == "frames":
            was = old is not None and old.kind != "free"
            now = new is not None and new.kind != "free"
            if was or now:
                found[f"frame:{key}"] = "~" if was and now else "+" if now else "-"
        elif table == "tlbs":
            before, after = set(old or ()), set(new or ())
            kept = {(entry.process, entry.vpn) for entry in before}
            for entry in before - after:
                found[f"tlb:{key}:{entry.process}:{entry.vpn}"] = "-"
            for entry in after - before:
                known = (entry.process, entry.vpn) in kept
                found[f"tlb:{key}:{entry.process}:{entry.vpn}"] = "~" if known else "+"
        elif table in SUBJECTS:
            found[subject(table, key)] = "+" if old is None else "-" if new is None else "~"
    return found


SUBJECTS: Final = {
    "ptes": "pte",
    "tables": "table",
    "vmas": "vma",
    "processes": "process",
    "cpus": "cpu",
    "files": "file",
    "page_cache": "cache",
    "references": "ref",
    "devices": "device",
    "buffers": "buffer",
    "dma_bufs": "dmabuf",
    "attachments": "attachment",
    "swap_slots": "swap",
    "locks": "lock",
    "tasks": "task",
}
"""Tables whose entries are shown, and what a subject of each is called."""


def subject(table: str, key: object) -> str:
    """The subject that a table's entry is.

    >>> subject("ptes", ("p0", 17))
    'pte:p0:17'
    """
    parts = key if isinstance(key, tuple) else (key,)
    return ":".join((SUBJECTS[table], *map(str, parts)))


def gone(changes: Iterable[Change], table: str) -> dict[Any, Any]:
    """Key → old record of what the last move took out of a table."""
    return {change.key: change.old for change in changes if change.table == table and change.new is None}


def replaced(changes: Iterable[Change], table: str) -> dict[Any, Any]:
    """Key → old record of what the last move replaced in a table; None where there was nothing."""
    return {change.key: change.old for change in changes if change.table == table}


class Before(msgspec.Struct, frozen=True):
    """What the last move replaced, by key: None where there was nothing."""

    ptes: dict[tuple[str, int], Pte | None]
    frames: dict[int, Frame | None]
    content: dict[int, int | None]

    @classmethod
    def of(cls, changes: Iterable[Change]) -> "Before":
        """The old records that the journal of a move names."""
        found = cls({}, {}, {})
        for table, key, old, _ in changes:
            if table in cls.__struct_fields__:
                getattr(found, table)[key] = old
        return found


def size_of(order: int) -> str:
    """How large a block or a folio of 2^order pages is.

    >>> size_of(9), size_of(4)
    ('2M', '64k')
    """
    return f"{1 << order - 8}M" if order >= 8 else f"{4 << order}k"


def frame_name(state: State, pfn: int) -> str:
    """`f5` for memory, `v0` for video memory, `m0` for a PCI BAR, `d0` for DAX, `zero` for the zero page."""
    frame = state.frames.get(pfn)
    return "zero" if frame is not None and frame.kind == "zero" else pfn_name(pfn)


def pfn_name(pfn: int) -> str:
    """The same where no State tells what it is used for.

    >>> pfn_name(5), pfn_name(VRAM_BASE + 2), pfn_name(BAR_BASE)
    ('f5', 'v2', 'm0')
    """
    if pfn >= BAR_BASE:
        return f"m{pfn - BAR_BASE}"
    if pfn >= VRAM_BASE:
        return f"v{pfn - VRAM_BASE}"
    return f"d{pfn - PMEM_BASE}" if pfn >= PMEM_BASE else f"f{pfn}"


def by_name(state: State, text: str) -> str:
    """A text of the model in which frames bear the names that they have on the screen.

    >>> by_name(State(), "the migration of frame 5 to end")
    'the migration of f5 to end'
    """
    return FRAME.sub(lambda found: frame_name(state, int(found[1])), text)


def place(state: State, process: str, vpn: int) -> str:
    """How a script would name a page: by the label that covers it, else by its number."""
    found = min(
        (
            (label.pages, name, label.start)
            for (owner, name), label in state.labels.items()
            if owner == process and label.start <= vpn < label.start + label.pages
        ),
        default=None,
    )
    if found is None:
        return f"@{vpn}"
    pages, name, start = found
    return name if pages == 1 else f"{name}+{vpn - start}"


def page_of(state: State, focus: str) -> tuple[str, int] | None:
    """The process and page whose walk belongs to a subject: itself, a VMA's first, the one mapped to a frame."""
    kind, *parts = focus.split(":")
    match kind, parts:
        case (("pte" | "page" | "vma"), [process, number]) if process in state.processes:
            return process, int(number)
        case "tlb", [_, process, number] if process in state.processes:
            return process, int(number)
        case "table", [process, level, index] if process in state.processes:
            return process, int(index) << 9 * int(level)
        case "ref", [name] if name in state.references and state.references[name].process in state.processes:
            return state.references[name].process, state.references[name].vpn
        case "frame", [pfn] if len(state.ptes) <= MOST_SEARCHED:
            mapped = [key for key, pte in state.ptes.items() if pte.kind == "page" and pte.pfn == int(pfn)]
            return min(mapped, default=None)
    return None


def follow(changes: Iterable[Change]) -> str:
    """What the walk should show after a move: the page it changed last, else nothing."""
    found = ""
    for table, key, _, _ in changes:
        if table == "ptes":
            found = subject(table, key)
    return found
