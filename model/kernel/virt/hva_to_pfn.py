"""KVM's way to a guest page.

Up to 6.12 hva_to_pfn_remapped() looks the entry up itself where GUP refuses, and takes a reference on what it finds.
Since 6.13 KVM takes none on such memory: its MMU notifier tells it of every change.
"""

from typing import ClassVar

from model.engine.config import fact
from model.engine.lock import down_read, up_read
from model.engine.mends import mended
from model.engine.procedure import Outcome, Procedure, call, done, fail, goto, hand_over, step
from model.engine.splat import vm_bug_on
from model.kernel.arch.pgtable import is_pmd_leaf, pte_lock
from model.kernel.mm.fault import access_error, handle_mm_fault
from model.kernel.mm.follow_pte import entry_writable, pfn_at
from model.kernel.mm.gup import get_user_pages_unlocked
from model.kernel.mm.gup_fast import get_user_pages_fast
from model.kernel.mm.page import get_page, try_get_page
from model.kernel.mm.physical import pfn_valid
from model.kernel.mm.vma import vma_lookup
from model.memory.errno import EFAULT
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
from model.memory.state import Memory, Transaction


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
