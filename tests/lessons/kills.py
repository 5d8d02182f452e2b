"""Programs that keep files, killed at any moment: what was kept is kept, whole, and nothing else lies about.

`python -m tests.lessons.kills [--times N] [--seed N]` kills N times for each kind of file, and prints its seed. The
child says in shared memory what it has begun to write and what it was told is written; after the kill the file must
say one of the two, or something between. Linux and other systems with fork(2).
"""

import mmap
import os
import random
import resource
import signal
import struct
import sys
import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

from lessons.learner.progress import LessonProgress, Store
from lessons.teach.hand_in import SUFFIX, parse_hand_in
from lessons.teach.lecture import Lecture, Lectures
from lessons.teach.presenter_state import Ballots, Presented
from lessons.teach.room import ClassFolder
from tui.session.autosave import Autosave
from tui.session.handing_in import write_hand_in
from tui.session.preferences import PreferencesFile
from tui.session.prompt_history import PromptHistory

LONGEST: Final = 0.01
"""Seconds that a program lives at most after its first write: several writes, so every moment of one is met."""
WORDS: Final = ("write p0 buf 1",) * 200
"""A goal's commands, so that a file takes more than one block."""


class KeptFile(NamedTuple):
    """A kind of file: how a program writes the number n into it, and how another reads it."""

    name: str
    write: Callable[[Path, int], str | None]
    """Raises OSError, or returns why it was not possible."""
    read: Callable[[Path], int]
    """0: nothing was kept yet."""


def _progress(folder: Path, number: int) -> None:
    Store(folder / "progress.json").save("walk", LessonProgress(item=number, commands={"goal": WORDS}))


def _progress_read(folder: Path) -> int:
    store = Store(folder / "progress.json")
    item = store.lesson("walk").item
    assert not store.report, store.report
    return item


def _ballot(folder: Path, number: int) -> str:
    votes = {"q": Ballots(("1", "2"), ((number, 7),))}
    return Lectures(folder).keep(Lecture(1, "walk", 1.0, time.time(), ballots=votes, rounds={"q": number}))


def _ballot_read(folder: Path) -> int:
    lectures = Lectures(folder)
    found = lectures.find("walk")
    assert not lectures.report, lectures.report
    return found.ballots["q"].counts[0][0] if found is not None else 0


OPEN: Final = Presented("walk", "Walk", 1, 1, 5, 0.0, 0.0, question="?", question_id="q", lecture="1", round=1)
"""A number is being voted on."""


def _vote(folder: Path, number: int) -> None:
    room = ClassFolder(folder)
    token = f"token {number}"
    student = room.student(token) or room.join(token, f"Student {number}", "")
    room.vote(student, OPEN, str(number))
    room.close()


def _vote_read(folder: Path) -> int:
    room = ClassFolder(folder)
    room.close()
    assert not room.report, room.report
    votes = sorted(map(int, room.votes(OPEN).values()))
    assert votes == list(range(1, len(votes) + 1)), "a vote that was in is not in any more"
    return len(votes)


def _hand_in(folder: Path, number: int) -> str:
    store = Store(folder / "progress.json")
    store.answered("pte", right=True, seed=number, chosen=1)
    said = write_hand_in(store, f"Student {number}", None, folder)
    return "" if said.startswith("Written") else said


def _hand_in_read(folder: Path) -> int:
    works = [parse_hand_in(file.read_bytes()) for file in folder.glob(f"*{SUFFIX}")]
    assert all(work.is_whole for work in works)
    return max((int(work.name.split()[1]) for work in works), default=0)


def _sandbox(folder: Path, number: int) -> None:
    save = Autosave(folder)
    vars(save)["path"] = folder / "session.pte"
    save.write("".join(f"note {each}\n" for each in range(number)) + f"note {number}\n")


def _sandbox_read(folder: Path) -> int:
    file = folder / "session.pte"
    lines = file.read_text().splitlines() if file.exists() else []
    assert lines == [f"note {each}" for each in range(len(lines))], "half a session"
    return max(len(lines) - 1, 0)


