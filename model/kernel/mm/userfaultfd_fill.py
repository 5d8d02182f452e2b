"""UFFDIO_COPY, _ZEROPAGE and _CONTINUE: answers to a fault that bring a page; UFFDIO_POISON: that it will not come."""

from typing import ClassVar, Literal

from model.engine.config import fact
from model.engine.lock import down_read, up_read
from model.engine.procedure import Outcome, Procedure, call, done, fail, goto, step, tail
from model.kernel.arch.pgtable import is_pmd_leaf, pte_alloc, pte_lock, tables_exist, zero_pte
from model.kernel.mm.copy_from_user import copy_from_user
from model.kernel.mm.filemap import (
    filemap_add_folio,
    filemap_remove_folio,
    folio_trylock,
    folio_unlock,
)
from model.kernel.mm.hugetlb_pool import is_vm_hugetlb_page
from model.kernel.mm.page import folio_add_new_anon_rmap, folio_add_rmap, put_page
from model.kernel.mm.page_alloc import alloc_page
from model.kernel.mm.page_prot import maybe_mkwrite, mk_pte
from model.kernel.mm.pte_marker import POISON_MARKER, pte_mkuffd_wp, pte_none_mostly
from model.kernel.mm.rmap import anon_vma_prepare
from model.kernel.mm.shmem import BEYOND_EOF, shmem_get_folio
from model.kernel.mm.userfaultfd import (
    changing_context,
    mmap_changing,
    mmget_not_zero,
    short,
    wake_userfault,
)
from model.kernel.mm.userfaultfd_hugetlb import mfill_atomic_hugetlb
from model.kernel.mm.userfaultfd_wp import validate_range
from model.kernel.mm.vma import vma_is_anonymous, vma_lookup
from model.memory.errno import EAGAIN, EEXIST, EFAULT, EINVAL, ENOENT, ENOMEM, ESRCH
from model.memory.flags import PAGE_DIRTY, PG_SWAPBACKED, PG_UPTODATE, VM_SHARED, VM_UFFD_WP
from model.memory.folio import filemap_get_entry
from model.memory.records import Pte, Vma
from model.memory.state import Memory, Transaction
from model.memory.units import Pfn

Fill = Literal["copy", "zeropage", "continue", "poison"]


