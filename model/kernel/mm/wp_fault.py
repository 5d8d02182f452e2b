"""Write faults on present, read-only entries: reuse the page, or copy it (copy-on-write)."""

from typing import ClassVar

from model.engine.config import fact
from model.engine.mends import mended
from model.engine.procedure import Outcome, Procedure, call, done, step, tail
from model.kernel.arch.pgtable import hold_pte_lock, is_zero_pfn, pte_lock, pte_unlock, vm_normal_page
from model.kernel.arch.tlb import flush_tlb_range
from model.kernel.mm.do_fault import the_vma
from model.kernel.mm.filemap import folio_trylock, folio_unlock
from model.kernel.mm.mmu_notifier import mmu_notifier_invalidate_range_end, mmu_notifier_invalidate_range_start
from model.kernel.mm.page import (
    folio_add_new_anon_rmap,
    folio_remove_rmap,
    get_page,
    put_page,
    set_anon_exclusive,
    set_page_flags,
)
from model.kernel.mm.page_alloc import alloc_page
from model.kernel.mm.page_prot import maybe_mkwrite, mk_pte
from model.kernel.mm.pte_marker import pte_mkuffd_wp, userfaultfd_pte_wp, userfaultfd_wp_async
from model.kernel.mm.rmap import anon_vma_prepare
from model.kernel.mm.swap import folio_free_swap, free_swap_cache
from model.kernel.mm.userfaultfd import handle_userfault
from model.kernel.mm.vm_ops import vm_operations
from model.memory.events import Copied
from model.memory.flags import (
    FAULT_FLAG_UNSHARE,
    PAGE_ACCESSED,
    PAGE_DIRTY,
    PAGE_UFFD_WP,
    PG_DIRTY,
    PG_KSM,
    PG_SWAPCACHE,
    VM_FAULT_ERROR,
    VM_FAULT_NOPAGE,
    VM_FAULT_OOM,
    VM_FAULT_WRITE,
    VM_MAYSHARE,
    VM_SHARED,
    VM_UFFD_WP,
)
from model.memory.folio import folio_of, page_exclusive, page_folio
from model.memory.records import Pte, Vma
from model.memory.state import Memory, Transaction
from model.memory.tasks import Replacement
from model.memory.units import Pfn


class do_wp_page(Procedure):
    """A write (or FAULT_FLAG_UNSHARE, by GUP) met a present entry that is not writable."""

    source: ClassVar[str] = "mm/memory.c: do_wp_page"
    mm: str
    vpn: int
    flags: int
    flushed: bool = False
    """Every CPU has forgotten its translation of this page."""

    @step
    def reuse_or_copy(self, tx: Transaction) -> Outcome:
        """Under the page table lock: who else has this page?

        Shared file mapping: take a reference on its page before the lock is dropped, and make the entry writable.
        Anonymous page that is exclusive, or whose refcount of 1 proves that nobody else has it: reuse it in place. One
        reference more than that, whoever holds it, forces a copy.

        As it was before 09854ba94c6a, the mapcount decides: who is the only one to map the page may write to it, no
        matter who holds references.

        As it was before 6c287605fd56, no page is known to be exclusive: one reference too many forces a copy, also the
        pin of the process itself.
        """
        if (wait := pte_lock(tx, self.mm, self.vpn)) is not None:
            return wait
        vma = the_vma(tx, self.mm, self.vpn)
        pte = tx.ptes.get((self.mm, self.vpn))
        if pte is None or not pte.present or pte.writable:
            return done()
        if not self.flags & FAULT_FLAG_UNSHARE and userfaultfd_pte_wp(vma, pte):
            if not userfaultfd_wp_async(tx, vma):
                return tail(handle_userfault(mm=self.mm, vpn=self.vpn, flags=self.flags, reason=VM_UFFD_WP))
            # Whoever wants to know what was written looks which marks are left.
            pte = tx.ptes[self.mm, self.vpn] = pte.without(PAGE_UFFD_WP)
        if vma.flags & VM_UFFD_WP and tx.processes[self.mm].tlb_flush_pending and not self.flushed:
            # UFFDIO_WRITEPROTECT may still owe a flush: nobody may write to the old page while it is copied.
            self.flushed = True
            return call(flush_tlb_range(mm=self.mm, start=self.vpn, end=self.vpn + 1), do_wp_page.reuse_or_copy)
        pfn = vm_normal_page(tx, vma, pte)
        if vma.flags & (VM_SHARED | VM_MAYSHARE):
            if pfn is None:
                return tail(wp_page_shared(mm=self.mm, vpn=self.vpn, pfn=-1))
            get_page(tx, pfn)
            return tail(wp_page_shared(mm=self.mm, vpn=self.vpn, pfn=pfn, holds=(pfn,)))
        if pfn is not None and folio_of(tx, pfn).kind == "anon" and can_reuse_anon_folio(tx, pfn):
            folio_move_anon_rmap(tx, pfn, vma)
            if not self.flags & FAULT_FLAG_UNSHARE:
                wp_page_reuse(tx, self.mm, vma, self.vpn, pte)
            return done(cow_broken(tx))
        if pfn is not None:
            get_page(tx, pfn)
        copy = wp_page_copy(mm=self.mm, vpn=self.vpn, flags=self.flags, old=pte, holds=() if pfn is None else (pfn,))
        return tail(copy)


