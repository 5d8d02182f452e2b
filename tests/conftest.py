"""What holds for every test: the same terminal, whoever runs them and however."""

import pytest


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the caller's terminal. Under pytest-xdist COLUMNS may be set by a readline that somebody loads."""
    # Programs that a test starts keep their bytecode: without it each takes half a second longer.
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    for name in ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "TEXTUAL_THEME", "TEXTUAL_ANIMATIONS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PTESCOPE_LANGUAGE", "en")
