"""What a page of 2 MiB costs beside one of 4 KiB: a fault, a fork, a split, a partial unmap, and 10,000 mappings."""

import gc
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Final, NamedTuple

from rich.console import Console
from rich.table import Table

from model.engine.procedure import Procedure, advance, begin
from model.kernel.arch.boot import boot
from model.kernel.arch.pgtable import PUD, TABLE_SHIFT, pte_alloc
from model.kernel.mm.huge_fault import alloc_deposit
from model.kernel.mm.huge_page import HPAGE_PMD_NR, HPAGE_PMD_ORDER, map_anon_folio_pmd
from model.kernel.mm.mm_alloc import mm_alloc
from model.kernel.mm.mmap import MAP_PRIVATE, do_mmap
from model.kernel.mm.page import folio_add_new_anon_rmap
from model.kernel.mm.page_alloc import alloc_folio, alloc_page
from model.kernel.mm.page_prot import maybe_mkwrite, mk_pte
from model.memory.flags import PAGE_ACCESSED, PAGE_DIRTY, VM_READ, VM_WRITE
from model.memory.state import State, Transaction
from model.script.parser import parse_line
from model.script.runner import Account, Runner
from model.script.scope import Scope

HUGE_MAPPINGS: Final = 10_000
MOST_HUGE_RATIO: Final = 2.0
"""Of a huge form to its small one, where the kernel does not go through 512 entries either."""
MOST_MAPPING_RATIO: Final = 2.0
"""Of the bytes of a huge mapping to those of a small one."""

MAPPED: Final = ("process p0", f"mmap p0 buf anon private rw {HPAGE_PMD_NR} at={HPAGE_PMD_NR}")
HUGE: Final = (*MAPPED, "madvise p0 buf hugepage")
TOUCH: Final = "write p0 buf 1"


class HugeForm(NamedTuple):
    """A command on small pages and on a huge one."""

    command: str
    touched: bool = True
    before: tuple[str, ...] = ()
    by_entry: bool = False
    """The kernel writes all 512 entries as well: __split_huge_pmd_locked()."""

    def scene(self, huge: bool) -> tuple[str, ...]:
        """What comes before it."""
        return (*(HUGE if huge else MAPPED), *((TOUCH,) if self.touched else ()), *self.before)


FORMS: Final = {
    "fault": HugeForm(TOUCH, touched=False),
    "fault, read": HugeForm("read p0 buf", touched=False),
    "fork": HugeForm("fork p0 p1"),
    "pin": HugeForm("gup p0 buf+0 as=r write pin"),
    "munmap, all": HugeForm("munmap p0 buf"),
    "munmap, a page": HugeForm("munmap p0 buf+0", by_entry=True),
    "dontneed, a page": HugeForm("madvise p0 buf+0 dontneed", by_entry=True),
    "split by mprotect": HugeForm("mprotect p0 buf+0 r", by_entry=True),
    "copy-on-write": HugeForm("write p0 buf 2", before=("fork p0 p1",), by_entry=True),
}


class HugeCost(NamedTuple):
    """What a command costs."""

    steps: int
    changes: int
    """Records that differ afterwards."""
    us: float
    """CPU time of the whole command with the invariants, microseconds; the least of several runs."""


def perform(runner: Runner, line: str) -> Account:
    """Carry out a command; it must not fail."""
    command = parse_line(line, Scope.of(runner.context.state))
    assert command is not None
    account = runner.perform(command)
    assert account.outcome.status == "ok", (line, account.outcome)
    return account


def cost(form: HugeForm, *, huge: bool, rounds: int) -> HugeCost:
    """The least of several runs on copies of the same machine."""
    runner, least = Runner(), float("inf")
    for line in form.scene(huge):
        perform(runner, line)
    for _ in range(rounds):
        copy = runner.copy()
        started = time.process_time_ns()
        account = perform(copy, form.command)
        least = min(least, (time.process_time_ns() - started) / 1000)
    return HugeCost(len(account.steps), len(account.changes), least)


