"""UFFDIO_MOVE: an answer that brings the very page of another address, without a copy."""

from typing import ClassVar, Final

from model.engine.config import fact
from model.engine.lock import down_read, up_read
from model.engine.procedure import Blocked, Outcome, Procedure, blocked, call, done, fail, goto, step
from model.kernel.arch.pgtable import (
    PMD,
    PUD,
    TABLE_SHIFT,
    hold_pte_lock,
    is_zero_pfn,
    pte_alloc,
    pte_lock,
    pte_unlock,
    tables_exist,
    vm_normal_page,
    zero_pte,
)
from model.kernel.arch.tlb import flush_tlb_range
from model.kernel.mm.do_fault import the_vma
from model.kernel.mm.filemap import folio_lock, folio_unlock, folio_unlock_put
from model.kernel.mm.huge_page import HPAGE_PMD_NR, huge_pmd, is_huge_zero
from model.kernel.mm.huge_split import split_huge_pmd
from model.kernel.mm.huge_zap import move_huge_pmd
from model.kernel.mm.mmu_notifier import mmu_notifier_invalidate_range_end, mmu_notifier_invalidate_range_start
from model.kernel.mm.page import folio_maybe_dma_pinned, get_page
from model.kernel.mm.page_prot import maybe_mkwrite, mk_pte, vm_page_prot
from model.kernel.mm.rmap import anon_vma_prepare
from model.kernel.mm.split_folio import split_folio
from model.kernel.mm.userfaultfd import changing_context, short, wake_userfault
from model.kernel.mm.userfaultfd_wp import validate_range
from model.kernel.mm.vma import vma_is_anonymous, vma_lookup
from model.memory.errno import EBUSY, EEXIST, EFAULT, EINVAL, ENOENT, ENOMEM
from model.memory.flags import (
    PAGE_DIRTY,
    PAGE_PSE,
    PAGE_SPECIAL,
    PAGE_SWP_EXCLUSIVE,
    VM_ACCESS,
    VM_HUGETLB,
    VM_IO,
    VM_LOCKED,
    VM_MIXEDMAP,
    VM_PFNMAP,
    VM_SHARED,
    VM_WRITE,
)
from model.memory.folio import page_exclusive, page_folio
from model.memory.records import Pte, Vma
from model.memory.state import Memory, Transaction

UNMOVABLE: Final = VM_PFNMAP | VM_IO | VM_HUGETLB | VM_MIXEDMAP


