"""Invariants about what an access does to whom, and what the kernel says itself."""

import pytest

from model.invariants.violation import Violation
from model.kernel.arch.boot import ZERO_PFN
from model.memory.events import Access, Splat
from model.memory.flags import (
    VM_READ,
    VM_SHARED,
    VM_WRITE,
)
from model.memory.records import Frame, Pte
from tests.model.broken_machines import (
    RW,
    USER,
    after,
    anon,
    broken,
    cached,
    changed,
    machine,
    process,
    reference,
    remembered,
    task,
    unmapped,
    zero_mapped,
)
from tests.model.play import Play

# -- what accesses do --------------------------------------------------------------------------


def dma(page: int, pfn: int, value: int, *, write: bool) -> Access:
    return Access(pfn, write, value, reference="r0", page=page, device="nic")


def names(found: list[Violation]) -> list[str]:
    return [violation.invariant for violation in found]


def test_a_device_writes_where_nobody_looks() -> None:
    state = machine(process("p0"), anon(5, ("p0", 17)), reference("r0", "p0", 17, 5), unmapped("p0", 17))
    found = after(state, dma(0, 5, 9, write=True))
    assert names(found) == ["lost-write"]
    assert found[0].subjects == ("ref:r0", "frame:5", "pte:p0:17")
    assert found[0].message == (
        "nic wrote 9 to frame 5 through r0, for p0 buf+1 (page 17). The entry there is empty "
        "now, and the next access finds zeros. The byte never arrives, and no error is reported."
    )


def test_a_device_writes_where_the_process_looks() -> None:
    state = machine(process("p0"), anon(5, ("p0", 17)), reference("r0", "p0", 17, 5))
    assert after(state, dma(0, 5, 9, write=True)) == []


def test_a_device_reads_what_the_process_no_longer_writes_to() -> None:
    state = machine(
        process("p0"), anon(5, ("p0", 17)), reference("r0", "p0", 17, 5), unmapped("p0", 17), anon(9, ("p0", 17)),
        lambda tx: tx.content.__setitem__(9, 3),
    )  # fmt: skip
    found = after(state, dma(0, 5, 1, write=False))
    assert names(found) == ["lost-write"]
    assert "what p0 has at p0 buf+1 (page 17) is 3, in frame 9. The device works with old data" in (found[0].message)
    assert after(state, dma(0, 5, 3, write=False)) == [], "the bytes are the same: nobody can tell"
    untouched = machine(process("p0"), zero_mapped, anon(5), reference("r0", "p0", 17, 5))
    assert after(untouched, dma(0, 5, 1, write=False)) == [], "the process has written nothing there"


def test_a_moved_page_still_carries_bytes_to_its_process() -> None:
    state = machine(process("p0"), anon(5, ("p0", 29)), reference("r0", "p0", 17, 5))
    assert after(state, dma(0, 5, 9, write=True)) == []


def test_bytes_for_memory_that_was_given_up_are_not_lost() -> None:
    state = machine(process("p0", 20, 32), anon(5), reference("r0", "p0", 17, 5))
    assert after(state, dma(0, 5, 9, write=True)) == []


def test_after_fork_the_page_may_have_stayed_with_the_child() -> None:
    state = machine(
        process("p0"), process("p1"), anon(5, ("p1", 17)), anon(9, ("p0", 17)),
        reference("r0", "p0", 17, 5, kind="get"),
    )  # fmt: skip
    found = after(state, dma(0, 5, 9, write=True))
    assert names(found) == ["foreign-dma", "lost-write"]
    assert found[0].subjects == ("ref:r0", "frame:5", "pte:p0:17", "pte:p1:17")
    assert found[0].message == (
        "nic wrote 9 to frame 5, which r0 took from p0 buf+1 (page 17). By now that frame belongs to p1, which has "
        "it at p1 buf+1 (page 17). The page table maps frame 9 there now. nic was not told."
    )
    assert names(after(state, dma(0, 5, 0, write=False))) == ["foreign-dma"]


