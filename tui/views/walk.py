"""The page-table walk of the page under the cursor: four levels, the frame at the end, and what the TLBs say."""

from collections.abc import Iterator
from typing import Any

from lessons.i18n.language import tr
from model.kernel.arch.pgtable import PUD
from model.kernel.mm.vma import vma_lookup
from model.memory.flags import PAGE_BITS, names
from model.memory.leaf import leaf_entry
from model.memory.records import Pte
from model.memory.state import State
from model.memory.tasks import Locals
from tui.views.entries import absent, short_bits
from tui.views.row import Row, Span, row
from tui.views.shown_state import INDEX_BITS, INDEX_MASK, LEVEL_NAMES, ShownState, frame_name, page_of, place, replaced
from tui.views.spaces import rights
from tui.views.table_under_walk import HARMLESS, Fate, fate_of


def walk(scene: ShownState, width: int) -> list[Row]:
    """What the MMU does with one virtual page, level by level."""
    page = page_of(scene.state, scene.focus) or first_page(scene.state)
    if page is None:
        return [row(Span(tr("nothing is mapped yet"), "dim"))]
    process, vpn = page
    rows = [_address(scene, process, vpn)]
    table: int | None = scene.state.processes[process].pgd
    for level in (3, 2, 1, 0):
        if table is None:
            left = _left_table(scene, process, vpn) if not level else None
            rows.append(left or row(Span(f"  {LEVEL_NAMES[level]} {tr('no table')}", "dim")))
            continue
        entry, line = _level(scene, process, vpn, level, table, width)
        rows.append(line)
        table = entry.pfn if entry is not None and entry.present and not entry.huge else None
    rows.append(_tlbs(scene, process, vpn))
    return rows


def first_page(state: State) -> tuple[str, int] | None:
    """The page to show while the cursor points at none: the first mapped one, else the first of the first VMA."""
    return min(state.ptes, default=None) or min(state.vmas, default=None)


def _address(scene: ShownState, process: str, vpn: int) -> Row:
    """The page, its address, the four indices, and the VMA that covers it."""
    indices = scene.glyphs.dot.join(str(vpn >> INDEX_BITS * level & INDEX_MASK) for level in (3, 2, 1, 0))
    vma = vma_lookup(scene.state, process, vpn)
    covered = f"VMA {rights(vma.flags)}" if vma else tr("no VMA covers it")
    return row(
        Span(f"  {process} {place(scene.state, process, vpn)}", "strong", f"pte:{process}:{vpn}"),
        f"  {tr('page')} {vpn} = {vpn << 12:#x}  {tr('index')} {indices}  ",
        Span(covered, "dim", f"vma:{process}:{vma.start}" if vma else ""),
    )


def _level(scene: ShownState, process: str, vpn: int, level: int, table: int, width: int) -> tuple[Pte | None, Row]:
    """One entry: where it stands, where it leads, its bits in words."""
    state = scene.state
    index = vpn >> INDEX_BITS * level
    if level:
        subject, entry = f"table:{process}:{level}:{index}", state.tables.get((process, level, index))
    else:
        subject, entry = f"pte:{process}:{vpn}", state.ptes.get((process, vpn))
    still, role = scene.part(subject, changed=False), scene.role(subject)
    spans = [
        scene.sign(subject),
        Span(f"{LEVEL_NAMES[level]} ", "strong", subject),
        Span(f"f{table}", scene.part(f"frame:{table}", changed=False), f"frame:{table}"),
        Span(f"[{index & INDEX_MASK}]".ljust(6), still, subject),
    ]
    if entry is None:
        return None, row(
            *spans, Span(tr("empty: the walk ends here, the CPU faults"), scene.role(subject, "dim"), subject)
        )
    if entry.kind != "page":
        return entry, row(*spans, Span(f"{absent(entry)}: {tr('not present, the CPU faults')}", role, subject))
    target = f"frame:{entry.pfn}"
    key = (process, level, index) if level else (process, vpn)
    old: Pte = replaced(scene.changes, "tables" if level else "ptes").get(key) or entry
    spans += [
        Span(f"{scene.glyphs.arrow} ", still, subject),
        Span(frame_name(state, entry.pfn).ljust(5), *_where(scene, subject, old.pfn != entry.pfn, target)),
        Span(" " + " ".join(names(entry.bits, PAGE_BITS)), scene.part(subject, old.bits != entry.bits), subject),
    ]
    if level == PUD:
        spans += _sharers(scene, process, index, entry.pfn)
    if not level or entry.huge:
        spans += _target(scene, entry.pfn, width - sum(len(span.text) for span in spans))
    return entry, row(*spans)


