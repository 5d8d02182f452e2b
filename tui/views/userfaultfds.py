"""Who handles page faults in place of the kernel, and who waits for an answer."""

from collections.abc import Iterator

from lessons.i18n.language import tr
from tui.views.row import Row, Span, flow
from tui.views.shown_state import ShownState, place


def userfaultfds(scene: ShownState, width: int) -> Iterator[Row]:
    """Each userfaultfd: of which address space, with which features, the faults that wait, and the events."""
    for name, context in sorted(scene.state.userfaultfds.items()):
        head = [
            Span("  ", "plain"),
            Span(f"userfaultfd {name}", "name"),
            Span(f" {tr('of')} {context.process} {' '.join(context.features)} ", "plain"),
        ]
        waiting = [
            [Span(f"{task} {tr('waits')} {place(scene.state, context.process, vpn)}", "hazard", f"task:{task}")]
            for task, vpn in context.waiting
        ]
        unread = tr("{task} waits until its {event} is read")
        waiting += [
            [Span(unread.format(task=task, event=event), "hazard", f"task:{task}")] for task, event, _ in context.events
        ]
        yield from flow(head, waiting or [[Span(tr("no fault waits"), "dim")]], width, indent=6)
