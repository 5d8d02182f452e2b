"""Running tests on a copy of the project in which one mutant at a time is in place."""

import os
import re
import shutil
import signal
import subprocess
import sys
from enum import Enum
from pathlib import Path
from typing import Final, NamedTuple

from tests.mutants.table import ROOT, Mutant

COPIED: Final = (
    *("model", "lessons", "tui", "tests", "docs", "benchmarks"),
    *("pyproject.toml", "README.md", "CHANGELOG.md", "CONTRIBUTING.md"),
)
"""What the tests of a mutant need; files that the project does not have are left out."""
PYTEST: Final = ("-m", "pytest", "-x", "-q", "-n0", "-p", "no:cacheprovider")
FAILED: Final = re.compile(r"^(?:FAILED|ERROR) (.+?)(?: - .*)?$", re.MULTILINE)
"""A line of pytest's summary."""
PASSED: Final = 0
NOTICED: Final = (1, 2)
"""Exit statuses of pytest: 1 is a test that fails, 2 a test file that cannot even be imported."""
NICE: Final = 10
TIMEOUT: Final = "timeout"
"""What noticed a mutant with which the tests do not end."""


class Verdict(Enum):
    """What the tests said of a mutant."""

    KILLED = "killed"
    SURVIVED = "survived"
    EQUAL = "equal"
    NOT_EQUAL = "not equal"
    """It is said to be equal to the original, and a test can tell them apart."""


class Tested(NamedTuple):
    """How the tests of one mutant have ended."""

    mutant: Mutant
    verdict: Verdict
    by: str
    """The test that noticed, TIMEOUT, or the reason why there is nothing to notice."""


class TestRunError(Exception):
    """pytest could not run these tests; its output."""

    __test__ = False


class Worker:
    """A copy of the project, with at most one mutant in it."""

    def __init__(self, tree: Path, timeout: float) -> None:
        self.tree: Final = tree
        self.timeout: Final = timeout
        self.running: subprocess.Popen[str] | None = None

    @classmethod
    def copied_from(cls, source: Path, tree: Path, timeout: float) -> "Worker":
        """A worker with a copy of its own, compiled modules included."""
        for name in COPIED:
            if (source / name).is_dir():
                shutil.copytree(source / name, tree / name)
            elif (source / name).exists():
                tree.mkdir(parents=True, exist_ok=True)
                shutil.copy2(source / name, tree / name)
        return cls(tree, timeout)

    def failing(self, tests: tuple[str, ...], timeout: float = 0) -> str:
        """The first of the tests that fails in this copy, TIMEOUT if they do not end; empty if all pass.

        `timeout`: seconds, if it is not to be the worker's. Raises TestRunError.
        """
        if not tests:
            return ""
        environment = {**os.environ, "PYTHONPATH": str(self.tree), "PYTHONDONTWRITEBYTECODE": "1"}
        self.running = running = subprocess.Popen(
            [sys.executable, *PYTEST, *tests],
            cwd=self.tree,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        try:
            output, _ = running.communicate(timeout=timeout or self.timeout)
        except subprocess.TimeoutExpired:
            return TIMEOUT
        finally:
            self.end()
        if running.returncode == PASSED:
            return ""
        failed = FAILED.search(output)
        if running.returncode not in NOTICED or failed is None:
            raise TestRunError(output)
        return failed[1]

    def end(self) -> None:
        """End the tests that are running, if any, and whatever they have started."""
        if self.running is not None and self.running.poll() is None:
            os.killpg(self.running.pid, signal.SIGKILL)
            self.running.wait()

    def test(self, mutant: Mutant) -> Tested:
        """Put the mutant in place, run its tests, and put the original back. Raises TestRunError, ValueError.

        The original keeps its time: the module that is compiled already stands for it, and only for it.
        """
        path = self.tree / mutant.file
        original, times = path.read_text(encoding="utf-8"), path.stat()
        path.write_text(mutant.applied(original), encoding="utf-8")
        os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns + 10**9))
        try:
            by = self.failing(mutant.tests)
        finally:
            path.write_text(original, encoding="utf-8")
            os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
        if mutant.equal:
            return Tested(mutant, Verdict.NOT_EQUAL if by else Verdict.EQUAL, by or mutant.equal)
        return Tested(mutant, Verdict.KILLED if by else Verdict.SURVIVED, by)


def compiled_copy(tree: Path, timeout: float) -> Worker:
    """The first worker: its modules are compiled once, for all mutants."""
    worker = Worker.copied_from(ROOT, tree, timeout)
    subprocess.run([sys.executable, "-m", "compileall", "-q", "model", "lessons", "tui", "tests"], cwd=tree, check=True)
    return worker
