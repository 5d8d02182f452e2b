"""Uses that are in order, which a defence should not break: each a small script with expectations."""

from typing import Final, NamedTuple

from model.compare.scenes import DriverRow, Settings, as_text, buffer_lines, settings_lines
from model.engine.config import KERNELS


class Use(NamedTuple):
    """Something that people do today, and may go on doing."""

    name: str
    meaning: str
    lines: tuple[str, ...]
    """What follows the `set` lines."""
    kind: str = ""
    """The exporter whose buffer it is about, if it is about one."""


def _use(name: str, meaning: str, script: str, kind: str = "") -> Use:
    return Use(name, meaning, tuple(line.strip() for line in script.strip().splitlines()), kind)


ORDINARY: Final = (
    _use(
        "direct I/O",
        "a device writes into ordinary memory that GUP-fast got hold of",
        """
        process p0
        device nic
        mmap p0 buf anon private rw 1
        write p0 buf 1
        gup p0 buf as=r write by=nic
        expect ok
        dma r write 9
        put r
        read p0 buf
        expect value 9
        """,
    ),
    _use(
        "GUP-fast alone",
        "get_user_pages_fast_only(), for those who must not sleep",
        """
        process p0
        device nic
        mmap p0 buf anon private rw 1
        write p0 buf 1
        gup p0 buf as=r fast-only by=nic
        expect ok
        put r
        """,
    ),
    _use(
        "RDMA",
        "a long-term pin on ordinary memory",
        """
        process p0
        device nic
        mmap p0 buf anon private rw 1
        write p0 buf 1
        gup p0 buf as=r write pin longterm by=nic
        expect ok
        dma r write 9
        put r
        read p0 buf
        expect value 9
        """,
    ),
    _use(
        "direct I/O to DAX",
        "a device writes into a mapped file on persistent memory",
        """
        process p0
        device nic
        dax x 1
        mmap p0 buf dax:x shared rw 1
        write p0 buf 1
        gup p0 buf as=r write by=nic
        expect ok
        dma r write 9
        put r
        read p0 buf
        expect value 9
        """,
    ),
    _use(
        "packet ring sent on",
        "GUP on a ring that was mapped with vm_insert_page()",
        """
        process p0
        device nic
        mmap p0 buf packet shared rw 1
        write p0 buf 1
        gup p0 buf as=r by=nic
        expect ok
        put r
        """,
    ),
    _use(
        "KVM on a BAR",
        "a guest is given a device's registers: a static PFN mapping without struct pages",
        """
        process p0
        device gpu
        device guest
        mmap p0 buf bar:gpu shared rw 1
        follow p0 buf as=k by=guest
        expect ok
        dma k write 9
        put k
        read p0 buf
        expect value 9
        """,
    ),
    _use(
        "HMM mirror",
        "a device follows the page table through hmm_range_fault() and an MMU notifier",
        """
        process p0
        device gpu
        mmap p0 buf anon private rw 1
        write p0 buf 1
        mirror p0 buf as=m by=gpu
        expect ok
        migrate p0 buf
        dma m write 9
        put m
        read p0 buf
        expect value 9
        """,
    ),
    _use(
        "fork",
        "copy-on-write of ordinary memory",
        """
        process p0
        mmap p0 buf anon private rw 1
        write p0 buf 1
        fork p0 c
        expect ok
        write p0 buf 2
        read c buf
        expect value 1
        """,
    ),
    _use(
        "migration",
        "compaction moves an ordinary page",
        """
        process p0
        mmap p0 buf anon private rw 1
        write p0 buf 1
        migrate p0 buf
        expect ok
        read p0 buf
        expect value 1
        """,
    ),
    _use(
        "swap",
        "an ordinary page is swapped out and comes back",
        """
        process p0
        mmap p0 buf anon private rw 1
        write p0 buf 1
        reclaim p0 buf
        expect ok
        read p0 buf
        expect value 1
        """,
    ),
    _use(
        "debugger",
        "process_vm_readv() and /proc/PID/mem on ordinary memory",
        """
        process p0
        process p1
        mmap p0 buf anon private rw 1
        write p0 buf 1
        remote-read p1 p0 buf
        expect value 1
        force-write p1 p0 buf 2
        expect ok
        read p0 buf
        expect value 2
        """,
    ),
)
"""Uses that have nothing to do with buffers."""


