"""A bug behind the screen leaves the terminal clean: no traceback over it; the command line says it in one line."""

from pathlib import Path

import pytest

import tui.app
from tui.app import launch as app
from tui.app.app import PtescopeApp


class Tripping(PtescopeApp):
    """An app that breaks as soon as it is ready."""

    CSS_PATH = str(Path(tui.app.__file__).with_name("ptescope.tcss"))

    def on_ready(self) -> None:
        raise RuntimeError("the model tripped")

    def run(self, *_: object, **__: object) -> None:
        super().run(headless=True)


def test_a_bug_reaches_the_command_line_and_not_the_terminal(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tui.app.app.PtescopeApp", Tripping)
    with pytest.raises(RuntimeError, match="the model tripped"):
        app.sandbox()
    printed = capsys.readouterr()
    assert "Traceback" not in printed.out + printed.err
