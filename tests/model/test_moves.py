"""What the recordings of moving buffers show (tests/recordings/dma-buf/moves.json), shown by the model on each kernel.

Addresses and frame numbers differ; what is compared is what they prove: entries present or not, notifications, which
frame is whose, what every way in answers.
"""

import json
import re
from pathlib import Path
from typing import Final

import pytest

from model.engine.procedure import advance, begin
from model.kernel.mm.remote import mem_read
from model.kernel.mm.unmap import zap_page_range_single
from model.memory.errno import errno_name
from model.memory.events import Splat
from tests.model.play import Play

MOVES: Final[dict[str, dict[str, dict[str, str]]]] = json.loads(
    (Path(__file__).parents[1] / "recordings" / "dma-buf" / "moves.json").read_text()
)["moves"]
KERNELS: Final = tuple(MOVES)
PAGES: Final = 8
BIAS: Final = 1024

WAYS_IN: Final = {
    "vmsplice": "gup p0 m+0 as=r",
    "process_vm_readv": "remote-read p9 p0 m",
    "odirect_read": "gup p0 m+0 as=r pin",
    "get_user_pages_fast(WRITE)": "gup p0 m+0 as=r write",
    "pin_user_pages_fast(WRITE,LONGTERM)": "gup p0 m+0 as=r write pin longterm",
    "get_user_pages(WRITE)": "gup p0 m+0 as=r write slow",
    "pin_user_pages(WRITE,LONGTERM)": "gup p0 m+0 as=r write pin longterm slow",
    "hmm_range_fault(WRITE)": "mirror p0 m+0 as=r by=dev",
}


class Machine(Play):
    """A machine on which lines of script are run one after the other."""

    def __init__(self, kernel: str, text: str) -> None:
        super().__init__(f"set kernel {kernel}\nset vram 16\ndevice dev\nprocess p0\nprocess p9", text)

    def tried(self, line: str) -> str:
        """What a command would answer, on a machine of its own: OK, or the errno or signal."""
        outcome = self.try_out(line)
        return "ok" if outcome.status == "ok" else outcome.errno or outcome.signal

    def present(self, process: str = "p0", label: str = "m") -> int:
        """How many pages of a mapping have an entry."""
        place = self.state.labels[process, label]
        return sum((process, vpn) in self.state.ptes for vpn in range(place.start, place.start + place.pages))

    def pfn(self, page: int = 0, process: str = "p0", label: str = "m") -> int:
        """The frame behind a page."""
        return self.state.ptes[process, self.state.labels[process, label].start + page].pfn

    def mem(self) -> str:
        """/proc/PID/mem of the first page: ok, or the errno."""
        vpn = self.state.labels["p0", "m"].start
        state = begin(self.state, "look", mem_read(mm="p9", target="p0", vpn=vpn), "p9", 1)
        while "look" in state.tasks:
            stepped = advance(state, "look")
            state = stepped.state
        assert stepped.result is not None
        return "ok" if stepped.result.ok else errno_name(stepped.result.value)

    def zapped(self, line: str) -> list[tuple[str, int, int]]:
        """Run a command; the ranges over which MMU_NOTIFY_CLEAR was sent, and to whose notifiers."""
        sent = []
        self.do(f"begin mover {line}")
        while "mover" in self.state.tasks:
            call = self.state.tasks["mover"].stack[-1]
            if isinstance(call, zap_page_range_single) and call.pc == 0:
                sent.append((call.mm, call.start, call.end))
            self.do("step mover")
        return sent

    def whole(self, process: str = "p0") -> tuple[str, int, int]:
        """The whole mapping, as `zapped` tells it."""
        place = self.state.labels[process, "m"]
        return process, place.start, place.start + place.pages


def mapped(kernel: str, exporter: str, place: str) -> Machine:
    """A buffer of some driver, mapped and filled with a pattern."""
    machine = Machine(kernel, f"bo a {PAGES} in={place} exporter={exporter}\nmmap p0 m bo:a shared rw {PAGES}")
    assert machine.present() == 0
    fill(machine)
    return machine


