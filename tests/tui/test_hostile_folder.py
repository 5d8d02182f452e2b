"""Files in the current folder that bear the names of modules: whatever the program starts, none of them is run."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from tui.cli import main
from tui.jobs.subprocess_job import python_module

ROOT: Final = Path(__file__).parents[2]
NAMES: Final = (
    *("model", "lessons", "tui", "textual", "rich", "msgspec", "platformdirs", "aiohttp"),
    *("sitecustomize", "usercustomize", "multiprocessing", "pickle", "socket", "struct", "json", "asyncio", "signal"),
)
WORKERS: Final = """
from tui.jobs.compare import CellBounds, compute
from model.compare.table import review_questions
from tui.session.reviewed import row_of
print(len(dict(compute(review_questions(row_of("vgem"), "6.1")[:4], CellBounds(30, 2)))))
"""
"""Two worker processes, with a queue and what watches over its semaphores."""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder full of traps, which is the current one. The program is found as an installed one is."""
    for name in NAMES:
        (tmp_path / f"{name}.py").write_text(f"open('trap', 'a').write('{name} ')\nraise SystemExit('trap')\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    yield tmp_path
    assert not (tmp_path / "trap").exists(), (tmp_path / "trap").read_text()


def test_what_a_screen_starts(folder: Path) -> None:
    asks = python_module("tui.jobs.subprocess_job")
    done = subprocess.run(asks, cwd=folder, input=b"", capture_output=True, check=False, env=dict(os.environ))
    assert b"struct.error" in done.stderr, "our own module was started, and had nothing to read"


def test_worker_processes(folder: Path) -> None:
    # Not -P, which children inherit: the command that pip makes is started without.
    done = subprocess.run(
        (sys.executable, "-c", f"import sys; del sys.path[0]\n{WORKERS}"),
        cwd=folder,
        capture_output=True,
        check=False,
        text=True,
    )
    assert (done.stdout, done.stderr) == ("4\n", "")


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks this machine's kernel")
def test_what_asks_the_kernel(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "small.pte").write_text("process p0\nmmap p0 a anon private rw 1\nread p0 a\n")
    assert main(["live", "small.pte"]) == 0
    assert "agree" in capsys.readouterr().out