def test_a_pin_makes_fork_copy_so_nothing_foreign_is_reached() -> None:
    state = machine(
        process("p0"), process("p1"), anon(5, ("p0", 17)),
        anon(9, ("p1", 17)), reference("r0", "p0", 17, 5),
    )  # fmt: skip
    assert after(state, dma(0, 5, 9, write=True)) == []
    assert broken(state) == []


def test_a_device_writes_past_copy_on_write() -> None:
    state = machine(
        process("p0"), process("p1"), anon(5, ("p0", 17), ("p1", 17), bits=USER),
        reference("r0", "p0", 17, 5, kind="get"),
    )  # fmt: skip
    found = after(state, dma(0, 5, 9, write=True))
    assert names(found) == ["foreign-dma"]
    assert "By now that frame also belongs to p1" in found[0].message
    assert after(state, dma(0, 5, 0, write=False)) == [], "both still see the same byte"


def test_a_device_writes_to_shared_file_memory() -> None:
    shared = VM_READ | VM_WRITE | VM_SHARED
    state = machine(
        process("p0", file="f", flags=shared), process("p1", file="f", flags=shared),
        cached(7, "f", 1, ("p0", 17), ("p1", 17)), reference("r0", "p0", 17, 7),
    )  # fmt: skip
    assert after(state, dma(0, 7, 9, write=True)) == []
    assert after(changed(state, unmapped("p0", 17)), dma(0, 7, 9, write=True)) == []


def test_a_device_writes_to_a_file_that_the_process_may_only_copy() -> None:
    private = process("p0", file="f")
    state = machine(private, cached(7, "f", 1, ("p0", 17)), reference("r0", "p0", 17, 7, kind="get", write=False))
    found = after(state, dma(0, 7, 9, write=True))
    assert names(found) == ["foreign-dma"]
    assert "That frame belongs to file f, which p0 may only copy." in found[0].message
    assert after(state, dma(0, 7, 9, write=False)) == []
    shared = process("p0", file="f", flags=VM_READ | VM_WRITE | VM_SHARED)
    state = machine(shared, cached(7, "f", 1, ("p0", 17)), reference("r0", "p0", 17, 7, kind="get", write=False))
    assert after(state, dma(0, 7, 9, write=True)) == []


def test_a_device_reaches_a_frame_that_is_free_or_a_page_table() -> None:
    held = (process("p0"), reference("r0", "p0", 17, 5, kind="mirror"))
    assert "belongs to nobody: it is free" in after(machine(*held), dma(0, 5, 9, write=True))[0].message
    table = (
        lambda tx: tx.frames.__setitem__(5, Frame("pgtable", 1)),
        lambda tx: tx.tables.__setitem__(("p1", 1, 0), Pte(5, RW)),
    )
    found = after(machine(*held, process("p1"), *table), dma(0, 5, 9, write=True))
    assert "belongs to the page tables of p1" in found[0].message


def test_a_device_writes_into_the_zero_page() -> None:
    state = machine(process("p0"), zero_mapped, reference("r0", "p0", 17, ZERO_PFN, kind="get"))
    assert "belongs to everybody" in after(state, dma(0, ZERO_PFN, 9, write=True))[0].message
    assert after(state, dma(0, ZERO_PFN, 0, write=False)) == []


def test_a_user_without_a_name_is_found_out_as_well() -> None:
    state = machine(process("p0"), process("p1"), anon(5, ("p1", 17)), reference("r0", "p0", 17, 5, kind="get"))
    found = after(state, Access(5, write=True, value=1, reference="r0"))
    assert names(found) == ["foreign-dma", "lost-write"]
    assert found[0].message.startswith("Whoever uses r0 wrote 1 to frame 5")


def load(pfn: int, *, write: bool = False) -> Access:
    return Access(pfn, write, 7, process="p0", vpn=17)