def _buffer(name: str, meaning: str, kind: str, script: str) -> Use:
    """A use of a buffer that is mapped into p0 through its dma-buf."""
    use = _use(name, meaning, script, kind)
    # How these few are made is the same on all kernels.
    lines = ("process p0", "device dev", *buffer_lines(DriverRow((kind,)), KERNELS[-1]), "expect ok", *use.lines)
    return use._replace(lines=lines)


BUFFERS: Final = (
    _buffer(
        "KVM on a TTM buffer",
        "a guest is given a graphics buffer that stays where it is",
        "qxl",
        """
        write p0 buf 1
        follow p0 buf as=k by=dev
        expect ok
        dma k write 9
        put k
        read p0 buf
        expect value 9
        """,
    ),
    _buffer(
        "KVM on a GEM buffer",
        "the same with a driver whose buffers never move",
        "vgem",
        """
        write p0 buf 1
        follow p0 buf as=k by=dev
        expect ok
        dma k write 9
        put k
        read p0 buf
        expect value 9
        """,
    ),
    _buffer(
        "direct I/O on a udmabuf",
        "GUP on a mapped udmabuf, as 6.1 lets everybody do",
        "udmabuf",
        """
        write p0 buf 1
        gup p0 buf as=r write by=dev
        expect ok
        dma r write 9
        put r
        read p0 buf
        expect value 9
        """,
    ),
    _buffer(
        "direct I/O on a shmem buffer",
        "GUP on a buffer that is mapped as the shmem file under it",
        "i915-shmem",
        """
        write p0 buf 1
        gup p0 buf as=r write by=dev
        expect ok
        dma r write 9
        put r
        read p0 buf
        expect value 9
        """,
    ),
    _buffer(
        "static importer",
        "a device that cannot follow moves: the exporter pins the buffer for it",
        "qxl",
        """
        attach d dev
        map d dev as=m
        expect ok
        dma m write 9
        read p0 buf
        expect value 9
        unmap m
        detach d dev
        """,
    ),
    _buffer(
        "buffer across fork",
        "the child goes on with the buffer that its parent mapped",
        "qxl",
        """
        write p0 buf 1
        fork p0 c
        expect ok
        read c buf
        expect value 1
        """,
    ),
    _buffer(
        "buffer moves",
        "to video memory and back, and the process finds it in both places",
        "qxl",
        """
        write p0 buf 1
        move b vram
        expect ok
        read p0 buf
        expect value 1
        move b gtt
        expect ok
        read p0 buf
        expect value 1
        """,
    ),
    _buffer(
        "debugger on a TTM buffer",
        "/proc/PID/mem through the driver's vm_ops->access",
        "qxl",
        """
        process p1
        write p0 buf 1
        force-write p1 p0 buf 2
        expect ok
        read p0 buf
        expect value 2
        """,
    ),
)
"""Uses of mapped buffers."""


def mapping_use(row: DriverRow, kernel: str) -> Use:
    """The least that a driver's users expect: map the dma-buf, write, read, unmap."""
    kind = row.kinds[0]
    script = "write p0 buf+0 1\nexpect ok\nread p0 buf+0\nexpect value 1\nmunmap p0 buf\nexpect ok"
    lines = ("process p0", *buffer_lines(row, kernel), "expect ok", *script.splitlines())
    return Use(f"mapping: {row.name}", "the CPU reads and writes a mapped buffer", lines, kind)


def use_scene(use: Use, defence: Settings, kernel: str) -> str:
    """The script of a use under a defence."""
    row = DriverRow((use.kind,)) if use.kind else None
    return as_text((*settings_lines(kernel, defence, row), *use.lines))


def uses(rows: tuple[DriverRow, ...], kernel: str) -> tuple[Use, ...]:
    """All uses, with the mapping of every driver's buffers."""
    return *ORDINARY, *BUFFERS, *(mapping_use(row, kernel) for row in rows)
