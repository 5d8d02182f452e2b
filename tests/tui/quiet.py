"""When an app under test has nothing more to do.

Textual's own answer is that the process has used little processor time for 20 ms: every key takes a tenth of a second,
and on a busy machine a process that only waits for its turn counts as done.
"""

import asyncio
from typing import Final, Protocol, cast

from textual._context import active_app
from textual.app import App

SOON: Final = 1 / 50
"""Seconds. A timer that fires within this is waited for; the screen is repainted after 1/60."""

PATIENCE: Final = 30
"""Seconds. Whoever has something to do all that time is not waited for."""


class Handle(Protocol):
    """What is to be called at a time."""

    def cancelled(self) -> bool: ...
    def when(self) -> float: ...


class Loop(Protocol):
    """What CPython's event loop keeps of what is to be called: at once, and later (asyncio.base_events)."""

    _ready: list[object]
    _scheduled: list[Handle]


async def until_quiet(*_limits: float) -> None:
    """Wait until nothing is to be called now or soon, and no thread of the app works; in place of `wait_for_idle`.

    The limits of that one belong to its way of asking.
    """
    running = asyncio.get_running_loop()
    loop = cast("Loop", running)
    end = running.time() + PATIENCE
    while True:
        await asyncio.sleep(0)
        now = running.time()
        due = min((handle.when() for handle in loop._scheduled if not handle.cancelled()), default=end)
        if loop._ready:
            continue
        if now >= end:
            return
        if due <= now + SOON:
            await asyncio.sleep(max(0, due - now))
        elif _a_thread_works():
            await asyncio.sleep(SOON / 4)
        else:
            return


def _a_thread_works() -> bool:
    app = cast("App[object]", active_app.get())
    return any(worker._thread_worker and worker.is_running for worker in app.workers)
