"""`ptescope sweep` from outside: its table, its JSON, and that it goes on where it stopped."""

import json
import os
from argparse import ArgumentParser
from contextlib import closing
from itertools import islice
from pathlib import Path

import pytest

import tui.jobs.sweep
from lessons.learner import own_file
from model.compare.sweep import MOST_STATES, Answer, SweepCase
from tests.tui.command_line import Answered, called
from tui.commands.sweep import add_arguments, chosen
from tui.jobs.sweep import KnownCases

FEW = ("--kernel", "6.18", "--backing", "vgem", "--call", "destroy", "--bounded", "0", "--thin", "3", "--jobs", "1")


def sweep(cache: Path, *arguments: str) -> Answered:
    return called("sweep", *arguments, XDG_CACHE_HOME=str(cache), COLUMNS="100")


def test_the_table_and_what_it_holds_for(tmp_path: Path) -> None:
    done = sweep(tmp_path, *FEW)
    assert (done.returncode, done.stderr) == (0, "")
    assert "vgem" in done.stdout
    assert "at most 0 pre-emptions" in " ".join(done.stdout.split())
    assert "sequentially consistent" in " ".join(done.stdout.split())


def test_what_is_known_is_not_searched_again(tmp_path: Path) -> None:
    first = json.loads(sweep(tmp_path, *FEW, "--json").stdout)
    assert len(first["cases"]) == 3
    assert not any(case["found"] for case in first["cases"])
    (kept,) = tmp_path.rglob("sweep.json")
    kept.write_text(kept.read_text().replace(f'"states":{first["cases"][0]["states"]}', '"states":7'))
    assert json.loads(sweep(tmp_path, *FEW, "--json").stdout)["cases"][0]["states"] == 7
    assert json.loads(sweep(tmp_path, *FEW, "--json", "--fresh").stdout) == first


def test_a_damaged_file_and_a_wrong_word_are_no_accident(tmp_path: Path) -> None:
    sweep(tmp_path, *FEW)
    (kept,) = tmp_path.rglob("sweep.json")
    kept.write_bytes(b"\xff{")
    assert sweep(tmp_path, *FEW).returncode == 0
    done = sweep(tmp_path, "--backing", "memdf")
    assert done.returncode == 2
    assert "memfd" in done.stderr


HARMLESS = Answer(7)
FEW_CASES = ("--kernel", "6.1", "--kernel", "6.18", *FEW[2:])


def asked_cases() -> list[SweepCase]:
    parser = ArgumentParser()
    add_arguments(parser)
    return chosen(parser.parse_args(FEW_CASES))


def swept(file: Path, most: int = 1000, bounded: int = 0) -> dict[str, Answer]:
    """A sweep that somebody interrupts after so many answers."""
    known = KnownCases(bounded, MOST_STATES, file)
    known.read()
    with closing(tui.jobs.sweep.sweep(asked_cases(), known, 1)) as coming:
        found = {case.name: answer for case, answer in islice(coming, most)}
    assert not known.report
    return found


@pytest.mark.parametrize("most", [1, 2, 5])
def test_a_sweep_that_was_interrupted_and_went_on_equals_a_whole_one(tmp_path: Path, most: int) -> None:
    whole = swept(tmp_path / "whole.json")
    assert len(whole) == 6
    assert len(swept(tmp_path / "cut.json", most)) == most
    assert swept(tmp_path / "cut.json") == whole


def test_runs_with_other_bounds_and_other_programs_lose_nothing(tmp_path: Path) -> None:
    file, first, second = tmp_path / "sweep.json", *(KnownCases(0, MOST_STATES, tmp_path / "sweep.json") for _ in "12")
    first.add("a", HARMLESS)
    second.add("b", HARMLESS)
    other = KnownCases(1, MOST_STATES, file)
    other.add("c", HARMLESS)
    for known in (first, second, other):
        known.write()
        assert not known.report
    again = KnownCases(0, MOST_STATES, file)
    again.read()
    assert again.answers == {"a": HARMLESS, "b": HARMLESS}


def test_what_cannot_be_kept_is_said_to_be_lost(tmp_path: Path) -> None:
    (tmp_path / "ptescope").write_text("no folder")
    done = sweep(tmp_path, *FEW)
    assert done.returncode == 0
    assert done.stderr.startswith("what was computed cannot be kept: ")


def test_what_somebody_else_has_made_is_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    known = KnownCases(0, MOST_STATES, tmp_path / "sweep.json")
    known.add("a", HARMLESS)
    known.write()
    monkeypatch.setattr(own_file, "trusted", lambda: (os.getuid() + 1,))
    again = KnownCases(0, MOST_STATES, known.path)
    again.read()
    assert not again.answers
