"""Page faults: what the kernel does when an access finds no usable entry.

The entry decides (mm/memory.c: handle_pte_fault): nothing there → anonymous memory, or the file (`do_fault`);
there, but not writable → copy-on-write (`wp_fault`).
"""

from typing import ClassVar, Final

from model.engine.config import fact
from model.engine.lock import down_read, up_read
from model.engine.procedure import Outcome, Procedure, blocked, call, done, goto, step, tail
from model.kernel.arch.pgtable import PMD, PUD, TABLE_SHIFT, pte_alloc, pte_lock, zero_pte
from model.kernel.mm.do_fault import LATE_TABLE, FaultLocals, do_fault
from model.kernel.mm.huge_page import huge_pmd, thp_fault_allowed, vma_is_special_huge
from model.kernel.mm.hugetlb_pool import is_vm_hugetlb_page
from model.kernel.mm.mid_size import anon_order, pte_range_none
from model.kernel.mm.page import folio_add_new_anon_rmap, page_ref_add, put_page
from model.kernel.mm.page_alloc import alloc_folio, alloc_page
from model.kernel.mm.page_prot import maybe_mkwrite, mk_pte
from model.kernel.mm.pte_marker import (
    POISON_MARKER,
    UFFD_WP_MARKER,
    keeping_uffd_wp,
    pte_none_mostly,
    userfaultfd_pte_wp,
    userfaultfd_wp_async,
)
from model.kernel.mm.rmap import anon_vma_prepare
from model.kernel.mm.vm_ops import vm_operations
from model.kernel.mm.vma import find_vma, vma_lookup
from model.memory.flags import (
    FAULT_FLAG_ALLOW_RETRY,
    FAULT_FLAG_TRIED,
    FAULT_FLAG_UNSHARE,
    FAULT_FLAG_USER,
    FAULT_FLAG_WRITE,
    PAGE_ACCESSED,
    PAGE_DIRTY,
    VM_ACCESS,
    VM_FAULT_FALLBACK,
    VM_FAULT_HWPOISON,
    VM_FAULT_OOM,
    VM_FAULT_RETRY,
    VM_FAULT_SIGBUS,
    VM_FAULT_SIGSEGV,
    VM_GROWSDOWN,
    VM_SHARED,
    VM_UFFD_MISSING,
    VM_UFFD_WP,
    VM_WRITE,
)
from model.memory.records import Vma
from model.memory.state import Transaction

SEGV_MAPERR: Final = 1
"""SIGSEGV: nothing is mapped there."""
SEGV_ACCERR: Final = 2
"""SIGSEGV: the mapping does not allow this access."""
BUS_ADRERR: Final = 3
"""SIGBUS: mapped, but there is no page (beyond the end of the file, or refused by the driver)."""
BUS_MCEERR_AR: Final = 5
"""SIGBUS: the memory there has failed (do_sigbus), or userfaultfd has said so."""
OOM: Final = 4
"""No memory: the OOM killer takes the process."""

SIGNALS: Final = {
    SEGV_MAPERR: ("SIGSEGV", "SEGV_MAPERR"),
    SEGV_ACCERR: ("SIGSEGV", "SEGV_ACCERR"),
    BUS_ADRERR: ("SIGBUS", "BUS_ADRERR"),
    BUS_MCEERR_AR: ("SIGBUS", "BUS_MCEERR_AR"),
    OOM: ("SIGKILL", ""),
}
"""What exc_page_fault returns when the access cannot be repaired: signal and si_code."""


