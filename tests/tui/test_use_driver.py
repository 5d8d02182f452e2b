"""`use FILE` wherever a script is read: the file lies beside the script, and what is wrong with it has its place."""

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from lessons.file.loader import load
from lessons.file.problems import LessonError
from lessons.learner.progress import Store
from tests.lessons.small_lesson import TEXT, WORLDS
from tui.cli import main
from tui.drivers.author import AuthorDriver
from tui.drivers.opening import sandbox_driver
from tui.drivers.session_commands import assist, carry_out
from tui.plain.sandbox import PlainSandbox

DRIVER = "driver mine\nvma PFNMAP\nmap at=fault insert=pfn\nlock resv blocking\nbacking pages\nop go:\n  zap\n"
SCRIPT = "use lib/mine.driver\nprocess p0\nbo b 1 exporter=mine\nmmap p0 buf bo:b shared rw 1\nwrite p0 buf 65\ngo b\n"


@pytest.fixture
def script(tmp_path: Path) -> Path:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "mine.driver").write_text(DRIVER)
    path = tmp_path / "s.pte"
    path.write_text(SCRIPT)
    return path


def test_a_script_that_uses_a_driver_is_exported(script: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = script.with_suffix(".mmd")
    assert main(["export", str(script), "-o", str(out)]) == 0, capsys.readouterr().err
    assert "mine_go" in out.read_text()


def test_a_driver_is_shown_by_its_name_not_by_all_that_it_says(
    script: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "-q", str(script)]) == 0
    assert capsys.readouterr().out.splitlines()[0] == "   1  driver mine; … (6 lines)  → ok"


def test_load_looks_beside_the_script_and_the_prompt_where_one_is(
    script: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = sandbox_driver(Store())
    assert carry_out(driver, f"load {script}") == ""
    assert "mine" in driver.session.state.drivers
    monkeypatch.chdir(script.parent)
    again = sandbox_driver(Store())
    assert again.command("use lib/mine.driver") == ""
    assert "mine" in again.session.state.drivers
    assert "lib/nope.driver: No such file" in again.command("use lib/nope.driver")


def test_the_plain_prompt_says_what_is_wrong_with_a_file(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(script.parent)
    (script.parent / "bad.driver").write_text("driver d\nvam IO\n")
    told = StringIO()
    console = Console(file=told, width=100, color_system=None)
    PlainSandbox(sandbox_driver(Store()), StringIO("use bad.driver\nuse lib/mine.driver\nquit\n"), console).run()
    assert "bad.driver:2:1: `vam` is no field; did you mean `vma`?" in told.getvalue()
    assert "driver mine; … (6 lines)" in told.getvalue()


def test_a_browser_reads_no_file(script: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXTUAL_DRIVER", "web")
    monkeypatch.chdir(script.parent)
    assert "`use` reads no file here" in sandbox_driver(Store()).command("use lib/mine.driver")


def test_a_world_of_a_lesson_uses_a_driver_that_lies_beside_it(script: Path) -> None:
    worlds = script.parent / "worlds"
    worlds.mkdir()
    (worlds / "empty.pte").write_text(WORLDS["empty"])
    (worlds / "page.pte").write_text(f"use ../lib/mine.driver\n{WORLDS['page']}")
    path = script.parent / "small.md"
    path.write_text(TEXT)
    assert load(path).worlds["page"].startswith("driver mine; vma PFNMAP;")
    (script.parent / "lib" / "mine.driver").write_text("driver d\nvam IO\n")
    with pytest.raises(LessonError) as raised:
        load(path)
    told = str(raised.value)
    assert told.startswith(f"{worlds / 'page.pte'}:1:5: ../lib/mine.driver:2:1: `vam` is no field; did you mean `vma`?")


def test_a_saved_session_needs_no_file_and_the_prompt_proposes_drivers(
    script: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(script.parent / "lib")
    driver = sandbox_driver(Store())
    proposed = assist(driver, "use mi", driver.assist("use mi"))
    assert [one.word for one in proposed.suggestions] == ["mine.driver"]
    carry_out(driver, f"load {script}")
    carry_out(driver, f"save {script.parent / 'saved.pte'}")
    (script.parent / "lib" / "mine.driver").unlink()
    assert main(["run", "-q", str(script.parent / "saved.pte")]) == 0
    again = sandbox_driver(Store())
    assert carry_out(again, f"load {script.parent / 'saved.pte'}") == ""
    assert "mine" in again.session.state.drivers


def test_an_author_sees_the_lesson_anew_when_a_driver_beside_it_is_saved(script: Path) -> None:
    worlds = script.parent / "worlds"
    worlds.mkdir()
    for name, text in WORLDS.items():
        (worlds / f"{name}.pte").write_text(text)
    (worlds / "mine.driver").write_text(DRIVER)
    (worlds / "page.pte").write_text(f"use mine.driver\n{WORLDS['page']}")
    path = script.parent / "small.md"
    path.write_text(TEXT)
    driver = AuthorDriver(path, Store(script.parent / "p.json"))
    assert driver.reload() is None
    (worlds / "mine.driver").write_text("driver d\nvam IO\n")
    assert driver.reload() is not None
    assert driver.damaged
