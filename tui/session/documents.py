"""The documents that help texts name: they are installed beside the program, and in a checkout they stand in docs."""

from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parents[1]
INSTALLED: Final = HERE / "documents"
SOURCE: Final = HERE.parent / "docs"
"""Where they stand in a checkout."""


def document(name: str) -> str:
    """The text of a document, such as `authoring.md`. Raises OSError where it is not there."""
    for path in (INSTALLED / f"{Path(name).stem}.txt", SOURCE / name):
        if path.is_file():
            return path.read_text(encoding="utf-8")
    raise FileNotFoundError(2, "No such file or directory", name)
