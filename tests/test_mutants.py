"""The table of mutants is in order: each changes the program, and the tests that must notice exist."""

import ast
from functools import cache
from pathlib import Path

import pytest

from model.driver_files.resolve import resolve
from tests.mutants.run import TestRunError, Verdict, Worker
from tests.mutants.table import ROOT, Mutant, mutants

MUTANTS = mutants()


@cache
def source(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@cache
def defined_tests(name: str) -> frozenset[str]:
    """The tests that a file defines."""
    return frozenset(
        node.name
        for node in ast.walk(ast.parse(source(name)))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name.startswith("test_")
    )


def test_the_program_is_broken_in_at_least_sixty_places() -> None:
    assert len(MUTANTS) >= 60
    assert len({mutant.name for mutant in MUTANTS}) == len(MUTANTS)
    assert len({(mutant.file, mutant.old, mutant.new) for mutant in MUTANTS}) == len(MUTANTS)


@pytest.mark.parametrize("mutant", [pytest.param(mutant, id=mutant.name) for mutant in MUTANTS])
def test_a_mutant_is_another_program(mutant: Mutant) -> None:
    before = source(mutant.file)
    after = mutant.applied(before)
    if mutant.file.endswith(".driver"):
        assert resolve(after, "7.3") != resolve(before, "7.3")
    else:
        compile(after, mutant.file, "exec")
        assert ast.dump(ast.parse(after)) != ast.dump(ast.parse(before))
    assert mutant.breaks


@pytest.mark.parametrize("mutant", [pytest.param(mutant, id=mutant.name) for mutant in MUTANTS])
def test_the_tests_that_must_notice_exist(mutant: Mutant) -> None:
    assert mutant.tests
    for test in mutant.tests:
        file, _, name = test.partition("::")
        assert (ROOT / file).is_file(), test
        assert not name or name.partition("[")[0] in defined_tests(file), test


def test_a_text_that_does_not_stand_there_once_is_refused() -> None:
    mutant = MUTANTS[0]
    with pytest.raises(ValueError, match="0 times"):
        mutant.applied("")
    with pytest.raises(ValueError, match="2 times"):
        mutant.applied(mutant.old * 2)


# -- the runner, on a project of two lines -------------------------------------------------------


@pytest.fixture
def worker(tmp_path: Path) -> Worker:
    (tmp_path / "limits.py").write_text("def fits(pages): return pages <= 4\n", encoding="utf-8")
    (tmp_path / "test_limits.py").write_text(
        "from limits import fits\n\ndef test_fits(): assert fits(3) and not fits(9)\n\n"
        "def test_border(): assert fits(4)\n",
        encoding="utf-8",
    )
    return Worker(tmp_path, timeout=60)


def at_the_border(test: str, equal: str = "") -> Mutant:
    return Mutant("border", "four pages do not fit", "limits.py", "<= 4", "< 4", (f"test_limits.py{test}",), equal)


def test_a_mutant_is_killed_by_the_test_that_fails_and_leaves_no_trace(worker: Worker) -> None:
    before = (worker.tree / "limits.py").read_text(encoding="utf-8")
    killed = worker.test(at_the_border(""))
    assert (killed.verdict, killed.by) == (Verdict.KILLED, "test_limits.py::test_border")
    assert (worker.tree / "limits.py").read_text(encoding="utf-8") == before


def test_a_mutant_that_no_test_notices_survives_and_one_that_is_noticed_is_not_equal(worker: Worker) -> None:
    assert worker.test(at_the_border("::test_fits")).verdict is Verdict.SURVIVED
    assert worker.test(at_the_border("::test_border", "nobody has four pages")).verdict is Verdict.NOT_EQUAL


def test_a_test_that_does_not_exist_notices_nothing(worker: Worker) -> None:
    with pytest.raises(TestRunError, match="test_nowhere"):
        worker.test(at_the_border("::test_nowhere"))
