"""get_user_pages_fast: walk the page tables without any lock, as the hardware does.

It never looks at a VMA. What protects it is the order of three steps: read the entry, take the reference unless the
count is 0, read the entry again. Whoever wants the page back clears the entry first and looks at the count
afterwards, so one of the two notices the other - as long as the owner of the page looks at the count at all.
"""

from typing import ClassVar

from model.engine.config import fact, setting
from model.engine.mends import mended
from model.engine.procedure import Outcome, Procedure, call, done, fail, goto, hand_over, step, walks
from model.engine.splat import page_fault_oops
from model.kernel.arch.pgtable import PMD, PTRS_PER_TABLE, TABLE_SHIFT, TASK_SIZE, has_pmd_special, is_zero_pfn
from model.kernel.arch.rcu import local_irq_enable
from model.kernel.arch.shared_table import is_shared, pmd_table
from model.kernel.arch.table_walk import entry_under_walk, pmd_under_walk
from model.kernel.mm.gup import gup_must_unshare
from model.kernel.mm.gup_longterm import gup_slow
from model.kernel.mm.page import try_get_page
from model.kernel.mm.physical import pfn_valid
from model.kernel.mm.pin import gup_put, try_pin_page
from model.memory.errno import EFAULT
from model.memory.flags import (
    FOLL_FAST_ONLY,
    FOLL_LONGTERM,
    FOLL_PIN,
    FOLL_TOUCH,
    FOLL_WRITE,
    PAGE_DEVMAP,
    PAGE_PRESENT,
    PAGE_USER,
    PG_CMA,
    PG_HUGETLB,
)
from model.memory.folio import folio_of
from model.memory.records import Frame, Pte
from model.memory.state import Transaction
from model.memory.units import Pfn


def pte_access_permitted(pte: Pte, foll: int) -> bool:
    """Present, a user page, and writable for a write: all that GUP-fast asks of an entry (arch/x86)."""
    allowed = pte.kind == "page" and pte.bits & PAGE_PRESENT and pte.bits & PAGE_USER
    return bool(allowed) and (pte.writable or not foll & FOLL_WRITE)


def gup_fast_folio_allowed(tx: Transaction, frame: Frame, foll: int) -> bool:
    """What the fast path must leave to the slow one, seen from the page alone (mm/gup.c, 6.12 and newer).

    A page without a mapping is a driver's, or has been truncated. 6.10 to 6.18 cannot tell that it is not secret; later
    kernels know that a secret page always has one.
    """
    if frame.kind == "anon" or frame.flags & PG_HUGETLB:
        return True
    file = tx.files.get(frame.mapping) if frame.kind in ("file", "dax") else None
    long_term_write = FOLL_PIN | FOLL_LONGTERM | FOLL_WRITE
    refuses = fact(tx, "long-term pin needs no dirty tracking") and mended(tx, "longterm-fast-files")
    reject_file_backed = foll & long_term_write == long_term_write and refuses
    if file is None:
        return not reject_file_backed and not fact(tx, "GUP-fast wants a page's mapping")
    if file.kind == "secretmem":
        return not mended(tx, "secretmem-off-lru")
    # Only shmem keeps no account of dirty pages.
    return not reject_file_backed or file.kind in ("memfd", "shmem")


def pte_unchanged(tx: Transaction, mm: str, vpn: int, pmd: Pte, pte: Pte) -> bool:
    """Whether an entry still says what was read first, in the table to which the walk came through the PMD entry."""
    return pte == entry_under_walk(tx, mm, vpn, pmd)


