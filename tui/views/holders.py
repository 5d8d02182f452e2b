"""Who holds what besides the page tables: references, buffers, tasks, TLBs, files, devices, locks."""

from collections.abc import Iterator
from typing import cast

from lessons.i18n.language import tr
from model.engine.procedure import Procedure
from model.memory.leaf import leaf_entry
from model.memory.ordered import ceiling
from model.memory.records import File, Pte, Reference
from model.memory.state import State
from model.memory.tasks import Task
from tui.views.buffers import buffers, dma_bufs
from tui.views.entries import short_bits
from tui.views.reclaim import notifiers, swap_slots
from tui.views.row import Row, Span, cut, flow, row
from tui.views.shown_state import ShownState, frame_name, gone, place, replaced
from tui.views.userfaultfds import userfaultfds
from tui.views.walk import is_stale

MOST_PAGES = 16
"""Pages of one reference or file that are listed."""


def holders(scene: ShownState, width: int) -> list[Row]:
    """Every group that has somebody in it."""
    rows = [
        *_tasks(scene, width),
        *_references(scene, width),
        *buffers(scene, width),
        *dma_bufs(scene, width),
        *_tlbs(scene, width),
        *_files(scene, width),
        *_devices(scene, width),
        *notifiers(scene, width),
        *swap_slots(scene, width),
        *userfaultfds(scene, width),
        *_locks(scene, width),
    ]
    return rows or [row(Span(tr("nobody holds anything yet"), "dim"))]


def _tasks(scene: ShownState, width: int) -> Iterator[Row]:
    """Each operation in flight: the functions it is in, the step that comes next, and what it waits for."""
    for name, task in sorted(scene.state.tasks.items()):
        subject = f"task:{name}"
        calls = f" {scene.glyphs.pointer} ".join(call.function for call in task.stack)
        where = " " + (tr("on cpu{cpu}").format(cpu=task.cpu) if task.cpu >= 0 else tr("on a device"))
        sign = Span("  ", "plain", subject) if task.blocked else Span(f" {scene.glyphs.pointer}", "now", subject)
        head = [sign, Span(f"{tr('task')} {name}", "name", subject), Span(where, "dim", subject)]
        room = width - sum(len(span.text) for span in head) - 2
        yield row(*head, Span(f"  {_tail(calls, room)}", "code", subject))
        waits = f"{tr('waits')}: {task.blocked}" if task.blocked else f"{tr('next')}: {next_step(task)}"
        yield row(Span(f"    {cut(waits, width - 4)}", "hazard" if task.blocked else "now", subject))


def _tail(text: str, width: int) -> str:
    """The end of a text that is too long: the innermost functions."""
    return text if len(text) <= width else "~" + text[len(text) - width + 1 :]


def next_step(task: Task) -> str:
    """The micro-step that a task runs next: `procedure.step`."""
    running = cast("Procedure", task.stack[-1])
    return running.function if running.next_name == "return" else f"{running.function}.{running.next_name}"


def _references(scene: ShownState, width: int) -> Iterator[Row]:
    """References: what each holds, and where the page table it came from points by now."""
    lost = gone(scene.changes, "references")
    for name in sorted({*scene.state.references, *lost}):
        subject = f"ref:{name}"
        reference = scene.state.references.get(name)
        if reference is None:
            yield row(Span(" -", "gone", subject), Span(tr("ref {name} given back").format(name=name), "gone", subject))
            continue
        yield from flow(_reference_head(scene, name, reference), list(_held(scene, reference)), width, indent=6)


def _reference_head(scene: ShownState, name: str, reference: Reference) -> list[Span]:
    """How it was taken, through which page, for whom."""
    subject = f"ref:{name}"
    traits = " write" * reference.write + " longterm" * reference.longterm
    via = f" of {reference.process} {place(scene.state, reference.process, reference.vpn)}" if reference.process else ""
    by = f" by {reference.by}" if reference.by else ""
    return [
        scene.sign(subject),
        Span(f"ref {name}", scene.part(subject, changed=False, otherwise="name"), subject),
        Span(f" {reference.kind}{traits}{via}{by} ", scene.part(subject, changed=False), subject),
    ]


