"""KVM maps pages of a process into its guest.

Up to 6.12 it keeps a reference on each. Since 6.13 it keeps none: its MMU notifier tells it of every change.
"""

from typing import ClassVar

from model.engine.config import fact
from model.engine.mends import mended
from model.engine.procedure import Outcome, Procedure, call, done, fail, goto, step, tail
from model.kernel.drivers.buffer import buffer_under
from model.kernel.mm.follow_pte import entry_writable
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
from model.kernel.mm.page import put_page
from model.kernel.mm.pin import gup_put
from model.kernel.virt.hva_to_pfn import hva_to_pfn
from model.memory.errno import EEXIST, EFAULT, EINVAL, ENOENT
from model.memory.record_base import replaced
from model.memory.records import Reference
from model.memory.state import Transaction
from model.memory.units import Pfn


class kvm_follow(Procedure):
    """KVM maps pages of a process into a guest. Returns the number of pages, or an errno; all or none."""

    source: ClassVar[str] = "virt/kvm/kvm_main.c: __gfn_to_pfn_memslot (6.12); since 6.13 a page fault for each page"
    name: str
    mm: str
    start: int
    pages: int
    by: str = ""
    frames: tuple[Pfn, ...] = ()
    mapped: int = 0
    """Pages that the guest has touched, where KVM takes no reference."""
    permitted: bool = True
    """False, as it was before bd2fae8da794: a page was found that the process may not write."""

    mm_users: ClassVar[tuple[str, ...]] = ("mm",)

    @step
    def mmu_notifier_register(self, tx: Transaction) -> Outcome:
        """Where no reference is kept: register with the MMU notifier. Invalidations find the empty mapping."""
        process = tx.processes.get(self.mm)
        if process is None or process.exiting:
            return fail(EFAULT)
        if fact(tx, "KVM takes references on PFN mappings"):
            return None
        if self.name in tx.references:
            return fail(EEXIST)
        if (wait := mmu_notifier_register(tx, self.mm)) is not None:
            return wait
        mmu_interval_notifier_insert(tx, self.name, guest_mapping(self.mm, self.start, self.pages, self.by))
        return goto(kvm_follow.map_page)

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
            put_found(self, tx)
            return done(self.ret)
        vpn = self.start + len(self.frames)
        if not entry_writable(tx, self.mm, vpn) and not mended(tx, "kvm-pte-writable"):
            self.permitted = False
        self.frames += (self.ret,)
        return goto(kvm_follow.next_page)

    @step
    def keep(self, tx: Transaction) -> Outcome:
        """The guest has the frames, and KVM keeps a reference on each."""
        if self.name in tx.references:  # another task was faster with this name
            put_found(self, tx)
            return fail(EEXIST)
        self.holds = ()
        wanted = replaced(guest_mapping(self.mm, self.start, self.pages, self.by), write=self.permitted)
        tx.references[self.name] = replaced(wanted, frames=self.frames, buffer=buffer_under(tx, self.frames))
        return done(self.pages)

    @step
    def map_page(self, tx: Transaction) -> Outcome:
        """The guest touches the next page. If it cannot have it, its whole mapping is given up."""
        if self.ret < 0:
            if subscription(tx, self.name, guest_mapping(self.mm, self.start, self.pages, self.by)) is not None:
                mmu_interval_notifier_remove(tx, self.name)
            return done(self.ret)
        if self.mapped == self.pages:
            return done(self.pages)
        page, self.mapped = self.mapped, self.mapped + 1
        touched = kvm_tdp_mmu_page_fault(
            name=self.name, mm=self.mm, start=self.start, pages=self.pages, page=page, by=self.by
        )
        return call(touched, kvm_follow.map_page)


class kvm_tdp_mmu_page_fault(Procedure):
    """A guest touches a page that it has no entry for: KVM looks this page up, and maps it. Returns 0, or an errno.

    Since 6.13 KVM takes no reference that lasts: it trusts its MMU notifier alone.
    """

    source: ClassVar[str] = "arch/x86/kvm/mmu/mmu.c: kvm_tdp_mmu_page_fault, kvm_mmu_faultin_pfn (7.3)"
    name: str
    mm: str
    start: int
    pages: int
    page: int
    """Which of the guest's pages, counted from 0."""
    by: str = ""

    mm_users: ClassVar[tuple[str, ...]] = ("mm",)

    @step
    def mmu_invalidate_seq(self, tx: Transaction) -> Outcome:
        """Note the sequence before looking. While the range is being invalidated, wait (RET_PF_RETRY)."""
        process = tx.processes.get(self.mm)
        if process is None or process.exiting:
            return fail(EFAULT)
        if subscription(tx, self.name, self.wanted()) is None:
            return fail(ENOENT)
        return mmu_interval_read_begin(tx, self.name)

    @step
    def kvm_mmu_faultin_pfn(self, tx: Transaction) -> Outcome:
        """Find the frame."""
        return call(hva_to_pfn(mm=self.mm, vpn=self.start + self.page))

    @step
    def is_page_fault_stale(self, tx: Transaction) -> Outcome:
        """Under mmu_lock: if the sequence has moved since, start again; else the guest has the frame. Put the page.

        As it was before 58cd407ca4c6, an invalidation that ran between the look-up and this step is not noticed.
        """
        put_found(self, tx)
        if subscription(tx, self.name, self.wanted()) is None:
            return fail(ENOENT)
        if self.ret < 0:
            stop_looking(tx, self.name)
            return done(self.ret)
        if mmu_interval_read_retry(tx, self.name) and mended(tx, "kvm-cache-retry"):
            return goto(kvm_tdp_mmu_page_fault.mmu_invalidate_seq)
        found = tx.references[self.name]
        frames = (*found.frames[: self.page], self.ret, *found.frames[self.page + 1 :])
        tx.references.update(self.name, frames=frames, buffer=buffer_under(tx, (self.ret,)))
        return done(0)

    def wanted(self) -> Reference:
        """The guest's mapping."""
        return guest_mapping(self.mm, self.start, self.pages, self.by)


def guest_mapping(mm: str, start: int, pages: int, by: str) -> Reference:
    """A guest's mapping of some pages, empty."""
    return Reference("follow", process=mm, vpn=start, frames=(NOT_MAPPED,) * pages, by=by, write=True)


def put_found(caller: Procedure, tx: Transaction) -> None:
    """Give back what a look-up has taken."""
    for pfn in caller.holds:
        put_page(tx, pfn)
    caller.holds = ()


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
