"""Faults on huge pages of the pool: hugetlb has handlers of its own, and locks of its own.

Two faults on the same page of a file exclude each other (hugetlb_fault_mutex_table): else both would take a page of
the pool, and one of them might find it empty. The VMA is locked as well, so that truncation does not pass by.
"""

from typing import ClassVar

from model.engine.lock import down_write, up_write
from model.engine.procedure import Blocked, Outcome, Procedure, call, done, goto, step, tail
from model.kernel.arch.boot import HUGETLB_NR
from model.kernel.arch.pgtable import PMD, TABLE_SHIFT, hold_pte_lock, pte_lock, pte_unlock
from model.kernel.arch.shared_table import set_huge_pmd
from model.kernel.arch.tlb import flush_tlb_range
from model.kernel.mm.filemap import filemap_add_folio, filemap_get_folio, folio_lock, folio_trylock, folio_unlock
from model.kernel.mm.huge_page import pmd_start
from model.kernel.mm.hugetlb_pool import (
    alloc_hugetlb_folio,
    hugetlb_add_new_anon_rmap,
    hugetlb_add_rmap,
    hugetlb_remove_rmap,
    restore_reserve_on_error,
    vma_hugecache_offset,
)
from model.kernel.mm.hugetlb_share import huge_pte_alloc
from model.kernel.mm.hugetlb_unmap import unmap_hugepage_range
from model.kernel.mm.hugetlb_zap import down_read_vma, up_read_vma
from model.kernel.mm.mmu_notifier import mmu_notifier_invalidate_range_end, mmu_notifier_invalidate_range_start
from model.kernel.mm.page import clear_page_flags, get_page, put_page, set_anon_exclusive
from model.kernel.mm.page_prot import vm_page_prot
from model.kernel.mm.pte_marker import POISON_MARKER, pte_mkuffd_wp, userfaultfd_pte_wp, userfaultfd_wp_async
from model.kernel.mm.rmap import anon_vma_prepare
from model.kernel.mm.userfaultfd import handle_userfault
from model.kernel.mm.vma import linked_vma, vma_lookup
from model.memory.events import Copied, Printk
from model.memory.flags import (
    FAULT_FLAG_UNSHARE,
    FAULT_FLAG_WRITE,
    HPAGE_RESV_OWNER,
    HPAGE_RESV_UNMAPPED,
    PAGE_ACCESSED,
    PAGE_DIRTY,
    PAGE_PSE,
    PAGE_RW,
    PAGE_UFFD_WP,
    PG_DIRTY,
    PG_LRU,
    PG_RESTORE_RESERVE,
    VM_FAULT_HWPOISON,
    VM_FAULT_OOM,
    VM_FAULT_SIGBUS,
    VM_MAYSHARE,
    VM_SHARED,
    VM_UFFD_MINOR,
    VM_UFFD_MISSING,
    VM_UFFD_WP,
    VM_WRITE,
)
from model.memory.records import Pte, Vma
from model.memory.state import Memory, Transaction
from model.memory.tasks import Replacement
from model.memory.units import Pfn


def make_huge_pte(vma: Vma, head: int, *, try_mkwrite: bool) -> Pte:
    """An entry for a huge page: writable and dirty if that is tried and the VMA allows it, else read-only."""
    bits = vm_page_prot(vma) | PAGE_PSE | PAGE_ACCESSED
    if try_mkwrite and vma.flags & VM_WRITE:
        return Pte(head, bits | PAGE_RW | PAGE_DIRTY)
    return Pte(head, bits & ~PAGE_RW)


def hugetlb_add_to_page_cache(tx: Transaction, file: str, index: int, head: int) -> None:
    """Put a huge page into its file: dirty, on no LRU list, and its reservation is used up for good."""
    filemap_add_folio(tx, file, index * HUGETLB_NR, head, PG_DIRTY)
    clear_page_flags(tx, head, PG_LRU | PG_RESTORE_RESERVE)


def copy_user_large_folio(tx: Transaction, new: int, old: int) -> None:
    """Copy all 512 pages, one after the other."""
    for page in range(HUGETLB_NR):
        if byte := tx.content.get(old + page):
            tx.content[new + page] = byte
    pages = range(HUGETLB_NR)
    tx.emit(Copied(tuple(new + page for page in pages), tuple(old + page for page in pages)))


