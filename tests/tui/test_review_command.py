"""`ptescope review` from outside: the table, the story, the file of one's own, what CI reads, and Ctrl+C."""

import json
import xml.etree.ElementTree as ET
from collections.abc import Generator, Sequence
from itertools import islice
from multiprocessing import active_children
from pathlib import Path
from typing import Any

import pytest

from lessons.i18n import language
from model.compare.cells import MOST_STATES, Cell, Judge
from model.compare.owner_acts import CellScene
from model.compare.table import CellQuestion, review_questions
from model.script.parser import parse
from model.script.runner import Runner
from tests.tui.driver_texts import EARLY_FREE as MINE
from tui.cli import main
from tui.jobs.compare import Answered, CellBounds, compute
from tui.jobs.compare_cache import Cache
from tui.session.reviewed import row_of

QUICK = ("--jobs", "1", "--kernel", "6.1", "--grabber", "nobody", "--grabber", "gup-fast")


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def mine(tmp_path: Path) -> str:
    file = tmp_path / "mine.driver"
    file.write_text(MINE)
    return str(file)


def as_json(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, dict[str, Any]]:
    status = main(["review", *words, "--json"])
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return status, found


def test_a_driver_that_comes_along(capsys: pytest.CaptureFixture[str]) -> None:
    status, found = as_json(capsys, "vgem", *QUICK)
    assert (status, found["worst"], found["complete"], found["not_searched"]) == (0, "safe", True, [])
    outcomes = {cell["cell"]: cell["outcome"] for cell in found["cells"]}
    assert outcomes["gup-fast:invalidate"] == "refused"
    assert outcomes["nobody:fork"] == "safe"
    assert len(outcomes) == 12


def test_a_driver_of_ones_own_and_the_worst_of_it_first(capsys: pytest.CaptureFixture[str], mine: str) -> None:
    status, found = as_json(capsys, mine, *QUICK)
    assert (status, found["driver"], found["cells"][0]["cell"]) == (1, "mine", "nobody:purge")
    runner = Runner()
    last = [runner.perform(command) for command in parse(found["cells"][0]["trace"])][-1]
    assert found["cells"][0]["invariant"] in {broken.invariant for broken in last.violations}


def test_what_is_accepted_does_not_fail(capsys: pytest.CaptureFixture[str], mine: str) -> None:
    assert main(["review", mine, *QUICK, "--junit"]) == 1
    suite = ET.fromstring(capsys.readouterr().out)
    assert (suite.tag, suite.get("failures"), suite.get("tests")) == ("testsuite", "1", "12")
    failed = [case.get("name") for case in suite if case.find("failure") is not None]
    assert failed == ["nobody:purge"]
    assert main(["review", mine, *QUICK, "--junit", "--accept", "*:purge"]) == 0
    suite = ET.fromstring(capsys.readouterr().out)
    assert (suite.get("failures"), suite.get("skipped")) == ("0", "2")


def test_the_table_and_markdown(capsys: pytest.CaptureFixture[str], mine: str) -> None:
    assert main(["review", mine, *QUICK]) == 1
    shown = capsys.readouterr().out
    assert "1 corrupts, 5 safe, 6 refused" in shown
    assert f"ptescope review {mine} --kernel 6.1 --story nobody:purge" in "".join(shown.split("\n"))
    assert main(["review", mine, *QUICK, "--markdown"]) == 1
    told = capsys.readouterr().out
    assert "* `nobody:purge`: corrupts in 2 (freed-while-mapped)" in told
    assert "| gup-fast | refused EFAULT |" in told


