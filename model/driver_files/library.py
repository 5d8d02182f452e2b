"""The bundled drivers: files of this package, read as modules are, when somebody first asks for one."""

from functools import cache
from pkgutil import get_data
from typing import Final

FOLDER: Final = "files"
SUFFIX: Final = ".driver"
NAMES: Final = (
    *("qxl", "bochs", "vgem", "virtio-gpu", "cirrus", "system-heap", "udmabuf", "i915-shmem"),
    *("ttm-huge", "insert-page", "mixed", "no-zap", "late-zap", "no-flush"),
    *("amdgpu", "i915-lmem", "etnaviv", "vfio-pci", "uio", "fb-defio", "habanalabs", "cma-heap"),
    "panfrost",
)
"""Each a file in FOLDER, in the order in which tables show them. (A list: looking into the folder would load tempfile
and random, which the model has no use for.)"""
UNMAPPED: Final = ("binder",)
"""Drivers of which a buffer is mapped by an operation alone: the scenes of the tables would find nothing there."""
APART: Final = ("no-bounds", "early-free", "early-switch", "late-notify", "part-zap", "pfnmap-page", "raw-numbers")
"""Wrong drivers with one mistake each that are in no table."""
WRONG: Final = ("no-zap", "late-zap", "no-flush", *APART)
"""All drivers that are wrong on purpose."""


def names() -> tuple[str, ...]:
    """The drivers of the tables, in their order."""
    return NAMES


def bundled() -> tuple[str, ...]:
    """Every driver that comes along."""
    return *NAMES, *UNMAPPED, *APART


@cache
def text_of(name: str) -> str:
    """The file of a driver that comes along. KeyError for any other name."""
    if name not in bundled():
        raise KeyError(name)
    found = get_data(__package__, f"{FOLDER}/{name}{SUFFIX}")
    assert found is not None, "the loader of this package reads no files"
    return found.decode()
