"""The free sandbox is kept while somebody works in it: one file a session, offered when another one begins.

A file is replaced atomically a few seconds after a move, so a kill at any moment loses no more than those.
"""

import contextlib
import os
from datetime import datetime
from pathlib import Path
from typing import Final, NamedTuple

from lessons.learner.own_file import read_own, replace_file

FOLDER: Final = "sandbox"
MOST_BYTES: Final = 4_000_000
MOST_KEPT: Final = 12
"""Sessions of which the last are kept."""


class Kept(NamedTuple):
    """The file of a session that is over."""

    path: Path
    commands: int
    last: str
    """Its last command."""
    when: str


class Autosave:
    """The files of sandbox sessions in a folder; one of them is this session's."""

    def __init__(self, folder: Path) -> None:
        self.folder: Final = folder
        now = datetime.now().astimezone()
        self.path: Final = folder / f"{now:%Y%m%d-%H%M%S-%f}-{os.getpid()}.pte"
        self._trimmed = False

    def write(self, text: str) -> None:
        """Replace this session's file. Raises OSError."""
        self.folder.mkdir(parents=True, exist_ok=True)
        replace_file(self.path, text.encode())
        if not self._trimmed:
            self._trimmed = True
            self._trim()

    def _trim(self) -> None:
        """Forget the oldest sessions."""
        for path in self._others()[MOST_KEPT:]:
            with contextlib.suppress(OSError):
                path.unlink()

    def _others(self) -> list[Path]:
        """The files of other sessions that are over, the newest first."""
        found = sorted(self.folder.glob("*.pte"), key=lambda path: path.name, reverse=True)
        return [path for path in found if path != self.path and not _still_running(path)]

    def last(self) -> Kept | None:
        """The newest session that is over; None if there is none that can be read."""
        for path in self._others():
            with contextlib.suppress(OSError, ValueError):
                text = read_own(path, MOST_BYTES).decode()
                lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
                when = datetime.fromtimestamp(path.stat().st_mtime).astimezone()
                return Kept(path, len(lines), lines[-1] if lines else "", f"{when:%Y-%m-%d %H:%M}")
        return None


def _still_running(path: Path) -> bool:
    """Whether the program that writes the file is still there; a number that another program has now counts too."""
    number = path.stem.rpartition("-")[2]
    if not number.isdigit() or int(number) == os.getpid():
        return False
    try:
        os.kill(int(number), 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    return True
