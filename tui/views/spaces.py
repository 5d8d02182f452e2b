"""Address spaces: one lane a process, its VMAs, and under each VMA its pages as cells."""

from bisect import bisect_left
from collections.abc import Iterator
from typing import Final

from msgspec.structs import replace

from lessons.i18n.language import tr
from model.memory.flags import VM_EXEC, VM_READ, VM_SHARED, VM_WRITE, smaps_codes
from model.memory.ordered import ceiling, floor
from model.memory.records import Vma
from model.memory.state import State
from tui.views.entries import absent, huge_blocks, short_bits
from tui.views.row import Row, Span, grid, row
from tui.views.shown_state import HUGE_PAGES, Before, ShownState, frame_name, gone, page_of, replaced

CELL: Final = 16
"""Columns of a page's cell without its number."""
MOST_PAGES: Final = 64
"""Pages of one VMA that are shown one by one."""
SHORT_GAP: Final = 8
"""A longer run of pages without an entry is one cell."""
MOST_VMAS: Final = 64
MOST_LANES: Final = 32
INDENT: Final = 3


def spaces(scene: ShownState, width: int) -> list[Row]:
    """Every lane, in the order of process names."""
    state = scene.state
    lost = gone(scene.changes, "vmas")
    processes = sorted({*state.processes, *(process for process, _ in lost)})
    if not processes:
        return [row(Span(tr("no process yet"), "dim"))]
    rows: list[Row] = []
    for process in processes[:MOST_LANES]:
        rows.append(_lane_head(scene, process))
        starts, more = _vmas(scene, process)
        for start in sorted({*starts, *(start for owner, start in lost if owner == process)}):
            vma = state.vmas.get((process, start))
            if vma is None:
                rows.append(_vma_head(scene, process, lost[process, start], width, tr("unmapped")))
                continue
            rows.append(_vma_head(scene, process, vma, width))
            cells = list(_cells(scene, process, vma))
            rows += grid(cells, width, _cell_width(cells, vma), INDENT)
        if more:
            rows.append(row(Span(f"   {tr('and more VMAs')}", "dim")))
    if len(processes) > MOST_LANES:
        rows.append(row(Span(tr("and {count} more processes").format(count=len(processes) - MOST_LANES), "dim")))
    return rows


