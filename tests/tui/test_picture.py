"""The picture of the machine: what a reader who knows the legend can see at the decisive moments."""

import os
from pathlib import Path

import pytest

from tests.tui.moments import MOMENTS, played
from tui.views.glyphs import ASCII, UNICODE
from tui.views.picture.draw import picture

FOLDER = Path(__file__).parent / "snapshots" / "pictures"
SHOWN = {"76": (76, UNICODE), "150": (150, UNICODE), "76-ascii": (76, ASCII), "150-ascii": (150, ASCII)}


@pytest.mark.parametrize("name", MOMENTS)
@pytest.mark.parametrize("shown", SHOWN)
def test_the_decisive_moments_look_as_they_should(name: str, shown: str) -> None:
    width, glyphs = SHOWN[shown]
    found: list[str] = []
    for command, drawn in played(MOMENTS[name], glyphs):
        rows = [line.text.rstrip() for line in picture(drawn, width)]
        assert all(len(line) <= width for line in rows)
        assert glyphs is UNICODE or all(line.isascii() for line in rows)
        found += [f"== {command.text}", *rows]
    text = "\n".join(found) + "\n"
    file = FOLDER / f"{name}.{shown}.txt"
    if os.environ.get("PTESCOPE_SNAPSHOTS") == "write":
        FOLDER.mkdir(exist_ok=True, parents=True)
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8"), f"{file} differs; PTESCOPE_SNAPSHOTS=write renews it"
