"""Splitting a folio into small pages: possible only while nobody but page tables, cache and caller refers to it.

Every entry that maps one of its pages is taken away first, as for a migration. Then the count is frozen, which fails if
anybody else has a reference, on whichever page. After that each page has a count of its own, and is mapped again.
"""

from typing import ClassVar

from model.engine.config import fact
from model.engine.lock import down_read, down_write, up_read, up_write
from model.engine.procedure import Outcome, Procedure, call, done, goto, hand_over, step
from model.kernel.arch.pgtable import hold_pte_lock, pte_lock, pte_unlock, zero_pte
from model.kernel.arch.tlb import flush_tlb_range
from model.kernel.mm.filemap import filemap_remove_folio, folio_trylock, folio_unlock
from model.kernel.mm.huge_page import HPAGE_PMD_NR, huge_pmd, is_huge_zero
from model.kernel.mm.huge_split import split_huge_pmd
from model.kernel.mm.mmu_notifier import mmu_notifier_invalidate_range_end, mmu_notifier_invalidate_range_start
from model.kernel.mm.page import (
    folio_add_rmap,
    folio_maybe_dma_pinned,
    folio_remove_rmap,
    get_page,
    put_page,
    set_anon_exclusive,
    set_page_flags,
)
from model.kernel.mm.rmap_walk import FolioPlace, folio_places, rmap_lock_of
from model.kernel.mm.vma import ANON_VMA_RWSEM, linked_vma
from model.memory.errno import EAGAIN, EBUSY, EINVAL
from model.memory.flags import (
    PAGE_SWP_EXCLUSIVE,
    PAGE_UFFD_WP,
    PG_ANON_EXCLUSIVE,
    PG_DIRTY,
    PG_HEAD,
    PG_MLOCKED,
    PG_SWAPCACHE,
    VM_LOCKED,
)
from model.memory.folio import folio_of, page_exclusive
from model.memory.record_base import replaced
from model.memory.records import Frame, Pte, Vma
from model.memory.state import Memory, Transaction
from model.memory.units import Pfn