def fill(machine: Machine) -> None:
    for page in range(PAGES):
        assert machine.do(f"write p0 m+{page} {0x50 + page}") == "ok"


def intact(machine: Machine) -> bool:
    """Every page reads as it was written: `0 bad words`."""
    return [machine.do(f"read p0 m+{page}") for page in range(PAGES)] == [f"ok {0x50 + page}" for page in range(PAGES)]


def assert_refused(machine: Machine, recorded: dict[str, str], when: str) -> None:
    """Every way in answers as it was recorded at that moment."""
    wanted = {way: recorded[f"{when}.{way}"] for way in WAYS_IN}
    assert {way: machine.tried(line) for way, line in WAYS_IN.items()} == wanted
    memory = recorded[f"{when}.proc_self_mem_read"]
    assert machine.mem() == ("ok" if memory.startswith("64") else memory)


@pytest.mark.parametrize("kernel", KERNELS)
def test_bochs_moves_to_vram_and_back(kernel: str) -> None:
    recorded = MOVES[kernel]["move_bochs_scanout"]
    machine = mapped(kernel, "bochs", "system")
    assert recorded["1.touched_initial.present_pages"] == "768 of 768"
    assert machine.present() == PAGES
    assert_refused(machine, recorded, "1.gup_before")
    first = machine.pfn()
    sent = machine.zapped("move a vram")
    if recorded["3.touched_after_pin.moved"].startswith("NO"):  # GEM shmem in 7.3
        assert sent == []
        assert machine.accounts[-1].outcome.errno == "EINVAL"
        assert machine.present() == PAGES
        assert machine.pfn() == first
        return
    assert recorded["2.after_SETCRTC_pin_before_touch.present_pages"].startswith("0 of")
    assert machine.present() == 0
    assert recorded["2.after_SETCRTC_pin_before_touch.mmu_notifier"].count("CLEAR") == 1
    assert sent == [machine.whole()]
    assert intact(machine)
    vram = machine.pfn()
    assert vram != first
    assert_refused(machine, recorded, "3.gup_in_vram")
    # Other buffers need the video memory: this one is evicted, and its old place has another owner.
    machine.do("bo b 12 in=vram exporter=bochs\nmmap p9 m bo:b shared rw 12\nwrite p9 m 5")
    assert recorded["4.after_evict_before_touch.present_pages"].startswith("0 of")
    assert machine.present() == 0
    assert "B5" in recorded["4.old_vram_pfn.now_backs"]
    assert machine.state.frames[vram].mapping == "bo:b"
    assert intact(machine)
    assert machine.pfn() != vram
    assert machine.state.buffers["a"].place == "system"
    assert_refused(machine, recorded, "5.gup_after_evict")
    # A child has the entries at once, and loses them like its parent.
    machine.do("fork p0 c")
    assert machine.pfn(process="c") == machine.pfn()
    machine.do("evict b")
    assert set(machine.zapped("move a vram")) == {machine.whole(), machine.whole("c")}
    assert machine.present() == machine.present("c") == 0
    assert recorded["8.gem_close_then_access"].endswith("read ok 01")
    machine.do("destroy a")
    assert intact(machine)