def cow_broken(mem: Memory) -> int:
    """What a fault answers that has broken copy-on-write: VM_FAULT_WRITE, as long as get_user_pages() asked for it."""
    return 0 if mended(mem, "foll-cow") and mended(mem, "foll-cow-exclusive") else VM_FAULT_WRITE


def can_reuse_anon_folio(tx: Transaction, pfn: int) -> bool:
    """Whether nobody but this entry has the page: exclusive, or refcount 1 (mm/memory.c: wp_can_reuse_anon_folio)."""
    if page_exclusive(tx, pfn) and mended(tx, "anon-exclusive"):
        return True
    frame = folio_of(tx, pfn)
    if frame.large:
        return can_reuse_large_anon_folio(tx, page_folio(tx, pfn))
    if not mended(tx, "wp-page-count") and not frame.flags & (PG_KSM | PG_SWAPCACHE):
        return frame.mapcount == 1
    if frame.flags & PG_KSM or frame.refcount > 1 + bool(frame.flags & PG_SWAPCACHE):
        return False
    return not frame.flags & PG_SWAPCACHE or folio_free_swap(tx, pfn)


def can_reuse_large_anon_folio(tx: Transaction, head: int) -> bool:
    """Whether all entries that map a large folio are this process's, and nobody else has a reference (since 6.15).

    Then every page of it is the process's own. A folio of which a single page is still mapped is given up instead. The
    swap cache gives its references back, if no entry names a slot any more.
    """
    frame = tx.frames[head]
    if not fact(tx, "pages of a large folio are reused in place") or frame.mapcount <= 1 or tx.folios[head].shared:
        return False
    if frame.flags & PG_SWAPCACHE and folio_trylock(tx, head):
        folio_free_swap(tx, head)
        folio_unlock(tx, head)
        frame = tx.frames[head]
    return frame.mapcount == frame.refcount


def folio_move_anon_rmap(tx: Transaction, pfn: int, vma: Vma) -> None:
    """The page is exclusive to this VMA from now on; of a large folio only this page's mark changes (mm/rmap.c)."""
    if page_exclusive(tx, pfn):
        return
    frame = folio_of(tx, pfn)
    if not frame.large:
        tx.frames.update(pfn, mapping=f"anon_vma:{vma.anon_vma}")
    set_anon_exclusive(tx, pfn)


def wp_page_reuse(tx: Transaction, mm: str, vma: Vma, vpn: int, pte: Pte) -> None:
    """Make the entry writable and dirty, in place (mm/memory.c)."""
    tx.ptes[mm, vpn] = maybe_mkwrite(pte.with_bits(PAGE_ACCESSED | PAGE_DIRTY), vma)


class wp_page_shared(Procedure):
    """Write to a shared mapping whose entry is read-only: the owner of the page is told, then the entry is opened."""

    source: ClassVar[str] = "mm/memory.c: wp_page_shared, wp_pfn_shared"
    mm: str
    vpn: int
    pfn: Pfn
    """-1: a special entry, no page. Else `holds` has a reference, taken under the page table lock."""

    @step
    def mkwrite(self, tx: Transaction) -> Outcome:
        """Call page_mkwrite (or pfn_mkwrite for a special entry), where the file has one."""
        ops = vm_operations(the_vma(tx, self.mm, self.vpn).ops)
        handler = ops.pfn_mkwrite if self.pfn < 0 else ops.page_mkwrite
        if handler is None:
            self.ret = 0
            return None
        return call(handler(mm=self.mm, vpn=self.vpn, pfn=self.pfn))

    @step
    def finish_mkwrite_fault(self, tx: Transaction) -> Outcome:
        """Under the page table lock: writable and dirty, if the entry is still the same."""
        if (wait := pte_lock(tx, self.mm, self.vpn)) is not None:
            return wait
        pte = tx.ptes.get((self.mm, self.vpn))
        told = not self.ret & (VM_FAULT_ERROR | VM_FAULT_NOPAGE)
        if told and pte is not None and pte.present and not pte.writable and self.pfn in {-1, pte.pfn}:
            wp_page_reuse(tx, self.mm, the_vma(tx, self.mm, self.vpn), self.vpn, pte)
            if self.pfn >= 0:
                set_page_flags(tx, self.pfn, PG_DIRTY)
        for pfn in self.holds:
            folio_unlock(tx, pfn)
            put_page(tx, pfn)
        self.holds = ()
        return done(0 if told else self.ret)


