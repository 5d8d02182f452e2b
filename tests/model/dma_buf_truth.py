"""The recorded matrix of driver mappings (tests/recordings/dma-buf), and how the model answers the same probes.

A mapping is a few lines of script; a probe runs them, does one thing more, and words the outcome as the recording does.
"""

import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final

from model.engine.procedure import advance, begin
from model.kernel.arch.pgtable import PMD
from model.kernel.mm.remote import mem_read
from model.memory.errno import errno_name
from model.memory.flags import smaps_codes
from model.memory.records import Pte
from model.memory.state import State
from model.script.context import Outcome
from model.script.parser import parse
from model.script.runner import Runner

RECORDED: Final[dict[str, dict[str, dict[str, str]]]] = json.loads(
    (Path(__file__).parents[1] / "recordings" / "dma-buf" / "matrix.json").read_text()
)["matrix"]
KERNELS: Final = tuple(RECORDED)
PAGES: Final = 8


def buffer(exporter: str, how: str = "bo", place: str = "system") -> str:
    """A buffer of a driver, mapped through its DRM file or as a dma-buf."""
    memfd = f"memfd f {PAGES}\nseal f shrink\n" if exporter == "udmabuf" else ""
    of_memfd = " memfd=f" if exporter == "udmabuf" else ""
    made = f"{memfd}bo b {PAGES} in={place} exporter={exporter}{of_memfd}\n"
    exported = "export b as=d\n" if how == "dmabuf" else ""
    return f"{made}{exported}mmap p0 m {how}:{'d' if how == 'dmabuf' else 'b'} shared rw {PAGES}"


def plain(backing: str, share: str = "shared", before: str = "", pages: int = PAGES) -> str:
    """Any other backing."""
    return f"{before}mmap p0 m {backing} {share} rw {pages}"


MAPPINGS: Final[dict[str, str]] = {
    "anon_private": plain("anon", "private"),
    "anon_shared": plain("anon"),
    "memfd_shared": plain("memfd:f", before=f"memfd f {PAGES}\n"),
    "memfd_private": plain("memfd:f", "private", before=f"memfd f {PAGES}\n"),
    "memfd_secret": plain("secretmem"),
    "tmpfs_file_shared": plain("memfd:f", before=f"memfd f {PAGES}\n"),
    "udmabuf": buffer("udmabuf", "dmabuf"),
    "dma_heap_system": buffer("system-heap", "dmabuf"),
    "devmem_reserved_ram": plain("devmem"),
    "devmem_reserved_ram_private": plain("devmem", "private"),
    "pci_resource_ram(ivshmem)": plain("bar:gpu", before="device gpu\n"),
    "pci_resource_wc_ram(ivshmem)": plain("bar:gpu", before="device gpu\n"),
    "pci_resource_ram_private(ivshmem)": plain("bar:gpu", "private", before="device gpu\n"),
    "af_packet_ring": plain("packet"),
    "perf_event_ring": plain("perf", pages=PAGES + 1),
    "io_uring_sq_ring": plain("io_uring", pages=1),
    "drm_vgem:dumb": buffer("vgem"),
    "drm_vgem:prime": buffer("vgem", "dmabuf"),
    "drm_virtio_gpu:dumb": buffer("virtio-gpu"),
    "drm_virtio_gpu:prime": buffer("virtio-gpu", "dmabuf"),
    "drm_bochs+drm:dumb": buffer("bochs"),
    "drm_bochs+drm:prime": buffer("bochs", "dmabuf"),
    "drm_bochs+drm:scanout": buffer("bochs", place="vram"),
    "drm_bochs+drm:scanout_prime": buffer("bochs", "dmabuf", "vram"),
    "drm_qxl:dumb": buffer("qxl"),
    "drm_qxl:prime": buffer("qxl", "dmabuf"),
    "drm_qxl:qxl_alloc_vram": buffer("qxl", place="vram"),
    "drm_cirrus:dumb": buffer("cirrus"),
    "drm_cirrus:prime": buffer("cirrus", "dmabuf"),
    "drm_cirrus-qemu:dumb": buffer("cirrus"),
    "drm_cirrus-qemu:prime": buffer("cirrus", "dmabuf"),
}
"""Recorded mapping → the script that makes it. The rest of the matrix has no backing in the script language."""


