"""Migration: how the mm moves a page of its own, and why an extra reference makes it give up.

Every entry that maps the page is replaced by a migration entry, which drops the entry's mapcount and reference. Then
the count is looked at: if anybody else holds the page, it stays where it is. That is the difference from a driver that
moves a buffer: it never looks (kernel-facts I).
"""

from typing import ClassVar, Final

from model.engine.lock import down_read, up_read
from model.engine.procedure import Outcome, Procedure, call, done, fail, goto, step
from model.kernel.arch.pgtable import is_zero_pfn, pte_lock, vm_normal_page
from model.kernel.arch.tlb import flush_tlb_range
from model.kernel.mm.mmu_notifier import mmu_notifier_invalidate_range_end, mmu_notifier_invalidate_range_start
from model.kernel.mm.page import folio_add_rmap, folio_remove_rmap, get_page, page_count, put_page
from model.kernel.mm.page_alloc import alloc_page
from model.kernel.mm.rmap_walk import Mapped, rmap_walk
from model.kernel.mm.vma import vma_lookup
from model.memory.errno import EAGAIN, EFAULT, ENOENT, ENOMEM
from model.memory.flags import GUP_PIN_COUNTING_BIAS, PG_ANON_EXCLUSIVE, PG_CMA, PG_PRIVATE, VM_IO, VM_PFNMAP
from model.memory.records import Pte, Vma
from model.memory.state import Transaction
from model.memory.units import Pfn

NR_MAX_MIGRATE_PAGES_RETRY: Final = 10
"""Passes before migrate_pages() gives up."""


class migrate_pages(Procedure):
    """Move the page at one address to another frame, as compaction or move_pages(2) does. Returns 0 or an errno."""

    source: ClassVar[str] = "mm/migrate.c: migrate_pages, migrate_folio_unmap, migrate_folio_move"
    mm: str
    vpn: int
    to_cma: bool = True
    """The new page may lie in a CMA area again."""
    old: Pfn = -1
    new: Pfn = -1
    passes: int = 0
    places: tuple[tuple[str, int, Vma], ...] = ()
    """Where the page was mapped: (process, vpn, VMA)."""

    @step
    def mmap_read_lock(self, tx: Transaction) -> Outcome:
        """Lock the address space to find the page."""
        if self.mm not in tx.processes:
            return fail(ENOENT)
        return down_read(tx, "mmap_lock", self.mm)

    @step
    def isolate(self, tx: Transaction) -> Outcome:
        """Take the page off the LRU, with a reference of our own. A PFN mapping is refused: EFAULT."""
        up_read(tx, "mmap_lock", self.mm)
        vma = vma_lookup(tx, self.mm, self.vpn)
        if vma is None or vma.flags & (VM_IO | VM_PFNMAP):
            return fail(EFAULT)
        pte = tx.ptes.get((self.mm, self.vpn))
        if pte is None or not pte.present:
            return fail(ENOENT)
        pfn = vm_normal_page(tx, vma, pte)
        if pfn is None or is_zero_pfn(pte.pfn):
            return fail(EFAULT)
        get_page(tx, pfn)
        self.old, self.holds = pfn, (pfn,)
        return None

    @step
    def try_to_migrate(self, tx: Transaction) -> Outcome:
        """Walk the reverse map: replace the next entry that maps the page by a migration entry.

        Whoever faults on it waits. The entry's mapcount and reference go. A page that only one process has, and that
        may be pinned, cannot be taken away from it: migration fails.
        """
        place = next(iter(rmap_walk(tx, self.old)), None)
        if place is None:
            return goto(migrate_pages.folio_migrate_mapping)
        if (wait := pte_lock(tx, place.mm, place.vpn)) is not None:
            return wait
        frame = tx.frames[self.old]
        if frame.exclusive and frame.refcount >= GUP_PIN_COUNTING_BIAS:
            self.ret = -EAGAIN
            return goto(migrate_pages.remove_migration_ptes)
        mmu_notifier_invalidate_range_start(tx, place.mm, place.vpn, place.vpn + 1)
        self.unmap(tx, place)
        return call(flush_tlb_range(mm=place.mm, start=place.vpn, end=place.vpn + 1))

    def unmap(self, tx: Transaction, place: Mapped) -> None:
        """Put a migration entry in the place of a page's entry."""
        pte = tx.ptes[place.mm, place.vpn]
        tx.ptes[place.mm, place.vpn] = Pte(pte.pfn, pte.bits, "migration")
        folio_remove_rmap(tx, self.old, place.vma)
        self.places += ((place.mm, place.vpn, place.vma),)
        self.holds += (self.old,)

    @step
    def flushed(self, tx: Transaction) -> Outcome:
        """No CPU uses the old translation any more: the entry's reference can go."""
        mm, _, _ = self.places[-1]
        mmu_notifier_invalidate_range_end(tx, mm)
        put_page(tx, self.old)
        self.holds = self.holds[:-1]
        return goto(migrate_pages.try_to_migrate)

    @step
    def folio_migrate_mapping(self, tx: Transaction) -> Outcome:
        """Now the count: one for our isolation, one for the page cache, one for private data. One more: EAGAIN.

        Somebody holds the page - a pin, a pipe, a device. It stays where it is, and he never notices that we tried.
        """
        frame = tx.frames[self.old]
        cached = frame.kind == "file" and bool(frame.mapping)
        expected = 1 + cached + bool(cached and frame.flags & PG_PRIVATE)
        if page_count(tx, self.old) != expected:
            self.ret = -EAGAIN
            return goto(migrate_pages.remove_migration_ptes)
        new = alloc_page(
            tx,
            frame.kind,
            content=tx.content.get(self.old) or 0,
            mapping=frame.mapping,
            index=frame.index,
            cma=self.to_cma,
        )
        if new is None:
            self.ret = -ENOMEM
            return goto(migrate_pages.remove_migration_ptes)
        tx.frames.update(new, flags=frame.flags & ~PG_CMA | tx.frames[new].flags & PG_CMA)
        if cached:
            tx.page_cache[frame.mapping, frame.index] = new
            get_page(tx, new)
            put_page(tx, self.old, 1 + bool(frame.flags & PG_PRIVATE))
            if frame.flags & PG_PRIVATE:
                get_page(tx, new)
        tx.frames.update(self.old, mapping="", flags=frame.flags & ~(PG_ANON_EXCLUSIVE | PG_PRIVATE))
        self.new, self.holds, self.ret = new, (*self.holds, new), 0
        return None

    @step
    def remove_migration_ptes(self, tx: Transaction) -> Outcome:
        """Turn the migration entries back into real ones: to the new frame, or after a failure to the old one."""
        pfn = self.new if self.new >= 0 else self.old
        if not self.places:
            return None
        (mm, vpn, vma), self.places = self.places[0], self.places[1:]
        entry = tx.ptes.get((mm, vpn))
        if entry is not None and entry.kind == "migration" and entry.pfn == self.old:
            get_page(tx, pfn)
            folio_add_rmap(tx, pfn, vma)
            tx.ptes[mm, vpn] = Pte(pfn, entry.bits)
        return goto(migrate_pages.remove_migration_ptes)

    @step
    def putback(self, tx: Transaction) -> Outcome:
        """Give the isolated page back; if it was moved, the old frame is free. After EAGAIN try again, ten times."""
        if self.ret == -EAGAIN and self.passes < NR_MAX_MIGRATE_PAGES_RETRY - 1:
            self.passes += 1
            return goto(migrate_pages.try_to_migrate)
        for pfn in self.holds:
            put_page(tx, pfn)
        self.holds = ()
        return done(self.ret)
