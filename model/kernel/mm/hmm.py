"""hmm_range_fault under an interval notifier: use a process's memory and follow it, without any page reference.

The right way (thread, point 11): look the pages up, then check under your own lock that no invalidation has run
since; when one runs later, drop your entries. The pages may move as often as they like.
"""

from typing import ClassVar

from model.engine.lock import down_read, down_write, up_read, up_write
from model.engine.procedure import Blocked, Outcome, Procedure, call, done, fail, goto, step, walks
from model.kernel.arch.pgtable import vm_normal_page
from model.kernel.mm.fault import handle_mm_fault
from model.kernel.mm.mmu_notifier import (
    NOT_MAPPED,
    follows_invalidations,
    mmu_interval_notifier_insert,
    mmu_interval_notifier_remove,
    mmu_interval_read_begin,
    mmu_interval_read_retry,
    stop_looking,
    subscription,
)
from model.kernel.mm.vma import vma_lookup
from model.memory.errno import EEXIST, EFAULT, ENOENT
from model.memory.flags import (
    FAULT_FLAG_ALLOW_RETRY,
    FAULT_FLAG_REMOTE,
    FAULT_FLAG_TRIED,
    FAULT_FLAG_WRITE,
    PAGE_DEVMAP,
    VM_FAULT_ERROR,
    VM_FAULT_RETRY,
    VM_IO,
    VM_PFNMAP,
    VM_READ,
    VM_WRITE,
)
from model.memory.leaf import leaf_entry
from model.memory.record_base import replaced
from model.memory.records import Reference
from model.memory.state import Transaction
from model.memory.units import Pfn


class hmm_range_fault(Procedure):
    """Fault one page in for a device that writes, and find its frame. The caller holds mmap_lock. Returns the pfn."""

    source: ClassVar[str] = "mm/hmm.c: hmm_range_fault, hmm_vma_handle_pte"
    mm: str
    vpn: int
    tried: bool = False

    @step
    def hmm_vma_walk_test(self, tx: Transaction) -> Outcome:
        """VM_IO and VM_PFNMAP are refused, EFAULT: such memory has no pages that a device driver could be given."""
        vma = vma_lookup(tx, self.mm, self.vpn)
        if vma is None or vma.flags & (VM_IO | VM_PFNMAP) or not vma.flags & VM_READ or not vma.flags & VM_WRITE:
            return fail(EFAULT)
        return None

    @step
    @walks(0)
    def hmm_vma_handle_pte(self, tx: Transaction) -> Outcome:
        """Read the entry. Present and writable: that is the frame. Otherwise fault first.

        What was read may be old at once: the sequence tells, later. An entry without a normal page is refused, EFAULT;
        one of DAX storage (devmap, up to 6.12) is not.

        No page table lock is taken (pte_offset_map()): what another task does under it may be half done.
        """
        vma = vma_lookup(tx, self.mm, self.vpn)
        if vma is None:
            return fail(EFAULT)
        pte = leaf_entry(tx, self.mm, self.vpn)
        if pte is not None and pte.present and pte.writable:
            usable = pte.bits & PAGE_DEVMAP or vm_normal_page(tx, vma, pte) is not None
            return done(pte.pfn) if usable else fail(EFAULT)
        flags = FAULT_FLAG_REMOTE | FAULT_FLAG_WRITE | FAULT_FLAG_ALLOW_RETRY
        return call(handle_mm_fault(mm=self.mm, vpn=self.vpn, flags=flags | (FAULT_FLAG_TRIED if self.tried else 0)))

    @step
    def look_again(self, tx: Transaction) -> Outcome:
        """After the fault walk again; EFAULT if it could not be repaired."""
        if self.ret & VM_FAULT_ERROR:
            return fail(EFAULT)
        if not self.ret & VM_FAULT_RETRY:
            return goto(hmm_range_fault.hmm_vma_handle_pte)
        self.tried = True
        return None

    @step
    def mmap_read_lock_again(self, tx: Transaction) -> Outcome:
        """The handler had to wait and gave mmap_lock up."""
        wait = down_read(tx, "mmap_lock", self.mm)
        return wait if wait is not None else goto(hmm_range_fault.hmm_vma_walk_test)


