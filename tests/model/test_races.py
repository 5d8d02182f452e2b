"""Races, played in both orders with begin, step and finish: who wins, what is left behind, what nobody notices."""

from typing import Final

import pytest

from model.invariants.checker import Checker
from model.memory.events import Splat
from model.memory.records import Frame, Pte
from model.script.parser import parse
from model.search.bfs import explore
from model.search.problem import set_up
from tests.model.machine import interleavings
from tests.model.play import Play


class Race(Play):
    """A machine on which commands are run line by line, and tasks are moved on to a named micro-step."""

    def __init__(self, text: str, kernel: str = "6.1") -> None:
        super().__init__(f"set kernel {kernel}\nset vram 1024\ndevice dev\nprocess p0 cpu=0\nprocess p1 cpu=1", text)

    def next_step(self, task: str) -> str:
        """`procedure.step` that a task is about to do."""
        top = self.state.tasks[task].stack[-1]
        return f"{top.function}.{top.next_name}"  # type: ignore[attr-defined]

    def step_to(self, task: str, step: str) -> None:
        """Run a task until it is about to do the named micro-step."""
        while self.next_step(task) != step:
            assert not self.do(f"step {task}").startswith("blocked"), self.next_step(task)

    def entry(self, process: str = "p0", label: str = "m", page: int = 0) -> Pte | None:
        return self.state.ptes.get((process, self.state.labels[process, label].start + page))

    def pfn(self, process: str = "p0", label: str = "m") -> int:
        entry = self.entry(process, label)
        assert entry is not None
        return entry.pfn

    def splats(self) -> list[str]:
        return [event.title for account in self.accounts for event in account.events if isinstance(event, Splat)]


READ: Final = "gup_fast.try_grab_folio_fast"
"""GUP-fast has read the entry and is about to take the reference."""
TAKEN: Final = "gup_fast.recheck_pte"
"""It has the reference and is about to read the entry again."""
ANON: Final = "mmap p0 m anon private rw 1\nwrite p0 m 1"
COUNTED: Final = "bo b 1 in=gtt exporter=insert-page\nmmap p0 m bo:b shared rw 1\nwrite p0 m 65"
SPECIAL: Final = "bo b 1 in=gtt\nmmap p0 m bo:b shared rw 1\nwrite p0 m 65"
HUGE: Final = "bo b 512 in=gtt exporter=ttm-huge\nmmap p0 m bo:b shared rw 512 at=512\nwrite p0 m 65"


# -- GUP-fast against an unmap of ordinary memory ----------------------------------------------


def test_gup_fast_sees_that_the_entry_has_gone() -> None:
    race = Race(ANON)
    page = race.pfn()
    race.do("begin G gup p0 m as=r write by=dev fast-only\nbegin U cpu=1 madvise p0 m dontneed")
    race.step_to("G", READ)
    # The unmap clears the entry, but its flush needs an answer from the CPU on which GUP has interrupts off.
    assert "to take the IPI: G runs there with interrupts off" in race.do("finish U")
    assert race.entry() is None
    race.do("step G")
    assert race.frame(page).refcount == 2
    assert race.do("finish G") == "error EFAULT"
    assert race.do("finish U") == "ok"
    assert race.frame(page).kind == "free"
    assert race.broken() == set()


def test_gup_fast_first_and_the_page_outlives_its_mapping() -> None:
    race = Race(ANON)
    page = race.pfn()
    race.do("begin G gup p0 m as=r write by=dev\nbegin U cpu=1 madvise p0 m dontneed\nfinish G\nfinish U")
    assert race.entry() is None
    assert race.frame(page).refcount == 1
    assert race.broken() == {"stale-reference"}


# -- GUP-fast against a move -------------------------------------------------------------------


def test_a_special_entry_is_left_alone_however_the_move_runs() -> None:
    for order in (["finish G", "finish M"], ["finish M", "finish G"]):
        race = Race(f"{SPECIAL}\nbegin G gup p0 m as=r write by=dev\nbegin M cpu=1 move b vram")
        answers = [race.do(line) for line in order]
        assert sorted(answers) == ["error EFAULT", "ok"]
        assert race.do("read p0 m") == "ok 65"
        assert race.broken() == set()


