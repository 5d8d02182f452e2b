"""What the panes of the machine say about a state: rows as text, and what each piece of text stands for."""

import pytest
from msgspec.structs import replace

from model.kernel.arch.access import cpu_load
from model.memory.flags import PAGE_PROTNONE, PAGE_PSE, PAGE_SPECIAL, PAGE_SWP_EXCLUSIVE
from model.memory.records import File, Frame, Process, Pte, Vma
from model.memory.state import State, Transaction
from model.memory.tasks import Task
from model.script.drive import differing
from model.script.parser import parse
from model.script.runner import Runner
from tests.model.play import Play
from tests.tui.machines import PRIVATE, READ_ONLY, TABLE, WRITABLE, machine, unmapped
from tui.views.glyphs import ASCII
from tui.views.holders import holders
from tui.views.physical import MOST_FRAMES, physical
from tui.views.row import Row, stops
from tui.views.shown_state import ShownState, follow, marks, net, page_of, place
from tui.views.spaces import MOST_PAGES, spaces
from tui.views.walk import walk

WIDTH = 75


@pytest.fixture(scope="module")
def state() -> State:
    return machine()


def text(rows: list[Row]) -> str:
    return "\n".join(line.text.rstrip() for line in rows)


def after(state: State, tx: Transaction) -> ShownState:
    """The scene that a transaction leads to."""
    later, changes = tx.commit()
    del state
    return ShownState(later, changes, marks(changes))


def test_lanes_show_vmas_with_rights_backing_labels_flags_and_pages(state: State) -> None:
    assert text(spaces(ShownState(state), WIDTH)).splitlines() == [
        "  p0  cpu0 · pgd f1",
        '   16..19 rw-p anon "buf" mr mw ac',
        "     16→f20 w =65      17→f21 w =66      18 ·              19 ·",
        '   32..33 rw-s f "shm" mr mw ms ac',
        "     32→f30 w =97      33→f31 r =98",
        "  p1  cpu1 · pgd f5 · child of p0",
        '   32..33 rw-s f "shm" mr mw ms ac',
        "     32→f30 w =97      33→f31 r =98",
    ]


def test_of_what_has_changed_only_the_number_that_is_another_now_is_marked(state: State) -> None:
    tx = Transaction(state)
    tx.frames.update(20, refcount=1024)
    scene = after(state, tx)
    changed = [span.text for line in physical(scene, WIDTH) for span in line.spans if span.role == "changed"]
    assert changed == ["~ ", "1024"]
    assert not [
        span for line in spaces(scene, WIDTH) for span in line.spans if span.role == "changed" and "=" in span.text
    ]


def changed_texts(rows: list[Row]) -> list[str]:
    """What is marked as changed, without the signs that say so."""
    return [
        span.text.strip() for line in rows for span in line.spans if span.role == "changed" and span.text.strip("~ ")
    ]


def test_of_a_mapping_an_entry_and_a_file_only_the_part_that_changed_is_marked(state: State) -> None:
    tx = Transaction(state)
    vma = tx.vmas["p0", 16]
    tx.vmas["p0", 16] = replace(vma, end=18)
    tx.ptes["p0", 16] = replace(tx.ptes["p0", 16], bits=TABLE)
    tx.files["f"] = replace(tx.files["f"], size=tx.files["f"].size + 1)
    scene = replace(after(state, tx), focus="pte:p0:16")
    assert changed_texts(spaces(scene, WIDTH))[0] == "16..17"
    assert changed_texts(walk(scene, WIDTH)) == ["present rw user"]
    assert changed_texts(holders(scene, WIDTH)) == [f"{tx.files['f'].size} pages"]


def test_a_cell_of_memory_takes_the_room_that_its_name_and_byte_need(state: State) -> None:
    tx = Transaction(state)
    tx.frames[20] = Frame("buffer", 1025, 1, pins=1, mapping="bo:a-rather-long-name-of-a-buffer")
    assert "a-rather-long-name-of-a-buffer[0] 1025/1/1 =65" in text(physical(after(state, tx), WIDTH))


def test_ascii_terminals_get_no_other_sign(state: State) -> None:
    scene = ShownState(state, glyphs=ASCII)
    for build in (spaces, walk, physical, holders):
        assert text(build(scene, WIDTH)).isascii()