class exc_page_fault(Procedure):
    """The CPU could not translate an address: interrupt 14. Returns 0 if the access may be tried again."""

    source: ClassVar[str] = "arch/x86/mm/fault.c: do_user_addr_fault"
    mm: str
    vpn: int
    write: bool = False
    tried: bool = False
    """The second attempt: the handler may not ask for another one."""

    @step
    def mmap_read_lock(self, tx: Transaction) -> Outcome:
        """Lock the address space for reading: no VMA may appear or go while we look for the one we are in."""
        return down_read(tx, "mmap_lock", self.mm)

    @step
    def find_vma(self, tx: Transaction) -> Outcome:
        """The hardware knows only page tables; the VMA says whether this access is allowed at all."""
        vma = find_vma(tx, self.mm, self.vpn)
        if vma is not None and self.vpn < vma.start:
            from model.kernel.mm.stack import expand_downwards

            vma = expand_downwards(tx, self.mm, self.vpn) if vma.flags & VM_GROWSDOWN else None
        if vma is None:
            return self.bad_area(tx, SEGV_MAPERR)
        if access_error(vma, write=self.write):
            return self.bad_area(tx, SEGV_ACCERR)
        flags = FAULT_FLAG_USER | FAULT_FLAG_ALLOW_RETRY
        flags |= (FAULT_FLAG_WRITE if self.write else 0) | (FAULT_FLAG_TRIED if self.tried else 0)
        return call(handle_mm_fault(mm=self.mm, vpn=self.vpn, flags=flags))

    @step
    def mmap_read_unlock(self, tx: Transaction) -> Outcome:
        """Unlock. If the fault was repaired the instruction is tried again; if not, the process gets a signal.

        VM_FAULT_RETRY: the handler had to wait and has given the lock up already; start again.
        """
        if self.ret & VM_FAULT_RETRY:
            self.tried = True
            return goto(exc_page_fault.mmap_read_lock)
        if self.ret & VM_FAULT_OOM:
            return self.bad_area(tx, OOM)
        if self.ret & VM_FAULT_HWPOISON:
            return self.bad_area(tx, BUS_MCEERR_AR)
        if self.ret & VM_FAULT_SIGBUS:
            return self.bad_area(tx, BUS_ADRERR)
        return self.bad_area(tx, SEGV_MAPERR if self.ret & VM_FAULT_SIGSEGV else 0)

    def bad_area(self, tx: Transaction, code: int) -> Outcome:
        """Give the lock back and return the code of the signal, 0 = none."""
        up_read(tx, "mmap_lock", self.mm)
        return done(code)


def access_error(vma: Vma, *, write: bool) -> bool:
    """Whether a VMA forbids an access: arch/x86/mm/fault.c. On x86 whatever is accessible is readable."""
    return not vma.flags & (VM_WRITE if write else VM_ACCESS)


