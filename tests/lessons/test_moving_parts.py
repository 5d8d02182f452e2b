"""The lessons of parts 3 and 4: their answers are what the kernel's sources say; what breaks, breaks where they say."""

import pytest

from lessons.file.library import find
from model.script.parser import parse
from model.search.bfs import explore
from model.search.problem import set_up
from tests.lessons.playing import answers, knowing, play
from tests.model.play import Play

ANSWERS = {
    # mm/memory.c: vmf_insert_pfn counts nothing; EFAULT is the VMA's refusal, EEXIST that of an entry without a page
    "two-doors-two-locks": {
        "refcount-of-a-pfn-mapping": "1",
        "fast-only-on-pfn": "it stops before it touches the count",
        "slow-on-mixed": "EEXIST: there is an entry, but no page to hand out",
        "fast-on-insert-page": "ok: refcount 3",
        "grab-on-pfn": "no",
    },
    # mm/memory.c: vm_normal_page, vma_needs_copy, remap_pfn_range; kernel-facts B.3, G.3, P22
    "whose-page-is-it": {
        "rss-of-three-kinds": "1",
        "refcount-after-unmapping-special": "1",
        "does-fork-copy-special": "yes",
        "write-to-a-private-pfn-mapping": "into a page of p0's own",
        "fast-on-the-copy": "ok: an ordinary entry, an ordinary page",
        "slow-on-the-copy": "no",
        "two-private-pages": "EINVAL",
        "mixed-without-the-bit": "2",
        "slow-on-mixed-without-the-bit": "ok: it takes the driver's page",
    },
    # mm/gup.c: check_vma_flags, gup_fast_folio_allowed; ttm_bo_vm_access; virt/kvm (6.1): hva_to_pfn_remapped
    "each-mapping-each-grab": {
        "column-of-fast": "all but mix, pfn and sec",
        "the-unguarded-one": "ins: its driver moves and recycles without asking",
        "column-of-slow": "the same five",
        "column-of-longterm": "dax and disk",
        "write-through-proc": "ok: 42 is written",
        "what-kvm-gets": "p0 pfn",
    },
    # fs/dax.c, fs/ext4/inode.c: ext4_break_layouts; kernel-facts L
    "the-dax-mistake": {
        "refcount-of-mapped-storage": "1",
        "fast-on-devmap": "ok: refcount 2",
        "truncate-as-it-began": "it goes through, and the block is free",
        "what-is-in-the-strangers-file": "99",
        "truncate-mended": "it unmaps, then waits for the card",
        "read-while-truncate-waits": "65: it maps the page once more",
        "refcount-today": "1",
    },
    # mm/huge_memory.c: __split_huge_pmd_locked, deferred_split_folio, folio_check_splittable; recording 145
    "one-count-for-512-pages": {
        "count-of-a-page-in-the-middle": "1",
        "count-after-four-are-gone": "509",
        "can-it-be-split": "no",
        "order-after-the-split": "0",
    },
    # mm/khugepaged.c: collapse_huge_page; the comment above gup_fast_pte_range() in mm/gup.c
    "a-table-pulled-from-under-the-walker": {
        "can-the-collapse-go-on": "no",
        "is-the-pte-still-the-same": "entry unchanged, PMD changed: it lets go",
        "is-it-huge": "yes",
        "where-does-it-read": "in the page that was the table",  # 2ba99c5e0881: "not concurrently freed"
        "does-the-collapse-wait": "no",  # mm/pgtable-generic.c: pte_free_defer, call_rcu
    },
    # mm/gup.c: check_and_migrate_movable_pages; mm/migrate.c: folio_migrate_mapping; mm/khugepaged.c: SCAN_PAGE_COUNT
    "memory-that-must-move": {
        "can-a-pinned-page-move": "no",
        "what-long-term-does": "it moves the page, then pins it",
        "long-term-beside-a-pin": "no",
        "collapse-under-a-pin": "no",
    },
    # drivers/dma-buf/dma-buf.c; thread, point 1; the udmabuf part was observed (dma-buf/moves.json, stale_udmabuf)
    "a-dma-buf-and-its-lifetime": {
        "refcount-of-a-shared-buffer": "1",
        "read-after-destroy": "65",
        "does-c-get-the-page": "no",
        "frame-of-the-next-buffer": "3",
        "does-the-move-find-both": "both",
        "refcount-of-a-udmabuf-page": "1026",
        "what-the-dma-buf-shows": "1, the old byte",
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
    # drivers/gpu/drm/ttm/ttm_bo_vm.c: ttm_bo_vm_reserve, TTM_BO_VM_NUM_PREFAULT; kernel-facts K.2, P27
    "fault-against-move": {
        "how-many-entries": "16",
        "move-before-the-write": "to the new place: W faults once more",
        "munmap-in-a-fault": "it goes through: buf is gone",
        "write-after-munmap": "SIGSEGV",
        "munmap-in-a-second-attempt": "it waits",
    },
    # drivers/dma-buf/dma-buf.c: dma_buf_dynamic_attach, dma_buf_move_notify; kernel-facts J.1
    "static-and-dynamic-importers": {
        "place-after-a-static-attach": "in system memory (GTT)",
        "refcount-of-a-pinned-buffer": "1",
        "move-of-a-pinned-buffer": "it fails: EINVAL",
        "what-a-dynamic-importer-holds": "none",
        "dma-in-the-middle": "it waits",
        "both-kinds": "no",
    },
    # mm/hmm.c, mm/mmu_notifier.c; kernel-facts F.3
    "notifiers-and-hmm": {
        "refcount-of-a-mirror": "1",
        "packet-after-dontneed": "9",
        "a-guess-out-of-date": "the frame that p0 maps then",
        "device-fault-in-an-invalidation": "it waits",
        "migration-under-a-mirror": "yes",
        "whom-does-the-device-follow": "p0 buf",
        "mirror-of-a-pfn-mapping": "EFAULT",
    },
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


GRABS = {
    "fast": "gup p0 {label} as=r fast-only write by=nic",
    "slow": "gup p0 {label} as=r slow write by=nic",
    "longterm": "gup p0 {label} as=r write pin longterm by=nic",
    "/proc": "force-write p1 p0 {label} 42",
    "KVM": "follow p0 {label} as=r by=nic",
}


def test_the_table_of_mappings_and_grabs_is_what_the_model_answers() -> None:
    """The columns are of 7.3, KVM's is of 6.1."""
    lesson = find("each-mapping-each-grab")
    *_, table = [item.text for item in lesson.items if "longterm  /proc" in item.text]
    head, *rows = table.split("```")[1].strip().splitlines()
    world = lesson.worlds["eight-mappings"]
    machines = {kernel: Play(world.replace("kernel 7.3", f"kernel {kernel}")) for kernel in ("7.3", "6.1")}
    computed = {
        label: [
            "ok"
            if str(machines["6.1" if grab == "KVM" else "7.3"].try_out(GRABS[grab].format(label=label))) == "ok"
            else "-"
            for grab in head.split()
        ]
        for label in ("any", "mem", "disk", "sec", "dax", "ins", "mix", "pfn")
    }
    assert {label: cells for label, *cells in map(str.split, rows)} == computed


def corrupted(lesson: str) -> set[tuple[str, str]]:
    """What is corrupted while a lesson is played without a mistake: command and invariant."""
    player = play(find(lesson), knowing(find(lesson)))
    return {
        (played_step.command, violation.invariant)
        for place in player.places
        for played_step in place.played_steps
        for violation in played_step.fresh
        if violation.severity == "corruption"
    }


@pytest.mark.parametrize(
    "lesson",
    ["a-move-nukes-the-ptes", "fault-against-move", "static-and-dynamic-importers", "notifiers-and-hmm"],
)
def test_who_locks_and_who_is_told_corrupts_nothing(lesson: str) -> None:
    assert corrupted(lesson) == set()


def test_the_dax_mistake_ends_in_a_strangers_file_only_where_nobody_waits() -> None:
    assert {("truncate x 0", "freed-while-referenced"), ("dma r0 write 99", "foreign-dma")} == corrupted(
        "the-dax-mistake"
    )


def test_the_secret_leaks_at_the_dma_and_a_freed_page_is_no_strangers() -> None:
    foreign = {command for command, invariant in corrupted("the-secret-of-a-stranger") if invariant == "foreign-dma"}
    assert foreign == {"dma dma0 read", "dma dma0 write 99"}
    assert "reference-accounting" not in {invariant for _, invariant in corrupted("the-secret-of-a-stranger")}


def test_the_huge_page_hole_leaves_a_negative_count_and_a_foreign_write() -> None:
    assert {("put two", "underflow"), ("dma r0 write 99", "foreign-dma")} <= corrupted("the-huge-page-hole")


FAULT_AGAINST_MOVE = """\
process p0
bo b 1 in=gtt
mmap p0 buf bo:b shared rw 1
may 1 write p0 buf 7
may 1 read p0 buf
may 1 move b vram
"""
MIRROR = """\
process p0
device nic
mmap p0 buf anon private rw 1
mirror p0 buf as=m by=nic
may 2 madvise p0 buf dontneed
may 1 dma m write 9
"""


DAX = """\
set kernel 6.1
process p0
device nic
dax x 1
mmap p0 buf dax:x shared rw 1
write p0 buf 65
may 1 gup p0 buf as=r write by=nic
may 1 truncate x 0
may 1 dma r write 9
may 1 put r
"""


@pytest.mark.parametrize("script", [FAULT_AGAINST_MOVE, MIRROR, DAX])
def test_what_the_lessons_send_to_the_search_is_never_broken(script: str) -> None:
    search = explore(set_up(parse(script)))
    assert search.complete
    assert search.distance == {}


@pytest.mark.parametrize(
    ("script", "found"),
    [
        (FAULT_AGAINST_MOVE.replace("in=gtt", "in=gtt exporter=no-zap"), "foreign-access"),
        (f"set dax-break-layouts off\n{DAX}", "freed-while-referenced"),
    ],
)
def test_who_forgets_to_unmap_or_to_wait_is_found_at_once(script: str, found: str) -> None:
    search = explore(set_up(parse(script)), stop=lambda kind: kind[1] == "corruption")
    assert (found, "corruption") in search.distance