@pytest.mark.parametrize(
    ("pte", "shown"),
    [
        (Pte(7, READ_ONLY | PAGE_SPECIAL), "18→f7 rs =0"),
        (Pte(0, READ_ONLY | PAGE_SPECIAL), "18→zero rs =0"),
        (Pte(7, PAGE_PROTNONE), "18→f7 n =0"),
        (Pte(3, PAGE_SWP_EXCLUSIVE, "swap"), "18 swap 3"),
        (Pte(7, 0, "migration"), "18 moving f7"),
        (Pte(0, 0, "marker"), "18 guard"),
        (Pte(512, WRITABLE | PAGE_PSE), "18→f512 wH =0"),
    ],
)
def test_a_cell_says_what_kind_of_entry_it_is(state: State, pte: Pte, shown: str) -> None:
    tx = Transaction(state)
    tx.ptes["p0", 18] = pte
    assert f"+ {shown}" in text(spaces(after(state, tx), WIDTH))


def test_a_million_empty_pages_are_one_cell_and_distant_ones_are_found(state: State) -> None:
    tx = Transaction(state)
    tx.vmas["p0", 4096] = Vma(4096, 1_004_096, PRIVATE)
    tx.ptes["p0", 900_000] = Pte(20, READ_ONLY)
    shown = text(spaces(after(state, tx), WIDTH))
    assert "4096..899999 none" in shown
    assert "900000→f20 r =65" in shown
    assert "900001..1004095 none" in shown


def test_of_many_mapped_pages_those_around_the_cursor_are_shown(state: State) -> None:
    tx = Transaction(state)
    tx.vmas["p0", 4096] = Vma(4096, 8192, PRIVATE)
    for vpn in range(4096, 8192):
        tx.ptes["p0", vpn] = Pte(20, READ_ONLY)
    later = tx.commit()[0]
    top = spaces(ShownState(later), WIDTH)
    assert sum("→" in stop for stop in (line.text for line in top)) < MOST_PAGES
    assert "pte:p0:4096" in {stop.subject for stop in stops(top)}
    around = {stop.subject for stop in stops(spaces(ShownState(later, focus="pte:p0:6000"), WIDTH))}
    assert {"pte:p0:5999", "pte:p0:6000", "pte:p0:6001"} <= around
    assert len(around) < 200


def test_signs_say_what_the_last_move_did_and_what_is_broken(state: State) -> None:
    later, tx = unmapped(state)
    changes = tx.commit()[1]
    scene = ShownState(later, changes, marks(changes), {"pte:p0:16": "hazard", "ref:r0": "hazard"})
    assert "~!16→f22 w =0" in text(spaces(scene, WIDTH))
    assert "+ f22" in text(physical(scene, WIDTH))
    assert "~ f20" in text(physical(scene, WIDTH))
    assert "!ref r0" in text(holders(scene, WIDTH))


def test_what_is_gone_stays_in_sight_for_one_move(state: State) -> None:
    tx = Transaction(state)
    del tx.vmas["p0", 16]
    del tx.ptes["p0", 16]
    del tx.ptes["p0", 17]
    del tx.references["r0"]
    del tx.page_cache["f", 1]
    del tx.frames[20]
    tx.tlbs[0] = ()
    scene = after(state, tx)
    assert '- 16..19 rw-p anon "buf" unmapped' in text(spaces(scene, WIDTH))
    held = text(holders(scene, WIDTH))
    assert "-ref r0 given back" in held
    assert "-1 was f31" in held
    assert "-p0:16 flushed" in held
    assert "- f20 free" in text(physical(scene, WIDTH))


def test_the_walk_goes_down_four_levels_to_the_byte(state: State) -> None:
    assert text(walk(ShownState(state, focus="pte:p0:17"), WIDTH)).splitlines() == [
        "  p0 buf+1  page 17 = 0x11000  index 0·0·0·17  VMA rw-p",
        "  PGD f1[0]   → f2    present rw user",
        "  PUD f2[0]   → f3    present rw user",
        "  PMD f3[0]   → f4    present rw user",
        "  PTE f4[17]  → f21   present rw user accessed dirty nx  anon =66",
        "  TLB cpu0 nothing  cpu1 nothing",
    ]