def _held(scene: ShownState, reference: Reference) -> Iterator[list[Span]]:
    """Each held frame, with a word where its page table entry has moved on."""
    state = scene.state
    for number, pfn in enumerate(reference.frames[:MOST_PAGES]):
        subject = f"frame:{pfn}"
        role = scene.part(subject, changed=False)
        spans = [*scene.inline_sign(subject), Span(frame_name(state, pfn), role, subject)]
        if reference.process:
            vpn = reference.vpn + number
            spans.append(_moved_on(state, scene, reference, vpn, pfn))
        yield spans
    if len(reference.frames) > MOST_PAGES:
        yield [Span(tr("and {count} more").format(count=len(reference.frames) - MOST_PAGES), "dim")]


def _moved_on(state: State, scene: ShownState, reference: Reference, vpn: int, pfn: int) -> Span:
    """The page that it was taken through: nothing to say while it still leads to the frame."""
    subject = f"pte:{reference.process}:{vpn}"
    pte = leaf_entry(state, reference.process, vpn)
    if pte is not None and pte.kind == "page" and pte.pfn == pfn:
        return Span("")
    now = tr("empty") if pte is None else _leads_to(scene, pte)
    return Span(f" {tr('but page {vpn} now').format(vpn=vpn)} {now}", "hazard", subject)


def _leads_to(scene: ShownState, pte: Pte) -> str:
    """Where an entry leads, in a word."""
    return f"{scene.glyphs.arrow}{frame_name(scene.state, pte.pfn)}" if pte.present else tr("not present")


def _tlbs(scene: ShownState, width: int) -> Iterator[Row]:
    """What each CPU remembers."""
    for cpu in sorted(scene.state.cpus):
        record = scene.state.cpus[cpu]
        subject = f"cpu:{cpu}"
        items = list(_cached(scene, cpu))
        if not items and not record.irqs_off_by and subject not in scene.marks:
            continue
        head = [scene.sign(subject), Span(f"cpu{cpu}", scene.part(subject, changed=False, otherwise="name"), subject)]
        if record.irqs_off_by:
            head.append(Span(f" {tr('interrupts off by {task},').format(task=record.irqs_off_by)}", "hazard", subject))
        for table in scene.state.rcu.get(cpu) or ():
            kept = tr("RCU keeps {frame},").format(frame=frame_name(scene.state, table))
            head.append(Span(f" {kept}", "plain", f"frame:{table}"))
        yield from flow([*head, Span(" TLB ")], items or [[Span(tr("empty"), "dim")]], width, indent=6)


def _cached(scene: ShownState, cpu: int) -> Iterator[list[Span]]:
    """The cached translations of a CPU, those flushed in the last move too."""
    for entry in scene.state.tlbs.get(cpu) or ():
        subject = f"tlb:{cpu}:{entry.process}:{entry.vpn}"
        now = leaf_entry(scene.state, entry.process, entry.vpn)
        target = f"{scene.glyphs.arrow}{frame_name(scene.state, entry.pte.pfn)} {short_bits(entry.pte)}"
        spans = [
            *scene.inline_sign(subject),
            Span(f"{entry.process}:{entry.vpn}", scene.part(subject, changed=False), subject),
            Span(target, scene.role(subject), subject),
        ]
        if is_stale(entry.pte, now):
            spans.append(Span(" STALE", "hazard", subject))
        yield spans
    for name, mark in scene.marks.items():
        kind, *parts = name.split(":")
        if mark == "-" and kind == "tlb" and parts[0] == str(cpu):
            yield [Span("-", "gone", name), Span(f"{parts[1]}:{parts[2]} {tr('flushed')}", "gone", name)]


