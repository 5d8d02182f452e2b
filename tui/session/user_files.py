"""Reading the files that a user names: whatever is wrong with one becomes a message, never a traceback."""

import os
import sys
from pathlib import Path
from typing import BinaryIO, Final

MOST_BYTES: Final = 4_000_000
"""No script or lesson comes near; a longer file is refused without reading it."""


def is_served() -> bool:
    """The screen is a browser's (`ptescope serve`): the files of this machine are not the learner's."""
    return bool(os.environ.get("TEXTUAL_DRIVER"))


class UnreadableError(Exception):
    """A file that cannot be read as text; the message starts with its name."""


def read_text(name: str) -> str:
    """The text of a file, or of standard input for `-`.

    Raises:
        UnreadableError: it cannot be opened, is a folder, is too long, or is not UTF-8.
    """
    try:
        if name == "-":
            raw = _limited(sys.stdin.buffer, name)
        else:
            with Path(name).open("rb") as file:
                raw = _limited(file, name)
    except (OSError, ValueError) as error:
        raise UnreadableError(f"{name}: {getattr(error, 'strerror', None) or error}") from None
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        before = raw[: error.start]
        line = before.count(b"\n") + 1
        column = len(before[before.rfind(b"\n") + 1 :].decode("utf-8")) + 1
        raise UnreadableError(f"{name}:{line}:{column}: this is not UTF-8 text") from None


def _limited(file: BinaryIO, name: str) -> bytes:
    raw = file.read(MOST_BYTES + 1)
    if len(raw) > MOST_BYTES:
        raise UnreadableError(f"{name}: longer than {MOST_BYTES} bytes, the most that is read")
    return raw
