"""Two ordinary calls at once: whatever their order, a kernel without a bug harms nobody.

Each scene is searched in every schedule. A call of an owner (truncate, punch, move) stands beside one of a process, and
a CPU that writes through what its TLB remembers.
"""

import pytest

from model.kernel.mm.madvise import do_madvise
from model.script.parser import parse
from model.search.bfs import explore
from model.search.problem import set_up
from tests.model.machine import Machine
from tests.model.play import Play

MEMFD = "memfd f 1\nmmap p0 buf memfd:f shared rw 1\nwrite p0 buf 65"
DISK_FILE = "diskfile f 1\nmmap p0 buf file:f shared rw 1"
BUFFER = "bo b 1 in=gtt exporter=insert-page\nmmap p0 buf bo:b shared rw 1 at=64\nwrite p0 buf 65"
DAX = "dax f 1\nmmap p0 buf dax:f shared rw 1\nwrite p0 buf 65"
ALIKE = """mmap p0 buf anon private rw 2 at=16
madvise p0 buf mergeable
write p0 buf+0 5
write p0 buf+1 5
ksm-scan"""
ANON = "mmap p0 buf anon private rw 1\nwrite p0 buf 1"


def harm(text: str) -> set[str]:
    """The rules that some schedule breaks badly: corruption, or a kernel that complains."""
    search = explore(set_up(parse(text)), 400_000)
    assert search.complete
    return {rule for rule, severity in search.found if severity in {"corruption", "splat"}}


SCENES = {
    "a detached VMA is found in i_mmap until its entries are gone": (MEMFD, "munmap p0 buf", "truncate f 0"),
    "exit tears down like munmap": (MEMFD, "exit p0", "truncate f 0"),
    "mapcount falls under the page table lock": (MEMFD, "madvise p0 buf dontneed", "truncate f 0"),
    "whoever finds entries gone flushes for the other": (
        BUFFER,
        "madvise p0 buf dontneed",
        "move b vram",
        "write p0 buf 66",
    ),
    "migration holds the locks of both pages": (MEMFD, "migrate p0 buf", "punch f 0 1"),
    "a migrated page is found by a child of the meantime": (ANON, "migrate p0 buf", "fork p0 c", "read c buf"),
    "what is written during a fork is the child's as well": (ANON, "fork p0 c", "reclaim p0 buf", "write p0 buf 66"),
    "the same of a private copy that is truncated": (
        "memfd f 1\npwrite f 0 1\nmmap p0 buf memfd:f private rw 1\nwrite p0 buf 2",
        "fork p0 c",
        "truncate f 0",
        "write p0 buf 66",
    ),
    "fault-around leaves a locked page alone": (f"{DISK_FILE}\nwrite p0 buf 1", "punch f 0 1", "read p0 buf"),
    "page_mkwrite has a reference from under the lock": (
        f"{DISK_FILE}\nread p0 buf",
        "write p0 buf 2",
        "punch f 0 1",
    ),
    "a child stands behind its parent in i_mmap, whatever its name": (
        BUFFER,
        "fork p0 a",
        "move b vram",
        "write a buf 9",
    ),
    "a VMA that has moved down stands behind its old place": (
        BUFFER,
        "mremap p0 buf pages=1 to=16 maymove",
        "move b vram",
        "write p0 @16 9",
    ),
    "storage is not migrated": (DAX, "migrate p0 buf", "truncate f 0", "write p0 buf 66"),
    "a copy to a page that is pinned may come after the unmapping": (
        f"process p1\n{MEMFD}",
        "munmap p0 buf",
        "remote-write p1 p0 buf 66",
    ),
    "raw frames are flushed before their VMA is unlinked": (
        "bo b 1 in=gtt\nmmap p0 buf bo:b shared rw 1\nwrite p0 buf 65",
        "munmap p0 buf",
        "move b vram",
        "write p0 buf 66",
    ),
    "a hole outlives the mapping that asks for it": (
        "mmap p0 buf devzero shared rw 1\nwrite p0 buf 1",
        "madvise p0 buf remove",
        "munmap p0 buf",
    ),
    "a page that a device has got meanwhile is not merged": (
        f"device nic\n{ALIKE}",
        "ksm-scan",
        "gup p0 buf+0 as=r write pin by=nic",
        "dma r write 9",
    ),
    "the partner of a page that is held gets its page back": (
        f"device nic\n{ALIKE}",
        "ksm-scan",
        "gup p0 buf+1 as=r write by=nic",
        "dma r write 9",
    ),
    "who writes while ksmd compares keeps what was written": (ALIKE, "ksm-scan", "write p0 buf+0 7", "read p0 buf+1"),
    "ksmd finds a process gone": (ALIKE, "ksm-scan", "exit p0"),
    "what is merged is taken apart before it moves": (
        f"{ALIKE}\nksm-scan",
        "mremap p0 buf pages=2 to=64 maymove",
        "ksm-scan",
    ),
    "a KSM page is found by its node, also where a fork has taken it": (
        f"{ALIKE}\nksm-scan",
        "fork p0 c",
        "migrate p0 buf+0",
    ),
    "a KSM page goes to swap while somebody copies it": (f"{ALIKE}\nksm-scan", "reclaim p0 buf+0", "write p0 buf+1 7"),
    "reclaim puts back what somebody holds": (
        f"device disk\n{ANON}\nmadvise p0 buf free",
        "gup p0 buf as=bio write by=disk",
        "reclaim p0 buf",
        "dma bio write 9",
    ),
}


