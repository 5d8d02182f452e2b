"""KVM's way to a guest page, and what a careless driver does: grabbers that do not ask the VMA.

In 6.1 hva_to_pfn_remapped() looks the PTE up itself where GUP refuses, and takes a reference on what it finds. From 7.3
on KVM takes none on such memory: its MMU notifier tells it of every change.
"""

from typing import ClassVar

from model.engine.config import fact
from model.engine.lock import down_read, up_read
from model.engine.procedure import Outcome, Procedure, blocked, call, done, fail, goto, hand_over, step
from model.kernel.arch.pgtable import PMD, PTRS_PER_TABLE, TABLE_SHIFT, pte_lock
from model.kernel.drivers.buffer import buffer_under
from model.kernel.drivers.ttm_pool import pfn_valid
from model.kernel.mm.fault import access_error, handle_mm_fault
from model.kernel.mm.gup import get_user_pages_unlocked
from model.kernel.mm.hmm import drop_mirror, mm_take_all_locks
from model.kernel.mm.mmu_notifier import NOT_MAPPED
from model.kernel.mm.page import get_page, put_page, try_get_page
from model.kernel.mm.vma import vma_lookup
from model.memory.errno import EEXIST, EFAULT, ENOENT
from model.memory.flags import (
    FAULT_FLAG_ALLOW_RETRY,
    FAULT_FLAG_WRITE,
    FOLL_GET,
    PG_RESERVED,
    VM_FAULT_ERROR,
    VM_FAULT_RETRY,
    VM_IO,
    VM_PFNMAP,
)
from model.memory.records import Reference
from model.memory.state import Memory, Transaction
from model.memory.units import Pfn


def pfn_at(mem: Memory, mm: str, vpn: int) -> int | None:
    """The frame that the page table names for `vpn`, special or not, writable or not; None if there is no entry."""
    pmd = mem.tables.get((mm, PMD, vpn >> TABLE_SHIFT))
    if pmd is not None and pmd.huge:
        return pmd.pfn + vpn % PTRS_PER_TABLE
    pte = mem.ptes.get((mm, vpn))
    return pte.pfn if pte is not None and pte.present else None


def entry_writable(mem: Memory, mm: str, vpn: int) -> bool:
    """pte_write() of the entry for `vpn`, on whichever level it is."""
    pmd = mem.tables.get((mm, PMD, vpn >> TABLE_SHIFT))
    entry = pmd if pmd is not None and pmd.huge else mem.ptes.get((mm, vpn))
    return entry is not None and entry.writable