class hugetlb_call(Procedure):
    """What the parts of a fault share: where it is, and the two locks that it holds."""

    mm: str
    vpn: int
    flags: int

    @property
    def key(self) -> tuple[str, int, int]:
        """The entry in `tables`."""
        return self.mm, PMD, self.vpn >> TABLE_SHIFT

    def vma(self, mem: Memory) -> Vma:
        """The VMA of the fault."""
        vma = vma_lookup(mem, self.mm, self.vpn)
        assert vma is not None
        return vma

    def mutex_lock(self, tx: Transaction) -> Blocked | None:
        """Take the fault mutex of the file's huge page. The kernel's table is hashed: some pages share one."""
        return down_write(tx, "hugetlb_fault_mutex", self.mutex(tx))

    def mutex(self, mem: Memory) -> str:
        """What the mutex is of."""
        vma = self.vma(mem)
        return f"{vma.file}:{vma_hugecache_offset(vma, self.vpn)}"

    def unlock(self, tx: Transaction) -> None:
        """Give the lock of the VMA and the fault mutex back."""
        up_read_vma(tx, self.mm, self.vma(tx))
        up_write(tx, "hugetlb_fault_mutex", self.mutex(tx))


class hugetlb_fault(hugetlb_call):
    """Repair one fault in a mapping of huge pages; the caller holds mmap_lock. Returns VM_FAULT_* bits."""

    source: ClassVar[str] = "mm/hugetlb.c: hugetlb_fault"

    @step
    def hugetlb_fault_mutex(self, tx: Transaction) -> Outcome:
        """One fault at a time on the same page of a file: of two that find it missing, only one takes a page.

        Else the pool might be empty for the second, which would be killed although its page is there by now.
        """
        return self.mutex_lock(tx)

    @step
    def hugetlb_vma_lock_read(self, tx: Transaction) -> Outcome:
        """Lock the VMA, then make sure that there is a table for the entry: huge entries stand one level higher."""
        if (wait := down_read_vma(tx, self.mm, self.vma(tx))) is not None:
            return wait
        return call(huge_pte_alloc(self.mm, self.vma(tx), self.vpn))

    @step
    def huge_ptep_get(self, tx: Transaction) -> Outcome:
        """Nothing there: find the file's page or take one of the pool. Read-only, and to be written: copy it.

        Else the entry is young now, or dirty. What userfaultfd has write-protected is its business first, and what it
        has poisoned is SIGBUS.
        """
        if self.ret < 0:
            self.unlock(tx)
            return done(VM_FAULT_OOM)
        if (wait := pte_lock(tx, self.mm, self.vpn)) is not None:
            return wait
        entry = tx.tables.get(self.key)
        if entry == POISON_MARKER:
            self.unlock(tx)
            return done(VM_FAULT_HWPOISON)
        if entry is None or entry.kind == "marker":
            return tail(hugetlb_no_page(mm=self.mm, vpn=self.vpn, flags=self.flags, marker=entry))
        if self.flags & FAULT_FLAG_WRITE and not entry.writable and userfaultfd_pte_wp(self.vma(tx), entry):
            if not userfaultfd_wp_async(tx, self.vma(tx)):
                self.unlock(tx)
                return tail(handle_userfault(mm=self.mm, vpn=self.vpn, flags=self.flags, reason=VM_UFFD_WP))
            entry = entry.without(PAGE_UFFD_WP)
            set_huge_pmd(tx, self.mm, self.vpn, entry)
        if self.flags & (FAULT_FLAG_WRITE | FAULT_FLAG_UNSHARE) and not entry.writable:
            return call(hugetlb_wp(mm=self.mm, vpn=self.vpn, flags=self.flags, old=entry))
        touched = PAGE_ACCESSED | (PAGE_DIRTY if self.flags & FAULT_FLAG_WRITE else 0)
        set_huge_pmd(tx, self.mm, self.vpn, entry.with_bits(touched))
        self.ret = 0
        return None

    @step
    def out_mutex(self, tx: Transaction) -> Outcome:
        """Unlock."""
        self.unlock(tx)
        return done(self.ret)


