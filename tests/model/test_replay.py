"""The model against what a real kernel did: every recording, by kind."""

import re
from functools import cache
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest

from model.replay.compare import RecordingResult, by_kind, compare, emit, kind_of
from model.replay.recording import NotARecordingError, decode, encode

FOLDER: Final = Path(__file__).parent.parent / "recordings"
RECORDINGS: Final = sorted([*(FOLDER / "hand").glob("*.json"), *(FOLDER / "random").glob("*.json")])

KINDS: Final = """
    demand zero populate mlock fork reuse mprotect prot wipeonfork dontfork shared memfd truncate punch madv fault map
    fclose devzero get pin mixed many cve stale remote odirect force vma mremap growsdown seal ext4 special guard mseal
    anon file swap thp uffd ksm hugetlb
""".split()  # noqa: SIM905 - it reads better so
"""The kinds in which the model agrees with the kernel in every recording."""

SAMPLED: Final = {"thp": 9, "swap": 4, "uffd": 3, "hugetlb": 3}
"""Kinds with many long recordings: of the random ones every so manyth is written back; all of them are compared."""

UNSUPPORTED_KINDS: Final[tuple[str, ...]] = ()
"""The kinds that need what the model does not have."""


def of_kind(kind: str) -> list[Path]:
    paths = [path for path in RECORDINGS if kind_of(path.stem) == kind]
    assert paths, f"there is no recording of the kind {kind!r}"
    return paths


def sample_of(kind: str) -> list[Path]:
    paths = of_kind(kind)
    hand = [path for path in paths if path.parent.name == "hand"]
    return hand + [path for path in paths if path.parent.name == "random"][:: SAMPLED.get(kind, 1)]


@cache
def verdict(path: Path) -> RecordingResult:
    return compare(decode(path.read_bytes()))


@pytest.mark.parametrize("kind", KINDS)
def test_the_model_does_what_the_kernel_did(kind: str) -> None:
    verdicts = [verdict(path) for path in of_kind(kind)]
    wrong = [f"{one.name}: {one.difference or one.unsupported}" for one in verdicts if not one.agrees]
    assert not wrong, "\n" + "\n".join(wrong)


@pytest.mark.parametrize("kind", UNSUPPORTED_KINDS)
def test_what_the_model_lacks_is_reported_and_not_passed_over(kind: str) -> None:
    silent = [path.stem for path in of_kind(kind) if not (verdict(path).agrees or verdict(path).unsupported)]
    assert not silent, f"a difference that no unsupported op explains: {silent}"


def test_every_recording_belongs_to_a_kind_that_is_tested() -> None:
    assert {kind_of(path.stem) for path in RECORDINGS} <= {*KINDS, *UNSUPPORTED_KINDS}


# -- a difference is found, wherever it is ------------------------------------------------------


def recording(name: str) -> Any:
    (path,) = (path for path in RECORDINGS if path.stem == name)
    return msgspec.json.decode(path.read_bytes())


def compared(fields: Any) -> RecordingResult:
    return compare(decode(msgspec.json.encode(fields)))


@pytest.mark.parametrize(
    ("op", "change", "field"),
    [
        (1, {"result": 7}, "result"),
        (0, {"result": "ENOMEM"}, "result"),
        (0, {"state": {"procs": {"p0": {"vmas": [[0, 3, "rw-p", None, 0, "rd wr mr mw me ac"]]}}}}, "procs.p0.vmas"),
        (1, {"state": {"procs": {"p0": {"ptes": {"0": ["zero", "w"]}}}}}, "procs.p0.ptes.0"),
        (1, {"state": {}}, "procs.p0.ptes.0"),
        (2, {"state": {"procs": {"p0": {"ptes": {"0": ["P1", "wdx"]}}}}}, "procs.p0.ptes.0"),
        (4, {"state": {"phys": {"P0": [2, 1, "lru anon swapbacked excl", 5]}}}, "phys.P0"),
        (4, {"state": {"phys": {"P0": [1, 2, "lru anon swapbacked excl", 5]}}}, "phys.P0"),
        (4, {"state": {"phys": {"P0": [1, 1, "lru anon swapbacked", 5]}}}, "phys.P0"),
        (4, {"state": {"phys": {"P0": [1, 1, "lru anon swapbacked excl", 6]}}}, "phys.P0"),
        (4, {"state": {"phys": {"P0": None}}}, "phys.P0"),
        (4, {"state": {"freed": ["P0"]}}, "freed"),
        (4, {"state": {"pins": {"d": {"kind": "pin", "proc": "p0", "page": 0, "frames": ["P0"]}}}}, "pins.d"),
    ],
)
def test_a_falsified_recording_differs_where_it_was_falsified(op: int, change: dict[str, Any], field: str) -> None:
    fields = recording("001_demand_zero")
    fields["ops"][op] |= change
    found = compared(fields).difference
    assert found is not None
    assert (found.number, found.field) == (op, field)


def test_the_signal_code_is_compared() -> None:
    fields = recording("107_growsdown")
    assert fields["ops"][5]["si_code"] == "SEGV_MAPERR"
    fields["ops"][5]["si_code"] = "SEGV_ACCERR"
    found = compared(fields).difference
    assert found is not None
    assert str(found) == 'op 5 read: si_code: kernel "SEGV_ACCERR", model "SEGV_MAPERR"'


def test_the_flags_that_the_kernel_sets_late_are_not_compared() -> None:
    fields = recording("001_demand_zero")
    fields["ops"][4]["state"] = {"phys": {"P0": [1, 1, "dirty anon swapbacked excl", 5]}}
    assert compared(fields).agrees


# -- ops that the model does not know -----------------------------------------------------------


