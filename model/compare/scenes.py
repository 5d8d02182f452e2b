"""What `ptescope compare` asks: exporters, grabbers and defences, and the scene of each combination as script text.

Nothing here says how a scene ends: a cell is what the search finds in the text. A scene sets up one buffer of one
driver and maps it into one process; then it permits one grab, one access through what was grabbed, and what the driver
does with its buffer meanwhile.
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from model.driver_files import library
from model.driver_files.records import KernelDriver
from model.driver_files.resolve import resolve
from model.engine.config import KERNELS
from model.kernel.arch.boot import boot
from model.kernel.drivers.driver import driver_of

Settings = tuple[tuple[str, str], ...]
"""Pairs of key and value, as `set` has them."""

DMABUF: Final = "dmabuf:d"
DRM_FILE: Final = "bo:b"


class DriverRow(NamedTuple):
    """A driver's way of mapping a buffer; drivers that do the same share a row."""

    kinds: tuple[str, ...]
    """Values of `exporter=`; the scene is made with the first."""
    backing: str = DMABUF
    """What the process maps: the dma-buf file, or the buffer through the DRM file."""

    @property
    def name(self) -> str:
        """What tables call the row.

        >>> DriverRow(("vgem", "cirrus")).name, DriverRow(("mixed",), DRM_FILE).name
        ('vgem, cirrus', 'mixed by DRM file')
        """
        return ", ".join(self.kinds) + (" by DRM file" if self.backing == DRM_FILE else "")


class Grabber(NamedTuple):
    """A way in which somebody gets hold of the buffer's pages."""

    name: str
    command: str
    """The grab itself, the first thing that the scene permits."""
    meaning: str
    then: str = "dma r write 99"
    """What it does with what it got; empty: no more than that."""
    before: tuple[str, ...] = ()
    """What it needs beforehand."""
    happenings: int = 2
    """How much of what the driver does is permitted meanwhile: each multiplies the states."""


GRABBERS: Final = (
    Grabber("cpu", "write p0 buf+0 66", "nobody: the process itself uses its mapping", then=""),
    Grabber("gup-slow", "gup p0 buf+0 as=r slow write by=dev", "get_user_pages(), FOLL_GET"),
    Grabber("gup-fast", "gup p0 buf+0 as=r write by=dev", "get_user_pages_fast(), FOLL_GET: direct I/O of 6.1"),
    Grabber("pin", "gup p0 buf+0 as=r write pin longterm by=dev", "pin_user_pages_fast(), FOLL_LONGTERM: RDMA"),
    Grabber("follow", "follow p0 buf+0 as=r by=dev", "KVM's hva_to_pfn(): GUP, then its own look at the entry"),
    Grabber("grab", "grab p0 buf+0 as=r by=dev", "a driver's pfn_to_page() and get_page()"),
    Grabber(
        "mirror",
        "mirror p0 buf+0 as=r by=dev",
        "hmm_range_fault() under an MMU notifier: no reference",
        happenings=1,
    ),
    Grabber("import", "map d dev as=r", "dma_buf_map_attachment(), dynamic importer", before=("attach d dev dynamic",)),
)

DEFENCES: Final[tuple[Settings, ...]] = (
    (),
    (("pte-special", "off"),),
    (("pmd-special", "on"),),
    (("dma-buf-check", "warn"),),
    (("dma-buf-check", "refuse"),),
    (("ttm-refcount", "zero"),),
    (("dma-buf-check", "refuse"), ("ttm-refcount", "zero")),
    (("page-noref", "on"),),
    (("gfp-refcount", "zero"),),
    (("gfp-refcount", "zero"), ("debug-vm", "on")),
    (("frozen-pages", "on"),),
)
"""Each a set of settings; the first is the kernel as it is, the second what the special bit itself is worth."""