@pytest.mark.parametrize("kernel", KERNELS)
def test_qxl_is_evicted_when_vram_is_full(kernel: str) -> None:
    recorded = MOVES[kernel]["move_qxl_vram_evict"]
    machine = mapped(kernel, "qxl", "vram")
    assert_refused(machine, recorded, "1.gup_before")
    stale = machine.pfn()
    assert machine.zapped("bo b 12 in=vram") == [machine.whole()]
    assert recorded["3.after_evict.mmu_notifier"].count("CLEAR") == 1
    assert machine.present() == 0
    assert "CORRUPTED OTHER BUFFER" in recorded["3.write_through_stale_pfn.effect"]
    assert machine.state.frames[stale].mapping == "bo:b"
    assert intact(machine)
    assert_refused(machine, recorded, "4.gup_after")
    # What a static importer has attached stays where it is.
    machine.do("evict b\nbo c 8 in=vram\nmmap p9 m bo:c shared rw 8\nwrite p9 m 1\nexport c as=d\nattach d dev")
    assert recorded["6.attach_pins_against_eviction"].startswith("yes")
    kept = machine.state.buffers["c"].frames
    machine.do("bo e 8 in=vram\nbo f 8 in=vram")
    assert machine.state.buffers["c"].frames == kept


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("driver", ["qxl", "bochs"])
def test_ttm_swaps_a_buffer_out(kernel: str, driver: str) -> None:
    recorded = MOVES[kernel][f"move_ttm_swapout_{driver}"]
    machine = mapped(kernel, driver, "system")
    assert_refused(machine, recorded, "1.gup")
    old = machine.pfn()
    if recorded["3.after_swapout_before_touch.present_pages"] == "256 of 256":  # bochs in 7.3: GEM shmem
        assert machine.zapped("evict a") == []
        assert machine.present() == PAGES
        return
    assert machine.zapped("evict a") == [machine.whole()]
    assert recorded["3.mmu_notifier"].count("CLEAR") == 1
    assert machine.present() == 0
    machine.do(f"bo b {PAGES}")
    assert recorded["3.old_pfn.reused_by_other_buffer"] == "1"
    assert machine.state.frames[old].mapping == "bo:b"
    assert intact(machine)
    assert machine.pfn() != old
    assert_refused(machine, recorded, "4.gup")


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("driver", ["virtio-gpu", "vgem", "cirrus"])
def test_gem_shmem_never_moves(kernel: str, driver: str) -> None:
    assert MOVES[kernel]["move_virtio_gpu_scanout"]["3.touched_after_pin.moved"].startswith("NO")
    machine = mapped(kernel, driver, "system")
    before = machine.state.buffers["a"]
    assert machine.do("move a vram") == "error EINVAL"
    assert machine.do("evict a") == "error EINVAL"
    assert machine.state.buffers["a"] == before
    assert machine.present() == PAGES


# -- pins that go stale ------------------------------------------------------------------------

INVALIDATIONS: Final = {"how0": "punch f 0 1", "how1": "truncate f 0\ntruncate f 1", "how2": "madvise p0 m dontneed",
                        "how3": "madvise p0 m remove", "how4": "munmap p0 m\n{mmap}"}  # fmt: skip
BACKINGS: Final = {"memfd": "mmap p0 m memfd:f shared rw 1", "anon": "mmap p0 m anon private rw 1"}
TAKEN: Final = {
    "FOLL_GET": "gup p0 m as=r write by=dev",
    "FOLL_PIN_LONGTERM": "gup p0 m as=r write pin longterm by=dev",
}
STALE_PIN: Final = sorted(
    {
        (kernel, *name.split(".")[:3])
        for kernel in KERNELS
        for name in MOVES[kernel]["stale_pin"]
        if name.split(".")[0] in BACKINGS and name.split(".")[1] in INVALIDATIONS
    }
)


