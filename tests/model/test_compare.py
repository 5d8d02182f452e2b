"""Cells of the comparison: what the search finds in them, and that the uses of today are described rightly."""

from functools import cache

import pytest

from model.compare.cells import Cell, Judge, judge, try_use
from model.compare.owner_acts import OwnerAct, scene
from model.compare.scenes import DEFENCES, DRM_FILE, GRABBERS, NOBODY, DriverRow, defence_name, rows
from model.compare.table import questions
from model.compare.uses import Use, use_scene, uses
from model.script.parser import parse
from model.script.runner import Runner
from model.search import transition_cache

ROWS = rows("6.1")
USES = uses(ROWS, "6.1")
BY_NAME = {defence_name(defence): defence for defence in DEFENCES}


def cell(exporter: str, grabber: str, defence: str = "none", most_states: int = 300_000) -> Cell:
    row = next(row for row in ROWS if exporter in row.kinds)
    grabbing = next(known for known in GRABBERS if known.name == grabber)
    return judging(most_states).cell(scene(row, grabbing, BY_NAME[defence], "6.1"))


@cache
def judging(most_states: int) -> Judge:
    """One for all tests, which learns from one cell for the other."""
    return Judge(most_states)


def broken(trace: str) -> set[str]:
    """What the last command of a script breaks on the plain model."""
    runner = Runner()
    accounts = [runner.perform(command) for command in parse(trace)]
    return {violation.invariant for violation in accounts[-1].violations}


@pytest.mark.parametrize("grabber", ["gup-slow", "gup-fast", "pin"])
def test_special_entries_refuse_gup_in_every_schedule(grabber: str) -> None:
    found = cell("qxl", grabber)
    assert (found.outcome, found.answer, found.complete) == ("refused", "EFAULT", True)


def test_ordinary_entries_do_not_and_the_trace_replays() -> None:
    found = cell("insert-page", "gup-fast")
    assert found.outcome == "corrupts"
    assert found.invariant in broken(found.trace)


def test_the_huge_page_hole_and_what_closes_it() -> None:
    assert cell("ttm-huge", "gup-fast").outcome == "corrupts"
    assert cell("ttm-huge", "gup-fast", "pmd-special=on").answer == "EFAULT"
    assert cell("ttm-huge", "gup-fast", "ttm-refcount=zero").answer == "EFAULT"
    assert cell("ttm-huge", "gup-fast", "dma-buf-check=refuse").outcome == "corrupts"


def test_kvm_of_6_1_passes_by_the_special_bit_but_not_by_a_count_of_zero() -> None:
    assert cell("vgem", "follow").outcome == "corrupts"
    assert cell("vgem", "follow", "dma-buf-check=refuse").outcome == "corrupts"
    assert cell("vgem", "follow", "ttm-refcount=zero").outcome == "refused"


def test_the_check_refuses_the_mapping_but_not_that_of_the_drm_file() -> None:
    check = "dma-buf-check=refuse"
    assert cell("insert-page", "gup-fast", check).answer == "EINVAL at mmap"
    by_file = judge(scene(DriverRow(("insert-page",), DRM_FILE), GRABBERS[2], BY_NAME[check], "6.1"))
    assert by_file.outcome == "corrupts"


def test_a_blind_grab_is_noticed_only_by_debugging() -> None:
    assert cell("qxl", "grab", "gfp-refcount=zero").outcome == "corrupts"
    assert cell("qxl", "grab", "gfp-refcount=zero debug-vm=on").outcome == "splat"


@pytest.mark.parametrize("exporter", ["qxl", "insert-page", "mixed"])
def test_the_right_way_is_safe(exporter: str) -> None:
    assert cell(exporter, "import").outcome == "safe"


def test_a_mirror_is_safe_where_it_gets_anything() -> None:
    """mm/hmm.c: hmm_vma_walk_test() refuses VM_PFNMAP and VM_IO, hmm_vma_handle_pte() a special entry."""
    assert cell("insert-page", "mirror").outcome == "safe"
    for exporter in ("qxl", "vgem", "system-heap", "mixed"):
        assert (cell(exporter, "mirror").outcome, cell(exporter, "mirror").answer) == ("refused", "EFAULT")