def defence_name(settings: Settings) -> str:
    """How tables call a defence: its settings.

    >>> defence_name((("dma-buf-check", "refuse"), ("ttm-refcount", "zero"))), defence_name(())
    ('dma-buf-check=refuse ttm-refcount=zero', 'none')
    """
    return " ".join(f"{key}={value}" for key, value in settings) or "none"


def rows(kernel: str) -> tuple[DriverRow, ...]:
    """The drivers there are; kinds that this kernel's model cannot tell apart are one."""
    machine = boot(settings={"kernel": kernel})
    alike: dict[object, list[str]] = {}
    for kind in library.names():
        alike.setdefault(behaviour(driver_of(machine, kind)), []).append(kind)
    # The check under discussion sits in dma_buf_mmap(); the DRM file has an mmap of its own (thread, point 7).
    return *(DriverRow(tuple(kinds)) for kinds in alike.values()), DriverRow(("insert-page",), DRM_FILE)


def happenings(kind: str) -> tuple[str, ...]:
    """What may become of a buffer's pages while somebody holds them: what this driver does to them in its life."""
    driver = newest(kind)
    ops = [one.name for one in driver.ops if one.name not in {"move", "invalidate"}]
    if driver.moves:
        return "move b vram", "move b gtt"
    if driver.backing == "borrow:memfd":
        return ("punch f 0 1",)
    return tuple(f"{op} b" for op in ops) or ("munmap p0 buf", "destroy b")


def newest(kind: str) -> KernelDriver:
    """A driver that comes along, on the newest kernel."""
    return resolve(library.text_of(kind), KERNELS[-1])


def behaviour(driver: KernelDriver) -> object:
    """All of a driver but what it is called and where it was read: to be compared."""
    told = {"name", "about", "sources", "map_line", "lock_line", "ops", "functions"}
    fields = [getattr(driver, name) for name in driver.__struct_fields__ if name not in told]
    lists = [(one.name, [(step.text, step.when) for step in one.steps]) for one in (*driver.ops, *driver.functions)]
    return msgspec.msgpack.encode((fields, lists))


def buffer_lines(kind: str, backing: str = DMABUF) -> tuple[str, ...]:
    """A buffer of a driver, its dma-buf, and the mapping `buf` of it in p0: one page, or what a huge entry needs."""
    huge = is_huge(kind)
    pages, where = (512, " at=512") if huge else (1, "")
    created = (
        ("memfd f 1", "seal f shrink", f"bo b 1 exporter={kind} memfd=f")
        if newest(kind).backing == "borrow:memfd"
        else (f"bo b {pages} in=gtt exporter={kind}",)
    )
    return *created, "export b as=d", f"mmap p0 buf {backing} shared rw {pages}{where}"


def is_huge(kind: str) -> bool:
    """Whether its scenes have buffers of 512 pages, which a huge entry needs."""
    return newest(kind).insert == "huge-pfn"


def settings_lines(kernel: str, defence: Settings, kind: str = "") -> tuple[str, ...]:
    """The `set` lines of a scene. A huge buffer needs video memory to move to."""
    vram = (("vram", "1024"),) if kind and is_huge(kind) else ()
    return tuple(f"set {key} {value}" for key, value in (("kernel", kernel), *defence, *vram))


def scene(row: DriverRow, grabber: Grabber, defence: Settings, kernel: str) -> str:
    """The script of one cell. The first `may` line is the grab."""
    kind = row.kinds[0]
    permitted = (grabber.command, *filter(None, (grabber.then,)), *happenings(kind)[: grabber.happenings])
    return as_text(
        (
            *settings_lines(kernel, defence, kind),
            "process p0",
            "device dev",
            *buffer_lines(kind, row.backing),
            "write p0 buf+0 65",
            *grabber.before,
            *(f"may 1 {command}" for command in permitted),
        )
    )


def as_text(lines: Sequence[str]) -> str:
    """Lines as a script."""
    return "".join(f"{line}\n" for line in lines)