def test_the_walk_stops_where_an_entry_is_empty(state: State) -> None:
    below = text(walk(ShownState(state, focus="pte:p0:18"), WIDTH))
    assert "PTE f4[18]  empty: the walk ends here, the CPU faults" in below
    above = text(walk(ShownState(state, focus=f"pte:p0:{1 << 27}"), WIDTH))
    assert "PGD f1[1]   empty" in above
    assert "PUD no table" in above
    assert "no VMA covers it" in above


def test_a_huge_leaf_ends_the_walk_one_level_higher(state: State) -> None:
    tx = Transaction(state)
    tx.tables["p0", 1, 1] = Pte(512, TABLE | PAGE_PSE)
    tx.frames[512] = Frame("anon", 1, 1, order=9)
    rows = walk(ShownState(tx.commit()[0], focus="pte:p0:600"), WIDTH)
    assert "PMD f3[1]   → f512" in rows[3].text
    assert "pse" in rows[3].text
    assert "PTE no table" in rows[4].text


@pytest.fixture(scope="module")
def huge() -> State:
    """A driver's buffer of 2 MiB, mapped by one PMD entry, and a reference to its first page."""
    runner = Runner()
    for command in parse("""\
set kernel 6.1
process p0
device nic
bo b 512 in=gtt exporter=ttm-huge
mmap p0 buf bo:b shared rw 512 at=512
write p0 buf 65
gup p0 buf+0 as=r0 write by=nic
"""):
        runner.perform(command)
    return runner.context.state


def test_a_huge_mapping_is_one_block_of_its_vma(huge: State) -> None:
    shown = text(spaces(ShownState(huge), WIDTH))
    assert "512..1023→f512 huge w" in shown
    assert "512..1023 none" not in shown
    assert "table:p0:1:1" in {stop.subject for stop in stops(spaces(ShownState(huge), WIDTH))}


def test_the_block_is_found_among_more_blocks_than_tables(huge: State) -> None:
    tx = Transaction(huge)
    tx.vmas["p0", 512] = replace(huge.vmas["p0", 512], end=1 << 30)
    shown = text(spaces(ShownState(tx.commit()[0]), WIDTH))
    assert "512..1023→f512 huge w" in shown
    assert f"1024..{(1 << 30) - 1} none" in shown


def test_a_translation_and_a_reference_inside_a_huge_mapping_are_not_stale(huge: State) -> None:
    walked, held = text(walk(ShownState(huge, focus="pte:p0:512"), WIDTH)), text(holders(ShownState(huge), WIDTH))
    assert "cpu0 → f512 w" in walked
    assert "p0:512→f512 w" in held
    assert "STALE" not in walked + held
    assert "but page 512" not in held


def test_a_translation_that_outlives_its_huge_mapping_is_stale(huge: State) -> None:
    tx = Transaction(huge)
    del tx.tables["p0", 1, 1]
    later = ShownState(tx.commit()[0], focus="pte:p0:512")
    assert "cpu0 → f512 w STALE" in text(walk(later, WIDTH))
    assert "p0:512→f512 w STALE" in text(holders(later, WIDTH))
    assert "but page 512 now empty" in text(holders(later, WIDTH))


def test_a_block_of_memory_is_one_line_beside_the_pages_that_differ(huge: State) -> None:
    assert "f512-f1023 buffer b" in text(physical(ShownState(huge), WIDTH))
    assert "=65" in text(physical(ShownState(huge), WIDTH))
    tx = Transaction(huge)
    tx.content[600] = 0x63
    rows = physical(after(huge, tx), WIDTH)
    assert "~ f600 buffer bo:b" in text(rows)
    assert "f601" not in text(rows)
    created = {f"frame:{pfn}": "+" for pfn in range(512, 1024)}
    assert len(physical(ShownState(huge, marks=created), WIDTH)) < 10


def test_a_stale_translation_is_called_so(state: State) -> None:
    assert "STALE" not in text(walk(ShownState(state, focus="pte:p0:16"), WIDTH))
    later = unmapped(state)[0]
    assert "cpu0 → f20 w STALE" in text(walk(ShownState(later, focus="pte:p0:16"), WIDTH))
    assert "p0:16→f20 w STALE" in text(holders(ShownState(later), WIDTH))