def mmu_notifier_register(tx: Transaction, mm: str) -> Blocked | None:
    """The first subscriber of an address space waits until no lock is held under which entries may change.

    So it misses no second half of an invalidation (mm/mmap.c: mm_take_all_locks). The locks are given back within the
    same micro-step; for those who come later the invalidations are counted already.
    """
    if any(follows_invalidations(reference) and reference.process == mm for _, reference in tx.references.items()):
        return None
    files = {vma.file for (owner, _), vma in tx.vmas.items() if owner == mm and vma.file}
    for kind, name in (("mmap_lock", mm), *(("i_mmap_rwsem", file) for file in sorted(files))):
        if (wait := down_write(tx, kind, name)) is not None:
            return wait
        up_write(tx, kind, name)
    return None


class mirror_range(Procedure):
    """A driver mirrors a range into its device's page table. Returns the number of pages, or an errno."""

    source: ClassVar[str] = "a driver, after Documentation/mm/hmm.rst"
    name: str
    mm: str
    start: int
    pages: int
    by: str = ""
    first: int = 0
    """The first page that is looked up: a device fault needs only one."""
    count: int = -1
    """How many pages are looked up; -1: all, for a new mirror."""
    registered: bool = False
    """This call has subscribed."""
    vpn: int = 0
    error: int = 0
    frames: tuple[Pfn, ...] = ()

    mm_users: ClassVar[tuple[str, ...]] = ("mm",)

    def wanted(self) -> Reference:
        """The subscription that this call makes, or goes on with."""
        nothing = (NOT_MAPPED,) * self.pages
        return Reference("mirror", process=self.mm, vpn=self.start, frames=nothing, by=self.by, write=True)

    @step
    def mmu_interval_read_begin(self, tx: Transaction) -> Outcome:
        """Subscribe to the range, then note the subscription's sequence. While it is being invalidated, wait."""
        process = tx.processes.get(self.mm)
        if process is None or process.exiting:
            return fail(EFAULT)  # mmget_not_zero()
        if not self.registered and self.count < 0:
            if self.name in tx.references:
                return fail(EEXIST)
            if (wait := mmu_notifier_register(tx, self.mm)) is not None:
                return wait
            mmu_interval_notifier_insert(tx, self.name, self.wanted())
            self.registered = True
        if subscription(tx, self.name, self.wanted()) is None:
            return fail(ENOENT)
        if (wait := mmu_interval_read_begin(tx, self.name)) is not None:
            return wait
        self.frames, self.vpn, self.error = (), self.start + self.first, 0
        return None

    @step
    def mmap_read_lock(self, tx: Transaction) -> Outcome:
        """Lock the address space for reading."""
        return down_read(tx, "mmap_lock", self.mm)

    @step
    def walk(self, tx: Transaction) -> Outcome:
        """hmm_range_fault() for the next page. It takes no reference."""
        count = self.pages if self.count < 0 else self.count
        if len(self.frames) == count:
            return goto(mirror_range.mmap_read_unlock)
        return call(hmm_range_fault(mm=self.mm, vpn=self.vpn))

    @step
    def note_frame(self, tx: Transaction) -> Outcome:
        """Remember the frame - so far it is only a guess."""
        if self.ret < 0:
            self.error = self.ret
            return None
        self.frames += (self.ret,)
        self.vpn += 1
        return goto(mirror_range.walk)

    @step
    def mmap_read_unlock(self, tx: Transaction) -> Outcome:
        """Unlock. From here on anything may change again."""
        up_read(tx, "mmap_lock", self.mm)
        if self.error:
            if subscription(tx, self.name, self.wanted()) is not None:
                (mmu_interval_notifier_remove if self.registered else stop_looking)(tx, self.name)
            return done(self.error)
        return None

    @step
    def mmu_interval_read_retry(self, tx: Transaction) -> Outcome:
        """Under the driver's own lock: has the range been invalidated? Then all that was looked up is stale.

        If not, install the device's entries. The invalidate callback takes the same lock, so it sees either all of
        them or none. Invalidations of other ranges do not matter: the sequence is that of this subscription.
        """
        found = subscription(tx, self.name, self.wanted())
        if found is None:
            return fail(ENOENT)
        if mmu_interval_read_retry(tx, self.name):
            return goto(mirror_range.mmu_interval_read_begin)
        end = self.first + len(self.frames)
        found = tx.references[self.name]
        frames = (*found.frames[: self.first], *self.frames, *found.frames[end:])
        tx.references[self.name] = replaced(found, frames=frames)
        return done(len(frames))
