"""get_user_pages, the slow path: find each page by VMA and entry, fault it in where needed, take a reference.

It sees the VMA's flags, so it can refuse what must not be referenced. It runs under mmap_lock and, for each entry,
under the page table lock. What it hands out keeps the *frame* allocated; it does not keep the entry from changing.
"""

from typing import ClassVar

from model.engine.config import fact
from model.engine.lock import down_read, up_read
from model.engine.mends import mended
from model.engine.procedure import Done, Outcome, Procedure, call, done, fail, goto, hand_over, step, walks
from model.engine.splat import warn_on_once
from model.kernel.arch.pgtable import PTRS_PER_TABLE, is_zero_pfn, pte_lock, vm_normal_page
from model.kernel.arch.shared_table import set_huge_pmd
from model.kernel.mm.fault import handle_mm_fault
from model.kernel.mm.huge_page import huge_pmd
from model.kernel.mm.page import page_count, page_ref_add, refuses_references, runs_over, set_page_flags
from model.kernel.mm.page_prot import vma_needs_dirty_tracking
from model.kernel.mm.pin import pin_page
from model.kernel.mm.pte_marker import userfaultfd_pte_wp
from model.kernel.mm.vma import vma_lookup
from model.memory.errno import EEXIST, EFAULT, EHWPOISON, EINVAL, ENOMEM, EOPNOTSUPP
from model.memory.flags import (
    FAULT_FLAG_ALLOW_RETRY,
    FAULT_FLAG_REMOTE,
    FAULT_FLAG_TRIED,
    FAULT_FLAG_UNSHARE,
    FAULT_FLAG_WRITE,
    FOLL_FORCE,
    FOLL_GET,
    FOLL_HWPOISON,
    FOLL_LONGTERM,
    FOLL_PIN,
    FOLL_REMOTE,
    FOLL_TOUCH,
    FOLL_WRITE,
    PAGE_ACCESSED,
    PAGE_DEVMAP,
    PAGE_DIRTY,
    PG_DIRTY,
    VM_FAULT_ERROR,
    VM_FAULT_HWPOISON,
    VM_FAULT_OOM,
    VM_FAULT_RETRY,
    VM_FAULT_WRITE,
    VM_HUGETLB,
    VM_IO,
    VM_MAYREAD,
    VM_MAYSHARE,
    VM_MAYWRITE,
    VM_PFNMAP,
    VM_READ,
    VM_SHARED,
    VM_WRITE,
    is_cow_mapping,
)
from model.memory.folio import folio_of, page_exclusive
from model.memory.records import Pte, Vma
from model.memory.state import Memory, Transaction
from model.memory.units import Pfn


def check_vma_flags(mem: Memory, vma: Vma, foll: int) -> int:
    """0, or the negated errno with which GUP refuses a VMA before it looks at any entry (kernel-facts D.3)."""
    if vma.flags & (VM_IO | VM_PFNMAP) or vma.ops == "secretmem":
        return -EFAULT
    if foll & FOLL_LONGTERM and vma.ops == "dax":
        return -EOPNOTSUPP
    if foll & FOLL_WRITE:
        if vma.ops and not long_term_write_allowed(mem, vma, foll):
            return -EFAULT
        forced = foll & FOLL_FORCE and is_cow_mapping(vma.flags) and not refuses_force(mem, vma)
        if not vma.flags & VM_WRITE and not forced:
            return -EFAULT
    elif not vma.flags & VM_READ and not (foll & FOLL_FORCE and vma.flags & VM_MAYREAD):
        return -EFAULT
    return 0


def refuses_force(mem: Memory, vma: Vma) -> bool:
    """Huge pages of the pool were not copied for a debugger."""
    return bool(vma.flags & VM_HUGETLB) and not fact(mem, "FOLL_FORCE writes to hugetlb")


def long_term_write_allowed(mem: Memory, vma: Vma, foll: int) -> bool:
    """Not a long-term pin that would write behind the back of a filesystem (writable_file_mapping_allowed)."""
    if foll & (FOLL_PIN | FOLL_LONGTERM) != FOLL_PIN | FOLL_LONGTERM:
        return True
    refused = fact(mem, "long-term pin needs no dirty tracking") and mended(mem, "longterm-slow-files")
    return not (refused and vma_needs_dirty_tracking(vma))


