"""KVM's way to a guest page.

Up to 6.12 hva_to_pfn_remapped() looks the entry up itself where GUP refuses, and takes a reference on what it finds.
Since 6.13 KVM takes none on such memory: its MMU notifier tells it of every change.
"""

from typing import ClassVar

from model.engine.config import fact
from model.engine.lock import down_read, up_read
from model.engine.mends import mended
from model.engine.procedure import Outcome, Procedure, call, done, fail, goto, hand_over, step, tail
from model.engine.splat import vm_bug_on
from model.kernel.arch.pgtable import is_pmd_leaf, pte_lock
from model.kernel.drivers.buffer import buffer_under
from model.kernel.mm.fault import access_error, handle_mm_fault
from model.kernel.mm.follow_pte import entry_writable, pfn_at
from model.kernel.mm.gup import get_user_pages_unlocked
from model.kernel.mm.gup_fast import get_user_pages_fast
from model.kernel.mm.hmm import mmu_notifier_register
from model.kernel.mm.mmu_notifier import (
    NOT_MAPPED,
    mmu_interval_notifier_insert,
    mmu_interval_notifier_remove,
    mmu_interval_read_begin,
    mmu_interval_read_retry,
    stop_looking,
    subscription,
)
from model.kernel.mm.page import get_page, put_page, try_get_page
from model.kernel.mm.physical import pfn_valid
from model.kernel.mm.pin import gup_put
from model.kernel.mm.vma import vma_lookup
from model.memory.errno import EEXIST, EFAULT, EINVAL, ENOENT
from model.memory.flags import (
    FAULT_FLAG_ALLOW_RETRY,
    FAULT_FLAG_TRIED,
    FAULT_FLAG_WRITE,
    FOLL_FAST_ONLY,
    FOLL_GET,
    FOLL_PIN,
    FOLL_WRITE,
    PG_RESERVED,
    VM_FAULT_ERROR,
    VM_FAULT_RETRY,
    VM_IO,
    VM_PFNMAP,
)
from model.memory.folio import folio_of
from model.memory.record_base import replaced
from model.memory.records import Reference
from model.memory.state import Memory, Transaction
from model.memory.units import Pfn


