"""mremap() takes a whole page table to another place, instead of its 512 entries one by one."""

from typing import ClassVar

from model.engine.config import fact
from model.engine.lock import down_write, up_write
from model.engine.mends import mended
from model.engine.procedure import Outcome, Procedure, call, done, fail, step
from model.kernel.arch.pgtable import PMD, PTRS_PER_TABLE, PUD, TABLE_SHIFT, populated, pte_alloc
from model.kernel.arch.tlb import flush_tlb_range
from model.kernel.mm.huge_page import pmd_entry
from model.kernel.mm.vma import find_vma_intersection, vma_lookup
from model.memory.errno import ENOMEM
from model.memory.state import Memory, Transaction

NOT_MOVED = 1
"""What move_normal_pmd() returns if something is in its way: then the entries are moved one by one."""


def moves_as_a_whole(mem: Memory, mm: str, start: int, end: int, to: int, vpn: int) -> bool:
    """Whether the table above `vpn` may go as it is when [start, end) moves to `to`.

    All that it covers must be moved, between places that are aligned alike. Not what userfaultfd watches: at the new
    place its marks are forgotten, entry by entry. Before 5.1, when the order of the flush was wrong, no table moved.
    """
    first = vpn // PTRS_PER_TABLE * PTRS_PER_TABLE
    if (to - start) % PTRS_PER_TABLE or first + PTRS_PER_TABLE > end or not mended(mem, "mremap-flush"):
        return False
    if first < start and not can_realign(mem, mm, start, to):
        return False
    vma = vma_lookup(mem, mm, vpn)
    return vma is not None and not vma.uffd and pmd_entry(mem, mm, first + to - start) is None


def can_realign(mem: Memory, mm: str, start: int, to: int) -> bool:
    """Whether a table may go that covers more than the range: where nothing else is mapped (can_realign_addr)."""
    if not fact(mem, "mremap moves tables that begin before the range"):
        return False
    for at in (start, to):
        vma, first = vma_lookup(mem, mm, at), at // PTRS_PER_TABLE * PTRS_PER_TABLE
        if vma is None or vma.start != at or find_vma_intersection(mem, mm, first, at) is not None:
            return False
    return True


class move_normal_pmd(Procedure):
    """Take the table above one place to another; the caller holds mmap_lock for writing."""

    source: ClassVar[str] = "mm/mremap.c: move_pgt_entry, take_rmap_locks, move_normal_pmd"
    mm: str
    start: int
    """The first page that the table covers, and where that will be."""
    to: int
    file: str = ""
    """The file whose mappings are locked."""

    @step
    def alloc_new_pmd(self, tx: Transaction) -> Outcome:
        """Make sure that there is a place to hang it in."""
        return call(pte_alloc(mm=self.mm, vpn=self.to, lowest=PUD))

    @step
    def take_rmap_locks(self, tx: Transaction) -> Outcome:
        """Lock the reverse map: whoever looks for a page's entries could already be in the table.

        The lock of a PMD entry keeps nobody out who is one level below.

        As it was before 97113eb39fa7, the lock was taken only if the new VMA came before the old one in the reverse
        map; else, it was thought, whoever did not find an entry at the old place would find it at the new one.
        """
        if self.ret < 0:
            return fail(ENOMEM)
        vma = vma_lookup(tx, self.mm, self.start) or vma_lookup(tx, self.mm, self.start + PTRS_PER_TABLE - 1)
        if vma is None or not vma.file or not mended(tx, "mremap-rmap-lock"):
            return None
        if (wait := down_write(tx, "i_mmap_rwsem", vma.file)) is not None:
            return wait
        self.file = vma.file
        return None

    @step
    def pmd_populate(self, tx: Transaction) -> Outcome:
        """Clear the old PMD entry, hang the table in at the new place, and flush the old addresses.

        Not one of the entries is touched. If a collapse was faster there is no table to be moved.
        """
        old, new = self.start >> TABLE_SHIFT, self.to >> TABLE_SHIFT
        pmd = tx.tables.get((self.mm, PMD, old))
        self.ret = NOT_MOVED
        if pmd is None or pmd.huge or (self.mm, PMD, new) in tx.tables:
            return None
        self.ret = 0
        tx.tables[self.mm, PMD, new] = pmd
        del tx.tables[self.mm, PMD, old]
        for vpn in list(populated(tx, self.mm, self.start, self.start + PTRS_PER_TABLE)):
            # Entries are kept by address here: in the table itself they stay where they are.
            tx.ptes[self.mm, vpn + self.to - self.start] = tx.ptes[self.mm, vpn]
            del tx.ptes[self.mm, vpn]
        return call(flush_tlb_range(mm=self.mm, start=self.start, end=self.start + PTRS_PER_TABLE))

    @step
    def drop_rmap_locks(self, tx: Transaction) -> Outcome:
        """Unlock. From now on the reverse map finds the pages at the new place."""
        if self.file:
            up_write(tx, "i_mmap_rwsem", self.file)
        return done(max(self.ret, 0))
