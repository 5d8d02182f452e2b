"""The checker of driver files: each mistake is told at its line, and a driver that is right is told nothing."""

import pytest

from model.driver_files import library
from model.driver_files.check import check
from model.driver_files.findings import DriverFault
from model.engine.config import KERNELS
from model.text.problems import ScriptError

GOOD = """\
driver good
vma PFNMAP DONTEXPAND
map at=fault insert=pfn
lock resv blocking
backing pages
op move:
  refuse-when pinned EBUSY
  lock resv
  notify
  zap
  alloc
  copy
  switch
  free
  unlock resv
"""


def found(text: str) -> list[DriverFault]:
    return list(check(text))


def names(text: str) -> list[tuple[str, str, int]]:
    """(severity, kind, line) of each finding."""
    return [(one.severity, one.name, one.line) for one in found(text)]


def changed(*changes: tuple[str, str]) -> str:
    """The right driver with some text in place of other."""
    text = GOOD
    for old, new in changes:
        assert text.count(old) == 1
        text = text.replace(old, new)
    return text


def test_a_driver_that_is_right_is_told_nothing() -> None:
    assert found(GOOD) == []


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ([("  unlock resv\n", "")], ("error", "never-unlocked", 8)),
        ([("  unlock resv\n", "  unless vram unlock resv\n")], ("error", "never-unlocked", 8)),
        ([("  lock resv\n", "")], ("error", "unlock-not-held", 14)),
        ([("  lock resv\n", "  when vram lock resv\n")], ("error", "unlock-not-held", 15)),
        ([("  notify\n", "  notify\n  lock resv\n")], ("error", "self-deadlock", 10)),
        ([("  zap\n", ""), ("  free\n", "  free\n  zap\n")], ("error", "free-before-zap", 13)),
        ([("  zap\n", ""), ("  switch\n", "  switch\n  zap\n")], ("error", "switch-before-zap", 12)),
        ([("  zap\n", ""), ("  copy\n", "  copy\n  zap\n")], ("error", "copy-before-zap", 11)),
        ([("  zap\n", "  unless vram zap\n")], ("error", "free-before-zap", 14)),
        ([("  zap\n", "  unlock resv\n  zap\n  lock resv\n")], ("error", "copy-before-zap", 14)),
        ([("  zap\n", "  zap\n  unlock resv\n  lock resv\n")], ("error", "copy-before-zap", 14)),
        ([("  zap\n", "  zap 1 2\n")], ("error", "part-zap", 10)),
        ([("  zap\n", "  zap 0 2\n"), ("  alloc\n", "  alloc first=1 count=2\n")], ("error", "part-zap", 10)),
        ([("  alloc\n", "  alloc first=1\n"), ("  copy\n", "  copy 1 1\n")], ("warning", "not-copied", 13)),
        ([("  copy\n", "  copy 0 1\n")], ("warning", "not-copied", 13)),
        ([("  alloc\n", "  alloc first=1\n"), ("backing pages", "backing shmem")], ("error", "file-page-moved", 11)),
        ([("  zap\n", "  zap no-flush\n")], ("error", "no-flush", 10)),
        ([("  notify\n", ""), ("  free\n", "  free\n  notify\n")], ("error", "late-notify", 14)),
        ([("  notify\n", "")], ("warning", "no-notify", 6)),
        ([("  notify\n", "  notify\n  keep\n")], ("error", "raw-numbers", 10)),
        ([("  free\n", "  free\n  free\n")], ("warning", "freed-twice", 15)),
        ([("  free\n", "  free keep-numbers\n  free\n")], ("error", "freed-twice", 15)),
        ([("  free\n", "")], ("warning", "leak", 6)),
        ([("  alloc\n", "")], ("error", "switch-to-nothing", 12)),
        ([("  copy\n", "")], ("warning", "not-copied", 12)),
        ([("  notify\n", "  notify\n  fence\n  signal\n")], ("error", "no-wait-fence", 15)),
        ([("  notify\n", "  notify\n  fence a\n  fence b\n  wait-fence a\n")], ("error", "no-wait-fence", 16)),
        ([("pinned EBUSY", "pinnned EBUSY")], ("warning", "state-never-set", 7)),
        ([("op move:", "function f:\n  zap\nop move:")], ("warning", "never-called", 6)),
        ([("lock resv blocking\n", "lock resv blocking\nlock other read\n")], ("warning", "lock-never-taken", 5)),
        ([("insert=pfn", "insert=pfn no-bounds")], ("error", "no-bounds", 3)),
        ([("insert=pfn", "insert=page")], ("error", "page-without-mixedmap", 3)),
        ([("insert=pfn", "insert=mixed")], ("error", "mixed-without-mixedmap", 3)),
        ([("at=fault insert=pfn", "at=mmap insert=page")], ("error", "page-in-pfnmap", 3)),
        ([("vma PFNMAP", "vma PFNMAP MIXEDMAP")], ("error", "pfn-flags", 3)),
        ([("vma PFNMAP", "vma MIXEDMAP")], ("error", "pfn-of-memory", 3)),
        ([("vma PFNMAP DONTEXPAND\n", "")], ("error", "pfn-flags", 2)),
        ([("lock resv blocking\n", "private allow\nlock resv blocking\n")], ("error", "private-pfnmap", 4)),
        ([("insert=pfn", "insert=remap range=vma")], ("error", "remap-sets-flags", 3)),
        (
            [("at=fault insert=pfn", "at=mmap insert=remap"), ("lock resv blocking", "private allow\nlock resv ops")],
            ("warning", "private-remap", 4),
        ),
        ([("insert=pfn", "insert=return-page"), ("pages", "vram")], ("error", "no-struct-page", 3)),
        ([("at=fault insert=pfn", "at=op insert=pfn")], ("warning", "never-mapped", 3)),
        ([("backing pages", "backing pages\ncounts pin")], ("warning", "counts-unused", 5)),
        ([("backing pages", "backing shmem")], ("error", "pages-not-held", 5)),
        (
            [("backing pages", "fail-when off SIGBUS"), ("op move:", "op off:\n  set off\nop move:")],
            ("warning", "set-unlocked", 7),
        ),
        ([("backing pages", "writable refuse keeps-maywrite\nbacking pages")], ("error", "maywrite-left", 5)),
        ([("backing pages", "open forgets\nbacking pages")], ("error", "open-forgets", 5)),
        ([("backing pages", "close forgets\nbacking pages")], ("warning", "close-forgets", 5)),
        ([("backing pages", "backing pages\ncounts per-mapping")], ("warning", "counts-unused", 5)),
        ([("at=fault", "at=op"), ("  free\n", "  free\n  insert\n")], ("error", "lock-order", 15)),
    ],
)
def test_each_mistake_is_told_at_its_line(changes: list[tuple[str, str]], told: tuple[str, str, int]) -> None:
    assert told in names(changed(*changes))