class hva_to_pfn(Procedure):
    """Find the frame behind one page that a guest writes. Returns the pfn; a reference, if taken, is handed over."""

    source: ClassVar[str] = "virt/kvm/kvm_main.c: hva_to_pfn, hva_to_pfn_fast, hva_to_pfn_slow, hva_to_pfn_remapped"
    mm: str
    vpn: int
    pin: bool = False
    """For KVM's own use, outside of MMU notifiers: since 6.13 with FOLL_PIN, and not where nothing can be pinned."""
    looked: bool = False
    """The first look has failed, and a fault was done."""
    unlocked: bool = False
    """The fault has given mmap_lock up meanwhile."""

    @step
    def hva_to_pfn_fast(self, tx: Transaction) -> Outcome:
        """First without any lock: get_user_page_fast_only(FOLL_WRITE); to pin, pin_user_pages_fast()."""
        foll = FOLL_WRITE | (FOLL_PIN if self.pin else FOLL_GET | FOLL_FAST_ONLY)
        return call(get_user_pages_fast(mm=self.mm, vpn=self.vpn, pages=1, foll=foll))

    @step
    def hva_to_pfn_slow(self, tx: Transaction) -> Outcome:
        """Then the regular way: get_user_pages_unlocked(), with FOLL_WRITE, for the guest writes."""
        if self.ret > 0:
            return goto(hva_to_pfn.finish)
        foll = FOLL_WRITE | (FOLL_PIN if self.pin else FOLL_GET)
        return call(get_user_pages_unlocked(mm=self.mm, vpn=self.vpn, pages=1, foll=foll))

    @step
    def find_vma(self, tx: Transaction) -> Outcome:
        """GUP refused. Is it a VM_IO or VM_PFNMAP mapping? Then go and look at the page table without it.

        Not to pin: such memory cannot be pinned in any meaningful sense, and allow_unsafe_mappings is off by default.
        """
        if self.ret > 0:
            return goto(hva_to_pfn.finish)
        if self.pin:
            return fail(EFAULT)
        return down_read(tx, "mmap_lock", self.mm)

    @step
    def hva_to_pfn_remapped(self, tx: Transaction) -> Outcome:
        """Under the page table lock: read the entry, and take a reference on its frame before the lock is dropped.

        follow_pte(), since 6.12 follow_pfnmap_start(). The special bit is ignored; an entry without write permission
        is refused (since 5.12: before, the guest was told that it may write whatever it found). follow_pte() knows no
        huge entries: it answers -EINVAL.

        Up to 6.12 kvm_try_get_pfn() takes the reference, unless the count is 0; where there is no struct page, or it
        is PG_reserved, KVM goes on without one. Since 6.13 it takes none at all.

        As it was before bd2fae8da794, the guest is told that it may write whatever the entry leads to.

        As it was before f8be156be163, KVM takes the reference blindly, also on a page whose count is 0; when it lets go
        again, the count falls to 0 once more, and the page is freed under its driver.
        """
        vma = vma_lookup(tx, self.mm, self.vpn)
        if vma is None or not vma.flags & (VM_IO | VM_PFNMAP):
            return self.give_up(tx)
        if (wait := pte_lock(tx, self.mm, self.vpn)) is not None:
            return wait
        if is_pmd_leaf(tx, self.mm, self.vpn) and not fact(tx, "KVM follows huge PFN mappings"):
            vm_bug_on(tx, "mm/memory.c:5548")
            pfn = None
        else:
            pfn = pfn_at(tx, self.mm, self.vpn)
        if pfn is None:
            return self.give_up(tx) if self.looked else None
        if not entry_writable(tx, self.mm, self.vpn) and mended(tx, "kvm-pte-writable"):
            return self.give_up(tx)
        if not pfn_valid(pfn) or not fact(tx, "KVM takes references on PFN mappings") or is_reserved(tx, pfn):
            up_read(tx, "mmap_lock", self.mm)
            return done(pfn)
        if not mended(tx, "kvm-try-get"):
            get_page(tx, pfn)
        elif not try_get_page(tx, pfn):
            return self.give_up(tx)
        up_read(tx, "mmap_lock", self.mm)
        self.holds = (pfn,)
        return goto(hva_to_pfn.finish)

    @step
    def fixup_user_fault(self, tx: Transaction) -> Outcome:
        """No entry: fault it in by hand, for writing, if the VMA allows that; then look a second time.

        An invalidation between the two is not noticed.
        """
        vma = vma_lookup(tx, self.mm, self.vpn)
        if vma is None or access_error(vma, write=True):
            return self.give_up(tx)
        self.looked = True
        flags = FAULT_FLAG_ALLOW_RETRY | FAULT_FLAG_WRITE | (FAULT_FLAG_TRIED if self.unlocked else 0)
        return call(handle_mm_fault(mm=self.mm, vpn=self.vpn, flags=flags))

    @step
    def after_fault(self, tx: Transaction) -> Outcome:
        """The second look; the first one again, and the VMA as well, if mmap_lock was given up on the way."""
        if self.ret & VM_FAULT_ERROR:
            return self.give_up(tx)
        if self.ret & VM_FAULT_RETRY:
            self.unlocked = True
            return None
        self.looked, self.unlocked = not self.unlocked, False
        return goto(hva_to_pfn.hva_to_pfn_remapped)

    @step
    def mmap_read_lock_again(self, tx: Transaction) -> Outcome:
        """The handler gave mmap_lock up to wait for something: take it again, and repeat the fault."""
        return down_read(tx, "mmap_lock", self.mm) or goto(hva_to_pfn.fixup_user_fault)

    @step
    def finish(self, tx: Transaction) -> Outcome:
        """The guest, or KVM for itself, may use the frame."""
        (pfn,) = self.pins if self.pin else self.holds
        self.holds = self.pins = ()
        return hand_over(pfn, (pfn,), pinned=self.pin)

    def give_up(self, tx: Transaction) -> Outcome:
        """Unlock and fail with EFAULT."""
        up_read(tx, "mmap_lock", self.mm)
        return fail(EFAULT)


def is_reserved(mem: Memory, pfn: int) -> bool:
    """PG_reserved pages are not counted."""
    return bool(folio_of(mem, pfn).flags & PG_RESERVED)