class gup_fast(Procedure):
    """The lockless walk. Returns how many pages it got before it met something it must leave to the slow path."""

    source: ClassVar[str] = (
        "mm/gup.c: gup_fast, gup_fast_pte_range (6.1: lockless_pages_from_mm, gup_pte_range, gup_huge_pmd)"
    )
    mm: str
    vpn: int
    pages: int
    foll: int
    seq: int = 0
    """write_protect_seq as it was at the start."""
    pmd: Pte | None = None
    pte: Pte | None = None
    """The entries as they were read. The first says in which table page the walk stands."""
    table: Pfn | None = None
    """The table that the PMD entry stands in, if that was a shared one when the PUD entry was read."""

    def stands_in(self) -> Pfn | None:
        """The page of the table that the walk is in, from then on until it goes on or ends."""
        if self.positions["read_shared_pmd"] <= self.pc <= self.positions["recheck_pmd"]:
            return self.table
        inside = self.positions["read_pte"] <= self.pc <= self.positions["recheck_pte"]
        return self.pmd.pfn if inside and self.pmd is not None and not self.pmd.huge else None

    @step
    def read_write_protect_seq(self, tx: Transaction) -> Outcome:
        """For a pin: read the mm's write_protect_seq. If it is odd a fork is write-protecting right now: leave it."""
        if self.foll & FOLL_PIN:
            self.seq = tx.processes[self.mm].write_protect_seq
            if self.seq % 2 and mended(tx, "write-protect-seq"):
                return done(0)
        return None

    @step
    def disable_interrupts(self, tx: Transaction) -> None:
        """Interrupts off on this CPU. Nobody frees a page table under us now: that takes our answer to an IPI first.

        This protects the *tables*. It does nothing for the pages they point at.
        """
        tx.cpus.update(tx.task.cpu, irqs_off_by=tx.task_name)

    @step
    @walks(PMD)
    def walk_to_pmd(self, tx: Transaction) -> Outcome:
        """Read the PGD, PUD and PMD entries, without locks. A missing table ends the fast path."""
        self.table = None
        if not self.pages:
            return goto(gup_fast.enable_interrupts)
        self.pmd = tx.tables.get((self.mm, PMD, self.vpn >> TABLE_SHIFT))
        if self.pmd is None:
            return goto(gup_fast.enable_interrupts)
        if not self.pmd.huge:
            return None
        if not is_shared(tx, self.mm, self.vpn):
            return goto(gup_fast.gup_fast_pmd_leaf)
        self.table = pmd_table(tx, self.mm, self.vpn)
        return goto(gup_fast.read_shared_pmd)

    @step
    @walks(0)
    def read_pte(self, tx: Transaction) -> Outcome:
        """Read the entry once, without any lock. From here on it may change at any moment.

        Not present, PROT_NONE, not writable for a write, or *special*: leave it. The special bit is all that keeps
        this path away from pages that must not be referenced; it cannot see the VMA. So an architecture without such a
        bit leaves every PTE to the slow path: gup_pte_range() is a stub there.
        """
        if setting(tx, "pte-special") == "off":
            return goto(gup_fast.enable_interrupts)
        assert self.pmd is not None
        self.pte = entry_under_walk(tx, self.mm, self.vpn, self.pmd)
        if self.pte is None or not pte_access_permitted(self.pte, self.foll) or self.off_limits(self.pte):
            return goto(gup_fast.enable_interrupts)
        return None

    def off_limits(self, pte: Pte) -> bool:
        """Special - but storage (devmap, up to 6.12) may be taken, only not for long."""
        return bool(self.foll & FOLL_LONGTERM) if pte.bits & PAGE_DEVMAP else pte.special

    @step
    def try_grab_folio_fast(self, tx: Transaction) -> Outcome:
        """Take a reference on the frame that the entry named - unless its count is 0, for then it is free or frozen.

        The frame may have changed owners since the entry was read. Then this reference is on a stranger's page, for a
        moment, and the next step finds out.
        """
        assert self.pte is not None
        pfn = self.pte.pfn
        if self.foll & FOLL_LONGTERM and folio_of(tx, pfn).flags & PG_CMA:
            return goto(gup_fast.enable_interrupts)
        if self.foll & FOLL_PIN:
            counted = not (is_zero_pfn(pfn) and fact(tx, "zero page is never pinned"))
            if counted and not try_pin_page(tx, pfn):
                return goto(gup_fast.enable_interrupts)
        elif not try_get_page(tx, pfn):
            return goto(gup_fast.enable_interrupts)
        self.keep((pfn,))
        return None

    @property
    def pinned(self) -> bool:
        """The references are pins."""
        return bool(self.foll & FOLL_PIN)

    def keep(self, pages: tuple[Pfn, ...]) -> None:
        """Note that the references on these pages are ours."""
        if self.pinned:
            self.pins += pages
        else:
            self.holds += pages

    def give_back(self, tx: Transaction, pages: tuple[Pfn, ...]) -> None:
        """Drop the references that were taken last."""
        gup_put(tx, pages, pinned=self.pinned)
        if self.pinned:
            self.pins = self.pins[: -len(pages)]
        else:
            self.holds = self.holds[: -len(pages)]

    @step
    def recheck_pte(self, tx: Transaction) -> Outcome:
        """Read PMD and PTE again. Changed: give the reference back. Unchanged: the page was mapped when we took it.

        As it was before 70cbc3cc78a9, nobody looks at the PMD: a collapse may have taken the table out before.

        As it was before 65291dcfcf89, a secret page is known by being on an LRU list. A fresh one is not: it waits in a
        batch of its CPU. (Here it waits there for good.)

        As it was before a6e79df92e4a, a long-term pin may write to any file's page that it finds here.
        """
        assert self.pte is not None
        assert self.pmd is not None
        same = pte_unchanged(tx, self.mm, self.vpn, self.pmd, self.pte)
        if same and self.is_hooked(tx) and self.may_keep(tx, self.pte.pfn):
            self.vpn, self.pages = self.vpn + 1, self.pages - 1
            return goto(gup_fast.walk_to_pmd)
        self.give_back(tx, (self.pte.pfn,))
        return goto(gup_fast.enable_interrupts)

    def is_hooked(self, tx: Transaction) -> bool:
        """Whether the PMD still says what it said when the walk went through it."""
        return self.pmd_now(tx) == self.pmd or not mended(tx, "gup-fast-pmd")

    def pmd_now(self, tx: Transaction) -> Pte | None:
        """The PMD entry, read again where it was read first: in a table that may have been given up since."""
        if self.table is not None:
            return pmd_under_walk(tx, self.mm, self.vpn, self.table)
        return tx.base.tables.get((self.mm, PMD, self.vpn >> TABLE_SHIFT))

    @step
    @walks(PMD)
    def read_shared_pmd(self, tx: Transaction) -> Outcome:
        """The PUD led to a table of hugetlb that others have as well: read the entry there.

        Who gives such a table up does not free it. It is somebody else's then, who may put anything into it.
        """
        assert self.table is not None
        self.pmd = pmd_under_walk(tx, self.mm, self.vpn, self.table)
        if self.pmd is None:
            return goto(gup_fast.enable_interrupts)
        return goto(gup_fast.gup_fast_pmd_leaf if self.pmd.huge else gup_fast.read_pte)

    def may_keep_huge(self, tx: Transaction) -> bool:
        """As for a small entry. The mark of the head goes for all pages; a driver's block is nobody's folio."""
        assert self.pmd is not None
        frame = folio_of(tx, self.pmd.pfn)
        if not frame.large:
            return True
        if not gup_fast_folio_allowed(tx, frame, self.foll):
            return False
        return self.pmd.writable or not gup_must_unshare(tx, None, self.foll, self.pmd.pfn)

    def may_keep(self, tx: Transaction, pfn: int) -> bool:
        """Not a page that the slow path must look at: secret memory, dirty tracking, a shared page to be unshared."""
        assert self.pte is not None
        if not gup_fast_folio_allowed(tx, folio_of(tx, pfn), self.foll):
            return False
        return self.pte.writable or not gup_must_unshare(tx, None, self.foll, pfn)

    @step
    def gup_fast_pmd_leaf(self, tx: Transaction) -> Outcome:
        """A huge entry: present, user, writable for a write - and, where a PMD has such a bit, not special.

        Before 6.12 there is no special bit at this level, and no VMA is looked at: a PFN mapping of 2 MiB passes for
        a huge page. Nor is it asked whether there is a struct page: video memory has none.
        """
        assert self.pmd is not None
        refused = self.pmd.special and has_pmd_special(tx)
        if not pte_access_permitted(self.pmd, self.foll) or refused:
            return goto(gup_fast.enable_interrupts)
        return None

    @step
    def grab_huge(self, tx: Transaction) -> Outcome:
        """All references in one go, on the folio of the first page that is wanted, unless its count is 0.

        For a real huge page that is right: its pages share one count. In a driver's block every page has its own, and
        those behind the first are handed out without a reference. Where there is no struct page at all, reading its
        count is a page fault in the kernel.
        """
        first, wanted = self.huge_pages()
        if not pfn_valid(first):
            page_fault_oops(tx, first)
            return None
        if self.foll & FOLL_LONGTERM and folio_of(tx, first).flags & PG_CMA:
            return goto(gup_fast.enable_interrupts)
        if not (try_pin_page(tx, first, wanted) if self.pinned else try_get_page(tx, first, wanted)):
            return goto(gup_fast.enable_interrupts)
        self.keep(tuple(range(first, first + wanted)))
        return None

    def huge_pages(self) -> tuple[int, int]:
        """The first pfn that is wanted of a huge entry, and how many."""
        assert self.pmd is not None
        into = self.vpn % PTRS_PER_TABLE
        return self.pmd.pfn + into, min(self.pages, PTRS_PER_TABLE - into)

    @step
    def recheck_pmd(self, tx: Transaction) -> Outcome:
        """Read the PMD again. Changed: give all references back. So with a page that the slow path must look at."""
        first, wanted = self.huge_pages()
        if self.pmd == self.pmd_now(tx) and self.may_keep_huge(tx):
            self.vpn, self.pages = self.vpn + wanted, self.pages - wanted
            return goto(gup_fast.walk_to_pmd)
        self.give_back(tx, (first,) * wanted)
        return None

    @step
    def enable_interrupts(self, tx: Transaction) -> None:
        """Interrupts on again: an IPI that was waiting for this CPU gets its answer now."""
        local_irq_enable(tx)

    @step
    def recheck_write_protect_seq(self, tx: Transaction) -> Outcome:
        """For a pin: if a fork began meanwhile, it may have missed our pins. Give them all back: fork wins.

        As it was before 57efa1fe5957, nobody looks: fork has seen no pin, and shares a page that is pinned by now.
        """
        pages, pinned = (self.pins, True) if self.foll & FOLL_PIN else (self.holds, False)
        self.holds = self.pins = ()
        if pinned and tx.processes[self.mm].write_protect_seq != self.seq and mended(tx, "write-protect-seq"):
            gup_put(tx, pages, pinned=True)
            return done(0)
        return hand_over(len(pages), pages, pinned=pinned)


