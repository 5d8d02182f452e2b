"""Bugs put into the kernel on purpose: the invariants must find each of them, and name it rightly."""

from collections.abc import Callable
from typing import Any

import pytest

from model.session.session import Session

PROGRAM = (
    "process p0 cpu=0",
    "memfd f 2",
    "mmap p0 buf anon private rw 2",
    "mmap p0 shm memfd:f shared rw 2",
    "write p0 buf 1",
    "write p0 shm 2",
    "fork p0 p1",
    "write p0 buf 3",
    "read p1 shm",
    "gup p0 buf as=r0 pin write",
    "madvise p0 buf dontneed",
    "put r0",
    "munmap p1 shm",
    "exit p1",
    "munmap p0 buf",
    "munmap p0 shm",
)


def nothing(*_args: Any, **_options: Any) -> None:
    """Forget to do it."""


def says_no(*_args: Any, **_options: Any) -> bool:
    """Do nothing, and say that there was nothing to do."""
    return False


def found(monkeypatch: pytest.MonkeyPatch, where: str, bug: Callable[..., Any]) -> list[str]:
    """The invariants that the program breaks with the bug, in the order in which they are broken."""
    monkeypatch.setattr(where, bug)
    session = Session()
    for line in PROGRAM:
        session.run(line)
    return [violation.invariant for node in session.timeline.nodes for violation in node.new]


def test_without_a_bug_only_the_pin_goes_stale() -> None:
    session = Session()
    for line in PROGRAM:
        session.run(line)
    broken = [violation.invariant for node in session.timeline.nodes for violation in node.new]
    assert broken == ["stale-reference"]


@pytest.mark.parametrize(
    ("where", "bug", "invariant"),
    [
        ("model.kernel.mm.mmu_gather.put_page", nothing, "reference-accounting"),
        ("model.kernel.mm.unmap.folio_remove_rmap", nothing, "map-accounting"),
        ("model.kernel.arch.tlb.tlb_drop", says_no, "stale-tlb"),
        ("model.kernel.mm.wp_fault.put_page", nothing, "reference-accounting"),
        ("model.kernel.mm.pin.unpin_user_page", nothing, "reference-accounting"),
    ],
)
def test_a_step_left_out(monkeypatch: pytest.MonkeyPatch, where: str, bug: Callable[..., Any], invariant: str) -> None:
    assert invariant in found(monkeypatch, where, bug)


def test_a_page_put_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    from model.kernel.mm.page import put_page

    def twice(tx: Any, pfn: int, number: int = 1) -> None:
        put_page(tx, pfn, number)
        put_page(tx, pfn, number)

    broken = found(monkeypatch, "model.kernel.mm.mmu_gather.put_page", twice)
    assert {"reference-accounting", "underflow", "freed-while-mapped"} <= set(broken)
