"""What tests of the app need: a place for progress, and a sandbox on a machine made by hand."""

from pathlib import Path

import pytest
import textual.app
import textual.pilot
from textual.widgets import Input

from lessons.learner.progress import Store
from model.script.context import Context
from tests.tui.machines import machine
from tests.tui.quiet import until_quiet
from tui.drivers.sandbox import SandboxDriver


@pytest.fixture(autouse=True)
def _cursor_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    """A cursor that blinks makes a slow machine's snapshot another one."""
    monkeypatch.setattr(Input, "_toggle_cursor", lambda _: None)


@pytest.fixture(autouse=True)
def _done_is_when_nothing_is_left_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (textual.app, textual.pilot):
        monkeypatch.setattr(module, "wait_for_idle", until_quiet)


@pytest.fixture(autouse=True)
def _nobody_else_presents(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Only one program presents at a time; other tests are other programs."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "progress.json")


@pytest.fixture
def made() -> SandboxDriver:
    return SandboxDriver(start=Context(machine()))
