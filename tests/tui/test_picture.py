"""The picture of the machine: what a reader who knows the legend can see at the decisive moments."""

import os
import re
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from model.memory.state import Transaction
from model.session.session import Session
from tests.tui.moments import MOMENTS, commands, played, seen
from tui.views.glyphs import ASCII, UNICODE
from tui.views.picture.draw import picture
from tui.views.picture.history import History
from tui.views.picture.layout import layout
from tui.views.picture.ledger import frame_in_question, ledger
from tui.views.picture.legend import LINES, legend
from tui.views.picture.picture_state import PictureState

PIECES_OF_LINES = {piece for drawn, _ in LINES.values() for piece in drawn}

FOLDER = Path(__file__).parent / "snapshots" / "pictures"
SHOWN = {"76": (76, UNICODE), "150": (150, UNICODE), "76-ascii": (76, ASCII), "150-ascii": (150, ASCII)}


@pytest.mark.parametrize("name", MOMENTS)
@pytest.mark.parametrize("shown", SHOWN)
def test_the_decisive_moments_look_as_they_should(name: str, shown: str) -> None:
    width, glyphs = SHOWN[shown]
    found: list[str] = []
    for command, drawn in played(MOMENTS[name], glyphs):
        rows = [line.text.rstrip() for line in picture(drawn, width)]
        assert all(len(line) <= width for line in rows)
        assert glyphs is UNICODE or all(line.isascii() for line in rows)
        found += [f"== {command.text}", *rows]
    text = "\n".join(found) + "\n"
    file = FOLDER / f"{name}.{shown}.txt"
    if os.environ.get("PTESCOPE_SNAPSHOTS") == "write":
        FOLDER.mkdir(exist_ok=True, parents=True)
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8"), f"{file} differs; PTESCOPE_SNAPSHOTS=write renews it"


def test_a_cursor_runs_down_the_levels_with_each_step_of_a_walk() -> None:
    session = Session()
    history = History(session.timeline)
    for command in commands("process p0\nmmap p0 buf anon private rw 2\nwrite p0 buf 7"):
        session.perform(command)
    read = session.understand("read p0 buf+1")
    assert read is not None
    session.begin_command(read)
    shown: dict[str, tuple[str, str]] = {}
    while session.running is not None:
        node = session.step_into()
        if history.last_step(node).walked is not None and node.stepped is not None:
            drawn = seen(session.timeline, history, node, node.depth - 1)
            head, wide = picture(drawn, 76)[0].text, picture(drawn, 150)[2].text
            shown.setdefault(node.stepped.step, (head[30:54].rstrip(), wide[16:48].rstrip()))
    assert shown == {
        "walk_pgd": ("▸PGD PUD PMD PTE f1[0]", "▸f1[0]   f2[0]   f3[0]   f4[17]"),
        "walk_pud": ("▸PGD▸PUD PMD PTE f2[0]", "▸f1[0]  ▸f2[0]   f3[0]   f4[17]"),
        "walk_pmd": ("▸PGD▸PUD▸PMD PTE f3[0]", "▸f1[0]  ▸f2[0]  ▸f3[0]   f4[17]"),
        "walk_pte": ("▸PGD▸PUD▸PMD▸PTE f4[17]", "▸f1[0]  ▸f2[0]  ▸f3[0]  ▸f4[17]"),
    }


def lines_of_the_ledger(name: str, step: int, pfn: int) -> list[str]:
    drawn = list(played(MOMENTS[name]))[step].drawn
    return [re.sub(r"step \d+", "step N", line.text.rstrip()) for line in ledger(drawn, pfn, 76)]


def test_the_ledger_says_who_holds_which_unit_since_when_and_what_he_believes() -> None:
    assert lines_of_the_ledger("pin-dontneed-fault", -1, 5) == [
        " f5  anon once of p0",
        " ◆  1024  pin r of nic         step N  believes p0:buf+0, which is f9 now",
        "   ─────",
        " =  1024  freed when pin r of nic lets go",
    ]
    assert lines_of_the_ledger("fork-cow-under-get", -3, 5)[1:] == [
        " ●     1  PTE p0:buf+0         step N  may only read",
        " ●     1  PTE p1:buf+0         step N  may only read",
        " ◇     1  get r of nic         step N  taken at p0:buf+0, still leads here",
        "   ─────",
        " =     3  every unit has a holder; freed when the last of 3 lets go",
    ]


@pytest.mark.parametrize("width", [66, 76])
def test_no_word_of_a_ledger_is_cut(width: int) -> None:
    for name in ("move-under-grab", "pin-dontneed-fault"):
        *_, last = played(MOMENTS[name])
        for pfn in last.drawn.state.frames:
            assert not [line.text for line in ledger(last.drawn, pfn, width) if line.text.rstrip().endswith("~")]


