"""What was typed at the prompt, kept from one session to the next."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lessons.learner.own_file import append_own, read_own, replace_file

if TYPE_CHECKING:
    from textual.events import Key

FILE_NAME: Final = "typed"
MOST_KEPT: Final = 500


class PromptHistory:
    """Lines, oldest first. Without a file they live as long as the program; a file that cannot be used is no harm."""

    def __init__(self, path: Path | None = None) -> None:
        self.path: Final = path
        self._lines: list[str] | None = None

    @property
    def lines(self) -> list[str]:
        """All of them; the file is read when the first prompt opens."""
        if self._lines is None:
            self._lines = []
            if self.path is not None:
                with contextlib.suppress(OSError, UnicodeDecodeError):
                    self._lines = read_own(self.path).decode().splitlines()[-MOST_KEPT:]
        return self._lines

    def add(self, line: str) -> None:
        """Keep a line, unless it equals the last one."""
        lines = self.lines
        if not line or lines[-1:] == [line]:
            return
        lines.append(line)
        if self.path is not None:
            with contextlib.suppress(OSError):
                self.path.parent.mkdir(parents=True, exist_ok=True)
                if len(lines) > 2 * MOST_KEPT:
                    del lines[:-MOST_KEPT]
                    replace_file(self.path, "".join(f"{each}\n" for each in lines).encode())
                else:
                    append_own(self.path, f"{line}\n".encode())

    def search(self, text: str, before: int) -> int:
        """The number of the last line before `before` that contains a text; -1 if there is none."""
        lines = self.lines
        return next((at for at in range(min(before, len(lines)) - 1, -1, -1) if text in lines[at]), -1)


class TakesEarlyKeys:
    """A screen with a line to type in: it also takes keys that were pressed before it had opened."""

    def take_early(self, event: "Key") -> bool:
        """Take a key that reached no line; whether it is one to take."""
        raise NotImplementedError