class split_folio(Procedure):
    """Make small pages of a large folio. The caller holds its lock and one reference. 0, -EAGAIN, -EBUSY or -EINVAL."""

    source: ClassVar[str] = "mm/huge_memory.c: split_folio, __folio_split (6.12: split_huge_page_to_list_to_order)"
    head: Pfn
    to_list: bool = False
    """split_folio_to_list(): the caller gets the new pages, with a reference each, off the LRU lists."""
    mm: str = ""
    vpn: int = 0
    """The process and the first page of the range whose entries were taken away last."""
    visited: int = 0
    """How many of the places where it can be mapped have been looked at."""
    pages: int = HPAGE_PMD_NR
    rmap: tuple[str, str] = ("", "")
    """The lock of the reverse map, which is held from the first step on: kind and owner."""
    vma: int = 0
    """Where the VMA begins whose entries were taken away last."""

    @step
    def folio_check_splittable(self, tx: Transaction) -> Outcome:
        """Does anybody refer to it besides its entries, its cache and us? Then EAGAIN, before anything is touched.

        From here on no VMA joins or leaves the reverse map, until the folio is mapped again: its lock is held.
        A get or a pin on one page keeps all 512 together.
        """
        frame = tx.frames[self.head]
        self.pages = frame.pages
        if is_huge_zero(tx, self.head):
            return done(-EINVAL)
        if frame.kind != "anon" and not frame.mapping:
            return done(-EBUSY)  # truncated, or freed under its mappings by a count that has run over
        if frame.kind == "anon" and not frame.mapcount:
            return done(-EBUSY)
        self.rmap = rmap_lock_of(tx, frame)
        lock = down_read if frame.kind == "file" else down_write
        if (wait := lock(tx, *self.rmap)) is not None:
            return wait
        if frame.refcount - 1 != frame.mapcount + cache_references(frame):
            self.unlock_rmap(tx)
            return done(-EAGAIN)
        return None

    def unlock_rmap(self, tx: Transaction) -> None:
        """VMAs may come and go again."""
        unlock = up_write if self.rmap[0] == ANON_VMA_RWSEM else up_read
        unlock(tx, *self.rmap)

    @step
    def unmap_folio(self, tx: Transaction) -> Outcome:
        """Walk the reverse map: take the entries of the next VMA away, and make every CPU forget them.

        An anonymous page leaves a migration entry, and whoever faults on it waits. A file's pages can be found again.
        """
        places = list(folio_places(tx, self.head))
        if self.visited >= len(places):
            return goto(split_folio.split_unmapped_folio)
        place = places[self.visited]
        if (wait := pte_lock(tx, place.mm, place.vpn)) is not None:
            return wait
        self.visited += 1
        gone = unmap_place(tx, self.head, place)
        if not gone:
            return goto(split_folio.unmap_folio)
        mmu_notifier_invalidate_range_start(tx, place.mm, place.vpn, place.vpn + place.pages)
        self.mm, self.vpn, self.vma = place.mm, place.vpn, place.vma.start
        self.holds = self.owes_rmap = gone
        hold_pte_lock(tx, place.mm, place.vpn)
        return call(flush_tlb_range(mm=place.mm, start=place.vpn, end=place.vpn + place.pages))

    @step
    def folio_remove_rmap(self, tx: Transaction) -> Outcome:
        """No CPU uses the old translations any more: the mappings and references of those entries go."""
        vma = linked_vma(tx, self.mm, self.vma)
        for pfn in self.holds:
            folio_remove_rmap(tx, pfn, vma, self.mm)
        gone, self.holds, self.owes_rmap = self.holds, (), ()
        put_page(tx, self.head, len(gone))
        pte_unlock(tx, self.mm, self.vpn)
        mmu_notifier_invalidate_range_end(tx, self.mm)
        return goto(split_folio.unmap_folio)

    @step
    def split_unmapped_folio(self, tx: Transaction) -> Outcome:
        """Freeze the count: it must be ours and the cache's alone. Then make 512 struct pages of it, one count each.

        Whoever took a reference meanwhile keeps the folio whole: it is mapped again as it was, in small entries.
        """
        frame = tx.frames[self.head]
        if frame.refcount != 1 + cache_references(frame):
            self.ret = -EAGAIN
            return None
        pages = range(self.head, self.head + self.pages)
        split_to_order_0(tx, self.head)
        for pfn in pages[1:]:
            folio_trylock(tx, pfn)
        self.holds = tuple(pages[1:])
        self.ret = 0
        return None

    @step
    def remap_page(self, tx: Transaction) -> Outcome:
        """Turn the migration entries back into real ones. A page full of zeros is given up for the shared zero page."""
        for place in folio_places(tx, self.head, self.pages):
            if (wait := pte_lock(tx, place.mm, place.vpn)) is not None:
                return wait
        for place in folio_places(tx, self.head, self.pages):
            remap_place(tx, place, split=self.ret == 0)
        self.unlock_rmap(tx)
        return None

    @step
    def free_folio_and_swap_cache(self, tx: Transaction) -> Outcome:
        """Unlock the pages and drop the reference that the split left on each. What nobody maps any more is free.

        Pages beyond the end of their file leave it.
        """
        pages, self.holds = self.holds, ()
        if self.to_list:
            for pfn in pages:
                folio_unlock(tx, pfn)
            return hand_over(self.ret, pages)
        for pfn in pages:
            frame = tx.frames[pfn]
            if frame.kind == "file" and frame.mapping and frame.index >= tx.files[frame.mapping].size:
                filemap_remove_folio(tx, pfn)
            folio_unlock(tx, pfn)
            put_page(tx, pfn)
        return done(self.ret)


def cache_references(frame: Frame) -> int:
    """References of the page cache, or the swap cache: one a page (mm/huge_memory.c: folio_cache_ref_count)."""
    cached = frame.flags & PG_SWAPCACHE if frame.kind == "anon" else frame.mapping
    return frame.pages if cached else 0


