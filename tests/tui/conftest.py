"""What tests of the app need: a place for progress, and a sandbox on a machine made by hand."""

from pathlib import Path

import pytest

from lessons.learner.progress import Store
from model.script.context import Context
from tests.tui.machines import machine
from tui.drivers.sandbox import SandboxDriver


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "progress.json")


@pytest.fixture
def made() -> SandboxDriver:
    return SandboxDriver(start=Context(machine()))
