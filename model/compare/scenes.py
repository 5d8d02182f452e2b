"""What `ptescope compare` asks: exporters, grabbers and defences, and the scene of each combination as script text.

Nothing here says how a scene ends: a cell is what the search finds in the text. A scene sets up one buffer of one
driver and maps it into one process; then it permits one grab, one access through what was grabbed, and what becomes of
the buffer meanwhile (`owner_acts`).
"""

from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from model.driver_files import library
from model.driver_files.page_ranges import tried
from model.driver_files.records import KernelDriver
from model.driver_files.resolve import resolve
from model.driver_files.writing import one_line
from model.kernel.arch.boot import boot
from model.kernel.drivers.driver import driver_of

Settings = tuple[tuple[str, str], ...]
"""Pairs of key and value, as `set` has them."""

HUGE_PAGES: Final = 512
"""Pages of a huge entry."""
DMABUF: Final = "dmabuf:d"
DRM_FILE: Final = "bo:b"
EXPORTING: Final = "export b as=d"


class DriverRow(NamedTuple):
    """A driver's way of mapping a buffer; drivers that do the same share a row."""

    kinds: tuple[str, ...]
    """Values of `exporter=`; the scene is made with the first."""
    backing: str = DMABUF
    """What the process maps: the dma-buf file, or the buffer through the DRM file."""
    text: str = ""
    """The file of a driver of one's own; empty: it comes along."""

    @property
    def name(self) -> str:
        """What tables call the row.

        >>> DriverRow(("vgem", "cirrus")).name, DriverRow(("mixed",), DRM_FILE).name
        ('vgem, cirrus', 'mixed by DRM file')
        """
        return ", ".join(self.kinds) + (" by DRM file" if self.backing == DRM_FILE else "")

    def driver(self, kernel: str) -> KernelDriver:
        """What the scene is made with, on a kernel."""
        return resolve(self.text or library.text_of(self.kinds[0]), kernel)

    def is_huge(self, kernel: str) -> bool:
        """Whether its scenes have buffers of 512 pages, which a huge entry needs."""
        return self.driver(kernel).insert == "huge-pfn"

    def pages(self, kernel: str) -> int:
        """Of the buffer in its scenes: one, what a huge entry needs, or more than the part that its steps name."""
        return HUGE_PAGES if self.is_huge(kernel) else tried(self.driver(kernel))[0]

    def at_page(self, command: str, kernel: str) -> str:
        """A command that is about the first page of the buffer, about the page at which a mistake would show.

        >>> DriverRow(("part-zap",)).at_page("gup p0 buf+0 as=r write by=dev", "6.18")
        'gup p0 buf+1 as=r write by=dev'
        """
        page = 0 if self.is_huge(kernel) else tried(self.driver(kernel))[1]
        return command.replace("buf+0", f"buf+{page}").replace("punch f 0", f"punch f {page}") if page else command


class Grabber(NamedTuple):
    """A way in which somebody gets hold of the buffer's pages."""

    name: str
    command: str
    """The grab itself, the first thing that the scene permits; empty: nobody grabs."""
    meaning: str
    then: str = "dma r write 99"
    """What it does with what it got; empty: no more than that."""
    before: tuple[str, ...] = ()
    """What it needs beforehand."""

    @property
    def commands(self) -> tuple[str, ...]:
        """What the scene permits him."""
        return tuple(filter(None, (self.command, self.then)))


NOBODY: Final = Grabber("nobody", "", "nobody at all: what the operation does by itself", then="")
"""What happens there happens without any grab, and is counted in no other cell."""

