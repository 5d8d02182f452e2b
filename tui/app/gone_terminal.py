"""What Textual's drivers do not expect of a terminal: that it goes away, sends bytes that are no text, or is enormous.

They decode strictly in a thread of their own, so a byte that is no UTF-8 (a Latin-1 terminal, binary data that was
pasted) would end the app. At the end of the file, which is how a terminal says that it has gone, they read on as fast
as they can. And the thread that writes dies of the first error; whoever writes then waits for it for ever. A size is
believed, whatever it is: of 65 535 columns and lines (`stty` permits that) one frame would take gigabytes.
"""

from codecs import getincrementaldecoder
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from importlib import import_module
from typing import Any, Final, cast

from textual.constants import DRIVER
from textual.driver import Driver

from tui.session.ending import hung_up
from tui.session.terminal import LARGEST, is_served


def read_any_bytes() -> None:
    """Let the terminal send what it likes, and take the end of it for a hang-up."""
    with suppress(ImportError):  # not on this system
        driver = import_module((DRIVER or "textual.drivers.linux_driver").partition(":")[0])
        if hasattr(driver, "getincrementaldecoder"):
            driver.getincrementaldecoder = _forgiving  # type: ignore[attr-defined]


def _forgiving(encoding: str) -> Callable[[], object]:
    known = getincrementaldecoder(encoding)

    class TerminalDecoder(known):  # type: ignore[valid-type, misc]
        """Decodes what a terminal sends, until it has gone."""

        def decode(self, data: bytes, final: bool = False) -> str:
            """Text; a sequence that was cut in two is kept for the next time."""
            if not data and not final and not is_served():  # a browser may well send nothing
                hung_up()
            return str(super().decode(data, final))

    return partial(TerminalDecoder, errors="replace")


class GoneTerminal:
    """A terminal as a file to write to. Once it has gone, what is written is lost, and nobody waits."""

    def __init__(self, terminal: Any) -> None:
        self.terminal: Final = terminal

    def write(self, text: str) -> None:
        """Write, if there still is somebody to read it."""
        with suppress(OSError):
            self.terminal.write(text)

    def flush(self) -> None:
        """Let it be seen, likewise."""
        with suppress(OSError):
            self.terminal.flush()

    def fileno(self) -> int:
        """The number of the terminal."""
        return int(self.terminal.fileno())


class OutlivesTerminal:
    """Mixed into a driver of Textual's."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._file: Any = GoneTerminal(self._file)
        self._size: tuple[int, int] | None = self._size or self._get_terminal_size()

    def _get_terminal_size(self) -> tuple[int, int]:
        width, height = cast("Any", super())._get_terminal_size()  # noqa: SLF001 - Textual's own
        return min(width, LARGEST[0]), min(height, LARGEST[1])


def outliving(driver: type[Driver]) -> type[Driver]:
    """The driver, able to end in order after its terminal, where it draws on one of this machine."""
    if not hasattr(driver, "_get_terminal_size"):
        return driver
    return type("OutlivingDriver", (OutlivesTerminal, driver), {})
