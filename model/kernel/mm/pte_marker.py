"""PTE markers of userfaultfd, and what its write-protection says of an entry.

Write-protection stands in the entry. Where no page is mapped, but the protection must not be forgotten, an entry that
maps nothing keeps it: a marker (include/linux/userfaultfd_k.h, include/linux/mm_inline.h).
"""

from typing import Final

from model.memory.flags import PAGE_POISONED, PAGE_RW, PAGE_UFFD_WP, VM_UFFD_MINOR, VM_UFFD_WP
from model.memory.records import Pte, Vma
from model.memory.state import Memory, Transaction

UFFD_WP_MARKER: Final = Pte(0, PAGE_UFFD_WP, "marker")
"""PTE_MARKER_UFFD_WP: nothing is mapped here, and what will be is write-protected."""
POISON_MARKER: Final = Pte(0, PAGE_POISONED, "marker")
"""PTE_MARKER_POISONED: who touches this gets SIGBUS, as from memory that has failed (UFFDIO_POISON)."""


def userfaultfd_wp_use_markers(mem: Memory, vma: Vma) -> bool:
    """Whether empty entries can be write-protected: of files always, of private memory where that was asked for.

    A private page that is not there has not been written either; UFFD_FEATURE_WP_UNPOPULATED asks for it all the same.
    """
    if not vma.flags & VM_UFFD_WP:
        return False
    return bool(vma.ops) or "wp_unpopulated" in mem.userfaultfds[vma.uffd].features


def userfaultfd_wp_async(mem: Memory, vma: Vma) -> bool:
    """UFFD_FEATURE_WP_ASYNC: a write lifts the protection by itself, and nobody is asked."""
    return bool(vma.uffd) and "wp_async" in mem.userfaultfds[vma.uffd].features


def userfaultfd_pte_wp(vma: Vma, pte: Pte) -> bool:
    """Whether a write through this entry is userfaultfd's business."""
    return bool(vma.flags & VM_UFFD_WP and pte.bits & PAGE_UFFD_WP)


def pte_none_mostly(mem: Memory, mm: str, vpn: int) -> bool:
    """Whether nothing is mapped at a page: an empty entry, or a marker of userfaultfd."""
    pte = mem.ptes.get((mm, vpn))
    return pte is None or pte == UFFD_WP_MARKER


def keeping_uffd_wp(mem: Memory, mm: str, vma: Vma, vpn: int, entry: Pte) -> Pte:
    """The entry that is about to take the place of what is there: a marker's write-protection goes over to it."""
    if vma.flags & VM_UFFD_WP and mem.ptes.get((mm, vpn)) == UFFD_WP_MARKER:
        return pte_mkuffd_wp(entry)
    return entry


def pte_mkuffd_wp(pte: Pte) -> Pte:
    """Write-protected, and marked as such (arch/x86/include/asm/pgtable.h)."""
    return pte.without(PAGE_RW).with_bits(PAGE_UFFD_WP)


def uffd_disable_fault_around(vma: Vma) -> bool:
    """No fault may map neighbours of which userfaultfd would not hear."""
    return bool(vma.flags & (VM_UFFD_WP | VM_UFFD_MINOR))


def pte_install_uffd_wp_if_needed(tx: Transaction, mm: str, vma: Vma, vpn: int, old: Pte) -> None:
    """The entry of a file's page has been cleared: what it said of write-protection stays as a marker."""
    if vma.ops and userfaultfd_pte_wp(vma, old):
        tx.ptes[mm, vpn] = UFFD_WP_MARKER
