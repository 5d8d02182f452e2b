"""Large type: everything on the screen twice as wide and twice as high, drawn by terminals that can do that.

Two ways are known: lines of double height (DECDHL of the VT100: xterm, Konsole, mintty, PuTTY, WezTerm, iTerm2, Apple's
and Windows' terminal have) and kitty's text sizing protocol (OSC 66, since kitty 0.40). The app lays out a screen of
half the size; what it writes is rewritten on its way to the terminal, and so is where the mouse points.
"""

import re
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final, Literal, cast

from textual.driver import Driver
from textual.events import MouseEvent, Resize
from textual.geometry import Size

from lessons.i18n.language import tr

if TYPE_CHECKING:
    from textual.message import Message

Way = Literal["", "dec", "kitty"]

PLACE: Final = r"\x1b\[(?:(\d+);(\d+))?H"
PARTS: Final = r"(\x1b\[[0-9;:]*m)|(\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)|.))"
"""Compiled when something is first drawn large."""
FORCED: Final = "PTESCOPE_LARGE_TYPE"
"""Says which way a terminal knows that is not recognised: `dec`, `kitty` or `none`."""
LEAST: Final = (80, 24)
"""Columns and lines that the app needs; a terminal must have twice as many."""


def way_of(environment: Mapping[str, str]) -> Way:
    """The way that the terminal knows, by what it says of itself; empty: none that is known.

    >>> way_of({"TERM": "xterm-kitty"}), way_of({"XTERM_VERSION": "XTerm(390)"}), way_of({"TERM": "alacritty"})
    ('kitty', 'dec', '')
    >>> way_of({"XTERM_VERSION": "XTerm(390)", "TMUX": "/tmp/tmux"}), way_of({"PTESCOPE_LARGE_TYPE": "dec"})
    ('', 'dec')
    """
    forced = environment.get(FORCED, "")
    if forced in {"dec", "kitty", "none"}:
        return cast("Way", "" if forced == "none" else forced)
    term = environment.get("TERM", "")
    if environment.get("TMUX") or environment.get("STY") or term.startswith(("screen", "tmux")):
        return ""
    if term == "xterm-kitty" or environment.get("KITTY_WINDOW_ID"):
        return "kitty"
    programs = {"WezTerm", "iTerm.app", "Apple_Terminal", "mintty"}
    signs = ("XTERM_VERSION", "KONSOLE_VERSION", "WT_SESSION")
    known = environment.get("TERM_PROGRAM") in programs or any(environment.get(sign) for sign in signs)
    return "dec" if known or term.startswith(("putty", "mlterm")) else ""


def how_to_enlarge(environment: Mapping[str, str]) -> str:
    """What enlarges the font of a terminal that draws no large type itself."""
    if environment.get("TERM_PROGRAM") == "textual":
        return tr("Ctrl and + in the browser enlarge everything; Ctrl and 0 undoes it.")
    if environment.get("TERM_PROGRAM") == "vscode":
        return tr("Ctrl and = enlarges this terminal with its window; Ctrl and - undoes it.")
    return tr(
        "This terminal draws no large type itself: Ctrl, Shift and + enlarge its font in most, Cmd and + on a Mac."
    )


def enlarged(data: str, way: Way) -> str:
    r"""What the app writes for a small screen, as it is to be written for one of twice the size.

    >>> enlarged("\x1b[2;3Hab", "dec")
    '\x1b[3;3H\x1b#3ab\x1b[4;3H\x1b#4ab'
    >>> enlarged("\x1b[2;3H\x1b[1mab\x1b[0m", "kitty")
    '\x1b[3;5H\x1b[1m\x1b]66;s=2;ab\x1b\\\x1b[0m'
    """
    places = list(re.finditer(PLACE, data)) if way else []
    if not places:
        return data
    ends = [place.start() for place in places[1:]] + [len(data)]
    out = [data[: places[0].start()]]
    for place, end in zip(places, ends, strict=True):
        row, column = int(place[1] or 1), int(place[2] or 1)
        out.extend(_line(data[place.end() : end], row, column, way))
    return "".join(out)


def _line(text: str, row: int, column: int, way: Way) -> Iterator[str]:
    """One piece of a line, drawn twice as large."""
    looks, rest = _apart(text)
    if way == "kitty":
        yield f"\x1b[{2 * row - 1};{2 * column - 1}H"
        yield "".join(part if part.startswith("\x1b") else f"\x1b]66;s=2;{part}\x1b\\" for part in looks)
    else:
        drawn = "".join(looks)
        yield f"\x1b[{2 * row - 1};{column}H" + (f"\x1b#3{drawn}\x1b[{2 * row};{column}H\x1b#4{drawn}" if drawn else "")
    yield rest


def _apart(text: str) -> tuple[list[str], str]:
    """The text with its looks, and whatever else there is for the terminal: modes, titles."""
    drawn, rest, at = [], [], 0
    for found in re.finditer(PARTS, text):
        drawn += [text[at : found.start()].replace("\n", ""), found[1] or ""]
        rest.append(found[2] or "")
        at = found.end()
    drawn.append(text[at:].replace("\n", ""))
    return [part for part in drawn if part], "".join(rest)


class LargeType:
    """Mixed into a driver of Textual's: while `way` is set, the app sees a terminal of half the size."""

    way: Way = ""

    def write(self, data: str) -> None:
        """Write to the terminal."""
        cast("Any", super()).write(enlarged(data, self.way))

    def _get_terminal_size(self) -> tuple[int, int]:
        width, height = cast("Any", super())._get_terminal_size()  # noqa: SLF001 - Textual's own
        return (width // 2, height // 2) if self.way else (width, height)

    def send_message(self, message: "Message") -> None:
        """Hand a message to the app; places and sizes are those of the app's screen."""
        if self.way and isinstance(message, Resize):
            half = Size(message.size.width // 2, message.size.height // 2)
            message = Resize(half, half)
        elif self.way and isinstance(message, MouseEvent):
            for name in ("_x", "_y", "_screen_x", "_screen_y"):
                setattr(message, name, getattr(message, name) // 2)
        cast("Any", super()).send_message(message)

    def stop_application_mode(self) -> None:
        """Leave the terminal with lines as they were."""
        if self.way:
            self.enlarge("")
        cast("Any", super()).stop_application_mode()

    def enlarge(self, way: Way) -> tuple[int, int]:
        """Begin (or, with an empty way, end) large type; the size of the app's screen from now on."""
        rows = self._get_terminal_size()[1] * (2 if self.way else 1)
        self.way = ""
        plain = "".join(f"\x1b[{row};1H\x1b#5" for row in range(1, rows + 1))
        self.write(plain)
        self.wipe()
        self.way = way
        return self._get_terminal_size()

    def wipe(self) -> None:
        """Clear the screen: what was written for the other size, while it changed, must not stay."""
        cast("Any", super()).write("\x1b[2J\x1b[H")


def with_large_type(driver: type[Driver]) -> type[Driver]:
    """The driver with large type, where it draws on a terminal of this machine."""
    if not hasattr(driver, "_get_terminal_size"):
        return driver
    return type("LargeTypeDriver", (LargeType, driver), {})