def test_a_counted_entry_of_a_buffer_that_moves() -> None:
    """GUP-fast does everything right and loses: the owner of the page never looks at the count."""
    race = Race(f"{COUNTED}\nbegin G gup p0 m as=r write by=dev\nbegin M cpu=1 move b vram")
    old = race.pfn()
    assert race.do("finish G") == "ok"
    assert race.frame(old).refcount == 3
    assert race.do("finish M") == "ok"
    race.do("bo secret 1 exporter=insert-page\nmmap p1 s bo:secret shared rw 1\nwrite p1 s 83")
    assert race.pfn("p1", "s") == old
    assert race.do("dma r read") == "ok 83"
    assert "foreign-dma" in race.broken()
    assert race.splats() == []


def test_the_slow_path_of_gup_fast_ends_behind_the_move() -> None:
    race = Race(f"{COUNTED}\nbegin G gup p0 m as=r write by=dev\nbegin M cpu=1 move b vram")
    race.step_to("G", TAKEN)
    assert "to take the IPI" in race.do("finish M")
    assert race.do("finish G") == "blocked on page table lock of p0, held by M"
    assert race.do("finish M") == "ok"
    assert race.do("finish G") == "error EFAULT"  # there is no struct page behind video memory to be inserted
    assert race.broken() == set()


def test_the_move_first_and_gup_fast_notices() -> None:
    race = Race(COUNTED)
    race.do("begin G gup p0 m as=r write by=dev fast-only\nbegin M cpu=1 move b vram")
    race.step_to("G", READ)
    assert "to take the IPI" in race.do("finish M")
    assert race.do("finish G") == "error EFAULT"
    assert race.do("finish M") == "ok"
    assert race.broken() == set()
    assert race.do("read p0 m") == "signal SIGBUS"  # there is no struct page behind video memory to be inserted


def test_without_a_flush_the_move_waits_for_nobody() -> None:
    """The page has gone to another buffer before GUP-fast takes its reference - and gives it back."""
    race = Race("bo b 1 in=gtt exporter=no-flush\nmmap p0 m bo:b shared rw 1\nwrite p0 m 65\nread p0 m")
    old = race.pfn()
    assert race.do("begin M cpu=1 move b vram\nfinish M") == "ok"
    assert race.entry() is None
    race.do("bo c 1\nmmap p1 s bo:c shared rw 1\nwrite p1 s 83")
    assert race.pfn("p1", "s") == old
    assert race.do("read p0 m") == "ok 83"  # through the TLB
    assert race.broken() >= {"stale-tlb", "foreign-access"}


@pytest.mark.parametrize(("kernel", "grabbed"), [("6.1", True), ("6.12", False)])
def test_a_huge_entry_and_a_move(kernel: str, grabbed: bool) -> None:
    race = Race(HUGE, kernel)
    first = race.state.buffers["b"].frames[0]
    race.do("begin G gup p0 m+0 as=r write by=dev\nbegin M cpu=1 move b vram")
    if not grabbed:
        assert race.do("finish G") == "error EFAULT"
        assert race.do("finish M") == "ok"
        assert race.broken() == set()
        return
    race.step_to("G", "gup_fast.recheck_pmd")
    assert race.frame(first).refcount == 2
    # The move clears the PMD and waits for the flush; GUP-fast sees the change and gives the reference back.
    assert "to take the IPI" in race.do("finish M")
    assert race.do("finish G") == "error EFAULT"
    assert race.frame(first).refcount == 1
    # A reference taken a moment earlier is kept, and points at recycled memory.
    late = Race(f"{HUGE}\nbegin G gup p0 m+0 as=r write by=dev\nbegin M cpu=1 move b vram\nfinish G\nfinish M", kernel)
    assert late.state.references["r"].frames == (first,)
    assert late.frame(first).mapping == "ttm_pool"
    assert late.broken() == {"unguarded-reference", "stale-reference"}