def test_a_unit_that_nobody_owns_is_named_in_box_and_ledger() -> None:
    drawn = list(played(MOMENTS["pin-dontneed-fault"]))[-1].drawn
    frame = drawn.state.frames[5]
    tx = Transaction(drawn.state)
    tx.frames[5] = msgspec.structs.replace(frame, refcount=frame.refcount + 1)
    leaked = tx.commit()[0]
    scene = replace(drawn.scene, state=leaked)
    wrong = PictureState(scene, drawn.index, drawn.past)
    (box,) = [line.text for line in picture(wrong, 76) if "f5 " in line.text]
    assert "◆? 1025" in box
    shown = [line.text.rstrip() for line in ledger(wrong, 5, 76)]
    assert " ?     1  nobody                        never given back" in shown
    assert shown[-1] == " =  1025  never freed: a unit that nobody owns is never given back"


PAGES = "process p0\nmmap p0 buf anon private rw 9\n" + "".join(f"write p0 buf+{page} 7\n" for page in range(5))


@pytest.mark.parametrize("call", ["madvise p0 buf dontneed", "munmap p0 buf"])
def test_pages_that_have_just_gone_fold_where_their_bytes_were_equal(call: str) -> None:
    *_, last = played(f"{PAGES}write p0 buf+5 8\n{call}")
    boxes = [row.text[30:54] for row in picture(last.drawn, 76) if "free =" in row.text]
    assert [box.split() for box in boxes] == [["▐-f5..9", "(p0)", "free", "=7▌"], ["▐-f10", "(p0)", "free", "=8▌"]]


def test_as_many_pages_that_have_just_gone_are_drawn_as_can_be_looked_at() -> None:
    bytes_apart = "".join(f"write p0 buf+{page} {page % 2}\n" for page in range(80))
    *_, last = played(f"process p0\nmmap p0 buf anon private rw 80\n{bytes_apart}munmap p0 buf")
    rows = [row.text.rstrip() for row in picture(last.drawn, 76) if row.text.startswith("-")]
    assert len(rows) == 64 + 1
    assert rows[-1] == "- 80 +64..79 ▐more  ▌"


def test_the_legend_explains_every_sign_that_is_drawn() -> None:
    told = "\n".join(line.text for line in legend(120))
    for name in MOMENTS:
        for _, drawn in played(MOMENTS[name]):
            for line in picture(drawn, 150):
                for char in line.text:
                    if not char.isascii() and char not in PIECES_OF_LINES:
                        assert char in told, char


def test_pages_unfold_where_somebody_asks_for_it() -> None:
    script = "process p0\nmmap p0 buf anon private rw 6"
    (folded,) = [len(picture(drawn, 76)) for command, drawn in played(script) if command.verb == "mmap"]
    opened = frozenset(("p0", vpn) for vpn in range(16, 22))
    (unfolded,) = [
        len(picture(drawn, 76)) for command, drawn in played(script, opened=opened) if command.verb == "mmap"
    ]
    assert (folded, unfolded) == (2, 7)


def test_a_frame_stays_on_its_row_when_the_one_above_it_is_freed() -> None:
    script = "process p0\nmmap p0 buf anon private rw 1\nwrite p0 buf 1\nfork p0 p1\nwrite p0 buf 2\nmunmap p1 buf"
    pictures = [drawn for _, drawn in played(script)]
    before, after = pictures[-2], pictures[-1]
    copy = after.state.ptes["p0", 16].pfn
    original = next(pfn for pfn in before.past.home if pfn != copy and before.past.home[pfn] == ("p0", 16))
    assert original not in after.past.home, "it is free"
    assert layout(before).at[copy] == layout(after).at[copy] == 2


def after(script: str, command: str) -> PictureState:
    """What is to be drawn after a command of a script."""
    return next(drawn for made, drawn in played(script) if made.text == command)


def boxes(name: str, command: str, frame: str) -> list[str]:
    """The rows in which a frame stands, after a command of a moment."""
    rows = [line.text.rstrip() for line in picture(after(MOMENTS[name], command), 76)]
    return [row for row in rows if re.search(rf"[▐ +~-]{frame}\b", row[30:])]


def test_a_frame_is_drawn_once_and_where_it_stood_as_long_as_it_has_just_gone() -> None:
    (moved,) = (row for row in boxes("kvm-walk", "move b vram", "f2") if "←" not in row)
    assert moved == "- 16 buf     ▐→v0   ▌┄┄┄┄╳┄┄┄┄▐~f2 pool        ■ 1 =0▌┄┄┄╳┄┄┄○~k follow"
    assert boxes("kvm-walk", "dma k write 99", "f2")[-1].strip().startswith("pool")