class get_user_pages_fast(Procedure):
    """The fast path for as long as it goes, the slow path for the rest. Returns pages got, handed over, or an errno."""

    source: ClassVar[str] = "mm/gup.c: gup_fast_fallback (6.1: internal_get_user_pages_fast)"
    mm: str
    vpn: int
    pages: int
    foll: int

    @step
    def try_fast(self, tx: Transaction) -> Outcome:
        """A pin marks the mm first. Then walk without locks."""
        if self.vpn + self.pages > TASK_SIZE:
            return fail(EFAULT)
        if self.foll & FOLL_PIN and not tx.processes[self.mm].has_pinned:
            tx.processes.update(self.mm, has_pinned=True)
        return call(gup_fast(mm=self.mm, vpn=self.vpn, pages=self.pages, foll=self.foll))

    @step
    def fall_back(self, tx: Transaction) -> Outcome:
        """What the fast path did not get goes the slow way, under mmap_lock - unless the caller asked for fast only."""
        got = self.ret
        if got == self.pages or self.foll & FOLL_FAST_ONLY:
            return goto(get_user_pages_fast.hand_over)
        foll = self.foll | FOLL_TOUCH
        return call(gup_slow(self.mm, self.vpn + got, self.pages - got, foll))

    @step
    def hand_over(self, tx: Transaction) -> Outcome:
        """All pages got by either way; if there are none, the error of the slow one."""
        pages, pinned = (self.pins, True) if self.foll & FOLL_PIN else (self.holds, False)
        if not pages:
            return done(self.ret)
        self.holds = self.pins = ()
        return hand_over(len(pages), pages, pinned=pinned)
