"""Faults on mapped files: bring the page from the page cache, or let a driver install its own entry."""

from typing import ClassVar, Final, TypedDict

from model.engine.config import fact
from model.engine.procedure import Outcome, Procedure, call, done, step, tail
from model.kernel.arch.pgtable import (
    PTRS_PER_TABLE,
    index_of,
    is_pmd_leaf,
    populated,
    pte_alloc,
    pte_lock,
    tables_exist,
)
from model.kernel.fs.file_kinds import SHMEM
from model.kernel.mm.do_set_pmd import do_set_pmd
from model.kernel.mm.filemap import folio_unlock, i_pages
from model.kernel.mm.page import (
    folio_add_new_anon_rmap,
    folio_add_rmap,
    get_page,
    page_ref_add,
    put_page,
    set_page_flags,
)
from model.kernel.mm.page_alloc import alloc_page
from model.kernel.mm.page_prot import maybe_mkwrite, mk_pte
from model.kernel.mm.pte_marker import keeping_uffd_wp, pte_none_mostly, uffd_disable_fault_around
from model.kernel.mm.rmap import anon_vma_prepare
from model.kernel.mm.vm_ops import VmOps, vm_operations
from model.kernel.mm.vma import vma_lookup
from model.memory.events import Copied
from model.memory.flags import (
    FAULT_FLAG_WRITE,
    PAGE_DIRTY,
    PG_DIRTY,
    PG_UPTODATE,
    VM_FAULT_ERROR,
    VM_FAULT_NOPAGE,
    VM_FAULT_OOM,
    VM_FAULT_RETRY,
    VM_FAULT_SIGBUS,
    VM_SHARED,
    VM_UFFD,
)
from model.memory.folio import filemap_get_entry, folio_of, page_folio
from model.memory.records import Vma
from model.memory.state import Memory, Transaction
from model.memory.units import Pfn

FAULT_AROUND_PAGES: Final = 16
"""fault_around_bytes = 64 KiB."""
NO_PAGE: Final = VM_FAULT_ERROR | VM_FAULT_NOPAGE | VM_FAULT_RETRY
"""Results of a ->fault handler after which there is no page to map."""


LATE_TABLE: Final = "fault-around at the end of a file installs no table"


class FaultLocals(TypedDict):
    """The variables that all fault functions share."""

    mm: str
    vpn: int
    flags: int


def the_vma(mem: Memory, mm: str, vpn: int) -> Vma:
    """The VMA of a fault in progress: mmap_lock is held, so it cannot have gone."""
    vma = vma_lookup(mem, mm, vpn)
    assert vma is not None
    return vma


class do_fault(Procedure):
    """An empty entry in a VMA that has vm_ops: read, private write or shared write."""

    source: ClassVar[str] = "mm/memory.c: do_fault"
    mm: str
    vpn: int
    flags: int

    @step
    def choose(self, tx: Transaction) -> Outcome:
        """A read maps the file's page; a private write needs a copy of it; a shared write makes it dirty."""
        vma = the_vma(tx, self.mm, self.vpn)
        ops = vm_operations(vma.ops)
        if ops.fault is None:
            return done(VM_FAULT_SIGBUS)
        where: FaultLocals = {"mm": self.mm, "vpn": self.vpn, "flags": self.flags}
        if not self.flags & FAULT_FLAG_WRITE:
            return tail(do_read_fault(**where))
        return tail(do_shared_fault(**where) if vma.flags & VM_SHARED else do_cow_fault(**where))


def fault_call(tx: Transaction, mm: str, vpn: int, flags: int) -> Procedure:
    """The call of the VMA's ->fault handler."""
    vma = the_vma(tx, mm, vpn)
    handler = vm_operations(vma.ops).fault
    assert handler is not None
    return handler(mm=mm, vpn=vpn, start=vma.start, flags=flags).bound(tx)


