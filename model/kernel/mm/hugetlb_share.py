"""Processes that map the same GiB of a hugetlb file share the table of its huge entries (mm/hugetlb.c).

It saves a page of table for each of them, and a fault for each page that another one has touched. The price: who wants
to change anything in his entries alone has to let go of the table first, with all that stands in it, and then he has to
see to it that nobody is still inside: the table goes on as somebody else's.

All three kernels have the mends of 2025 and early 2026 (`hugetlb_split`, `tlb_flush_unshared_tables`), and count who
shares in a field of its own (`pt_share_count`), not in the refcount of the table's page.
"""

from typing import ClassVar

from model.engine.lock import down_read, down_write, up_read, up_write
from model.engine.mends import mended
from model.engine.procedure import Blocked, Outcome, Procedure, call, done, fail, step
from model.kernel.arch.pgtable import PAGE_TABLE, PGD, PUD, pte_alloc
from model.kernel.arch.shared_table import PUD_PAGES, PUD_SHIFT, is_shared, share_table, unshare_table
from model.kernel.arch.tlb import flush_tlb_range, sync_waits_for, tlb_drop, tlb_remove_table_sync_one
from model.kernel.mm.hugetlb_zap import VMA_LOCK, has_vma_lock, held_by_us
from model.kernel.mm.page_alloc import alloc_page
from model.kernel.mm.vma import linked_vma
from model.memory.errno import ENOMEM
from model.memory.flags import VM_HUGETLB, VM_LOCKED_MASK, VM_MAYSHARE, VM_UFFD_MINOR, VM_UFFD_WP
from model.memory.records import Pte, Vma
from model.memory.state import Transaction
from model.memory.tasks import FlushOwed


def want_pmd_share(vma: Vma, vpn: int) -> bool:
    """Whether the table above `vpn` may be shared: a shared mapping has all of the GiB that it covers.

    Not where userfaultfd answers for each process by itself (uffd_disable_huge_pmd_share).
    """
    if vma.flags & (VM_UFFD_WP | VM_UFFD_MINOR):
        return False
    start = vpn >> PUD_SHIFT << PUD_SHIFT
    return bool(vma.flags & VM_MAYSHARE) and vma.start <= start and start + PUD_PAGES <= vma.end


def page_table_shareable(svma: Vma, vma: Vma, vpn: int) -> int | None:
    """Where another VMA has what stands at `vpn`, if its table there can be shared; None if not.

    It must have the same flags but for mlock(), and cover a whole table at the same alignment.
    """
    saddr = vpn - vma.start + vma.pgoff - svma.pgoff + svma.start
    same = (saddr - vpn) % PUD_PAGES == 0 and not (svma.flags ^ vma.flags) & ~VM_LOCKED_MASK
    return saddr if same and want_pmd_share(svma, saddr) else None


def huge_pte_alloc(mm: str, vma: Vma, vpn: int) -> Procedure:
    """The call that makes sure that there is a table for a huge entry; one that others have as well, if possible."""
    if want_pmd_share(vma, vpn):
        return huge_pmd_share(mm=mm, start=vma.start, vpn=vpn)
    return pte_alloc(mm=mm, vpn=vpn, lowest=PUD)


