"""What once broke the app: themes, narrow terminals, bursts of keys, files that lie in the current folder."""

import signal
import sys
from pathlib import Path

import pytest
from textual.command import CommandPalette
from textual.events import Click
from textual.widgets import Input

from benchmarks.terminal import Program
from lessons.file.library import find
from lessons.learner.progress import Store
from tests.tui.monkey import Played, play
from tests.tui.sandboxes import STALE, driver_of
from tests.tui.user import at
from tui.app.app import PtescopeApp
from tui.app.ending_signals import ENDINGS
from tui.drivers.opening import lesson_driver
from tui.screens.stage import Stage
from tui.session.preferences import NAME, PreferencesFile
from tui.views.markdown import wrap
from tui.views.row import Span


async def test_every_theme_can_be_chosen_and_the_last_one_is_remembered(store: Store) -> None:
    async with at(store, driver_of(*STALE)) as user:
        first, seen = user.app.theme, []
        for _ in user.app.available_themes:
            await user.press("t")
            seen.append(user.app.theme)
        assert set(seen) == set(user.app.available_themes)
        assert user.app.theme == first
        await user.press("t")
        chosen = user.app.theme
    assert PtescopeApp(store).theme == chosen


async def test_a_terminal_may_keep_its_own_colours(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TEXTUAL_THEME", "ansi-dark")
    async with at(store, driver_of(*STALE)) as user:
        assert user.app.theme == "ansi-dark"
        assert "p0" in user.seen()


def test_damaged_preferences_are_set_aside(tmp_path: Path) -> None:
    path = tmp_path / NAME
    path.write_text("[" * 100_000)
    file = PreferencesFile(path)
    assert not file.read().theme
    assert path.with_name(f"{NAME}.damaged-1").read_text().startswith("[[[")
    file.change(theme="nord")
    assert PreferencesFile(path).read().theme == "nord"


@pytest.mark.parametrize("width", [-3, 0, 1, 6])
def test_text_is_wrapped_at_any_width(width: int) -> None:
    rows = wrap([Span("Reader, a pane may be narrower than a word.", "plain")], width)
    assert "".join(row.text for row in rows).replace(" ", "") == "Reader,apanemaybenarrowerthanaword."


@pytest.mark.parametrize("size", [(6, 24), (2, 1), (1, 1)])
async def test_a_narrow_terminal_does_not_hang_the_app(store: Store, size: tuple[int, int]) -> None:
    async with at(store, None, size) as user:  # home
        await user.press("down")
        await user.pilot.resize_terminal(120, 40)
        await user.pilot.pause()
        assert "ptescope" in user.seen()
    async with at(store, driver_of(*STALE), size) as user:
        await user.press("W", "escape", "L", "escape")
        assert isinstance(user.screen, Stage)


async def test_enter_twice_in_one_burst_closes_one_screen(store: Store) -> None:
    async with at(store, driver_of(*STALE[:2])) as user:
        await user.press_at_once(":write p0 buf 1\n\n\n")
        await user.press_at_once(":\n\n:\n\n")
        assert isinstance(user.screen, Stage)
        assert user.app.bug is None


async def test_the_palette_closes_once(store: Store) -> None:
    async with at(store, driver_of(*STALE[:2])) as user:
        await user.press("ctrl+p")
        palette = user.screen
        assert isinstance(palette, CommandPalette)
        palette.dismiss()
        palette.dismiss()
        await user.pilot.pause()
        assert isinstance(user.screen, Stage)


async def test_ctrl_c_says_what_ends_the_program_and_that_ends_it(store: Store) -> None:
    async with at(store, driver_of(*STALE)) as user:
        await user.press("ctrl+c")
        await user.pilot.pause()
        assert "^q ends the program" in user.told()
        await user.press(":", "ctrl+q")
        await user.pilot.pause()
        assert not user.app.is_running


async def test_a_lesson_survives_every_theme(store: Store) -> None:
    async with at(store, lesson_driver(find("tour"), store)) as user:
        for _ in range(8):
            await user.press("t", "n")
        assert user.app.bug is None


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="pseudo-terminals and /proc")
def test_bytes_that_are_no_text_are_survived_and_a_signal_gives_the_terminal_back() -> None:
    with Program((sys.executable, "-m", "tui", "learn", "tour")) as program:
        program.first_frame("ptescope")
        program.send(b"\xe4\xff\x80")
        program.settle()
        program.send(b"?")
        program.settle()
        assert "Enter" in program.shown()
        status, left = program.end(signal.SIGTERM)
    assert status == 128 + signal.SIGTERM
    assert b"\x1b[?1049l" in left, "the alternate screen is left"
    assert b"\x1b[?25h" in left, "the cursor is shown again"
    assert b"Traceback" not in left


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="pseudo-terminals and /proc")
def test_a_signal_that_would_end_the_program_at_once_gives_the_terminal_back() -> None:
    absurd = {"COLUMNS": "100000", "LINES": "50000"}
    with Program((sys.executable, "-m", "tui"), environment=absurd) as program:
        program.first_frame("ptescope")
        status, left = program.end(signal.SIGXCPU)
    assert status == 128 + signal.SIGXCPU
    assert b"\x1b[?1049l" in left, "the alternate screen is left"
    faults = ["ILL", "TRAP", "ABRT", "BUS", "FPE", "SEGV", "SYS", "STKFLT"]
    nobody_catches, python_ignores = ["KILL", "STOP"], ["PIPE", "XFSZ"]
    by_default_harmless = ["CHLD", "CONT", "URG", "WINCH", "TSTP", "TTIN", "TTOU"]
    others = {*faults, *nobody_catches, *python_ignores, *by_default_harmless}
    known = {each for each in signal.valid_signals() if not signal.SIGRTMIN <= each <= signal.SIGRTMAX}
    assert known - {getattr(signal, f"SIG{name}") for name in others} == set(ENDINGS)


async def test_the_palette_survives_a_window_without_room_and_a_click_outside(store: Store) -> None:
    async with at(store, None) as user:
        await user.press("ctrl+p", "a")
        await user.pilot.resize_terminal(1, 1)
        await user.press("pagedown", "pageup", "end", "home")
        await user.pilot.resize_terminal(80, 24)
        palette = user.app.screen
        palette.post_message(Click(palette, 200, 200, 0, 0, 1, False, False, False, 200, 200))
        await user.pilot.pause()
        assert user.app.screen is palette
        palette.query("CommandList").remove()
        await user.pilot.pause()
        palette.post_message(Input.Changed(palette.query_one(Input), "late"))
        await user.pilot.pause()


async def test_the_palette_can_be_opened_while_the_last_one_is_still_closing(store: Store) -> None:
    async with at(store, None) as user:
        user.app.action_command_palette()
        await user.pilot.pause()
        user.app.pop_screen()
        user.app.action_command_palette()
        await user.pilot.pause()
        assert isinstance(user.app.screen, CommandPalette)
        assert user.app.bug is None


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="pseudo-terminals and /proc")
def test_a_monkey_at_the_keyboard_breaks_nothing() -> None:
    found = play(7, 36, ("sandbox",))
    assert isinstance(found, Played), found.what
