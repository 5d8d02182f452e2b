"""The few signs outside ASCII, and what stands for them on a terminal that has only ASCII."""

import locale
import os
from typing import Final

import msgspec

from lessons.i18n.language import tr


class Glyphs(msgspec.Struct, frozen=True):
    """The signs that the panes draw with; each is one column wide, except in words."""

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
    empty: str
    """Where there is no entry."""
    new: str
    changed: str
    gone: str
    command: str
    """Before a command that is carried out."""
    answer: str
    """Between a command and what it answers."""
    alarm: str
    """Before a rule that is broken."""


UNICODE: Final = Glyphs(
    "→", "─", "│", "·", "●", "◉", "○", "─", "•", "✓", "✗", "▲", "▶", "└", "◆", "·", "+", "~", "-", "→", "→", "!"
)
ASCII: Final = Glyphs(
    ">", "-", "|", ".", "*", "@", "o", "-", "*", "ok", "X", "!", ">", "`", "#", ".", "+", "~", "-", ">", ">", "!"
)


def words() -> Glyphs:
    """For those who listen: a screen reader passes over most signs, and over a minus too. Each stands for one thing."""
    return Glyphs(
        arrow=f" {tr('to')} ",
        rule="",
        bar=tr("kernel log:"),
        dot=", ",
        node="",
        here=tr("here:"),
        ahead="",
        link="",
        bullet="",
        ok=tr("yes:"),
        broken=tr("no:"),
        caution=tr("hazard at"),
        pointer=tr("calls"),
        child="",
        named=tr("named"),
        empty=tr("empty"),
        new=tr("new"),
        changed=tr("changed"),
        gone=tr("gone"),
        command=tr("command:"),
        answer=tr("answer:"),
        alarm=tr("broken:"),
    )


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