class handle_mm_fault(Procedure):
    """Repair one page fault; the caller holds mmap_lock. Returns VM_FAULT_* bits, 0 if the entry is usable now."""

    source: ClassVar[str] = "mm/memory.c: handle_mm_fault, handle_pte_fault"
    mm: str
    vpn: int
    flags: int
    """FAULT_FLAG_* bits."""

    @step
    def walk_or_allocate_tables(self, tx: Transaction) -> Outcome:
        """Walk down to the table that holds the entry, allocating the tables that are missing.

        Where a driver can map 2 MiB with one entry, the walk stops one level higher, to let it try.
        """
        self.ret = 0
        entry = tx.tables.get((self.mm, PMD, self.vpn >> TABLE_SHIFT))
        if entry is not None and entry.kind == "page" and not entry.huge:
            return goto(handle_mm_fault.handle_pte_fault)
        vma = vma_lookup(tx, self.mm, self.vpn)
        if vma is not None and is_vm_hugetlb_page(vma):
            from model.kernel.mm.hugetlb import hugetlb_fault

            return tail(hugetlb_fault(mm=self.mm, vpn=self.vpn, flags=self.flags))
        if entry is not None:
            return goto(handle_mm_fault.handle_huge_pmd)
        if self.huge_fault(tx) is not None:
            return call(pte_alloc(mm=self.mm, vpn=self.vpn, lowest=PUD))
        if self.table_comes_late(tx):
            return call(pte_alloc(mm=self.mm, vpn=self.vpn, lowest=PUD), then=handle_mm_fault.handle_pte_fault)
        return call(pte_alloc(mm=self.mm, vpn=self.vpn), then=handle_mm_fault.handle_pte_fault)

    def table_comes_late(self, tx: Transaction) -> bool:
        """A file's fault makes the table itself, when it knows that the page is no huge one (finish_fault).

        Where that makes no difference the table is made at once.
        """
        vma = vma_lookup(tx, self.mm, self.vpn)
        if vma is None or not vma.ops or not vma.file:
            return False
        file = tx.files[vma.file]
        return bool(file.nr_thps) or (file.kind == "ext4" and fact(tx, LATE_TABLE))

    def huge_fault(self, tx: Transaction) -> Procedure | None:
        """The call that tries to map 2 MiB: the VMA's ->huge_fault handler, or that of anonymous memory; or None."""
        vma = vma_lookup(tx, self.mm, self.vpn)
        assert vma is not None
        if not vma.ops:
            if not thp_fault_allowed(tx, vma):
                return None
            from model.kernel.mm.huge_fault import do_huge_pmd_anonymous_page

            return do_huge_pmd_anonymous_page(mm=self.mm, vpn=self.vpn, flags=self.flags)
        handler = vm_operations(vma.ops).huge_fault
        return (
            None if handler is None else handler(mm=self.mm, vpn=self.vpn, start=vma.start, flags=self.flags).bound(tx)
        )

    @step
    def create_huge_pmd(self, tx: Transaction) -> Outcome:
        """Try it: do_huge_pmd_anonymous_page(), or the driver's ->huge_fault."""
        handler = self.huge_fault(tx)
        if self.ret < 0 or handler is None:
            return done(VM_FAULT_OOM)
        return call(handler)

    @step
    def fall_back(self, tx: Transaction) -> Outcome:
        """If 2 MiB could not be mapped at once, go on with a table of small entries."""
        if not self.ret & VM_FAULT_FALLBACK:
            return done(self.ret)
        return call(pte_alloc(mm=self.mm, vpn=self.vpn))

    @step
    def handle_huge_pmd(self, tx: Transaction) -> Outcome:
        """The entry maps 2 MiB. A write to one that is read-only goes to copy-on-write; else it is young or dirty now.

        Of a file's the entry is cleared, and the page mapped by a small one.
        """
        if (wait := pte_lock(tx, self.mm, self.vpn)) is not None:
            return wait
        vma, entry = vma_lookup(tx, self.mm, self.vpn), huge_pmd(tx, self.mm, self.vpn)
        assert vma is not None
        if entry is None:
            return goto(handle_mm_fault.walk_or_allocate_tables)
        if vma_is_special_huge(vma):
            return done()
        if self.flags & (FAULT_FLAG_WRITE | FAULT_FLAG_UNSHARE) and not entry.writable:
            if vma.ops:
                from model.kernel.mm.huge_split import split_huge_pmd

                split_huge_pmd(tx, self.mm, vma, self.vpn)
                return goto(handle_mm_fault.walk_or_allocate_tables)
            if self.flags & FAULT_FLAG_WRITE and userfaultfd_pte_wp(vma, entry):
                if userfaultfd_wp_async(tx, vma):
                    from model.kernel.mm.huge_split import split_huge_pmd

                    split_huge_pmd(tx, self.mm, vma, self.vpn)
                    return goto(handle_mm_fault.walk_or_allocate_tables)
                from model.kernel.mm.userfaultfd import handle_userfault

                return tail(handle_userfault(mm=self.mm, vpn=self.vpn, flags=self.flags, reason=VM_UFFD_WP))

            from model.kernel.mm.huge_fault import do_huge_pmd_wp_page

            return call(
                do_huge_pmd_wp_page(mm=self.mm, vpn=self.vpn, flags=self.flags, old=entry), handle_mm_fault.fall_back
            )
        touched = PAGE_ACCESSED | (PAGE_DIRTY if self.flags & FAULT_FLAG_WRITE else 0)
        tx.tables[self.mm, PMD, self.vpn >> TABLE_SHIFT] = entry.with_bits(touched)
        return done()

    @step
    def handle_pte_fault(self, tx: Transaction) -> Outcome:
        """Read the entry and decide: empty, not present, or present but not allowing what was tried."""
        if self.ret < 0:
            return done(VM_FAULT_OOM)
        if (wait := pte_lock(tx, self.mm, self.vpn)) is not None:
            return wait
        vma = vma_lookup(tx, self.mm, self.vpn)
        assert vma is not None
        pte = tx.ptes.get((self.mm, self.vpn))
        where: FaultLocals = {"mm": self.mm, "vpn": self.vpn, "flags": self.flags}
        if pte == UFFD_WP_MARKER and not vma.flags & VM_UFFD_WP:
            del tx.ptes[self.mm, self.vpn]
            return done()
        if pte_none_mostly(tx, self.mm, self.vpn) or pte is None:
            return tail(do_fault(**where) if vma.ops else do_anonymous_page(**where))
        if pte.kind == "marker":
            return done(VM_FAULT_HWPOISON if pte == POISON_MARKER else VM_FAULT_SIGSEGV)
        if pte.kind == "swap":
            from model.kernel.mm.swap_fault import do_swap_page

            return tail(do_swap_page(**where))
        if pte.kind == "migration":
            return blocked(f"the migration of frame {pte.pfn} to end")
        if not pte.present:
            return done(VM_FAULT_SIGBUS)
        if self.flags & (FAULT_FLAG_WRITE | FAULT_FLAG_UNSHARE) and not pte.writable:
            from model.kernel.mm.wp_fault import do_wp_page

            return tail(do_wp_page(**where))
        touched = PAGE_ACCESSED | (PAGE_DIRTY if self.flags & FAULT_FLAG_WRITE else 0)
        tx.ptes[self.mm, self.vpn] = pte.with_bits(touched)
        return done()


