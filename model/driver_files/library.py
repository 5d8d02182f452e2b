"""The drivers that come along: files of this package, read as modules are, when somebody first asks for one."""

from functools import cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

FOLDER: Final = "files"
SUFFIX: Final = ".driver"
FIRST: Final = (
    *("qxl", "bochs", "vgem", "virtio-gpu", "cirrus", "system-heap", "udmabuf", "i915-shmem"),
    *("ttm-huge", "insert-page", "mixed", "no-zap", "late-zap", "no-flush"),
)
"""Drivers that stand before the others, which follow by name."""


def _folder() -> "Traversable":
    from importlib.resources import files  # noqa: PLC0415 - it loads tempfile and random; few runs read a driver

    return files(__package__).joinpath(FOLDER)


@cache
def names() -> tuple[str, ...]:
    """The drivers that come along, in the order in which tables show them."""
    found = (entry.name for entry in _folder().iterdir())
    named = sorted(name.removesuffix(SUFFIX) for name in found if name.endswith(SUFFIX))
    return *(name for name in FIRST if name in named), *(name for name in named if name not in FIRST)


@cache
def text_of(name: str) -> str:
    """The file of a driver that comes along. KeyError for any other name."""
    if name not in names():
        raise KeyError(name)
    return _folder().joinpath(f"{name}{SUFFIX}").read_text("utf-8")