def test_a_mirror_is_judged_alike_where_references_are_too_many_to_be_kept_field_by_field(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(transition_cache, "MOST_SPLIT", -1)
    row = next(row for row in ROWS if "insert-page" in row.kinds)
    mirror = next(known for known in GRABBERS if known.name == "mirror")
    assert Judge(300_000).cell(scene(row, mirror, BY_NAME["none"], "6.1")).outcome == "safe"


def test_the_walk_of_kvm_in_6_1_ends_at_a_huge_entry() -> None:
    """mm/memory.c: follow_pte() answers -EINVAL; without a special bit GUP-fast comes first."""
    assert cell("ttm-huge", "follow").outcome == "corrupts"
    assert (cell("ttm-huge", "follow", "pmd-special=on").outcome) == "refused"


@pytest.mark.parametrize("exporter", ["no-zap", "no-flush"])
def test_a_driver_that_forgets_corrupts_without_any_grab(exporter: str) -> None:
    assert cell(exporter, "cpu").outcome == "corrupts"


def test_the_bound_is_told() -> None:
    found = cell("insert-page", "mirror", most_states=100)
    assert (found.outcome, found.complete) == ("open", False)
    assert str(found).endswith("bound hit")


def test_a_warning_while_the_scene_is_set_up_is_told() -> None:
    assert not cell("insert-page", "pin").splats
    assert cell("insert-page", "pin", "dma-buf-check=warn").splats


@pytest.mark.parametrize("use", USES, ids=lambda use: use.name)
def test_a_use_works_on_the_kernel_as_it_is(use: Use) -> None:
    trial = try_use(use_scene(use, (), "6.1"))
    assert trial.works, trial.found


def test_what_a_defence_breaks_is_told() -> None:
    use = next(use for use in USES if use.name == "KVM on a TTM buffer")
    trial = try_use(use_scene(use, BY_NAME["ttm-refcount=zero"], "6.1"))
    assert trial.found == "follow p0 buf as=k by=dev: expected ok; found error EFAULT"


def test_a_complaint_breaks_a_use() -> None:
    use = next(use for use in USES if use.name == "mapping: udmabuf")
    assert not try_use(use_scene(use, BY_NAME["dma-buf-check=warn"], "6.1")).works


@pytest.mark.parametrize("kernel", ["6.1", "6.12", "6.18", "7.3"])
def test_every_scene_is_a_script(kernel: str) -> None:
    asked = questions(kernel)
    assert len({(question.row, question.column, question.defence) for question in asked}) == len(asked)
    settings, scenes = set(), set()  # a scene is the same text under each defence, but for its `set` lines
    for question in asked:
        lines = question.text.splitlines()
        settings.add("\n".join(line for line in lines if line.startswith("set ")))
        scenes.add("\n".join(line for line in lines if not line.startswith("set ")))
    assert len(settings) >= len(DEFENCES)
    for text in settings | scenes:
        parse(text)


def test_the_named_ones_alone() -> None:
    asked = questions("6.1", ["cirrus"], ["pin"], ["none", "page-noref=on"])
    assert [(question.row, question.defence) for question in asked] == [
        ("vgem, virtio-gpu, cirrus", "none"),
        ("vgem, virtio-gpu, cirrus", "page-noref=on"),
    ]


def test_a_device_that_mirrors_follows_swap_too() -> None:
    assert cell("i915-shmem", "mirror").outcome == "safe"


@pytest.mark.parametrize("grabber", ["gup-slow", "gup-fast", "pin"])
def test_gup_on_a_shmem_buffer_is_in_order(grabber: str) -> None:
    """Its pages are ordinary ones of a file: a reference keeps them from being swapped out."""
    assert cell("i915-shmem", grabber).outcome == "safe"


def test_a_cell_does_not_tell_what_happens_without_the_grabber() -> None:
    """A hole in the memfd under a udmabuf of 6.1 makes the kernel complain, whoever holds the page besides."""
    row = next(row for row in ROWS if "udmabuf" in row.kinds)
    alone = judge(scene(row, NOBODY, (), "6.1"))
    assert (alone.outcome, alone.invariant) == ("splat", "splat")
    assert "begin punch" in alone.trace
    for grabber in ("cpu", "gup-slow", "import"):
        assert cell("udmabuf", grabber).outcome == "safe"
    # A driver that leaves its entries behind breaks a rule by itself, and GUP gets nothing of it.
    assert cell("no-zap", "gup-fast") == Cell("refused", "EFAULT", states=cell("no-zap", "gup-fast").states)


def test_what_somebody_does_is_his_though_the_same_happens_without_him() -> None:
    """The process writes to a page that is gone with a grab and without one; so does the device that grabbed it."""
    row = next(row for row in ROWS if "no-zap" in row.kinds)
    writes = OwnerAct("", ("move b vram", "move b gtt", "write p0 buf+0 67"), ("move b vram",))
    grab = next(grabber for grabber in GRABBERS if grabber.name == "raw")
    alone, grabbed = judge(scene(row, NOBODY, (), "6.1", writes)), judge(scene(row, grab, (), "6.1", writes))
    assert (alone.outcome, grabbed.outcome) == ("corrupts", "corrupts")
    assert alone.invariant == "lost-store"
    assert "finish dma" in grabbed.trace
    known = {kind for kind, _ in judging(300_000).problem(scene(row, grab, (), "6.1", writes)).whose.anyhow}  # type: ignore[union-attr]
    assert alone.invariant in known
    # Two writes of the process: the one counts as that of the grabber `cpu`, though the other breaks the same rules.
    own = judging(300_000).cell(scene(row, GRABBERS[0], (), "6.1", writes))
    assert (own.outcome, own.invariant in known) == ("corrupts", True)


def test_what_a_search_never_reads_is_not_searched_again_and_what_it_reads_is() -> None:
    """For each driver and grabber, the cells that one judge finds are those that each scene's own search finds."""
    shared = 0
    for row in (row for row in rows("6.18") if not {"i915-shmem", "insert-page"}.isdisjoint(row.kinds)):
        for grabber in (known for known in GRABBERS if known.name in {"mirror", "import"}):
            together = Judge(200)
            scenes = [scene(row, grabber, defence, "6.18") for defence in DEFENCES[:6]]
            assert [together.cell(text) for text in scenes] == [judge(text, 200) for text in scenes]
            shared += len(scenes) - sum(one.scene.whose is not None for one in together.searched)
            assert together.searched
    assert shared > 0


def test_a_defence_that_matters_is_searched_on_its_own() -> None:
    row = next(row for row in rows("6.1") if "qxl" in row.kinds)
    grabber = next(grabber for grabber in GRABBERS if grabber.name == "grab")
    together = Judge(5000)
    cells = {defence_name(defence): together.cell(scene(row, grabber, defence, "6.1")) for defence in DEFENCES}
    assert len({(cell.outcome, cell.invariant) for cell in cells.values()}) > 1
