"""UFFDIO_COPY and UFFDIO_CONTINUE of huge pages of the pool: 2 MiB at once, under hugetlb's own locks."""

from typing import ClassVar

from model.engine.lock import down_read, down_write, up_read, up_write
from model.engine.procedure import Outcome, Procedure, call, done, goto, step
from model.kernel.arch.boot import HUGETLB_NR
from model.kernel.arch.pgtable import PMD, TABLE_SHIFT, pte_lock
from model.kernel.arch.shared_table import set_huge_pmd
from model.kernel.mm.copy_from_user import copy_from_user
from model.kernel.mm.filemap import filemap_get_folio, folio_lock, folio_trylock, folio_unlock
from model.kernel.mm.hugetlb import copy_user_large_folio, hugetlb_add_to_page_cache, make_huge_pte
from model.kernel.mm.hugetlb_pool import (
    alloc_hugetlb_folio,
    alloc_hugetlb_folio_vma,
    hugetlb_add_new_anon_rmap,
    hugetlb_add_rmap,
    is_vm_hugetlb_page,
    restore_reserve_on_error,
    vma_hugecache_offset,
)
from model.kernel.mm.hugetlb_share import huge_pte_alloc
from model.kernel.mm.hugetlb_zap import down_read_vma, up_read_vma
from model.kernel.mm.page import put_page
from model.kernel.mm.pte_marker import POISON_MARKER
from model.kernel.mm.rmap import anon_vma_prepare
from model.kernel.mm.userfaultfd import short, wake_userfault
from model.kernel.mm.vma import vma_lookup
from model.memory.errno import EEXIST, EFAULT, EINVAL, ENOENT, ENOMEM
from model.memory.flags import PAGE_DIRTY, PAGE_UFFD_WP, VM_SHARED
from model.memory.records import FrameKind, Vma
from model.memory.state import Memory, Transaction
from model.memory.units import Pfn, Word


