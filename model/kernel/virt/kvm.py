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
