"""A sandbox in a test: set up by a script, and what its screens show."""

import pytest

from lessons.learner.progress import Store
from tests.tui.user import NORMAL, SMALL, User
from tui.drivers.opening import sandbox_driver
from tui.drivers.sandbox import SandboxDriver
from tui.screens.overlay import Overlay

STALE = (
    "process p0",
    "mmap p0 buf anon private rw 1",
    "write p0 buf 1",
    "gup p0 buf as=r write pin",
    "madvise p0 buf dontneed",
)
SIZES = pytest.mark.parametrize("size", [SMALL, NORMAL])


def driver_of(*lines: str, store: Store | None = None) -> SandboxDriver:
    driver = SandboxDriver() if store is None else sandbox_driver(store)
    for line in lines:
        assert not driver.command(line)
        driver.step("command")
    return driver


def overlay(user: User) -> str:
    assert isinstance(user.screen, Overlay)
    return "\n".join(row.text for row in user.screen.pane.rows)
