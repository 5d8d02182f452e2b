"""`ptescope explore` from outside: verdicts, the story, JSON, exit statuses."""

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from model.invariants.registry import INVARIANTS
from model.script.parser import parse
from model.search.bfs import Search, SearchProgress, explore
from model.search.problem import SearchProblem, set_up
from model.search.strategy import SearchOutcome
from tests.tui.command_line import Answered, called, started
from tui.jobs.limits import Limits
from tui.session.ending import EXIT_INTERRUPTED
from tui.views.search_json import EXIT_INCOMPLETE

ROOT = Path(__file__).parents[2]

STALE_PIN = """\
device nic
process p0
mmap p0 buf anon private rw 1
write p0 buf 1
may 1 gup p0 buf as=r write by=nic
may 1 madvise p0 buf dontneed
may 1 dma r write 65
"""
HARMLESS = """\
process p0
mmap p0 buf anon private rw 1
may 1 write p0 buf 7
may 1 read p0 buf
"""


def ptescope(*arguments: str, text: str) -> Answered:
    return called(*arguments, text=text, PTESCOPE_ASCII="1")


def explored(text: str, *options: str) -> tuple[int, dict[str, Any]]:
    done = ptescope("explore", "--json", *options, "-", text=text)
    assert done.stderr == ""
    return done.returncode, json.loads(done.stdout)


def test_the_object_of_the_contract() -> None:
    status, found = explored(STALE_PIN)
    assert status == 1
    old = ["complete", "states", "transitions", "schedules", "seconds", "verdicts", "violations"]
    assert list(found)[: len(old)] == old
    assert {"vacuous", "commands", "never_ends"} <= set(found)
    assert found["memory_order"] == "sequentially consistent", "what `never` holds for"
    assert found["complete"] is True
    assert isinstance(found["schedules"], int)
    assert found["verdicts"]["lost-write"] == "sometimes"
    assert found["verdicts"]["underflow"] == "never"
    assert [(one["invariant"], one["severity"]) for one in found["violations"]] == [
        ("lost-write", "corruption"),
        ("stale-reference", "hazard"),
    ]


def test_each_script_replays_its_violation_through_ptescope_run() -> None:
    _, found = explored(STALE_PIN)
    for violation in found["violations"]:
        done = ptescope("run", "--json", "-", text=violation["script"])
        assert done.returncode == 0, done.stderr
        lines = [json.loads(line) for line in done.stdout.splitlines()]
        assert violation["invariant"] in {broken["invariant"] for broken in lines[-1]["violations"]}
        searched = [
            step for line in lines if line["command"].split()[0] in {"step", "finish"} for step in line["steps"]
        ]
        assert len(searched) == violation["steps"]


def test_nothing_worse_than_a_hazard_is_success() -> None:
    status, found = explored(HARMLESS)
    assert status == 0
    assert found["violations"] == []
    assert set(found["verdicts"].values()) == {"never"}


def test_one_rule_alone() -> None:
    status, found = explored(STALE_PIN, "--violation", "stale-reference")
    assert status == 0
    assert found["verdicts"] == {"stale-reference": "sometimes"}


def test_the_first_corruption_ends_the_search() -> None:
    status, found = explored(STALE_PIN, "--first")
    assert status == 1
    assert found["complete"] is False
    assert found["verdicts"]["lost-write"] is None, "it is broken; whether in every schedule, nobody knows yet"
    assert found["verdicts"]["underflow"] is None


def test_the_bound_was_hit_first() -> None:
    status, found = explored(STALE_PIN, "--max-states", "20")
    assert 20 < found["states"] <= 22
    assert (status, found["complete"], found["schedules"]) == (3, False, None)


def test_malformed() -> None:
    done = ptescope("explore", "-", text="process p0\nmay 1 raed p0 @16\n")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "-:2:7: unknown command `raed`; did you mean `read`?\n"
    done = ptescope("explore", "-", text="process p0\n")
    assert done.returncode == 2
    assert "nothing may happen" in done.stderr
    done = ptescope("explore", "no-such-file.pte", text="")
    assert done.returncode == 2
    assert done.stderr == "no-such-file.pte: No such file or directory\n"


