"""What an empty page would get: the frame, the zeros or the signal that the next access there finds."""

from lessons.i18n.language import tr
from model.invariants.machine_view import MachineView
from model.invariants.next_access import filling
from model.memory.ordered import floor
from tui.views.picture.fold import FoldedRun
from tui.views.picture.picture_state import PictureState
from tui.views.shown_state import frame_name


def next_fault(drawn: PictureState, run: FoldedRun) -> str:
    """In a word, for the first page: `→v0`, `zeros`, `SIGBUS`; empty where nothing is promised.

    Of anonymous memory that was never touched nothing is said: that it is empty is what there is to see.
    """
    page = run.page
    start = floor(drawn.state.vma_index, *page)
    if drawn.silent or start is None or (vma := drawn.state.vmas[run.process, start]).end <= run.first:
        return ""
    if not vma.file and not (page in drawn.believed or page in drawn.before or page in drawn.cached):
        return ""
    view = MachineView(drawn.state, drawn.index)
    how, pfn = filling(view, run.process, vma, run.first)
    if run.pages > 1 and filling(view, run.process, vma, run.stop - 1)[0] != how:
        return ""
    if how == "page":
        return f"→{frame_name(drawn.state, pfn)}"
    return tr(how) if how else ""
