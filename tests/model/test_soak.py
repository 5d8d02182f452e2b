"""A share of the long random play, from fixed numbers; `make soak` goes on with others."""

import os
from math import gcd
from pathlib import Path
from typing import Final

from model.driver_files import library
from model.engine.config import KERNELS, SETTINGS
from model.script.runner import Runner
from model.script.verbs import ADVICE, VERBS
from tests.model.soak import numbers
from tests.model.soak_backings import SOAK_BACKINGS
from tests.model.soak_coverage import DRIVEN, REPLAYED, Coverage
from tests.model.soak_episodes import KERNEL_VERBS, STEP, Episode, Find, as_script, played, shortest
from tests.model.soak_melees import melee
from tests.model.soak_scenes import scene_of, search_scene
from tests.model.soak_strikes import killers, strike
from tests.model.soak_trips import trip

EPISODES: Final = int(os.environ.get("PTESCOPE_EXAMPLES", "0"))
"""More than those that play every verb."""
FIRST: Final = 100
STRUCK: Final = (1, 3)
MELEES: Final = (4, 7)
CARRIED: Final = (1, 2)
MANY: Final = 800
"""So many numbers draw everything that can be drawn."""

BAD_DRIVER: Final = (
    "process p0",
    "bo b 1 in=gtt exporter=no-zap",
    "mmap p0 buf bo:b shared rw 1",
    "mmap p0 other anon private rw 1",
    "write p0 buf 65",
    "read p0 other",
    "move b vram",
    "write p0 buf 66",
)


def verbs_of(episode: Episode) -> set[str]:
    """What it may draw."""
    return {*episode.verbs, *(call.partition(" ")[0] for call in episode.calls)}


def share() -> list[int]:
    """A few of the first episodes that draw every verb between them: always the one that brings most."""
    brought = {number: verbs_of(Episode(number)) for number in range(FIRST)}
    missing, chosen = set(KERNEL_VERBS), list[int]()
    while missing:
        best = max(brought, key=lambda number: len(brought[number] & missing))
        assert brought[best] & missing, f"none of them draws {missing}"
        missing -= brought[best]
        chosen.append(best)
    return chosen


def test_everything_there_is_is_drawn() -> None:
    assert gcd(STEP, len(SOAK_BACKINGS)) == 1, "some beginnings would never come"
    episodes = [Episode(number) for number in range(MANY)]
    begun = {line for episode in episodes for line in episode.prelude}
    assert {episode.backing for episode in episodes} == set(SOAK_BACKINGS)
    assert {episode.kernel for episode in episodes} == set(KERNELS)
    assert {line.split()[1] for line in begun if line.startswith("set ")} == SETTINGS.keys()
    for driver in library.bundled():
        assert any(f"exporter={driver}" in line for line in begun), driver


def test_what_only_recordings_ask_for_is_not_waited_for() -> None:
    assert not REPLAYED.keys() & {*VERBS, *ADVICE}
    coverage = Coverage()
    assert not {*coverage.by_name.values()} & {step for steps in REPLAYED.values() for step in steps}
    coverage.note([("ttm_bo_vm_fault", "wait_for_lock"), ("op_shrink", "free")])
    assert coverage.ran == {"driver_fault.wait_for_lock", DRIVEN}


def test_several_tasks_at_once_do_no_harm_and_raise_nothing() -> None:
    for number in (*share(), *range(EPISODES)):
        episode = Episode(number)
        find = episode.run()
        assert find is None, as_script(shortest(find, ordinary=episode.ordinary))


def test_an_episode_follows_from_its_number() -> None:
    scripts = []
    for _ in range(2):
        runner, script = Runner(), []
        for line in Episode(7).lines(runner):
            script.append(line)
            played(runner, line, ordinary=False)
        scripts.append(script)
    assert scripts[0] == scripts[1]


def test_harm_is_found_and_told_without_what_it_does_not_need() -> None:
    runner = Runner()
    wrong = [played(runner, line, ordinary=True) for line in BAD_DRIVER]
    assert wrong[:-1] == [""] * 7
    assert wrong[-1] == "foreign-access"
    lines = shortest(Find(BAD_DRIVER, wrong[-1]), ordinary=True).lines
    assert lines == tuple(line for line in BAD_DRIVER if "other" not in line)


def test_what_is_asked_for_is_played() -> None:
    assert list(numbers(70, 3)) == [70, 71, 72]


def test_scenes_of_the_same_numbers_are_searched_and_hold_what_they_say() -> None:
    scenes = [made for number in range(3) if (made := scene_of(number)) is not None]
    assert len(scenes) == 3
    assert all(len(scene.permissions) > 1 for _, scene in scenes)
    for number in range(3):
        find = search_scene(number)
        assert find is None, as_script(find)


def test_whatever_is_taken_away_at_whatever_step_no_call_misses_it() -> None:
    for number in STRUCK:
        find = strike(number)
        assert find is None, as_script(find)


def test_melees_raise_nothing() -> None:
    for number in MELEES:
        find = melee(number)
        assert find is None, as_script(find)


def test_killers_take_away_everything_there_is() -> None:
    runner = Runner()
    for line in (
        *("process p0", "device nic", "memfd f 2", "mmap p0 a memfd:f shared rw 2", "userfaultfd p0 u"),
        *("gup p0 a as=r", "bo b 1 exporter=vfio-pci", "export b as=d", "attach d nic"),
    ):
        played(runner, line, ordinary=False)
    killing = {*killers(runner.context.state)}
    assert {"exit p0", "truncate f 0", "put r", "destroy b", "disable b", "detach d nic"} <= killing
    assert {"munmap p0 a", "madvise p0 a dontneed", "uffd-close p0 u", "uffdio-unregister p0 a u"} <= killing


def test_a_session_comes_back_the_same_from_every_round_trip(tmp_path: Path) -> None:
    for number in CARRIED:
        find = trip(number, tmp_path)
        assert find is None, as_script(find)
