"""Lessons on the command line: `learn --plain`, `lessons`, `lesson check`."""

import io
from pathlib import Path

import pytest

from lessons.file.library import entries
from lessons.learner.progress import Store
from tests.lessons.small_lesson import TEXT, WORLDS
from tui.cli import main


class Terminal:
    """Runs commands as a user would: lines in, text out, one data folder."""

    def __init__(self, data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.data = data
        self.monkeypatch = monkeypatch
        self.capsys = capsys
        monkeypatch.setattr("platformdirs.user_data_path", lambda _: data)
        self.errors = ""

    def run(self, *words: str, lines: str = "", status: int = 0) -> str:
        """What a command prints; `errors` has what it complains about."""
        self.monkeypatch.setattr("sys.stdin", io.StringIO(lines))
        assert main(words) == status
        out, self.errors = self.capsys.readouterr()
        return out


@pytest.fixture
def terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Terminal:
    return Terminal(tmp_path / "data", monkeypatch, capsys)


@pytest.fixture
def small_lesson(tmp_path: Path) -> str:
    (tmp_path / "worlds").mkdir()
    (tmp_path / "worlds" / "page.pte").write_text(WORLDS["page"])
    path = tmp_path / "small.md"
    path.write_text(TEXT)
    return str(path)


def test_a_lesson_is_played_from_the_first_line_to_the_rule(terminal: Terminal, small_lesson: str) -> None:
    to_the_choice = "2\n\nc\nc\n\n1\n\n"
    out = terminal.run(
        "learn", small_lesson, "--plain", lines=to_the_choice + "raed\n:read p0 buf\nmadvise p0 buf+0 dontneed\n\n"
    )
    for text in (
        "Process p0 has a page.",
        "Predict: Its refcount is 1. After another page is written?",
        "Your guess: 2. Go forward and see.",
        "No. You said 2; it is 1.",
        "That is another page.",
        "1. 65",
        "Right: 65.",
        "open: the first page is gone",
        "did you mean `read`?",
        "The command ends: ok 65",
        "The goal is reached: go forward.",
        "The rule: A page is a page.",
        "mm/memory.c: zap_pte_range",
        "Predictions right: 1 of 2. Hints taken: 0.",
    ):
        assert text in out, text
    assert "\x1b" not in out
    assert Store().lesson("small").finished


def test_one_comes_back_to_the_very_step(terminal: Terminal, small_lesson: str) -> None:
    terminal.run("learn", small_lesson, "--plain", lines="1\n\ni\ni\nq\n")
    assert Store().lesson("small").step == 2
    out = terminal.run("learn", small_lesson, "--plain", lines="i\n")
    assert "[2/5]" in out
    assert "mmu_access.tlb_lookup" not in out.partition("[2/5]")[2]
    assert "mmu_access.walk_pgd" in out.partition("[2/5]")[2]
    assert "[1/5]" in terminal.run("learn", small_lesson, "--plain", "--reset")


def test_the_keys_are_explained_and_the_machine_is_shown(terminal: Terminal, small_lesson: str) -> None:
    out = terminal.run("learn", small_lesson, "--plain", lines="?\ns\nh\nh\nb\n\n")
    for text in (
        "one more hint",
        "Address spaces:",
        "Memory:",
        "Hint, where: Look at the frame.",
        "Hint, what: Who holds it?",
        "This is the beginning of the lesson.",
        "Answer first.",
    ):
        assert text in out, text


def test_the_code_of_a_step_opens_in_the_sandbox(terminal: Terminal, small_lesson: str) -> None:
    out = terminal.run("learn", small_lesson, "--plain", lines="1\n\nc\ncode\n")
    (code,) = (line for line in out.splitlines() if line.startswith("pte1."))
    assert "write p0 buf" in terminal.run("sandbox", "--plain", "--code", code, lines="script\n")


def test_the_hints_of_a_goal_end_with_its_solution(terminal: Terminal, small_lesson: str) -> None:
    out = terminal.run("learn", small_lesson, "--plain", lines="1\n\nc\nc\n\n1\n\nh\nh\nh\nh\nh\n\n\n")
    assert "One command remains: madvise p0 buf+0 dontneed" in out
    assert "That was the last hint." in out
    assert "The rule: A page is a page." in out


@pytest.mark.parametrize("name", [entry.name for entry in entries()])
def test_every_lesson_of_the_course_opens_as_text(terminal: Terminal, name: str) -> None:
    told = terminal.run("learn", name, "--plain")
    assert "Predict:" in told or "Going forward plays:" in told


def test_the_frames_of_a_huge_block_are_told_in_one_line(terminal: Terminal) -> None:
    """A screen reader would read the same words 512 times."""
    told = terminal.run("learn", "the-huge-page-hole", "--plain", lines="1\n\n" * 60)
    assert "new frames v0 to v511: vram" in told
    assert "frame 16777217" not in told


def test_without_a_name_the_first_lesson_that_is_not_done_opens(terminal: Terminal) -> None:
    assert "A mapping costs no memory" in terminal.run("learn", "--plain")


def test_a_damaged_lesson_is_refused_with_its_place(terminal: Terminal, small_lesson: str) -> None:
    Path(small_lesson).write_text(TEXT.replace("minutes = 5", "minutes = 500"))
    assert terminal.run("learn", small_lesson, "--plain", status=2) == ""
    assert f"{small_lesson}:7:1: minutes:" in terminal.errors


def test_an_unknown_lesson_is_answered_with_the_nearest(terminal: Terminal) -> None:
    terminal.run("learn", "how-the-walk-work", "--plain", status=2)
    assert "did you mean `how-the-walk-works`?" in terminal.errors


def test_where_progress_cannot_be_kept_the_lesson_goes_on(terminal: Terminal, small_lesson: str) -> None:
    terminal.data.write_text("a file where the folder should be")
    out = terminal.run("learn", small_lesson, "--plain", lines="1\n\n\n")
    assert out.count("progress cannot be kept in") == 1
    assert "cpu_store.access" in out


def test_damaged_progress_is_reported_once_and_kept(terminal: Terminal, small_lesson: str) -> None:
    terminal.data.mkdir()
    (terminal.data / "progress.json").write_text("{")
    out = terminal.run("learn", small_lesson, "--plain", lines="1\n\n\n")
    assert out.count("it is kept as progress.json.damaged-1") == 1
    assert (terminal.data / "progress.json.damaged-1").read_text() == "{"


def test_the_list_of_lessons_shows_how_far_one_is(terminal: Terminal) -> None:
    assert "new        how-the-walk-works: How the walk works (10 minutes)" in terminal.run("lessons")
    terminal.run("learn", "how-the-walk-works", "--plain", lines="0\n\n")
    assert "at 2/14" in terminal.run("lessons")
    assert "at 2/14" not in terminal.run("lessons", "--reset", "how-the-walk-works")
    terminal.run("lessons", "--reset", "how-the-walk", status=2)
    assert "did you mean `how-the-walk-works`?" in terminal.errors


def test_lesson_check_finds_nothing_in_the_course(terminal: Terminal) -> None:
    assert terminal.run("lesson", "check") == f"{len(entries()) + 1} lessons checked, 0 problems\n"


def test_lesson_check_reports_each_problem_at_its_place(terminal: Terminal, small_lesson: str) -> None:
    Path(small_lesson).write_text(TEXT.replace("is = 2", "is = 1"))
    assert terminal.run("lesson", "check", small_lesson, status=1) == "1 lesson checked, 1 problem\n"
    assert f"{small_lesson}:18:1: prediction `count`: the wrong answer 1 is right" in terminal.errors


@pytest.mark.parametrize(("typed", "said"), [("1", "yes"), ("2", "no"), ("a", "yes"), ("no", "no")])
def test_yes_or_no_is_chosen_as_the_list_numbers_it(terminal: Terminal, typed: str, said: str) -> None:
    out = terminal.run("learn", "copy-on-write", "--plain", lines=f"{typed}\n")
    assert "1. yes" in out
    assert f"Your guess: {said}." in out