class hugetlb_no_page(hugetlb_call):
    """Nothing is mapped yet: the page comes from the file, or from the pool. Called, and ends, with both locks."""

    source: ClassVar[str] = "mm/hugetlb.c: hugetlb_no_page"
    fresh: bool = False
    """The page in `holds` was taken out of the pool by this call."""
    marker: Pte | None = None
    """What userfaultfd has left in the empty entry."""

    @step
    def filemap_lock_hugetlb_folio(self, tx: Transaction) -> Outcome:
        """Has the file the page? Then take it, locked, so that truncation waits. Beyond the end of the file: SIGBUS.

        With a userfaultfd a page of the file is its business where it is registered for `minor`, a hole for `missing`.

        A process whose page was taken away for its parent's sake is killed: zeros would not be what it had.
        """
        vma = self.vma(tx)
        if vma.resv & HPAGE_RESV_UNMAPPED:
            pid = tx.processes[self.mm].pid
            tx.emit(Printk(f"PID {pid} killed due to inadequate hugepage pool"))
            return self.leave(tx, VM_FAULT_SIGBUS)
        index = vma_hugecache_offset(vma, self.vpn)
        head = tx.page_cache.get((vma.file, index * HUGETLB_NR))
        if head is not None:
            if (wait := folio_lock(tx, head)) is not None:
                return wait
            if vma.flags & VM_UFFD_MINOR:
                folio_unlock(tx, head)
                return self.userfault(tx, VM_UFFD_MINOR)
            filemap_get_folio(tx, vma.file, index * HUGETLB_NR)
            self.holds = (head,)
            return goto(hugetlb_no_page.set_huge_pte_at)
        if index >= tx.files[vma.file].size // HUGETLB_NR:
            return self.leave(tx, VM_FAULT_SIGBUS)
        return self.userfault(tx, VM_UFFD_MISSING) if vma.flags & VM_UFFD_MISSING else None

    def userfault(self, tx: Transaction, reason: int) -> Outcome:
        """Give the locks back, and leave the fault to userfaultfd (hugetlb_handle_userfault)."""
        self.unlock(tx)
        return tail(handle_userfault(mm=self.mm, vpn=self.vpn, flags=self.flags, reason=reason))

    @step
    def alloc_hugetlb_folio(self, tx: Transaction) -> Outcome:
        """Take a page of the pool, which is reserved for this address if mmap() could reserve it. None left: SIGBUS.

        A shared mapping's belongs to the file at once; a private one's to this process alone, even if it only reads.
        """
        vma = self.vma(tx)
        shared = bool(vma.flags & VM_MAYSHARE)
        if not shared:
            vma = anon_vma_prepare(tx, self.mm, vma)
        head = alloc_hugetlb_folio(tx, self.mm, vma, self.vpn, "file" if shared else "anon")
        if head is None:
            return self.leave(tx, VM_FAULT_SIGBUS)
        self.fresh, self.holds = True, (head,)
        if shared:
            hugetlb_add_to_page_cache(tx, vma.file, vma_hugecache_offset(vma, self.vpn), head)
            folio_trylock(tx, head)
        return None

    @step
    def set_huge_pte_at(self, tx: Transaction) -> Outcome:
        """Under the lock: if the entry is still empty, map the page.

        A shared mapping gets it writable at once. A private one only reads it for the time being; if it is to be
        written it is copied, or, being fresh, opened, before the lock is given back.
        """
        if (wait := pte_lock(tx, self.mm, self.vpn)) is not None:
            return wait
        vma = self.vma(tx)
        (head,), self.holds = self.holds, ()
        anon = self.fresh and not vma.flags & VM_MAYSHARE
        if tx.tables.get(self.key) != self.marker:
            if anon:
                restore_reserve_on_error(tx, self.mm, vma, self.vpn, head)
            folio_unlock(tx, head)
            put_page(tx, head)
            return self.leave(tx, 0)
        if anon:
            hugetlb_add_new_anon_rmap(tx, head, vma, pmd_start(self.vpn))
        else:
            hugetlb_add_rmap(tx, head)
        folio_unlock(tx, head)
        entry = make_huge_pte(vma, head, try_mkwrite=bool(vma.flags & VM_SHARED))
        entry = entry if self.marker is None else pte_mkuffd_wp(entry)
        set_huge_pmd(tx, self.mm, self.vpn, entry)
        if not self.flags & FAULT_FLAG_WRITE or vma.flags & VM_SHARED:
            return self.leave(tx, 0)
        hold_pte_lock(tx, self.mm, self.vpn)
        return call(hugetlb_wp(mm=self.mm, vpn=self.vpn, flags=self.flags, old=entry))

    @step
    def out_mutex(self, tx: Transaction) -> Outcome:
        """Unlock."""
        return self.leave(tx, self.ret)

    def leave(self, tx: Transaction, value: int) -> Outcome:
        """Give both locks back, and return."""
        self.unlock(tx)
        return done(value)