class huge_pmd_share(Procedure):
    """Hang in the table of huge entries that another mapping of the same GiB of the file has, or a new one."""

    source: ClassVar[str] = "mm/hugetlb.c: huge_pte_alloc, huge_pmd_share"
    mm: str
    start: int
    """Where the VMA starts."""
    vpn: int

    @step
    def pud_alloc(self, tx: Transaction) -> Outcome:
        """Make sure that there is a PUD table: its entry is what leads to a shared table, or to one of our own."""
        if (self.mm, PUD, self.vpn >> PUD_SHIFT) in tx.tables:
            return done()
        return call(pte_alloc(mm=self.mm, vpn=self.vpn, lowest=PGD))

    @step
    def pud_populate(self, tx: Transaction) -> Outcome:
        """Under i_mmap_rwsem, which nobody gives a table up without: look for a mapping whose table will do.

        The same GiB of the file, aligned alike, with the same rights. Then all that stands there is ours at once, and
        pt_share_count says one more; no page has a mapping more for that. If nobody has such a table, make one.
        """
        if self.ret < 0:
            return fail(ENOMEM)
        vma = linked_vma(tx, self.mm, self.start)
        if (wait := down_read(tx, "i_mmap_rwsem", vma.file)) is not None:
            return wait
        up_read(tx, "i_mmap_rwsem", vma.file)
        if (self.mm, PUD, self.vpn >> PUD_SHIFT) in tx.tables:
            return done()
        for mm, start in tx.files[vma.file].i_mmap:
            if (mm, start) == (self.mm, self.start):
                continue
            saddr = page_table_shareable(linked_vma(tx, mm, start), vma, self.vpn)
            if saddr is not None and (mm, PUD, saddr >> PUD_SHIFT) in tx.tables:
                share_table(tx, self.mm, self.vpn, mm, saddr)
                return done()
        table = alloc_page(tx, "pgtable", mapping=f"mm:{self.mm}", index=PUD - 1)
        if table is None:
            return fail(ENOMEM)
        tx.tables[self.mm, PUD, self.vpn >> PUD_SHIFT] = Pte(table, PAGE_TABLE)
        return done()


def lock_for_unshare(tx: Transaction, mm: str, vma: Vma) -> tuple[tuple[str, str], ...] | Blocked:
    """Take the locks of the VMA and of its file's mappings, those that are not ours; returns the ones taken."""
    taken = []
    for kind, owner, exists in ((VMA_LOCK, f"{mm}:{vma.start}", has_vma_lock(vma)), ("i_mmap_rwsem", vma.file, True)):
        if exists and not held_by_us(tx, kind, owner):
            if (wait := down_write(tx, kind, owner)) is not None:
                return wait
            taken.append((kind, owner))
    return tuple(taken)


def huge_pmd_unshare(
    tx: Transaction, mm: str, vma: Vma, vpn: int, flushed: tuple[int, int] | None = None
) -> "Blocked | huge_pmd_unshare_flush":
    """Give up the shared table above `vpn`; returns the call that sees to it that nobody is in it any more.

    `flushed`: what it flushes; all that the table covers unless given.

    Nothing in it is unmapped: it is still there for the others. To this process the GiB is empty, and faults bring the
    pages back.
    """
    taken = lock_for_unshare(tx, mm, vma)
    if isinstance(taken, Blocked):
        return taken
    last = unshare_table(tx, mm, vpn)
    first = vpn >> PUD_SHIFT << PUD_SHIFT
    start, end = flushed or (first, first + PUD_PAGES)
    return huge_pmd_unshare_flush(mm=mm, start=start, end=end, fully=last, taken=taken)


class huge_pmd_unshare_flush(Procedure):
    """The end of an unshare: the table is somebody else's now, and must not be used through us any more."""

    source: ClassVar[str] = "mm/hugetlb.c: huge_pmd_unshare_flush; include/asm-generic/tlb.h: tlb_flush_unshared_tables"
    mm: str
    start: int
    end: int
    fully: bool
    """It hangs in one place alone now, whose process may put anything into it."""
    taken: tuple[tuple[str, str], ...]
    """Locks to be given back."""

    def owes_flush(self) -> FlushOwed | None:
        """All that the table covers."""
        return None if self.pc else FlushOwed(self.mm, self.start, self.end)

    @step
    def tlb_flush_mmu_tlbonly(self, tx: Transaction) -> Outcome:
        """Before i_mmap_rwsem is given back: make every CPU forget what it knows from the table.

        Else who has the table could unmap and free a page in it, and would not flush us: we are no mapping of it.

        As it was before a4a118f2eead, nobody flushes.
        """
        if not mended(tx, "unshare-flush"):
            return None
        return call(flush_tlb_range(mm=self.mm, start=self.start, end=self.end))

    @step
    def tlb_remove_table_sync_one(self, tx: Transaction) -> Outcome:
        """If only one is left, wait until no walk without locks is inside: they may use the table for something else.

        As it was before 1013af4f585f, nobody waits.

        As it was before 8ce720d5bd91, one waits as well while several are left.
        """
        if (self.fully or not mended(tx, "unshare-gather")) and mended(tx, "unshare-sync"):
            return call(tlb_remove_table_sync_one(mm=self.mm))
        return None

    @step
    def i_mmap_unlock_write(self, tx: Transaction) -> Outcome:
        """Give the locks back."""
        for kind, owner in self.taken:
            up_write(tx, kind, owner)
        return done()


