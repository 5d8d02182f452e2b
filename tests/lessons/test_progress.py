"""Progress survives everything: a kill in the middle of a write, a damaged file, another program beside it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from lessons.learner.file_lock import locked
from lessons.learner.own_file import replace_file
from lessons.learner.progress import LessonProgress, Progress, ProgressError, Store

HALF_WAY = LessonProgress(revision="r1", item=3, step=2, guesses={"count": "2"}, commands={"goal": ("put r0",)})


def test_what_was_saved_is_read_back_by_another_program(tmp_path: Path) -> None:
    path = tmp_path / "data" / "progress.json"
    Store(path).save("walk", HALF_WAY)
    assert Store(path).lesson("walk") == HALF_WAY


def test_a_lesson_never_opened_has_no_progress(tmp_path: Path) -> None:
    assert Store(tmp_path / "progress.json").lesson("walk") == LessonProgress()


def test_saving_one_lesson_keeps_what_another_program_wrote_about_another(tmp_path: Path) -> None:
    path = tmp_path / "progress.json"
    mine, other = Store(path), Store(path)
    mine.read()
    other.save("walk", HALF_WAY)
    mine.save("pins", LessonProgress(item=1))
    assert set(Store(path).read().lessons) == {"walk", "pins"}


def test_reset_forgets_one_lesson_or_all(tmp_path: Path) -> None:
    store = Store(tmp_path / "progress.json")
    store.save("walk", HALF_WAY)
    store.save("pins", HALF_WAY)
    store.reset("walk")
    assert set(store.read().lessons) == {"pins"}
    store.reset()
    assert store.read() == Progress()


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(b"", id="empty"),
        pytest.param(b'{"format": 1, "lessons": {"walk"', id="cut off"),
        pytest.param(b"\xff\xfe\x00", id="not text"),
        pytest.param(b'{"format": 1, "lessons": {"\xff": {}}}', id="not UTF-8"),
        pytest.param(b'{"format": 1, "lessons": {"walk": {"item": -1}}}', id="impossible value"),
        pytest.param(b'{"format": 99, "lessons": {}}', id="written by a newer program"),
    ],
)
def test_a_file_that_cannot_be_understood_is_set_aside_and_reported(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "progress.json"
    path.write_bytes(content)
    store = Store(path)
    assert store.read() == Progress()
    aside = tmp_path / "progress.json.damaged-1"
    assert aside.read_bytes() == content
    assert aside.name in store.report
    store.save("walk", HALF_WAY)
    assert aside.read_bytes() == content


def test_a_second_damaged_file_does_not_replace_the_first(tmp_path: Path) -> None:
    path = tmp_path / "progress.json"
    for content in (b"first", b"second"):
        path.write_bytes(content)
        Store(path).read()
    assert (tmp_path / "progress.json.damaged-1").read_bytes() == b"first"
    assert (tmp_path / "progress.json.damaged-2").read_bytes() == b"second"


def test_a_folder_in_place_of_the_file_is_set_aside_too(tmp_path: Path) -> None:
    path = tmp_path / "progress.json"
    path.mkdir()
    store = Store(path)
    store.save("walk", HALF_WAY)
    assert store.lesson("walk") == HALF_WAY
    assert (tmp_path / "progress.json.damaged-1").is_dir()


def test_where_nothing_can_be_written_the_reason_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ProgressError, match="progress cannot be kept in"):
        Store(tmp_path / "file" / "progress.json").save("walk", HALF_WAY)


@pytest.mark.parametrize("call", ["fsync", "replace"])
def test_a_write_that_fails_leaves_the_old_file_and_no_litter(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str
) -> None:
    path = tmp_path / "progress.json"
    Store(path).save("walk", HALF_WAY)
    before = path.read_bytes()

    def no_space(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os if call == "fsync" else Path, call, no_space)
    with pytest.raises(ProgressError, match="No space left"):
        Store(path).save("walk", LessonProgress(item=9))
    assert path.read_bytes() == before
    assert {file.name for file in tmp_path.iterdir()} == {"progress.json", ".progress.json.lock"}


WRITER = """
import sys
from pathlib import Path
from lessons.learner.progress import LessonProgress, Store
store = Store(Path(sys.argv[1]))
print("ready", flush=True)
number = 0
while True:
    number += 1
    store.save("walk", LessonProgress(item=number, commands={"goal": ("write p0 buf 1",) * 500}))
"""


def test_kill_9_at_any_moment_leaves_a_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "progress.json"
    last = 0
    for delay in (0.01, 0.03, 0.07):
        with subprocess.Popen([sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            deadline = time.monotonic() + 20
            while not path.exists() and time.monotonic() < deadline:
                time.sleep(0.001)
            time.sleep(delay)
            writer.send_signal(signal.SIGKILL)
        store = Store(path)
        item = store.lesson("walk").item
        assert store.report == ""
        assert item >= 1
        last = max(last, item)
    assert last > 1


def test_replace_file_is_seen_whole_by_a_reader_that_has_the_old_one_open(tmp_path: Path) -> None:
    path = tmp_path / "progress.json"
    replace_file(path, b"old")
    with path.open("rb") as reader:
        replace_file(path, b"new")
        assert reader.read() == b"old"
    assert path.read_bytes() == b"new"


ANSWER = """
import sys
from pathlib import Path
from lessons.learner.progress import Store
store = Store(Path(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
for number in range(int(sys.argv[2])):
    store.answered("pte", right=number % 2 == 0)
"""


def test_two_programs_at_once_lose_no_answer(tmp_path: Path) -> None:
    path = tmp_path / "progress.json"
    command = [sys.executable, "-c", ANSWER, str(path), "25"]
    running = [subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    for program in running:
        assert program.stdout is not None
        assert program.stdout.readline() == "ready\n"
    for program in running:
        program.communicate("\n")
    assert Store(path).read().drills["pte"].asked == 75


def test_a_program_that_was_killed_keeps_no_lock(tmp_path: Path) -> None:
    path = tmp_path / "progress.json"
    hold = "import sys, time\nfrom pathlib import Path\nfrom lessons.learner.file_lock import locked\n"
    hold += "with locked(Path(sys.argv[1])):\n    print('held', flush=True)\n    time.sleep(60)\n"
    lock = tmp_path / ".progress.json.lock"
    with subprocess.Popen([sys.executable, "-c", hold, str(lock)], stdout=subprocess.PIPE, text=True) as program:
        assert program.stdout is not None
        program.stdout.readline()
        with pytest.raises(TimeoutError), locked(lock, patience=0.05):
            pass
        program.kill()
    assert Store(path).answered("pte", right=True).asked == 1


def test_who_waits_too_long_is_told_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("lessons.learner.file_lock.try_lock", lambda _: False)
    monkeypatch.setattr("lessons.learner.file_lock.PATIENCE", 0.0)
    with pytest.raises(ProgressError, match="another ptescope"):
        Store(tmp_path / "progress.json").answered("pte", right=True)