def test_a_cpu_reaches_a_strangers_page_through_its_tlb() -> None:
    state = machine(process("p0"), process("p1"), anon(5, ("p1", 30)), anon(6, ("p0", 17)), remembered(5))
    found = after(state, load(5, write=True))
    assert names(found) == ["foreign-access"]
    assert found[0].message == (
        "p0 buf+1 (page 17): the CPU wrote 7 to frame 5 through a translation that only a TLB remembers. That "
        "frame belongs to p1, which has it at p1 buf+14 (page 30)."
    )


def test_a_cpu_reaches_a_free_frame_through_an_entry_that_was_left() -> None:
    state = machine(process("p0"), anon(5, ("p0", 17)), lambda tx: tx.frames.__delitem__(5))
    found = after(state, load(5))
    assert names(found) == ["foreign-access"]
    assert "through the entry that is there. That frame belongs to nobody: it is free" in found[0].message


def test_a_cpu_may_use_the_old_page_until_the_flush() -> None:
    state = machine(process("p0"), anon(5, refs=1), remembered(5), task("main", holds=(5,)))
    assert after(state, load(5, write=True)) == []


def test_a_cpu_reaches_its_own_page() -> None:
    assert after(machine(process("p0"), anon(5, ("p0", 17))), load(5, write=True)) == []


# -- splats ------------------------------------------------------------------------------------


def test_a_splat_is_a_violation_with_the_kernels_words() -> None:
    title = "BUG: Bad page state in process p0  pfn:00005"
    found = after(machine(process("p0"), task("main")), Splat(title, ("page: refcount:1",), trace=("free_page", "put")))
    assert names(found) == ["splat"]
    assert found[0].severity == "splat"
    assert found[0].subjects == ("frame:5", "task:main", "process:p0")
    assert found[0].message.startswith(f"{title}. The allocator looked at the page")
    assert found[0].message.endswith("It was found in free_page.")


SHARED_WHILE_HELD = "process p0\nprocess other\ndevice nic\nmmap p0 m anon private rw 1\nwrite p0 m 1"


def test_what_is_written_while_a_process_forks_is_meant_for_the_child_too() -> None:
    """The page is the child's as well already, but the child does not run yet. Once it does, the byte is foreign."""
    play = Play(SHARED_WHILE_HELD, "gup p0 m as=r0 write by=nic\nbegin F fork p0 kid")
    while not any(process == "kid" for process, _ in play.state.ptes):
        play.do("step F")
    play.do("dma r0 write 9")
    assert "foreign-dma" not in play.broken()
    play.do("finish F\ndma r0 write 10")
    assert "foreign-dma" in play.broken()


def test_a_byte_that_the_reader_had_before_the_fork_is_no_secret() -> None:
    """The page has stayed with the child; what the device finds there is what its process had when it was taken."""
    play = Play(SHARED_WHILE_HELD, "gup p0 m as=r0 by=nic\nfork p0 kid\nwrite p0 m 2")
    assert play.do("expect same kid m r0 and differ p0 m r0") == "ok"
    assert play.do("dma r0 read") == "ok 1"
    assert "foreign-dma" not in play.broken()


@pytest.mark.parametrize("backing", ["anon private", "memfd:f private"])
def test_a_cpu_reads_what_it_shares_with_a_child_until_the_unmapping_has_flushed(backing: str) -> None:
    text = f"process p0 cpu=0\nmemfd f 1\nmmap p0 m {backing} rw 1\nwrite p0 m 1\nfork p0 kid\nread p0 m"
    play = Play("set cpus 2", f"{text}\nbegin M cpu=1 munmap p0 m")
    while ("p0", 16) in play.state.ptes:
        play.do("step M")
    assert play.do("begin R read p0 @16\nfinish R") == "ok 1"
    play.do("write kid m 2")
    assert play.do("begin R read p0 @16\nfinish R") == "ok 1"
    assert play.broken() == set()