def can_follow_write_pte(tx: Transaction, pte: Pte, pfn: int | None, vma: Vma, foll: int, *, cow: bool = False) -> bool:
    """Whether a write may go through this entry: writable, or FOLL_FORCE and an exclusive private copy.

    Before 5535be309971 a copy was known by the entry's being dirty, once a fault had broken copy-on-write (`cow`).
    """
    if pte.writable:
        return True
    if not mended(tx, "foll-cow-exclusive"):
        return bool(foll & FOLL_FORCE) and cow and pte.dirty
    if not foll & FOLL_FORCE or vma.flags & (VM_MAYSHARE | VM_SHARED | VM_WRITE) or not vma.flags & VM_MAYWRITE:
        return False
    exclusive = pfn is not None and folio_of(tx, pfn).kind == "anon" and page_exclusive(tx, pfn)
    return exclusive and not userfaultfd_pte_wp(vma, pte)


def gup_must_unshare(tx: Transaction, vma: Vma | None, foll: int, pfn: int) -> bool:
    """A read-only pin must get a page that no later copy-on-write takes away (include/linux/mm.h)."""
    if foll & (FOLL_WRITE | FOLL_PIN) != FOLL_PIN or not mended(tx, "read-only-pin-unshares"):
        return False
    if folio_of(tx, pfn).kind != "anon":
        if not foll & FOLL_LONGTERM or not fact(tx, "read-only long-term pin unshares"):
            return False
        return vma is None or is_cow_mapping(vma.flags)
    return not page_exclusive(tx, pfn)


def try_grab_folio(tx: Transaction, pfn: int, foll: int) -> int:
    """Take the reference that the flags ask for: FOLL_GET +1, FOLL_PIN +1024. A dead count: WARN, -ENOMEM."""
    asked = mended(tx, "page-ref-overflow")
    if (asked and (page_count(tx, pfn) <= 0 or runs_over(tx, pfn))) or refuses_references(tx, pfn):
        warn_on_once(tx, "mm/gup.c:219 try_grab_page", "WARN_ON_ONCE(folio_ref_count(folio) <= 0)")
        return -ENOMEM
    if foll & FOLL_GET:
        page_ref_add(tx, pfn, 1)
    elif foll & FOLL_PIN and not (is_zero_pfn(pfn) and fact(tx, "zero page is never pinned")):
        pin_page(tx, pfn)
    return 0