def fault_around_window(vma: Vma, vpn: int) -> tuple[int, int]:
    """First and last vpn that do_fault_around() looks at: 16 entries, clipped by the VMA and the page table.

    A window clipped by the start of the VMA is not aligned any more.

    >>> fault_around_window(Vma(67, 100), 70)
    (67, 82)
    """
    slot, into = index_of(vpn, 0), vpn - vma.start
    first = max(slot - slot % FAULT_AROUND_PAGES, slot - min(slot, into))
    last = min(first + FAULT_AROUND_PAGES, PTRS_PER_TABLE, slot + vma.pages - into) - 1
    return vpn - slot + first, vpn - slot + last


class do_read_fault(Procedure):
    """Read fault on a file: map what the page cache has around the address; get the page itself if it is missing."""

    source: ClassVar[str] = "mm/memory.c: do_read_fault, do_fault_around; mm/filemap.c: filemap_map_pages"
    mm: str
    vpn: int
    flags: int

    @step
    def do_fault_around(self, tx: Transaction) -> Outcome:
        """Map every page of the surrounding 64 KiB that is in the page cache already and whose entry is empty.

        One fault instead of sixteen. Holes of the file are left alone, and so is a page that somebody has locked: it
        may be on its way out of the file.
        """
        vma = the_vma(tx, self.mm, self.vpn)
        ops: VmOps = vm_operations(vma.ops)
        if not ops.map_pages or uffd_disable_fault_around(vma):
            return None
        if (wait := pte_lock(tx, self.mm, self.vpn)) is not None:
            return wait
        if not tables_exist(tx, self.mm, self.vpn):
            if filemap_map_pmd(tx, self.mm, vma, self.vpn):
                return done(VM_FAULT_NOPAGE)
            if leaves_no_table(tx, vma, self.vpn):
                return None
            return call(pte_alloc(mm=self.mm, vpn=self.vpn), then=do_read_fault.do_fault_around)
        if is_pmd_leaf(tx, self.mm, self.vpn):  # a collapse has put a huge entry in the place of our table
            return done(VM_FAULT_NOPAGE)
        mapped = filemap_map_pages(tx, self.mm, vma, self.vpn)
        return done(VM_FAULT_NOPAGE) if mapped else None

    @step
    def fault(self, tx: Transaction) -> Outcome:
        """Ask the file for the page: its ->fault handler."""
        return call(fault_call(tx, self.mm, self.vpn, self.flags))

    @step
    def finish_fault(self, tx: Transaction) -> Outcome:
        """Under the page table lock: map the page if the entry is still empty. The reference is the entry's now.

        Of a huge page one entry maps all, if no table of small entries is there yet; else as many small ones as fit.
        """
        if self.ret & NO_PAGE:
            return done(self.ret)
        if (wait := pte_lock(tx, self.mm, self.vpn)) is not None:
            return wait
        vma = the_vma(tx, self.mm, self.vpn)
        (pfn,) = self.holds
        if not tables_exist(tx, self.mm, self.vpn):
            if do_set_pmd(tx, self.mm, vma, self.vpn, pfn):
                self.holds = ()
                folio_unlock(tx, pfn)
                return done()
            return call(pte_alloc(mm=self.mm, vpn=self.vpn), then=do_read_fault.finish_fault)
        self.holds = ()
        folio_unlock(tx, pfn)
        if overtaken(tx, self.mm, self.vpn):
            put_page(tx, pfn)
            return done(VM_FAULT_NOPAGE)
        set_folio_range(tx, self.mm, vma, self.vpn, pfn)
        return done()


def overtaken(mem: Memory, mm: str, vpn: int) -> bool:
    """Whether somebody was faster: the entry is set, or the table has become a huge entry (vmf_pte_changed)."""
    return not pte_none_mostly(mem, mm, vpn) or is_pmd_leaf(mem, mm, vpn)


def filemap_map_pmd(tx: Transaction, mm: str, vma: Vma, vpn: int) -> bool:
    """Where there is no page table yet: map the huge page that the file has there, if it has one (mm/filemap.c)."""
    pfn = filemap_get_entry(tx, vma.file, vma.pgoff + vpn - vma.start)
    if pfn is None or not next_uptodate_folio(tx, pfn) or vma.pgoff + vpn - vma.start >= tx.files[vma.file].size:
        return False
    if not do_set_pmd(tx, mm, vma, vpn, pfn):
        return False
    get_page(tx, pfn)
    return True