# -- a fault against a move --------------------------------------------------------------------


def test_a_fault_waits_without_mmap_lock_until_the_move_is_over() -> None:
    race = Race(f"{SPECIAL}\nbegin M cpu=1 move b vram\nbegin F read p0 m")
    old = race.pfn()
    race.step_to("M", "ttm_bo_move.copy")
    assert race.do("finish F").startswith("blocked on dma_resv of b")
    assert ("mmap_lock", "p0") not in race.state.locks
    race.do("finish M")
    assert race.do("finish F") == "ok 65"
    assert race.pfn() != old
    assert race.broken() == set()


def test_the_fault_first_and_the_move_waits_for_it() -> None:
    race = Race(f"{SPECIAL}\ninvalidate b\nbegin F read p0 m\nbegin M cpu=1 move b vram")
    race.step_to("F", "ttm_bo_vm_fault.insert_entries")
    assert race.do("finish M").startswith("blocked on dma_resv of b")
    assert race.do("finish F") == "ok 65"
    assert race.do("finish M") == "ok"
    assert race.entry() is None
    assert race.do("read p0 m") == "ok 65"
    assert race.broken() == set()


@pytest.mark.parametrize("touched", [True, False])
def test_no_order_of_a_move_and_a_write_loses_the_byte(touched: bool) -> None:
    """As recorded: a thread that writes and reads back through dozens of moves loses nothing."""
    start = SPECIAL if touched else f"{SPECIAL}\ninvalidate b"
    race = Race(f"{start}\nbegin W write p0 m 66\nbegin M cpu=1 move b vram")
    ends = 0
    for state, results in interleavings(race.state, ["W", "M"]):
        assert results["M"].ok
        assert results["W"].ok
        (frame,) = state.buffers["b"].frames
        assert state.content[frame] == 66
        assert Checker.full(state).violations == ()
        ends += 1
    assert ends


def test_with_a_driver_that_does_not_unmap_some_orders_lose_it() -> None:
    text = SPECIAL.replace("in=gtt", "in=gtt exporter=no-zap")
    race = Race(f"{text}\nbegin W write p0 m 66\nbegin M cpu=1 move b vram")
    seen = {state.content[state.buffers["b"].frames[0]] for state, _ in interleavings(race.state, ["W", "M"])}
    assert seen == {65, 66}


# -- KVM's two looks against an invalidation ---------------------------------------------------


def test_kvm_misses_an_invalidation_between_the_fixup_and_the_second_look() -> None:
    race = Race(f"{SPECIAL}\ninvalidate b\nbegin K follow p0 m as=k by=dev\nbegin I cpu=1 invalidate b")
    race.step_to("K", "hva_to_pfn.after_fault")
    assert race.entry() is not None
    race.do("finish I")
    assert race.entry() is None
    assert race.do("finish K") == "error EFAULT"  # it looks only twice, and cannot loop
    assert race.broken() == set()


def test_kvm_has_the_page_before_the_entry_can_go() -> None:
    """6.1 hva_to_pfn_remapped(): kvm_try_get_pfn() comes before pte_unmap_unlock(). No order gives it a stranger's."""
    race = Race(f"{SPECIAL}\nbegin K follow p0 m as=k by=dev\nbegin M cpu=1 move b vram")
    old = race.pfn()
    for state, results in interleavings(race.state, ["K", "M"]):
        if results["K"].ok and "k" in state.references:
            (frame,) = state.references["k"].frames
            assert frame != old or state.frames[old].refcount == 2


def test_a_page_that_kvm_holds_is_its_buffers_no_more_after_a_move() -> None:
    race = Race(f"{SPECIAL}\nfollow p0 m as=k by=dev")
    old = race.pfn()
    race.do("move b vram\ndma k write 99")
    assert race.state.references["k"].frames == (old,)
    assert race.do("read p0 m") == "ok 65"
    assert race.broken() >= {"stale-reference", "unguarded-reference", "lost-write"}
    assert race.splats() == []


