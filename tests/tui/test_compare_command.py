"""`ptescope compare` from outside: tables, JSON, Markdown, the cache."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from model.compare import table
from model.compare.cells import Cell, Trial
from model.compare.scenes import GRABBERS
from tests.tui.command_line import Answered, called
from tui.jobs.compare import CellBounds, answer_all
from tui.jobs.compare_cache import Answer, Cache

FEW = ("--exporter", "qxl", "--exporter", "insert-page", "--grabber", "gup-fast", "--grabber", "mirror")


def compare(cache: Path, *arguments: str, columns: int = 120) -> Answered:
    return called("compare", *arguments, XDG_CACHE_HOME=str(cache), COLUMNS=str(columns))


def object_of(done: Answered) -> dict[str, Any]:
    assert (done.returncode, done.stderr) == (0, "")
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def test_json_and_the_worker_processes(tmp_path: Path) -> None:
    found = object_of(compare(tmp_path, "--json", "--defence", "none", *FEW, "--jobs", "2"))
    assert found["kernel"] == "6.1"
    outcomes = {(one["exporter"], one["grabber"]): one["outcome"] for one in found["cells"]}
    assert outcomes["qxl, bochs", "gup-fast"] == "refused"
    assert outcomes["insert-page", "gup-fast"] == "corrupts"
    assert outcomes["insert-page by DRM file", "mirror"] == "safe"
    assert len(outcomes) == len(found["cells"]) == 6
    assert found["uses"] == []


def test_the_uses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are asked about where everything is; that the cells beside them are searched is tested with few of them."""
    monkeypatch.setattr(table, "GRABBERS", GRABBERS[:1])
    found = object_of(compare(tmp_path, "--json", "--defence", "ttm-refcount=zero", "--max-states", "10"))
    works = {one["use"]: one["works"] for one in found["uses"]}
    assert works["direct I/O"] is True
    assert works["KVM on a TTM buffer"] is False


@pytest.mark.parametrize("columns", [80, 120])
def test_the_table_fits(tmp_path: Path, columns: int) -> None:
    arguments = ("--defence", "none", "--exporter", "qxl", "--max-states", "50")
    done = compare(tmp_path, *arguments, columns=columns)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= columns
    assert any("gup-slow" in line for line in lines)
    assert "\x1b" not in done.stdout


def test_markdown(tmp_path: Path) -> None:
    done = compare(tmp_path, "--markdown", "--defence", "none", "--exporter", "qxl", "--grabber", "pin")
    assert "| exporter | pin |\n| --- | --- |\n| qxl, bochs | refused EFAULT |\n" in done.stdout


def test_what_was_computed_is_used_again_until_it_is_to_be_fresh(tmp_path: Path) -> None:
    """A cache in which something else stands is believed; `--fresh` does not look at it."""
    arguments = ("--json", "--defence", "none", "--exporter", "qxl", "--grabber", "pin")
    first = object_of(compare(tmp_path, *arguments))
    (file,) = tmp_path.rglob("compare.json")
    file.write_bytes(file.read_bytes().replace(b"EFAULT", b"EPERM"))
    assert object_of(compare(tmp_path, *arguments))["cells"][0]["answer"] == "EPERM"
    assert object_of(compare(tmp_path, *arguments, "--fresh")) == first


def test_the_cache_holds_for_one_bound_and_survives_damage(tmp_path: Path) -> None:
    file = tmp_path / "new" / "compare.json"
    answers: dict[str, Cell | Trial] = {"one": Cell("safe", states=3), "two": Trial(works=False, found="it")}
    Cache(10, file).write(answers)
    assert Cache(10, file).read() == answers
    assert Cache(11, file).read() == {"two": answers["two"]}, "whether a use works depends on no bound"
    file.write_bytes(b"\xff{")
    assert Cache(10, file).read() == {}


def compared(cache: Path, most: int) -> tuple[dict[str, Answer], bool]:
    """A comparison that somebody interrupts after so many answers."""
    counted = count(1)

    @contextmanager
    def bar(_: int) -> Iterator[Callable[[], None]]:
        def advance() -> None:
            if next(counted) == most:
                raise KeyboardInterrupt

        yield advance

    asked = table.questions("6.1", ("qxl", "insert-page"), ("gup-fast", "mirror", "pin"), ("none",))
    with patch.dict(os.environ, XDG_CACHE_HOME=str(cache)), patch("tui.jobs.compare.progress_bar", bar):
        return answer_all(asked, CellBounds(300))


def test_a_comparison_that_was_interrupted_and_went_on_equals_a_whole_one(tmp_path: Path) -> None:
    whole, interrupted = compared(tmp_path / "whole", 1000)
    assert not interrupted
    for most in (1, len(whole) // 2):
        cut, interrupted = compared(tmp_path / f"cut {most}", most)
        assert (len(cut), interrupted) == (most, True)
        assert compared(tmp_path / f"cut {most}", 1000) == (whole, False)


def test_a_name_that_is_not_known(tmp_path: Path) -> None:
    done = compare(tmp_path, "--exporter", "qlx")
    assert done.returncode == 2
    assert "did you mean `qxl`?" in done.stderr