def leaves_no_table(mem: Memory, vma: Vma, vpn: int) -> bool:
    """Whether filemap_map_pages() finds no page table to map pages into: filemap_map_pmd() is what installs it.

    Since 74207de2ba10 it is not asked if the folio that is found first reaches to the end of the file.
    """
    file = mem.files[vma.file]
    if file.kind in SHMEM or not fact(mem, LATE_TABLE):
        return False
    first, last = (page + vma.pgoff - vma.start for page in fault_around_window(vma, vpn))
    for index in i_pages(mem, vma.file, first, min(last, file.size - 1)):
        head = mem.page_cache[vma.file, index]
        if next_uptodate_folio(mem, head):
            return file.size - 1 < index + mem.frames[head].pages
    return False


def set_folio_range(tx: Transaction, mm: str, vma: Vma, vpn: int, pfn: int, *, write: bool = False) -> None:
    """Map a page of a file; of a large shmem folio all pages, if they fit and nothing is there (finish_fault)."""
    head = page_folio(tx, pfn)
    pages, page = tx.frames[head].pages, pfn - head
    start = vpn - page
    table = vpn - vpn % PTRS_PER_TABLE
    fits = (
        vma.start <= start and start + pages <= vma.end and table <= start and start + pages <= table + PTRS_PER_TABLE
    )
    whole = (
        pages > 1
        and fits
        and vma.ops == "shmem"
        and not vma.flags & VM_UFFD
        and fact(tx, "faults map large shmem folios as a whole")
    )
    if whole and next(populated(tx, mm, start, start + pages), None) is None:
        page_ref_add(tx, head, pages - 1)
        for at in range(pages):
            set_pte_range(tx, mm, vma, start + at, head + at, write=write)
    else:
        set_pte_range(tx, mm, vma, vpn, pfn, write=write)


def filemap_map_pages(tx: Transaction, mm: str, vma: Vma, vpn: int) -> bool:
    """Map the resident pages around `vpn`; tells whether `vpn` itself is mapped now (mm/filemap.c)."""
    first, last = fault_around_window(vma, vpn)
    shift = vma.pgoff - vma.start
    size = tx.files[vma.file].size
    for index in i_pages(tx, vma.file, first + shift, min(last + shift, size - 1)):
        head = tx.page_cache[vma.file, index]
        if not next_uptodate_folio(tx, head):
            continue
        for page in range(tx.frames[head].pages):
            at = index + page - shift
            if first <= at <= min(last, size - 1 - shift) and (mm, at) not in tx.ptes:
                get_page(tx, head)
                set_pte_range(tx, mm, vma, at, head + page)
    return (mm, vpn) in tx.ptes


def next_uptodate_folio(mem: Memory, pfn: int) -> bool:
    """Whether a page of the cache may be mapped without asking: nobody has it locked, and it has its content."""
    head = page_folio(mem, pfn)
    return ("folio", str(head)) not in mem.locks and bool(mem.frames[head].flags & PG_UPTODATE)


def set_pte_range(tx: Transaction, mm: str, vma: Vma, vpn: int, pfn: int, *, write: bool = False) -> None:
    """Map a page of a file: mapcount + 1; the caller's reference is the entry's from now on (mm/memory.c)."""
    entry = mk_pte(pfn, vma)
    if write:
        entry = maybe_mkwrite(entry.with_bits(PAGE_DIRTY), vma)
    elif entry.writable and folio_of(tx, pfn).flags & PG_DIRTY:
        entry = entry.with_bits(PAGE_DIRTY)
    folio_add_rmap(tx, pfn, vma, mm)
    tx.ptes[mm, vpn] = keeping_uffd_wp(tx, mm, vma, vpn, entry)