@pytest.mark.parametrize("name", SCENES)
def test_no_schedule_of_ordinary_calls_does_harm(name: str) -> None:
    before, *calls = SCENES[name]
    assert harm("\n".join(["process p0", before, *(f"may 1 {call}" for call in calls)])) == set()


def test_mprotect_keeps_the_devmap_bit() -> None:
    """Without it the entry would be a special one in a VMA that has none: Bad page map (6.1)."""
    calls = ["mprotect p0 buf r", "truncate f 0", "write p0 buf 66"]
    may = [f"may 1 {call}" for call in calls]
    assert harm("\n".join(["set kernel 6.1", "process p0", DAX, *may])) == set()


# -- the order of steps ------------------------------------------------------------------------


def until(play: Play, task: str, step: str) -> None:
    """Let a task go on until it is about to make a step."""
    for _ in range(200):
        top = play.state.tasks[task].stack[-1]
        if top.steps[top.pc].name == step:  # type: ignore[attr-defined]
            return
        play.do(f"step {task}")
    raise AssertionError(f"{task} never comes to {step}")


def mappings(play: Play, file: str) -> int:
    """How many VMAs i_mmap names."""
    return len(play.state.files[file].i_mmap)


def test_munmap_unlinks_and_unhooks_before_the_one_flush_and_frees_after_it() -> None:
    play = Play("set cpus 2", f"process p0 cpu=0\n{MEMFD}\nread p0 buf\nbegin M cpu=1 munmap p0 buf")
    page = play.state.ptes["p0", 16].pfn
    until(play, "M", "unlink_vmas")
    assert ("p0", 16) not in play.state.ptes
    assert mappings(play, "f") == 1
    until(play, "M", "tlb_flush")
    assert mappings(play, "f") == 0
    assert not [key for key in play.state.tables if key[0] == "p0"]
    freed = [pfn for pfn, frame in play.state.frames.items() if frame.kind == "pgtable" and frame.refcount]
    assert len(freed) == 4  # the PGD and three tables that wait for the flush
    play.do("finish M")
    assert play.frame(page).mapcount == 0
    assert [frame.kind for _, frame in play.state.frames.items()].count("pgtable") == 1


def test_a_device_faults_again_while_a_cpu_still_has_the_old_translation() -> None:
    """invalidate_range_end comes before tlb_finish_mmu."""
    play = Play("set cpus 2", f"process p0 cpu=0\ndevice nic\n{ANON}\nmirror p0 buf as=m by=nic")
    play.do("begin Z cpu=1 madvise p0 buf dontneed")
    old = play.state.ptes["p0", 16].pfn
    until(play, "Z", "tlb_finish_mmu")
    assert play.do("dma m write 9") == "ok"
    assert play.state.ptes["p0", 16].pfn != old
    assert [entry.pte.pfn for entry in play.state.tlbs[0]] == [old]
    play.do("finish Z")
    assert play.do("read p0 buf") == "ok 9"
    assert play.broken() == set()


@pytest.mark.parametrize(("kernel", "early"), [("6.1", 1), ("6.12", 2), ("6.18", 2)])
def test_a_dirty_page_of_a_file_loses_its_mapcount_after_the_flush(kernel: str, early: int) -> None:
    text = f"process p0 cpu=0\nprocess p1 cpu=1\n{MEMFD}\nmmap p1 own memfd:f shared rw 1\nread p1 own"
    play = Play(f"set kernel {kernel}", f"{text}\nbegin Z madvise p1 own remove")
    page = play.state.ptes["p0", 16].pfn
    until(play, "Z", "flush_local")
    assert ("p0", 16) not in play.state.ptes
    assert play.frame(page).mapcount == early
    until(play, "Z", "tlb_batch_pages_flush")
    assert play.frame(page).mapcount == 1