class hugetlb_wp(hugetlb_call):
    """A write, or FAULT_FLAG_UNSHARE, met a huge entry that is not writable: reuse the page, or copy all of it."""

    source: ClassVar[str] = "mm/hugetlb.c: hugetlb_wp"
    old: Pte
    """The entry as it was when the fault began."""
    owner: bool = False
    """cow_from_owner: the page was reserved for this process, and others map it since a fork."""

    def replaces(self) -> Replacement | None:
        """The huge page by its copy, while the one entry is cleared and the other one set."""
        if self.pc not in {self.positions["huge_ptep_clear_flush"], self.positions["set_huge_pte_at"]}:
            return None
        start = pmd_start(self.vpn)
        return Replacement(self.mm, start, start + HUGETLB_NR, self.holds[-1], self.old.pfn)

    @step
    def retry_avoidcopy(self, tx: Transaction) -> Outcome:
        """Under the lock: a shared mapping is opened; a private page that nobody else *maps* is reused.

        References are not asked for, only mappings: a copy would cost a page of the pool, and there may be none. So
        whoever got the page before a fork may see what is written after it.
        """
        if (wait := pte_lock(tx, self.mm, self.vpn)) is not None:
            return wait
        if ("ptl", f"{self.mm}:{self.vpn >> TABLE_SHIFT}") in tx.locks:
            pte_unlock(tx, self.mm, self.vpn)
        if tx.tables.get(self.key) != self.old:
            return done()
        if self.old.bits & PAGE_UFFD_WP and not self.flags & FAULT_FLAG_UNSHARE:
            return done()  # the access begins anew, and userfaultfd is asked
        vma, head = self.vma(tx), self.old.pfn
        frame = tx.frames[head]
        if vma.flags & VM_MAYSHARE:
            set_huge_pmd(tx, self.mm, self.vpn, self.old.with_bits(PAGE_RW | PAGE_DIRTY))
            return done()
        anon = frame.kind == "anon"
        if frame.mapcount == 1 and anon:
            if not frame.exclusive:
                tx.frames.update(head, mapping=f"anon_vma:{vma.anon_vma}")
                set_anon_exclusive(tx, head)
            if not self.flags & FAULT_FLAG_UNSHARE and vma.flags & VM_WRITE:
                tx.tables[self.key] = self.old.with_bits(PAGE_RW | PAGE_DIRTY)
            return done()
        self.owner = anon and bool(vma.resv & HPAGE_RESV_OWNER)
        get_page(tx, head)
        self.holds = (head,)
        return None

    @step
    def alloc_hugetlb_folio(self, tx: Transaction) -> Outcome:
        """Take a page of the pool for the copy. The owner's reservation is used up: it takes one that is nobody's.

        If there is none the owner is not let down: the page is taken away from all others, its children, and they are
        killed if they touch it. Anybody else gets SIGBUS.
        """
        vma = self.vma(tx)
        new = alloc_hugetlb_folio(tx, self.mm, vma, self.vpn, "anon", cow_from_owner=self.owner)
        if new is None:
            put_page(tx, self.old.pfn)
            self.holds = ()
            if not self.owner:
                return done(VM_FAULT_SIGBUS)
            self.unlock(tx)
            shift = vma.pgoff - vma.start
            take = unmap_ref_private(
                mm=self.mm, start=vma.start, file=vma.file, head=self.old.pfn, offset=pmd_start(self.vpn) + shift
            )
            return call(take, hugetlb_wp.lock_again)
        anon_vma_prepare(tx, self.mm, vma)
        copy_user_large_folio(tx, new, self.old.pfn)
        self.holds = (*self.holds, new)
        start = pmd_start(self.vpn)
        mmu_notifier_invalidate_range_start(tx, self.mm, start, start + HUGETLB_NR)
        return None

    @step
    def huge_ptep_clear_flush(self, tx: Transaction) -> Outcome:
        """Under the lock, if nothing has changed: clear the entry, and make every CPU forget it."""
        if (wait := pte_lock(tx, self.mm, self.vpn)) is not None:
            return wait
        old, new = self.holds
        if tx.tables.get(self.key) != self.old:
            restore_reserve_on_error(tx, self.mm, self.vma(tx), self.vpn, new)
            self.holds = ()
            put_page(tx, new)
            put_page(tx, old)
            mmu_notifier_invalidate_range_end(tx, self.mm)
            return done()
        hold_pte_lock(tx, self.mm, self.vpn)
        del tx.tables[self.key]
        self.holds, self.owes_rmap = (old, old, new), (old,)
        start = pmd_start(self.vpn)
        return call(flush_tlb_range(mm=self.mm, start=start, end=start + HUGETLB_NR))

    @step
    def set_huge_pte_at(self, tx: Transaction) -> Outcome:
        """Map the copy, exclusive to this process; the old page has one mapping and one reference less."""
        old, _, new = self.holds
        self.holds = self.owes_rmap = ()
        vma = self.vma(tx)
        hugetlb_remove_rmap(tx, old)
        hugetlb_add_new_anon_rmap(tx, new, vma, pmd_start(self.vpn))
        copy = make_huge_pte(vma, new, try_mkwrite=not self.flags & FAULT_FLAG_UNSHARE)
        tx.tables[self.key] = pte_mkuffd_wp(copy) if self.old.bits & PAGE_UFFD_WP else copy
        pte_unlock(tx, self.mm, self.vpn)
        mmu_notifier_invalidate_range_end(tx, self.mm)
        put_page(tx, old, 2)
        return done()

    @step
    def lock_again(self, tx: Transaction) -> Outcome:
        """The locks were given up meanwhile, for unmapping needs them. Take them again, and look again."""
        return self.mutex_lock(tx)

    @step
    def lock_vma_again(self, tx: Transaction) -> Outcome:
        """Nobody else maps the page now, as a rule: it is reused."""
        if (wait := down_read_vma(tx, self.mm, self.vma(tx))) is not None:
            return wait
        return goto(hugetlb_wp.retry_avoidcopy)