class hva_to_pfn(Procedure):
    """Find the frame behind one page that a guest writes. Returns the pfn; a reference, if taken, is handed over."""

    source: ClassVar[str] = "virt/kvm/kvm_main.c: hva_to_pfn, hva_to_pfn_remapped (6.1)"
    mm: str
    vpn: int
    looked: bool = False
    """The first look has failed, and a fault was done."""

    @step
    def hva_to_pfn_slow(self, tx: Transaction) -> Outcome:
        """First the regular way: get_user_pages_unlocked()."""
        return call(get_user_pages_unlocked(mm=self.mm, vpn=self.vpn, pages=1, foll=FOLL_GET))

    @step
    def find_vma(self, tx: Transaction) -> Outcome:
        """GUP refused. Is it a VM_IO or VM_PFNMAP mapping? Then go and look at the page table without it."""
        if self.ret > 0:
            return goto(hva_to_pfn.finish)
        return down_read(tx, "mmap_lock", self.mm)

    @step
    def follow_pte(self, tx: Transaction) -> Outcome:
        """Read the entry under its lock. The special bit is ignored; an entry without write permission is refused.

        (Since 5.12: before, the guest was told that it may write whatever it found.) As soon as the lock is dropped
        the frame may be somebody else's.
        """
        vma = vma_lookup(tx, self.mm, self.vpn)
        if vma is None or not vma.flags & (VM_IO | VM_PFNMAP):
            return self.give_up(tx)
        if (wait := pte_lock(tx, self.mm, self.vpn)) is not None:
            return wait
        pfn = pfn_at(tx, self.mm, self.vpn)
        if pfn is not None and not entry_writable(tx, self.mm, self.vpn):
            return self.give_up(tx)
        if pfn is not None:
            self.out = (pfn,)
            return goto(hva_to_pfn.kvm_try_get_pfn)
        if self.looked:
            return self.give_up(tx)
        return None

    @step
    def fixup_user_fault(self, tx: Transaction) -> Outcome:
        """No entry: fault it in by hand, for writing, if the VMA allows that; then look a second time.

        An invalidation between the two is not noticed.
        """
        vma = vma_lookup(tx, self.mm, self.vpn)
        if vma is None or access_error(vma, write=True):
            return self.give_up(tx)
        self.looked = True
        return call(handle_mm_fault(mm=self.mm, vpn=self.vpn, flags=FAULT_FLAG_ALLOW_RETRY | FAULT_FLAG_WRITE))

    @step
    def after_fault(self, tx: Transaction) -> Outcome:
        """The second look."""
        if self.ret & VM_FAULT_ERROR:
            return self.give_up(tx)
        if self.ret & VM_FAULT_RETRY:
            self.looked = False
            return down_read(tx, "mmap_lock", self.mm)
        return goto(hva_to_pfn.follow_pte)

    @step
    def retry(self, tx: Transaction) -> Outcome:
        """The handler gave mmap_lock up: everything from the start."""
        return goto(hva_to_pfn.follow_pte)

    @step
    def kvm_try_get_pfn(self, tx: Transaction) -> Outcome:
        """Take a reference on the frame unless its count is 0. No struct page, or PG_reserved: go on without one."""
        (pfn,) = self.out
        up_read(tx, "mmap_lock", self.mm)
        if not pfn_valid(pfn) or not fact(tx, "KVM takes references on PFN mappings") or is_reserved(tx, pfn):
            return done(pfn)
        if not try_get_page(tx, pfn):
            return fail(EFAULT)
        self.holds = (pfn,)
        return None

    @step
    def finish(self, tx: Transaction) -> Outcome:
        """The guest may use the frame."""
        (pfn,) = self.holds
        self.holds = ()
        return hand_over(pfn, (pfn,))

    def give_up(self, tx: Transaction) -> Outcome:
        """Unlock and fail with EFAULT."""
        up_read(tx, "mmap_lock", self.mm)
        return fail(EFAULT)


def is_reserved(mem: Memory, pfn: int) -> bool:
    """PG_reserved pages are not counted."""
    frame = mem.frames.get(pfn)
    return frame is not None and bool(frame.flags & PG_RESERVED)


