"""The lessons of parts 1 and 2: their answers are what a real kernel did, and their surprises happen where they say."""

import pytest

from lessons.file.library import entries, find
from lessons.file.schema import PARTS
from tests.lessons.playing import answers, knowing, play

ANSWERS = {
    # 089: two cuts make three VMAs, and a neighbour of the same kind is merged with; 096: a hole has no VMA
    "a-mapping-costs-no-memory": {
        "rss-after-mmap": "0",
        "vmas-after-mprotect": "3",
        "vmas-after-neighbour": "3",
        "read-the-hole": "SIGSEGV",
        "write-read-only": "SIGSEGV",
    },
    # 001: the zero page, uncounted; 005: populating read-only memory maps it; 112: DONTNEED brings it back
    "faults-and-the-zero-page": {
        "rss-after-reading": "0",
        "refcount-of-the-zero-page": "1",
        "does-the-write-fault": "yes",
        "rss-after-populate": "1",
        "read-after-dontneed": "0",
        "write-after-mprotect": "SIGSEGV",
        "rss-after-reading-a-file": "1",
    },
    # 075: ref = map + 1 for the page cache; 021: fork copies nothing of a shared mapping; 047: a reference is no PTE
    "who-holds-a-page": {
        "refcount-of-a-file-page": "2",
        "mapcount-after-second-mmap": "1",
        "mapcount-after-fork": "2",
        "mapcount-after-gup": "3",
        "refcount-without-ptes": "2",
        "free-after-truncate": "no",
    },
    # 009: both PTEs read-only, the last writer reuses in place; 023: one more reference makes the writer copy
    "copy-on-write": {
        "is-the-parent-writable": "no",
        "is-it-writable-again": "no",
        "which-frame": "5",
        "what-is-in-the-pipe": "1, the old byte",
    },
    # 069: a hole takes every entry of the page away; the order of the steps is mm/memory.c's
    "unmapping-in-order": {
        "refcount-in-the-middle": "3",
        "write-through-a-stale-tlb": "it goes into the old frame: p1 sees it",
        "does-invlpg-reach-the-other": "no",
        "refcount-after-the-answer": "2",
        "write-without-a-flush": "into p1's buffer c",
        "tables-after-munmap": "1",
    },
    # 027: a read takes the zero page; 049: read-only memory and holes EFAULT, what was faulted in stays; 117: [vvar]
    "gup-slow": {
        "get-an-untouched-page": "the zero page",
        "what-the-card-reads": "0",
        "refcount-after-write-gup": "2",
        "write-gup-on-read-only": "EFAULT",
        "gup-on-vvar": "EFAULT",
        "traces-of-a-failure": "yes",
    },
    # 069: a held page survives the hole, the file gets another; 117: nor does the fast path take [vvar]
    "gup-fast": {
        "count-without-a-lock": "4",
        "count-of-the-grab": "4",
        "is-it-kept": "no",
        "what-take-gets": "a reference on what p0 maps now",
        "may-the-tables-go": "no",
        "count-after-the-punch": "1",
        "who-must-look": "that the frame is not freed under the card",
        "what-stops-fast": "no: the special bit in the PTE stops it",
    },
    # 035: 1 + 1 + 1024, and fork copies; 033: after the unpin it shares; 032 and 039: a read-only pin unshares
    "get-against-pin": {
        "count-of-both": "1026",
        "shared-under-a-pin": "no",
        "shared-after-unpin": "yes",
        "get-of-a-shared-page": "yes",
        "pin-of-a-shared-page": "no",
        "pin-of-the-other": "5",
    },
    # mm/migrate.c: one unknown reference is EAGAIN; drivers/gpu/drm/ttm: no line reads the count
    "moves-that-ask": {
        "frame-after-migration": "its PTE leads to another frame, same content",
        "count-that-migration-sees": "2",
        "migrate-under-a-get": "it puts the PTE back: EAGAIN",
        "pte-after-a-failed-reclaim": "a swap entry: an access would fault",
        "move-under-a-reference": "nothing: it does not look",
        "who-reads-the-nine": "p1, in its own buffer",
    },
}


@pytest.mark.parametrize("lesson", ANSWERS)
def test_the_answers_are_those_of_the_recordings(lesson: str) -> None:
    assert answers(find(lesson)) == ANSWERS[lesson]


def test_the_first_two_parts_are_listed_in_order() -> None:
    names = [entry.name for entry in entries() if entry.lesson and entry.lesson.header.part in PARTS[:2]]
    assert names == [
        "a-mapping-costs-no-memory",
        "how-the-walk-works",
        "faults-and-the-zero-page",
        "who-holds-a-page",
        "copy-on-write",
        "unmapping-in-order",
        "gup-slow",
        "gup-fast",
        "get-against-pin",
        "a-reference-is-not-a-mapping",
        "moves-that-ask",
        "your-own-kernel",
    ]


def broken(lesson: str) -> list[tuple[str, str, str]]:
    """What becomes wrong while a lesson is played without a mistake: command, micro-step, invariant."""
    player = play(find(lesson), knowing(find(lesson)))
    return [
        (played_step.command, played_step.name, violation.invariant)
        for place in player.places
        for played_step in place.played_steps
        for violation in played_step.fresh
        if violation.severity == "corruption"
    ]


def test_the_missing_flush_corrupts_at_the_write_and_nothing_else_does() -> None:
    assert broken("unmapping-in-order") == [("write p0 win 6", "cpu_store.store_byte", "foreign-access")]


def test_the_move_that_does_not_ask_corrupts_at_the_dma() -> None:
    assert ("dma x write 9", "device_access.transfer", "foreign-dma") in broken("moves-that-ask")


@pytest.mark.parametrize(
    "lesson", ["a-mapping-costs-no-memory", "faults-and-the-zero-page", "who-holds-a-page", "gup-fast"]
)
def test_what_the_kernel_does_right_corrupts_nothing(lesson: str) -> None:
    assert broken(lesson) == []