def test_a_translation_that_may_write_longer_than_its_entry_is_stale(state: State) -> None:
    tx = Transaction(state)
    tx.ptes["p0", 16] = Pte(20, READ_ONLY)
    later = tx.commit()[0]
    assert "cpu0 → f20 w STALE" in text(walk(ShownState(later, focus="pte:p0:16"), WIDTH))
    assert "p0:16→f20 w STALE" in text(holders(ShownState(later), WIDTH))


def test_a_page_that_has_left_a_file_is_shown_with_that_file(state: State) -> None:
    tx = Transaction(state)
    tx.files["g"] = File("memfd", 1)
    first = tx.commit()[0]
    tx = Transaction(first)
    del tx.page_cache["f", 1]
    held = text(holders(after(first, tx), WIDTH)).splitlines()
    (of_f,), (of_g,) = ([line for line in held if f"memfd {name}" in line] for name in "fg")
    assert "-1 was f31" in of_f
    assert "was" not in of_g


def test_memory_lists_counts_tables_and_the_free_list_in_its_order(state: State) -> None:
    shown = text(physical(ShownState(state), WIDTH))
    assert "f20 anon @16  1025/1/1 =65 excl" in shown
    assert "f30 file f[0]    3/2/0 =97" in shown
    assert "page tables f1 PGD p0" in shown
    assert "f5 PGD p1" in shown
    assert "free f12  f11  then f40-f1048575, never used" in shown


def test_a_huge_memory_costs_only_what_is_shown(state: State) -> None:
    tx = Transaction(state)
    for pfn in range(1000, 1000 + 4 * MOST_FRAMES):
        tx.frames[pfn] = Frame("anon", 1, 1)
    rows = physical(ShownState(tx.commit()[0]), WIDTH)
    assert len(rows) < 50
    assert "f20 anon" in text(rows)


def test_a_reference_says_where_its_page_leads_now(state: State) -> None:
    assert "ref r0 pin write longterm of p0 buf+0 by nic f20\n" in text(holders(ShownState(state), WIDTH)) + "\n"
    later = unmapped(state)[0]
    assert "f20 but page 16 now →f22" in text(holders(ShownState(later), WIDTH))


def test_a_task_that_waits_says_what_for(state: State) -> None:
    tx = Transaction(state)
    tx.tasks["main"] = Task("p0", 0, (cpu_load(mm="p0", vpn=16),))
    running = tx.commit()[0]
    assert "▶task main on cpu0  cpu_load" in text(holders(ShownState(running), WIDTH))
    tx = Transaction(running)
    tx.tasks["main"] = replace(running.tasks["main"], blocked="mmap_lock of p0")
    assert "waits: mmap_lock of p0" in text(holders(ShownState(tx.commit()[0]), WIDTH))


def test_no_row_is_wider_than_its_pane(state: State) -> None:
    later, tx = unmapped(state)
    changes = tx.commit()[1]
    scene = ShownState(later, changes, marks(changes), {"frame:20": "corruption"})
    for width in (75, 100, 44):
        for build in (spaces, physical):
            assert max(len(line.text) for line in build(scene, width)) <= width


def test_every_subject_in_sight_can_be_walked_or_is_none(state: State) -> None:
    scene = ShownState(state)
    for build in (spaces, walk, physical, holders):
        for stop in stops(build(scene, WIDTH)):
            page = page_of(state, stop.subject)
            assert page is None or page[0] in state.processes


def test_a_frame_is_walked_from_the_first_page_that_maps_it(state: State) -> None:
    assert page_of(state, "frame:30") == ("p0", 32)
    assert page_of(state, "frame:12") is None
    assert page_of(state, "ref:r0") == ("p0", 16)
    assert page_of(state, "table:p0:1:0") == ("p0", 0)


def test_pages_are_named_as_scripts_name_them(state: State) -> None:
    assert place(state, "p0", 18) == "buf+2"
    assert place(state, "p1", 33) == "shm+1"
    assert place(state, "p1", 16) == "@16"


def test_changes_of_several_steps_become_one(state: State) -> None:
    first = Transaction(state)
    first.ptes["p0", 18] = Pte(22, WRITABLE)
    first.content[22] = 7
    middle, one = first.commit()
    second = Transaction(middle)
    del second.ptes["p0", 18]
    second.content[22] = 9
    _, two = second.commit()
    merged = net((*one, *two))
    assert [(change.table, change.key, change.old, change.new) for change in merged] == [("content", 22, None, 9)]
    assert follow(one) == "pte:p0:18"