def test_kvm_of_today_sees_the_sequence_move_and_starts_again() -> None:
    race = Race(f"{SPECIAL}\nbegin K follow p0 m as=k by=dev\nbegin M cpu=1 move b vram", "7.3")
    old = race.pfn()
    race.step_to("K", "kvm_tdp_mmu_page_fault.is_page_fault_stale")
    race.do("finish M")
    assert race.do("finish K") == "ok"
    (now,) = race.state.references["k"].frames
    assert now != old
    assert now == race.pfn()
    race.do("dma k write 99")
    assert race.do("read p0 m") == "ok 99"
    assert race.broken() == set()


# -- hmm_range_fault ---------------------------------------------------------------------------


def test_hmm_range_fault_retries_when_an_invalidation_has_run() -> None:
    race = Race(f"{ANON}\nbegin H mirror p0 m as=h by=dev\nbegin U cpu=1 madvise p0 m dontneed")
    race.step_to("H", "mirror_range.mmap_read_unlock")
    race.do("step H")
    race.do("finish U")
    assert race.next_step("H") == "mirror_range.mmu_interval_read_retry"
    race.do("step H")
    assert race.next_step("H") == "mirror_range.mmu_interval_read_begin"
    assert race.do("finish H") == "ok"
    assert race.state.references["h"].frames == (race.pfn(),)
    assert race.do("dma h read") == "ok 0"
    assert race.broken() == set()


@pytest.mark.parametrize(("text", "grab"), [(ANON, "mirror p0 m"), (SPECIAL, "follow p0 m")])
def test_an_invalidation_elsewhere_in_the_address_space_is_none_of_its_business(text: str, grab: str) -> None:
    """mm/mmu_notifier.c: mmu_interval_read_retry() compares the subscription's own sequence."""
    race = Race(f"mmap p0 other anon private rw 1\nwrite p0 other 1\n{text}\nbegin H {grab} as=h by=dev", "7.3")
    race.do("step H 3\nmadvise p0 other dontneed\nbegin U cpu=1 madvise p0 other dontneed")
    race.step_to("U", "zap_page_range_single.zap_pte_range")
    assert race.do("finish H") == "ok"
    assert not [
        note for note in race.accounts[-1].steps if note.step in {"mmu_interval_read_begin", "mmu_invalidate_seq"}
    ]


def test_a_driver_that_faults_for_its_device_keeps_the_address_space() -> None:
    """mmget_not_zero(): exit_mmap() comes with the last user of the mm."""
    race = Race(f"{ANON}\nmirror p0 m as=h by=dev\nmadvise p0 m dontneed\nbegin D dma h write 9\nstep D 2")
    assert race.do("exit p0").startswith("blocked on D to leave p0")
    assert race.do("finish D") == "ok"
    assert race.do("exit p0") == "ok"
    assert race.do("dma h write 9") == "error EFAULT"


def test_hmm_range_fault_waits_while_an_invalidation_runs() -> None:
    race = Race(
        f"{ANON}\nmirror p0 m as=first by=dev\nbegin U cpu=1 madvise p0 m dontneed\nbegin H mirror p0 m as=h by=dev"
    )
    race.step_to("U", "zap_page_range_single.zap_pte_range")
    assert race.do("finish H") == "blocked on the invalidation of p0 to end"
    race.do("finish U")
    assert race.do("finish H") == "ok"
    assert race.broken() == set()


def test_hmm_range_fault_reads_the_entry_without_the_page_table_lock() -> None:
    """mm/hmm.c: hmm_vma_walk_pmd() calls pte_offset_map() alone; the sequence tells that a copy was being mapped."""
    race = Race(f"{ANON}\nfork p0 p2\nbegin H mirror p0 m as=h by=dev\nbegin W cpu=1 write p0 m 2")
    race.step_to("H", "hmm_range_fault.hmm_vma_handle_pte")
    race.step_to("W", "wp_page_copy.set_pte")
    assert race.entry() is None
    assert any(kind == "ptl" for kind, _ in race.state.locks)
    race.do("step H")
    assert race.next_step("H").startswith("handle_mm_fault.")
    race.do("finish W")
    assert race.do("finish H") == "ok"
    assert race.state.references["h"].frames == (race.pfn(),)
    assert race.broken() == set()


