"""From a page to the entries that map it: the reverse map, through the file's i_mmap or the page's anon_vma."""

from collections.abc import Iterator
from typing import NamedTuple

from model.kernel.arch.pgtable import table_end
from model.kernel.mm.vma import ANON_VMA_RWSEM, anon_vma_root, linked_vma
from model.memory.flags import PG_KSM
from model.memory.records import Frame, Vma
from model.memory.state import Memory


class Mapped(NamedTuple):
    """One entry that maps a page."""

    mm: str
    vma: Vma
    vpn: int


def rmap_walk(mem: Memory, pfn: int) -> Iterator[Mapped]:
    """Every entry that maps the page now, VMA by VMA (mm/rmap.c: rmap_walk_file, rmap_walk_anon).

    A VMA that munmap has detached is found as long as it is linked. A page that has left its file has no mapping any
    more, and nothing is found.
    """
    for mm, vma, vpn in spots(mem, pfn):
        pte = mem.ptes.get((mm, vpn))
        if pte is not None and pte.present and not pte.special and pte.pfn == pfn:
            yield Mapped(mm, vma, vpn)


def migration_entries(mem: Memory, pfn: int, old: int) -> Iterator[Mapped]:
    """Every migration entry that stands for `old`, where `pfn` will be mapped (mm/migrate.c: remove_migration_pte)."""
    for mm, vma, vpn in spots(mem, pfn):
        pte = mem.ptes.get((mm, vpn))
        if pte is not None and pte.kind == "migration" and pte.pfn == old:
            yield Mapped(mm, vma, vpn)


def spots(mem: Memory, pfn: int) -> Iterator[Mapped]:
    """Where a page can be mapped, whether it is or not: its place in every VMA that the reverse map knows."""
    frame = mem.frames[pfn]
    if frame.flags & PG_KSM:
        yield from rmap_walk_ksm(mem, pfn)
        return
    for mm, start in places(mem, frame):
        vma = linked_vma(mem, mm, start)
        if vma.pgoff <= frame.index < vma.pgoff + vma.pages:
            yield Mapped(mm, vma, frame.index - vma.pgoff + vma.start)


def rmap_walk_ksm(mem: Memory, pfn: int) -> Iterator[Mapped]:
    """Where a KSM page can be mapped: the addresses that ksmd has merged, then those of processes forked from there.

    The page belongs to no anon_vma: each address of its stable node has brought its own (mm/ksm.c: rmap_walk_ksm).
    """
    node = mem.ksm_stable_nodes.get(pfn)
    merged = node.rmap_items if node is not None else ()
    for new_forks in (False, True):
        for mm, vpn in merged:
            anon_vma = mem.anon_vmas.get(mem.ksm_rmap_items[mm, vpn].anon_vma)
            for owner, start in anon_vma.vmas if anon_vma is not None else ():
                vma = linked_vma(mem, owner, start)
                if (owner != mm) == new_forks and vma.start <= vpn < vma.end:
                    yield Mapped(owner, vma, vpn)


def places(mem: Memory, frame: Frame) -> tuple[tuple[str, int], ...]:
    """The VMAs in which a page may be mapped: (process, start)."""
    if frame.kind == "anon":
        anon_vma = mem.anon_vmas.get(int(frame.mapping.partition(":")[2] or 0))
        return anon_vma.vmas if anon_vma is not None else ()
    file = mem.files.get(frame.mapping) if frame.mapping else None
    return file.i_mmap if file is not None else ()


def rmap_lock_of(mem: Memory, frame: Frame) -> tuple[str, str]:
    """The lock under which the VMAs that may map a mapped page neither come nor go: its kind, and whose it is.

    Source: mm/rmap.c: rmap_walk_file (i_mmap_lock_read), folio_lock_anon_vma_read.
    """
    if frame.kind == "file":
        return "i_mmap_rwsem", frame.mapping
    return ANON_VMA_RWSEM, anon_vma_root(mem, int(frame.mapping.partition(":")[2]))


class FolioPlace(NamedTuple):
    """Where pages of a folio can be mapped: a range of one VMA that lies under one page table."""

    mm: str
    vma: Vma
    head: int
    page: int
    """The first of the folio's pages that lies in the VMA …"""
    vpn: int
    """… at this virtual page, and how many follow."""
    pages: int

    def pfn(self, vpn: int) -> int:
        """The folio's page for a virtual page."""
        return self.head + self.page + vpn - self.vpn


def folio_places(mem: Memory, head: int, pages: int = 0) -> Iterator[FolioPlace]:
    """Wherever pages of a folio can be mapped, whether they are or not: of every VMA, table by table.

    `pages`: how many there are, if the folio is split by now. Source: mm/rmap.c: rmap_walk_anon, rmap_walk_file.
    """
    frame = mem.frames[head]
    last = frame.index + (pages or frame.pages)
    for mm, start in places(mem, frame):
        vma = linked_vma(mem, mm, start)
        shift = vma.start - vma.pgoff
        vpn, end = max(frame.index, vma.pgoff) + shift, min(last, vma.pgoff + vma.pages) + shift
        while vpn < end:
            stop = table_end(vpn, end)
            yield FolioPlace(mm, vma, head, vpn - shift - frame.index, vpn, stop - vpn)
            vpn = stop
