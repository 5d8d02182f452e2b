"""What happened, told for the panes: from the nodes of a timeline to steps in words, the log, and what is broken."""

from collections.abc import Iterator
from functools import lru_cache
from typing import Final

from lessons.i18n.language import localized, tr
from model.engine.procedure import Stepped
from model.engine.splat import kernel_log
from model.invariants.violation import Violation
from model.memory.events import Access, Event, Printk, Refusal, Splat
from model.memory.state import State
from model.script.context import Outcome
from model.session.timeline import Node as Moment
from model.session.timeline import Timeline
from tui.views.shown_state import frame_name
from tui.views.shown_state import place as name_of
from tui.views.view_model import LogLine, Rule, ShownNode, ShownStep, ShownViolation

MOST_LINES: Final = 200
"""Lines of the log that are kept in sight."""
WINDOW: Final = 120
"""Nodes of the way before and behind the present one that the strip can show."""


@lru_cache(maxsize=1)
def all_rules() -> tuple[Rule, ...]:
    """Every invariant, in the order in which they are best explained."""
    from model.invariants.registry import INVARIANTS

    return tuple(Rule(rule.name, rule.rule) for rule in INVARIANTS.values())


def shown_step(stepped: Stepped | None, outcome: Outcome | None = None, remark: str = "") -> ShownStep | None:
    """A micro-step in words; None if there was none."""
    if stepped is None:
        return None
    return ShownStep(
        f"{stepped.procedure}.{stepped.step}",
        stepped.source,
        stepped.doc,
        stepped.task,
        remark,
        stepped.blocked,
        "" if outcome is None else in_words(outcome),
    )


def shown_command(node: Moment, remark: str = "") -> ShownStep | None:
    """A command that has no micro-steps, such as `begin`: that all went well need not be said. None if it goes on."""
    if node.outcome is None:
        return None
    told = in_words(node.outcome)
    return ShownStep(node.command, "", "", "", remark, outcome="" if told == "ok" else told)


def in_words(outcome: Outcome) -> str:
    """How a command ended."""
    text = outcome.in_words()
    return f"{text}: {outcome.message}" if outcome.message and text != outcome.message else text


def broken(timeline: Timeline, start: int = 0) -> tuple[ShownViolation, ...]:
    """What is wrong here: what stands in the machine, and the harm done on the way that it does not show.

    Steps are counted from that depth of the history on, and harm done before it is not told.
    """
    here = timeline.here
    standing = [(timeline.since(violation), violation) for violation in here.checker.violations]
    suffered = [(node, violation) for node, violation in timeline.suffered() if node.depth > start]
    return tuple(_broken(node, violation, here, start) for node, violation in [*standing, *suffered])


def _broken(node: Moment, violation: Violation, here: Moment, start: int) -> ShownViolation:
    """One violation, with when it began."""
    return ShownViolation(
        violation.invariant,
        violation.severity,
        violation.subjects,
        localized(violation.message),
        tr(violation.symptom),
        since_when(node, start),
        node.number,
        node.number == here.number,
    )


def since_when(node: Moment, start: int) -> str:
    """A place of the history in words: the step's number and the kernel function that made it."""
    what = f" ({node.stepped.procedure})" if node.stepped and node.depth > start else ""
    return tr("step {step}").format(step=max(node.depth - start, 0)) + what


class Log:
    """The log of each place in a timeline, made once a node; it begins after the node `start`."""

    def __init__(self, timeline: Timeline, start: int = 0) -> None:
        self.timeline: Final = timeline
        self.start: Final = start
        self._known: dict[int, tuple[LogLine, ...]] = {-1: (), start: ()}

    def at(self, node: Moment) -> tuple[LogLine, ...]:
        """What the log says at a node: the last lines of the way that led there."""
        unknown = []
        number = node.number
        while number not in self._known:
            unknown.append(self.timeline.nodes[number])
            number = unknown[-1].parent
        lines = self._known[number]
        for later in reversed(unknown):
            before = self.timeline.nodes[later.parent] if later.parent >= 0 else None
            lines = (lines + tuple(log_lines(later, before)))[-MOST_LINES:]
            self._known[later.number] = lines
        return lines


def log_lines(node: Moment, before: Moment | None) -> Iterator[LogLine]:
    """The lines that one step adds: the command that began, what was done and what broke, how the command ended."""
    place = f"moment:{node.number}"
    over = before is None or before.outcome is not None or before.parent < 0
    began = before is None or (over and before.running is None) or before.command != node.command
    if node.command and began and node.parent >= 0:
        yield LogLine(f"> {node.command}", "strong", place)
    for event in node.stepped.events if node.stepped else ():
        yield from _event_lines(node.state, event, place)
    if node.stepped and node.stepped.blocked:
        yield LogLine(f"  {node.stepped.task} waits: {node.stepped.blocked}", "hazard", place)
    for violation in node.new:
        yield LogLine(f"! {violation.severity}: {violation.invariant}", violation.severity, place, alarm=True)
    if node.outcome is not None:
        role = "plain" if node.outcome.status == "ok" else "hazard"
        yield LogLine(f"  = {in_words(node.outcome)}", role, place)


def _event_lines(state: State, event: Event, place: str) -> Iterator[LogLine]:
    """An event as the kernel's log or a bus analyser would show it."""
    match event:
        case Splat():
            for line in kernel_log(event):
                yield LogLine(f"  {line}", "splat" if line == event.title else "plain", place, alarm=True)
        case Access():
            yield LogLine(f"  {access(state, event)}", "plain", f"frame:{event.pfn}")
        case Printk():
            yield LogLine(f"  {event.text}", "plain", place)
        case Refusal():
            yield LogLine(f"  {tr('why')}: {tr(event.reason)}", "plain", place)


def access(state: State, event: Access) -> str:
    """Who read or wrote which byte; a page that has no name is told by its number.

    >>> access(State(), Access(5, True, 65, process="p0", vpn=17))
    'p0 stores 65 to f5 (page 17)'
    """
    verb, preposition = ("stores", "to") if event.write else ("loads", "from")
    if event.reference:
        who, how = event.device or "the kernel", f"{event.reference}+{event.page}"
    else:
        name = name_of(state, event.process, event.vpn)
        who, how = event.process or "the kernel", f"page {event.vpn}" if name.startswith("@") else name
    return f"{who} {verb} {event.value} {preposition} {frame_name(state, event.pfn)} ({how})"


def strip(timeline: Timeline) -> tuple[tuple[ShownNode, ...], int]:
    """The nodes of the way around the present one, and which of them that is."""
    past: list[Moment] = []
    node = timeline.here
    while node.parent >= 0 and len(past) < WINDOW:
        node = timeline.nodes[node.parent]
        past.append(node)
    future: list[Moment] = []
    number = timeline.next_from(timeline.here.number)
    while number is not None and len(future) < WINDOW:
        future.append(timeline.nodes[number])
        number = timeline.next_from(number)
    way = [*reversed(past), timeline.here, *future]
    ahead = [*way[1:], None]
    nodes = [
        ShownNode(
            one.number,
            timeline.severity(one),
            len(timeline.children.get(one.number, ())) - (following is not None),
            following.command if following is not None and one.running is None else "",
            timeline.bookmarks.get(one.number, ""),
        )
        for one, following in zip(way, ahead, strict=True)
    ]
    return tuple(nodes), len(past)
