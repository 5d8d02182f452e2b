"""Where holders stand: each beside the first of its frames that has room."""

from itertools import pairwise

from model.kernel.mm.mmu_notifier import NOT_MAPPED
from model.memory.folio import page_folio
from tui.views.picture.layout_line import HolderKey, Layout, Line
from tui.views.picture.picture_state import PictureState
from tui.views.shown_state import gone


def _holders(drawn: PictureState) -> dict[HolderKey, list[int]]:
    """Everybody on the right, and the frames that each knows, by name."""
    state = drawn.state
    found: dict[HolderKey, list[int]] = {}
    for name in sorted({*state.references, *gone(drawn.scene.changes, "references")}):
        reference = state.references.get(name) or gone(drawn.scene.changes, "references")[name]
        now = [pfn for pfn in reference.frames if pfn != NOT_MAPPED]
        found["ref", name] = [*now, *(pfn for pfn in drawn.forgotten.get(name, ()) if pfn not in now)]
    for name, task in sorted(state.tasks.items()):
        owned = [pfn for call in task.stack for pfn in (*call.holds, *call.pins)]
        if owned:
            found["task", name] = owned
    for name, buffer in sorted(state.buffers.items()):
        if buffer.memfd:
            found["buffer", name] = list(buffer.frames)
    return found


def _anchors(drawn: PictureState, lines: list[Line], holders: dict[HolderKey, list[int]]) -> dict[HolderKey, int]:
    """Holder → its first frame that has a row; where none has, the folio around one, as -1 - its head."""
    shown = {pfn for line in lines for pfn in line.frames}
    heads = {line.folio for line in lines if line.folio >= 0}
    found: dict[HolderKey, int] = {}
    for key, frames in holders.items():
        around = (-1 - head for pfn in frames if (head := page_folio(drawn.state, pfn)) in heads)
        anchor = next((pfn for pfn in frames if pfn in shown), None)
        anchor = next(around, None) if anchor is None else anchor
        if anchor is not None:
            found[key] = anchor
    return found


def with_holders(drawn: PictureState, lines: list[Line]) -> Layout:
    """Each holder beside its first frame that is drawn; rows are put in where one frame has several."""
    holders = _holders(drawn)
    anchors = _anchors(drawn, lines, holders)
    waiting: dict[int, list[HolderKey]] = {}
    for key, anchor in anchors.items():
        waiting.setdefault(anchor, []).append(key)
    out: list[Line] = []
    queue: list[HolderKey] = []
    for line in lines:
        while queue and (line.frames or line.folio >= 0):
            out.append(Line(holder=queue.pop(0)))
        here = (-1 - line.folio, *line.frames) if line.folio >= 0 else line.frames
        queue += [key for pfn in here for key in waiting.pop(pfn, ())]
        if queue:
            line.holder = queue.pop(0)
        if line.waits and out and out[-1].holder is not None:
            out.append(Line())
        out.append(line)
    out += [Line(holder=key) for key in (*queue, *(key for key in holders if key not in anchors))]
    if out and out[-1].holder is not None:
        out.append(Line())
    for line, below in pairwise(out):
        if line.holder is not None and below.holder is None:
            below.note = line.holder
    return _numbered(out, holders)


def _numbered(lines: list[Line], holders: dict[HolderKey, list[int]]) -> Layout:
    """Where each frame, each folio and each holder is."""
    at: dict[int, int] = {}
    held_at: dict[HolderKey, int] = {}
    folio_at: dict[int, int] = {}
    for number, line in enumerate(lines):
        if line.folio >= 0:
            folio_at[line.folio] = number
        for pfn in line.frames:
            at.setdefault(pfn, number)
        if line.holder is not None:
            held_at[line.holder] = number
    return Layout(lines, at, held_at, holders, folio_at)
