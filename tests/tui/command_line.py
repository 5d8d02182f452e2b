"""`ptescope` as somebody calls it, with its output into a pipe: in this process, or in one of its own.

An interpreter and the imports take a third of a second, most calls much less. What is about the process itself
(signals, closed streams, memory, the encoding, another language) needs one of its own.
"""

import os
import subprocess
import sys
from contextlib import ExitStack, chdir, redirect_stderr, redirect_stdout
from io import BytesIO, TextIOWrapper
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple
from unittest.mock import patch

from tui.cli import main

ROOT = Path(__file__).parents[2]


class Answered(NamedTuple):
    """What came of a call."""

    returncode: int
    stdout: str
    stderr: str


def called(*arguments: str, text: str = "", **environment: str) -> Answered:
    r"""Run the program here. Its output goes into files, for it may ask for their descriptors.

    `text`: its input; a byte that is no text is written as Python does, "\udcff".
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory()))
        stack.enter_context(patch.dict(os.environ, environment))
        stack.enter_context(chdir(ROOT))
        stack.enter_context(
            patch("sys.stdin", TextIOWrapper(BytesIO(text.encode(errors="surrogateescape")), encoding="utf-8"))
        )
        out, err = folder / "out", folder / "err"
        with out.open("w", encoding="utf-8") as to, err.open("w", encoding="utf-8") as too:
            stack.enter_context(redirect_stdout(to))
            stack.enter_context(redirect_stderr(too))
            try:
                status = main(arguments)
            except SystemExit as end:
                status = end.code if isinstance(end.code, int) else 0
        return Answered(status, out.read_text("utf-8"), err.read_text("utf-8"))


def started(*arguments: str, text: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the program as a process of its own, with every warning an error."""
    return subprocess.run(
        [sys.executable, "-m", "tui", *arguments],
        cwd=ROOT,
        input=text,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
        env={**os.environ, "PYTHONWARNINGS": "error", **environment},
    )