def orders(first: str, second: str, fields: str = "") -> list[str]:
    """What is said of two operations that take locks, each given as its steps in one line."""
    listed = [
        ";".join(f"  {step.strip()}" for step in steps.split(";")).replace(";", "\n") for steps in (first, second)
    ]
    text = f"driver d\nmap at=op insert=pfn\nvma PFNMAP\nlock a ops\nlock b ops\nlock c ops\n{fields}"
    text += f"op one:\n{listed[0]}\nop two:\n{listed[1]}\n"
    return [one.located("d") for one in check(text) if one.name == "lock-order"]


def test_two_operations_that_take_locks_in_different_orders() -> None:
    (told,) = orders("lock a; lock b; unlock b; unlock a", "lock b; lock a; unlock a; unlock b")
    assert told == (
        "d:14:3: error: `two` takes `a` under `b`; `one` (line 9) takes `b` under `a`: "
        "at once, they wait for each other"
    )
    assert orders("lock a; lock b; unlock b; unlock a", "lock a; lock b; unlock a; unlock b") == []


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("lock a; lock b try; unlock b; unlock a", "lock b; lock a; unlock a; unlock b"),
        ("lock a read; lock b; unlock b; unlock a", "lock b; lock a read; unlock a; unlock b"),
        (
            "lock c; lock a; lock b; unlock b; unlock a; unlock c",
            "lock c; lock b; lock a; unlock a; unlock b; unlock c",
        ),
        (
            "refuse-when vram EBUSY; lock a; lock b; unlock b; unlock a",
            "refuse-unless vram EBUSY; lock b; lock a; unlock a; unlock b",
        ),
    ],
    ids=["one only tries", "both read", "a third lock keeps them apart", "in different states"],
)
def test_orders_that_cannot_meet(first: str, second: str) -> None:
    assert orders(first, second) == []


def test_a_circle_of_three_locks_and_one_with_the_fault_handler() -> None:
    (three,) = orders(
        "lock a; lock b; unlock b; unlock a; lock b; lock c; unlock c; unlock b", "lock c; lock a; unlock a; unlock c"
    )
    assert three.startswith("d:18:3: error: `two` takes `a` under `c`; ")
    text = GOOD.replace("lock resv blocking", "lock resv blocking\nlock idle blocking")
    text = text.replace("  lock resv\n", "  lock idle\n  lock resv\n").replace(
        "  unlock resv\n", "  unlock resv\n  unlock idle\n"
    )
    (handler,) = (one for one in check(text) if one.name == "lock-order")
    assert handler.message.startswith("`move` takes `resv` under `idle`; ->fault takes `idle` under `resv`")