def _preferences(folder: Path, number: int) -> None:
    PreferencesFile(folder / "preferences.json").change(theme=f"theme-{number}")


def _preferences_read(folder: Path) -> int:
    theme = PreferencesFile(folder / "preferences.json").read().theme
    assert not list(folder.glob("*.damaged*"))
    return int(theme.removeprefix("theme-")) if theme.startswith("theme-") else 0


def _history(folder: Path, number: int) -> None:
    PromptHistory(folder / "history").add(f"read p{number} buf")


def _history_read(folder: Path) -> int:
    lines = PromptHistory(folder / "history").lines
    assert all(line.startswith("read p") and line.endswith(" buf") for line in lines), "half a line"
    return int(lines[-1].split()[1][1:]) if lines else 0


KINDS: Final = (
    KeptFile("progress", _progress, _progress_read),
    KeptFile("ballots", _ballot, _ballot_read),
    KeptFile("votes", _vote, _vote_read),
    KeptFile("hand-ins", _hand_in, _hand_in_read),
    KeptFile("sandbox", _sandbox, _sandbox_read),
    KeptFile("preferences", _preferences, _preferences_read),
    KeptFile("history", _history, _history_read),
)


def killed(kind: KeptFile, folder: Path, delay: float) -> None:
    """One program that writes higher and higher numbers, killed `delay` seconds after its first; what is kept then."""
    start = kind.read(folder)
    shared = mmap.mmap(-1, 16)
    with _writer(kind, folder, start, shared) as child:
        while struct.unpack("qq", shared[:])[1] == 0 and os.waitpid(child, os.WNOHANG) == (0, 0):
            time.sleep(0.0002)
        time.sleep(delay)
    begun, done = struct.unpack("qq", shared[:])
    kept = kind.read(folder)
    assert done, f"{kind.name}: nothing was written before the kill"
    assert done <= kept <= begun, f"{kind.name}: {kept} is kept; {done} was written, {begun} begun"


@contextmanager
def _writer(kind: KeptFile, folder: Path, start: int, shared: mmap.mmap) -> Iterator[int]:
    """The program; killed at the end of the block."""
    child = os.fork()
    if child == 0:
        status = 1
        with suppress(BaseException):
            number = start
            while True:
                number += 1
                shared[:8] = struct.pack("q", number)
                if kind.write(folder, number):
                    break
                shared[8:] = struct.pack("q", number)
        os._exit(status)
    try:
        yield child
    finally:
        with suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)
        with suppress(ChildProcessError):
            os.waitpid(child, 0)


def full(kind: KeptFile, folder: Path) -> str:
    """What is said where there is room for no byte; what was kept before is kept still."""
    before = kind.read(folder)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        said = kind.write(folder, before + 1) or ""
    except OSError as error:
        said = str(error)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert kind.read(folder) == before, f"{kind.name}: lost where nothing more could be written"
    return said


def main(words: list[str]) -> int:
    """Kill programs; returns the exit status."""
    parser = ArgumentParser(prog="kills", description=__doc__)
    parser.add_argument("--times", type=int, default=1000, metavar="N", help="kills for each kind of file")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 31), metavar="N")
    parser.add_argument("--folder", type=Path, metavar="DIR", help="where to write (default: the system's for such)")
    args = parser.parse_args(words)
    sys.stdout.write(f"seed {args.seed}\n")
    dice = random.Random(args.seed)
    for kind in KINDS:
        last = 0
        for left in range(args.times, 0, -50):
            with tempfile.TemporaryDirectory(
                dir=args.folder
            ) as name:  # a new folder now and then: files grow with what they keep
                for _ in range(min(left, 50)):
                    killed(kind, Path(name), dice.uniform(0, LONGEST))
                full(kind, Path(name))
                last += kind.read(Path(name))
        sys.stdout.write(f"{kind.name}: {args.times} kills, {last} written, nothing lost\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
