"""The lessons of parts 3 and 4: their answers are what the kernel's sources say; what breaks, breaks where they say."""

import pytest

from lessons.library import find
from tests.lessons.playing import answers, knowing, play

ANSWERS = {
    # mm/memory.c: vmf_insert_pfn counts nothing; EFAULT is the VMA's refusal, EEXIST that of an entry without a page
    "two-doors-two-locks": {
        "refcount-of-a-pfn-mapping": "1",
        "fast-only-on-pfn": "it stops before it touches the count",
        "slow-on-mixed": "EEXIST: there is an entry, but no page to hand out",
        "fast-on-insert-page": "ok: refcount 3",
        "grab-on-pfn": "no",
    },
    # mm/gup.c (6.1): gup_huge_pmd() adds all references to one frame; a special bit in PMDs came with 6.12
    "the-huge-page-hole": {
        "tables-of-a-huge-mapping": "3",
        "fast-on-the-huge-entry": "it takes the page",
        "refcount-of-the-second-page": "-1",
        "what-the-stranger-reads": "99",
        "fast-on-6-12": "no",
    },
    # drivers/gpu/drm/ttm: all entries go before the copy, and a fault waits for the reservation
    "a-move-nukes-the-ptes": {"whose-ptes": "none", "fault-against-move": "it waits", "is-the-write-lost": "66"},
    # drivers/gpu/drm/ttm/ttm_pool.c: write-combined pages are recycled whatever their count, cached ones are freed
    "the-secret-of-a-stranger": {
        "is-the-pin-given": "ok: the page is pinned",
        "does-the-pin-stop-the-move": "it goes through, as if there were no pin",
        "may-the-stranger-get-it": "yes",
        "what-does-the-card-send": "83, p1's secret",
        "read-after-coming-back": "66",
        "really-freed": "no",
    },
}


@pytest.mark.parametrize("lesson", ANSWERS)
def test_the_answers_are_those_of_the_sources(lesson: str) -> None:
    assert answers(find(lesson)) == ANSWERS[lesson]


def corrupted(lesson: str) -> set[tuple[str, str]]:
    """What is corrupted while a lesson is played without a mistake: command and invariant."""
    player = play(find(lesson), knowing(find(lesson)))
    return {
        (beat.command, violation.invariant)
        for spot in player.spots
        for beat in spot.beats
        for violation in beat.fresh
        if violation.severity == "corruption"
    }


def test_a_move_that_nukes_and_locks_corrupts_nothing() -> None:
    assert corrupted("a-move-nukes-the-ptes") == set()


def test_the_secret_leaks_at_the_dma_and_a_freed_page_is_no_strangers() -> None:
    foreign = {command for command, invariant in corrupted("the-secret-of-a-stranger") if invariant == "foreign-dma"}
    assert foreign == {"dma dma0 read", "dma dma0 write 99"}
    assert "reference-accounting" not in {invariant for _, invariant in corrupted("the-secret-of-a-stranger")}


def test_the_huge_page_hole_leaves_a_negative_count_and_a_foreign_write() -> None:
    assert {("put two", "underflow"), ("dma r0 write 99", "foreign-dma")} <= corrupted("the-huge-page-hole")
