"""Exporters: which driver a buffer belongs to, and how that driver maps and moves it. One line a kind.

The first question about a mapping is always this one: how are its entries made? Special entries (vmf_insert_pfn) count
nothing and refuse get_user_pages(); ordinary ones (vm_insert_page, a ->fault that returns a page) count, and do not.
"""

from typing import Final, Literal, NamedTuple

from model.driver_files.records import KernelDriver
from model.engine.config import fact, setting
from model.engine.mends import mended
from model.kernel.drivers.driver import described_ops, driver_of
from model.memory.flags import VM_DONTDUMP, VM_DONTEXPAND, VM_IO, VM_MIXEDMAP, VM_PFNMAP
from model.memory.state import Memory

Insert = Literal["pfn", "huge-pfn", "page", "mixed", "remap", "return-page", "shmem"]
"""vmf_insert_pfn, vmf_insert_pfn_pmd, vm_insert_page, vmf_insert_mixed, remap_pfn_range at mmap time, a ->fault that
returns the page, and the mapping of the shmem file itself."""


class Exporter(NamedTuple):
    """How one driver behaves."""

    ops: str
    """`Vma.ops` of its mappings: the line of vm_operations() that serves their faults."""
    insert: Insert
    vm_flags: int
    """VM_* flags that its ->mmap sets."""
    moves: bool = False
    """TTM: its buffers move between VRAM and system memory."""
    zaps: bool = True
    """It calls unmap_mapping_range() before it moves a buffer. False: a bug."""
    zaps_late: bool = False
    """… but after it has copied the buffer, so what is written in between is lost: a bug."""
    flushes: bool = True
    """… and that flushes the TLBs. False: a bug."""
    private_pages: int = 0
    """Longest MAP_PRIVATE mapping it allows, in pages; most refuse any."""


DONT: Final = VM_DONTEXPAND | VM_DONTDUMP
TTM: Final = Exporter("ttm", "pfn", VM_PFNMAP | VM_IO | DONT, moves=True)
GEM_SHMEM: Final = Exporter("gem-shmem", "pfn", VM_PFNMAP | DONT)

EXPORTERS: Final[dict[str, Exporter]] = {
    "qxl": TTM,
    "bochs": TTM,
    "vgem": GEM_SHMEM,
    "virtio-gpu": GEM_SHMEM,
    "cirrus": GEM_SHMEM,
    "system-heap": Exporter("heap", "remap", VM_PFNMAP | VM_IO | DONT, private_pages=1),
    "udmabuf": Exporter("udmabuf", "pfn", VM_PFNMAP | DONT),
    "i915-shmem": Exporter("shmem", "shmem", 0),
    "ttm-huge": TTM._replace(ops="ttm-huge", insert="huge-pfn"),
    "insert-page": Exporter("insert-page", "page", VM_MIXEDMAP | DONT, moves=True),
    "mixed": Exporter("insert-mixed", "mixed", VM_MIXEDMAP | DONT, moves=True),
    "no-zap": TTM._replace(zaps=False),
    "late-zap": TTM._replace(zaps_late=True),
    "no-flush": TTM._replace(flushes=False),
}
"""By `exporter=` of the script language (kernel-facts J.3, K)."""


def exporter(mem: Memory, kind: str) -> Exporter:
    """How the driver behaves on this machine's kernel. KeyError for an unknown kind."""
    if kind == "bochs" and not fact(mem, "bochs uses TTM"):
        return GEM_SHMEM
    if kind == "udmabuf" and not fact(mem, "udmabuf maps PFNs"):
        return EXPORTERS[kind]._replace(insert="return-page", vm_flags=0)
    if kind in EXPORTERS and EXPORTERS[kind].ops == "ttm" and not mended(mem, "ttm-no-huge"):
        return EXPORTERS[kind]._replace(ops="ttm-huge", insert="huge-pfn")
    return EXPORTERS[kind] if kind in EXPORTERS else _described(driver_of(mem, kind))


def _described(driver: KernelDriver) -> Exporter:
    """A driver that is described by a file, as far as its mappings go."""
    inserts: dict[str, Insert] = {"file": "shmem", "remap": "remap"}
    shmem = driver.insert == "file"
    return Exporter(
        "shmem" if shmem else described_ops(driver),
        "remap" if driver.at == "mmap" and not shmem else inserts.get(driver.insert, "pfn"),
        driver.vma_flags,
        moves=driver.moves,
        private_pages=driver.private_pages,
    )


def has_pmd_special(mem: Memory) -> bool:
    """Whether huge entries have a special bit: the setting, or what the kernel has."""
    chosen = setting(mem, "pmd-special")
    return fact(mem, "PMD special bit") if chosen == "kernel" else chosen == "on"