@pytest.mark.parametrize(("kernel", "backing", "how", "taken"), STALE_PIN)
def test_a_pin_and_its_page_go_different_ways(kernel: str, backing: str, how: str, taken: str) -> None:
    recorded = {
        name.split(".", 3)[3]: text
        for name, text in MOVES[kernel]["stale_pin"].items()
        if name.startswith(f"{backing}.{how}.{taken}.")
    }
    machine = Machine(kernel, f"memfd f 1\n{BACKINGS[backing]}\nwrite p0 m 0xa1\n{TAKEN[taken]}")
    pinned = machine.pfn()
    machine.do(INVALIDATIONS[how].format(mmap=BACKINGS[backing]))
    wanted = re.search(r"refcount=(\d+) mapcount=(\d+)", recorded["2.invalidate"])
    assert wanted is not None
    frame = machine.state.frames[pinned]
    # 7.3 still had some pages in a per-CPU LRU batch, which holds one reference more; the model has no such batches.
    assert int(wanted[1]) - frame.refcount in ((0, 1) if kernel == "7.3" else (0,))
    assert frame.mapcount == int(wanted[2])
    assert machine.present() == 0
    read = int(recorded["3.refault"].split()[1], 16)
    assert machine.do("read p0 m") == f"ok {read}"
    machine.do("write p0 m 0xb2")
    assert (machine.pfn() == pinned) == ("same page" in recorded["3.refault"])
    machine.do("dma r write 0xee")
    seen = 0xEE if "visible" in recorded["4.device_write_ee_into_pin"] else 0xB2
    assert machine.do("read p0 m") == f"ok {seen}"
    lost = {violation.invariant for violation in machine.accounts[-2].violations}
    assert lost == ({"lost-write"} if seen == 0xB2 else set())
    if backing == "memfd":
        assert machine.do("pread f 0") == f"ok {int(recorded['5.file_content'].split()[-1], 16)}"


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("backing", ["anon", "memfd_shared", "anon+DONTFORK"])
@pytest.mark.parametrize("taken", sorted(TAKEN))
def test_fork_with_a_reference(kernel: str, backing: str, taken: str) -> None:
    recorded = {
        name.rsplit(".", 1)[1]: text
        for name, text in MOVES[kernel]["stale_pin_fork"].items()
        if name.startswith(f"{backing}.{taken}.")
    }
    mmap = BACKINGS["memfd" if backing.startswith("memfd") else "anon"]
    dontfork = "madvise p0 m dontfork\n" if backing.endswith("DONTFORK") else ""
    machine = Machine(kernel, f"memfd f 1\n{mmap}\n{dontfork}write p0 m 0xa1\n{TAKEN[taken]}\nfork p0 c")
    pinned = machine.pfn()
    read = machine.do("read c m" if not dontfork else "read c @16")
    child = recorded["child"]
    assert read == ("ok 161" if "read ok a1" in child else "signal SIGSEGV")
    if not dontfork:
        assert (machine.pfn(process="c") == pinned) == ("child pfn == pin" in child)
    machine.do("write p0 m 0xb2")
    assert (machine.pfn() == pinned) == ("kept page" in recorded["parent_after_fork_writes"])
    machine.do("dma r write 0xee")
    seen = 0xEE if "visible" in recorded["parent_after_fork_writes"] else 0xB2
    assert machine.do("read p0 m") == f"ok {seen}"


@pytest.mark.parametrize("kernel", KERNELS)
def test_udmabuf_over_a_punched_memfd(kernel: str) -> None:
    recorded = MOVES[kernel]["stale_udmabuf"]
    machine = Machine(
        kernel,
        "memfd f 4\nmmap p0 file memfd:f shared rw 4\nwrite p0 file 0xa1\nseal f shrink\n"
        "bo b 4 exporter=udmabuf memfd=f\nexport b as=d\n"
        "mmap p0 m dmabuf:d shared rw 4\nread p0 m\nattach d dev\nmap d dev as=i",
    )
    assert machine.pfn() == machine.pfn(label="file")
    orphan = machine.pfn()
    in_flight = 1 if kernel == "6.1" else 0  # the recorder's vmsplice has left the page in a pipe
    assert recorded["1.importer"].endswith(f"refcount {machine.state.frames[orphan].refcount + in_flight}")
    assert machine.tried("gup p0 m+0 as=r pin longterm write") == ("ok" if kernel == "6.1" else "EFAULT")
    assert recorded["2.punch_hole"] == "0"
    zapped = machine.zapped("punch f 0 1")
    start = machine.state.labels["p0", "m"].start
    assert all(not low <= start < high for _, low, high in zapped)  # no notification for the udmabuf mapping
    assert machine.pfn() == orphan
    assert machine.do("read p0 file") == "ok 0"
    assert machine.do("read p0 m") == "ok 161"
    assert machine.pfn(label="file") != orphan
    machine.do("write p0 file 0xb2")
    assert machine.do("read p0 m") == "ok 161"
    machine.do("write p0 m 0xc3")
    assert machine.do("read p0 file") == "ok 178"
    assert recorded["5.device_view(sg pfn)"].startswith("byte c3")
    if kernel != "6.1":  # there the reference `r` is still held
        assert recorded["5.device_view(sg pfn)"].endswith(
            f"refcount {machine.state.frames[orphan].refcount} mapcount 0"
        )
    assert machine.do("dma i read") == "ok 195"
    machine.do("bo second 4 exporter=udmabuf memfd=f\nmmap p0 n bo:second shared rw 4")
    assert "reads b2" in recorded["6.second_udmabuf"]
    assert machine.do("read p0 n") == "ok 178"
    splats = [event.title for account in machine.accounts for event in account.events if isinstance(event, Splat)]
    assert [title.startswith("BUG: Bad page cache") for title in splats] == ([True] if kernel == "6.1" else [])