class get_user_pages(Procedure):
    """Page by page: look at the VMA, follow the entry, fault if need be, take the reference. Caller holds mmap_lock.

    Returns the number of pages got, handed over to the caller; an errno only if there was not a single one.
    """

    source: ClassVar[str] = "mm/gup.c: __get_user_pages"
    mm: str
    vpn: int
    pages: int
    foll: int
    populate: bool = False
    """MADV_POPULATE_*: refusals are EINVAL, holes ENOMEM."""
    unlockable: bool = True
    """FOLL_UNLOCKABLE: a fault that has to wait for a disk may give mmap_lock up meanwhile."""
    got: int = 0
    unshare: bool = False
    """The next fault must break the sharing of the page, not write to it."""
    tried: bool = False
    """This page has been waited for once."""
    cow: bool = False
    """FOLL_COW, as it was before 5535be309971: a fault has broken copy-on-write for this page."""
    forgot: bool = False
    """As it was before 19be0eaffa3a: this page is looked at as if it were only to be read."""

    @property
    def wanted(self) -> int:
        """The FOLL_* flags that the current page is looked at with."""
        return self.foll & ~FOLL_WRITE if self.forgot else self.foll

    @step
    def check_vma_flags(self, tx: Transaction) -> Outcome:
        """Find the VMA and ask its flags. VM_IO and VM_PFNMAP are refused here, EFAULT, before any entry is read.

        As it was before 8ac268436e6d, a long-term pin may write to a file behind the back of its filesystem.
        """
        if not self.pages:
            return self.finish(0)
        vma = vma_lookup(tx, self.mm, self.vpn)
        if vma is None:
            return self.finish(-ENOMEM if self.populate else -EFAULT)
        refusal = check_vma_flags(tx, vma, self.foll)
        if refusal:
            return self.finish(-EINVAL if self.populate else refusal)
        return None

    @step
    @walks(0)
    def follow_page_pte(self, tx: Transaction) -> Outcome:
        """Under the page table lock: is there an entry that allows this access? Then take the reference on its page.

        An entry that is missing or not writable needs a fault first. A special entry has no page to hand out: EEXIST.
        Storage (devmap) is special too, and GUP takes it all the same: a second door.

        As it was before 8fde12ca79af, nobody asks whether the count is about to run over: with one reference too many
        it is 0, and with one more the page looks like nobody else's.

        As it was before a7f226604170, a pin that only reads takes a shared page as it is, and the next write of the
        process goes to a copy.

        As it was before a8f97366452e, GUP makes a huge entry dirty that it touches, also where it only reads.
        """
        if (wait := pte_lock(tx, self.mm, self.vpn)) is not None:
            return wait
        vma = vma_lookup(tx, self.mm, self.vpn)
        if vma is None:
            return self.finish(-EFAULT)
        pte = tx.ptes.get((self.mm, self.vpn))
        if pte is None and (pmd := huge_pmd(tx, self.mm, self.vpn)) is not None:
            return self.follow_huge_pmd(tx, vma, pmd)
        if pte is None or not pte.present:
            return None
        pfn = vm_normal_page(tx, vma, pte)
        if self.wanted & FOLL_WRITE and not can_follow_write_pte(tx, pte, pfn, vma, self.foll, cow=self.cow):
            return None
        if pfn is None and (is_zero_pfn(pte.pfn) or pte.bits & PAGE_DEVMAP):
            pfn = pte.pfn
        if pfn is None:
            return self.finish(-EEXIST) if self.foll & (FOLL_GET | FOLL_PIN) else self.next_page()
        if not pte.writable and gup_must_unshare(tx, vma, self.foll, pfn):
            self.unshare = True
            return None
        refusal = try_grab_folio(tx, pfn, self.foll)
        if refusal:
            return self.finish(refusal)
        if self.foll & FOLL_TOUCH and self.foll & FOLL_WRITE and not pte.dirty and not is_zero_pfn(pfn):
            set_page_flags(tx, pfn, PG_DIRTY)
        return self.next_page(pfn)

    def follow_huge_pmd(self, tx: Transaction, vma: Vma, pmd: Pte) -> Outcome:
        """The same for an entry that maps 2 MiB: all the pages of it that are wanted, at once.

        Each of them is one reference on the folio, on its head: a page of a large folio has no count of its own. What
        the entry allows, and the mark of the head, go for all 512.
        """
        if not pmd.present:
            return None
        if self.foll & FOLL_WRITE and not can_follow_write_pte(tx, pmd, pmd.pfn, vma, self.foll, cow=self.cow):
            return None
        if not pmd.writable and gup_must_unshare(tx, vma, self.foll, pmd.pfn):
            self.unshare = True
            return None
        into = self.vpn % PTRS_PER_TABLE
        pages = tuple(range(pmd.pfn + into, pmd.pfn + into + min(self.pages, PTRS_PER_TABLE - into)))
        for pfn in pages:
            refusal = try_grab_folio(tx, pfn, self.foll)
            if refusal:
                return self.finish(refusal)
        if self.foll & FOLL_TOUCH:
            touched = PAGE_ACCESSED | (PAGE_DIRTY if self.foll & FOLL_WRITE or not mended(tx, "touch-pmd") else 0)
            set_huge_pmd(tx, self.mm, self.vpn, pmd.with_bits(touched))
        return self.next_pages(pages)

    @step
    def faultin_page(self, tx: Transaction) -> Outcome:
        """Do what an access by the process would do: a page fault, for writing, reading or unsharing."""
        flags = FAULT_FLAG_ALLOW_RETRY if self.unlockable else 0
        flags |= FAULT_FLAG_REMOTE if self.foll & FOLL_REMOTE else 0
        flags |= FAULT_FLAG_TRIED if self.tried else 0
        if self.unshare:
            flags |= FAULT_FLAG_UNSHARE
        elif self.wanted & FOLL_WRITE:
            flags |= FAULT_FLAG_WRITE
        self.unshare = False
        return call(handle_mm_fault(mm=self.mm, vpn=self.vpn, flags=flags))

    @step
    def look_again(self, tx: Transaction) -> Outcome:
        """After the fault: follow the entry once more. If the fault could not be repaired, GUP fails with EFAULT.

        As it was before 19be0eaffa3a, GUP looks again as if it only read, once copy-on-write has been broken for a
        mapping that is not writable. The copy may be gone by then, and the page that it finds be the file's.

        As it was before 5535be309971, GUP notes that copy-on-write has been broken, and takes a dirty entry for the
        copy. Others can make an entry dirty as well.
        """
        if self.ret & VM_FAULT_OOM:
            return self.finish(-ENOMEM)
        if self.ret & VM_FAULT_HWPOISON and self.foll & FOLL_HWPOISON:
            return self.finish(-EHWPOISON)  # vm_fault_to_errno(): memory that has failed, to those who ask for it
        if self.ret & VM_FAULT_ERROR:
            return self.finish(-EFAULT)
        if self.ret & VM_FAULT_RETRY:
            return None
        broken = self.ret & VM_FAULT_WRITE and not (mended(tx, "foll-cow") and mended(tx, "foll-cow-exclusive"))
        vma = vma_lookup(tx, self.mm, self.vpn) if broken else None
        if vma is not None and not vma.flags & VM_WRITE:
            self.forgot, self.cow = not mended(tx, "foll-cow"), not mended(tx, "foll-cow-exclusive")
        return goto(get_user_pages.follow_page_pte)

    @step
    def mmap_read_lock_again(self, tx: Transaction) -> Outcome:
        """The fault handler had to wait and gave mmap_lock up. Take it again; the VMA may be another one by now."""
        if (wait := down_read(tx, "mmap_lock", self.mm)) is not None:
            return wait
        self.tried = True
        return goto(get_user_pages.check_vma_flags)

    def next_page(self, pfn: int | None = None) -> Outcome:
        """Note the page and go on with the next one."""
        return self.next_pages(() if pfn is None else (pfn,))

    def next_pages(self, pfns: tuple[Pfn, ...]) -> Outcome:
        """Note pages side by side and go on behind them; none: there was one, and nobody asked for it."""
        if self.foll & FOLL_PIN:
            self.pins += pfns
        elif self.foll & FOLL_GET:
            self.holds += pfns
        self.tried = self.forgot = self.cow = False
        done_pages = len(pfns) or 1
        self.got += done_pages
        self.vpn += done_pages
        self.pages -= done_pages
        return goto(get_user_pages.check_vma_flags)

    def finish(self, error: int) -> Done:
        """The pages so far, if there are any; the error otherwise."""
        if not self.got:
            return done(error)
        pinned = bool(self.foll & FOLL_PIN)
        pages = self.pins if pinned else self.holds
        self.holds = self.pins = ()
        return hand_over(self.got, pages, pinned=pinned)