def test_the_other_order_empties_the_mirror_before_the_entries_change() -> None:
    race = Race(f"{ANON}\nmirror p0 m as=h by=dev\nbegin U cpu=1 madvise p0 m dontneed")
    race.step_to("U", "zap_page_range_single.zap_pte_range")
    assert race.state.references["h"].frames == (-1,)
    assert race.entry() is not None
    race.do("finish U\ndma h write 9")
    assert race.do("read p0 m") == "ok 9"
    assert race.broken() == set()


# -- page tables that are taken out ------------------------------------------------------------


def test_truncation_passes_a_table_that_dontneed_has_just_taken_out() -> None:
    """mm/memory.c since 6.14: zap_pte_range() clears the PMD before tlb_flush_rmaps(); zap_pmd_range() passes it."""
    for kernel, splats in (("6.12", 0), ("6.18", 1)):
        race = Race("memfd f 512\nmmap p0 m memfd:f shared rw 512 at=512\nwrite p0 m 65", kernel)
        race.do("begin D madvise p0 m dontneed\nbegin T cpu=1 truncate f 0")
        race.step_to("D", "flush_tlb_range.flush_local")
        race.do("finish T")
        assert [splat.startswith("BUG: Bad page cache") for splat in race.splats()] == [True] * splats


# -- fork against a pin ------------------------------------------------------------------------


def test_fork_wins_over_a_pin_that_began_before_it() -> None:
    race = Race(f"{ANON}\nbegin G cpu=1 gup p0 m as=r pin write by=dev fast-only\nbegin F fork p0 c")
    page = race.pfn()
    race.step_to("G", TAKEN)
    race.step_to("F", "kernel_clone.flush_tlb_mm")
    race.do("step G")
    assert race.do("finish G") == "error EFAULT"  # write_protect_seq has moved
    assert race.do("finish F") == "ok"
    assert race.frame(page).pins == 0
    assert race.broken() == set()


def test_a_pin_while_fork_write_protects_leaves_it_to_the_slow_path() -> None:
    race = Race(f"{ANON}\nbegin F fork p0 c\nbegin G cpu=1 gup p0 m as=r pin write by=dev")
    while race.state.processes["p0"].write_protect_seq % 2 == 0:
        race.do("step F")
    assert race.do("finish G").startswith("blocked on mmap_lock of p0")
    assert race.do("finish F") == "ok"
    assert race.do("finish G") == "ok"
    assert race.state.references["r"].frames == (race.pfn(),)
    assert race.pfn() != race.pfn("c")
    assert race.broken() == set()


def test_the_pin_first_and_fork_copies_the_page_for_the_child() -> None:
    race = Race(f"{ANON}\nbegin G cpu=1 gup p0 m as=r pin write by=dev\nbegin F fork p0 c\nfinish G")
    page = race.pfn()
    assert race.do("finish F") == "ok"
    assert race.pfn() == page
    assert race.pfn("c") != page
    race.do("dma r write 7")
    assert race.do("read p0 m") == "ok 7"
    assert race.broken() == set()


# -- put against free --------------------------------------------------------------------------


def test_try_get_on_a_frame_that_was_freed_and_given_to_somebody_else() -> None:
    """The transient reference on an innocent page is legal: the second look finds out, and it is given back."""
    race = Race(f"{ANON}\nbegin G cpu=1 gup p0 m as=r by=dev fast-only")
    page = race.pfn()
    race.do("mmap p1 s anon private rw 2\nwrite p1 s+1 1")
    race.step_to("G", READ)
    race.do("begin U madvise p0 m dontneed")
    assert "to take the IPI" in race.do("finish U")
    race.do("step G")
    assert race.frame(page).refcount == 2
    assert race.do("finish G") == "error EFAULT"
    assert race.do("finish U") == "ok"
    assert race.frame(page).kind == "free"
    race.do("write p1 s 83")
    assert race.pfn("p1", "s") == page
    assert race.frame(page).refcount == 1
    assert race.broken() == set()


