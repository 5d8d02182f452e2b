"""Migration: how the mm moves a page of its own, and why an extra reference makes it give up.

Every entry that maps the page is replaced by a migration entry, which drops the entry's mapcount and reference. Then
the count is looked at: if anybody else holds the page, it stays where it is. That is the difference from a driver that
moves a buffer: it never looks (kernel-facts I).
"""

from typing import ClassVar, Final

from model.engine.lock import down_read, up_read
from model.engine.procedure import Outcome, Procedure, call, done, fail, goto, step
from model.kernel.arch.pgtable import hold_pte_lock, pte_lock, pte_unlock, vm_normal_page
from model.kernel.arch.tlb import flush_tlb_range
from model.kernel.mm.filemap import folio_lock, folio_unlock, folio_wait_writeback
from model.kernel.mm.ksm_tree import folio_migrate_ksm
from model.kernel.mm.mmu_notifier import mmu_notifier_invalidate_range_end, mmu_notifier_invalidate_range_start
from model.kernel.mm.page import (
    clear_page_flags,
    folio_add_rmap,
    folio_isolate_lru,
    folio_putback_lru,
    folio_remove_rmap,
    get_page,
    page_count,
    page_ref_add,
    put_page,
    set_page_flags,
)
from model.kernel.mm.page_alloc import alloc_page
from model.kernel.mm.rmap_walk import migration_entries, rmap_walk
from model.kernel.mm.split_folio import split_folio
from model.kernel.mm.vma import vma_lookup
from model.memory.errno import EAGAIN, EBUSY, EFAULT, ENOENT, ENOMEM, EOPNOTSUPP
from model.memory.events import Copied
from model.memory.flags import (
    GUP_PIN_COUNTING_BIAS,
    PAGE_SWP_EXCLUSIVE,
    PG_ANON_EXCLUSIVE,
    PG_CMA,
    PG_DIRTY,
    PG_PRIVATE,
    PG_SWAPCACHE,
    VM_IO,
    VM_PFNMAP,
)
from model.memory.folio import page_folio, page_frame
from model.memory.leaf import leaf_entry
from model.memory.record_base import replaced
from model.memory.records import Frame, Pte, Vma
from model.memory.state import Transaction
from model.memory.units import Pfn

NR_MAX_MIGRATE_PAGES_RETRY: Final = 10
"""Passes before migrate_pages() gives up."""

