"""Citations of the kernel, looked up in a source tree."""

from pathlib import Path

import pytest

from docs.citations import dead

GUP = "int gup_fast(void) { return try_grab_folio_fast(); }"


@pytest.fixture(name="tree")
def tree_fixture(tmp_path: Path) -> Path:
    (tmp_path / "mm").mkdir()
    (tmp_path / "mm/gup.c").write_text(GUP)
    return tmp_path


def test_a_name_is_looked_up_in_the_file_that_is_said_to_have_it(tree: Path) -> None:
    text = "See mm/gup.c: gup_fast, try_grab_page.\nmm/gup.c: gup_fast and what it calls"
    assert list(dead(text, [tree])) == [(1, "mm/gup.c has no try_grab_page")]


def test_a_file_must_exist_in_one_of_the_trees(tree: Path) -> None:
    assert list(dead("text\n`mm/gone.c`", [tree])) == [(2, "no tree has mm/gone.c")]
    assert not list(dead("mm/gup.c", [tree / "nothing", tree]))
