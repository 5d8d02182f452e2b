"""`ptescope replay` as programs and people call it."""

import json
from pathlib import Path
from typing import Final

import pytest

from tui.cli import main

RECORDINGS: Final = Path(__file__).parent.parent / "recordings"
STALE: Final = RECORDINGS / "hand" / "061_stale_dontneed.json"


def falsified(folder: Path) -> Path:
    """A recording in which the kernel is said to have failed a read."""
    fields = json.loads(STALE.read_text())
    number = next(number for number, op in enumerate(fields["ops"]) if op["op"] == "read")
    fields["ops"][number]["result"] = 99
    path = folder / "001_wrong.json"
    path.write_text(json.dumps(fields))
    return path


def test_a_recording_that_agrees(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(STALE)]) == 0
    out = capsys.readouterr().out
    assert "061_stale_dontneed.json: agrees, " in out
    assert out.endswith("1 recording: 1 agree, 0 differ, 0 unsupported\n")


def test_the_first_difference_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(falsified(tmp_path)), str(STALE)]) == 1
    out = capsys.readouterr().out
    assert "DIFFERS at op " in out
    assert "read: result: kernel 99, model " in out
    assert "2 recordings: 1 agree, 1 differ, 0 unsupported" in out


@pytest.mark.parametrize(
    "state",
    [
        {"procs": {"p0": {"ptes": {"x": ["P0", "wdx"]}}}},
        {"procs": {"p0": {"ptes": {"0+": ["P0", "wdx"]}}}},
        {"procs": {"p0": {"ptes": {"0+999999999": ["P0", "wdx"]}}}},
        {"procs": {"p0": {"ptes": {"0+2": ["P0.x", "wdx"]}}}},
        {"phys": {"Px": [1, 1, "lru", 5]}},
        {"phys": {"P0": {"order": 9}}},
        {"phys": {"P0": {"order": 9, "ref": 1, "pincount": 0, "map": [], "flags": "", "excl": [], "val": [[1]]}}},
    ],
    ids=["page", "run", "length", "sub-page", "frame", "folio", "folio's run"],
)
def test_a_name_or_number_of_no_known_shape_has_its_place(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], state: object
) -> None:
    fields = json.loads(STALE.read_text())
    fields["ops"][2]["state"] = state
    path = tmp_path / "shape.json"
    path.write_text(json.dumps(fields))
    assert main(["replay", str(path)]) == 2
    told = capsys.readouterr().err
    assert "shape.json:1:1: op 2, " in told
    assert "$.state." in told


def strange(folder: Path) -> Path:
    """A recording with an op, the second, that nobody knows."""
    fields = json.loads(STALE.read_text())
    fields["ops"].insert(1, {"op": "hibernate", "result": "ok", "state": {}})
    path = folder / "200_power_off.json"
    path.write_text(json.dumps(fields))
    return path


def test_what_is_unsupported_does_not_count_as_agreement(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(strange(tmp_path))]) == 1
    assert "UNSUPPORTED: hibernate" in capsys.readouterr().out


def test_emit_prints_the_trace(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", "--emit", str(STALE)]) == 0
    assert capsys.readouterr().out == STALE.read_text()


def test_emit_goes_on_after_an_op_that_the_model_does_not_know(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["replay", "--emit", str(strange(tmp_path))]) == 0
    results = [op["result"] for op in json.loads(capsys.readouterr().out)["ops"]]
    assert "UNSUPPORTED" in results
    assert results[-1] != "UNSUPPORTED"


def test_a_folder_and_worker_processes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(10):
        (tmp_path / f"{number:03}_stale_copy.json").write_text(STALE.read_text())
    falsified(tmp_path)
    assert main(["replay", "--table", "--jobs", "2", str(tmp_path)]) == 1
    out = capsys.readouterr().out
    assert "11 recordings: 10 agree, 1 differ, 0 unsupported" in out
    assert "stale" in out
    assert "wrong" in out


def test_the_table_as_markdown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", "--markdown", str(STALE), str(strange(tmp_path))]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "| kind | recordings | agree | unsupported | first difference |"
    assert lines[2] == "| stale | 1 | 1 | | |"
    assert lines[3] == "| power | 1 | 0 | 1 | unsupported: hibernate |"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "no-trace.json: No such file or directory"),
        ('{"name": "x",\n "ops": [}', "no-trace.json:2:10: no JSON"),
        ('{"name": "x",\n "ops": [{"op": "exit"}]}', "no-trace.json:2:1: op 0, exit: "),
    ],
)
@pytest.mark.parametrize("options", [[], ["--emit"]])
def test_what_is_no_trace_ends_with_2_and_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], content: str | None, message: str, options: list[str]
) -> None:
    path = tmp_path / "no-trace.json"
    if content is not None:
        path.write_text(content)
    assert main(["replay", *options, str(path)]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_a_folder_without_recordings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(tmp_path)]) == 2
    assert "no recording (*.json) in this folder" in capsys.readouterr().err


def test_emit_takes_one_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", "--emit", str(STALE), str(STALE)]) == 2
    assert "--emit prints one recording, not 2" in capsys.readouterr().err
