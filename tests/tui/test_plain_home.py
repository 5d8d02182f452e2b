"""Home without a screen: everything can be reached, and signs are explained."""

import re
from io import StringIO
from pathlib import Path
from typing import Final

import pytest
from rich.console import Console

from lessons.drills.book import KINDS
from lessons.learner.progress import Store
from lessons.teach.assignment import DrillSet, as_file, assign
from lessons.teach.hand_in import parse_hand_in
from model.memory.flags import SMAPS_CODES
from tui.plain.drill import PlainDrill
from tui.plain.home import PlainHome
from tui.plain.panes import CODES


def told(store: Store, *lines: str) -> str:
    out = StringIO()
    console = Console(file=out, width=100, force_terminal=False, color_system=None)
    PlainHome(store, StringIO("".join(f"{line}\n" for line in lines)), console).run()
    return out.getvalue()


def test_a_lesson_a_drill_and_the_sandbox_are_reached_by_a_word_and_lead_back(store: Store) -> None:
    said = told(
        store,
        "copy-on-writ",
        "2",
        "?",
        "q",
        "drill",
        "h",
        "h",
        "h",
        "?",
        "s",
        "q",
        "sandbox",
        "process p0",
        "q",
        "l",
        "q",
    )
    assert "`copy-on-writ` opens nothing (did you mean `copy-on-write`?)." in said
    assert "How the walk works: " in said
    assert "page 16 leads to frame 5" in said
    assert "Hint 1/2: " in said
    assert "Hint 2/2: " in said
    assert "Those were all the hints." in said
    assert "A letter answers." in said
    assert said.count("[home]>") == 7 - 1
    assert "How the walk works, begun" in said


def test_what_was_assigned_is_done_and_handed_in_from_here(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    week = assign("Week 1", ["how-the-walk-works"], [DrillSet("walk", 4, 2)], 0)
    (store.path.parent / "assignments").mkdir()
    (store.path.parent / "assignments" / "week.json").write_bytes(as_file(week))
    said = told(store, "a2", "a1", "a", "", "b", "", "hand-in", "hand-in Ada Lovelace; 7", "recap", "l", "q")
    assert "Assignment: Week 1." in said
    assert "  How the walk works, open" in said
    assert "a1. Drill walk, 2 exercises, 0 of 2" in said
    assert "Drill walk, number 5." in said
    assert "a1. Drill walk, 2 exercises, 2 of 2" in said
    assert "Say whose work it is" in said
    assert "still open: How the walk works: not begun" in said
    work = parse_hand_in((tmp_path / "ada-lovelace.ptework").read_bytes())
    assert (work.name, work.student, set(work.exercises)) == ("Ada Lovelace", "7", {"walk 4", "walk 5"})


SILENT: Final = re.compile(r"[→✓✗●◉○·•│▶]|~(?=.)|^ *[-+] |={2,}|-{2,}(?!\w)|\.\.(?=\d)|(?<=\d)/(?=\d+/)")
"""Signs that espeak-ng passes over, or reads so that nobody understands: `- pte` as `pte`, `16..17` as 16 point one."""


def test_nothing_is_said_by_a_sign_that_no_screen_reader_says(store: Store) -> None:
    """Home, a lesson with a step back and its machine, the sandbox and every kind of drill."""
    lesson = ("a-reference-is-not-a-mapping", "h", "1025", "", "", "", "s", "b", "?", *[""] * 9, "q")
    script = ("sandbox", "process p0", "mmap p0 buf anon private rw 2", "write p0 buf 65", "gup p0 buf as=r write")
    more = ("madvise p0 buf dontneed", "expect refcount p0 buf 3", "s", "diff", "history", "quit")
    said = told(store, "?", *lesson, *script, *more, "q")
    for kind in KINDS:
        out = StringIO()
        console = Console(file=out, width=100, force_terminal=False, color_system=None)
        PlainDrill(store, StringIO("h\nh\n?\ns\na\nw\nq\n"), console).run(kind, 3, 1)
        said += out.getvalue()
    without_hints = "\n".join(line for line in said.splitlines() if "Hint, where:" not in line)
    assert {line for line in without_hints.splitlines() if SILENT.search(line)} == set()


def test_every_flag_of_a_mapping_has_words() -> None:
    assert {code for _, code in SMAPS_CODES} == set(CODES)