class mfill_atomic(Procedure):
    """Bring the pages of a range, or those before the first that cannot be had: EAGAIN, or, if there are none, why.

    Nobody sees a page before it has its content: it is filled first and mapped then, in one step.
    """

    source: ClassVar[str] = "mm/userfaultfd.c: mfill_atomic"
    caller: str
    """The process that calls: the descriptor may have been inherited from another one."""
    uffd: str
    start: int
    pages: int
    fill: Fill
    source_start: int = -1
    """`copy`: the first page that is copied, in the address space of the caller."""
    wp: bool = False
    """UFFDIO_COPY_MODE_WP: map it write-protected."""
    mm: str = ""
    mm_users: ClassVar[tuple[str, ...]] = ("mm",)
    filled: int = 0
    page: Pfn = -1
    """The page that is being made; `holds` has its reference."""
    copied: bool = False
    """It has its content."""

    @property
    def vpn(self) -> int:
        """The page whose turn it is."""
        return self.start + self.filled

    @step
    def check_arguments(self, tx: Transaction) -> Outcome:
        """An empty range, or one outside of user space, is EINVAL."""
        if isinstance(context := changing_context(tx, self.uffd, self.caller), int):
            return fail(context)
        if self.fill == "poison" and not fact(tx, "UFFDIO_POISON"):
            return fail(EINVAL)
        if error := validate_range(self.start, self.pages):
            return fail(error)
        if not mmget_not_zero(tx, context):
            return fail(ESRCH)
        self.mm = context.process
        return None

    @step
    def uffd_mfill_lock(self, tx: Transaction) -> Outcome:
        """Find the VMA, and keep it from changing: its own lock, here mmap_lock for reading.

        The whole range must lie in one VMA that is registered, else ENOENT. A private one gets its anon_vma now, before
        anybody asks whether it is registered at all; up to 6.1 that came last.
        """
        if (wait := down_read(tx, "mmap_lock", self.mm)) is not None:
            return wait
        vma = vma_lookup(tx, self.mm, self.start)
        if vma is None:
            return self.finish(tx, -ENOENT)
        early = fact(tx, "UFFDIO_COPY prepares the anon_vma first")
        if early and not vma.flags & VM_SHARED:
            vma = anon_vma_prepare(tx, self.mm, vma)
        if self.start + self.pages > vma.end or not vma.uffd:
            return self.finish(tx, -ENOENT)
        if mmap_changing(tx, self.uffd):
            return self.finish(tx, -EAGAIN)
        if self.wp and not vma.flags & VM_UFFD_WP:
            return self.finish(tx, -EINVAL)
        if is_vm_hugetlb_page(vma):
            return tail(self.hugetlb())
        if not vma_is_anonymous(vma) and vma.ops != "shmem":
            return self.finish(tx, -EINVAL)
        if self.fill == "continue" and vma.ops != "shmem":
            return self.finish(tx, -EINVAL)
        if not vma.flags & VM_SHARED:
            anon_vma_prepare(tx, self.mm, vma)
        self.ret = 0
        return None

    def hugetlb(self) -> Procedure:
        """The call that fills huge pages of the pool."""
        return mfill_atomic_hugetlb(
            caller=self.caller,
            uffd=self.uffd,
            mm=self.mm,
            start=self.start,
            pages=self.pages,
            fill=self.fill,
            source_start=self.source_start,
            wp=self.wp,
        )

    @step
    def mm_alloc_pmd(self, tx: Transaction) -> Outcome:
        """Make sure that the page table is there. A huge entry is not replaced: EEXIST."""
        if self.ret < 0:
            return self.finish(tx, -ENOMEM)
        if is_pmd_leaf(tx, self.mm, self.vpn):
            return self.finish(tx, -EEXIST)
        if not tables_exist(tx, self.mm, self.vpn):
            return call(pte_alloc(mm=self.mm, vpn=self.vpn), mfill_atomic.mm_alloc_pmd)
        vma = self.vma(tx)
        if self.fill == "continue":
            return call(shmem_get_folio(file=vma.file, index=self.index(vma), noalloc=True), mfill_atomic.got_folio)
        if self.fill == "poison":
            return goto(mfill_atomic.mfill_atomic_pte_poison)
        if self.fill == "zeropage" and not vma.flags & VM_SHARED:
            return goto(mfill_atomic.mfill_atomic_pte_zeropage)
        return goto(mfill_atomic.shmem_add_to_page_cache) if self.copied else None

    def vma(self, mem: Memory) -> Vma:
        """The VMA, which cannot have gone while mmap_lock is held."""
        vma = vma_lookup(mem, self.mm, self.start)
        assert vma is not None
        return vma

    def index(self, vma: Vma) -> int:
        """The page of the file."""
        return vma.pgoff + self.vpn - vma.start

    @step
    def alloc_folio(self, tx: Transaction) -> Outcome:
        """Get a page that nobody knows yet. UFFDIO_ZEROPAGE of a file needs one, too: the file gets it."""
        pfn = alloc_page(tx, "anon")
        if pfn is None:
            return self.finish(tx, -ENOMEM)
        self.page, self.holds = pfn, (pfn,)
        if self.fill == "zeropage":
            return goto(mfill_atomic.shmem_add_to_page_cache)
        at = self.source_start + self.filled
        return call(copy_from_user(mm=self.caller, vpn=at, to=pfn, pagefault_disabled=True))

    @step
    def copy_from_user(self, tx: Transaction) -> Outcome:
        """If the source is mapped the page is filled now. Faults are forbidden here: they would need the same lock.

        Otherwise give the lock back, fault the source in as any access does, and begin anew with the page that we have.
        """
        if not self.ret:
            return goto(mfill_atomic.shmem_add_to_page_cache)
        up_read(tx, "mmap_lock", self.mm)
        return call(copy_from_user(mm=self.caller, vpn=self.source_start + self.filled, to=self.page))

    @step
    def retry(self, tx: Transaction) -> Outcome:
        """The source cannot be read: EFAULT. Otherwise look for the VMA again; it may be another one by now."""
        if self.ret < 0:
            self.drop_page(tx)
            if self.filled:
                wake_userfault(tx, self.uffd, self.start, self.filled)
            return done(short(self.filled, self.pages) if self.filled else -EFAULT)
        self.copied = True
        return goto(mfill_atomic.uffd_mfill_lock)

    @step
    def shmem_add_to_page_cache(self, tx: Transaction) -> Outcome:
        """Shared memory: first the file gets the page, unless it ends before (EFAULT) or has one there (EEXIST)."""
        vma = self.vma(tx)
        if not vma.flags & VM_SHARED:
            return goto(mfill_atomic.mfill_atomic_install_pte)
        index = self.index(vma)
        if index >= tx.files[vma.file].size:
            return self.finish(tx, -EFAULT)
        if filemap_get_entry(tx, vma.file, index) is not None or (vma.file, index) in tx.swapped:
            return self.finish(tx, -EEXIST)
        folio_trylock(tx, self.page)
        tx.frames.update(self.page, kind="file", flags=PG_SWAPBACKED | PG_UPTODATE)
        filemap_add_folio(tx, vma.file, index, self.page)
        return goto(mfill_atomic.mfill_atomic_install_pte)

    @step
    def got_folio(self, tx: Transaction) -> Outcome:
        """UFFDIO_CONTINUE: the file must have the page already, else EFAULT. It is found, and locked."""
        if self.ret < 0:
            beyond = self.ret == BEYOND_EOF and fact(tx, "UFFDIO_CONTINUE beyond the end of a file is EINVAL")
            return self.finish(tx, -EINVAL if beyond else -EFAULT)
        self.page = self.holds[0]
        return None

    @step
    def mfill_atomic_install_pte(self, tx: Transaction) -> Outcome:
        """Under the page table lock: map it, dirty, and writable where the VMA is; with `wp` write-protected instead.

        Whatever is mapped there already stays: EEXIST. A marker of userfaultfd is replaced, up to 6.18 also a guard.
        """
        if (wait := pte_lock(tx, self.mm, self.vpn)) is not None:
            return wait
        vma = self.vma(tx)
        cached = tx.frames[self.page].kind == "file"
        beyond = bool(vma.file) and self.index(vma) >= tx.files[vma.file].size
        old = tx.ptes.get((self.mm, self.vpn))
        marker = old is not None and old.kind == "marker" and fact(tx, "UFFDIO_COPY replaces any marker")
        if beyond or not (marker or pte_none_mostly(tx, self.mm, self.vpn)):
            if cached and self.fill != "continue":
                filemap_remove_folio(tx, self.page)
            return self.finish(tx, -EFAULT if beyond else -EEXIST)
        entry = mk_pte(self.page, vma).with_bits(PAGE_DIRTY)
        if vma.flags & VM_SHARED or not cached:
            entry = maybe_mkwrite(entry, vma)
        if cached:
            folio_add_rmap(tx, self.page, vma, self.mm)
            folio_unlock(tx, self.page)
        else:
            folio_add_new_anon_rmap(tx, self.page, vma, self.vpn)
        tx.ptes[self.mm, self.vpn] = pte_mkuffd_wp(entry) if self.wp else entry
        self.holds, self.page, self.copied = (), -1, False
        return self.next_page(tx)

    @step
    def mfill_atomic_pte_zeropage(self, tx: Transaction) -> Outcome:
        """Private memory: the shared zero page will do. Nothing may be there, not even a marker: EEXIST."""
        return self.fill_empty(tx, zero_pte(self.vma(tx)))

    @step
    def mfill_atomic_pte_poison(self, tx: Transaction) -> Outcome:
        """Put a marker there: whoever touches the page gets SIGBUS, as from memory that has failed.

        A machine that takes over another's memory says so of what had failed there. Nothing may be in the way, not even
        a marker: EEXIST.
        """
        return self.fill_empty(tx, POISON_MARKER)

    def fill_empty(self, tx: Transaction, entry: Pte) -> Outcome:
        """Set an entry where none is, under the table's lock, and not beyond the end of the file."""
        if (wait := pte_lock(tx, self.mm, self.vpn)) is not None:
            return wait
        vma = self.vma(tx)
        if vma.file and self.index(vma) >= tx.files[vma.file].size:
            return self.finish(tx, -EFAULT)
        if (self.mm, self.vpn) in tx.ptes:
            return self.finish(tx, -EEXIST)
        tx.ptes[self.mm, self.vpn] = entry
        return self.next_page(tx)

    def next_page(self, tx: Transaction) -> Outcome:
        """One page more is there."""
        self.filled += 1
        if self.filled == self.pages:
            return self.finish(tx, 0)
        self.ret = 0
        return goto(mfill_atomic.mm_alloc_pmd)

    def drop_page(self, tx: Transaction) -> None:
        """A page that could not be mapped goes back."""
        for pfn in self.holds:
            if tx.frames[pfn].kind == "file":
                folio_unlock(tx, pfn)
            put_page(tx, pfn)
        self.holds, self.page = (), -1

    def finish(self, tx: Transaction, error: int) -> Outcome:
        """Unlock, wake whoever waits for a page that has come, and say whether all have, or why none has."""
        self.drop_page(tx)
        up_read(tx, "mmap_lock", self.mm)
        if self.filled:
            wake_userfault(tx, self.uffd, self.start, self.filled)
        return done(short(self.filled, self.pages) if self.filled else error)


class userfaultfd_copy(mfill_atomic):
    """UFFDIO_COPY: pages with the content of others."""

    source: ClassVar[str] = "fs/userfaultfd.c: userfaultfd_copy; mm/userfaultfd.c: mfill_atomic"
    fill: Fill = "copy"


class userfaultfd_zeropage(mfill_atomic):
    """UFFDIO_ZEROPAGE: pages of zeros."""

    source: ClassVar[str] = "fs/userfaultfd.c: userfaultfd_zeropage; mm/userfaultfd.c: mfill_atomic"
    fill: Fill = "zeropage"


class userfaultfd_continue(mfill_atomic):
    """UFFDIO_CONTINUE: pages that the file has already."""

    source: ClassVar[str] = "fs/userfaultfd.c: userfaultfd_continue; mm/userfaultfd.c: mfill_atomic"
    fill: Fill = "continue"


class userfaultfd_poison(mfill_atomic):
    """UFFDIO_POISON: these pages will not come."""

    source: ClassVar[str] = "fs/userfaultfd.c: userfaultfd_poison; mm/userfaultfd.c: mfill_atomic_pte_poison"
    fill: Fill = "poison"
