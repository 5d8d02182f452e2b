"""What is on the screen, as files: SVG, Markdown, asciicast. Lessons and scripts are played without a terminal."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from rich.console import Console
from rich.segment import Segments
from textual.pilot import Pilot

from lessons.i18n.language import tr
from lessons.learner.progress import Store, reason, replace_file
from tui.app.app import PtescopeApp
from tui.drivers.driver import Driver

if TYPE_CHECKING:
    from tui.screens.stage import Stage

WIDTH: Final = 120
HEIGHT: Final = 40
PAUSE: Final = 1.5
"""Seconds between two frames of a recording."""
MOST_FRAMES: Final = 2000


class Frame(NamedTuple):
    """One screen of a recording."""

    seconds: float
    text: str
    """With escape sequences: what is to be written at the top left corner."""


def lines(app: PtescopeApp) -> list[str]:
    """The screen as plain lines."""
    strips = app.screen._compositor.render_strips()  # noqa: SLF001 - Textual has no other way to the whole screen
    return ["".join(segment.text for segment in strip).rstrip() for strip in strips]


def coloured(app: PtescopeApp) -> str:
    """The screen with its colours, as a terminal would be sent it."""
    out = StringIO()
    console = Console(
        file=out, force_terminal=True, color_system="truecolor", width=app.size.width, legacy_windows=False
    )
    for strip in app.screen._compositor.render_strips():  # noqa: SLF001
        console.print(Segments(strip), end="\r\n", soft_wrap=True)
    return out.getvalue().removesuffix("\r\n")


def markdown(app: PtescopeApp) -> str:
    """The screen as a code block."""
    return "```text\n" + "\n".join(lines(app)) + "\n```\n"


def svg(app: PtescopeApp, title: str = "ptescope") -> str:
    """The screen as a picture. Some programs drop the blanks at the ends of a text, unless told to keep them."""
    return app.export_screenshot(title=title).replace("<svg ", '<svg xml:space="preserve" ', 1)


def write_screen(app: PtescopeApp, name: str) -> str:
    """Write what is on the screen to a file; what is to be said about that."""
    path = Path(name).expanduser()
    draw = {".svg": svg, ".md": markdown}.get(path.suffix)
    if draw is None:
        return tr("{file}: a screen becomes an .svg or .md file.").format(file=path)
    if path.exists():
        return tr("{file} exists: choose another name.").format(file=path)
    try:
        replace_file(path, draw(app).encode(), private=False)
    except OSError as error:
        return reason(error)
    return tr("Saved as {file}.").format(file=path)


def free_name() -> str:
    """A name for a picture that no file in this folder has."""
    names = ("ptescope.svg", *(f"ptescope-{number}.svg" for number in range(2, MOST_FRAMES)))
    return next((name for name in names if not Path(name).exists()), names[0])


def asciicast(frames: list[Frame], title: str, width: int = WIDTH, height: int = HEIGHT) -> str:
    """A recording that asciinema plays: one header, one line a frame."""
    header = {"version": 2, "width": width, "height": height, "title": title}
    events = [[round(frame.seconds, 3), "o", f"\x1b[2J\x1b[H{frame.text}"] for frame in frames]
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


def recording(driver: Driver, store: Store, forward: Callable[[], bool], size: tuple[int, int]) -> list[Frame]:
    """Every screen from here on, until `forward` can move no more."""

    async def played() -> list[Frame]:
        async with opened(driver, store, size) as (app, pilot):
            stage: Stage = app.screen  # type: ignore[assignment]
            frames = [Frame(0.0, coloured(app))]
            while len(frames) < MOST_FRAMES and forward():
                stage.move(str)
                await pilot.pause()
                text = coloured(app)
                if text != frames[-1].text:
                    frames.append(Frame(len(frames) * PAUSE, text))
            return frames

    return asyncio.run(played())
