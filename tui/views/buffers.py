"""Buffers and dma-bufs: where each is, and who keeps it alive. A driver counts neither pages nor PTEs."""

from collections.abc import Iterator

from lessons.i18n.language import tr
from model.memory.buffer_records import Attachment, Buffer
from tui.views.row import Row, Span, flow, row
from tui.views.shown_state import ShownState, gone, pfn_name, replaced

MOST_NAMED = 8
"""Runs of frames of one buffer, and importers of one dma-buf, that are named."""


def buffers(scene: ShownState, width: int) -> Iterator[Row]:
    """Each buffer: its driver, place and frames, then its handle, its dma-bufs and its mappings."""
    before = replaced(scene.changes, "buffers")
    for name, buffer in sorted(scene.state.buffers.items()):
        old = before.get(name) or buffer
        subject = f"buffer:{name}"
        pages = tr("1 page") if buffer.pages == 1 else tr("{count} pages").format(count=buffer.pages)
        head = [
            scene.sign(subject),
            Span(f"{tr('buffer')} {name}", scene.part(subject, changed=False, otherwise="name"), subject),
            Span(f" {buffer.exporter} {tr('in')} ", scene.part(subject, changed=False), subject),
            Span(f"{buffer.place} ", scene.part(subject, old.place != buffer.place), subject),
            Span(f"{pages} ", scene.part(subject, changed=False), subject),
        ]
        yield from flow(head, [*_frames(scene, buffer), *_held_by(scene, name, buffer)], width, indent=6)
    for name in sorted(gone(scene.changes, "buffers")):
        yield row(Span(" -", "gone"), Span(tr("buffer {name} freed").format(name=name), "gone"))


def _frames(scene: ShownState, buffer: Buffer) -> Iterator[list[Span]]:
    """Its frames, neighbours as one run."""
    runs: list[list[int]] = []
    for pfn in buffer.frames:
        if runs and runs[-1][1] + 1 == pfn:
            runs[-1][1] = pfn
        else:
            runs.append([pfn, pfn])
    for first, last in runs[:MOST_NAMED]:
        about = f"frame:{first}"
        text = pfn_name(first) if first == last else f"{pfn_name(first)}-{pfn_name(last)}"
        yield [Span(text, scene.part(about, changed=False), about)]
    if len(runs) > MOST_NAMED:
        yield [Span(tr("and more"), "dim")]


def _held_by(scene: ShownState, name: str, buffer: Buffer) -> Iterator[list[Span]]:
    """What keeps it alive, and what keeps it in its place."""
    subject = f"buffer:{name}"
    if not buffer.closed:
        yield [Span(tr("handle"), scene.part(subject, changed=False), subject)]
    for exported, dma_buf in sorted(scene.state.dma_bufs.items()):
        if dma_buf.buffer == name:
            yield [Span(f"dma-buf {exported}", scene.part(f"dmabuf:{exported}", changed=False), f"dmabuf:{exported}")]
    file = scene.state.files.get(buffer.file)
    if file is not None and file.i_mmap:
        count = tr("1 VMA") if len(file.i_mmap) == 1 else tr("{count} VMAs").format(count=len(file.i_mmap))
        yield [Span(count, scene.role(f"file:{buffer.file}"), f"file:{buffer.file}")]
    if buffer.pin_count:
        old = replaced(scene.changes, "buffers").get(name) or buffer
        yield [Span(f"pin_count {buffer.pin_count}", scene.part(subject, old.pin_count != buffer.pin_count), subject)]


def dma_bufs(scene: ShownState, width: int) -> Iterator[Row]:
    """Each dma-buf: its buffer, whether a descriptor is open, and its importers."""
    for name, dma_buf in sorted(scene.state.dma_bufs.items()):
        subject = f"dmabuf:{name}"
        closed = "" if not dma_buf.closed else f" {tr('closed')}"
        head = [
            scene.sign(subject),
            Span(f"dma-buf {name}", scene.part(subject, changed=False, otherwise="name"), subject),
            Span(f" {tr('of')} {dma_buf.buffer}", scene.part(subject, changed=False), subject),
            Span(f"{closed} ", scene.role(subject), subject),
        ]
        importers = [
            _importer(scene, exported, device, found)
            for (exported, device), found in sorted(scene.state.attachments.items())
            if exported == name
        ]
        yield from flow(head, importers[:MOST_NAMED] or [[Span(tr("nobody imports it"), "dim")]], width, indent=6)
    for name in sorted(gone(scene.changes, "dma_bufs")):
        yield row(Span(" -", "gone"), Span(tr("dma-buf {name} freed").format(name=name), "gone"))


def _importer(scene: ShownState, exported: str, device: str, found: Attachment) -> list[Span]:
    """A device that is attached, and whether it can follow a move."""
    subject = f"attachment:{exported}:{device}"
    kind = tr("dynamic") if found.dynamic else tr("static")
    text = f"{device} {kind}{' pin' if found.pinned else ''}"
    return [*scene.inline_sign(subject), Span(text, scene.role(subject), subject)]
