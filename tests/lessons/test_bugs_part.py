"""The lessons of part 6: what the old machines answer; what is found there does no harm on the mended ones."""

import pytest

from lessons.file.library import entries, find
from lessons.file.schema import PARTS, Goal
from lessons.play.player import Player
from model.invariants.registry import INVARIANTS
from tests.lessons.playing import answers, first_answer
from tests.model.play import Play

ANSWERS = {
    # mm/gup.c: faultin_page, follow_page_pte; the title and mechanism of 19be0eaffa3a
    "dirty-cow": {
        "what-the-file-has": "p0 a 66, p1 a 65",
        "who-keeps-the-copy": "no",
        "which-page-comes-back": "the file's own page",
        "what-the-mended-write-does": "it goes into a second copy",
    },
    # block/bio.c (6.1, 6.12): bio_iov_iter_get_pages; kernel-facts O
    "o-direct-and-fork": {
        "refcount-of-the-io": "2",
        "does-fork-see-it": "yes",
        "who-keeps-the-disks-page": "the child; p0 has a copy",
        "with-a-pin": "p0",
    },
    # the message of eb66ae030829: "the lifetime of the page is controlled by the page table locking"
    "the-late-flush": {
        "count-of-a-move": "2",
        "write-through-the-old-place": "it writes to the page, as before",
        "who-gets-the-frame": "6",
        "what-c-does-now": "C waits for M",
    },
    # virt/kvm/kvm_main.c (6.1): kvm_try_get_pfn; ttm_pool.c: ttm_pool_alloc_page
    "kvms-stray-page": {
        "count-while-the-guest-has-it": "2",
        "what-the-put-does": "it frees the page under its driver",
        "with-the-try": "it refuses: EFAULT",
    },
    # drivers/gpu/drm/i915/gem/i915_gem_pages.c: flush_tlb_invalidate
    "a-gpu-that-kept-its-mapping": {
        "count-of-the-object": "2",
        "write-with-an-empty-table": "the 66 goes into the object's page",
        "what-p1-reads": "66",
        "with-the-flush": "the GPU gets a fault",
    },
}


@pytest.mark.parametrize("lesson", ANSWERS)
def test_the_answers_are_those_of_the_sources(lesson: str) -> None:
    assert answers(find(lesson)) == ANSWERS[lesson]


def test_these_are_all_lessons_of_the_part() -> None:
    part = [entry.name for entry in entries() if entry.lesson and entry.lesson.header.part == PARTS[5]]
    assert part == list(ANSWERS)


@pytest.mark.parametrize("name", ANSWERS)
def test_nothing_breaks_before_the_learner_has_looked_for_it(name: str) -> None:
    player = Player(find(name))
    while player.goal is None:
        assert player.prediction is None or player.answer(first_answer(player.prediction)) == ""
        assert "forward" not in player.view().may or player.forward() == ""
        severities = {violation.severity for step in player.place.played_steps for violation in step.fresh}
        assert "corruption" not in severities


@pytest.mark.parametrize("name", ANSWERS)
def test_what_the_learner_finds_corrupts_as_it_was_and_not_as_mended(name: str) -> None:
    lesson = find(name)
    (scene,) = [item for item in lesson.items if isinstance(item.action, Goal)]
    assert isinstance(scene.action, Goal)
    mended = [item.world for item in lesson.items if item.world][-1]
    schedule = "\n".join(command.text for command in (*scene.setup, *scene.action.solution))
    assert corruptions(Play(lesson.worlds[scene.world], schedule))
    assert not corruptions(Play(lesson.worlds[mended], schedule))


def corruptions(play: Play) -> set[str]:
    """The rules broken by it that mean corruption."""
    return {name for name in play.broken() if INVARIANTS[name].severity == "corruption"}