def _where(scene: ShownState, subject: str, changed: bool, target: str) -> tuple[str, str]:
    """How the frame looks to which an entry leads, and what it stands for."""
    return scene.part(subject, changed, scene.part(target, changed=False)), target


def _sharers(scene: ShownState, process: str, index: int, table: int) -> list[Span]:
    """Who else has the table that an entry leads to, in words."""
    others = [other for other in scene.state.shared_tables.get(table) or () if other != (process, index)]
    if not others:
        return []
    who = ", ".join(owner for owner, _ in others)
    return [Span(" " + tr("shared with {processes}").format(processes=who), "strong", f"frame:{table}")]


def _left_table(scene: ShownState, process: str, vpn: int) -> Row | None:
    """The table that has been taken away while somebody is inside of it: its page, what that is by now, and who."""
    for name, walker in walkers(scene.state, process, vpn):
        table = walker.stands_in()
        if table is None:
            continue
        subject = f"frame:{table}"
        fate, owner = fate_of(scene.state, table)
        what = _told(fate).format(process=owner, task=name)
        return row(
            Span("  PTE ", "strong"),
            Span(f"f{table}", scene.role(subject, "plain"), subject),
            Span(f"[{vpn & INDEX_MASK}]".ljust(6), "plain", subject),
            Span(what, "hazard" if fate in HARMLESS else "corruption", f"task:{name}"),
        )
    return None


def _told(fate: Fate) -> str:
    """A fate in words."""
    match fate:
        case "free":
            return tr("free: {task} is still inside")
        case "data":
            return tr("data now: {task} is still inside")
        case "kept":
            return tr("kept by RCU: {task} is still inside")
        case "out":
            return tr("taken out: {task} is still inside")
        case "other":
            return tr("a table of {process}: {task} is still inside")
        case "shared":
            return tr("{process} still has it: {task} is still inside")


def walkers(state: State, process: str, vpn: int) -> Iterator[tuple[str, Locals]]:
    """The calls in flight that are inside of a table which covers a page, without locks."""
    for name, task in sorted(state.tasks.items()):
        innermost: Any = task.stack[-1]
        if (
            task.process == process
            and innermost.stands_in() is not None
            and innermost.vpn >> INDEX_BITS == vpn >> INDEX_BITS
        ):
            yield name, innermost


def _target(scene: ShownState, pfn: int, room: int) -> list[Span]:
    """The frame that the walk arrives at, as far as there is room for it."""
    frame = scene.state.frames.get(pfn)
    subject = f"frame:{pfn}"
    kind = frame.kind if frame else "free"
    name, byte = f"  {kind} ", f"={scene.state.content.get(pfn, 0)}"
    if len(name) + len(byte) > room:
        return []
    written = pfn in replaced(scene.changes, "content")
    return [
        Span(name, scene.part(subject, changed=False, otherwise="dim"), subject),
        Span(byte, scene.part(subject, written, "dim"), subject),
    ]


def _tlbs(scene: ShownState, process: str, vpn: int) -> Row:
    """What each CPU has cached for this page, and whether the page table still says so."""
    state = scene.state
    pte = leaf_entry(state, process, vpn)
    spans: list[Span | str] = [Span("  TLB ", "strong")]
    for cpu in sorted(state.cpus):
        subject = f"tlb:{cpu}:{process}:{vpn}"
        cached = next(tlb_entries(state, cpu, process, vpn), None)
        spans += scene.inline_sign(subject) if cached else []
        if cached is None:
            spans.append(Span(f"cpu{cpu} {tr('nothing')}  ", scene.role(subject, "dim")))
            continue
        what = f"cpu{cpu} {scene.glyphs.arrow} {frame_name(state, cached.pfn)} {short_bits(cached)}"
        spans.append(Span(what, scene.role(subject), subject))
        spans.append(Span(" STALE" if is_stale(cached, pte) else "", "hazard", subject))
        spans.append("  ")
    return row(*spans)


def tlb_entries(state: State, cpu: int, process: str, vpn: int) -> Iterator[Pte]:
    """The translations of a page that a CPU has cached."""
    return (entry.pte for entry in state.tlbs.get(cpu) or () if (entry.process, entry.vpn) == (process, vpn))


def is_stale(cached: Pte, pte: Pte | None) -> bool:
    """The page table no longer says what the CPU remembers: other frame, gone, or fewer rights."""
    if pte is None or not pte.present:
        return True
    return cached.pfn != pte.pfn or (cached.writable and not pte.writable)
