"""From a page to the entries that map it: the reverse map, through the file's i_mmap or the page's anon_vma."""

from collections.abc import Iterator
from typing import NamedTuple

from model.kernel.mm.vma import linked_vma
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
    for mm, vma, vpn in spots(mem, mem.frames[pfn]):
        pte = mem.ptes.get((mm, vpn))
        if pte is not None and pte.present and not pte.special and pte.pfn == pfn:
            yield Mapped(mm, vma, vpn)


def migration_entries(mem: Memory, pfn: int, old: int) -> Iterator[Mapped]:
    """Every migration entry that stands for `old`, where `pfn` will be mapped (mm/migrate.c: remove_migration_pte)."""
    for mm, vma, vpn in spots(mem, mem.frames[pfn]):
        pte = mem.ptes.get((mm, vpn))
        if pte is not None and pte.kind == "migration" and pte.pfn == old:
            yield Mapped(mm, vma, vpn)


def spots(mem: Memory, frame: Frame) -> Iterator[Mapped]:
    """Where a page can be mapped, whether it is or not: its place in every VMA that the reverse map knows."""
    for mm, start in places(mem, frame):
        vma = linked_vma(mem, mm, start)
        if vma.pgoff <= frame.index < vma.pgoff + vma.pages:
            yield Mapped(mm, vma, frame.index - vma.pgoff + vma.start)


def places(mem: Memory, frame: Frame) -> tuple[tuple[str, int], ...]:
    """The VMAs in which a page may be mapped: (process, start)."""
    if frame.kind == "anon":
        anon_vma = mem.anon_vmas.get(int(frame.mapping.partition(":")[2] or 0))
        return anon_vma.vmas if anon_vma is not None else ()
    file = mem.files.get(frame.mapping) if frame.mapping else None
    return file.i_mmap if file is not None else ()