class do_anonymous_page(Procedure):
    """First touch of anonymous memory: the shared zero page for a read, a fresh page for a write."""

    source: ClassVar[str] = "mm/memory.c: do_anonymous_page"
    mm: str
    vpn: int
    flags: int

    @step
    def map_zero_page(self, tx: Transaction) -> Outcome:
        """A read only needs zeros, and one page of zeros is enough for everybody.

        The entry is read-only and *special*: nobody counts references or mappings of the zero page. A write goes on
        to get a page of its own.
        """
        vma = vma_lookup(tx, self.mm, self.vpn)
        assert vma is not None
        if vma.flags & VM_SHARED:
            return done(VM_FAULT_SIGBUS)
        if self.flags & FAULT_FLAG_WRITE:
            return None
        if not pte_none_mostly(tx, self.mm, self.vpn):
            return done()
        if vma.flags & VM_UFFD_MISSING:
            return tail(self.userfault())
        tx.ptes[self.mm, self.vpn] = keeping_uffd_wp(tx, self.mm, vma, self.vpn, zero_pte(vma))
        return done()

    def userfault(self) -> Procedure:
        """The call that leaves the fault to userfaultfd."""
        from model.kernel.mm.userfaultfd import handle_userfault

        return handle_userfault(mm=self.mm, vpn=self.vpn, flags=self.flags, reason=VM_UFFD_MISSING)

    @step
    def alloc_anon_folio(self, tx: Transaction) -> Outcome:
        """Make sure the VMA has an anon_vma, and get a zeroed page: refcount 1, which will be the entry's."""
        vma = vma_lookup(tx, self.mm, self.vpn)
        assert vma is not None
        anon_vma_prepare(tx, self.mm, vma)
        # With `set mthp` a folio, where the entries of all its pages are empty.
        order = anon_order(tx, self.mm, vma, self.vpn)
        pfn = alloc_folio(tx, order, "anon") if order else None
        pfn = alloc_page(tx, "anon") if pfn is None else pfn
        if pfn is None:
            return done(VM_FAULT_OOM)
        self.holds = (pfn,)
        return None

    @step
    def set_pte(self, tx: Transaction) -> Outcome:
        """Under the page table lock: if the entry is still empty, map the page, writable and dirty.

        mapcount becomes 1, and the page is marked anon-exclusive: it belongs to this process alone.
        """
        if (wait := pte_lock(tx, self.mm, self.vpn)) is not None:
            return wait
        vma = vma_lookup(tx, self.mm, self.vpn)
        assert vma is not None
        (pfn,) = self.holds
        self.holds = ()
        pages = tx.frames[pfn].pages
        start = self.vpn - self.vpn % pages
        free = pte_none_mostly(tx, self.mm, start) if pages == 1 else pte_range_none(tx, self.mm, start, pages)
        if not free or vma.flags & VM_UFFD_MISSING:
            put_page(tx, pfn)
            return tail(self.userfault()) if free else done()
        page_ref_add(tx, pfn, pages - 1)
        folio_add_new_anon_rmap(tx, pfn, vma, start, mm=self.mm)
        for page in range(pages):
            entry = mk_pte(pfn + page, vma)
            entry = maybe_mkwrite(entry.with_bits(PAGE_DIRTY), vma) if vma.flags & VM_WRITE else entry
            tx.ptes[self.mm, start + page] = keeping_uffd_wp(tx, self.mm, vma, start + page, entry)
        return done()
