"""What real kernels did breaks no rule of a sound kernel, and leaves hazards and lost writes where it should."""

from pathlib import Path

import pytest

from model.engine.procedure import Stepped, advance
from model.invariants.checker import Checker
from model.invariants.violation import Violation
from model.memory.state import State
from model.replay.compare import play
from model.replay.recording import decode

HAND = Path(__file__).parents[1] / "recordings" / "hand"

USERS_FAULT = {"stale-reference", "lost-write", "foreign-dma"}
"""What a sound kernel lets its users do."""

STORIES = {
    "061_stale_dontneed": ["stale-reference", "lost-write", "lost-write"],
    "069_pin_punch": ["stale-reference", "lost-write", "lost-write"],
    "068_pin_truncate": ["stale-reference", "lost-write", "lost-write", "lost-write"],
    "029_pin_before_fork": [],
    "064_pin_mremap": ["stale-reference"],
    "025_get_exclusive_write_in_place": [],
    "027_get_zero_page": ["stale-reference"],
    "072_pin_wipe_dontfork": [],
    "071_pin_exit": [],
    "075_memfd_shared_two_procs": [],
}

SOUND = ["013_fork_chain", "031_pin_after_fork_child", "080_punch_private_cow_survives", "105_mremap_cow_shared"]


class Watch:
    """Follows a machine with a checker, micro-step by micro-step."""

    def __init__(self) -> None:
        self.checker = Checker.full(State())
        self.found: list[Violation] = []

    def advance(self, state: State, task: str) -> Stepped:
        stepped = advance(state, task)
        # Each op begins a task on a machine that may also have been changed by hand.
        checker, new = Checker.full(state).advance(state, stepped)
        self.checker = checker
        self.found += new
        return stepped


@pytest.mark.parametrize("name", [*STORIES, *SOUND])
def test_recordings(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    watch = Watch()
    monkeypatch.setattr("model.replay.machine.advance", watch.advance)
    for _ in play(decode((HAND / f"{name}.json").read_bytes())):
        pass
    found = [violation.invariant for violation in watch.found]
    assert set(found) <= USERS_FAULT
    if name in STORIES:
        assert found == STORIES[name]
    assert watch.checker.violations == Checker.full(watch.checker.scene.state).violations
