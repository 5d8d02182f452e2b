"""The ready scenes: every expectation holds, every violation is announced, and what the kernel says is in its shape."""

import re
from pathlib import Path
from typing import Final

import pytest

from model.engine.splat import kernel_log
from model.invariants.registry import INVARIANTS
from model.invariants.violation import Violation
from model.memory.events import Splat
from model.script.parser import parse
from model.script.runner import Account, Runner

SCENES: Final = sorted((Path(__file__).parents[2] / "lessons" / "scenes").glob("*.pte"))

WORDS: Final = ("expect", "note")

ASKED_FOR: Final = {
    "a stale pin by DONTNEED": "stale-pin-dontneed",
    "a stale pin by truncate": "stale-pin-truncate",
    "a stale pin by a punched hole": "stale-pin-punch",
    "a stale reference by fork": "stale-get-fork",
    "the huge-page hole": "huge-page-hole",
    "a secret leaks through a grabbed page": "secret-leaks",
    "the CPU corrupts after a missing unmap": "missing-unmap",
    "a stale TLB": "stale-tlb",
    "KVM and a read-only mapping": "kvm-read-only",
    "DAX waits for a reference": "dax-truncate",
    "the DAX mistake": "dax-mistake",
    "a mangled refcount saves the day": "mangled-refcount-saves",
    "a mangled refcount makes it worse": "mangled-refcount-worse",
    "the right way": "right-way",
    "udmabuf over a punched memfd": "udmabuf-punched",
}


def played(scene: Path) -> list[Account]:
    runner = Runner()
    return [runner.perform(command) for command in parse(scene.read_text())]


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.stem)
def test_every_expectation_holds(scene: Path) -> None:
    failed = [account.outcome.message for account in played(scene) if account.outcome.status == "failed"]
    assert failed == []


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.stem)
def test_nothing_goes_wrong_that_the_scene_does_not_announce(scene: Path) -> None:
    accounts = played(scene)
    for number, account in enumerate(accounts):
        if account.command.verb in WORDS:
            continue
        found = {violation.invariant for violation in account.violations}
        assert found == announced(accounts[number + 1 :]), account.command.text


def announced(following: list[Account]) -> set[str]:
    """What the `expect violation` lines right after a command name."""
    named: set[str] = set()
    for account in following:
        if account.command.verb not in WORDS:
            break
        named |= {str(phrase.values["NAME"]) for phrase in account.command.phrases if phrase.form == "violation"}
    return named


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.stem)
def test_every_violation_says_what_the_kernel_shows_of_it(scene: Path) -> None:
    found: list[Violation] = [violation for account in played(scene) for violation in account.violations]
    for violation in found:
        assert violation.symptom == INVARIANTS[violation.invariant].symptom
        assert violation.message.endswith((".", ")"))
        assert "-1" not in violation.message, violation.message


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.stem)
def test_the_kernels_complaints_have_its_shape(scene: Path) -> None:
    splats = [event for account in played(scene) for event in account.events if isinstance(event, Splat)]
    for splat in splats:
        assert re.match(
            r"WARNING: CPU: \d+ PID: \d+ at [\w/.-]+\.[ch]:\d+ \w+$|kernel BUG at [\w/.-]+\.[ch]:\d+!$"
            r"|BUG: Bad page (state|map|cache) in process \w+  (pte:\w+ )?pfn:[0-9a-f]{5}$",
            splat.title,
        ), splat.title
        assert splat.trace
        log = kernel_log(splat)
        assert splat.title in log
        assert log.index("Call Trace:") > log.index(splat.title)


def test_there_is_a_scene_for_each_story_of_the_discussion() -> None:
    assert {*ASKED_FOR.values()} <= {scene.stem for scene in SCENES}


def test_every_scene_begins_with_what_it_is_about() -> None:
    for scene in SCENES:
        assert scene.read_text().startswith("# "), scene.stem
