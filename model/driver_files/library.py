"""The drivers that come along: files of this package, read as modules are, when somebody first asks for one."""

from functools import cache
from importlib.resources import files
from typing import Final

FOLDER: Final = "files"
SUFFIX: Final = ".driver"


@cache
def names() -> tuple[str, ...]:
    """The drivers that come along, sorted."""
    found = (entry.name for entry in files(__package__).joinpath(FOLDER).iterdir())
    return tuple(sorted(name.removesuffix(SUFFIX) for name in found if name.endswith(SUFFIX)))


@cache
def text_of(name: str) -> str:
    """The file of a driver that comes along. KeyError for any other name."""
    if name not in names():
        raise KeyError(name)
    return files(__package__).joinpath(FOLDER, f"{name}{SUFFIX}").read_text("utf-8")
