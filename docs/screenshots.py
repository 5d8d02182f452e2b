"""Draws the README's picture from the real app: `python docs/screenshots.py`.

The lesson is played to the point where the device's byte is lost; what stands there on the screen is the picture.
"""

import asyncio
import re
import tempfile
from pathlib import Path
from typing import Final

from lessons.file.library import find
from lessons.learner.progress import Store
from lessons.play.player import Player
from tui.app.app import PtescopeApp
from tui.drivers.lesson import LessonDriver
from tui.export.screen import svg

LESSON: Final = "a-reference-is-not-a-mapping"
ANSWERS: Final = {
    "count-of-a-pin": "1025",
    "does-the-pin-stop-the-zap": "no",
    "count-after-the-zap": "1024",
    "what-does-p0-read": "c",
}
SHOWN: Final = "lost-write"
"""The invariant whose breaking is to be seen."""
SIZE: Final = (120, 40)
PICTURE: Final = Path(__file__).parent / "lesson.svg"


def driver(folder: Path) -> LessonDriver:
    """The lesson, played until `SHOWN` breaks."""
    player = Player(find(LESSON))
    driver = LessonDriver(player, Store(folder / "progress.toml"))
    while not any(broken.invariant == SHOWN for broken in driver.picture().broken):
        if player.prediction is not None and player.prediction.id not in player.judged:
            answered = player.answer(ANSWERS[player.prediction.id])
            if answered:
                raise ValueError(answered)
        refused = driver.step("forward")
        if refused:
            raise ValueError(refused)
    return driver


async def draw() -> str:
    """The screen as SVG."""
    with tempfile.TemporaryDirectory() as folder:
        app = PtescopeApp(Store(Path(folder) / "progress.toml"), driver(Path(folder)))
        async with app.run_test(size=SIZE) as pilot:
            await pilot.pause()
            return svg(app, f"ptescope learn {LESSON}")


def repeatable(svg: str) -> str:
    """The same bytes for the same screen: Textual numbers its style classes by chance."""
    return re.sub(r"terminal-\d+", "terminal", svg)


if __name__ == "__main__":
    PICTURE.write_text(repeatable(asyncio.run(draw())))
