"""How the app is started: a lesson, the sandbox, or home. Textual is imported only when one of these is called.

Until the first frame is out the garbage collector is off: imports and first frame make some hundred thousand objects
that stay, and looking through them again and again would be a tenth of the start.
"""

import gc
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from lessons.file.schema import Lesson
    from lessons.learner.progress import Store
    from tui.drivers.driver import Driver
    from tui.drivers.sandbox import SandboxDriver


def hold_collector() -> None:
    """Call this before anything is imported for the screen; the app lets the collector go after its first frame."""
    gc.disable()


def learn(lesson: "Lesson", store: "Store", *, present: bool = False, autoplay: float = 0.0) -> int:
    """Play a lesson on the screen. Returns the exit status. Raises LessonError and ProgressError before it opens.

    `present`: for a room. `autoplay`: the speed at which it steps by itself; 0: it does not.
    """
    hold_collector()
    return _run(store, lesson_driver(lesson, store), present=present, autoplay=autoplay)


def sandbox(open_it: Callable[["SandboxDriver"], None] | None = None, title: str = "Sandbox") -> int:
    """Free play, after `open_it` has set the scene. Returns the exit status. Raises what `open_it` raises."""
    hold_collector()
    from lessons.learner.progress import Store  # noqa: PLC0415 - imported where it is needed

    store = Store()
    driver = free_driver(store, title)
    if open_it is not None:
        open_it(driver)
    return _run(store, driver)


def free_driver(store: "Store", title: str = "Sandbox") -> "SandboxDriver":
    """A sandbox on an empty machine, kept beside the progress."""
    from tui.drivers.sandbox import SandboxDriver  # noqa: PLC0415
    from tui.session.autosave import FOLDER, Autosave  # noqa: PLC0415 - imported where it is needed

    return SandboxDriver(title=title, autosave=Autosave(store.path.parent / FOLDER))


def drill(store: "Store", kind: str = "", seed: int = 1, *, fixed: bool = False) -> int:
    """Exercises; `fixed`: no score chooses kinds. Returns the exit status. Raises ProgressError before it opens."""
    hold_collector()
    from tui.drivers.drill import DrillDriver  # noqa: PLC0415

    return _run(store, DrillDriver(store, kind, seed, fixed=fixed))


def author(path: "Path") -> int:
    """A lesson that is being written. Returns the exit status. Raises LessonError before it opens."""
    hold_collector()
    from lessons.learner.progress import Store  # noqa: PLC0415
    from tui.drivers.author import AuthorDriver  # noqa: PLC0415

    store = Store()
    return _run(store, AuthorDriver(path, store))


def home(store: "Store | None" = None) -> int:
    """Open at home, the first time with the tour. Returns the exit status."""
    hold_collector()
    from lessons.learner.progress import Store  # noqa: PLC0415

    store = store or Store()
    return _run(store, opening(store))


def opening(store: "Store") -> "Driver | None":
    """What the app opens with: for those who have never been here the tour, else home (None)."""
    if store.path.exists():
        return None
    from lessons.file.library import TOUR, find  # noqa: PLC0415

    return lesson_driver(find(TOUR.stem), store)


def lesson_driver(lesson: "Lesson", store: "Store") -> "Driver":
    """A lesson ready to be shown, where it was left. Raises LessonError and ProgressError."""
    from lessons.play.player import Player  # noqa: PLC0415 - the kernel is imported where it is run
    from tui.drivers.lesson import LessonDriver  # noqa: PLC0415

    driver = LessonDriver(Player(lesson, store.lesson(lesson.id)), store)
    driver.picture()  # What is wrong with this very part of the lesson is said before a screen opens.
    return driver


def _run(store: "Store", driver: "Driver | None", *, present: bool = False, autoplay: float = 0.0) -> int:
    """Run the app to its end; the exit status."""
    from tui.app.app import PtescopeApp  # noqa: PLC0415

    app = PtescopeApp(store, driver)
    app.presents, app.speed_wanted = present, autoplay
    app.run()
    if app.bug is not None:
        raise app.bug
    return app.return_code or 0