def huge_report(rounds: int) -> tuple[Table, float]:
    """Each form beside its small one; the worst ratio of time among those that the kernel does at one stroke."""
    table = Table(title="A command on a page of 4 KiB, and on one of 2 MiB: the least CPU time, with the invariants")
    for heading in ("", "steps", "", "records", "", "µs", "", "ratio", "entries"):
        table.add_column(heading, justify="right" if heading not in {"", "entries"} else "left")
    worst = 0.0
    for name, form in FORMS.items():
        small, huge = cost(form, huge=False, rounds=rounds), cost(form, huge=True, rounds=rounds)
        ratio = huge.us / small.us
        worst = worst if form.by_entry else max(worst, ratio)
        pairs = zip(small, huge, strict=True)
        figures = (f"{figure:,.0f}" for pair in pairs for figure in pair)
        table.add_row(name, *figures, f"{ratio:.1f}", "512, as in the kernel" if form.by_entry else "")
    return table, worst


# -- memory -----------------------------------------------------------------------------------


def after(state: State, procedure: Procedure) -> State:
    """The State after a task of p0; it must not fail."""
    state = begin(state, "main", procedure, "p0", 0)
    while "main" in state.tasks:
        state = advance(state, "main").state
    return state


def mappings(number: int, *, huge: bool) -> State:
    """So many mappings of p0, each of 2 MiB by one entry, or of 4 KiB, the first page of 2 MiB each."""
    pages = number * HPAGE_PMD_NR
    state = after(boot(memory=2 * pages + 8192), mm_alloc(mm="p0"))
    state = after(state, do_mmap(mm="p0", pages=pages, prot=VM_READ | VM_WRITE, flags=MAP_PRIVATE, at=HPAGE_PMD_NR))
    ((_, start),) = state.vmas
    map_one = map_huge if huge else map_small
    for vpn in range(start, start + pages, HPAGE_PMD_NR):
        state = after(state, pte_alloc(mm="p0", vpn=vpn, lowest=PUD) if huge else pte_alloc(mm="p0", vpn=vpn))
        tx = Transaction(state)
        map_one(tx, start, vpn)
        state = tx.commit()[0]
    return state


def map_huge(tx: Transaction, start: int, vpn: int) -> None:
    """What a write fault does where MADV_HUGEPAGE is set."""
    head, table = alloc_folio(tx, HPAGE_PMD_ORDER, "anon"), alloc_deposit(tx, "p0")
    assert head is not None
    assert table is not None
    tx.deposits["p0", vpn >> TABLE_SHIFT] = table
    map_anon_folio_pmd(tx, "p0", tx.vmas["p0", start], vpn, head)


def map_small(tx: Transaction, start: int, vpn: int) -> None:
    """What a write fault does without."""
    vma, pfn = tx.vmas["p0", start], alloc_page(tx, "anon")
    assert pfn is not None
    folio_add_new_anon_rmap(tx, pfn, vma, vpn)
    tx.ptes["p0", vpn] = maybe_mkwrite(mk_pte(pfn, vma).with_bits(PAGE_ACCESSED | PAGE_DIRTY), vma)


def resident_bytes() -> int:
    """Resident memory of this process: tracemalloc would not see the maps, which are not Python's."""
    return int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1]) * 4096


def bytes_per_mapping(number: int) -> tuple[float, float]:
    """What each of so many mappings takes: small, huge. Both machines are kept: neither fills the gaps of the other.

    To be called in a fresh process: in an old one the machines go where others have been, and take nothing.
    """
    kept, taken = [], []
    for huge in (False, True):
        gc.collect()
        before = resident_bytes()
        kept.append(mappings(number, huge=huge))
        gc.collect()
        taken.append((resident_bytes() - before) / number)
    small, huge_bytes = taken
    return small, huge_bytes


def report(console: Console, rounds: int) -> bool:
    """Measure, and print it beside the targets; whether all are met."""
    table, worst = huge_report(rounds)
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as fresh:
        small, huge = fresh.submit(bytes_per_mapping, HUGE_MAPPINGS).result()
    console.print(table)
    fast, slim = worst <= MOST_HUGE_RATIO, huge <= MOST_MAPPING_RATIO * small
    console.print(
        f"2 MiB at one stroke: at most {worst:.2f} times 4 KiB; target {MOST_HUGE_RATIO}: {'met' if fast else 'MISSED'}"
    )
    console.print(
        f"{HUGE_MAPPINGS:,} huge mappings: {huge:,.0f} bytes each, small ones {small:,.0f}; target at most "
        f"{MOST_MAPPING_RATIO} times: {'met' if slim else 'MISSED'}"
    )
    return fast and slim