GRABBERS: Final = (
    Grabber("cpu", "write p0 buf+0 66", "nobody: the process itself uses its mapping", then=""),
    Grabber("gup-slow", "gup p0 buf+0 as=r slow write by=dev", "get_user_pages(), FOLL_GET"),
    Grabber("gup-fast", "gup p0 buf+0 as=r write by=dev", "get_user_pages_fast(), FOLL_GET: direct I/O of 6.1"),
    Grabber("pin", "gup p0 buf+0 as=r write pin by=dev", "pin_user_pages_fast(), FOLL_PIN: not for long"),
    Grabber("longterm", "gup p0 buf+0 as=r write pin longterm by=dev", "pin_user_pages_fast(), FOLL_LONGTERM: RDMA"),
    Grabber("follow", "follow p0 buf+0 as=r by=dev", "KVM's hva_to_pfn(): GUP, then its own look at the entry"),
    Grabber("grab", "grab p0 buf+0 as=r by=dev", "a driver's pfn_to_page() and get_page()"),
    Grabber("raw", "grab p0 buf+0 as=r raw by=dev", "a driver that keeps the bare frame number"),
    Grabber("mirror", "mirror p0 buf+0 as=r by=dev", "hmm_range_fault() under an MMU notifier: no reference"),
    Grabber("import", "map d dev as=r", "dma_buf_map_attachment(), dynamic importer", before=("attach d dev dynamic",)),
    Grabber(
        "import-static",
        "map d dev as=r",
        "dma_buf_map_attachment(), an importer that cannot follow moves",
        before=("attach d dev",),
    ),
    Grabber("direct-io", "direct-read p0 buf+0 99", "pread(2) with O_DIRECT into the mapping, in flight", then=""),
    Grabber("vmsplice", "vmsplice p0 buf+0 as=r", "vmsplice(2), and a read from the pipe later", then="peek r"),
    Grabber(
        "ptrace",
        "force-write p1 p0 buf+0 99",
        "a debugger: /proc/PID/mem, FOLL_FORCE, or the driver's vm_ops->access",
        then="",
        before=("process p1",),
    ),
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


def behaviour(driver: KernelDriver) -> object:
    """All of a driver but what it is called and where it was read: to be compared."""
    told = {"name", "about", "sources", "map_line", "lock_line", "ops", "functions"}
    fields = [getattr(driver, name) for name in driver.__struct_fields__ if name not in told]
    lists = [(one.name, [(step.text, step.when) for step in one.steps]) for one in (*driver.ops, *driver.functions)]
    return msgspec.msgpack.encode((fields, lists))


def buffer_lines(row: DriverRow, kernel: str) -> tuple[str, ...]:
    """A buffer of a driver, its dma-buf, and the mapping `buf` of it in p0: all of it."""
    kind, driver = row.kinds[0], row.driver(kernel)
    pages, where = row.pages(kernel), f" at={HUGE_PAGES}" if row.is_huge(kernel) else ""
    if driver.backing == "borrow:memfd":
        seals = " ".join(driver.require)
        sealed = [f"seal f {seals}"] if seals else []
        created = [f"memfd f {pages}", *sealed, f"bo b {pages} exporter={kind} memfd=f"]
    else:
        created = [f"bo b {pages} in=gtt exporter={kind}"]
    described = (one_line(row.text),) if row.text else ()
    mapped = DRM_FILE if driver.unexported else row.backing
    exported = () if driver.unexported else (EXPORTING,)
    return *described, *created, *exported, f"mmap p0 buf {mapped} shared rw {pages}{where}"


def for_reading(command: str) -> str:
    """A command of a scene whose driver permits no mapping that may be written.

    >>> for_reading("gup p0 buf as=r write"), for_reading("write p0 buf+0 65"), for_reading("dma r write 99")
    ('gup p0 buf as=r', 'read p0 buf+0', 'dma r read')
    """
    match command.split():
        case ["write", process, place, _]:
            return f"read {process} {place}"
        case ["dma", reference, "write", _]:
            return f"dma {reference} read"
        case ["gup", *_]:
            return command.replace(" write", "")
        case ["mmap", *_]:
            return command.replace(" shared rw ", " shared r ")
        case _:
            return command


def settings_lines(kernel: str, defence: Settings, row: DriverRow | None = None) -> tuple[str, ...]:
    """The `set` lines of a scene. A huge buffer needs video memory to move to."""
    vram = (("vram", "1024"),) if row is not None and row.is_huge(kernel) else ()
    return tuple(f"set {key} {value}" for key, value in (("kernel", kernel), *defence, *vram))


def as_text(lines: Sequence[str]) -> str:
    """Lines as a script."""
    return "".join(f"{line}\n" for line in lines)
