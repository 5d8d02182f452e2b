"""What holds for every test: the same terminal, whoever runs them and however."""

import gc
import signal
from typing import Final

import pytest

ANSWERS: Final = (
    (signal.SIGINT, signal.default_int_handler),
    (signal.SIGQUIT, signal.SIG_DFL),
    (signal.SIGHUP, signal.SIG_DFL),
)
"""What answers the signals of a terminal in a program that a shell has started in the foreground."""


def pytest_configure() -> None:
    """The same answers here, and in what a test starts: a shell's background job, or one under nohup, ignores some."""
    for number, handler in ANSWERS:
        if signal.getsignal(number) == signal.SIG_IGN:
            signal.signal(number, handler)


def pytest_collection_finish() -> None:
    """What is there before the first test stays to the end: a tenth of the time went into looking at it for garbage."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the caller's terminal. Under pytest-xdist COLUMNS may be set by a readline that somebody loads."""
    # Programs that a test starts keep their bytecode: without it each takes half a second longer.
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    for name in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "TEXTUAL_THEME", "TEXTUAL_ANIMATIONS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PTESCOPE_LANGUAGE", "en")
