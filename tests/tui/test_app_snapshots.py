"""Whole screens compared with files; `PTESCOPE_SNAPSHOTS=write pytest` makes them anew, and git shows what changed."""

import os
from pathlib import Path

import pytest

from lessons.learner.progress import Store
from tests.tui.user import LARGE, NORMAL, SMALL, User, at
from tui.drivers import sandbox as sandbox_driver
from tui.drivers.sandbox import SandboxDriver
from tui.views.view_model import Rule

FOLDER = Path(__file__).parent / "snapshots"
RULES = (Rule("stale-reference", "A reference and its page agree."), Rule("lost-write", "A write reaches its reader."))
SIZES = {"small": SMALL, "normal": NORMAL, "large": LARGE}


@pytest.fixture(autouse=True)
def few_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    """The list of rules grows with the model; these screens shall not change with it."""
    monkeypatch.setattr(sandbox_driver, "all_rules", lambda: RULES)


def compare(user: User, name: str) -> None:
    """The screen with its file."""
    shown = "\n".join(line.rstrip() for line in user.lines()) + "\n"
    file = FOLDER / f"{name}.txt"
    if os.environ.get("PTESCOPE_SNAPSHOTS") == "write":
        FOLDER.mkdir(exist_ok=True)
        file.write_text(shown, encoding="utf-8")
    assert shown == file.read_text(encoding="utf-8"), f"{file} differs; PTESCOPE_SNAPSHOTS=write renews it"


@pytest.mark.parametrize("size", SIZES)
async def test_stage(store: Store, made: SandboxDriver, size: str) -> None:
    async with at(store, made, SIZES[size]) as user:
        compare(user, f"stage-{size}")


@pytest.mark.parametrize("size", SIZES)
async def test_cursor_on_a_pinned_frame(store: Store, made: SandboxDriver, size: str) -> None:
    async with at(store, made, SIZES[size]) as user:
        await user.press("4")
        user.stage.point("frame:20")
        await user.settle()
        compare(user, f"cursor-{size}")


async def test_ascii(store: Store, made: SandboxDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PTESCOPE_ASCII", "1")
    async with at(store, made) as user:
        assert user.seen().isascii()
        compare(user, "stage-ascii")


async def test_help(store: Store, made: SandboxDriver) -> None:
    async with at(store, made, SMALL) as user:
        await user.press("question_mark")
        compare(user, "help-small")