class Probe:
    """A machine with the mapping, every page of it written once."""

    def __init__(self, kernel: str, mapping: str) -> None:
        self.text = f"set kernel {kernel}\ndevice dev\nprocess p0\nprocess p9\n{MAPPINGS[mapping]}\nwrite p0 m 0x4b"

    def outcomes(self, *commands: str) -> tuple[list[Outcome], State]:
        """What the further commands answer, and the machine after them."""
        runner = Runner()
        accounts = [runner.perform(command) for command in parse("\n".join((self.text, *commands)))]
        return [account.outcome for account in accounts[-len(commands) :]] if commands else [], runner.context.state

    def answer(self, command: str) -> str:
        """OK, or the errno or signal, as the recording words it."""
        (outcome,), _ = self.outcomes(command)
        return "OK" if outcome.status == "ok" else outcome.errno or outcome.signal

    def entry(self, state: State, process: str = "p0") -> Pte | None:
        """The entry of the mapping's first page."""
        label = state.labels[process, "m"]
        pmd = state.tables.get((process, PMD, label.start >> 9))
        return pmd if pmd is not None and pmd.huge else state.ptes.get((process, label.start))


def vm_flags(probe: Probe) -> str:
    """`VmFlags:` of the mapping; the recorded kernels track soft-dirty (sd), the model's does not."""
    _, state = probe.outcomes()
    return " ".join(smaps_codes(state.vmas["p0", state.labels["p0", "m"].start].flags))


def madv_dontneed(probe: Probe) -> str:
    """DONTNEED, then look at the entry, then read."""
    _, before = probe.outcomes()
    (advised,), after = probe.outcomes("madvise p0 m dontneed")
    (_, again), reread = probe.outcomes("madvise p0 m dontneed", "read p0 m")
    old, new = probe.entry(before), probe.entry(reread)
    assert old is not None
    head = "0" if advised.status == "ok" else advised.errno
    value = again.value or 0
    read = f"ok val={value:02x}" if again.status == "ok" else f"{again.signal}/{again.si_code[4:]} val=00"
    same = "same" if new is not None and new.pfn == old.pfn else "DIFF"
    return f"{head}; present after={int(probe.entry(after) is not None)}; reread {read} (had 4b); pfn {same}"


def fork(probe: Probe, *before: str) -> str:
    """Fork, look at the child's entry, let it read and write, see whether the parent notices."""
    script = (*before, "write p0 m 0x3c", "fork p0 c")
    _, forked = probe.outcomes(*script)
    parent = probe.entry(forked)
    assert parent is not None
    if forked.processes.get("c") is None:
        return "fork() itself FAILED: ENOMEM"
    answered, seen = probe.outcomes(*script, "read c m")
    read = answered[-1]
    if read.signal:
        return f"child read -> {read.signal}/{read.si_code[5:]}"
    child, touched = probe.entry(forked, "c"), probe.entry(seen, "c")
    answered, written = probe.outcomes(*script, "write c m 0x11", "read p0 m")
    noticed, mine = answered[-1], probe.entry(written, "c")
    assert touched is not None
    assert mine is not None
    start = "present=0 pfn=-" if child is None else f"present=1 pfn={_same(child, parent)}"
    return (
        f"child before touch: {start}; after read: {_same(touched, parent)} pfn val={read.value:02x}; "
        f"write ok pfn={_same(mine, parent)}; parent sees child's write: {'yes' if noticed.value == 0x11 else 'no'}; "
        "parent pfn unchanged"
    )


def _same(one: Pte, other: Pte) -> str:
    return "same" if one.pfn == other.pfn else "DIFF"