class userfaultfd_move(Procedure):
    """UFFDIO_MOVE: take pages of private memory from one place to another. If only some have moved it returns EAGAIN.

    Whoever holds a page would go on with its frame and no longer see the address: so a page that is pinned, or that
    another process has as well, does not move.
    """

    source: ClassVar[str] = "fs/userfaultfd.c: userfaultfd_move; mm/userfaultfd.c: move_pages, move_pages_pte"
    caller: str
    """The process that calls: the descriptor may have been inherited from another one."""
    uffd: str
    start: int
    pages: int
    source_start: int
    mm: str = ""
    mm_users: ClassVar[tuple[str, ...]] = ("mm",)
    moved: int = 0
    old: Pte | None = None
    """The entry of the source, as it was when we looked; its page is in `holds`, locked, with a reference of ours."""

    @property
    def to(self) -> int:
        """Where the page goes."""
        return self.start + self.moved

    @property
    def at(self) -> int:
        """Where it is."""
        return self.source_start + self.moved

    @step
    def check_arguments(self, tx: Transaction) -> Outcome:
        """An empty range, or one outside of user space, is EINVAL; a kernel before 6.8 does not know the call."""
        if isinstance(context := changing_context(tx, self.uffd, self.caller), int):
            return fail(context)
        if not fact(tx, "UFFDIO_MOVE") or self.caller != context.process:
            return fail(EINVAL)
        if error := validate_range(self.start, self.pages) or validate_range(self.source_start, self.pages):
            return fail(error)
        self.mm = context.process
        return None

    @step
    def uffd_move_lock(self, tx: Transaction) -> Outcome:
        """Find both VMAs and keep them from changing: their own locks, here mmap_lock for reading.

        They must be private, writable and alike; the destination must be registered. It gets its anon_vma first.
        """
        if (wait := down_read(tx, "mmap_lock", self.mm)) is not None:
            return wait
        to = vma_lookup(tx, self.mm, self.start)
        if to is None:
            return self.finish(tx, -ENOENT)
        if not to.flags & VM_SHARED:
            anon_vma_prepare(tx, self.mm, to)
        to, source = vma_lookup(tx, self.mm, self.start), vma_lookup(tx, self.mm, self.source_start)
        if source is None or to is None:
            return self.finish(tx, -ENOENT)
        if self.source_start + self.pages > source.end or self.start + self.pages > to.end:
            return self.finish(tx, -EINVAL)
        return None if validate_move_areas(source, to, self.uffd) else self.finish(tx, -EINVAL)

    @step
    def mm_alloc_pmd(self, tx: Transaction) -> Outcome:
        """The next page: make sure that there is a page table for it. No table at the source: nothing to move, ENOENT.

        A huge entry at the destination is not replaced: EEXIST. One at the source moves as a whole, if all of it does.
        """
        if self.ret < 0:
            return self.finish(tx, -ENOMEM)
        pmd = huge_pmd(tx, self.mm, self.at)
        if pmd is None and not tables_exist(tx, self.mm, self.at):
            return self.finish(tx, -ENOENT)
        if huge_pmd(tx, self.mm, self.to) is not None:
            return self.finish(tx, -EEXIST)
        if pmd is not None:
            return goto(userfaultfd_move.split_huge_pmd)
        if not tables_exist(tx, self.mm, self.to):
            return call(pte_alloc(mm=self.mm, vpn=self.to), userfaultfd_move.mm_alloc_pmd)
        mmu_notifier_invalidate_range_start(tx, self.mm, self.at, self.at + 1)
        return goto(userfaultfd_move.read_entries)

    @step
    def split_huge_pmd(self, tx: Transaction) -> Outcome:
        """2 MiB that may be shared stay: EBUSY. If only a part is meant the entry is split, and small pages move."""
        if (wait := pte_lock(tx, self.mm, self.at)) is not None:
            return wait
        pmd = huge_pmd(tx, self.mm, self.at)
        if pmd is None:
            return goto(userfaultfd_move.mm_alloc_pmd)
        if not is_huge_zero(tx, pmd.pfn) and not tx.frames[pmd.pfn].exclusive:
            return self.finish(tx, -EBUSY)
        aligned = not self.at % HPAGE_PMD_NR and not self.to % HPAGE_PMD_NR
        if aligned and self.pages - self.moved >= HPAGE_PMD_NR and not tables_exist(tx, self.mm, self.to):
            return call(pte_alloc(mm=self.mm, vpn=self.to, lowest=PUD))
        split_huge_pmd(tx, self.mm, the_vma(tx, self.mm, self.at), self.at)
        return goto(userfaultfd_move.mm_alloc_pmd)

    @step
    def move_pages_huge_pmd(self, tx: Transaction) -> Outcome:
        """All 2 MiB at once, under both locks: take the entry away, and make every CPU forget it.

        If the folio is pinned, whichever of its pages, it stays: EBUSY.
        """
        if self.ret < 0:
            return self.finish(tx, -ENOMEM)
        if (wait := self.both_locks(tx)) is not None:
            return wait
        pmd = huge_pmd(tx, self.mm, self.at)
        if pmd is None:
            return goto(userfaultfd_move.mm_alloc_pmd)
        if not is_huge_zero(tx, pmd.pfn) and self.must_stay(tx, pmd.pfn):
            return self.finish(tx, -EBUSY)
        mmu_notifier_invalidate_range_start(tx, self.mm, self.at, self.at + HPAGE_PMD_NR)
        self.old = pmd
        move_huge_pmd(tx, self.mm, self.at, self.to)
        to = the_vma(tx, self.mm, self.to)
        entry = Pte(pmd.pfn, vm_page_prot(to) | PAGE_PSE)
        if is_huge_zero(tx, pmd.pfn):
            entry = entry.with_bits(pmd.bits & PAGE_SPECIAL)
        else:
            belongs_at(tx, pmd.pfn, to, self.to)
            entry = maybe_mkwrite(entry.with_bits(PAGE_DIRTY), to)
        tx.tables[self.mm, PMD, self.to >> TABLE_SHIFT] = entry
        self.hold_both_locks(tx)
        flush = flush_tlb_range(mm=self.mm, start=self.at, end=self.at + HPAGE_PMD_NR)
        return call(flush, userfaultfd_move.double_pt_unlock)

    def both_locks(self, tx: Transaction) -> Blocked | None:
        """Wait for the locks of both page tables."""
        return pte_lock(tx, self.mm, self.at) or pte_lock(tx, self.mm, self.to)

    def hold_both_locks(self, tx: Transaction) -> None:
        """Keep them until every TLB has been flushed."""
        hold_pte_lock(tx, self.mm, self.at)
        hold_pte_lock(tx, self.mm, self.to)

    def must_stay(self, mem: Memory, pfn: int) -> bool:
        """Whether somebody else may have the page: it is pinned, or not marked as this process's alone."""
        return folio_maybe_dma_pinned(mem, pfn) or not page_exclusive(mem, pfn)

    @step
    def read_entries(self, tx: Transaction) -> Outcome:
        """Look at both entries. The destination must be empty, not even a marker: EEXIST; the source not: ENOENT.

        A page must be this process's alone, else EBUSY. Take a reference, and its lock if it is free.
        """
        if (wait := self.both_locks(tx)) is not None:
            return wait
        if (self.mm, self.to) in tx.ptes:
            return self.stay(tx, -EEXIST)
        self.old = tx.ptes.get((self.mm, self.at))
        if self.old is None:
            return self.stay(tx, -ENOENT)
        if self.old.kind == "migration":
            return blocked(f"the migration of frame {self.old.pfn} to end")
        if self.old.kind == "marker":
            return self.stay(tx, -EFAULT)
        if self.old.kind == "swap":
            return goto(userfaultfd_move.move_swap_pte)
        if is_zero_pfn(self.old.pfn):
            return goto(userfaultfd_move.ptep_clear_flush)
        pfn = vm_normal_page(tx, the_vma(tx, self.mm, self.at), self.old)
        if pfn is None or not page_exclusive(tx, pfn):
            return self.stay(tx, -EBUSY)
        head = page_folio(tx, pfn)
        get_page(tx, head)
        self.holds = (head,)
        return None

    @step
    def folio_lock(self, tx: Transaction) -> Outcome:
        """Lock the page: reclaim and migration keep off it. A large folio is split first: its pages move one by one."""
        if (wait := folio_lock(tx, self.holds[0])) is not None:
            return wait
        if not tx.frames[self.holds[0]].large:
            return goto(userfaultfd_move.ptep_clear_flush)
        return call(split_folio(head=self.holds[0]))

    @step
    def split(self, tx: Transaction) -> Outcome:
        """Begin anew with a small page. If somebody holds a page of the folio it cannot be split, and stays."""
        if self.ret < 0:
            return self.stay(tx, self.ret)
        self.drop(tx)
        return goto(userfaultfd_move.read_entries)

    @step
    def ptep_clear_flush(self, tx: Transaction) -> Outcome:
        """Under both page table locks, if nothing has changed: take the entry away, and make every CPU forget it.

        A page that is pinned stays: its holder would go on with it, and the new address would not know.
        """
        if (wait := self.both_locks(tx)) is not None:
            return wait
        assert self.old is not None
        if tx.ptes.get((self.mm, self.at)) != self.old or (self.mm, self.to) in tx.ptes:
            self.drop(tx)
            return goto(userfaultfd_move.read_entries)
        if self.holds and self.must_stay(tx, self.old.pfn):
            return self.stay(tx, -EBUSY)
        del tx.ptes[self.mm, self.at]
        if self.holds:
            self.holds, self.owes_rmap = (*self.holds, self.old.pfn), (self.old.pfn,)
        self.hold_both_locks(tx)
        return call(flush_tlb_range(mm=self.mm, start=self.at, end=self.at + 1))

    @step
    def set_pte(self, tx: Transaction) -> Outcome:
        """Is a GUP-fast that read the entry before pinning the page just now? Then put it back: EBUSY.

        Otherwise map it at its new place, writable, and dirty if it was. The page's offset and anon_vma are those of
        the new place, so that the reverse map finds it there.
        """
        assert self.old is not None
        to = the_vma(tx, self.mm, self.to)
        pfn, self.owes_rmap, self.holds = self.old.pfn, (), self.holds[:1]
        if is_zero_pfn(pfn):
            tx.ptes[self.mm, self.to] = zero_pte(to)
        elif folio_maybe_dma_pinned(tx, pfn):
            tx.ptes[self.mm, self.at] = self.old
            self.unlock_both(tx)
            return self.stay(tx, -EBUSY)
        else:
            belongs_at(tx, pfn, to, self.to)
            entry = mk_pte(pfn, to).with_bits(self.old.bits & PAGE_DIRTY)
            tx.ptes[self.mm, self.to] = maybe_mkwrite(entry, to)
        return None

    @step
    def double_pt_unlock(self, tx: Transaction) -> Outcome:
        """Give the locks back. On to the next page."""
        assert self.old is not None
        self.unlock_both(tx)
        self.moved += HPAGE_PMD_NR - 1 if self.old.huge else 0
        return self.next_page(tx)

    def unlock_both(self, tx: Transaction) -> None:
        """Give the page table locks back; both entries may stand in one table."""
        for table in {vpn >> TABLE_SHIFT for vpn in (self.at, self.to)}:
            pte_unlock(tx, self.mm, table << TABLE_SHIFT)

    @step
    def move_swap_pte(self, tx: Transaction) -> Outcome:
        """A page that is swapped out: its entry moves, if the slot is this process's alone.

        If the page is still in the swap cache, it is told its new place as well, under its lock.
        """
        if (wait := self.both_locks(tx)) is not None:
            return wait
        assert self.old is not None
        if tx.ptes.get((self.mm, self.at)) != self.old or (self.mm, self.to) in tx.ptes:
            return goto(userfaultfd_move.read_entries)
        if not self.old.bits & PAGE_SWP_EXCLUSIVE:
            return self.stay(tx, -EBUSY)
        cached = tx.swap_slots[self.old.pfn].pfn
        if cached >= 0:
            if tx.frames[cached].large:
                return self.stay(tx, -EBUSY)
            if (wait := folio_lock(tx, cached)) is not None:
                return wait
            folio_unlock(tx, cached)
            belongs_at(tx, cached, the_vma(tx, self.mm, self.to), self.to)
        del tx.ptes[self.mm, self.at]
        tx.ptes[self.mm, self.to] = self.old
        return self.next_page(tx)

    def drop(self, tx: Transaction) -> None:
        """Let go of the page that we have looked at."""
        if self.holds:
            folio_unlock_put(tx, self.holds[0])
        self.holds = ()

    def stay(self, tx: Transaction, error: int) -> Outcome:
        """This page does not move."""
        self.drop(tx)
        mmu_notifier_invalidate_range_end(tx, self.mm)
        return self.finish(tx, error)

    def next_page(self, tx: Transaction) -> Outcome:
        """One page more has moved."""
        self.drop(tx)
        mmu_notifier_invalidate_range_end(tx, self.mm)
        self.moved += 1
        self.ret = 0
        return goto(userfaultfd_move.mm_alloc_pmd) if self.moved < self.pages else self.finish(tx, 0)

    def finish(self, tx: Transaction, error: int) -> Outcome:
        """Unlock, wake whoever waits for a page that has come, and say whether all have moved, or why none has."""
        up_read(tx, "mmap_lock", self.mm)
        if self.moved:
            wake_userfault(tx, self.uffd, self.start, self.moved)
        return done(short(self.moved, self.pages) if self.moved else error)


def belongs_at(tx: Transaction, pfn: int, vma: Vma, vpn: int) -> None:
    """folio_move_anon_rmap() and folio->index: the reverse map finds the page at this address from now on."""
    tx.frames.update(pfn, mapping=f"anon_vma:{vma.anon_vma}", index=vma.pgoff + vpn - vma.start)


def validate_move_areas(source: Vma, to: Vma, uffd: str) -> bool:
    """Whether pages may move between two VMAs: both private, writable, equally protected and equally locked."""
    alike = VM_ACCESS | VM_LOCKED
    return (
        not (source.flags ^ to.flags) & alike
        and not (source.flags | to.flags) & (VM_SHARED | UNMOVABLE)
        and vm_page_prot(source) == vm_page_prot(to)
        and bool(source.flags & VM_WRITE)
        and to.uffd == uffd
        and vma_is_anonymous(source)
        and vma_is_anonymous(to)
    )