# -- what is told and waited for beforehand -----------------------------------------------------


def shareable_range(vma: Vma, start: int, end: int) -> tuple[int, int]:
    """A range and whatever goes with it if tables are given up: adjust_range_if_pmd_sharing_possible()."""
    first, last = -(-vma.start // PUD_PAGES) * PUD_PAGES, vma.end // PUD_PAGES * PUD_PAGES
    if not vma.flags & VM_HUGETLB or not vma.flags & VM_MAYSHARE or first >= last or end <= first or start >= last:
        return start, end
    return (
        start if start <= first else start // PUD_PAGES * PUD_PAGES,
        end if end >= last else -(-end // PUD_PAGES) * PUD_PAGES,
    )


# -- VMAs that are split ------------------------------------------------------------------------


def cuts_table(vma: Vma, at: int) -> bool:
    """Whether a cut at a page would go through what one table covers that may be shared."""
    return bool(vma.flags & VM_HUGETLB and at % PUD_PAGES) and vma.start < at < vma.end and want_pmd_share(vma, at)


def split_waits(tx: Transaction, mm: str, vma: Vma, start: int, end: int) -> Blocked | None:
    """What hugetlb_split() must wait for if it cuts at one of these pages: walks without locks in a shared table.

    The unsharing, the flush and the wait of a split are one step: whoever could use the table meanwhile needs a lock
    that is held.
    """
    if not vma.flags & VM_HUGETLB or not mended(tx, "unshare-sync") or not mended(tx, "unshare-in-split"):
        return None
    cut = any(cuts_table(vma, at) and is_shared(tx, mm, at) for at in (start, end))
    return sync_waits_for(tx) if cut else None


def hugetlb_split(tx: Transaction, mm: str, vma: Vma, at: int) -> None:
    """A VMA is cut at a page: a table that covers both sides cannot be shared any more (mm/hugetlb.c)."""
    if mended(tx, "unshare-in-split"):
        hugetlb_unshare_pmds(tx, mm, vma, at)


def may_split(tx: Transaction, mm: str, vma: Vma, start: int, end: int) -> bool:
    """As it was before 081056dc00a2: give tables up before the locks are taken that keep others from sharing them.

    Returns whether there is a table that the cut concerns, shared or not.
    """
    if not vma.flags & VM_HUGETLB or mended(tx, "unshare-in-split"):
        return False
    cuts = [at for at in (start, end) if cuts_table(vma, at)]
    for at in cuts:
        hugetlb_unshare_pmds(tx, mm, vma, at)
    return bool(cuts)


def hugetlb_unshare_pmds(tx: Transaction, mm: str, vma: Vma, at: int) -> None:
    """Give up the table above a page if it is shared, and make every CPU forget what it knows from it."""
    if not cuts_table(vma, at) or not is_shared(tx, mm, at):
        return
    unshare_table(tx, mm, at)
    start = at // PUD_PAGES * PUD_PAGES
    if mended(tx, "unshare-flush"):
        forget_table(tx, mm, start)


def hugetlb_unshare_all_pmds(tx: Transaction, mm: str, vma: Vma) -> None:
    """Give up every shared table of a VMA: userfaultfd will have its entries differ from everybody else's."""
    first, last = -(-vma.start // PUD_PAGES) * PUD_PAGES, vma.end // PUD_PAGES * PUD_PAGES
    for at in range(first, last, PUD_PAGES):
        if is_shared(tx, mm, at):
            unshare_table(tx, mm, at)
            forget_table(tx, mm, at)


def forget_table(tx: Transaction, mm: str, start: int) -> None:
    """Make every CPU forget what it knows of the GiB that begins at `start`."""
    for cpu in range(tx.counters["cpus"]):
        tlb_drop(tx, cpu, mm, start, start + PUD_PAGES)
