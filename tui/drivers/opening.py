"""The driver that the app opens with: a lesson, an empty sandbox, or none, which is home."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lessons.file.schema import Lesson
    from lessons.learner.progress import Store
    from tui.drivers.driver import Driver
    from tui.drivers.sandbox import SandboxDriver


def first_driver(store: "Store") -> "Driver | None":
    """For those who have never been here the tour, else home (None)."""
    if store.path.exists():
        return None
    from lessons.file.library import TOUR, find

    return lesson_driver(find(TOUR.stem), store)


def lesson_driver(lesson: "Lesson", store: "Store") -> "Driver":
    """A lesson ready to be shown, where it was left. Raises LessonError and ProgressError."""
    from lessons.play.player import Player
    from tui.drivers.lesson import LessonDriver

    driver = LessonDriver(Player(lesson, store.lesson(lesson.id)), store)
    driver.picture()  # What is wrong with this very part of the lesson is said before a screen opens.
    return driver


def sandbox_driver(store: "Store", title: str = "Sandbox") -> "SandboxDriver":
    """A sandbox on an empty machine, kept beside the progress."""
    from tui.drivers.sandbox import SandboxDriver
    from tui.session.autosave import FOLDER, Autosave

    return SandboxDriver(title=title, autosave=Autosave(store.path.parent / FOLDER))
