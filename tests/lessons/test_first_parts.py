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
}


@pytest.mark.parametrize("lesson", ANSWERS)
def test_the_answers_are_those_of_the_recordings(lesson: str) -> None:
    assert answers(find(lesson)) == ANSWERS[lesson]
