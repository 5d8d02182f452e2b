"""The table of mutants is in order: each changes the program, and the tests that must notice exist."""

import ast
from functools import cache

import pytest

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