class wp_page_copy(Procedure):
    """Copy-on-write proper: a page of one's own, then the entry is switched to it."""

    source: ClassVar[str] = "mm/memory.c: wp_page_copy"
    mm: str
    vpn: int
    flags: int
    old: Pte
    """The entry as it was when we decided to copy; `holds` has an extra reference on its page."""
    new: Pfn = -1
    """pfn of the copy."""

    def replaces(self) -> Replacement | None:
        """The page by its copy, once there is one."""
        return None if self.new < 0 else Replacement(self.mm, self.vpn, self.vpn + 1, self.new, self.old.pfn)

    @step
    def alloc_and_copy(self, tx: Transaction) -> Outcome:
        """Allocate a page and copy the content of the old one; of the zero page there is nothing to copy."""
        vma = the_vma(tx, self.mm, self.vpn)
        anon_vma_prepare(tx, self.mm, vma)
        content = 0 if is_zero_pfn(self.old.pfn) else tx.content.get(self.old.pfn) or 0
        pfn = alloc_page(tx, "anon", content=content)
        if pfn is None:
            for held in self.holds:
                put_page(tx, held)
            return done(VM_FAULT_OOM)
        if not is_zero_pfn(self.old.pfn):
            tx.emit(Copied((pfn,), (self.old.pfn,)))
        self.new = pfn
        self.holds = (*self.holds, pfn)
        mmu_notifier_invalidate_range_start(tx, self.mm, self.vpn, self.vpn + 1)
        return None

    @step
    def ptep_clear_flush(self, tx: Transaction) -> Outcome:
        """Under the page table lock: clear the old entry, then make every CPU forget it.

        The new entry must not become visible while a CPU may still read the old page through its TLB.
        """
        if (wait := pte_lock(tx, self.mm, self.vpn)) is not None:
            return wait
        if tx.ptes.get((self.mm, self.vpn)) != self.old:
            for pfn in self.holds:
                put_page(tx, pfn)
            self.holds = ()
            mmu_notifier_invalidate_range_end(tx, self.mm)
            return done()
        hold_pte_lock(tx, self.mm, self.vpn)
        del tx.ptes[self.mm, self.vpn]
        if len(self.holds) > 1:
            self.holds = (self.old.pfn, *self.holds)
            self.owes_rmap = (self.old.pfn,)
        return call(flush_tlb_range(mm=self.mm, start=self.vpn, end=self.vpn + 1))

    @step
    def set_pte(self, tx: Transaction) -> Outcome:
        """Map the copy: writable and dirty (read-only if GUP only asked to unshare), exclusive to this process."""
        vma = the_vma(tx, self.mm, self.vpn)
        entry = mk_pte(self.new, vma)
        if not self.flags & FAULT_FLAG_UNSHARE:
            entry = maybe_mkwrite(entry.with_bits(PAGE_DIRTY), vma)
        elif self.old.bits & PAGE_UFFD_WP:
            entry = pte_mkuffd_wp(entry)
        folio_add_new_anon_rmap(tx, self.new, vma, self.vpn)
        tx.ptes[self.mm, self.vpn] = entry
        self.holds = self.holds[:-1]
        return None

    @step
    def folio_remove_rmap(self, tx: Transaction) -> Outcome:
        """The old page has one mapping less; now the lock can go."""
        for pfn in self.owes_rmap:
            folio_remove_rmap(tx, pfn, the_vma(tx, self.mm, self.vpn), self.mm)
        self.owes_rmap = ()
        pte_unlock(tx, self.mm, self.vpn)
        mmu_notifier_invalidate_range_end(tx, self.mm)
        return None

    @step
    def put_old_page(self, tx: Transaction) -> Outcome:
        """Drop the entry's reference on the old page, and our own. Whoever else had it keeps it."""
        for pfn in self.holds:
            free_swap_cache(tx, pfn)
            put_page(tx, pfn)
        self.holds = ()
        return done(cow_broken(tx))
