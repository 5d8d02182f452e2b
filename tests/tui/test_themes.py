"""Our themes: what stands on the screen can be read, also by eyes without one kind of cones."""

from itertools import combinations

import pytest
from textual.app import App
from textual.color import Color, rgb_to_lab
from textual.theme import Theme

from tui.widgets.role_styles import COLOUR_BLIND, HIGH_CONTRAST, THEMES, roles

READABLE = 4.5
"""Contrast that WCAG AA asks of text; AAA asks for 7."""
APART = 25.0
"""Distance in Lab space from which nobody takes one colour for another at a glance."""

Matrix = tuple[tuple[float, float, float], ...]
MISSING: dict[str, Matrix] = {
    "all cones": ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0)),
    "protanopia": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deuteranopia": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881)),
    "tritanopia": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.303900)),
}
"""What becomes of linear RGB without one kind of cones (Machado, Oliveira and Fernandes 2009)."""


def linear(value: float) -> float:
    """A channel without its gamma (sRGB)."""
    return value / 12.92 if value <= 0.03928 else ((value + 0.055) / 1.055) ** 2.4


def encoded(value: float) -> float:
    """The other way."""
    value = min(max(value, 0.0), 1.0)
    return value * 12.92 if value <= 0.0031308 else 1.055 * value ** (1 / 2.4) - 0.055


def channels(color: Color) -> list[float]:
    return [linear(value / 255) for value in color.rgb]


def contrast(one: Color, other: Color) -> float:
    """Contrast ratio (WCAG 2)."""
    weights = (0.2126, 0.7152, 0.0722)
    low, high = sorted(sum(w * v for w, v in zip(weights, channels(color), strict=True)) for color in (one, other))
    return (high + 0.05) / (low + 0.05)


def seen(color: Color, matrix: Matrix) -> Color:
    """A colour as somebody sees it."""
    red, green, blue = (encoded(sum(w * v for w, v in zip(row, channels(color), strict=True))) for row in matrix)
    return Color(round(red * 255), round(green * 255), round(blue * 255))


def distance(one: Color, other: Color) -> float:
    """Distance in Lab space (CIE 1976)."""
    a, b = rgb_to_lab(one), rgb_to_lab(other)
    return float(((a.L - b.L) ** 2 + (a.a - b.a) ** 2 + (a.b - b.b) ** 2) ** 0.5)


def css(theme: Theme) -> dict[str, str]:
    """The variables that an app gives to its widgets in that theme."""
    app = App[None]()
    app.register_theme(theme)
    app.theme = theme.name
    return app.get_css_variables()


@pytest.mark.parametrize("theme", THEMES, ids=lambda theme: theme.name)
def test_every_role_can_be_read_on_every_ground(theme: Theme) -> None:
    variables = css(theme)
    styles = roles(variables)
    foreground, background, panel = (Color.parse(variables[name]) for name in ("foreground", "background", "panel"))
    least = 7.0 if theme is HIGH_CONTRAST else READABLE
    for ground in (background, panel):
        for role, style in styles.items():
            ink = Color.from_rich_color(style.color) if style.color else foreground
            paper = Color.from_rich_color(style.bgcolor) if style.bgcolor else ground
            assert contrast(ink, paper) >= least, f"{role} on {paper.hex}"


@pytest.mark.parametrize("eyes", MISSING)
def test_new_changed_and_broken_stay_apart_without_some_cones(eyes: str) -> None:
    told = [Color.parse(value or "") for value in (COLOUR_BLIND.success, COLOUR_BLIND.warning, COLOUR_BLIND.error)]
    for one, other in combinations(told, 2):
        assert distance(seen(one, MISSING[eyes]), seen(other, MISSING[eyes])) >= APART, f"{one.hex} {other.hex}"


def test_names_of_themes_are_unique_and_ours() -> None:
    names = [theme.name for theme in THEMES]
    assert len(set(names)) == len(names)
    assert all(name.startswith("ptescope") for name in names)