class do_cow_fault(Procedure):
    """First write to a private mapping of a file: the process gets a copy of its own, the file stays as it is."""

    source: ClassVar[str] = "mm/memory.c: do_cow_fault"
    mm: str
    vpn: int
    flags: int
    copy: Pfn = -1
    """pfn of the copy."""

    @step
    def alloc_cow_folio(self, tx: Transaction) -> Outcome:
        """Allocate the page that will be the copy."""
        anon_vma_prepare(tx, self.mm, the_vma(tx, self.mm, self.vpn))
        pfn = alloc_page(tx, "anon")
        if pfn is None:
            return done(VM_FAULT_OOM)
        self.copy, self.holds = pfn, (pfn,)
        return None

    @step
    def fault(self, tx: Transaction) -> Outcome:
        """Ask the file for the page to copy from: its ->fault handler."""
        return call(fault_call(tx, self.mm, self.vpn, self.flags))

    @step
    def copy_page(self, tx: Transaction) -> Outcome:
        """Copy the content. From here on the process and the file have different pages."""
        if self.ret & NO_PAGE:
            put_page(tx, self.copy)
            return done(self.ret)
        tx.content[self.copy] = tx.content.get(self.out[0]) or 0
        tx.emit(Copied((self.copy,), (self.out[0],)))
        return None

    @step
    def finish_fault(self, tx: Transaction) -> Outcome:
        """Under the page table lock: map the copy, writable, exclusive to this process; let go of the file's page."""
        if not tables_exist(tx, self.mm, self.vpn):
            return call(pte_alloc(mm=self.mm, vpn=self.vpn), then=do_cow_fault.finish_fault)
        if (wait := pte_lock(tx, self.mm, self.vpn)) is not None:
            return wait
        vma = the_vma(tx, self.mm, self.vpn)
        for pfn in self.holds[1:]:
            folio_unlock(tx, pfn)
            put_page(tx, pfn)
        self.holds = ()
        if overtaken(tx, self.mm, self.vpn):
            put_page(tx, self.copy)
            return done(VM_FAULT_NOPAGE)
        folio_add_new_anon_rmap(tx, self.copy, vma, self.vpn)
        entry = maybe_mkwrite(mk_pte(self.copy, vma).with_bits(PAGE_DIRTY), vma)
        tx.ptes[self.mm, self.vpn] = keeping_uffd_wp(tx, self.mm, vma, self.vpn, entry)
        return done()


class do_shared_fault(Procedure):
    """First write to a shared mapping of a file: the file's own page, mapped writable."""

    source: ClassVar[str] = "mm/memory.c: do_shared_fault"
    mm: str
    vpn: int
    flags: int

    @step
    def fault(self, tx: Transaction) -> Outcome:
        """Ask the file for the page: its ->fault handler."""
        return call(fault_call(tx, self.mm, self.vpn, self.flags))

    @step
    def page_mkwrite(self, tx: Transaction) -> Outcome:
        """Tell a filesystem that keeps account of dirty pages that this one is about to be written."""
        if self.ret & NO_PAGE:
            return done(self.ret)
        vma = the_vma(tx, self.mm, self.vpn)
        handler = vm_operations(vma.ops).page_mkwrite
        if handler is None:
            self.ret = 0
            return None
        folio_unlock(tx, self.holds[0])
        return call(handler(mm=self.mm, vpn=self.vpn, pfn=self.holds[0]))

    @step
    def finish_fault(self, tx: Transaction) -> Outcome:
        """Under the page table lock: map the page writable and dirty. The handler's reference becomes the entry's."""
        (pfn,) = self.holds
        if self.ret & NO_PAGE:
            self.holds = ()
            put_page(tx, pfn)
            return done(self.ret)
        if (wait := pte_lock(tx, self.mm, self.vpn)) is not None:
            return wait
        vma = the_vma(tx, self.mm, self.vpn)
        if not tables_exist(tx, self.mm, self.vpn):
            if not do_set_pmd(tx, self.mm, vma, self.vpn, pfn, write=True):
                return call(pte_alloc(mm=self.mm, vpn=self.vpn), then=do_shared_fault.finish_fault)
            self.holds = ()
            folio_unlock(tx, pfn)
            set_page_flags(tx, pfn, PG_DIRTY)
            return done()
        self.holds = ()
        folio_unlock(tx, pfn)
        if overtaken(tx, self.mm, self.vpn):
            put_page(tx, pfn)
            return done(VM_FAULT_NOPAGE)
        set_folio_range(tx, self.mm, vma, self.vpn, pfn, write=True)
        set_page_flags(tx, pfn, PG_DIRTY)
        return done()