def madv_dofork(probe: Probe) -> str:
    """DONTFORK, then DOFORK: where that is refused, the child does not get the mapping any more."""
    (_, allowed), _ = probe.outcomes("madvise p0 m dontfork", "madvise p0 m dofork")
    head = "0" if allowed.status == "ok" else f"-1 {allowed.errno}"
    return f"{head}; then fork: {fork(probe, 'madvise p0 m dontfork', 'madvise p0 m dofork')}"


def proc_self_mem_read(probe: Probe) -> str:
    """A byte through /proc/PID/mem, for which the script language has no verb."""
    _, state = probe.outcomes()
    state = begin(state, "main", mem_read(mm="p9", target="p0", vpn=state.labels["p0", "m"].start), "p9", 1)
    while "main" in state.tasks:
        stepped = advance(state, "main")
        state = stepped.state
    assert stepped.result is not None
    return "OK" if stepped.result.ok else errno_name(stepped.result.value)


def map_private(probe: Probe) -> str:
    """One page of the same once more, MAP_PRIVATE, beside the shared mapping."""
    words = probe.text.splitlines()[-2].replace("p0 m ", "p0 twin ").replace(" shared ", " private ").split()
    return probe.answer(" ".join((*words[:-1], "1")))


NOT_EXPRESSED: Final = {("af_packet_ring", "mmap_MAP_PRIVATE_RW")}
"""A part of the same ring a second time: in the script language every mapping of a ring is a ring of its own."""

NO_CHILD: Final = re.compile(r"(child read -> SIGSEGV/MAPERR);.*")
"""Where the child has no such mapping, what the recorder then says about its write means nothing."""


def recorded_cells(kernel: str, mapping: str) -> dict[str, str]:
    """Probe → outcome of one mapping, as far as the model is asked; empty if the mapping was not to be had there."""
    cells = RECORDED[kernel][mapping]
    if not str(cells["created"]).startswith("ok"):
        return {}
    wanted = {
        probe: NO_CHILD.sub(r"\1", cells[probe])
        for probe in PROBES
        if cells[probe] not in {None, "-"} and (mapping, probe) not in NOT_EXPRESSED
    }
    # The recorded kernels track soft-dirty (sd); the one of the recordings in ../recordings does not.
    wanted["VmFlags"] = " ".join(code for code in wanted["VmFlags"].split() if code != "sd")
    return wanted


PROBES: Final[dict[str, Callable[[Probe], str]]] = {
    "VmFlags": vm_flags,
    "vmsplice": lambda probe: probe.answer("gup p0 m+0 as=r"),
    "process_vm_readv": lambda probe: probe.answer("remote-read p9 p0 m"),
    "get_user_pages_fast(WRITE)": lambda probe: probe.answer("gup p0 m+0 as=r write"),
    "get_user_pages(WRITE)": lambda probe: probe.answer("gup p0 m+0 as=r write slow"),
    "pin_user_pages_fast(WRITE,LONGTERM)": lambda probe: probe.answer("gup p0 m+0 as=r write pin longterm"),
    "pin_user_pages(WRITE,LONGTERM)": lambda probe: probe.answer("gup p0 m+0 as=r write pin longterm slow"),
    "get_user_pages(WRITE,FORCE)": lambda probe: probe.answer("gup p0 m+0 as=r write force slow"),
    "hmm_range_fault(WRITE)": lambda probe: probe.answer("mirror p0 m+0 as=r by=dev"),
    "proc_self_mem_read": proc_self_mem_read,
    "mmap_MAP_PRIVATE_RW": map_private,
    "mremap_grow": lambda probe: probe.answer(f"mremap p0 m pages={PAGES * 2} maymove"),
    "mlock": lambda probe: probe.answer("mlock p0 m"),
    "madv_DONTNEED": madv_dontneed,
    "madv_DOFORK": madv_dofork,
    "madv_HUGEPAGE": lambda probe: probe.answer("madvise p0 m hugepage"),
    "fork": fork,
    "munmap_then_access": lambda probe: probe.answer("munmap p0 m\nread p0 @16"),
}