def _files(scene: ShownState, width: int) -> Iterator[Row]:
    """Files and the pages that their page cache holds. A buffer's range of the device file has no such pages."""
    before = replaced(scene.changes, "files")
    for name, file in sorted(scene.state.files.items()):
        if file.kind == "drm":
            continue
        subject = f"file:{name}"
        traits = _file_traits(file)
        changed = _file_traits(before.get(name) or file) != traits
        head = [
            scene.sign(subject),
            Span(f"{file.kind} {name}", scene.part(subject, changed=False, otherwise="name"), subject),
            Span(f" {traits}", scene.part(subject, changed), subject),
            Span(f" {tr('page cache')} ", "plain", subject),
        ]
        yield from flow(head, list(_cache(scene, name)) or [[Span(tr("empty"), "dim")]], width, indent=6)
    for name, lost in sorted(gone(scene.changes, "files").items()):
        if lost.kind == "drm":
            continue
        yield row(Span(" -", "gone"), Span(tr("file {name} freed").format(name=name), "gone"))


def _file_traits(file: File) -> str:
    """Size, seals, and whether a descriptor is left."""
    seals = f" {tr('sealed')} {','.join(file.seals)}" if file.seals else ""
    pages = tr("1 page") if file.size == 1 else tr("{count} pages").format(count=file.size)
    return f"{pages}{seals}{'' if file.open else ' ' + tr('closed')}"


def _cache(scene: ShownState, name: str) -> Iterator[list[Span]]:
    """Cached pages of a file by index, those taken out in the last move too."""
    state = scene.state
    lost = {index: pfn for (owner, index), pfn in gone(scene.changes, "page_cache").items() if owner == name}
    index = ceiling(state.cache_index, name, 0)
    shown = 0
    while index is not None and shown < MOST_PAGES:
        subject = f"cache:{name}:{index}"
        pfn = state.page_cache[name, index]
        yield [
            *scene.inline_sign(subject),
            Span(
                f"{index}{scene.glyphs.arrow}{frame_name(state, pfn)}",
                scene.role(subject, scene.part(f"frame:{pfn}", changed=False)),
                subject,
            ),
        ]
        index, shown = ceiling(state.cache_index, name, index + 1), shown + 1
    if index is not None:
        yield [Span(tr("and more"), "dim")]
    for index, pfn in sorted(lost.items()):
        subject = f"cache:{name}:{index}"
        yield [Span("-", "gone", subject), Span(tr("{index} was f{pfn}").format(index=index, pfn=pfn), "gone", subject)]


def _devices(scene: ShownState, width: int) -> Iterator[Row]:
    """Devices, and through which references each reaches memory."""
    held: dict[str, list[str]] = {}
    for name, reference in scene.state.references.items():
        held.setdefault(reference.by, []).append(name)
    for name in sorted(scene.state.devices):
        subject = f"device:{name}"
        reach = [[Span(reference, "plain", f"ref:{reference}")] for reference in sorted(held.get(name, ()))]
        head = [
            scene.sign(subject),
            Span(f"{tr('device')} {name}", scene.part(subject, changed=False, otherwise="name"), subject),
            Span(f" {tr('can DMA through')} " if reach else f" {tr('has nothing mapped')}", "plain", subject),
        ]
        yield from flow(head, reach, width, indent=6)


def _locks(scene: ShownState, width: int) -> Iterator[Row]:
    """Sleeping locks that somebody holds."""
    items = []
    for (kind, owner), lock in sorted(scene.state.locks.items()):
        subject = f"lock:{kind}:{owner}"
        readers = tr("read by {tasks}").format(tasks=", ".join(lock.readers))
        who = tr("written by {task}").format(task=lock.writer) if lock.writer else readers
        items.append(
            [
                *scene.inline_sign(subject),
                Span(f"{kind} {tr('of')} {owner} ", scene.part(subject, changed=False), subject),
                Span(who, scene.role(subject), subject),
            ]
        )
    if items:
        yield from flow([Span(f"  {tr('locks')} ", "strong")], items, width, indent=6)
