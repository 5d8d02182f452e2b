"""Progress survives everything: a kill in the middle of a write, a damaged file, another program beside it."""

import errno
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from unittest.mock import patch

import pytest

from lessons.learner import own_file
from lessons.learner.file_lock import locked
from lessons.learner.own_file import SUFFIX, replace_file
from lessons.learner.progress import LessonProgress, Progress, ProgressError, Store
from lessons.teach.assignment import AssignmentError, read_assignment
from lessons.teach.collect import collect
from lessons.teach.hand_in import HandInError, parse_hand_in
from lessons.teach.lecture import Lectures
from lessons.teach.room import ClassFolder
from tui.session.preferences import Preferences, PreferencesFile
from tui.session.prompt_history import PromptHistory

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


def test_files_of_a_newer_program_are_told_from_damaged_ones(tmp_path: Path) -> None:
    """Whatever has become of all else in them."""
    newer = b'{"format": 2, "lessons": [], "students": 3, "program": 4}'
    path = tmp_path / "progress.json"
    path.write_bytes(newer)
    store = Store(path)
    store.save("walk", HALF_WAY)
    assert "written by a newer ptescope: format 2; this one writes 1" in store.report
    assert (tmp_path / "progress.json.newer-1").read_bytes() == newer
    with pytest.raises(HandInError, match=r"written by a newer ptescope \(format 2\)"):
        parse_hand_in(newer)
    path.write_bytes(newer)
    with pytest.raises(ProgressError, match="format 2; this program reads format 1"):
        store.bring_in(tmp_path / "progress.json.newer-1")
    with pytest.raises(AssignmentError, match="made by a newer ptescope"):
        read_assignment(path)


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


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="fork")
def test_a_kill_at_any_moment_loses_nothing_of_any_file() -> None:
    """A share of `make kills`; in memory, where a write takes less than a millisecond."""
    shared = Path("/dev/shm")
    folder = ("--folder", str(shared)) if os.access(shared, os.W_OK) else ()
    words = [sys.executable, "-m", "tests.lessons.kills", "--times", "6", *folder]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("6 kills") == 7


def test_what_a_killed_program_left_is_removed_later(tmp_path: Path) -> None:
    litter, fresh = tmp_path / f".progress.json.abc{SUFFIX}", tmp_path / f".progress.json.def{SUFFIX}"
    for file in (litter, fresh):
        file.touch()
    os.utime(litter, (1, 1))
    Store(tmp_path / "progress.json").save("walk", HALF_WAY)
    assert not litter.exists()
    assert fresh.exists(), "its program may be alive"


def test_links_that_others_have_placed_are_not_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    away, data = tmp_path / "away", tmp_path / "data"
    away.mkdir()
    data.mkdir()
    precious = away / "precious"
    precious.write_text("[]")
    (tmp_path / "link").symlink_to(data)
    Store(tmp_path / "link" / "progress.json").save("walk", HALF_WAY)
    assert Store(data / "progress.json").lesson("walk") == HALF_WAY, "one's own link is followed"
    monkeypatch.setattr(own_file, "trusted", lambda: (os.getuid() + 1,))
    with pytest.raises(ProgressError, match="a link that somebody else has placed"):
        Store(tmp_path / "link" / "progress.json").save("walk", LessonProgress(item=9))
    assert Store(data / "progress.json").lesson("walk") == HALF_WAY
    (data / "progress.json").unlink()
    (data / "progress.json").symlink_to(precious)
    store = Store(data / "progress.json")
    store.save("walk", HALF_WAY)
    assert precious.read_text() == "[]", "neither written"
    assert "a link that somebody else has placed" in store.report, "nor read"
    for name in ("history", ".progress.json.lock"):
        (data / name).unlink(missing_ok=True)
        (data / name).symlink_to(away / "made")
    PromptHistory(data / "history").add("read p0 buf")
    with suppress(ProgressError):
        store.save("walk", HALF_WAY)
    assert not (away / "made").exists()


def test_a_file_that_has_another_name_elsewhere_is_not_added_to(tmp_path: Path) -> None:
    precious = tmp_path / "precious"
    precious.write_text("precious\n")
    os.link(precious, tmp_path / "history")
    PromptHistory(tmp_path / "history").add("read p0 buf")
    assert precious.read_text() == "precious\n"


def test_two_who_hand_in_under_one_name_at_once_both_have_done_so(tmp_path: Path) -> None:
    own_file.create_file(tmp_path / "ada.ptework", b"hers", private=True)
    with pytest.raises(FileExistsError, match="ada"):
        own_file.create_file(tmp_path / "ada.ptework", b"his", private=True)
    with patch("os.link", side_effect=PermissionError(errno.EPERM, "no hard links here")):
        with pytest.raises(FileExistsError):
            own_file.create_file(tmp_path / "ada.ptework", b"his", private=True)
        own_file.create_file(tmp_path / "bob.ptework", b"his", private=True)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == {
        "ada.ptework": b"hers",
        "bob.ptework": b"his",
    }


def test_a_room_is_served_once_and_one_of_a_newer_program_is_set_aside(tmp_path: Path) -> None:
    room = ClassFolder(tmp_path)
    room.join("a token", "Ada", "")
    with pytest.raises(BlockingIOError, match="another ptescope serves this room"):
        ClassFolder(tmp_path)
    room.close()
    again = ClassFolder(tmp_path)
    assert again.student("a token")
    again.close()
    record = tmp_path / "class.json"
    newer = record.read_text().replace('"format": 1', '"format": 2')
    record.write_text(newer)
    room = ClassFolder(tmp_path)
    assert "format 2" in room.report
    (aside,) = tmp_path.glob("class.json.newer-*")
    assert aside.read_text() == newer


def test_preferences_of_a_newer_program_outlive_a_change_and_damaged_ones_one_another(tmp_path: Path) -> None:
    file = PreferencesFile(tmp_path / "preferences.json")
    file.path.write_text('{"theme": "nord", "folds": false, "font": "large"}')
    file.change(folds=True)
    assert file.path.read_text() == '{"font":"large","theme":"nord"}'
    for damaged in (b"[1", b"[2", b'{"theme": "\xff"}'):
        file.path.write_bytes(damaged)
        assert file.read() == Preferences()
    assert sorted(each.read_bytes() for each in tmp_path.glob("*.damaged*")) == [b"[1", b"[2", b'{"theme": "\xff"}']


def test_damaged_preferences_that_cannot_be_set_aside_are_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = PreferencesFile(tmp_path / "preferences.json")
    file.path.write_bytes(b"[1")

    def refuse(*_: object) -> None:
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM))

    monkeypatch.setattr(Path, "rename", refuse)
    file.change(theme="nord")
    assert file.read() == Preferences()
    assert file.path.read_bytes() == b"[1"


def test_what_is_no_ordinary_file_keeps_nobody_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "progress.json")
    store = Store(tmp_path / "progress.json")
    assert store.lesson("walk") == LessonProgress()
    assert "no ordinary file" in store.report
    os.mkfifo(tmp_path / "walk.json")
    assert Lectures(tmp_path).find("walk") is None
    os.mkfifo(tmp_path / "x.ptework")
    os.mkfifo(tmp_path / "preferences.json")
    PreferencesFile(tmp_path / "preferences.json").change(theme="nord")
    assert PreferencesFile(tmp_path / "preferences.json").read().theme == "nord"
    with pytest.raises(IsADirectoryError) as told:
        own_file.read_own(tmp_path)
    assert told.value.filename == str(tmp_path), "not the number of a descriptor"
    assert "no ordinary file" in collect([tmp_path / "x.ptework"], None, 0.0).refused[0].why


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