@pytest.mark.parametrize("form", [(), ("--markdown",)], ids=["table", "markdown"])
def test_who_grabs_and_what_happens_is_said_in_the_readers_language(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, form: tuple[str, ...]
) -> None:
    """Also of the operations that a driver's file says."""
    asked = review_questions(row_of("vfio-pci"), "6.1", (), ("nobody",))
    Cache(MOST_STATES).write({one.text: Cell("safe", states=1) for one in asked})
    monkeypatch.setenv("PTESCOPE_LANGUAGE", "de")
    monkeypatch.setattr(language, "_chosen", [])
    try:
        assert main(["review", "vfio-pci", "--kernel", "6.1", "--grabber", "nobody", *form]) == 0
    finally:
        language.use(language.ENGLISH)  # also forgets what was translated
    told = " ".join(capsys.readouterr().out.replace("`", "").split())
    assert "nobody: niemand: was die Operation von selbst tut" in told
    assert "munmap: munmap(2): der Treiber hat den Puffer noch" in told
    assert "reset: Das Gerät zurücksetzen" in told
    assert "safe, N states: alle N erreichbaren" in told


def test_the_story_of_a_cell(capsys: pytest.CaptureFixture[str], mine: str) -> None:
    assert main(["review", mine, "--story", "cpu:purge"]) == 1
    told = capsys.readouterr().out
    assert "cpu:purge: corrupts in 5" in told
    assert "time and space" in told
    assert "the nearest safe schedule" in told


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("qlx",), "did you mean `qxl`?"),
        (("qxl", "--story", "raw:mvoe"), "did you mean `raw:move`?"),
        (("qxl", "-o", "a.svg"), "--story"),
        (("none.driver",), "none.driver: No such file or directory"),
    ],
)
def test_what_cannot_be_reviewed(capsys: pytest.CaptureFixture[str], words: tuple[str, ...], said: str) -> None:
    assert main(["review", *words]) == 2
    assert said in capsys.readouterr().err


def test_a_file_that_is_wrong(capsys: pytest.CaptureFixture[str], mine: str) -> None:
    Path(mine).write_text(MINE.replace("backing", "baking"))
    assert main(["review", mine]) == 2
    assert f"{mine}:6:1: `baking` is no field; did you mean `backing`?" in capsys.readouterr().err
    Path(mine).write_text(MINE.replace("driver mine", "driver qxl"))
    assert main(["review", mine]) == 2
    assert "choose another name" in capsys.readouterr().err


def test_what_was_computed_is_kept_for_each_bound_and_not_what_memory_ended(tmp_path: Path) -> None:
    file = tmp_path / "cells.json"
    Cache(10, file).write({"one": Cell("safe", states=3), "two": Cell("open", complete=False, ended="memory")})
    Cache(11, file).write({"one": Cell("open", complete=False)})
    assert Cache(10, file).read() == {"one": Cell("safe", states=3)}
    assert Cache(11, file).read() == {"one": Cell("open", complete=False)}


def test_a_search_that_is_ended_from_outside_has_no_verdict() -> None:
    scene = CellScene("process p0\nmmap p0 a anon private rw 1\nmay 1 write p0 a 1\nmay 1 munmap p0 a\n", 1)
    found = Judge(300_000, lambda _: False).cell(scene)
    assert (found.outcome, found.complete) == ("open", False)


def test_ctrl_c_keeps_what_is_known(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, mine: str
) -> None:
    """What was found is printed and kept, and the same command goes on from there."""

    def interrupted(asked: Sequence[CellQuestion], bounds: CellBounds) -> Generator[Answered]:
        yield from islice(compute(asked, bounds), 3)
        raise KeyboardInterrupt

    monkeypatch.setattr("tui.jobs.compare.compute", interrupted)
    quiet = (*QUICK, "--accept", "*")
    status, found = as_json(capsys, mine, *quiet)
    assert (status, len(found["cells"]), len(found["not_searched"])) == (130, 3, 9)
    status, found = as_json(capsys, mine, *quiet)
    assert (status, len(found["cells"]), len(found["not_searched"])) == (130, 6, 6)
    assert main(["review", mine, *QUICK, "--junit"]) == 130
    assert "3 of 12" not in (told := capsys.readouterr()).err
    assert "9 of 12 cells are known and kept" in told.err
    assert told.out.count('message="not searched"') == 3


def test_whoever_stops_listening_ends_the_processes(mine: str) -> None:
    coming = compute(review_questions(row_of(mine), "6.1"), CellBounds(300_000, 2))
    assert isinstance(next(coming)[1], Cell)
    coming.close()
    assert active_children() == []
