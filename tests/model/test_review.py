"""The review of one driver: which operations are asked about, and what its cells say."""

from functools import cache

import pytest

from model.compare import owner_acts
from model.compare.cells import Cell, Judge
from model.compare.owner_acts import of_owner
from model.compare.ranking import ORDER, QUIET, badness, worst
from model.compare.scenes import DriverRow
from model.compare.table import review_questions
from model.driver_files import library

LOCKS = """driver locks
vma PFNMAP DONTEXPAND
map at=fault insert=pfn
lock resv blocking
lock other ops
backing pages
op disable:
  lock resv
  set idle
  unlock resv
op resume:
  refuse-when busy EBUSY
  lock resv
  when idle zap
  unlock resv
op purge:
  lock resv
  free
  zap
  unlock resv
"""
NEVER = LOCKS.replace("op purge:\n  lock resv\n", "op purge:\n  set off\n  lock resv\n  refuse-when off ENOMEM\n")


@cache
def judge() -> Judge:
    return Judge(20_000)


def cell(row: DriverRow, grabber: str, act: str, kernel: str = "6.18") -> Cell:
    asked = review_questions(row, kernel, (), (grabber,))
    return judge().cell(next(question.scene for question in asked if question.column == act))


def test_the_operations_are_those_of_the_kernel_that_is_asked_about() -> None:
    """Until 6.12 bochs is a TTM driver, whose buffers move."""
    old, new = ([one.name for one in of_owner(DriverRow(("bochs",)), kernel, ())] for kernel in ("6.1", "7.3"))
    assert old[:2] == ["move", "evict"]
    assert "move" not in new
    assert new[-5:] == old[-5:] == ["fork", "munmap", "mremap", "exit", "destroy"]


def test_what_is_refused_for_a_dma_buf_is_tried_without_one() -> None:
    """panfrost purges what is not exported; whoever imports it keeps it from being purged."""
    row = DriverRow(("panfrost",))
    assert cell(row, "raw", "purge").outcome == "corrupts"
    assert (cell(row, "import", "purge").outcome, cell(row, "import", "purge").answer) == ("safe", "purge b: EBUSY")


def test_what_is_refused_while_it_is_mapped_comes_behind_a_munmap() -> None:
    text = f"{LOCKS}op idle:\n  refuse-when mapped EBUSY\n  free\n".replace("driver locks", "driver idle")
    row = DriverRow(("idle",), text=text)
    act = next(one for one in of_owner(row, "6.18", ()) if one.name == "idle")
    assert act.commands == ("munmap p0 buf", "idle b")
    assert cell(row, "raw", "idle").outcome == "corrupts"
    assert cell(row, "cpu", "idle").outcome == "safe"


def test_only_what_changes_a_state_that_is_asked_for_is_tried_beforehand(monkeypatch: pytest.MonkeyPatch) -> None:
    """A driver of many operations would be tried in every order of them, one of those that ask nothing in none."""
    tried: list[tuple[str, ...]] = []

    def fails(lines: tuple[str, ...]) -> bool:
        tried.append(lines[next(at for at, line in enumerate(lines) if line.startswith("write ")) + 1 :])
        return False

    monkeypatch.setattr(owner_acts, "_succeeds", fails)
    text = LOCKS + "".join(f"op o{n}:\n  set s{n}\n" for n in range(20)) + "op late:\n  refuse-unless s7 EBUSY\n"
    of_owner(DriverRow(("locks",), text=text), "6.18", ())
    assert {commands[:-1] for commands in tried if commands[-1] == "late b"} == {(), ("o7 b",)}
    assert len(tried) < 30


def test_the_page_that_is_forgotten_is_the_one_that_is_looked_at() -> None:
    """Of a buffer of one page `zap 0 1` would be all."""
    assert cell(DriverRow(("part-zap",)), "cpu", "move").outcome == "corrupts"


def test_a_driver_that_permits_no_writes_is_reviewed_with_reads() -> None:
    found = cell(DriverRow(("binder",)), "gup-slow", "shrink")
    assert (found.outcome, found.invariant) == ("hazard", "stale-reference")


def test_what_an_operation_needs_comes_first() -> None:
    """An operation that is refused in the state at hand is given the fewest others that help."""
    text = LOCKS.replace("refuse-when busy EBUSY", "refuse-when ready EBUSY").replace("set idle", "clear ready")
    text = text.replace(
        "op purge:", "op start:\n  set ready\nop stop:\n  refuse-when cold EINVAL\n  set cold\nop purge:"
    )
    acts = {one.name: one for one in of_owner(DriverRow(("locks",), text=text), "6.18", ())}
    assert acts["resume"].commands == ("resume b",)
    assert acts["stop"].subjects == ("stop b",)