class kvm_follow(Procedure):
    """KVM maps pages of a process into a guest. Returns the number of pages, or an errno; all or none."""

    source: ClassVar[str] = "virt/kvm/kvm_main.c: __gfn_to_pfn_memslot"
    name: str
    mm: str
    start: int
    pages: int
    by: str = ""
    frames: tuple[Pfn, ...] = ()
    again: bool = False
    """The guest has lost its mapping by an invalidation, and touches it once more."""
    registered: bool = False
    """This call has made the empty mapping that invalidations find."""
    seq: int = 0
    """mmu_invalidate_seq as it was before the look-up."""

    @step
    def mmu_invalidate_seq(self, tx: Transaction) -> Outcome:
        """Where no reference is kept: register with the MMU notifier and note its sequence, before looking."""
        if self.mm not in tx.processes:
            return fail(EFAULT)
        self.frames = ()
        if fact(tx, "KVM takes references on PFN mappings"):
            return None
        known = self.again or self.registered
        if known != (self.name in tx.references):
            return fail(ENOENT if known else EEXIST)
        self.seq = tx.processes[self.mm].notifier_seq
        if self.seq % 2:
            return blocked(f"the invalidation of {self.mm} to end")
        if not known:
            if (wait := mm_take_all_locks(tx, self.mm)) is not None:
                return wait
            self.register(tx)
        return None

    def register(self, tx: Transaction) -> None:
        """Make the empty mapping that invalidations find."""
        self.registered = True
        tx.counters["mirrors"] = (tx.counters.get("mirrors") or 0) + 1
        nothing = (NOT_MAPPED,) * self.pages
        tx.references[self.name] = Reference(
            "follow", process=self.mm, vpn=self.start, frames=nothing, by=self.by, write=True, counted=False
        )

    @step
    def next_page(self, tx: Transaction) -> Outcome:
        """Find the frame of the next page."""
        if len(self.frames) == self.pages:
            return goto(kvm_follow.keep)
        return call(hva_to_pfn(mm=self.mm, vpn=self.start + len(self.frames)))

    @step
    def note_frame(self, tx: Transaction) -> Outcome:
        """Remember it; if there is none, give back what was taken and fail."""
        if self.ret < 0:
            self.put(tx)
            if self.registered:
                drop_mirror(tx, self.name)
            return done(self.ret)
        self.frames += (self.ret,)
        return goto(kvm_follow.next_page)

    @step
    def keep(self, tx: Transaction) -> Outcome:
        """The guest has the frames. Up to 6.12 a reference is kept.

        Later KVM trusts its MMU notifier alone: it puts the page at once, and if the sequence has moved since, it
        starts again.
        """
        old = tx.references.get(self.name)
        counted = fact(tx, "KVM takes references on PFN mappings")
        if old is None and not counted:
            self.put(tx)
            return fail(ENOENT)
        if old is not None and counted:  # another task was faster with this name
            self.put(tx)
            return fail(EEXIST)
        if not counted:
            self.put(tx)
            if tx.processes[self.mm].notifier_seq != self.seq:
                return goto(kvm_follow.mmu_invalidate_seq)
        self.holds = ()
        tx.references[self.name] = Reference(
            "follow",
            process=self.mm,
            vpn=self.start,
            frames=self.frames,
            by=self.by,
            write=True,
            counted=counted,
            buffer=buffer_under(tx, self.frames),
        )
        return done(len(self.frames))

    def put(self, tx: Transaction) -> None:
        """Give back what the look-up has taken."""
        for pfn in self.holds:
            put_page(tx, pfn)
        self.holds = ()


class grab_pages(Procedure):
    """A driver takes what the PTEs point at: pfn_to_page() and get_page(). Returns the number of pages."""

    source: ClassVar[str] = "an out-of-tree driver"
    name: str
    mm: str
    start: int
    pages: int
    by: str = ""
    pfn: int = 0

    @step
    def read_pte(self, tx: Transaction) -> Outcome:
        """Look at the next entry, without a lock. No VMA is asked, no special bit, no write permission."""
        if len(self.holds) == self.pages:
            return goto(grab_pages.keep)
        pfn = pfn_at(tx, self.mm, self.start + len(self.holds))
        if pfn is None or not pfn_valid(pfn):
            for held in self.holds:
                put_page(tx, held)
            return fail(EFAULT)
        self.pfn = pfn
        return None

    @step
    def get_page(self, tx: Transaction) -> Outcome:
        """One more on the count of whatever that frame is by now, even if the count was 0."""
        get_page(tx, self.pfn)
        self.holds += (self.pfn,)
        return goto(grab_pages.read_pte)

    @step
    def keep(self, tx: Transaction) -> Outcome:
        """The driver believes that the buffer cannot go away now, because it holds its pages."""
        frames, self.holds = self.holds, ()
        if self.name in tx.references:  # another task was faster with this name
            for pfn in frames:
                put_page(tx, pfn)
            return fail(EEXIST)
        tx.references[self.name] = Reference(
            "grab",
            process=self.mm,
            vpn=self.start,
            frames=frames,
            by=self.by,
            write=True,
            buffer=buffer_under(tx, frames),
        )
        return done(len(frames))