def unmap_place(tx: Transaction, head: int, place: FolioPlace) -> tuple[int, ...]:
    """Take the entries of one VMA that map the folio away; returns the pages they mapped (try_to_migrate_one)."""
    mm, vma = place.mm, place.vma
    pmd = huge_pmd(tx, mm, place.vpn)
    if pmd is not None and pmd.pfn == head:
        split_huge_pmd(tx, mm, vma, place.vpn)
    anon = tx.frames[head].kind == "anon"
    gone: list[int] = []
    for vpn in range(place.vpn, place.vpn + place.pages):
        pte = tx.ptes.get((mm, vpn))
        pfn = head + place.page + vpn - place.vpn
        if pte is None or not pte.present or pte.special or pte.pfn != pfn:
            continue
        exclusive = anon and page_exclusive(tx, pfn)
        if exclusive and folio_maybe_dma_pinned(tx, pfn):
            continue
        if pte.dirty:
            set_page_flags(tx, head, PG_DIRTY)
        if anon:
            tx.ptes[mm, vpn] = Pte(pfn, pte.bits | (PAGE_SWP_EXCLUSIVE if exclusive else 0), "migration")
        else:
            del tx.ptes[mm, vpn]
        if exclusive:
            set_anon_exclusive(tx, pfn, exclusive=False)
        gone.append(pfn)
    return tuple(gone)


def split_to_order_0(tx: Transaction, head: int) -> None:
    """One struct page, and one count, for each page of a folio (mm/huge_memory.c: __split_folio_to_order)."""
    frame = tx.frames[head]
    cached = 1 if cache_references(frame) else 0
    flags = frame.flags & ~(PG_HEAD | PG_ANON_EXCLUSIVE)
    if frame.kind == "file":
        split_cache_entry(tx, head)
    del tx.folios[head]
    for page in range(frame.pages):
        swap = frame.swap + page if frame.swap >= 0 else -1
        index = frame.index + page
        tx.frames[head + page] = replaced(
            frame, refcount=1 + cached, mapcount=0, flags=flags, order=0, index=index, swap=swap
        )
    if frame.swap >= 0:
        for page in range(1, frame.pages):
            tx.swap_slots.update(frame.swap + page, pfn=head + page)


def split_cache_entry(tx: Transaction, head: int) -> None:
    """The one entry of the page cache becomes one a page."""
    frame = tx.frames[head]
    for page in range(1, frame.pages):
        tx.page_cache[frame.mapping, frame.index + page] = head + page
    file = tx.files[frame.mapping]
    tx.files[frame.mapping] = replaced(file, nr_thps=file.nr_thps - 1)


def remap_place(tx: Transaction, place: FolioPlace, *, split: bool) -> None:
    """The migration entries of one VMA become real again (mm/migrate.c: remove_migration_pte)."""
    for vpn in range(place.vpn, place.vpn + place.pages):
        entry = tx.ptes.get((place.mm, vpn))
        if entry is None or entry.kind != "migration" or entry.pfn != place.pfn(vpn):
            continue
        pfn = entry.pfn
        if split and unused(tx, place.vma, pfn):
            tx.ptes[place.mm, vpn] = zero_pte(place.vma).with_bits(entry.bits & PAGE_UFFD_WP)
            continue
        get_page(tx, pfn)
        folio_add_rmap(tx, pfn, place.vma, place.mm)
        if entry.bits & PAGE_SWP_EXCLUSIVE:
            set_anon_exclusive(tx, pfn)
        tx.ptes[place.mm, vpn] = Pte(pfn, entry.bits & ~PAGE_SWP_EXCLUSIVE)


def unused(mem: Memory, vma: Vma, pfn: int) -> bool:
    """Whether a page of a folio that has been split holds nothing but zeros (try_to_map_unused_to_zeropage)."""
    if not fact(mem, "pages of zeros become the zero page when a folio is split"):
        return False
    return not (folio_of(mem, pfn).flags & PG_MLOCKED or vma.flags & VM_LOCKED or mem.content.get(pfn))