class kvm_follow(Procedure):
    """KVM maps pages of a process into a guest. Returns the number of pages, or an errno; all or none.

    Where the guest has lost its mapping by an invalidation, and touches a page once more, KVM looks up that page
    alone: kvm_mmu_faultin_pfn() asks for `fault->gfn` (arch/x86/kvm/mmu/mmu.c, 7.3; 6.1: kvm_faultin_pfn).
    """

    source: ClassVar[str] = "virt/kvm/kvm_main.c: __gfn_to_pfn_memslot"
    name: str
    mm: str
    start: int
    pages: int
    by: str = ""
    first: int = 0
    """The first page that is looked up."""
    count: int = -1
    """How many pages are looked up; -1: all, for a new mapping."""
    frames: tuple[Pfn, ...] = ()
    registered: bool = False
    """This call has made the empty mapping that invalidations find."""
    permitted: bool = True
    """False, as it was before bd2fae8da794: a page was found that the process may not write."""

    mm_users: ClassVar[tuple[str, ...]] = ("mm",)

    def wanted(self) -> Reference:
        """The guest's mapping of these pages, empty."""
        nothing = (NOT_MAPPED,) * self.pages
        return Reference("follow", process=self.mm, vpn=self.start, frames=nothing, by=self.by, write=True)

    @step
    def mmu_invalidate_seq(self, tx: Transaction) -> Outcome:
        """Where no reference is kept: register with the MMU notifier and note its sequence, before looking."""
        process = tx.processes.get(self.mm)
        if process is None or process.exiting:
            return fail(EFAULT)
        self.frames = ()
        if fact(tx, "KVM takes references on PFN mappings"):
            return None
        if self.count < 0 and not self.registered:
            if self.name in tx.references:
                return fail(EEXIST)
            if (wait := mmu_notifier_register(tx, self.mm)) is not None:
                return wait
            mmu_interval_notifier_insert(tx, self.name, self.wanted())
            self.registered = True
        if subscription(tx, self.name, self.wanted()) is None:
            return fail(ENOENT)
        return mmu_interval_read_begin(tx, self.name)

    @step
    def next_page(self, tx: Transaction) -> Outcome:
        """Find the frame of the next page."""
        if len(self.frames) == (self.pages if self.count < 0 else self.count):
            return goto(kvm_follow.keep)
        return call(hva_to_pfn(mm=self.mm, vpn=self.start + self.first + len(self.frames)))

    @step
    def note_frame(self, tx: Transaction) -> Outcome:
        """Remember it; if there is none, give back what was taken and fail."""
        if self.ret < 0:
            self.put(tx)
            if subscription(tx, self.name, self.wanted()) is not None:
                (mmu_interval_notifier_remove if self.registered else stop_looking)(tx, self.name)
            return done(self.ret)
        vpn = self.start + self.first + len(self.frames)
        if not entry_writable(tx, self.mm, vpn) and not mended(tx, "kvm-pte-writable"):
            self.permitted = False
        self.frames += (self.ret,)
        return goto(kvm_follow.next_page)

    @step
    def keep(self, tx: Transaction) -> Outcome:
        """The guest has the frames. Up to 6.12 a reference is kept.

        Later KVM trusts its MMU notifier alone: it puts the page at once, and if the sequence has moved since, it
        starts again.

        As it was before 58cd407ca4c6, an invalidation that ran between the look-up and this step is not noticed.
        """
        if fact(tx, "KVM takes references on PFN mappings"):
            if self.name in tx.references:  # another task was faster with this name
                self.put(tx)
                return fail(EEXIST)
            self.holds = ()
            wanted = replaced(self.wanted(), write=self.permitted)
            tx.references[self.name] = self.mapped(tx, wanted)
            return done(len(self.frames))
        self.put(tx)
        if subscription(tx, self.name, self.wanted()) is None:
            return fail(ENOENT)
        if mmu_interval_read_retry(tx, self.name) and mended(tx, "kvm-cache-retry"):
            return goto(kvm_follow.mmu_invalidate_seq)
        tx.references[self.name] = self.mapped(tx, tx.references[self.name])
        return done(len(self.frames))

    def mapped(self, tx: Transaction, reference: Reference) -> Reference:
        """The guest's mapping with the frames that were found."""
        end = self.first + len(self.frames)
        frames = (*reference.frames[: self.first], *self.frames, *reference.frames[end:])
        return replaced(reference, frames=frames, buffer=buffer_under(tx, self.frames))

    def put(self, tx: Transaction) -> None:
        """Give back what the look-up has taken."""
        for pfn in self.holds:
            put_page(tx, pfn)
        self.holds = ()


class kvm_vcpu_map(Procedure):
    """KVM maps pages of a guest for its own use. Returns the number of pages, or an errno; all or none."""

    source: ClassVar[str] = "virt/kvm/kvm_main.c: kvm_vcpu_map, __kvm_vcpu_map (7.3)"
    name: str
    mm: str
    start: int
    pages: int
    by: str = ""

    @step
    def kvm_follow_pfn(self, tx: Transaction) -> Outcome:
        """Pin the next page. Up to 6.12 KVM takes a reference instead, of whatever the entry leads to."""
        if fact(tx, "KVM takes references on PFN mappings"):
            return tail(kvm_follow(name=self.name, mm=self.mm, start=self.start, pages=self.pages, by=self.by))
        if len(self.pins) == self.pages:
            return goto(kvm_vcpu_map.keep)
        return call(hva_to_pfn(mm=self.mm, vpn=self.start + len(self.pins), pin=True))

    @step
    def is_error_noslot_pfn(self, tx: Transaction) -> Outcome:
        """What cannot be pinned is refused, EINVAL: memory of devices, which moves without asking for pins."""
        if self.ret >= 0:
            return goto(kvm_vcpu_map.kvm_follow_pfn)
        gup_put(tx, self.pins, pinned=True)
        return fail(EINVAL)

    @step
    def keep(self, tx: Transaction) -> Outcome:
        """KVM has the pages until kvm_vcpu_unmap(). Whatever becomes of the entries, nobody tells it."""
        frames, self.pins = self.pins, ()
        if self.name in tx.references:  # another task was faster with this name
            gup_put(tx, frames, pinned=True)
            return fail(EEXIST)
        buffer = buffer_under(tx, frames)
        tx.references[self.name] = Reference("pin", self.mm, self.start, frames, self.by, True, buffer=buffer)
        return done(len(frames))
