"""The few signs outside ASCII, and what stands for them on a terminal that has only ASCII."""

import locale
import os
from typing import Final, NamedTuple


class Glyphs(NamedTuple):
    """The signs that the panes draw with; each is one column wide, except the arrow."""

    arrow: str
    rule: str
    bar: str
    dot: str
    node: str
    here: str
    ahead: str
    link: str
    bullet: str
    ok: str
    broken: str
    caution: str
    pointer: str
    child: str
    named: str


UNICODE: Final = Glyphs("→", "─", "│", "·", "●", "◉", "○", "─", "•", "✓", "✗", "▲", "▶", "└", "◆")
ASCII: Final = Glyphs(">", "-", "|", ".", "*", "@", "o", "-", "*", "ok", "X", "!", ">", "`", "#")


def choose(environment: dict[str, str] | None = None) -> Glyphs:
    """ASCII on the Linux console, where PTESCOPE_ASCII is set, and where the locale is not UTF-8."""
    given = os.environ if environment is None else environment
    if given.get("PTESCOPE_ASCII") or given.get("TERM") in {"linux", "dumb", "vt100"}:
        return ASCII
    for name in ("LC_ALL", "LC_CTYPE", "LANG"):
        if given.get(name):
            encoding = given[name].partition(".")[2].lower().replace("-", "")
            return UNICODE if encoding.startswith("utf8") else ASCII
    return UNICODE if locale.getpreferredencoding(do_setlocale=False).lower() == "utf-8" else ASCII
