"""What a micro-step costs on a large machine, next to a small one: `python benchmarks/steps.py`.

The same system calls run to their end on a machine with 100 mapped pages and on one with 1 000 000, in turns, with the
invariants checked after every micro-step as the app does it. Then memory: what one more kept state costs. Then
huge pages beside small ones. Exit status 1 if a target is missed.
"""

import argparse
import gc
import random
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks import huge_pages
from model.engine.procedure import Procedure, Stepped, advance, begin
from model.invariants.checker import Checker
from model.kernel.arch.access import cpu_load, cpu_store
from model.kernel.arch.boot import boot
from model.kernel.arch.pgtable import PTRS_PER_TABLE, pte_alloc
from model.kernel.mm.madvise import do_madvise
from model.kernel.mm.mm_alloc import mm_alloc
from model.kernel.mm.mmap import MAP_PRIVATE, do_mmap
from model.kernel.mm.munmap import do_munmap
from model.kernel.mm.page import folio_add_new_anon_rmap
from model.kernel.mm.page_alloc import alloc_page
from model.kernel.mm.page_prot import maybe_mkwrite, mk_pte
from model.kernel.mm.reference import take_reference
from model.memory.flags import FOLL_GET, FOLL_PIN, FOLL_WRITE, PAGE_ACCESSED, PAGE_DIRTY, VM_READ, VM_WRITE
from model.memory.state import State, Transaction
from model.session.session import Session

SMALL: Final = 100
LARGE: Final = 1_000_000
HUGE: Final = 16
UNTOUCHED: Final = 64
"""Pages behind the mapped ones that nobody has touched yet: for the page faults."""
MOST_RATIO: Final = 1.5
MOST_BYTES: Final = 4096


# -- machines ---------------------------------------------------------------------------------


def run(state: State, procedure: Procedure) -> Iterator[Stepped]:
    """Run a task of p0 to its end."""
    state = begin(state, "main", procedure, "p0", 0)
    while True:
        stepped = advance(state, "main")
        yield stepped
        if stepped.result is not None:
            return
        state = stepped.state


def after(state: State, procedure: Procedure) -> State:
    """The State after a task of p0; it must not fail."""
    *_, last = run(state, procedure)
    assert last.result is not None
    assert last.result.ok, (procedure, last.result)
    return last.state


class Machine(NamedTuple):
    """A machine whose process p0 has one writable private mapping, all but its last pages touched."""

    state: State
    checker: Checker
    start: int
    pages: int
    huge: int
    """Where a mapping of HUGE pages of 2 MiB begins, none of which is touched."""


def machine(pages: int) -> Machine:
    """Map and touch `pages` pages. The kernel's own helpers do it, but 512 pages a transaction, for speed."""
    memory = 2 * pages + 4096 + HUGE * PTRS_PER_TABLE
    state = after(boot(memory=memory, settings={"hugetlb": str(HUGE)}), mm_alloc(mm="p0"))
    state = after(state, do_mmap(mm="p0", pages=pages + UNTOUCHED, prot=VM_READ | VM_WRITE, flags=MAP_PRIVATE))
    ((_, start),) = state.vmas
    huge = do_mmap(mm="p0", pages=HUGE * PTRS_PER_TABLE, prot=VM_READ | VM_WRITE, flags=MAP_PRIVATE, backing="hugetlb")
    state = after(state, huge)
    state = after(state, cpu_store(mm="p0", vpn=start, value=1))
    vpn, end = start + 1, start + pages
    while vpn < end:
        state = after(state, pte_alloc(mm="p0", vpn=vpn))
        table_end = vpn - vpn % PTRS_PER_TABLE + PTRS_PER_TABLE
        state = touched(state, start, range(vpn, min(table_end, end)))
        vpn = table_end
    hash(state)  # as the timeline does with every state that it keeps
    return Machine(state, Checker.full(state), start, pages, max(begins for _, begins in state.vmas))


def touched(state: State, start: int, vpns: range) -> State:
    """The State after a write to each of the pages, all of which lie under one page table."""
    tx = Transaction(state)
    vma = tx.vmas["p0", start]
    for vpn in vpns:
        pfn = alloc_page(tx, "anon")
        assert pfn is not None
        folio_add_new_anon_rmap(tx, pfn, vma, vpn)
        tx.ptes["p0", vpn] = maybe_mkwrite(mk_pte(pfn, vma).with_bits(PAGE_ACCESSED | PAGE_DIRTY), vma)
    return tx.commit()[0]


# -- time -------------------------------------------------------------------------------------


Action = Callable[[int], Procedure]
"""A system call or an access, for a page of its own."""

MAPPED: Final[dict[str, Action]] = {
    "read": lambda vpn: cpu_load(mm="p0", vpn=vpn),
    "write": lambda vpn: cpu_store(mm="p0", vpn=vpn, value=7),
    "pin, fast": lambda vpn: take_reference(name="r", mm="p0", start=vpn, pages=1, foll=FOLL_PIN | FOLL_WRITE),
    "get, slow": lambda vpn: take_reference(name="r", mm="p0", start=vpn, pages=1, foll=FOLL_GET, how="slow"),
    "dontneed": lambda vpn: do_madvise(mm="p0", start=vpn, pages=1, advice="dontneed"),
    "munmap": lambda vpn: do_munmap(mm="p0", start=vpn, pages=1),
}
"""On a page that is there."""
UNMAPPED: Final[dict[str, Action]] = {"fault": lambda vpn: cpu_store(mm="p0", vpn=vpn, value=7)}
"""On a page that is not there yet."""
HUGETLB: Final[dict[str, Action]] = {"fault, hugetlb": lambda vpn: cpu_store(mm="p0", vpn=vpn, value=7)}
"""On a page of 2 MiB that is not there yet."""