class mfill_atomic_hugetlb(Procedure):
    """Bring huge pages, or those before the first that cannot be had. Called, and ends, with mmap_lock held."""

    source: ClassVar[str] = "mm/userfaultfd.c: mfill_atomic_hugetlb; mm/hugetlb.c: hugetlb_mfill_atomic_pte"
    caller: str
    """The process that calls, and whose memory is copied."""
    uffd: str
    mm: str
    start: int
    pages: int
    fill: Word
    """`copy`, `continue`, or what hugetlb does not have."""
    source_start: int
    wp: bool = False
    """UFFDIO_COPY_MODE_WP: map it write-protected."""
    filled: int = 0
    """Pages that have come."""
    page: Pfn = -1
    """The head of the huge page that is being made; `holds` has its reference."""
    spare: Pfn = -1
    """What the source was copied to while no lock was held."""
    copied: int = 0
    """Pages of it that have their content."""
    cached: bool = False
    """It is the file's."""

    @property
    def vpn(self) -> int:
        """The huge page whose turn it is."""
        return self.start + self.filled

    def vma(self, mem: Memory) -> Vma:
        """The VMA, which cannot have gone while mmap_lock is held."""
        vma = vma_lookup(mem, self.mm, self.start)
        assert vma is not None
        return vma

    def index(self, vma: Vma) -> int:
        """Which huge page of the file."""
        return vma_hugecache_offset(vma, self.vpn)

    def mutex(self, mem: Memory) -> str:
        """What the fault mutex is of."""
        vma = self.vma(mem)
        return f"{vma.file}:{self.index(vma)}"

    @step
    def check_alignment(self, tx: Transaction) -> Outcome:
        """Only whole huge pages. There is no huge page of zeros for hugetlb, so no UFFDIO_ZEROPAGE: EINVAL."""
        if self.fill not in {"copy", "continue", "poison"} or self.start % HUGETLB_NR or self.pages % HUGETLB_NR:
            return self.leave(tx, -EINVAL)
        return None

    @step
    def hugetlb_fault_mutex(self, tx: Transaction) -> Outcome:
        """As for a fault: one at a time on each page of a file."""
        return down_write(tx, "hugetlb_fault_mutex", self.mutex(tx))

    @step
    def hugetlb_vma_lock_read(self, tx: Transaction) -> Outcome:
        """Lock the VMA, so that truncation does not pass by. Make sure that there is a table for the entry."""
        vma = self.vma(tx)
        if (wait := down_read_vma(tx, self.mm, vma)) is not None:
            return wait
        return call(huge_pte_alloc(self.mm, vma, self.vpn))

    @step
    def hugetlb_mfill_atomic_pte(self, tx: Transaction) -> Outcome:
        """UFFDIO_CONTINUE: the file must have the page, else EFAULT. UFFDIO_COPY: neither entry nor file may: EEXIST.

        UFFDIO_POISON leaves a marker, where not even another marker stands.

        A copy takes a page of the pool, with its reservation, if the address has one.
        """
        if self.ret < 0:
            return self.fail_here(tx, -ENOMEM)
        vma = self.vma(tx)
        at = (vma.file, self.index(vma) * HUGETLB_NR)
        entry = tx.tables.get((self.mm, PMD, self.vpn >> TABLE_SHIFT))
        if self.fill == "poison":
            if entry is not None:
                return self.fail_here(tx, -EEXIST)
            tx.tables[self.mm, PMD, self.vpn >> TABLE_SHIFT] = POISON_MARKER
            return self.next(tx)
        if self.fill == "continue":
            head = tx.page_cache.get(at)
            if head is None:
                return self.fail_here(tx, -EFAULT)
            if (wait := folio_lock(tx, head)) is not None:
                return wait
            filemap_get_folio(tx, *at)
            self.page, self.holds, self.cached = head, (head,), True
            return goto(mfill_atomic_hugetlb.set_huge_pte_at)
        mapped = entry is not None and entry.kind != "marker"
        if mapped or (vma.flags & VM_SHARED and at in tx.page_cache):
            return self.fail_here(tx, -EEXIST)
        if not vma.flags & VM_SHARED:
            vma = anon_vma_prepare(tx, self.mm, vma)
        kind: FrameKind = "file" if vma.flags & VM_SHARED else "anon"
        new = alloc_hugetlb_folio(tx, self.mm, vma, self.vpn, kind)
        if new is None:
            return self.fail_here(tx, -ENOMEM)
        self.page, self.holds = new, (*self.holds, new)
        if self.spare >= 0:
            copy_user_large_folio(tx, new, self.spare)
            self.drop_spare(tx)
            return goto(mfill_atomic_hugetlb.hugetlb_add_to_page_cache)
        self.copied = 0
        return None

    @step
    def copy_folio_from_user(self, tx: Transaction) -> Outcome:
        """Copy the next page of the source. Faults are forbidden here: they would need the same lock."""
        at = self.source_start + self.filled + self.copied
        return call(copy_from_user(mm=self.caller, vpn=at, to=self.page + self.copied, pagefault_disabled=True))

    @step
    def after_copy(self, tx: Transaction) -> Outcome:
        """Go on to the next. If one is not mapped, give the huge page back, with its reservation, and take a spare one.

        That one must be nobody's; it only holds the bytes while no lock is held.
        """
        if not self.ret:
            self.copied += 1
            more = self.copied < HUGETLB_NR
            return goto(
                mfill_atomic_hugetlb.copy_folio_from_user if more else mfill_atomic_hugetlb.hugetlb_add_to_page_cache
            )
        vma = self.vma(tx)
        restore_reserve_on_error(tx, self.mm, vma, self.vpn, self.page)
        put_page(tx, self.page)
        self.page, self.holds = -1, ()
        spare = alloc_hugetlb_folio_vma(tx)
        if spare is None:
            return self.fail_here(tx, -ENOMEM)
        self.spare, self.holds, self.copied = spare, (spare,), 0
        self.unlock(tx)
        up_read(tx, "mmap_lock", self.mm)
        return None

    @step
    def copy_without_locks(self, tx: Transaction) -> Outcome:
        """Copy the next page of the source into the spare one, and fault it in as any access does."""
        at = self.source_start + self.filled + self.copied
        return call(copy_from_user(mm=self.caller, vpn=at, to=self.spare + self.copied))

    @step
    def retry(self, tx: Transaction) -> Outcome:
        """The source cannot be read: EFAULT. Once all of it is there, begin anew with what we have."""
        if self.ret < 0:
            self.drop_spare(tx)
            if self.filled:
                wake_userfault(tx, self.uffd, self.start, self.filled)
            return done(short(self.filled, self.pages) if self.filled else -EFAULT)
        self.copied += 1
        return goto(mfill_atomic_hugetlb.copy_without_locks) if self.copied < HUGETLB_NR else None

    @step
    def uffd_mfill_lock(self, tx: Transaction) -> Outcome:
        """Look for the VMA again; if it is another one by now, or registered no longer, it is ENOENT."""
        if (wait := down_read(tx, "mmap_lock", self.mm)) is not None:
            return wait
        vma = vma_lookup(tx, self.mm, self.start)
        if vma is None or self.start + self.pages > vma.end or not vma.uffd or not is_vm_hugetlb_page(vma):
            self.drop_spare(tx)
            return self.leave(tx, -ENOENT)
        return goto(mfill_atomic_hugetlb.hugetlb_fault_mutex)

    @step
    def hugetlb_add_to_page_cache(self, tx: Transaction) -> Outcome:
        """Shared memory: the file gets the page, unless it ends before: EFAULT."""
        vma = self.vma(tx)
        if not vma.flags & VM_SHARED:
            return None
        index = self.index(vma)
        if index >= tx.files[vma.file].size // HUGETLB_NR:
            restore_reserve_on_error(tx, self.mm, vma, self.vpn, self.page)
            put_page(tx, self.page)
            self.holds = ()
            return self.fail_here(tx, -EFAULT)
        hugetlb_add_to_page_cache(tx, vma.file, index, self.page)
        folio_trylock(tx, self.page)
        self.cached = True
        return None

    @step
    def set_huge_pte_at(self, tx: Transaction) -> Outcome:
        """Under the lock: map it, dirty, and writable where the VMA is. UFFDIO_CONTINUE maps privately read-only.

        Whatever is mapped there already stays: EEXIST.
        """
        if (wait := pte_lock(tx, self.mm, self.vpn)) is not None:
            return wait
        vma = self.vma(tx)
        there = tx.tables.get((self.mm, PMD, self.vpn >> TABLE_SHIFT))
        if there is not None and there.kind != "marker":
            if self.cached:
                folio_unlock(tx, self.page)
            else:
                restore_reserve_on_error(tx, self.mm, vma, self.vpn, self.page)
            put_page(tx, self.page)
            self.holds = ()
            return self.fail_here(tx, -EEXIST)
        if self.cached:
            hugetlb_add_rmap(tx, self.page)
            folio_unlock(tx, self.page)
        else:
            hugetlb_add_new_anon_rmap(tx, self.page, vma, self.vpn)
        read_only = self.wp or (self.fill == "continue" and not vma.flags & VM_SHARED)
        entry = make_huge_pte(vma, self.page, try_mkwrite=not read_only).with_bits(PAGE_DIRTY)
        if self.wp:
            entry = entry.with_bits(PAGE_UFFD_WP)
        set_huge_pmd(tx, self.mm, self.vpn, entry)
        self.holds, self.page, self.cached = (), -1, False
        return self.next(tx)

    def next(self, tx: Transaction) -> Outcome:
        """This huge page is done: on to the next."""
        self.unlock(tx)
        self.filled += HUGETLB_NR
        return self.leave(tx, 0) if self.filled == self.pages else goto(mfill_atomic_hugetlb.hugetlb_fault_mutex)

    def drop_spare(self, tx: Transaction) -> None:
        """The spare huge page goes back to the pool."""
        if self.spare >= 0:
            put_page(tx, self.spare)
            self.holds = tuple(pfn for pfn in self.holds if pfn != self.spare)
            self.spare = -1

    def unlock(self, tx: Transaction) -> None:
        """Give the lock of the VMA and the fault mutex back."""
        up_read_vma(tx, self.mm, self.vma(tx))
        up_write(tx, "hugetlb_fault_mutex", self.mutex(tx))

    def fail_here(self, tx: Transaction, error: int) -> Outcome:
        """This page cannot be had."""
        self.drop_spare(tx)
        self.unlock(tx)
        return self.leave(tx, error)

    def leave(self, tx: Transaction, error: int) -> Outcome:
        """Unlock, wake whoever waits for a page that has come, and say whether all have, or why none has."""
        up_read(tx, "mmap_lock", self.mm)
        if self.filled:
            wake_userfault(tx, self.uffd, self.start, self.filled)
        return done(short(self.filled, self.pages) if self.filled else error)