@pytest.mark.parametrize(
    ("grabber", "act", "outcome"),
    [
        ("cpu", "purge", "corrupts"),
        ("gup-fast", "purge", "refused"),
        ("raw", "purge", "corrupts"),
        ("raw", "disable", "safe"),
        ("nobody", "disable", "safe"),
        ("nobody", "purge", "corrupts"),
    ],
)
def test_a_driver_of_ones_own(grabber: str, act: str, outcome: str) -> None:
    row = DriverRow(("locks",), text=LOCKS)
    found = cell(row, grabber, act)
    assert (found.outcome, found.complete) == (outcome, True), found


def test_an_operation_that_never_succeeds_is_vacuous_and_says_so() -> None:
    text = LOCKS.replace("op purge:\n", "op purge:\n  refuse-when gtt ENOMEM\n")
    found = cell(DriverRow(("locks",), text=text), "cpu", "purge")
    assert (found.outcome, found.answer) == ("vacuous", "purge b: ENOMEM")


def test_a_refusal_that_guards_the_page_is_told_beside_safe() -> None:
    """A static importer pins the buffer: evicting it is refused, which is as it should be."""
    assert str(cell(DriverRow(("qxl",)), "import-static", "evict")).endswith("states (evict b: EBUSY)")


def test_a_fault_and_an_operation_that_wait_for_each_other() -> None:
    """->fault takes the lock that a purge keeps while it waits for the job that nobody ends."""
    text = LOCKS.replace("op purge:\n  lock resv\n", "op purge:\n  lock resv\n  fence\n  wait-fence\n")
    found = cell(DriverRow(("locks",), text=text), "cpu", "purge")
    assert found.outcome in {"refused", "vacuous", "safe"}  # it waits without any grab as well
    assert cell(DriverRow(("locks",), text=text), "nobody", "purge").outcome == "stuck"


def test_the_worst_comes_first() -> None:
    cells = [Cell("safe"), Cell("corrupts", steps=9), Cell("vacuous"), Cell("corrupts", steps=3), Cell("refused")]
    assert [str(one.steps) + one.outcome for one in sorted(cells, key=badness)][:3] == [
        "3corrupts",
        "9corrupts",
        "0vacuous",
    ]
    assert worst(cells) == ORDER[0]
    assert worst([]) == "refused"


def test_whoever_wants_to_import_what_is_not_exported_is_refused_and_the_others_map_it_through_the_device() -> None:
    row = DriverRow(("locks",), text=LOCKS.replace("backing pages", "backing pages\nexport refuse ENOSYS"))
    assert str(cell(row, "import", "purge")) == "refused ENOSYS at export"
    assert cell(row, "raw", "purge").outcome == "corrupts"
    assert cell(row, "import", "fork").outcome == "refused"


MISTAKES = {
    "no-zap": ("nobody", "move"),
    "late-zap": ("cpu", "move"),
    "no-flush": ("nobody", "evict"),
    "no-bounds": ("nobody", "beyond"),
    "early-free": ("nobody", "shrink"),
    "early-switch": ("nobody", "move"),
    "late-notify": ("import", "move"),
    "part-zap": ("nobody", "move"),
    "pfnmap-page": ("nobody", "fork"),
    "raw-numbers": ("nobody", "evict"),
}


@pytest.mark.parametrize("name", library.WRONG)
def test_a_driver_that_is_wrong_on_purpose_has_its_mistake_in_its_review(name: str) -> None:
    assert cell(DriverRow((name,)), *MISTAKES[name]).outcome not in QUIET


def test_the_numbers_that_a_device_keeps_are_not_what_a_grabber_was_granted() -> None:
    assert str(cell(DriverRow(("raw-numbers",)), "gup-fast", "start")) == "refused EFAULT"


def test_a_child_that_is_not_counted_takes_the_buffer_from_its_parent() -> None:
    forgets = LOCKS.replace("backing pages", "backing pages\nopen forgets")
    assert cell(DriverRow(("locks",), text=forgets), "cpu", "child").outcome == "corrupts"
    assert "child" not in [act.name for act in of_owner(DriverRow(("locks",), text=LOCKS), "6.18", ())]


def test_an_operation_meets_a_job_that_is_at_work() -> None:
    jobs = LOCKS.replace("  free\n  zap\n", "  zap\n  free\n") + "op submit:\n  fence\nop done:\n  signal\n"
    found = cell(DriverRow(("locks",), text=jobs), "nobody", "purge")
    assert (found.outcome, found.invariant) == ("corrupts", "foreign-dma")
    waits = jobs.replace("  zap\n  free\n", "  wait-fence\n  zap\n  free\n")
    assert cell(DriverRow(("locks",), text=waits), "nobody", "purge").outcome == "safe"