def test_a_reference_that_is_given_back_is_seen_once_more_on_the_frame_that_it_freed() -> None:
    script = MOMENTS["pin-dontneed-fault"].replace("dma r write 66", "put r").replace("rw 4", "rw 1")
    (row,) = (line.text for line in picture(after(script, "put r"), 76) if "f5 " in line.text)
    assert row.rstrip().endswith("free =1▌┄┄┄╳┄┄┄◆-r pin put")


def test_a_copy_says_of_what_as_long_as_that_is_what_it_was() -> None:
    assert "f11 p0 ←f5" in boxes("fork-cow-under-get", "dma r write 66", "f11")[0]
    assert "v0 b ←f3" in boxes("move-under-grab", "move b vram", "v0")[0]
    assert "←" not in boxes("move-under-grab", "bo secret 1 in=gtt", "v0")[0]  # f3 is another buffer's by then


def test_an_empty_page_says_what_the_next_access_finds_unless_a_question_is_open() -> None:
    drawn = after(MOMENTS["truncate-under-pin"], "truncate f 0")
    assert "▐SIGBUS▌" in picture(drawn, 76)[1].text
    asked = PictureState(drawn.scene, drawn.index, drawn.past, drawn.last, silent=True)
    assert "▐      ▌" in picture(asked, 76)[1].text


def test_a_task_that_waits_says_for_what_and_when_it_does_no_longer() -> None:
    *_, held, given_back, over = (
        [line.text.rstrip() for line in picture(drawn, 76)] for _, drawn in played(MOMENTS["dax-truncate"])
    )
    assert held[-1] == "‖ T waits for the last reference on page 0 of x to be put"
    assert given_back[-1] == "‖ T waits no longer: it can go on"
    assert not any("‖" in row for row in over)


FOLIO = """
process p0
device nic
mmap p0 m anon private rw 512 at=512
madvise p0 m hugepage
write p0 m+0 1
gup p0 m+3 write pin longterm as=r by=nic
"""


def drawn_after(text: str, width: int = 100) -> tuple[PictureState, list[str]]:
    """The picture after the last command, as lines."""
    *_, (_, drawn) = played(text, UNICODE)
    return drawn, [line.text.rstrip() for line in picture(drawn, width)]


def test_a_folio_is_one_box_with_one_count_and_an_entry_of_2_mib_leads_to_it_as_a_whole() -> None:
    _, rows = drawn_after(FOLIO)
    (whole,) = (row for row in rows if "2M" in row)
    assert "═▶" in whole
    assert re.search(r"f512 2M p0 +◉◆ 2▌", whole)
    (page,) = (row for row in rows if "┗f515" in row)
    assert page.rstrip().endswith("═◆+r pin")
    assert "map 1" in page


def test_entries_of_single_pages_lead_to_pages_of_the_box_and_each_is_a_unit_of_the_one_count() -> None:
    drawn, rows = drawn_after(FOLIO + "madvise p0 m[5:9] dontneed")
    (head,) = (row for row in rows if re.search(r"f512 2M", row))
    assert "508●◆ 509" in head
    pages = [row for row in rows if "┃f" in row or "┗f" in row]
    assert all("▶" in row for row in pages if "map 1" in row)
    assert sum("map 0" in row for row in pages) == 1
    told = [line.text for line in ledger(drawn, 517, 76)]
    assert "a folio of 512 pages" in told[0]
    assert told[-1].startswith(" =   509")


def test_a_folio_of_less_than_2_mib_is_a_box_of_its_pages_and_each_entry_leads_to_one() -> None:
    start = "set mthp 64kB\nprocess p0\nmmap p0 m anon private rw 16 at=16\nmadvise p0 m hugepage\nwrite p0 m 1\n"
    drawn, rows = drawn_after(start + "gup p0 m+5 as=r write pin\nmadvise p0 m[0:4] dontneed")
    (head,) = (row for row in rows if "f16 64k p0" in row)
    assert head.rstrip().endswith("12●◆ 13▌")
    pages = [row for row in rows if "┃f" in row or "┗f" in row]
    assert [("▶" in row, "map 1" in row) for row in pages] == [(False, False)] * 2 + [(True, True)] * 3
    assert "a folio of 16 pages" in ledger(drawn, 21, 76)[0].text


