"""What is read off a State for comparison with recordings, and how it is written."""

from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Final

import msgspec
import pytest

from model.memory.flags import PAGE_DIRTY, PAGE_PRESENT, PAGE_PROTNONE, PAGE_RW, PAGE_SPECIAL, PG_ANON_EXCLUSIVE
from model.memory.records import Frame, Pte
from model.memory.state import Change, State, Transaction
from model.replay.deltas import apply, delta, in_runs
from model.replay.observe import HeldReference, Observation, Observer
from model.replay.recording import ARENA, decode

RECORDINGS: Final = Path(__file__).parent.parent / "recordings"


def looks(path: Path) -> Iterator[tuple[Observation, Observation, list[str], object]]:
    """The kernel's Looks before and after each op, what was freed, and the delta as it was recorded."""
    recording = decode(path.read_bytes())
    look = Observation()
    for answer, fields in zip(recording.answers, recording.raw["ops"], strict=True):
        before = deepcopy(look)
        apply(look, answer.state)
        yield before, look, answer.state.freed, fields["state"]


@pytest.mark.parametrize("folder", ["hand", "random"])
def test_deltas_are_written_as_the_recorder_writes_them(folder: str) -> None:
    for path in sorted((RECORDINGS / folder).glob("*.json")):
        for before, after, freed, recorded in looks(path):
            written = msgspec.to_builtins(delta(before, after, freed))
            assert msgspec.json.encode(written) == msgspec.json.encode(recorded), path.stem


def machine(ptes: dict[tuple[str, int], Pte], frames: dict[int, Frame]) -> State:
    tx = Transaction(State())
    for (process, page), pte in ptes.items():
        tx.ptes[process, ARENA + page] = pte
    for pfn, frame in frames.items():
        tx.frames[pfn] = frame
    return tx.commit()[0]


ANON: Final = Frame("anon", refcount=1, mapcount=1, flags=PG_ANON_EXCLUSIVE)
FILE: Final = Frame("file", refcount=3, mapcount=2)


def test_frames_are_named_as_they_appear_by_process_and_page() -> None:
    state = machine({("p1", 0): Pte(5, 1), ("p0", 9): Pte(6, 1), ("p0", 2): Pte(7, 1)}, {5: ANON, 6: ANON, 7: ANON})
    look = Observer().look(state, ["p0", "p1"], {}, {})
    assert look.ptes == {"p0": {2: ("P0", "x"), 9: ("P1", "x")}, "p1": {0: ("P2", "x")}}


def test_a_name_ends_when_the_frame_is_freed_even_if_it_is_used_again_at_once() -> None:
    state = machine({("p0", 0): Pte(5, 1)}, {5: ANON})
    observer = Observer()
    observer.look(state, ["p0"], {}, {})
    observer.watch([Change("frames", 5, ANON, None), Change("frames", 5, None, ANON)])
    assert observer.freed == ["P0"]
    assert observer.look(state, ["p0"], {}, {}).ptes == {"p0": {0: ("P1", "x")}}


@pytest.mark.parametrize(
    ("pte", "frame", "row"),
    [
        (Pte(5, PAGE_PRESENT | PAGE_RW | PAGE_DIRTY), ANON, ("P0", "wdx")),
        (Pte(5, PAGE_PRESENT), FILE, ("P0", "f")),
        (Pte(5, PAGE_PROTNONE | PAGE_DIRTY), ANON, ("P0", "dxn")),
        (Pte(5, PAGE_PRESENT | PAGE_SPECIAL), Frame("zero", refcount=1), ("zero", "")),
        (Pte(5, PAGE_PRESENT | PAGE_SPECIAL), Frame("kernel", refcount=1), ("S0", "s")),
        (Pte(5, PAGE_PRESENT), Frame("reserved"), ("S0", "f")),
        (Pte(0, 0, "marker"), Frame(), ("guard", "")),
    ],
)
def test_the_flags_of_an_entry(pte: Pte, frame: Frame, row: tuple[str, str]) -> None:
    look = Observer().look(machine({("p0", 3): pte}, {5: frame}), ["p0"], {}, {})
    assert look.ptes == {"p0": {3: row}}


def test_a_pin_keeps_the_names_of_its_frames() -> None:
    observer = Observer()
    held = {"d0": HeldReference("pin", "p0", 3, (5,)), "g": HeldReference("get", "p0", 100_000, (6,))}
    before = observer.look(machine({("p0", 3): Pte(5, 1)}, {5: ANON, 6: FILE}), ["p0"], held, {})
    after = observer.look(machine({("p0", 3): Pte(6, 1)}, {5: ANON, 6: FILE}), ["p0"], held, {})
    assert before.pins["d0"].frames == after.pins["d0"].frames == ("P0",)
    assert before.pins["g"].frames == ("outside",)


def test_long_runs_are_written_as_one_and_small_frames_never() -> None:
    folio = {512 + number: (f"P0.{number}", "wdx") for number in range(9)}
    assert in_runs({**folio}) == {"512+9": ("P0.0", "wdx")}
    assert in_runs(dict.fromkeys(range(8))) == {"0+8": None}
    assert len(in_runs(dict.fromkeys(range(7), ("zero", "")))) == 7
    assert len(in_runs({page: (f"P{page}", "wdx") for page in range(20)})) == 20
