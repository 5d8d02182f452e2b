"""The form that makes a driver file: the checker's findings beside it, saved whole, its operation stepped through."""

from pathlib import Path

import pytest
from textual.widgets import TextArea

from lessons.learner.progress import Store
from model.driver_files.check import check
from model.driver_files.form_fields import OPERATIONS, PROPOSED, driver_fields, written
from model.driver_files.line_forms import FIELDS
from model.driver_files.trial import trial
from model.script.parser import parse
from model.script.runner import Runner
from tests.tui.user import User, at
from tui.screens import driver_form
from tui.screens.driver_form import DriverForm
from tui.screens.form import FieldInput
from tui.screens.sandbox_stage import SandboxStage


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(driver_form, "PAUSE", 0.001)
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")


async def fill(user: User, key: str, value: str) -> None:
    """Another text in a field, and the checker has looked at it."""
    field = next(one for one in user.screen.query(FieldInput) if one.field.key == key)
    field.value = value
    field.focus()
    await user.pilot.pause()


def here() -> list[str]:
    """The files in the folder."""
    return sorted(path.name for path in Path().iterdir())


def read(name: str) -> str:
    return Path(name).read_text()


def write(name: str, text: str) -> None:
    Path(name).write_text(text)


def form(user: User) -> DriverForm:
    assert isinstance(user.screen, DriverForm)
    return user.screen


def test_what_the_form_begins_with_is_a_driver_without_fault() -> None:
    assert check(written(PROPOSED, OPERATIONS)) == ()
    assert {field.form.name for field in driver_fields()} == {"driver", "like", *FIELDS}


@pytest.mark.parametrize(
    ("given", "begins"),
    [
        (PROPOSED, "move b vram"),
        (PROPOSED | {"map at": "op", "map insert": "page", "vma FLAGS": "MIXEDMAP"}, "move b vram"),
        (PROPOSED | {"backing KIND": "borrow:memfd", "backing require": "shrink"}, "move b vram"),
        (PROPOSED | {"like NAME": "panfrost"}, "move b vram"),
    ],
)
def test_a_trial_sets_a_scene_in_which_the_operation_can_begin(given: dict[str, str], begins: str) -> None:
    scene, operation = trial(written(given, OPERATIONS))
    assert operation == begins
    runner = Runner()
    accounts = [runner.perform(command) for command in parse("\n".join((*scene, operation)))]
    assert [account.outcome.status for account in accounts[:-1]] == ["ok"] * (len(accounts) - 1)


def test_a_driver_without_operations_is_tried_with_an_access() -> None:
    assert trial("driver d\nvma PFNMAP\n")[1] == "write p0 buf 65"


async def test_mistakes_are_told_beside_the_field_and_the_file_is_saved_over_nothing_but_itself(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with at(store) as user:
        await user.press("ctrl+n")
        assert "reading it shows nothing wrong" in user.seen()
        await fill(user, "map insert", "page")
        assert "VM_PFNMAP is set, and ->fault" in user.seen()
        await fill(user, "map insert", "pgae")
        assert "did you mean `page`?" in user.seen()
        await fill(user, "map insert", "pfn")
        assert "shows nothing wrong" in user.seen()
        write("taken.driver", "somebody's")
        await fill(user, "driver NAME", "taken")
        await user.press("ctrl+s")
        assert "taken.driver exists: choose another name." in user.seen()
        assert read("taken.driver") == "somebody's"
        await fill(user, "driver NAME", "mine")
        await user.press("ctrl+s")
        assert "Saved as mine.driver." in user.seen()
        form(user).query_one(TextArea).text = "op go:\n  zap\n"
        await user.pilot.pause()
        await user.press("ctrl+s")
        assert read("mine.driver").endswith("op go:\n  zap\n")
        await fill(user, "driver NAME", "9")
        await user.press("ctrl+s")
        assert "`9` is no name" in user.seen()
        await fill(user, "driver NAME", "mine")
        await fill(user, "vma FLAGS", "PFNMPA")
        await fill(user, "map insert", "pgae")
        for key in ("ctrl+s", "ctrl+r", "ctrl+t"):
            await user.press(key)
            assert "2 lines cannot be read" in user.seen()
            assert "did you mean `PFNMAP`?" in user.seen()
            assert "did you mean `page`?" in user.seen()
        monkeypatch.setenv("TEXTUAL_DRIVER", "web")
        await user.press("ctrl+s")
        assert "In a browser there are no files." in user.seen()
        assert here() == ["mine.driver", "taken.driver"]


async def test_what_was_filled_in_is_there_again_and_its_move_is_stepped_through(store: Store) -> None:
    async with at(store) as user:
        await user.press("ctrl+n")
        await fill(user, "driver NAME", "qxl")
        await user.press("ctrl+t")
        assert "a bundled driver is called `qxl`" in user.seen()
        await user.press("escape", "ctrl+n")
        assert "driver qxl" in user.seen()
        await fill(user, "driver NAME", "mover")
        await user.press("ctrl+t")
        assert isinstance(user.screen, SandboxStage)
        session = user.screen.sandbox.session
        assert session.running is not None
        assert session.running.command.text == "move b vram"
        first = session.position("main")
        await user.press("n", "n")
        assert session.position("main") != first
