"""How each role looks in a theme: colours from the theme, and attributes so that nothing is said by colour alone."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

from rich.style import Style
from textual.color import Color, ColorParseError
from textual.theme import Theme

HIGH_CONTRAST: Final = Theme(
    name="ptescope-high-contrast",
    primary="#ffff00",
    secondary="#00ffff",
    accent="#00ffff",
    warning="#ffff00",
    error="#ff9d9d",
    success="#7dff7d",
    foreground="#ffffff",
    background="#000000",
    surface="#000000",
    panel="#1c1c1c",
    dark=True,
    variables={"text-muted": "#e0e0e0", "footer-key-foreground": "#ffff00"},
)
"""White on black; every colour at a contrast of at least 7:1 to the background (WCAG AAA)."""

PTESCOPE: Final = Theme(
    name="ptescope",
    primary="#6cb6ff",
    secondary="#39c5cf",
    accent="#39c5cf",
    warning="#f0b72f",
    error="#ff7b72",
    success="#57c76a",
    foreground="#e2e8f0",
    background="#0f1419",
    surface="#0f1419",
    panel="#1d2530",
    dark=True,
    variables={"text-muted": "#97a3b3"},
)
"""The usual look. New is green with a `+`, changed amber with a `~`, broken red in reverse with a `!`."""

COLOUR_BLIND: Final = Theme(
    name="ptescope-colour-blind",
    primary="#f5f5f5",
    secondary="#f5f5f5",
    accent="#d6b4fc",
    warning="#f7f07a",
    error="#ec6a1e",
    success="#56b4e9",
    foreground="#e8e8e8",
    background="#101418",
    surface="#101418",
    panel="#1f2730",
    dark=True,
    variables={"text-muted": "#a0a8b0"},
)
"""New is blue, changed yellow, broken orange (after Okabe and Ito): as different without red, green or blue cones."""

LIGHT: Final = Theme(
    name="ptescope-light",
    primary="#0b4f9e",
    secondary="#00606a",
    accent="#00606a",
    warning="#7a4b00",
    error="#a81b12",
    success="#14602a",
    foreground="#1b1f24",
    background="#ffffff",
    surface="#ffffff",
    panel="#e6ebf0",
    dark=False,
    variables={"text-muted": "#545c66"},
)
"""Dark on white, for a bright room and for a projector."""

MONOCHROME: Final = Theme(
    name="ptescope-monochrome",
    primary="#ffffff",
    secondary="#ffffff",
    accent="#ffffff",
    warning="#ffffff",
    error="#ffffff",
    success="#ffffff",
    foreground="#ffffff",
    background="#000000",
    surface="#000000",
    panel="#000000",
    dark=True,
    variables={"text-muted": "#ffffff"},
)
"""One colour: signs, bold, underline and reverse say everything. NO_COLOR comes to the same in every theme."""

THEMES: Final = (PTESCOPE, HIGH_CONTRAST, COLOUR_BLIND, LIGHT, MONOCHROME)

MUTED: Final = 0.62
"""How much of the foreground is left in text of less weight, where the theme names no colour of its own for it."""


OWNERS: Final = {
    True: ("#7cc4ff", "#d8b4fe", "#5eead4", "#f9a8d4", "#c8d06a", "#cbd5e1"),
    False: ("#0b4f9e", "#6b21a8", "#0f5f58", "#9d174d", "#4d5300", "#374151"),
}
"""Colours of owners on a dark and on a light ground: none that says new, changed or broken."""
ANSI_OWNERS: Final = ("cyan", "magenta", "blue", "bright_cyan", "bright_magenta", "bright_blue")
"""The same where the terminal alone knows its colours."""


def roles(variables: Mapping[str, str]) -> dict[str, Style]:
    """Role → style, from a theme's CSS variables. The role `lit` and `cursor` are laid over another."""
    return dict(_roles(tuple((name, variables.get(name, "")) for name in USED)))


USED: Final = ("foreground", "background", "panel", "primary", "accent", "warning", "error", "success", "text-muted")


def parsed(value: str) -> Color | None:
    """A colour of a theme; `None` for what depends on what lies below it (`auto 60%`), or for no colour at all.

    Themes that leave the colours to the terminal say `ansi_default 50%`; the share is Textual's own business.
    """
    try:
        return Color.parse(value)
    except ColorParseError:
        name, _, share = value.rpartition(" ")
        return parsed(name) if name and share.endswith("%") and not name.startswith("auto") else None


@lru_cache(maxsize=32)
def _roles(used: tuple[tuple[str, str], ...]) -> Mapping[str, Style]:
    """The work behind `roles`, done once a theme."""
    colours = {name: colour for name, value in used if (colour := parsed(value)) is not None}
    foreground, background = colours["foreground"], colours["background"]
    muted = colours.get("text-muted") or background.blend(foreground, MUTED)
    shades = foreground.ansi is None and background.ansi is None
    """Whether colours can be mixed: what a terminal calls its default is known to the terminal alone."""

    def ink(name: str, *, bold: bool = False, reverse: bool = False, strike: bool = False) -> Style:
        return Style(color=colours[name].rich_color, bold=bold or None, reverse=reverse or None, strike=strike or None)

    dim = Style(color=muted.rich_color) if shades else Style(dim=True)
    several = {colours[name].rgb for name in ("foreground", "primary", "accent", "warning") if name in colours}
    inks = ANSI_OWNERS if not shades else OWNERS[background.brightness < foreground.brightness]
    owners = {f"owner{number}": Style(color=shade if len(several) > 1 else None) for number, shade in enumerate(inks)}
    return {
        **owners,
        "plain": Style(),
        "dim": dim,
        "title": ink("primary", bold=True),
        "name": ink("accent", bold=True),
        "key": ink("primary", bold=True),
        "strong": Style(bold=True),
        "emph": Style(italic=True),
        "code": ink("accent"),
        "new": ink("success", bold=True),
        "changed": ink("warning", bold=True),
        "gone": ink("error", strike=True),
        "ok": ink("success", bold=True),
        "hazard": ink("warning", bold=True),
        "wrong": ink("error", bold=True),
        "corruption": ink("error", bold=True, reverse=True),
        "splat": ink("error", bold=True, reverse=True),
        "now": ink("primary", bold=True),
        "here": ink("primary", bold=True, reverse=True),
        "lit": Style(bold=True, underline=True, bgcolor=colours["panel"].rich_color),
        "cursor": Style(bold=True, reverse=True),
        "bar": Style(bgcolor=colours["panel"].rich_color),
    }
