"""`ptescope driver`: what comes along, what is wrong with one's own, and a file to begin with."""

import json
from pathlib import Path

import pytest

from docs.parts import code_block
from model.driver_files import library
from model.driver_files.check import check
from model.driver_files.on_kernel import on_kernel
from model.driver_files.resolve import resolve
from model.driver_files.starting_file import starting_file
from model.engine.config import KERNELS
from tui.cli import main

WRONG = "driver mine\nvma PFNMAP\nmap at=fault insert=page\n"


def driver(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Exit status, output and complaints."""
    try:
        status = main(["driver", *words])
    except SystemExit as left:
        status = int(str(left.code))
    told = capsys.readouterr()
    return status, told.out, told.err


def test_the_list_has_every_driver_with_what_it_is(capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = driver(capsys, "list")
    assert status == 0
    assert [line.split()[0] for line in out.splitlines()] == list(library.bundled())
    assert "vfio-pci      a BAR of a PCI device" in out


def test_a_driver_is_shown_as_written_and_as_it_is_on_a_kernel(capsys: pytest.CaptureFixture[str]) -> None:
    assert driver(capsys, "show", "qxl")[1].strip() == library.text_of("qxl").strip()
    shown = driver(capsys, "show", "vfio-pci", "--kernel", "6.1")[1]
    assert "lock vma_lock blocking" in shown
    assert "until" not in shown
    assert "vma_lock" not in driver(capsys, "show", "vfio-pci", "--kernel", "7.3")[1]


@pytest.mark.parametrize("name", library.bundled())
def test_what_is_shown_for_a_kernel_is_the_same_driver(name: str) -> None:
    for kernel in KERNELS:
        whole, again = resolve(library.text_of(name), kernel), resolve(on_kernel(library.text_of(name), kernel), kernel)
        assert (again.vma_flags, again.at, again.insert, again.locks) == (
            whole.vma_flags,
            whole.at,
            whole.insert,
            whole.locks,
        )
        assert [(one.name, [step.text for step in one.steps]) for one in again.ops] == [
            (one.name, [step.text for step in one.steps]) for one in whole.ops
        ]


def test_what_is_wrong_has_its_place_and_the_status_says_how_bad(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    mine = tmp_path / "mine.driver"
    mine.write_text(WRONG)
    status, out, _ = driver(capsys, "check", str(mine), "panfrost")
    assert status == 1
    first, *_, last = out.splitlines()
    assert first.startswith(f"{mine}:3:1: error: VM_PFNMAP is set, and ->fault inserts with vm_insert_page()")
    assert last == "2 drivers checked, 1 error, 1 warning"
    assert driver(capsys, "check", "panfrost")[0] == 0


def test_a_program_gets_one_object(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    mine = tmp_path / "mine.driver"
    mine.write_text(WRONG)
    (tmp_path / "bad.driver").write_text("driver d\nvam IO\n")
    status, out, _ = driver(capsys, "check", "--json", str(mine), str(tmp_path / "bad.driver"))
    assert status == 2
    first, second = json.loads(out)["files"]
    assert first["file"] == str(mine)
    assert {key: first["findings"][0][key] for key in ("line", "column", "severity", "name")} == {
        "line": 3,
        "column": 1,
        "severity": "error",
        "name": "page-without-mixedmap",
    }
    assert second["problems"] == [
        {"line": 2, "column": 1, "message": "`vam` is no field; did you mean `vma`?"},
    ]


def test_a_file_that_is_not_there_is_told_with_the_nearest_name(capsys: pytest.CaptureFixture[str]) -> None:
    assert driver(capsys, "check", "qxk")[::2] == (
        2,
        "qxk:1:1: No such file or directory; did you mean `qxl`?\n",
    )
    assert driver(capsys, "check", "qxk", "qxl")[1] == "1 driver checked, 0 errors, 0 warnings\n"
    assert driver(capsys, "show", "qxk")[::2] == (2, "qxk: No such file or directory; did you mean `qxl`?\n")


def test_a_file_to_begin_with_is_right_and_is_never_written_over(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    status, _, _ = driver(capsys, "new", "mine", "--folder", str(tmp_path))
    path = tmp_path / "mine.driver"
    assert status == 0
    assert path.read_text() == starting_file("mine")
    assert [entry.name for entry in tmp_path.iterdir()] == ["mine.driver"]
    assert check(path.read_text()) == ()
    path.write_text("mine, and changed")
    status, _, err = driver(capsys, "new", "mine", "--folder", str(tmp_path))
    assert (status, err) == (2, f"{path} exists; choose another name or another --folder\n")
    assert path.read_text() == "mine, and changed"
    assert [entry.name for entry in tmp_path.iterdir()] == ["mine.driver"]


@pytest.mark.parametrize("name", ["qxl", "9x", "a b", "x" * 60, "\x1b[2J"])
def test_a_name_that_cannot_be_is_refused(capsys: pytest.CaptureFixture[str], tmp_path: Path, name: str) -> None:
    status, _, err = driver(capsys, "new", name, "--folder", str(tmp_path))
    assert status == 2
    assert "\x1b" not in err
    assert not list(tmp_path.iterdir())


def test_the_example_of_the_document_is_told_what_the_document_says(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = (Path(__file__).parents[2] / "docs" / "drivers.md").read_text()
    monkeypatch.chdir(tmp_path)
    Path("mydrv.driver").write_text(code_block(text, "driver"))
    Path("mine.pte").write_text(code_block(text, "sh"))
    assert driver(capsys, "check", "mydrv.driver") == (1, code_block(text, "text"), "")
    assert main(["explore", "mine.pte"]) == 1
    assert "foreign-access" in capsys.readouterr().out


def test_an_operation_with_the_name_of_a_verb_is_told_where_it_stands(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    file = tmp_path / "mine.driver"
    file.write_text("driver mine\nvma PFNMAP\nop detach:\n  zap\n")
    told = f"{file}:3:1: the operation `detach` of `mine` has the name of a verb: choose another name\n"
    assert driver(capsys, "check", str(file))[::2] == (2, told)
    assert (main(["review", str(file)]), capsys.readouterr().err) == (2, told)
    (tmp_path / "x.pte").write_text("use mine.driver\nprocess p0\n")
    assert main(["run", str(tmp_path / "x.pte")]) == 2
    assert "x.pte:1:5: mine.driver:3:1: the operation `detach`" in capsys.readouterr().err