def test_an_unknown_op_is_unsupported_and_the_replay_goes_on() -> None:
    fields = recording("001_demand_zero")
    fields["ops"].insert(1, {"op": "hibernate", "result": "ok", "state": {}})
    found = compared(fields)
    assert (found.agrees, found.unsupported) == (False, ("hibernate",))
    emitted = emit(decode(msgspec.json.encode(fields)))
    assert emitted[1]["result"] == "UNSUPPORTED"
    assert emitted[3]["state"]["phys"] == {"P0": [1, 1, "lru anon swapbacked excl", 5]}


@pytest.mark.parametrize(
    "op",
    [
        {"op": "madvise", "proc": "p0", "at": 0, "pages": 4, "advice": "SOFT_OFFLINE"},
        {"op": "mmap", "proc": "p0", "at": 8, "pages": 1, "prot": "r", "kind": "floppy"},
        {"op": "mmap", "proc": "p0", "at": 8, "pages": 1, "prot": "r", "flags": ["sync"]},
        {"op": "mremap", "proc": "p0", "at": 0, "pages": 1, "new_pages": 1, "flags": ["sideways"]},
        {"op": "file", "name": "f", "pages": 1, "type": "tape"},
        {"op": "place", "proc": "p0", "what": "vsyscall", "at": 8},
    ],
)
def test_what_the_model_has_no_name_for_is_unsupported(op: dict[str, Any]) -> None:
    fields = recording("001_demand_zero")
    fields["ops"].append(op)
    assert len(compared(fields).unsupported) == 1


def test_the_recorder_s_own_answers() -> None:
    fields = recording("001_demand_zero")
    fields["ops"] += [
        {"op": "unpin", "id": "d9", "result": "NOID"},
        {"op": "read", "proc": "p7", "page": 0, "result": "NOPROC"},
        {"op": "remote_read", "proc": "p0", "target": "p7", "page": 0, "result": "NOPROC"},
        {"op": "read", "proc": "p0", "page": 0, "volatile": True, "result": "ANY"},
    ]
    assert compared(fields).difference is None


def test_what_could_not_be_placed_is_not_there() -> None:
    fields = recording("001_demand_zero")
    place = {"op": "place", "proc": "p0", "at": 10}
    fields["ops"] = [place | {"what": "vvar"}, place | {"what": "vdso"}]
    emitted = emit(decode(msgspec.json.encode(fields)))
    assert (emitted[1]["result"], emitted[1]["state"]) == ("EINVAL", {})


def test_what_the_kernel_has_placed_itself_stands_behind_the_arena() -> None:
    fields = recording("001_demand_zero") | {"ops": []}
    ring = {"op": "mmap", "proc": "p0", "at": 100_000, "pages": 1, "prot": "rw", "kind": "io_uring_ring"}
    fields["ops"] = [{"op": "mmap", "proc": "p0", "at": 0, "pages": 2, "prot": "rw"}, ring | {"share": "shared"}]
    emitted = emit(decode(msgspec.json.encode(fields)))
    assert [row[0] for row in emitted[1]["state"]["procs"]["p0"]["vmas"]] == [0, 100_000]


# -- writing ------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_a_recording_that_agrees_is_written_back_byte_for_byte(kind: str) -> None:
    """Not only what is compared: the flags that may be ignored, the order of everything, and the layout too."""
    for path in sample_of(kind):
        recording = decode(path.read_bytes())
        assert encode(recording, emit(recording)) == path.read_text(), path.stem


def test_the_table_counts_by_kind() -> None:
    fields = recording("161_uffd_missing")
    fields["ops"] += [{"op": "swapoff"}, {"op": "swapon"}]
    (demand,) = (path for path in RECORDINGS if path.stem == "001_demand_zero")
    rows = by_kind([("demand", verdict(demand)), ("uffd", compared(fields))])
    assert [(row.kind, row.recordings, row.agreeing, row.unsupported) for row in rows] == [
        ("demand", 1, 1, 0),
        ("uffd", 1, 0, 1),
    ]
    assert rows[1].first_difference == "unsupported: swapoff, swapon"


# -- what is no recording -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"", "1:1: no JSON"),
        (b'{"name": "x",\n "ops": [}', "2:10: no JSON"),
        (b"[]", "1:1: no recording"),
        (b'{"name":\n "\xff"}', "2:3: no UTF-8"),
        (b'{"name": ' + b"[" * 200_000, "1:1: nested too deeply"),
        (b'\xef\xbb\xbf{"name": "x",\n "ops": [}', "2:10: no JSON"),
        (b'{"ops": []}', "missing required field `name`"),
        (b'{"name": "x", "ops": [\n{"op": "exit", "proc": "p0"},\n{"op": "fork", "proc": 3}]}', "3:1: op 1, fork: "),
        (b'{"name": "x", "ops": [{}]}', "op 0, without a name: "),
        (b'{"name": "x", "ops": [{"op": ["fork"]}]}', "op 0"),
        (b'{"name": "x", "ops": [{"op": "write", "proc": "p0", "page": 0, "value": 256}]}', "<= 255"),
        (b'{"name": "x", "ops": [{"op": "read", "proc": "p0", "page": -1}]}', ">= 0"),
        (b'{"name": "x", "ops": [{"op": "mmap", "proc": "p0", "at": 0, "pages": 1, "prot": "wr"}]}', "regex"),
        (b'{"name": "x", "ops": [{"op": "get_many", "proc": "p0", "page": 0, "id": "g", "count": 1000000}]}', "100000"),
    ],
)
def test_a_file_that_is_no_recording_is_refused_with_the_place(text: bytes, message: str) -> None:
    with pytest.raises(NotARecordingError, match=message) as error:
        decode(text)
    assert re.match(r"\d+:\d+: ", str(error.value))