class Timing(NamedTuple):
    """What an action costs on one machine."""

    steps: int
    step_us: float
    """CPU time of one micro-step, microseconds."""
    checked_us: float
    """The same with the invariants checked after it."""


def timed(on: Machine, action: Action, vpn: int) -> Timing:
    """Run an action to its end, twice: without and with the invariants."""
    begun = time.process_time_ns()
    steps = sum(1 for _ in run(on.state, action(vpn)))
    stepped = time.process_time_ns()
    before = begin(on.state, "main", action(vpn), "p0", 0)
    checker = on.checker.follow(before, ())
    start = time.process_time_ns()
    while "main" in before.tasks:
        done = advance(before, "main")
        checker, _ = checker.advance(before, done)
        before = done.state
    end = time.process_time_ns()
    return Timing(steps, (stepped - begun) / steps / 1000, (end - start) / steps / 1000)


class Compared(NamedTuple):
    """One action on both machines."""

    name: str
    small: Timing
    large: Timing


def compare(small: Machine, large: Machine, rounds: int) -> Iterator[Compared]:
    """Every action on random pages of both machines in turns; medians."""
    dice = random.Random(1)
    for name, action in (MAPPED | UNMAPPED | HUGETLB).items():
        timings: tuple[list[Timing], list[Timing]] = ([], [])
        for _ in range(rounds):
            for on, into in zip((small, large), timings, strict=True):
                into.append(timed(on, action, dice.choice(places(on, name))))
        yield Compared(name, *(Timing(*map(median, zip(*of, strict=True))) for of in timings))


def places(on: Machine, name: str) -> range:
    """The virtual pages of a machine on which an action is tried."""
    if name in HUGETLB:
        return range(on.huge, on.huge + HUGE * PTRS_PER_TABLE)
    touched_end = on.start + on.pages
    return range(on.start, touched_end) if name in MAPPED else range(touched_end, touched_end + UNTOUCHED)


def time_report(compared: list[Compared], pages: int) -> tuple[Table, float]:
    """The comparison as a table, and the worst ratio in it."""
    table = Table(title=f"CPU time of a micro-step, µs: {SMALL} mapped pages against {pages:,}")
    table.add_column("")
    for heading in ("steps", "alone", "", "ratio", "with invariants", "", "ratio"):
        table.add_column(heading, justify="right")
    for name, small, large in compared:
        table.add_row(
            name,
            f"{small.steps:.0f}",
            f"{small.step_us:.1f}",
            f"{large.step_us:.1f}",
            f"{large.step_us / small.step_us:.2f}",
            f"{small.checked_us:.1f}",
            f"{large.checked_us:.1f}",
            f"{large.checked_us / small.checked_us:.2f}",
        )
    return table, max(
        max(large.step_us / small.step_us, large.checked_us / small.checked_us) for _, small, large in compared
    )


# -- memory -----------------------------------------------------------------------------------


SCENE: Final = ("process p0", "process p1", "device nic0", "mmap p0 buf anon private rw 16 populate")
ROUND: Final = (
    "write p0 buf {byte}",
    "gup p0 buf as=r{number} write pin by=nic0",
    "madvise p0 buf dontneed",
    "read p0 buf",
    "dma r{number} write {byte}",
    "put r{number}",
)
"""A typical lesson, which each time leaves something else behind."""


def play(rounds: int) -> Session:
    """A session with the whole history of so many rounds, every micro-step a node."""
    session = Session()
    for line in SCENE:
        session.run(line)
    for number in range(rounds):
        for line in ROUND:
            session.run(line.format(number=number, byte=number % 255 + 1))
    return session


def resident_bytes() -> int:
    """Resident memory of this process: tracemalloc would not see the maps, which are not Python's."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


def bytes_per_state(rounds: int) -> tuple[float, int]:
    """What keeping one more state costs, with its journal and its invariants, and over how many that was measured."""
    play(1)
    gc.collect()
    before = resident_bytes()
    session = play(rounds)
    gc.collect()
    states = len(session.timeline.nodes)
    return (resident_bytes() - before) / states, states


def main() -> int:
    """Measure, report, compare with the targets."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--rounds", type=int, default=200, help="how often each action is timed")
    parser.add_argument("--pages", type=int, default=LARGE, help="mapped pages of the large machine")
    arguments = parser.parse_args()
    console = Console(width=100)
    size, states = bytes_per_state(rounds=500)
    table, ratio = time_report(
        list(compare(machine(SMALL), machine(arguments.pages), arguments.rounds)), arguments.pages
    )
    console.print(table)
    fast, slim = ratio <= MOST_RATIO, size <= MOST_BYTES
    console.print(
        f"a step on the large machine: at most {ratio:.2f} times; target {MOST_RATIO}: {'met' if fast else 'MISSED'}"
    )
    console.print(
        f"a kept state: {size:,.0f} bytes over {states:,} states; target {MOST_BYTES:,}: {'met' if slim else 'MISSED'}"
    )
    huge = huge_pages.report(console, max(arguments.rounds // 20, 3))
    return 0 if fast and slim and huge else 1


if __name__ == "__main__":
    sys.exit(main())
