"""Lessons and scripts played on the app without a terminal, drawn once or recorded as an asciicast."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

from textual.pilot import Pilot

from lessons.learner.progress import Store
from tui.app.app import PtescopeApp
from tui.drivers.driver import Driver
from tui.export.screen import coloured
from tui.views.view_model import Picture

if TYPE_CHECKING:
    from tui.screens.stage import Stage

WIDTH: Final = 120
HEIGHT: Final = 40
PAUSE: Final = 1.5
"""Seconds that a screen is shown at least …"""
LONGEST: Final = 20.0
"""… and at most."""
THINKING: Final = 4.0
"""Seconds of thought at a question, besides reading it."""
WORDS: Final = 4.0
"""Words that are read in a second."""
MOST_FRAMES: Final = 2000


class RecordedScreen(NamedTuple):
    """One screen of a recording."""

    seconds: float
    text: str
    """With escape sequences: what is to be written at the top left corner; empty: the screen stays."""


def asciicast(frames: list[RecordedScreen], title: str, width: int = WIDTH, height: int = HEIGHT) -> str:
    """A recording that asciinema plays: one header, one line a frame. A narrower terminal cuts lines off."""
    header = {"version": 2, "width": width, "height": height, "title": title}
    events = [[round(frame.seconds, 3), "o", frame.text and f"\x1b[?7l\x1b[2J{frame.text}"] for frame in frames]
    return "".join(f"{json.dumps(part, ensure_ascii=False)}\n" for part in (header, *events))


@asynccontextmanager
async def opened(driver: Driver, store: Store, size: tuple[int, int]) -> AsyncIterator[tuple[PtescopeApp, Pilot[None]]]:
    """The app on a driver's stage, without a terminal."""
    app = PtescopeApp(store, driver)
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        yield app, pilot


def screen(driver: Driver, store: Store, draw: Callable[[PtescopeApp], str], size: tuple[int, int]) -> str:
    """One screen of a driver, drawn."""

    async def once() -> str:
        async with opened(driver, store, size) as (app, _):
            return draw(app)

    return asyncio.run(once())


def pause(picture: Picture, before: Picture | None = None) -> float:
    """Seconds that somebody needs for a screen after another: to read what is new, and to think where it asks."""
    ask = picture.tale.ask
    known = {*_lines_to_read(before), *before.tale.text.splitlines()} if before is not None else set()
    new = " ".join(line for line in _lines_to_read(picture) if line not in known)
    asks_anew = ask is not None and (before is None or before.tale.ask != ask)
    return min(round((THINKING if asks_anew else PAUSE) + len(new.split()) / WORDS, 1), LONGEST)


def _lines_to_read(picture: Picture) -> list[str]:
    """What is to be read on a screen, besides the machine, line by line."""
    tale, last = picture.tale, picture.last
    told = [last.remark if last is not None else "", *(one.reply for one in tale.judged)]
    if last is None or tale.ask is not None:
        told.append(tale.text)
    if tale.ask is not None:
        told += [tale.ask.text, *(option.text for option in tale.ask.options)]
    return [line for text in told for line in text.splitlines()]


def recording(driver: Driver, store: Store, forward: Callable[[], bool], size: tuple[int, int]) -> list[RecordedScreen]:
    """Every screen from here on, until `forward` can move no more; then nothing more, when the last one is read."""

    async def played() -> list[RecordedScreen]:
        async with opened(driver, store, size) as (app, pilot):
            stage: Stage = app.screen  # type: ignore[assignment]
            frames = [RecordedScreen(0.0, coloured(app))]
            before = stage.picture
            due = pause(before)
            while len(frames) < MOST_FRAMES and forward():
                stage.move(str)
                await pilot.pause()
                text = coloured(app)
                if text != frames[-1].text:
                    frames.append(RecordedScreen(due, text))
                    due += pause(stage.picture, before)
                before = stage.picture
            return [*frames, RecordedScreen(due, "")]

    return asyncio.run(played())
