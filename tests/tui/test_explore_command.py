"""`ptescope explore` from outside: verdicts, the story, JSON, exit statuses."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from model.script.parser import parse
from model.search.bfs import SearchProgress, explore
from model.search.problem import set_up
from tui.commands.explore import EXIT_INCOMPLETE
from tui.jobs.limits import Limits

ROOT = Path(__file__).parents[2]

STALE_PIN = """\
device nic
process p0
mmap p0 buf anon private rw 1
write p0 buf 1
may 1 gup p0 buf as=r write by=nic
may 1 madvise p0 buf dontneed
may 1 dma r write 65
"""
HARMLESS = """\
process p0
mmap p0 buf anon private rw 1
may 1 write p0 buf 7
may 1 read p0 buf
"""


def ptescope(*arguments: str, text: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tui", *arguments],
        cwd=ROOT,
        input=text,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "PYTHONWARNINGS": "error", "PTESCOPE_ASCII": "1"},
    )


def explored(text: str, *options: str) -> tuple[int, dict[str, Any]]:
    done = ptescope("explore", "--json", *options, "-", text=text)
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


def test_the_object_of_the_contract() -> None:
    status, found = explored(STALE_PIN)
    assert status == 1
    assert list(found) == ["complete", "states", "transitions", "schedules", "seconds", "verdicts", "violations"]
    assert found["complete"] is True
    assert isinstance(found["schedules"], int)
    assert found["verdicts"]["lost-write"] == "sometimes"
    assert found["verdicts"]["underflow"] == "never"
    assert [(one["invariant"], one["severity"]) for one in found["violations"]] == [
        ("lost-write", "corruption"),
        ("stale-reference", "hazard"),
    ]


def test_each_script_replays_its_violation_through_ptescope_run() -> None:
    _, found = explored(STALE_PIN)
    for violation in found["violations"]:
        done = ptescope("run", "--json", "-", text=violation["script"])
        assert done.returncode == 0, done.stderr
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        assert violation["invariant"] in {broken["invariant"] for broken in lines[-1]["violations"]}
        searched = [
            step for line in lines if line["command"].split()[0] in {"step", "finish"} for step in line["steps"]
        ]
        assert len(searched) == violation["steps"]


def test_nothing_worse_than_a_hazard_is_success() -> None:
    status, found = explored(HARMLESS)
    assert status == 0
    assert found["violations"] == []
    assert set(found["verdicts"].values()) == {"never"}


def test_one_rule_alone() -> None:
    status, found = explored(STALE_PIN, "--violation", "stale-reference")
    assert status == 0
    assert found["verdicts"] == {"stale-reference": "sometimes"}


def test_the_first_corruption_ends_the_search() -> None:
    status, found = explored(STALE_PIN, "--first")
    assert status == 1
    assert found["complete"] is False
    assert found["verdicts"]["lost-write"] == "sometimes"
    assert found["verdicts"]["underflow"] is None


def test_the_bound_was_hit_first() -> None:
    status, found = explored(STALE_PIN, "--max-states", "20")
    assert (status, found["complete"], found["schedules"]) == (3, False, None)


def test_malformed() -> None:
    done = ptescope("explore", "-", text="process p0\nmay 1 raed p0 @16\n")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "-:2:7: unknown command `raed`; did you mean `read`?\n"
    done = ptescope("explore", "-", text="process p0\n")
    assert done.returncode == 2
    assert "nothing may happen" in done.stderr
    done = ptescope("explore", "no-such-file.pte", text="")
    assert done.returncode == 2
    assert done.stderr == "no-such-file.pte: No such file or directory\n"


def test_the_story() -> None:
    done = ptescope("explore", "-", text=STALE_PIN)
    assert done.returncode == 1
    assert done.stderr == ""
    assert "\x1b" not in done.stdout
    lines = done.stdout.splitlines()
    assert any(line.startswith("! corruption lost-write") and "sometimes" in line for line in lines)
    tips = [number for number, line in enumerate(lines) if "point of no return" in line]
    assert len(tips) == 1
    for later in ("! corruption lost-write: nic wrote 0x41", "  because", "  the nearest safe schedule"):
        assert any(line.strip().startswith(later.strip()) for line in lines[tips[0] :]), later
    safe = done.stdout.partition("the nearest safe schedule")[2]
    assert safe.count("\n    > ") == 1


def test_every_line_fits_a_narrow_terminal() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tui", "explore", "-"],
        cwd=ROOT,
        input=STALE_PIN,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "COLUMNS": "80"},
    )
    assert max(map(len, done.stdout.splitlines())) <= 80


LARGE = "process p\nmmap p a anon private rw 1\nmay 8 write p a 1\nmay 8 madvise p a dontneed\nmay 3 read p a\n"


def test_a_search_ends_where_memory_does() -> None:
    done = ptescope("explore", "--max-memory", "1", "-", text=LARGE)
    assert done.returncode == EXIT_INCOMPLETE
    assert "for it took more than 1 MiB" in " ".join(done.stdout.split())


def test_an_interrupt_ends_the_search_in_good_order_and_only_the_search() -> None:
    told: list[int] = []

    def show(progress: SearchProgress) -> None:
        told.append(progress.states)
        if len(told) == 3:
            signal.raise_signal(signal.SIGINT)

    limits = Limits(1 << 20, show)
    with limits.interruptible():
        search = explore(set_up(parse(LARGE)), progress=limits.allow)
    assert not search.complete
    assert len(search.seen) == told[-1]
    assert limits.ended == "you interrupted it"
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)
