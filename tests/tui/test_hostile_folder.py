"""Files in the current folder that bear the names of modules: whatever the program starts, none of them is run."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
import pytest

from tests.tui.browser import free_port
from tui.cli import SUBCOMMANDS, main
from tui.jobs.subprocess_job import python_module
from tui.web.visitors import SessionService, Visitor, VisitorLimits, Visitors

ROOT: Final = Path(__file__).parents[2]
RECORDING: Final = next(ROOT.glob("tests/recordings/hand/*.json"))
NAMES: Final = (
    *("model", "lessons", "tui", "textual", "rich", "msgspec", "platformdirs", "aiohttp", "textual_serve", "mcp"),
    *("sitecustomize", "usercustomize", "multiprocessing", "pickle", "socket", "struct", "json", "asyncio", "signal"),
    *("segno", "networkx", "babel", "tomlkit", "resource", "termios", "rpds", "markdown_it", "gettext", "webbrowser"),
)
PACKAGES: Final = ("model", "lessons", "tui")
"""As folders, too: a package goes before a module of its name."""
EVERY_COMMAND: Final = {
    "learn": ("--plain", "how-the-walk-works"),
    "drill": ("--plain", "--seed", "1", "--count", "1"),
    "recap": (),
    "progress": (),
    "sandbox": ("--plain",),
    "lessons": (),
    "lesson": ("guide",),
    "notes": (),
    "serve": ("--host", "127.0.0.1", "--port", "{port}"),
    "class": ("assign", "how-the-walk-works", "-o", "week.json"),
    "assignment": ("--plain", "week.json"),
    "hand-in": ("--name", "Ada"),
    "export": ("-o", "drawn.svg", "small.pte"),
    "run": ("small.pte",),
    "explore": ("small.pte", "-o", "small.svg"),
    "compare": ("--defence", "none", "--exporter", "vgem", "--grabber", "pin", "--max-states", "3", "--jobs", "1"),
    "driver": ("list",),
    "review": ("vgem", "--grabber", "pin", "--max-states", "3", "--jobs", "1"),
    "mcp": (),
    "museum": ("dirty-cow",),
    "sweep": ("--kernel", "6.18", "--backing", "hugetlb", "--call", "mlock", "--max-states", "1", "--jobs", "1"),
    "live": ("small.pte",),
    "replay": (str(RECORDING),),
}
"""Every subcommand with something to do."""
ALL_OF_THEM: Final = """
import sys
del sys.path[0]  # as the command that pip makes, which is not in the current folder
import json, os, signal
from tui.cli import main
from tui.commands import serve
serve.announce = lambda *_: os.kill(os.getpid(), signal.SIGINT)
for words in json.loads(sys.argv[1]):
    sys.stdin = open(os.devnull)
    try:
        status = main(words)
    except SystemExit as end:
        status = end.code
    sys.stderr.write(f"{words[0]} {status}\\n")
"""
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
    trap = tmp_path / "trap"
    for name in NAMES:
        place = tmp_path / name if name in PACKAGES else tmp_path
        place.mkdir(exist_ok=True)
        (place / ("__init__.py" if name in PACKAGES else f"{name}.py")).write_text(sets_off(trap, name))
    (tmp_path / "evil.pth").write_text(f"import sys; {sets_off(trap, 'pth')}")
    (tmp_path / ".env").write_text("PYTHONSTARTUP=json.py\nPTESCOPE_LESSONS=.\n")
    (tmp_path / "pyproject.toml").write_text("[project.scripts]\nptescope = 'model:main'\n")
    (tmp_path / "small.pte").write_text("process p0\nmmap p0 a anon private rw 1\nmay 1 read p0 a\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PYTHONSTARTUP", str(tmp_path / "json.py"))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    yield tmp_path
    assert not trap.exists(), trap.read_text()


def sets_off(trap: Path, name: str) -> str:
    """Code that says that it was run."""
    return f"open({str(trap)!r}, 'a').write('{name} ')\n"


def test_every_command(folder: Path) -> None:
    """In a fresh interpreter, so that whatever they import is looked for."""
    assert list(EVERY_COMMAND) == [subcommand.name for subcommand in SUBCOMMANDS]
    port = str(free_port())
    calls = [[name, *(word.format(port=port) for word in words)] for name, words in EVERY_COMMAND.items()]
    words = (sys.executable, "-c", ALL_OF_THEM, msgspec.json.encode(calls))
    done = subprocess.run(words, cwd=folder, capture_output=True, check=False, text=True)
    ended = dict(line.split() for line in done.stderr.splitlines() if line.partition(" ")[0] in EVERY_COMMAND)
    assert list(ended) == list(EVERY_COMMAND), done.stderr
    # The notes need a terminal, and two searches have looked at too few states to know.
    other = {name: status for name, status in ended.items() if status != "0"}
    assert other == {"notes": "2", "review": "3", "sweep": "3"}


async def test_a_session_that_is_served(folder: Path) -> None:
    """The folder of a visitor is the current one of the session, and may have been somebody else's."""
    visitors = Visitors([*python_module("tui.served_session"), "--version"], VisitorLimits(), lambda: None)
    visitor = Visitor("token", folder)
    service = SessionService(visitors.words, visitor, visitors.limits, visitors.downloads)
    process = await service._open_app_process()
    out, err = await process.communicate()
    assert (out.startswith(b"ptescope "), err) == (True, b"")


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
