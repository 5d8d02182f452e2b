"""KVM marks an entry of a guest's page table, up to 5.17 by taking vm_pgoff for a frame number."""

from typing import ClassVar

from model.engine.lock import down_read, up_read
from model.engine.mends import mended
from model.engine.procedure import Outcome, Procedure, call, done, fail, goto, step, tail
from model.kernel.arch.access import cpu_store
from model.kernel.mm.gup_fast import get_user_pages_fast
from model.kernel.mm.page import put_page
from model.kernel.mm.vma import vma_lookup
from model.memory.errno import EFAULT
from model.memory.events import Access
from model.memory.flags import (
    FOLL_GET,
    FOLL_WRITE,
    VM_PFNMAP,
)
from model.memory.state import Transaction
from model.memory.units import Pfn


class kvm_cmpxchg_gpte(Procedure):
    """KVM marks an entry of a guest's page table as accessed, in the guest's memory; here it writes a byte."""

    source: ClassVar[str] = "arch/x86/kvm/mmu/paging_tmpl.h: update_accessed_dirty_bits, cmpxchg_gpte (until 5.17)"
    mm: str
    vpn: int
    value: int
    pfn: Pfn = -1
    """The frame that is written."""

    @step
    def try_cmpxchg_user(self, tx: Transaction) -> Outcome:
        """Do it through the address of the process, as the process itself would: the page table says where that is.

        As it was before 2a8859f373b0, KVM asks get_user_pages_fast() for the page, and helps itself if that refuses.
        """
        if mended(tx, "kvm-gpte-user"):
            return tail(cpu_store(mm=self.mm, vpn=self.vpn, value=self.value))
        return call(get_user_pages_fast(mm=self.mm, vpn=self.vpn, pages=1, foll=FOLL_WRITE | FOLL_GET))

    @step
    def mmap_read_lock(self, tx: Transaction) -> Outcome:
        """GUP got the page: go on with it. It refused: look at the VMA."""
        if self.ret > 0:
            self.pfn = self.holds[0]
            return goto(kvm_cmpxchg_gpte.cmpxchg)
        return down_read(tx, "mmap_lock", self.mm)

    @step
    def pfn_from_vm_pgoff(self, tx: Transaction) -> Outcome:
        """A VM_PFNMAP mapping must be what remap_pfn_range() makes, where vm_pgoff is the number of the first frame.

        As it was before 2a8859f373b0: for all other drivers vm_pgoff is an offset in a file of their own. The frame
        with that number is anybody's.
        """
        vma = vma_lookup(tx, self.mm, self.vpn)
        up_read(tx, "mmap_lock", self.mm)
        if vma is None or not vma.flags & VM_PFNMAP:
            return fail(EFAULT)
        self.pfn = self.vpn - vma.start + vma.pgoff
        return None

    @step
    def cmpxchg(self, tx: Transaction) -> Outcome:
        """Map the frame into the kernel and write to it."""
        tx.content[self.pfn] = self.value
        tx.emit(Access(self.pfn, write=True, value=self.value, process=self.mm, vpn=self.vpn, counted=bool(self.holds)))
        for pfn in self.holds:
            put_page(tx, pfn)
        self.holds = ()
        return done()
