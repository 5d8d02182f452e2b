"""The drivers that come along: files of this package, read as modules are, when somebody first asks for one."""

from functools import cache
from pkgutil import get_data
from typing import Final

FOLDER: Final = "files"
SUFFIX: Final = ".driver"
NAMES: Final = (
    *("qxl", "bochs", "vgem", "virtio-gpu", "cirrus", "system-heap", "udmabuf", "i915-shmem"),
    *("ttm-huge", "insert-page", "mixed", "no-zap", "late-zap", "no-flush"),
    "panfrost",
)
"""Each a file in FOLDER, in the order in which tables show them. (A list: looking into the folder would load tempfile
and random, which the model has no use for.)"""


def names() -> tuple[str, ...]:
    """The drivers that come along, in the order in which tables show them."""
    return NAMES


@cache
def text_of(name: str) -> str:
    """The file of a driver that comes along. KeyError for any other name."""
    if name not in NAMES:
        raise KeyError(name)
    found = get_data(__package__, f"{FOLDER}/{name}{SUFFIX}")
    assert found is not None, "the loader of this package reads no files"
    return found.decode()