def test_of_a_part_that_moves_no_other_entries_need_to_go() -> None:
    part = ("  alloc\n", "  alloc first=1 count=2\n")
    assert found(changed(("  zap\n", "  zap 1 2\n"), part)) == []
    assert found(changed(("  zap\n", "  zap 1 1\n  zap 2\n"), part, ("  copy\n", "  copy 2\n  copy 0 2\n"))) == []


def test_what_nobody_maps_may_go_without_a_zap_if_nothing_comes_between() -> None:
    purge = "op purge:\n  lock resv\n  notify\n{steps}  unlock resv\n"
    asked = "  refuse-when mapped EBUSY\n"
    assert found(GOOD + purge.format(steps=f"{asked}  free\n")) == []
    assert found(GOOD + purge.format(steps=f"{asked}  set gone + free\n")) == []
    late = f"{GOOD}{purge}".format(steps=f"{asked}  set gone\n  free\n")
    assert found(late) == []  # the lock that ->fault takes is held: who maps it now makes no entry yet
    open_to_faults = late.replace("lock resv blocking", "lock resv ops")
    line = late[: late.index("  free\n  unlock resv\n", late.index("purge"))].count("\n") + 1
    assert ("error", "free-before-zap", line) in names(open_to_faults)
    assert ("error", "free-before-zap", line) not in names(late.replace("lock resv blocking", "lock resv ops mmap"))


def test_a_ring_that_is_made_anew_where_nobody_maps_it() -> None:
    """usbmon: the lock is the one that ->fault takes, the old content is not wanted, and there are no dma-bufs."""
    ring = (
        "driver ring\nvma DONTEXPAND\nmap at=fault insert=return-page\nlock b_lock blocking mmap\nexport refuse\n"
        "op ring_size:\n  lock b_lock\n  refuse-when mapped EBUSY\n  free\n  alloc\n  switch\n  unlock b_lock\n"
    )
    assert found(ring) == []
    assert ("warning", "no-notify", 6) in names(ring.replace("export refuse", "export allow"))


def test_the_sentence_names_what_the_kernel_does_the_function_and_the_versions() -> None:
    (finding,) = found(changed(("insert=pfn", "insert=page"))[: GOOD.index("op move")] + "\n")
    assert finding.located("mine.driver") == (
        "mine.driver:3:1: error: VM_PFNMAP is set, and ->fault inserts with vm_insert_page() without VM_MIXEDMAP: "
        "BUG_ON(mmap_read_trylock(vma->vm_mm)) (mm/memory.c: vm_insert_page, 6.1, 6.12 and 7.3)"
    )


def test_an_error_on_the_way_leaves_no_lock_behind_and_one_in_a_callee_may() -> None:
    taken = (
        "driver d\nvma PFNMAP\nlock a ops\nop x:\n  call take\n  {rest}\nfunction take:\n  lock a\n"
        "  refuse-when pinned EBUSY\n"
    )
    assert names(taken.format(rest="unlock a")) == []
    assert ("error", "never-unlocked", 8) in names(taken.format(rest="notify"))


def test_a_kernel_on_which_alone_a_driver_is_wrong_is_named() -> None:
    (finding,) = found(changed(("  zap\n", "  until 6.1 zap\n  since 6.12 zap no-flush\n")))
    assert finding.kernels == KERNELS[1:]
    assert finding.text.endswith("[6.12, 6.18, 7.3]")


def test_what_is_wrong_in_a_driver_that_is_taken_over_is_told_at_the_like_line() -> None:
    text = "driver mine\nlike qxl\nfunction ttm_bo_unmap_virtual:\n  notify\n"
    first = found(text)[0]
    assert (first.line, first.severity) == (2, "error")
    assert first.message.startswith("in `qxl`, line ")


@pytest.mark.parametrize("name", library.bundled())
def test_the_drivers_that_come_along_have_no_errors_but_those_on_purpose(name: str) -> None:
    errors = {
        (finding.name, finding.kernels) for finding in check(library.text_of(name)) if finding.severity == "error"
    }
    if name in library.WRONG:
        assert errors
    elif name == "etnaviv":  # read in the kernel: nothing keeps a private writable mapping from its VM_PFNMAP
        assert errors == {("private-pfnmap", KERNELS[1:])}
    else:
        assert errors == set()


def test_more_ways_than_anybody_can_look_at_are_said_to_be_too_many() -> None:
    states = "".join(f"  when s{number} set t{number}\n  when t{number} notify\n" for number in range(30))
    assert ("warning", "too-many-ways", 3) in names(f"driver d\nlock a ops\nop x:\n{states}")


def test_what_cannot_be_read_cannot_be_checked() -> None:
    with pytest.raises(ScriptError):
        check("driver d\nvam IO")
