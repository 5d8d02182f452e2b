"""The lessons of part 5: their answers, and what they say that a search has found."""

import pytest

from lessons.file.library import find
from model.compare.cells import judge
from model.compare.table import questions
from model.script.parser import parse
from model.search.bfs import explore
from model.search.problem import set_up
from tests.lessons.playing import answers

ANSWERS = {
    # drivers/dma-buf/dma-buf.c with the patch of the thread; exporters: kernel-facts J.3
    "the-proposal-vm-pfnmap": {
        "which-are-refused": "db and du",
        "gup-through-the-checked-mapping": "fast: the special bit stops it; slow: EFAULT",
        "the-second-door": "mapped, and the pin is given",
        "does-it-warn-again": "no",
    },
    # mm/memory.c: insert_page; include/linux/mm.h: get_page, put_page; the patch: kernel-facts K.5
    "mangling-the-page-count": {
        "fast-through-the-huge-hole": "it fails: a count of 0 cannot be raised",
        "count-after-a-blind-get": "1",
        "what-put-does": "its page is freed, under the mapping and under the driver",
        "debug-kernel": "yes",
        "insert-page-at-zero": "SIGBUS",
    },
    # mm/gup.c, mm/memory.c: vmf_insert_mixed without CONFIG_ARCH_HAS_PTE_SPECIAL; kernel-facts B.3, D.4
    "special-ptes-and-pmds": {
        "fast-without-the-bit": "nothing: GUP-fast takes no PTE here at all",
        "mixed-without-the-bit": "2",
        "gup-on-mixed": "it gets the page: without the bit the hole is back",
        "bit-in-the-pmd": "no",
        "bit-in-the-pmd-6-12": "the special bit of the PMD",
    },
    # virt/kvm/kvm_main.c of 6.1 and 7.3
    "kvms-own-walk": {
        "what-follow-gets": "it looks the PTE up itself and takes the page",
        "what-p0-reads": "65",
        "read-only-too": "no",
        "asked-once": "yes",
        "count-in-7-3": "1",
        "p0-in-7-3": "99",
    },
    # what each kernel has: kernel-facts N
    "what-became-of-each-idea": {
        "in-6-1": "both",
        "in-6-12": "neither",
        "kvm-in-6-12": "yes",
        "kvm-in-7-3": "1",
        "blind-get-in-7-3": "it gets its reference, as ever",
    },
    "review-six-exporters": {
        "who-hands-out": "b, d and e",
        "who-may-hand-out": "rd alone: shmem asks the count before it takes a page away",
        "who-keeps-an-entry": "c",
        "who-remembers": "f",
    },
}


@pytest.mark.parametrize("lesson", ANSWERS)
def test_the_answers_are_those_of_the_sources(lesson: str) -> None:
    assert answers(find(lesson)) == ANSWERS[lesson]


def test_under_the_check_gup_gets_no_page_of_the_three_dma_bufs() -> None:
    """What the first lesson says of the search, for the drivers that it has."""
    asked = questions(
        "6.1", ("insert-page", "qxl", "udmabuf"), ("gup-slow", "gup-fast", "longterm"), ("dma-buf-check=refuse",)
    )
    through_dma_buf = [question for question in asked if "DRM file" not in question.row]
    assert {judge(question.scene).outcome for question in through_dma_buf} == {"refused"}
    around_it = [question for question in asked if "DRM file" in question.row]
    assert "corrupts" in {judge(question.scene).outcome for question in around_it}


@pytest.mark.parametrize(("exporter", "grabber"), [("ttm-huge", "gup-fast"), ("qxl", "follow"), ("qxl", "grab")])
def test_what_the_check_leaves_open_is_what_the_lesson_says(exporter: str, grabber: str) -> None:
    asked = questions("6.1", (exporter,), (grabber,), ("dma-buf-check=refuse",))
    assert {judge(question.scene).outcome for question in asked} == {"corrupts"}


@pytest.mark.parametrize(("buffer", "breaks"), [("a", False), ("b", True), ("c", True), ("d", False), ("f", True)])
def test_the_verdicts_of_the_review_are_those_of_the_search(buffer: str, breaks: bool) -> None:
    world = find("review-six-exporters").worlds["six-exporters"]
    kept = [line for line in world.splitlines() if not line.startswith(("bo ", "mmap ", "write "))]
    mine = [
        line
        for line in world.splitlines()
        if f"bo:{buffer} " in line or line.startswith((f"bo {buffer} ", f"write p0 {buffer} "))
    ]
    happens = "evict d" if buffer == "d" else f"move {buffer} vram"
    may = (f"gup p0 {buffer} as=r write by=nic", happens, "dma r write 99", f"write p0 {buffer} 7")
    search = explore(set_up(parse("\n".join([*kept, *mine, *(f"may 1 {line}" for line in may)]))), 90_000)
    assert any(severity == "corruption" for _, severity in search.found) == breaks
    assert breaks or search.complete