def test_the_story() -> None:
    done = ptescope("explore", "-", text=STALE_PIN)
    assert done.returncode == 1
    assert done.stderr == ""
    assert "\x1b" not in done.stdout
    lines = done.stdout.splitlines()
    assert any(line.startswith("! corruption lost-write") and "sometimes" in line for line in lines)
    tips = [number for number, line in enumerate(lines) if "point of no return" in line]
    assert len(tips) == 1
    for later in ("! corruption lost-write: nic wrote 65", "  because", "  the nearest safe schedule"):
        assert any(line.strip().startswith(later.strip()) for line in lines[tips[0] :]), later
    safe = done.stdout.partition("the nearest safe schedule")[2]
    assert safe.count("\n    > ") == 1


def test_every_line_fits_a_narrow_terminal() -> None:
    done = called("explore", "-", text=STALE_PIN, COLUMNS="80")
    assert max(map(len, done.stdout.splitlines())) <= 80


LONG = "process p\nmmap p a anon private rw 1\nmay 99 write p a 1\nmay 99 madvise p a dontneed\nmay 99 read p a\n"
LARGE = "process p\nmmap p a anon private rw 1\nmay 8 write p a 1\nmay 8 madvise p a dontneed\nmay 3 read p a\n"


def test_a_search_ends_where_memory_does() -> None:
    done = started("explore", "--max-memory", "1", "-", text=LARGE)
    assert done.returncode == EXIT_INCOMPLETE
    assert "for it took more than 1 MiB" in " ".join(done.stdout.split())


def test_an_interrupt_ends_the_search_in_good_order_and_only_the_search() -> None:
    told: list[int] = []

    def show(progress: SearchProgress) -> None:
        told.append(progress.states)
        if len(told) == 3:
            signal.raise_signal(signal.SIGINT)

    limits = Limits(1 << 20, show)
    with limits.interruptible():
        search = explore(set_up(parse(LARGE)), progress=limits.allow)
    assert not search.complete
    assert len(search.seen) == told[-1]
    assert (limits.ended, limits.interrupted) == ("you interrupted it", True)
    with pytest.raises(KeyboardInterrupt):
        signal.raise_signal(signal.SIGINT)


def test_who_has_interrupted_a_search_does_not_wait_long_for_what_it_has_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(scene: SearchProblem, *_: object) -> SearchOutcome:
        signal.raise_signal(signal.SIGINT)
        return SearchOutcome(Search(scene))

    def endless(*_: object) -> None:
        while True:
            pass

    monkeypatch.setattr("tui.commands.explore.searched", interrupted)
    done = called("explore", "-", text=LARGE)
    assert done.returncode == EXIT_INTERRUPTED
    assert "for you interrupted it" in " ".join(done.stdout.split())
    monkeypatch.setattr("tui.jobs.limits.TELLING", 0.05)
    monkeypatch.setattr("model.search.report.report", endless)
    done = called("explore", "-", text=LARGE)
    assert done.returncode == EXIT_INTERRUPTED
    assert done.stderr == "you interrupted it at 1 states; there was no time to tell all. Broken so far: nothing\n"