MIGRATE_FOLIO_REFUSES: Final = {"secretmem": EBUSY, "guest_memfd": EOPNOTSUPP}
"""Kinds of files whose pages stay where they are: mm/secretmem.c: secretmem_migrate_folio; AS_INACCESSIBLE."""


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
    unmapped: str = ""
    """The process whose entry was replaced last."""
    at: int = 0
    """And where."""
    vma: Vma | None = None

    @step
    def mmap_read_lock(self, tx: Transaction) -> Outcome:
        """Lock the address space to find the page."""
        if self.mm not in tx.processes:
            return fail(ENOENT)
        return down_read(tx, "mmap_lock", self.mm)

    @step
    def isolate(self, tx: Transaction) -> Outcome:
        """Take the page off its LRU list, with a reference of our own. A PFN mapping is refused: EFAULT.

        A page that is on no list - a driver's, a ring's, one that somebody else has just isolated - cannot be moved:
        EBUSY. Storage (DAX) is ENOENT: it stays where it is.
        """
        up_read(tx, "mmap_lock", self.mm)
        vma = vma_lookup(tx, self.mm, self.vpn)
        if vma is None or vma.flags & (VM_IO | VM_PFNMAP):
            return fail(EFAULT)
        pte = leaf_entry(tx, self.mm, self.vpn)
        if pte is None or not pte.present:
            return fail(ENOENT)
        frame = page_frame(tx, pte.pfn)
        if frame.kind == "dax":
            return fail(ENOENT)
        # The zero page, small or huge, is found and refused (add_folio_for_migration): nothing is wrong with its entry.
        pfn = vm_normal_page(tx, vma, pte) if frame.kind != "zero" else None
        if pfn is None:
            return fail(EFAULT)
        if not folio_isolate_lru(tx, pfn):
            return fail(EBUSY)
        self.old, self.holds = page_folio(tx, pfn), (page_folio(tx, pfn),)
        return None

    @step
    def folio_lock(self, tx: Transaction) -> Outcome:
        """Lock the page: no fault maps it, no truncation and no reclaim takes it away while it moves.

        A page that is being written to disk is waited for (MIGRATE_SYNC). If it has left its file meanwhile there is
        nothing to move.
        """
        if (wait := folio_lock(tx, self.old) or folio_wait_writeback(tx, self.old)) is not None:
            return wait
        frame = tx.frames[self.old]
        if not frame.mapping and frame.kind == "file":
            self.ret = 0 if page_count(tx, self.old) == 1 else -EAGAIN
            return goto(migrate_pages.putback)
        if frame.large:
            return call(split_folio(head=self.old, to_list=True))
        return goto(migrate_pages.try_to_migrate)

    @step
    def try_split_folio(self, tx: Transaction) -> Outcome:
        """A large folio is split, and the page that is meant moves alone; the others go back to their list.

        The kernel does this where it finds no free block of that size. If somebody holds the folio it cannot move.
        """
        if self.ret < 0:
            return goto(migrate_pages.putback)
        pte = tx.ptes.get((self.mm, self.vpn))
        folio_unlock(tx, self.old)
        meant = pte.pfn if pte is not None and pte.present and pte.pfn in self.holds else self.old
        for pfn in self.holds:
            if pfn != meant:
                folio_putback_lru(tx, pfn)
        self.old, self.holds = meant, (meant,)
        return goto(migrate_pages.folio_lock)

    @step
    def try_to_migrate(self, tx: Transaction) -> Outcome:
        """Walk the reverse map. Under its page table's lock, replace the next entry that maps the page, and flush.

        A migration entry takes its place: whoever faults on it waits. A page that only one process has, and that may be
        pinned, cannot be taken away from it: migration fails.
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
        hold_pte_lock(tx, place.mm, place.vpn)
        pte = tx.ptes[place.mm, place.vpn]
        exclusive = PAGE_SWP_EXCLUSIVE if frame.exclusive else 0
        tx.ptes[place.mm, place.vpn] = Pte(pte.pfn, pte.bits | exclusive, "migration")
        clear_page_flags(tx, self.old, PG_ANON_EXCLUSIVE)
        if pte.dirty:
            set_page_flags(tx, self.old, PG_DIRTY)
        self.unmapped, self.at, self.vma = place.mm, place.vpn, place.vma
        self.holds += (self.old,)
        self.owes_rmap = (self.old,)
        return call(flush_tlb_range(mm=place.mm, start=place.vpn, end=place.vpn + 1))

    @step
    def folio_remove_rmap(self, tx: Transaction) -> Outcome:
        """No CPU uses the old translation any more: the entry's mapcount and reference go, then the lock."""
        assert self.vma is not None
        folio_remove_rmap(tx, self.old, self.vma, self.unmapped)
        put_page(tx, self.old)
        self.owes_rmap, self.holds = (), self.holds[:-1]
        pte_unlock(tx, self.unmapped, self.at)
        mmu_notifier_invalidate_range_end(tx, self.unmapped)
        return goto(migrate_pages.try_to_migrate)

    @step
    def folio_migrate_mapping(self, tx: Transaction) -> Outcome:
        """Now the count: one for our isolation, one for the page or swap cache, one for private data. One more: EAGAIN.

        Somebody holds the page - a pin, a pipe, a device. It stays where it is, and they never notice that we tried.
        The new page is locked as well, until it is mapped. Secret memory refuses: EBUSY.
        """
        frame = tx.frames[self.old]
        refused = self.refusal(tx, frame)
        if refused:
            self.ret = -refused
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
        tx.emit(Copied((new,), (self.old,)))
        folio_lock(tx, new)
        tx.frames.update(new, flags=frame.flags & ~PG_CMA | tx.frames[new].flags & PG_CMA)
        self.move_caches(tx, frame, new)
        self.new, self.holds, self.ret = new, (*self.holds, new), 0
        return None

    def refusal(self, mem: Transaction, frame: Frame) -> int:
        """An errno if the page cannot be moved, or 0 (mm/migrate.c: folio_migrate_mapping; a_ops->migrate_folio)."""
        file = mem.files.get(frame.mapping) if frame.kind == "file" else None
        if file is not None and file.kind in MIGRATE_FOLIO_REFUSES:
            return MIGRATE_FOLIO_REFUSES[file.kind]
        cached = frame.kind == "file" and bool(frame.mapping)
        private = bool(cached and frame.flags & PG_PRIVATE)
        expected = 1 + cached + private + bool(frame.flags & PG_SWAPCACHE)
        return 0 if page_count(mem, self.old) == expected else EAGAIN

    def move_caches(self, tx: Transaction, frame: Frame, new: int) -> None:
        """The page cache, or the swap cache, has the new page in the place of the old one from now on."""
        moved = 0
        if frame.kind == "file" and frame.mapping:
            tx.page_cache[frame.mapping, frame.index] = new
            moved += 1 + bool(frame.flags & PG_PRIVATE)
        if frame.flags & PG_SWAPCACHE:
            tx.swap_slots[frame.swap] = replaced(tx.swap_slots[frame.swap], pfn=new)
            tx.frames.update(new, swap=frame.swap)
            moved += 1
        if moved:
            page_ref_add(tx, new, moved)
            put_page(tx, self.old, moved)
        folio_migrate_ksm(tx, self.old, new)
        kept = "" if frame.kind == "file" else frame.mapping
        tx.frames.update(self.old, mapping=kept, swap=-1, flags=frame.flags & ~(PG_PRIVATE | PG_SWAPCACHE))

    @step
    def remove_migration_ptes(self, tx: Transaction) -> Outcome:
        """Turn the migration entries back into real ones: to the new frame, or after a failure to the old one.

        The reverse map finds them, also those that a fork has copied or an mremap has moved meanwhile.
        """
        pfn = self.new if self.new >= 0 else self.old
        place = next(migration_entries(tx, pfn, self.old), None)
        if place is None:
            return None
        if (wait := pte_lock(tx, place.mm, place.vpn)) is not None:
            return wait
        entry = tx.ptes[place.mm, place.vpn]
        get_page(tx, pfn)
        folio_add_rmap(tx, pfn, place.vma, place.mm)
        if entry.bits & PAGE_SWP_EXCLUSIVE:
            set_page_flags(tx, pfn, PG_ANON_EXCLUSIVE)
        tx.ptes[place.mm, place.vpn] = Pte(pfn, entry.bits & ~PAGE_SWP_EXCLUSIVE)
        return goto(migrate_pages.remove_migration_ptes)

    @step
    def putback(self, tx: Transaction) -> Outcome:
        """Give the isolated page back; if it was moved, the old frame is free. After EAGAIN try again, ten times."""
        folio_unlock(tx, self.old)
        if self.new >= 0:
            folio_unlock(tx, self.new)
        if self.ret == -EAGAIN and self.passes < NR_MAX_MIGRATE_PAGES_RETRY - 1:
            self.passes += 1
            return goto(migrate_pages.folio_lock)
        isolated, self.holds = self.holds, ()
        if self.new >= 0:
            put_page(tx, self.old)
        folio_putback_lru(tx, isolated[-1])
        return done(self.ret)
