"""What holds for every test: the same terminal, whoever runs them and however."""

import gc
import signal

import pytest


def pytest_configure() -> None:
    """Ctrl+C means something, here and in what a test starts: a shell's background job is born deaf to it."""
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


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