# -- private mappings of PFN-mapped memory -----------------------------------------------------

PRIVATE: Final = {
    "dma_heap_system": "bo b 1 exporter=system-heap\nexport b as=d\nmmap p0 m dmabuf:d private rw 1",
    "devmem_reserved_ram": "mmap p0 m devmem private rw 4",
    "pci_resource_ram(ivshmem)": "mmap p0 m bar:dev private rw 4",
    "memfd_shared": "memfd f 4\nmmap p0 m memfd:f private rw 4",
}
STAGES: Final = {"0.untouched": "", "1.read_touched": "read p0 m", "2.written(COW)": "write p0 m 0x11"}
DOORS: Final = {
    "vmsplice": "gup p0 m+0 as=r",
    "gup_fast(read)": "gup p0 m+0 as=r",
    "gup_fast(WRITE)": "gup p0 m+0 as=r write",
    "gup_slow(WRITE)": "gup p0 m+0 as=r write slow",
    "pin_fast_LONGTERM": "gup p0 m+0 as=r write pin longterm",
    "pin_slow_LONGTERM": "gup p0 m+0 as=r write pin longterm slow",
    "process_vm_readv": "remote-read p9 p0 m",
    "odirect_read": "gup p0 m+0 as=r write pin",
}


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("mapping", sorted(PRIVATE))
def test_the_answer_depends_on_the_page_and_not_on_the_vma(kernel: str, mapping: str) -> None:
    """Finding 9: what was copied on write is an ordinary page in a VM_PFNMAP VMA, and only GUP-slow minds."""
    recorded = {
        name.removeprefix(f"{mapping}."): text
        for name, text in MOVES[kernel]["stale_private_pfnmap"].items()
        if name.startswith(f"{mapping}.")
    }
    machine = Machine(kernel, PRIVATE[mapping])
    for stage, touch in STAGES.items():
        machine.do(touch)
        wanted = {door: refusal(recorded[f"{stage}.{door}"]) for door in DOORS}
        assert {door: machine.tried(line) for door, line in DOORS.items()} == wanted, stage
        assert machine.mem() == refusal(recorded[f"{stage}.proc_self_mem_read"])
    if mapping != "memfd_shared":  # the recorder had the other mappings still there when it forked
        assert machine.do("fork p0 c") == ("error ENOMEM" if recorded["4.fork"] == "FAILED ENOMEM" else "ok")


def refusal(text: str) -> str:
    """An errno, or `ok` for whatever the recorder printed of a success."""
    return text if re.fullmatch(r"E[A-Z]+", text) else "ok"


def test_a_punched_memfd_reaches_its_own_mappings() -> None:
    """Unlike that of a udmabuf, which is not in its i_mmap."""
    machine = Machine("6.12", "memfd f 2\nmmap p0 m memfd:f shared rw 2\nwrite p0 m 1\nfork p0 c\nread c m")
    assert machine.zapped("punch f 0 1") == [("p0", 16, 17), ("c", 16, 17)]
