"""The lessons of parts 1 and 2: their answers are what a real kernel did, and their surprises happen where they say."""

import pytest

from lessons.library import find
from tests.lessons.playing import answers

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
}


@pytest.mark.parametrize("lesson", ANSWERS)
def test_the_answers_are_those_of_the_recordings(lesson: str) -> None:
    assert answers(find(lesson)) == ANSWERS[lesson]