class get_user_pages_unlocked(Procedure):
    """get_user_pages with mmap_lock taken and given back around it."""

    source: ClassVar[str] = "mm/gup.c: __get_user_pages_locked, get_user_pages_unlocked"
    mm: str
    vpn: int
    pages: int
    foll: int
    unlockable: bool = True

    @step
    def mmap_read_lock(self, tx: Transaction) -> Outcome:
        """Lock the address space of the pages for reading."""
        if self.mm not in tx.processes:
            return fail(EFAULT)
        return down_read(tx, "mmap_lock", self.mm)

    @step
    def set_has_pinned(self, tx: Transaction) -> Outcome:
        """The first FOLL_PIN marks the mm for good: from now on fork looks for pinned pages (MMF_HAS_PINNED)."""
        if self.foll & FOLL_PIN and not tx.processes[self.mm].has_pinned:
            tx.processes.update(self.mm, has_pinned=True)
        return call(
            get_user_pages(mm=self.mm, vpn=self.vpn, pages=self.pages, foll=self.foll, unlockable=self.unlockable)
        )

    @step
    def mmap_read_unlock(self, tx: Transaction) -> Outcome:
        """Unlock. The references stay; mappings and entries may change from here on."""
        up_read(tx, "mmap_lock", self.mm)
        if self.ret <= 0:
            return done(self.ret)
        pages, pinned = (self.pins, True) if self.foll & FOLL_PIN else (self.holds, False)
        self.holds = self.pins = ()
        return hand_over(self.ret, pages, pinned=pinned)