def test_thousands_of_vmas_and_processes_cost_only_what_is_shown(state: State) -> None:
    tx = Transaction(state)
    for number in range(2000):
        tx.vmas["p0", 10_000 + 2 * number] = Vma(10_000 + 2 * number, 10_001 + 2 * number, PRIVATE)
        tx.processes[f"q{number}"] = Process(0)
    later = tx.commit()[0]
    rows = spaces(ShownState(later), WIDTH)
    assert len(rows) < 250
    assert "and more VMAs" in text(rows)
    assert "more processes" in text(rows)
    around = spaces(ShownState(later, focus="vma:p0:13000"), WIDTH)
    assert "vma:p0:13000" in {stop.subject for stop in stops(around)}


def test_a_buffer_shows_where_it_is_and_who_keeps_it_alive() -> None:
    play = Play(
        "process p0\ndevice nic\ndevice gpu",
        "bo b 3 in=gtt\nmmap p0 buf bo:b shared rw 3\nexport b as=d\nattach d nic\nattach d gpu dynamic",
    )
    first = play.state.buffers["b"].frames[0]
    held = text(holders(ShownState(play.state), WIDTH)).splitlines()
    assert held[:2] == [
        f"  buffer b qxl in gtt 3 pages f{first}-f{first + 2}  handle  dma-buf d  1 VMA  pin_count 1",
        "  dma-buf d of b gpu dynamic  nic static pin",
    ]
    play.do("munmap p0 buf\ndetach d nic\ndestroy b")
    held = text(holders(ShownState(play.state), WIDTH)).splitlines()
    assert held[:2] == [
        f"  buffer b qxl in gtt 3 pages f{first}-f{first + 2}  dma-buf d",
        "  dma-buf d of b closed gpu dynamic",
    ]
    before = play.state
    play.do("detach d gpu")
    changes = tuple(differing(before, play.state, [("buffers", "b"), ("dma_bufs", "d")]))
    gone = text(holders(ShownState(play.state, changes, marks(changes)), WIDTH))
    assert " -buffer b freed\n -dma-buf d freed" in gone


INSIDE = """
    process p0 cpu=0
    process p1 cpu=1
    device nic
    {made}
    write p0 m 65
    begin G gup p0 m+0 as=r fast-only by=nic
    step G 5
    begin C cpu=1 {gone}
    finish C
"""
SMALL = INSIDE.format(made="mmap p0 m anon private rw 512 at=512", gone="munmap p0 m")
OF_FILE = INSIDE.format(made="memfd f 512\nmmap p0 m memfd:f shared rw 512 at=512", gone="madvise p0 m collapse")
BROADCAST = "set tlb-flush broadcast"
AT_ONCE = f"{BROADCAST}\nset table-free at-once"
ELSEWHERE = "mmap p1 a anon private rw 9 at=512\nmmap p1 b anon private rw 9 at=262144\nwrite p1 a 1\nwrite p1 b 1"
DATA = "memfd d 9\n" + "\n".join(f"pwrite d {page} 7" for page in range(9))


@pytest.mark.parametrize(
    ("settings", "script", "shown"),
    [
        ("", SMALL, "f5[0]   taken out: G is still inside"),
        (BROADCAST, OF_FILE, "f5[0]   kept by RCU: G is still inside"),
        (AT_ONCE, SMALL, "f5[0]   free: G is still inside"),
        (AT_ONCE, SMALL + ELSEWHERE, "a table of p1: G is still inside"),
        (AT_ONCE, SMALL + DATA, "data now: G is still inside"),
    ],
)
def test_a_table_that_was_taken_away_is_shown_with_whoever_is_inside(settings: str, script: str, shown: str) -> None:
    play = Play(settings or "set kernel 6.18", script)
    scene = ShownState(play.state, focus="pte:p0:512")
    (line,) = (each.text for each in walk(scene, WIDTH) if "inside" in each.text)
    assert shown in line
    assert ("interrupts off by G, RCU keeps f5," in text(holders(scene, WIDTH))) == ("kept by RCU" in shown)
