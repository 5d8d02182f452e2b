"""The right of the picture: who holds a frame, for whom, and through which page; and tasks that cannot go on."""

from lessons.i18n.language import tr
from model.engine.procedure import advance
from model.memory.tasks import Task
from tui.views.picture.columns import Cells, longest
from tui.views.picture.layout_line import HolderKey, Line
from tui.views.picture.legend import sign
from tui.views.picture.owners import holder_hue, reference_of
from tui.views.row import Span, cut
from tui.views.shown_state import by_name, place


def holding_call(task: Task) -> str:
    """The innermost call of a task that has references; empty if none has."""
    return next((call.function for call in reversed(task.stack) if call.holds or call.pins), "")


class HolderCells(Cells):
    """References, tasks in flight, drivers that borrow pages."""

    def holder(self, line: Line) -> tuple[Span, ...]:
        """Who holds the frame."""
        if line.holder is None:
            return ()
        subject = f"{line.holder[0]}:{line.holder[1]}"
        heads, _ = self._holder_text(line.holder)
        width = self.columns.holder
        head = longest(heads, width)
        return (Span(cut(head, width), self.role(subject, holder_hue(self.drawn, line.holder)), subject),)

    def note(self, line: Line, before: int) -> tuple[Span, ...]:
        """The row below a holder: for whom, and through which page. `before`: columns on the left that are free too.

        A long one begins there, so that it ends where the picture does.
        """
        if line.holder is not None or line.note is None:
            return ()
        width = self.columns.holder
        _, told = self._holder_text(line.note)
        text = f"  {told}" if len(told) + 2 <= width else cut(told, width + max(before - 1, 0))
        return (Span(text, "dim", f"{line.note[0]}:{line.note[1]}"),)

    def _holder_text(self, key: HolderKey) -> tuple[tuple[str, ...], str]:
        """A holder in two short lines; the first also shorter: of a reference the sign says what it is."""
        kind, name = key
        if kind == "ref":
            reference = reference_of(self.drawn, name)
            token = sign("pin" if reference.kind == "pin" else "get" if reference.counted else "loose")
            mark = self.mark(f"ref:{name}").strip()
            where = place(self.state, reference.process, reference.vpn) if reference.process else reference.dmabuf
            via = f"{reference.process}:{where}" if reference.process else where
            put = " put" if name not in self.state.references else ""
            told = f"{reference.by}: {via}" if reference.by else via
            head = f"{token}{mark or ' '}{name}"
            return (f"{head} {reference.kind}{put}", f"{head}{put}"), told
        if kind == "task":
            pins = any(call.pins for call in self.state.tasks[name].stack)
            return (f"{sign('pin' if pins else 'get')} {name} {tr('task')}",), holding_call(self.state.tasks[name])
        buffer = self.state.buffers[name]
        head = f"{sign('pin' if buffer.pinned else 'get')} {name}"
        return (f"{head} {buffer.exporter}", head), f"memfd {buffer.memfd}"

    def waiting(self, line: Line, width: int) -> tuple[Span, ...]:
        """A task that cannot go on, or could by now, over the whole row."""
        reason = advance(self.state, line.waits).blocked
        told = tr("{task} waits for {reason}") if reason else tr("{task} waits no longer: it can go on")
        text = f"{sign('waits')} {told.format(task=line.waits, reason=by_name(self.state, reason))}"
        return (Span(f"{cut(text, width):<{width}}", "plain", f"task:{line.waits}"),)
