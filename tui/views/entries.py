"""What page-table entries say, in a word or in letters, and where they map 2 MiB."""

from lessons.i18n.language import tr
from model.memory.flags import PAGE_POISONED, PAGE_UFFD_WP
from model.memory.records import Pte, Vma
from model.memory.state import State
from tui.views.shown_state import HUGE_PAGES


def huge_blocks(state: State, process: str, vma: Vma) -> list[int]:
    """The blocks of 2 MiB, by number, that have one PMD entry each in a VMA, be it a marker; in order."""
    inside = range(vma.start // HUGE_PAGES, -(-vma.end // HUGE_PAGES))
    if len(inside) <= len(state.tables):
        entries = ((block, state.tables.get((process, 1, block))) for block in inside)
        return [block for block, entry in entries if entry is not None and (entry.huge or entry.kind == "marker")]
    return sorted(
        block
        for (owner, level, block), entry in state.tables.items()
        if owner == process and level == 1 and block in inside and (entry.huge or entry.kind == "marker")
    )


def absent(pte: Pte) -> str:
    """What a non-empty entry is that maps nothing."""
    match pte.kind:
        case "swap":
            return f"swap {pte.pfn}"
        case "migration":
            return f"{tr('moving')} f{pte.pfn}"
        case "marker":
            return "uffd-wp" if pte.bits & PAGE_UFFD_WP else "poison" if pte.bits & PAGE_POISONED else "guard"
        case _:
            return tr("not present")


def short_bits(pte: Pte) -> str:
    """`w` or `r`, `n` for PROT_NONE, `s` special, `u` write-protected by userfaultfd, `H` huge.

    >>> short_bits(Pte(5, 0x203))
    'ws'
    """
    access = "n" if pte.protnone else "w" if pte.writable else "r"
    return access + "s" * pte.special + "u" * bool(pte.bits & PAGE_UFFD_WP) + "H" * pte.huge