@pytest.mark.parametrize("part", [("--random", "3"), ("--preemptions", "3")])
def test_a_search_of_a_part_asks_often_whether_to_go_on(part: tuple[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[SearchProgress] = []
    monkeypatch.setattr(Limits, "allow", lambda _, progress: asked.append(progress))
    done = called("explore", *part, "-", text=LONG)
    assert done.returncode == EXIT_INCOMPLETE
    assert len(asked) <= 2
    assert asked[0].states < 1100 if part[0] == "--preemptions" else asked[0].depth <= 100


# -- verdicts that are not empty ----------------------------------------------------------------

DRIVER = """\
set kernel 6.1
device nic
process p0
bo b 1 in=gtt exporter={exporter}
mmap p0 buf bo:b shared rw 1
write p0 buf 65
"""


@pytest.mark.parametrize(
    ("lines", "line", "said"),
    [
        ("bo b 1 in=gtt\nmmap p0 buf bo:b private rw 1\n", 3, "`mmap p0 buf bo:b private rw 1` fails: EINVAL"),
        ("mmap p0 a anon private r 1\nwrite p0 a 1\n", 3, "`write p0 a 1` fails: SIGSEGV"),
        ("mmap p0 a anon private rw 1\nexpect present p0 a\n", 3, "does not hold before anything may happen"),
    ],
)
def test_a_set_up_that_fails_is_no_scene_to_search(lines: str, line: int, said: str) -> None:
    done = ptescope("explore", "-", text=f"process p0\n{lines}may 1 fork p0 c\n")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"-:{line}:1: ")
    assert said in done.stderr


def test_a_refusal_that_is_expected_is_part_of_the_scene() -> None:
    text = "process p0\nmmap p0 a anon private r 1\nwrite p0 a 1\nexpect signal SIGSEGV\nmay 1 read p0 a\n"
    assert explored(text)[0] == 0


def test_no_line_behind_the_first_may_is_dropped_in_silence() -> None:
    done = ptescope("explore", "-", text=f"{HARMLESS}write p0 buf 3\n")
    assert done.returncode == 2
    assert done.stderr.startswith("-:5:1: `write p0 buf 3` stands behind the first `may` (line 3)")


def test_never_is_vacuous_where_the_attack_was_refused() -> None:
    """GUP on a PFN mapping is EFAULT, so the device never has a page to write to."""
    attack = "may 1 gup p0 buf as=r write by=nic\nmay 1 move b vram\nmay 1 dma r write 99\n"
    status, found = explored(DRIVER.format(exporter="qxl") + attack)
    assert (status, found["vacuous"]) == (4, True)
    assert set(found["verdicts"].values()) == {"vacuous"}
    assert [(one["started"], one["outcomes"]) for one in found["commands"]] == [
        (True, ["EFAULT"]),
        (True, ["ok"]),
        (False, []),
    ]
    told = ptescope("explore", "-", text=DRIVER.format(exporter="qxl") + attack).stdout
    assert "vacuous: not broken, but `dma r write 99` never ran" in " ".join(told.split())


def test_the_same_attack_on_a_driver_that_lets_it_in_is_not_vacuous() -> None:
    attack = "may 1 gup p0 buf as=r write by=nic\nmay 1 move b vram\nmay 1 dma r write 99\n"
    status, found = explored(DRIVER.format(exporter="insert-page") + attack)
    assert (status, found["vacuous"]) == (1, False)
    assert found["commands"][0]["outcomes"][0] == "ok"


def test_who_waits_for_ever_is_told_with_what_and_how_it_came_to_that() -> None:
    """fsdax before 6.13: truncate waits for the last reference, and nobody ever puts it."""
    text = (
        "set kernel 6.1\nprocess p0\ndevice nic\ndax x 1\nmmap p0 buf dax:x shared rw 1\nwrite p0 buf 65\n"
        "may 1 gup p0 buf as=r write by=nic\nmay 1 truncate x 0\n"
    )
    status, found = explored(text)
    assert status == 5
    assert found["never_ends"]["kind"] == "waits for ever"
    (waiting,) = found["never_ends"]["waiting"]
    assert waiting["task"] == "truncate"
    assert "the last reference on page 0 of x" in waiting["on"]
    assert found["never_ends"]["references"] == ["r"]
    locks = {one["lock"]: one["writer"] for one in found["never_ends"]["locks"]}
    assert locks["i_rwsem of x"] == "truncate"
    done = ptescope("run", "--json", "-", text=found["never_ends"]["script"])
    assert done.returncode == 0
    status, found = explored(f"{text}may 1 put r\n")
    assert (status, found["never_ends"]) == (0, None), "whoever puts it lets truncate go on"


def test_a_deadlock_names_each_holder_once() -> None:
    ops = "op one:; lock a; lock b; unlock b; unlock a; op two:; lock b; lock a; unlock a; unlock b"
    text = f"driver d; vma PFNMAP; map at=fault insert=pfn; lock a ops; lock b ops; {ops}\nbo x 1 exporter=d\n"
    done = ptescope("explore", "-", text=f"{text}may 1 one x\nmay 1 two x\n")
    assert done.returncode == 5
    assert "one (one x) waits for b of x, held by two\n" in done.stdout
    assert "two (two x) waits for a of x, held by one\n" in done.stdout


# -- properties of the script -------------------------------------------------------------------


def broken(found: dict[str, Any]) -> dict[str, str | None]:
    return {one["property"]: one["broken"] for one in found["properties"]}


def test_a_property_gets_a_verdict_and_a_script_that_runs_into_it() -> None:
    stated = (
        "always same r p0 buf\nnever refcount r 9\nnever broken lost-write\nfinal held r\nfinal absent p0 buf\n"
        "always content r 0\n"
    )
    status, found = explored(STALE_PIN + stated)
    assert status == 1
    assert broken(found) == {
        "always same r p0 buf": "sometimes",  # r is made by a `may` line
        "never refcount r 9": "never",
        "never broken lost-write": "never",  # it happens; it does not stand
        "final held r": "never",
        "final absent p0 buf": "sometimes",  # GUP may come last, and faults the page in
        "always content r 0": "always",
    }
    assert [one["invariant"] for one in found["violations"]] == ["lost-write", "stale-reference"]
    for one in found["properties"]:
        if "script" in one:
            done = ptescope("run", "--json", "-", text=one["script"])
            assert done.returncode == 1, one
            assert f"`{one['property']}` is broken" in done.stderr


def test_without_harm_a_broken_property_alone_is_exit_status_1() -> None:
    assert explored(f"{HARMLESS}final content p0 buf 7\n")[0] == 0
    status, found = explored(f"{HARMLESS}never content p0 buf 7\n")
    assert (status, broken(found)) == (1, {"never content p0 buf 7": "always"})
    told = ptescope("explore", "-", text=f"{HARMLESS}never content p0 buf 7\n").stdout
    assert "! property   never content p0 buf 7" in told
    assert "`never content p0 buf 7` is broken: it holds" in told
    assert "No schedule avoids it." in told


def test_what_is_expected_of_the_machine_behind_the_first_may_is_judged_at_every_end() -> None:
    text = (
        "process p0\nmmap p0 buf anon private rw 1\nwrite p0 buf 1\n"
        "may 1 write p0 buf 2\nmay 1 madvise p0 buf dontneed\n{}\n"
    )
    status, found = explored(text.format("expect content p0 buf 2"))
    assert (status, broken(found)) == (1, {"expect content p0 buf 2": "sometimes"})
    assert explored(text.format("expect vma p0 buf"))[0] == 0
    done = ptescope("explore", "-", text=text.format("expect value 7"))
    assert done.returncode == 2
    assert done.stderr.startswith("-:6:1: `expect value 7` stands behind the first `may` (line 4)")


def test_an_expectation_before_the_first_may_that_is_false_stops_the_search() -> None:
    text = "process p0\nmmap p0 buf anon private rw 1\nwrite p0 buf 1\nexpect value 55\nmay 1 write p0 buf 2\n"
    done = ptescope("explore", "-", text=text)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("-:4:1: `expect value 55` does not hold before anything may happen")


def test_a_property_that_never_spoke_of_what_exists_shows_nothing() -> None:
    refused = "may 1 gup p0 buf as=r write by=nic\n"
    status, found = explored(DRIVER.format(exporter="qxl") + refused + "never refcount r 4\n")
    assert (status, broken(found), found["vacuous"]) == (4, {"never refcount r 4": "vacuous"}, True)


def test_a_property_that_the_set_up_breaks_stops_the_search() -> None:
    text = "process p0\nmmap p0 buf anon private rw 1\nwrite p0 buf 1\nalways present p0 buf\nmadvise p0 buf dontneed\n"
    done = ptescope("explore", "-", text=f"{text}may 1 read p0 buf\n")
    assert done.returncode == 2
    assert "-:5:1: before anything may happen `madvise p0 buf dontneed` breaks a property" in done.stderr
    waiting = "process p0\nmmap p0 buf anon private rw 1\nbegin t read p0 buf\nmay 1 write p0 buf 1\nnever waits t\n"
    done = ptescope("explore", "-", text=waiting)
    assert done.returncode == 2
    assert "-:5:1: `never waits t`: no property of a search asks `waits`" in done.stderr


# -- parts of all schedules -----------------------------------------------------------------------

RACE = """\
set kernel 6.1
process p0
mmap p0 buf anon private rw 1
write p0 buf 1
begin t read p0 buf
may 1 madvise p0 buf dontneed
never refcount p0 buf 9
"""


def test_a_bounded_search_says_up_to_how_many_preemptions_it_has_searched_everything() -> None:
    status, found = explored(STALE_PIN, "--preemptions", "0")
    assert (status, found["complete"], found["preemptions_proved"]) == (1, False, 0)
    assert found["verdicts"]["lost-write"] is None
    assert found["verdicts"]["underflow"] is None
    (worst, _) = found["violations"]
    assert (worst["invariant"], worst["preemptions"]) == ("lost-write", 0)
    assert ptescope("run", "-", text=worst["script"]).returncode == 0
    told = " ".join(ptescope("explore", "--preemptions", "0", "-", text=STALE_PIN).stdout.split())
    assert "every schedule with up to 0 pre-emptions was searched" in told
    assert f"{len(INVARIANTS) - 2} other rules: not broken with up to 0 pre-emptions" in told
    assert explored(RACE, "--preemptions", "0")[0] == 3


def test_a_bound_that_no_schedule_exceeds_is_a_whole_search() -> None:
    status, found = explored(HARMLESS, "--preemptions", "50")
    assert (status, found["complete"], found["preemptions_proved"]) == (0, True, None)
    assert set(found["verdicts"].values()) == {"never"}


def test_a_search_that_hits_its_bound_still_proves_what_needs_few_preemptions() -> None:
    whole = explored(STALE_PIN)[1]
    status, found = explored(STALE_PIN, "--every-state", "--max-states", str(whole["states"] // 2))
    assert (status, found["complete"], found["preemptions_proved"]) == (1, False, 0)
    assert {one["invariant"] for one in found["violations"]} == {one["invariant"] for one in whole["violations"]}
    assert explored(STALE_PIN, "--max-states", "20")[1]["preemptions_proved"] is None


def test_random_schedules_are_the_same_for_the_same_seed_and_never_say_never() -> None:
    status, found = explored(STALE_PIN, "--random", "40", "--seed", "7")
    assert status == 1
    assert (found["random"]["schedules"], found["random"]["seed"], found["random"]["given_up"]) == (40, 7, 0)
    assert 0 < found["random"]["broken_in"]["lost-write"] < 40
    assert set(found["verdicts"].values()) == {None}
    assert ptescope("run", "-", text=found["violations"][0]["script"]).returncode == 0
    assert explored(STALE_PIN, "--random", "40", "--seed", "7")[1] | {"seconds": 0} == found | {"seconds": 0}
    status, found = explored(f"{HARMLESS}final content p0 buf 8\nnever content p0 buf 9\n", "--random", "5")
    assert (status, found["random"]["broken_in"]) == (1, {"final content p0 buf 8": 5})
    told = ptescope("explore", "--random", "5", "-", text=HARMLESS)
    assert told.returncode == 3
    assert "not met in 5 random schedules" in told.stdout


def test_a_schedule_without_end_is_met_by_a_part_search_too() -> None:
    text = (
        "set kernel 6.1\nprocess p0\ndevice nic\ndax x 1\nmmap p0 buf dax:x shared rw 1\nwrite p0 buf 65\n"
        "may 1 gup p0 buf as=r write by=nic\nmay 1 truncate x 0\n"
    )
    for part in (("--preemptions", "0"), ("--random", "20")):
        status, found = explored(text, *part)
        assert (status, found["never_ends"]["kind"]) == (5, "waits for ever")


@pytest.mark.parametrize("wrong", [("--preemptions", "-1"), ("--random", "0"), ("--random", "3", "--preemptions", "1")])
def test_absurd_parts_are_refused(wrong: tuple[str, ...]) -> None:
    assert ptescope("explore", *wrong, "-", text=HARMLESS).returncode == 2


# -- in how many schedules ------------------------------------------------------------------------


def test_in_how_many_schedules_a_command_was_started_and_how_it_ended() -> None:
    """Whether the page is there decides what fast-only GUP says, and that decides whether the device has a page."""
    text = (
        "process p0\ndevice nic\nmmap p0 buf anon private rw 1\nwrite p0 buf 1\n"
        "may 1 gup p0 buf as=r fast-only by=nic\nmay 1 madvise p0 buf dontneed\nmay 1 dma r read\n"
    )
    _, found = explored(text)
    gup, madvise, dma = found["commands"]
    everything = found["schedules"]
    assert gup["started_in"] == madvise["started_in"] == everything
    assert madvise["ended_in"] == {"ok": everything}
    assert set(gup["ended_in"]) == {"ok", "EFAULT"}
    assert sum(gup["ended_in"].values()) == everything, "it ends once in each"
    assert dma["started_in"] == gup["ended_in"]["ok"] < everything
    told = " ".join(ptescope("explore", "-", text=text).stdout.split())
    assert "done: madvise p0 buf dontneed (ok in all schedules)" in told
    assert "dma r read (started in" in told
    assert explored(text, "--first", "--max-states", "50")[1]["commands"][0]["ended_in"] is None


def test_commands_that_take_each_others_place_are_not_counted_one_by_one() -> None:
    lines = "process {0}\nmmap {0} a anon private rw 1\n"
    text = lines.format("p") + lines.format("q") + "may 1 write p a 1\nmay 1 write q a 1\n"
    together, apart = explored(text)[1], explored(text, "--no-symmetry")[1]
    assert together["schedules"] == apart["schedules"]
    assert [one["started_in"] for one in together["commands"]] == [None, None]
    assert [one["started_in"] for one in apart["commands"]] == [apart["schedules"]] * 2


def test_the_way_is_drawn_with_the_nearest_safe_schedule_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "way.md"
    done = ptescope("explore", "-o", str(file), "-", text=STALE_PIN + "may 1 read p0 buf\n")
    assert done.returncode == 1
    assert done.stderr == f"{file}\n"
    drawn = file.read_text(encoding="utf-8")
    found, safe = drawn.split("the nearest safe schedule")
    assert "no way back" in found
    assert "✗ corruption lost-write" in found
    assert "here the two part" in safe
    assert "load_byte" not in safe, "a command that has nothing to do with it is left out"
    refused = ptescope("explore", "-o", "way.png", "-", text=STALE_PIN)
    assert refused.returncode == 2
    assert "expected a file that ends in .svg or .md, not `way.png`" in refused.stderr


def test_a_property_of_the_end_where_nothing_ends_is_vacuous_for_that_reason() -> None:
    endless = "process p0\nmmap p0 a anon private rw 1\nfinal content p0 a 5\nmay * write p0 a 5\n"
    told = ptescope("explore", "-", text=endless)
    assert told.returncode == 4
    assert "vacuous: something can always happen, so no schedule ends" in " ".join(told.stdout.split())


def test_what_is_broken_only_sometimes_is_never_broken_in_all_of_the_schedules() -> None:
    """Of 16,425,131,823 schedules only some keep the page absent."""
    scene = (
        "process p0\nmmap p0 a anon private rw 1\nwrite p0 a 1\nmay 1 madvise p0 a dontneed\nmay 1 write p0 a 7\n"
        "final absent p0 a\n"
    )
    told = " ".join(ptescope("explore", "-", text=scene).stdout.split())
    assert "final absent p0 a sometimes (in 99.9% of the schedules)" in told
