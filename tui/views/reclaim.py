"""How an address space takes its pages back: the MMU notifiers that it tells, and the swap slots that hold them."""

from collections.abc import Iterator

from lessons.i18n.language import tr
from tui.views.row import Row, Span, flow
from tui.views.shown_state import ShownState, gone

MOST_SLOTS = 64


def notifiers(scene: ShownState, width: int) -> Iterator[Row]:
    """MMU notifiers: of which address space, whether an invalidation runs, and whom it tells."""
    state = scene.state
    for name, process in sorted(state.processes.items()):
        told = sorted(ref for ref, held in state.references.items() if held.kind == "mirror" and held.process == name)
        if not told and not process.notifier_active:
            continue
        subject = f"notifier:{name}"
        active = tr("{count} invalidations run").format(count=process.notifier_active)
        head = [
            scene.sign(subject),
            Span(f"mmu_notifier of {name}", "name", subject),
            Span(f" seq {process.notifier_seq}", "plain", subject),
            Span(f", {active}" if process.notifier_active else "", "hazard", subject),
            Span(f"  {tr('tells')}: ", "dim"),
        ]
        items = [[Span(ref, scene.role(f"ref:{ref}"), f"ref:{ref}")] for ref in told]
        yield from flow(head, items or [[Span(tr("nobody"), "dim")]], width, indent=6)


def swap_slots(scene: ShownState, width: int) -> Iterator[Row]:
    """Swap slots in use: how many entries refer to each, and its page in the swap cache."""
    items = []
    for slot, record in sorted(scene.state.swap_slots.items())[:MOST_SLOTS]:
        subject = f"swap:{slot}"
        cached = f" {tr('cached in')} f{record.pfn}" if record.pfn >= 0 else ""
        text = f"{slot}: {record.count} ref{'s' * (record.count != 1)}{cached} ={record.content}"
        items.append([*scene.inline_sign(subject), Span(text, scene.role(subject), subject)])
    lost = sorted(gone(scene.changes, "swap_slots"))
    items += [[Span(f"-{slot} {tr('freed')}", "gone", f"swap:{slot}")] for slot in lost]
    if items:
        yield from flow([Span(f"  {tr('swap slots')} ", "strong")], items, width, indent=6)