def test_a_pin_between_forks_look_and_its_write_protection_is_given_back() -> None:
    play = Play("set cpus 2", f"process p0 cpu=0\ndevice nic\n{ANON}\ngup p0 buf as=first pin write by=nic\nput first")
    play.do("begin F cpu=1 fork p0 c\nbegin G gup p0 buf as=r pin write fast-only by=nic")
    until(play, "F", "copy_present_ptes")
    until(play, "G", "read_write_protect_seq")
    play.do("step F")
    assert play.do("finish G") == "error EFAULT"
    assert play.do("finish F") == "ok"
    assert play.broken() == set()


def test_secret_memory_and_rings_are_not_migrated() -> None:
    play = Play("set cpus 2", "process p0\nmmap p0 sec secretmem shared rw 1\nwrite p0 sec 6")
    page = play.state.ptes["p0", 16].pfn
    assert play.do("migrate p0 sec") == "error EBUSY"
    assert play.state.ptes["p0", 16].pfn == page
    assert play.do("mmap p0 ring packet shared rw 1\nwrite p0 ring 3\nmigrate p0 ring") == "error EBUSY"
    assert play.broken() == set()


# -- writeback ---------------------------------------------------------------------------------

WRITTEN = "process p0\ndiskfile f 1\npwrite f 0 65\nbegin S fsync f"


@pytest.mark.parametrize("call", ["punch f 0 1", "truncate f 0"])
def test_what_is_being_written_is_not_taken_out_of_its_file(call: str) -> None:
    """Else the old byte would reach the disk when its blocks are free already."""
    play = Play("set cpus 2", WRITTEN)
    until(play, "S", "ext4_io_submit")
    assert play.do(f"begin C {call}\nfinish C").startswith("blocked on the writeback")
    play.do("finish S\nfinish C\ntruncate f 1")
    assert play.do("pread f 0") == "ok 0"


def test_what_is_being_written_is_neither_moved_nor_reclaimed() -> None:
    play = Play(
        "set cpus 2", "process p0\ndiskfile f 1\nmmap p0 buf file:f shared rw 1\nwrite p0 buf 1\nbegin S fsync f"
    )
    until(play, "S", "ext4_io_submit")
    assert play.do("reclaim p0 buf") == "error EAGAIN"
    assert play.do("begin M migrate p0 buf\nfinish M").startswith("blocked on the writeback")
    assert play.do("begin S2 fsync f\nfinish S2").startswith("blocked on the writeback")
    play.do("finish S")
    assert play.do("finish S2") == "ok"


def test_a_device_that_mirrors_a_page_faults_again_when_it_was_written_back() -> None:
    play = Play("set cpus 2", "process p0\ndevice nic\ndiskfile f 1\nmmap p0 buf file:f shared rw 1\nwrite p0 buf 1")
    play.do("mirror p0 buf as=m by=nic\nfsync f\ndma m write 9")
    assert play.broken() == set()
    play.do("fsync f")
    assert play.state.disk["f", 0] == 9


# -- swap --------------------------------------------------------------------------------------


def test_a_swap_slot_is_used_again() -> None:
    machine = Machine()
    machine.map_private("anon", 1, at=1024)
    machine.write(1024, 1)
    seen = []
    for _ in range(513):
        assert machine.run(do_madvise(mm="p0", start=1024, pages=1, advice="pageout")).ok
        seen.append(machine.state.ptes["p0", 1024].pfn)
        machine.write(1024, 2)
    assert seen[:2] == [0, 1]
    assert seen[512] == 0


def test_willneed_reads_a_swapped_page_into_the_swap_cache_alone() -> None:
    machine = Machine()
    machine.map_private("anon", 1, at=1024)
    machine.write(1024, 1)
    for advice in ("pageout", "willneed"):
        assert machine.run(do_madvise(mm="p0", start=1024, pages=1, advice=advice)).ok
    entry = machine.state.ptes["p0", 1024]
    assert entry.kind == "swap"
    cached = machine.state.swap_slots[entry.pfn].pfn
    frame = machine.state.frames[cached]
    assert (frame.refcount, frame.mapcount) == (1, 0)
    assert machine.read(1024) == 1
    assert machine.state.ptes["p0", 1024].pfn == cached