class unmap_ref_private(Procedure):
    """Take a huge page away from all private mappings that do not own its reservation: the children of a fork."""

    source: ClassVar[str] = "mm/hugetlb.c: unmap_ref_private"
    mm: str
    start: int
    """Where the owner's VMA starts."""
    file: str
    head: Pfn
    offset: int
    """The first page of it in the file."""
    visited: int = 0

    @step
    def i_mmap_lock_write(self, tx: Transaction) -> Outcome:
        """Lock the file's mappings: all private mappings of a file's page are among them."""
        return down_write(tx, "i_mmap_rwsem", self.file)

    @step
    def next_vma(self, tx: Transaction) -> Outcome:
        """Unmap it there, if it is mapped, and remember in the VMA that a page of it is missing."""
        for mm, start in tx.files[self.file].i_mmap[self.visited :]:
            self.visited += 1
            vma = linked_vma(tx, mm, start)
            if (mm, start) == (self.mm, self.start) or vma.flags & VM_MAYSHARE or vma.resv & HPAGE_RESV_OWNER:
                continue
            at = self.offset - vma.pgoff + vma.start
            if vma.start <= at < vma.end:
                unmap = unmap_hugepage_range(mm=mm, vmas=(vma,), start=at, end=at + HUGETLB_NR, folio=self.head)
                return call(unmap, then=unmap_ref_private.next_vma)
        return None

    @step
    def i_mmap_unlock_write(self, tx: Transaction) -> Outcome:
        """Unlock."""
        up_write(tx, "i_mmap_rwsem", self.file)
        return done()
