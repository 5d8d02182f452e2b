"""The ready scenes: scripts that each tell one story, with a description in their first comment lines."""

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple

SCENES: Final = Path(__file__).parents[1] / "scenes"


class ReadyScene(NamedTuple):
    """A script to start from."""

    name: str
    about: str
    """What it is about: the comment that it begins with, as one line."""
    text: str


@lru_cache(maxsize=1)
def ready_scenes(folder: Path = SCENES) -> tuple[ReadyScene, ...]:
    """Every scene of a folder, by name."""
    paths = sorted(folder.glob("*.pte"))
    return tuple(_read(path.stem, path.read_text(encoding="utf-8")) for path in paths)


def _read(name: str, text: str) -> ReadyScene:
    return ReadyScene(name, " ".join(_comment(text)), text)


def _comment(text: str) -> Iterator[str]:
    """The lines of the comment that a script begins with; what a recording says of it is left out."""
    for line in text.splitlines():
        if not line.startswith("#") or line.startswith("# Recorded on"):
            return
        yield line.removeprefix("#").strip()
