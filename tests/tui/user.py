"""Somebody who uses the app in a test."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from textual.events import Key
from textual.pilot import Pilot
from textual.screen import Screen
from textual.widgets import Input

from lessons.learner.progress import Store
from tui.app.app import PtescopeApp
from tui.drivers.driver import Driver
from tui.screens.stage import Stage

NORMAL = (120, 40)
SMALL = (80, 24)
LARGE = (200, 60)
KEYS = {" ": "space", "=": "equals_sign", "-": "minus", "_": "underscore", "+": "plus"}


class User:
    """Somebody at the keyboard, and what they see."""

    def __init__(self, app: PtescopeApp, pilot: Pilot[None]) -> None:
        self.app = app
        self.pilot = pilot

    async def press(self, *keys: str) -> None:
        for key in keys:
            await self.pilot.press(key)
            await self.pilot.pause()

    async def settle(self) -> None:
        """Wait until a pane that has been hidden has handed the focus on: Textual does that some messages later."""
        await self.pilot.pause()
        for _ in range(100):
            if self.app.focused is not None and self.app.focused.focusable:
                break
            await self.pilot.pause()

    async def press_at_once(self, text: str) -> None:
        """Keys that come faster than the app can follow, as over a slow line; a newline is Enter."""
        for char in text:
            key = {":": "colon", "\n": "enter"}.get(char) or KEYS.get(char, char)
            self.app.post_message(Key(key, char))
        await self.pilot.pause()

    async def enter(self, text: str) -> None:
        """Type a line and press Enter; a long one goes into the prompt as one paste does, which is far quicker."""
        line = self.app.focused
        if isinstance(line, Input) and len(text) > 4:
            line.insert_text_at_cursor(text)
            await self.pilot.pause()
            await self.press("enter")
        else:
            await self.press(*(KEYS.get(char, char) for char in text), "enter")

    async def command(self, line: str) -> None:
        await self.press("colon")
        await self.enter(line)

    @property
    def screen(self) -> Screen[object]:
        return self.app.screen

    @property
    def stage(self) -> Stage:
        assert isinstance(self.app.screen, Stage)
        return self.app.screen

    def is_on(self, kind: type[Screen[None]]) -> bool:
        """Whether that kind of screen is on top."""
        return isinstance(self.app.screen, kind)

    def lines(self) -> list[str]:
        """The whole screen as text."""
        strips = self.screen._compositor.render_strips()
        return ["".join(segment.text for segment in strip) for strip in strips]

    def seen(self) -> str:
        return "\n".join(self.lines())

    def told(self) -> str:
        """What has been said in passing."""
        return "\n".join(note.message for note in self.app._notifications)

    def pane(self, name: str) -> str:
        return "\n".join(line.text.rstrip() for line in self.stage.panes[name].rows)


@asynccontextmanager
async def at(store: Store, driver: Driver | None = None, size: tuple[int, int] = NORMAL) -> AsyncIterator[User]:
    app = PtescopeApp(store, driver)
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        yield User(app, pilot)
