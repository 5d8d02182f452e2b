"""A byte that is lost when its page moves: to another frame, to swap or back. The kernel is broken once for each way.

Each break is of the kind that a real kernel could have: another slot is read back, a copy is left out, a page is
dropped that was never written to swap. The sound kernel does the same commands and loses nothing.
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import pytest

from model.kernel.mm import hugetlb, khugepaged, migrate, reclaim, swap, swap_fault, wp_fault
from model.kernel.mm.page import clear_page_flags, folio_remove_rmap
from model.memory.flags import PG_DIRTY
from model.memory.state import Transaction
from tests.model.play import Play

SWAPPED: Final = "process p0\nmmap p0 a anon private rw 2\nwrite p0 a 1\nwrite p0 a+1 2\nreclaim p0 a\nreclaim p0 a+1"
SHARED_SLOT: Final = "process p0\nmmap p0 a anon private rw 1\nwrite p0 a 1\nfork p0 c\nreclaim p0 a"
SHMEM: Final = "process p0\nmemfd f 2\nmmap p0 a memfd:f shared rw 2\nwrite p0 a 1\nwrite p0 a+1 2\nreclaim p0 a"
HUGE: Final = "process p0\nmmap p0 a anon private rw 512 at=512\nwrite p0 a+3 7\nwrite p0 a+9 8"
HUGETLB: Final = "process p0\nmmap p0 a hugetlb private rw 512\nwrite p0 a+3 7\nfork p0 c"


class Break(NamedTuple):
    """A kernel with one mistake, and what shows it."""

    module: Any
    name: str
    """The function that is another one."""
    instead: Callable[..., Any]
    settings: str
    before: str
    last: str
    says: str


def holding(module: Any, byte: int) -> Callable[..., Any]:
    """`alloc_page` of a module, but the new page holds another byte than the one that it should."""
    alloc = module.alloc_page
    return lambda tx, kind, **given: alloc(tx, kind, **{**given, "content": byte})


def clean_without_writing(tx: Transaction, pfn: int) -> bool:
    """swap_writeout() that writes nothing, and says that it has ended."""
    clear_page_flags(tx, pfn, PG_DIRTY)
    return True


def forgetful(tx: Transaction, pfn: int, *others: Any) -> None:
    """folio_remove_rmap() after which the huge page that is being filled holds nothing."""
    head = next(head for head, frame in tx.frames.items() if frame.large)
    for page in range(head, head + 512):
        if page in tx.content:
            del tx.content[page]
    folio_remove_rmap(tx, pfn, *others)


BREAKS: Final = {
    "another slot is read back, zram": Break(
        swap_fault,
        "alloc_page",
        holding(swap_fault, 2),
        "set swap zram",
        SWAPPED,
        "read p0 a",
        "p0 a (page 16) has gone from swap slot 0 to frame 6. It held 1 before, and holds 2 now: the byte is lost.",
    ),
    "another slot is read back into the swap cache": Break(
        swap_fault,
        "alloc_page",
        holding(swap_fault, 2),
        "set swap zram",
        SHARED_SLOT,
        "read p0 a",
        "The page of swap slot 0 has gone from the swap device to frame",
    ),
    "another slot is read back, shmem": Break(
        swap, "alloc_page", holding(swap, 2), "set swap zram", SHMEM, "read p0 a", "Page 0 of file f has gone from swap"
    ),
    "a dirty page is dropped, never written": Break(
        reclaim,
        "swap_writeout",
        clean_without_writing,
        "set swap zram",
        "process p0\nmmap p0 a anon private rw 1\nwrite p0 a 1",
        "reclaim p0 a",
        "The page of swap slot 0 has gone from frame",
    ),
    "migration does not copy": Break(
        migrate,
        "alloc_page",
        holding(migrate, 0),
        "set swap off",
        "process p0\nmmap p0 a anon private rw 1\nwrite p0 a 7",
        "migrate p0 a",
        "It held 7 before, and holds 0 now: the byte is lost.",
    ),
    "migration does not copy, shared": Break(
        migrate,
        "alloc_page",
        holding(migrate, 0),
        "set swap off",
        SHMEM.replace("reclaim p0 a", "read p0 a"),
        "migrate p0 a",
        "Page 0 of file f has gone from frame",
    ),
    "copy-on-write does not copy": Break(
        wp_fault,
        "alloc_page",
        holding(wp_fault, 0),
        "set swap off",
        "process p0\nmmap p0 a anon private rw 1\nwrite p0 a 7\nfork p0 c",
        "write p0 a 8",
        "It held 7 before, and holds 0 now: the byte is lost.",
    ),
    "hugetlb does not copy": Break(
        hugetlb,
        "copy_user_large_folio",
        lambda *_: None,
        "set hugetlb 2",
        HUGETLB,
        "write p0 a 8",
        "It held 7 before, and holds 0 now: the byte is lost.",
    ),
    "collapse loses what it copied": Break(
        khugepaged,
        "folio_remove_rmap",
        forgetful,
        "set swap off",
        HUGE,
        "madvise p0 a collapse",
        "It held 7 before, and holds 0 now: the byte is lost.",
    ),
}


@pytest.mark.parametrize("name", BREAKS)
def test_a_kernel_that_loses_a_byte_is_noticed(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = BREAKS[name]
    play = Play(case.settings, case.before)
    sound = play.runner.copy()
    monkeypatch.setattr(case.module, case.name, case.instead)
    play.do(case.last)
    monkeypatch.undo()
    said = [one.message for one in play.accounts[-1].violations if one.invariant == "lost-store"]
    assert case.says in said[0]
    assert not [one for one in sound.perform(play.accounts[-1].command).violations if one.invariant == "lost-store"]


def test_a_byte_that_comes_after_the_pages_were_compared_is_lost_in_the_merge() -> None:
    """A device that noted the frame without a reference is not counted, so ksmd does not know of it."""
    play = Play(
        "device nic",
        "process p0\nmmap p0 a anon private rw 3\nmadvise p0 a mergeable\nwrite p0 a 5\nwrite p0 a+2 5\nksm-scan",
    )
    play.do("grab p0 a+0 as=g raw by=nic\nbegin K ksm-scan")
    while play.state.tasks["K"].stack[-1].replaces() is None:
        play.do("step K 1")
    play.do("dma g write 9")
    assert "lost-store" not in play.broken()
    play.do("finish K")
    said = [one.message for one in play.accounts[-1].violations if one.invariant == "lost-store"]
    assert (
        said[0]
        == "p0 a (page 16) has gone from frame 5 to frame 6. It held 9 before, and holds 5 now: the byte is lost."
    )
