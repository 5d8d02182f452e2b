"""Each worked example of CONTRIBUTING.md, carried out on a copy of the repository."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final, NamedTuple

import pytest

ROOT: Final = Path(__file__).parent.parent
KINDS: Final = (
    "A verb of the script language",
    "A rule",
    "A setting",
    "An exporter",
    "A pane",
    "A screen over the stage",
    "An export format",
    "A lesson",
    "A bug of the museum",
    "A text of the interface",
)
"""What there must be an example for."""

SHOWN: Final = """
import asyncio, sys, tempfile
from pathlib import Path
from lessons.learner.progress import Store
from tests.tui.user import at
from tui.drivers.sandbox import SandboxDriver

async def show(lines, keys):
    driver = SandboxDriver()
    for line in ["process p0", "mmap p0 buf anon private rw 1", "write p0 buf 1", *lines]:
        assert not driver.command(line), line
        driver.step("command")
    with tempfile.TemporaryDirectory() as folder:
        async with at(Store(Path(folder) / "progress.json"), driver) as user:
            await user.press(*keys)
            print(user.seen())

words = " ".join(sys.argv[1:]).split("--")
asyncio.run(show([line.strip() for line in words[0].split(";") if line.strip()], words[1].split()))
"""
"""`shown COMMANDS -- KEYS`: what the app's screen says after some commands and keys."""


class Example(NamedTuple):
    """One worked example."""

    diff: str
    code: str
    """Python that makes a small edit which no diff says well, such as one more name in an import."""
    command: str
    answer: tuple[str, ...]
    """Lines that the command prints, among others."""


def examples() -> dict[str, Example]:
    """By their headings."""
    parts = re.split(r"^## (.*)$", (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    return {title: example(text) for title, text in zip(parts[::2], parts[1::2], strict=True)}


def example(text: str) -> Example:
    def fenced(language: str) -> str:
        return "\n".join(re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))

    command, *answer = fenced("console").removeprefix("$ ").replace("\n> ", "\0").splitlines()
    return Example(fenced("diff"), fenced("python"), command.replace("\0", "\n"), tuple(answer))


def test_there_is_an_example_for_each_kind() -> None:
    assert tuple(examples()) == KINDS


def apply(folder: Path, diff: str) -> None:
    """Change the files as a diff says: each hunk is found by its text, wherever it stands now."""
    for part in re.split(r"^--- ", diff, flags=re.MULTILINE)[1:]:
        name = re.findall(r"^\+\+\+ b/(.*)$", part, re.MULTILINE)[0]
        path = folder / name
        for hunk in re.split(r"^@@.*@@\n", part, flags=re.MULTILINE)[1:]:
            lines = hunk.splitlines()
            old = "".join(f"{line[1:]}\n" for line in lines if line[:1] in {" ", "-", ""})
            new = "".join(f"{line[1:]}\n" for line in lines if line[:1] in {" ", "+", ""})
            before = path.read_text(encoding="utf-8") if path.exists() else ""
            assert not old or before.count(old) == 1, f"{name} has no longer, or more than once:\n{old}"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(before.replace(old, new, 1) if old else new, encoding="utf-8")


@pytest.mark.parametrize("title", KINDS)
def test_an_example_does_what_it_says(title: str, tmp_path: Path) -> None:
    one = examples()[title]
    ignored = shutil.ignore_patterns("__pycache__", "recordings", "snapshots")
    for name in ("model", "lessons", "tui", "tests", "docs", "benchmarks"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=ignored)
    for name in ("README.md", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path / name)
    apply(tmp_path, one.diff)
    environment = os.environ | {"PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1", "LC_ALL": "C.UTF-8"}
    if one.code:
        code = f"import pathlib\n{one.code}"
        subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment, check=True)
    (tmp_path / "shown.py").write_text(SHOWN)
    functions = (
        f'ptescope() {{ "{sys.executable}" -m tui "$@"; }}; python() {{ "{sys.executable}" "$@"; }}; '
        f'shown() {{ "{sys.executable}" shown.py "$*"; }}; '
    )
    command = functions + re.sub(r"^shown (.*)$", r"shown '\1'", one.command)
    done = subprocess.run(
        ["bash", "-c", command], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=120
    )
    said = [" ".join(line.split()) for line in (done.stdout + done.stderr).splitlines()]
    for line in one.answer:
        assert any(" ".join(line.split()) in printed for printed in said), "\n".join(said[-40:])
