"""`ptescope recap` and `ptescope progress`, from outside."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lessons.file.library import find
from lessons.file.loader import load
from lessons.file.schema import Lesson, NumberQuestion
from lessons.learner.progress import LessonProgress, Store
from lessons.play.player import Player
from tui import cli

FIRST = "a-mapping-costs-no-memory"


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Store:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    return Store(tmp_path / "ptescope" / "progress.json")


def called(capsys: pytest.CaptureFixture[str], *words: str, status: int = 0) -> str:
    assert cli.main(list(words)) == status
    said = capsys.readouterr()
    return said.out + said.err


def guess_wrong(store: Store) -> None:
    """The first question of the first lesson, answered wrongly and played."""
    player = Player(find(FIRST))
    assert not player.answer("1000")
    while not player.judged:
        assert not player.forward()
    store.save(FIRST, player.progress())


def test_recap_puts_the_wrong_guess_beside_the_truth(kept: Store, capsys: pytest.CaptureFixture[str]) -> None:
    assert "Nothing yet" in called(capsys, "recap")
    guess_wrong(kept)
    kept.answered("pte", right=True)
    text = called(capsys, "recap")
    assert "### A mapping costs no memory" in text
    assert "I said 1000; it is 0. That is the belief that this lesson is about." in text
    assert "`pte`: 1 of 1" in text
    assert "**A mapping costs no memory**" in text.partition("## Next")[2]


def test_only_lessons_under_way_are_read_whole(
    kept: Store, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """To read all of the course takes two thirds of a list's time."""
    read: list[str] = []

    def noted(path: Path) -> Lesson:
        read.append(path.stem)
        return load(path)

    monkeypatch.setattr("lessons.file.library.load", noted)
    kept.save(FIRST, LessonProgress(item=2))
    assert f"at 3/{len(find(FIRST).items)}" in called(capsys, "lessons")
    assert "### A mapping costs no memory" in called(capsys, "recap")
    assert set(read) == {FIRST}


def test_the_numbers_in_a_question_are_there_in_the_recap_too(kept: Store, capsys: pytest.CaptureFixture[str]) -> None:
    player = Player(find(FIRST))
    while player.place.item < 6:
        player.answer("1")
        player.forward()
    kept.save(FIRST, player.progress())
    assert "{vmas p0}" in "".join(
        item.action.ask for item in find(FIRST).items if isinstance(item.action, NumberQuestion)
    )
    text = called(capsys, "recap")
    assert "- p0 has 1 VMA. How many after the mprotect?" in text
    assert "{" not in text


def test_progress_travels_and_the_further_one_is_kept(
    kept: Store, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    guess_wrong(kept)
    copy = tmp_path / "copy.json"
    called(capsys, "progress", "export", str(copy))
    assert "exists; `--force`" in called(capsys, "progress", "export", str(copy), status=2)
    kept.save(FIRST, LessonProgress(item=9))
    kept.answered("walk", right=False)
    assert "0 lessons and 0 kinds" in called(capsys, "progress", "import", str(copy))
    assert kept.read().lessons[FIRST].item == 9
    assert "forgotten" in called(capsys, "progress", "reset")
    assert not kept.read().lessons
    assert list(kept.path.parent.glob("*.before-reset-1"))
    assert "1 lessons and 0 kinds" in called(capsys, "progress", "import", str(copy))
    assert kept.read().lessons[FIRST].guesses


def test_what_is_no_progress_file_is_refused_and_changes_nothing(
    kept: Store, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    guess_wrong(kept)
    before = kept.path.read_bytes()
    bad = tmp_path / "bad.json"
    bad.write_text('{"lessons": 3}')
    assert "this is no progress file" in called(capsys, "progress", "import", str(bad), status=2)
    bad.write_bytes(b'{"lessons":\n  \xff}')
    assert f"{bad}:2:3: no UTF-8; this is no progress file" in called(capsys, "progress", "import", str(bad), status=2)
    assert "did you mean" in called(capsys, "progress", "reset", "a-maping-costs-no-memory", status=2)
    assert kept.path.read_bytes() == before


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="SIGKILL")
def test_a_kill_while_writing_leaves_a_whole_file(kept: Store) -> None:
    kept.answered("pte", right=True)
    script = "from lessons.learner.progress import Store\nwhile True: Store().answered('pte', right=True)"
    for _ in range(3):
        writer = subprocess.Popen([sys.executable, "-c", script])
        before = kept.read().drills["pte"].asked
        while kept.read().drills["pte"].asked < before + 5:
            pass
        writer.send_signal(signal.SIGKILL)
        writer.wait()
        json.loads(kept.path.read_bytes())
    assert not list(kept.path.parent.glob("*.damaged-*"))
