"""Guard regions: pages that must not be touched, but need no VMA of their own (MADV_GUARD_INSTALL, since 6.13)."""

from typing import ClassVar, Final

from model.engine.procedure import Outcome, Procedure, call, done, fail, goto, step
from model.kernel.arch.pgtable import populated, pte_alloc, pte_lock, table_end, tables_exist
from model.kernel.mm.huge_page import huge_pmd
from model.kernel.mm.rmap import anon_vma_prepare
from model.kernel.mm.unmap import zap_page_range_single
from model.kernel.mm.vma import replace_vma, vma_is_anonymous, vma_lookup
from model.memory.errno import ENOMEM
from model.memory.flags import VM_MAYBE_GUARD
from model.memory.ordered import ceiling
from model.memory.record_base import replaced
from model.memory.records import Pte
from model.memory.state import Transaction

GUARD: Final = Pte(0, kind="marker")
"""PTE_MARKER_GUARD: an entry that is not empty and maps nothing."""


class madvise_guard_install(Procedure):
    """Put a guard marker into every entry of a range of one VMA. Whatever is mapped there is dropped."""

    source: ClassVar[str] = "mm/madvise.c: madvise_guard_install"
    mm: str
    start: int
    end: int
    at: int = 0
    """The part before it has its markers."""

    @step
    def vma_set_atomic_flag(self, tx: Transaction) -> Outcome:
        """Note in the VMA that it may hold guards: fork must copy its page tables. Nothing ever clears that flag."""
        vma = vma_lookup(tx, self.mm, self.start)
        assert vma is not None
        vma = replace_vma(tx, self.mm, vma, replaced(vma, flags=vma.flags | VM_MAYBE_GUARD))
        if vma_is_anonymous(vma):
            anon_vma_prepare(tx, self.mm, vma)
        self.at = self.start
        return None

    @step
    def pte_alloc(self, tx: Transaction) -> Outcome:
        """A marker is an entry, so it needs a page table to stand in, not a huge entry in its place."""
        if self.at >= self.end:
            return done()
        self.ret = 0
        if huge_pmd(tx, self.mm, self.at) is not None:
            return goto(madvise_guard_install.zap)
        return None if tables_exist(tx, self.mm, self.at) else call(pte_alloc(mm=self.mm, vpn=self.at))

    @step
    def install_ptes(self, tx: Transaction) -> Outcome:
        """Under one page table's lock: write a marker into every entry, unless a page is still mapped there."""
        if self.ret < 0:
            return fail(ENOMEM)
        if (wait := pte_lock(tx, self.mm, self.at)) is not None:
            return wait
        end = table_end(self.at, self.end)
        if huge_pmd(tx, self.mm, self.at) is not None:
            return None
        if any(tx.ptes[self.mm, vpn] != GUARD for vpn in populated(tx, self.mm, self.at, end)):
            return None
        for vpn in range(self.at, end):
            tx.ptes[self.mm, vpn] = GUARD
        self.at = end
        return goto(madvise_guard_install.pte_alloc)

    @step
    def zap(self, tx: Transaction) -> Outcome:
        """Drop the pages of the whole range, which leaves markers alone, and start over."""
        vma = vma_lookup(tx, self.mm, self.start)
        assert vma is not None
        self.at = self.start
        return call(
            zap_page_range_single(mm=self.mm, vmas=(vma,), start=self.start, end=self.end),
            then=madvise_guard_install.pte_alloc,
        )


class madvise_guard_remove(Procedure):
    """Take the guard markers of a range of one VMA away: its pages can be faulted in again, as zeros."""

    source: ClassVar[str] = "mm/madvise.c: madvise_guard_remove"
    mm: str
    start: int
    end: int

    @step
    def clear_ptes(self, tx: Transaction) -> Outcome:
        """Under one page table's lock: empty every entry that holds a marker. Pages stay."""
        vpn = ceiling(tx.pte_index, self.mm, self.start)
        if vpn is None or vpn >= self.end:
            return done()
        if (wait := pte_lock(tx, self.mm, vpn)) is not None:
            return wait
        self.start = table_end(vpn, self.end)
        for page in list(populated(tx, self.mm, vpn, self.start)):
            if tx.ptes[self.mm, page] == GUARD:
                del tx.ptes[self.mm, page]
        return goto(madvise_guard_remove.clear_ptes)
