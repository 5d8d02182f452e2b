"""How the app is started: a lesson, the sandbox, or home. Textual is imported only when one of these is called.

Until the first frame is out the garbage collector is off: imports and first frame make some hundred thousand objects
that stay, and looking through them again and again would be a tenth of the start.
"""

import gc
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, cast

from tui.drivers.opening import first_driver, lesson_driver, sandbox_driver
from tui.session.start_archive import START
from tui.session.terminal import heed_terminal_size

if TYPE_CHECKING:
    from pathlib import Path

    from lessons.file.schema import Lesson
    from lessons.learner.progress import Store
    from tui.drivers.driver import Driver
    from tui.drivers.sandbox import SandboxDriver


def hold_collector() -> None:
    """Call this before anything is imported for the screen; the app lets the collector go after its first frame."""
    gc.disable()


def import_asyncio() -> None:
    """Import asyncio without TLS, before Textual imports it: the screen opens no connection.

    asyncio does without where Python was built without `ssl`, and None in `sys.modules` says that it was. OpenSSL
    would be an eighth of the memory, and 8 ms of the start. Whoever imports `ssl` later gets it.
    """
    if "asyncio" in sys.modules or "ssl" in sys.modules:
        return
    modules = cast("dict[str, object]", sys.modules)
    modules["ssl"] = None
    try:
        import asyncio  # noqa: F401
    finally:
        del modules["ssl"]


def learn(lesson: "Lesson", store: "Store", *, present: bool = False, autoplay: float = 0.0) -> int:
    """Play a lesson on the screen. Returns the exit status. Raises LessonError and ProgressError before it opens.

    `present`: for a room. `autoplay`: the speed at which it steps by itself; 0: it does not.
    """
    hold_collector()
    return _run(store, lesson_driver(lesson, store), present=present, autoplay=autoplay)


def sandbox(open_it: Callable[["SandboxDriver"], None] | None = None, title: str = "Sandbox") -> int:
    """Free play, after `open_it` has set the scene. Returns the exit status. Raises what `open_it` raises."""
    hold_collector()
    from lessons.learner.progress import Store

    store = Store()
    driver = sandbox_driver(store, title)
    if open_it is not None:
        open_it(driver)
    return _run(store, driver)


def drill(store: "Store", kind: str = "", seed: int = 1, *, fixed: bool = False) -> int:
    """Exercises; `fixed`: no score chooses kinds. Returns the exit status. Raises ProgressError before it opens."""
    hold_collector()
    from tui.drivers.drill import DrillDriver

    return _run(store, DrillDriver(store, kind, seed, fixed=fixed))


def author(path: "Path") -> int:
    """A lesson that is being written. Returns the exit status. Raises LessonError before it opens."""
    hold_collector()
    from lessons.learner.progress import Store
    from tui.drivers.author import AuthorDriver

    store = Store()
    return _run(store, AuthorDriver(path, store))


def home(store: "Store | None" = None) -> int:
    """Open at home, the first time with the tour. Returns the exit status."""
    hold_collector()
    from lessons.learner.progress import Store

    store = store or Store()
    return _run(store, first_driver(store))


def _run(store: "Store", driver: "Driver | None", *, present: bool = False, autoplay: float = 0.0) -> int:
    """Run the app to its end; the exit status."""
    import_asyncio()
    from tui.app.app import PtescopeApp
    from tui.app.ending_signals import heed_signals, hold_signals
    from tui.app.gone_terminal import read_any_bytes

    read_any_bytes()
    heed_terminal_size()
    app = PtescopeApp(store, driver)
    app.presents, app.speed_wanted = present, autoplay
    hold_signals()
    try:
        app.run()
    finally:
        heed_signals()
    START.keep()
    if app.bug is not None:
        raise app.bug
    return app.return_code or 0