SHARED = """set hugetlb 4
set tlb-flush broadcast
process p0 cpu=0
process p1 cpu=1
device nic
memfd f 262144 hugetlb
mmap p0 m memfd:f shared rw 262144 at=262144 noreserve
mmap p1 m memfd:f shared rw 262144 at=262144 noreserve
write p0 m 65
read p1 m"""
INSIDE = "\nbegin G gup p0 m+0 as=r write fast-only by=nic\nstep G 5\nbegin U cpu=1 munmap p0 m\nfinish U"
COLLAPSE = """set tlb-flush broadcast
process p0 cpu=0
device nic
memfd f 512
mmap p0 m memfd:f shared rw 512 at=512
write p0 m 65
begin G cpu=0 gup p0 m+0 as=r write fast-only by=nic
step G 5
begin C cpu=1 madvise p0 m collapse
finish C"""


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        (SHARED, "PTE f4=p0"),
        (SHARED + INSIDE, "G in f4: p1"),
        ("set as-it-was unshare-sync\n" + SHARED + INSIDE, "G in f4: p1"),
        (COLLAPSE, "G in f4: RCU"),
        ("set kernel 6.1\nset as-it-was collapse-sync\n" + COLLAPSE, "G in f4: free"),
    ],
)
def test_a_shared_table_and_one_that_was_pulled_from_under_a_walk_are_named(text: str, shown: str) -> None:
    assert shown in "\n".join(drawn_after(text)[1])


HUGE_FILE = """
set hugetlb 1
process p0
memfd f 512 hugetlb
mmap p0 buf memfd:f shared rw 512 at=512
write p0 buf 5
"""


def test_the_tokens_of_a_folio_add_up_to_its_count() -> None:
    """The page cache has a reference for each page."""
    drawn = after(HUGE_FILE, "write p0 buf 5")
    (box,) = (line.text for line in picture(drawn, 120) if "2M f[0]" in line.text)
    assert box.rstrip("▌ ").endswith("◉512▪ 513")


@pytest.mark.parametrize("width", [76, 120])
def test_whole_and_partial_mappings_of_a_folio_have_lines_of_their_own_in_ascii_too(width: int) -> None:
    script = """
        process p0
        mmap p0 buf anon private rw 512 at=512
        madvise p0 buf hugepage
        write p0 buf 1
        mprotect p0 buf[0:2] rw
        madvise p0 buf+0 dontneed
    """
    kinds = [
        {piece for line in picture(drawn, width) for piece in ("%%>", "==>") if piece in line.text}
        for _, drawn in played(script, ASCII)
    ]
    assert kinds[-3:] == [{"%%>"}, {"%%>"}, {"==>"}]


TAKEN_OUT = """
process p0
mmap p0 m anon private rw 512 at=512
write p0 m+0 65
begin C cpu=1 madvise p0 m collapse
step C 11
"""


def test_an_entry_in_a_table_that_was_taken_out_leads_nowhere() -> None:
    drawn, (head, page, cached, *_) = drawn_after(TAKEN_OUT, 76)
    assert drawn.state.ptes["p0", 512].present, "the table is as it was"
    assert head.split()[-2:] == ["PMD-PTE", "f4"]
    assert page == " 512 m+0     ▐(w)   ▌┄┄┄┄╭╳┄┄┄▐ f5 p0         ● 1 =65▌"
    assert cached == "  ╰ cpu0 TLB ▐w     ▌┄┄┄┄╯"
    later = [drawn.text.rstrip() for drawn in picture(after(TAKEN_OUT + "step C 1\n", "step C 1"), 76)]
    assert later[0].endswith("PMD[1] is empty")
    assert later[1].startswith(" 512 m+0     ▐(w)   ▌┄┄")


IN_PARTS = (
    FOLIO.replace("gup p0 m+3 write pin longterm as=r by=nic", "gup p0 m+3 as=r by=nic")
    + """
madvise p0 m[5:9] dontneed
"""
)


def test_units_that_differ_by_nothing_but_the_page_are_one_line_of_the_ledger() -> None:
    drawn, _ = drawn_after(IN_PARTS)
    told = [re.sub(r"step \d+", "step N", line.text.rstrip()) for line in ledger(drawn, 515, 76)]
    assert told[1:4] == [
        " ●     5  PTE p0:m+0..4        step N  may write",
        " ●   503  PTE p0:m+9..511      step N  may write",
        " ◇     1  get r of nic         step N  taken at p0:m+3, still leads here",
    ]
    assert told[-1] == " =   509  every unit has a holder; freed when the last of 509 lets go"


def test_after_many_pages_went_picture_and_ledger_stand_on_the_first_and_equal_ones_are_one_row() -> None:
    drawn, rows = drawn_after(IN_PARTS + "put r\nreclaim p0 m+0", 76)
    assert drawn.past.touched == 1023, "the last step was about a page that is free now"
    assert drawn.in_question == 512
    assert ledger(drawn, frame_in_question(drawn, ""), 76)[0].text.startswith(" f512")
    assert any(row.startswith("~521 m+9..67") for row in rows)
    assert not [row for row in rows if re.search(r"\w~ ", row)]