def test_grab_does_not_look_a_second_time() -> None:
    """pfn_to_page() and get_page() on a frame that has meanwhile gone to somebody else."""
    race = Race(f"{ANON}\nmmap p1 s anon private rw 2\nwrite p1 s+1 1\nbegin D cpu=1 grab p0 m as=g by=dev")
    page = race.pfn()
    race.step_to("D", "grab_pages.get_page")
    race.do("madvise p0 m dontneed\nwrite p1 s 83")
    assert race.pfn("p1", "s") == page
    assert race.do("finish D") == "ok"
    assert race.frame(page).refcount == 2
    race.do("dma g write 99")
    assert race.do("read p1 s") == "ok 99"
    assert race.broken() >= {"stale-reference", "foreign-dma"}


def test_put_and_free_in_both_orders() -> None:
    for order, hazard in ((["finish P", "finish U"], set()), (["finish U", "finish P"], {"stale-reference"})):
        race = Race(f"{ANON}\ngup p0 m as=r pin by=dev\nbegin P cpu=1 put r\nbegin U munmap p0 m")
        page = race.pfn()
        assert [race.do(line) for line in order] == ["ok", "ok"]
        assert race.frame(page) == Frame()
        assert race.broken() == hazard


def test_invalidations_without_end_are_searched_to_the_end() -> None:
    """The sequence does not grow for ever: whom an invalidation has met is what counts."""
    text = (
        "device nic\nprocess p0\nmmap p0 a anon private rw 1\nwrite p0 a 1\nmirror p0 a as=m by=nic\n"
        "may * madvise p0 a dontneed\nmay 1 dma m write 5"
    )
    search = explore(set_up(parse(text)), 100_000)
    assert search.complete
    assert not search.found


def test_a_process_cannot_have_the_name_of_one_whose_pages_somebody_still_holds() -> None:
    race = Play(
        "set cpus 2", "device nic\nprocess p0\nmmap p0 a anon private rw 1\ngup p0 a as=r write by=nic\nexit p0"
    )
    assert str(race.try_out("process p0")) == "error EEXIST"
    assert race.do("dma r write 5") == "ok"
    assert race.do("put r\nprocess p0") == "ok"


def test_a_page_that_comes_back_for_a_child_is_found_at_its_parents_too() -> None:
    """It is not the child's alone, so it belongs to the root of their anon_vmas, from which both entries are found."""
    race = Race("mmap p0 m anon private rw 1\nwrite p0 m 65\nmadvise p0 m pageout\nfork p0 c\nread c m\nread p0 m")
    old = race.pfn()
    assert race.pfn("c") == old
    assert race.do("migrate c m") == "ok"
    assert race.pfn() == race.pfn("c") != old


def test_the_huge_zero_page_stays_where_it_is_and_nobody_complains() -> None:
    play = Play("set kernel 6.12\nset thp always\nprocess p0", "mmap p0 m anon private rw 512 at=512\nread p0 m")
    assert play.do("migrate p0 m") == "error EFAULT"
    assert not play.broken()


def test_fork_looks_again_whether_a_huge_entry_is_still_there_to_be_copied() -> None:
    play = Play("set kernel 7.3\nset thp always\nprocess p0", "mmap p0 m anon private rw 512 at=512\nwrite p0 m 65")
    play.do("begin one fork p0 c")
    while play.state.tasks["one"].stack[-1].next_name != "copy_huge_pmd":  # type: ignore[attr-defined]
        play.do("step one")
    play.do("reclaim p0 m")
    assert play.do("finish one") == "ok"
    assert play.do("read c m") == "ok 65"
    assert not play.broken()