def _vmas(scene: ShownState, process: str) -> tuple[list[int], bool]:
    """Where the shown VMAs of a process start, of many the one under the cursor too; whether more follow."""
    index, state = scene.state.vma_index, scene.state
    page = page_of(state, scene.focus)
    start = ceiling(index, process, 0)
    starts: list[int] = []
    while start is not None and len(starts) < MOST_VMAS:
        starts.append(start)
        start = ceiling(index, process, start + 1)
    if start is not None and page is not None and page[0] == process and page[1] >= start:
        return [*starts[: MOST_VMAS // 2], floor(index, process, page[1]) or start], True
    return starts, start is not None


def _lane_head(scene: ShownState, process: str) -> Row:
    """The process, its CPU and what its mm has gone through."""
    subject = f"process:{process}"
    record = scene.state.processes.get(process)
    if record is None:
        return row(scene.sign(subject), Span(f"{process} ", "gone", subject), Span(tr("has exited"), "dim"))
    notes = [f"cpu{record.cpu}", f"pgd f{record.pgd}"]
    if record.parent:
        notes.append(tr("child of {parent}").format(parent=record.parent))
    if record.has_pinned:
        notes.append("has_pinned")
    if record.write_protect_seq % 2:
        notes.append(tr("fork is write-protecting it"))
    return row(
        scene.sign(subject),
        Span(process, scene.part(subject, changed=False, otherwise="name"), subject),
        Span("  " + f" {scene.glyphs.dot} ".join(notes), "dim"),
    )


def rights(flags: int) -> str:
    """As /proc/PID/maps writes them.

    >>> rights(VM_READ | VM_SHARED)
    'r--s'
    """
    letters = ((VM_READ, "r"), (VM_WRITE, "w"), (VM_EXEC, "x"))
    return "".join(letter if flags & bit else "-" for bit, letter in letters) + ("s" if flags & VM_SHARED else "p")


def backing(vma: Vma) -> str:
    """What is behind a VMA: anonymous memory, a file with its offset, or a kernel subject."""
    if vma.file:
        return f"{vma.file}+{vma.pgoff}" if vma.pgoff else vma.file
    return vma.ops or "anon"


def labels_in(state: State, process: str, vma: Vma) -> str:
    """The labels that name pages of a VMA, by address."""
    inside = sorted(
        (label.start, name)
        for (owner, name), label in state.labels.items()
        if owner == process and label.start < vma.end and vma.start < label.start + label.pages
    )
    return " ".join(name for _, name in inside)


def pages(first: int, stop: int) -> str:
    """The pages from `first` up to, not including, `stop`.

    >>> pages(16, 17), pages(16, 20)
    ('16', '16..19')
    """
    return str(first) if stop - first == 1 else f"{first}..{stop - 1}"


def _vma_head(scene: ShownState, process: str, vma: Vma, width: int, note: str = "") -> Row:
    """Range, rights, backing, labels and the codes of /proc/PID/smaps."""
    subject = f"vma:{process}:{vma.start}"
    hidden = VM_READ | VM_WRITE | VM_EXEC | VM_SHARED
    codes = note or " ".join(smaps_codes(vma.flags & ~hidden))
    names = labels_in(scene.state, process, vma)
    old: Vma = replaced(scene.changes, "vmas").get((process, vma.start)) or vma
    spans = [
        Span(" ", "plain", subject),
        scene.sign(subject),
        Span(f"{pages(vma.start, vma.end)} ", scene.part(subject, old.end != vma.end, "strong"), subject),
        Span(f"{rights(vma.flags)} ", scene.part(subject, rights(old.flags) != rights(vma.flags), "code"), subject),
        Span(f"{backing(vma)} ", scene.part(subject, backing(old) != backing(vma)), subject),
        Span(names and f'"{names}" ', "name", subject),
    ]
    room = width - sum(len(span.text) for span in spans)
    return row(*spans, Span(codes[: max(room, 0)], "dim", subject))


def _cells(scene: ShownState, process: str, vma: Vma) -> Iterator[list[Span]]:
    """The pages of a VMA; long runs without an entry are one cell."""
    state = scene.state
    was = Before.of(scene.changes)
    blocks = huge_blocks(state, process, vma)
    vpn, shown = _first_page(scene, process, vma), 0
    if vpn > vma.start:
        yield [Span(f"  {pages(vma.start, vpn)} ...", "dim", f"pte:{process}:{vma.start}")]
    while vpn < vma.end and shown < MOST_PAGES:
        block = vpn // HUGE_PAGES
        mapped = ceiling(state.pte_index, process, vpn)
        following = bisect_left(blocks, block)
        ahead = blocks[following] if following < len(blocks) else vma.end
        stop = min(vma.end if mapped is None else mapped, ahead * HUGE_PAGES, vma.end)
        if ahead == block:
            end = min((block + 1) * HUGE_PAGES, vma.end)
            yield block_cell(scene, process, vpn, end)
            vpn = end
        elif stop - vpn > SHORT_GAP:
            yield [Span(f"  {pages(vpn, stop)}", "dim", f"pte:{process}:{vpn}"), Span(f" {tr('none')}", "dim")]
            vpn = stop
        else:
            yield page_cell(scene, process, vpn, was)
            vpn += 1
        shown += 1
    if vpn < vma.end:
        yield [Span(f"  {pages(vpn, vma.end)} ...", "dim", f"pte:{process}:{vpn}")]


def _cell_width(cells: list[list[Span]], vma: Vma) -> int:
    """Columns of each cell of a VMA: enough for a page, or for a block of 2 MiB where one is shown."""
    blocks = (sum(len(span.text) for span in spans) + 1 for spans in cells if spans[-1].subject.startswith("table:"))
    return max((CELL + len(str(vma.end)), *blocks))


def _first_page(scene: ShownState, process: str, vma: Vma) -> int:
    """Where the shown window of a long VMA starts: around the page under the cursor."""
    kind, _, rest = scene.focus.partition(":")
    owner, _, number = rest.partition(":")
    if kind != "pte" or owner != process or not vma.start <= int(number) < vma.end:
        return vma.start
    return vma.start if int(number) - vma.start < MOST_PAGES else int(number) - MOST_PAGES // 2


def block_cell(scene: ShownState, process: str, vpn: int, end: int) -> list[Span]:
    """A block of 2 MiB, as much of it as the VMA has: its pages, the first frame, whether it may be written."""
    block = vpn // HUGE_PAGES
    subject = f"table:{process}:1:{block}"
    entry = scene.state.tables[process, 1, block]
    role = scene.role(subject)
    if not entry.present:
        return [scene.sign(subject), Span(f"{pages(vpn, end)} huge {absent(entry)}", role, subject)]
    return [
        scene.sign(subject),
        Span(
            f"{pages(vpn, end)}{scene.glyphs.arrow}{frame_name(scene.state, entry.pfn + vpn % HUGE_PAGES)} huge ",
            role,
            subject,
        ),
        Span(short_bits(entry).replace("H", ""), role, subject),
    ]


def page_cell(scene: ShownState, process: str, vpn: int, was: Before) -> list[Span]:
    """One page: number, where its entry leads, whether it may be written, and the byte that is there.

    Of an entry that was there before only what has changed is marked.
    """
    subject = f"pte:{process}:{vpn}"
    pte = scene.state.ptes.get((process, vpn))
    if pte is None:
        return [scene.sign(subject), Span(f"{vpn} {scene.glyphs.empty}", scene.role(subject, "dim"), subject)]
    old = was.ptes.get((process, vpn))
    role = scene.part(subject, changed=False)
    head = [scene.sign(subject), Span(f"{vpn}", role, subject)]
    if not pte.present:
        return [*head, Span(f" {absent(pte)}", scene.part(subject, changed=True), subject)]
    target = f"frame:{pte.pfn}"
    byte = scene.state.content.get(pte.pfn, 0)
    moved = old is not None and (old.pfn, old.present) != (pte.pfn, pte.present)
    leads = scene.part(subject, moved, scene.part(target, changed=False, otherwise=role))
    bits = scene.part(subject, old is not None and short_bits(old) != short_bits(pte))
    return [
        *head,
        Span(scene.glyphs.arrow, role, subject),
        Span(frame_name(scene.state, pte.pfn), leads, subject),
        Span(" ", role, subject),
        Span(short_bits(pte), bits, subject),
        Span(" ", role, subject),
        Span(f"={byte}", scene.part(target, pte.pfn in was.content, role), subject),
        *(replace(sign, subject=subject) for sign in scene.inline_sign(target)),
    ]
