"""The history as a tree: every path that was taken, with names and bookmarks; nothing is ever lost."""

from collections.abc import Iterator

from msgspec.structs import replace

from lessons.i18n.language import tr
from model.session.timeline import Node, Timeline
from tui.views.glyphs import Glyphs
from tui.views.row import Row, Span, cut


def tree(timeline: Timeline, width: int, glyphs: Glyphs, marked: int = -1) -> list[Row]:
    """A row for each place where something begins, ends, divides, or has a name; other micro-steps are counted.

    `marked`: the node that others are to be compared with.
    """
    rows: list[Row] = []
    stack: list[tuple[int, str, str]] = [(0, "", "")]
    while stack:
        number, lead, turn = stack.pop()
        node, passed = _next_stop(timeline, number)
        rows.append(_row(timeline, node, passed, f"{lead}{turn}", width, glyphs, marked=node.number == marked))
        below = f"{lead}{glyphs.bar} " if turn else lead
        ways = timeline.children.get(node.number, [])
        # What comes first on the stack is drawn last: the oldest way goes on in its column, below the others.
        stack += [(ways[0], lead, turn and f"{glyphs.bar} ")] if ways else []
        fork = "+-" if glyphs.link == "-" else "├─"
        stack += [(way, below, fork) for way in ways[1:]]
    return rows


def _next_stop(timeline: Timeline, number: int) -> tuple[Node, int]:
    """The next place worth a row, and how many micro-steps lie between."""
    node, passed = timeline.nodes[number], 0
    while not _stands_out(timeline, node):
        node = timeline.nodes[timeline.children[node.number][0]]
        passed += 1
    return node, passed


def _stands_out(timeline: Timeline, node: Node) -> bool:
    ways = len(timeline.children.get(node.number, ()))
    known = node.number in timeline.bookmarks or node.number == timeline.here.number
    return known or ways != 1 or node.parent < 0 or node.outcome is not None


def _row(timeline: Timeline, node: Node, passed: int, lead: str, width: int, glyphs: Glyphs, *, marked: bool) -> Row:
    """One place: sign, step, name, command, how it ended, what is wrong."""
    subject = f"node:{node.number}"
    spans = [Span(lead, "dim"), _sign(timeline, node, glyphs), Span(f" {node.depth:<4} ", "dim", subject)]
    if marked:
        spans.append(Span(f"<{tr('marked')}> ", "strong", subject))
    name = timeline.bookmarks.get(node.number, "")
    if name:
        spans.append(Span(f"[{name}] ", "name", subject))
    spans += [Span(text, role, subject) for text, role in _words(timeline, node, passed)]
    room, kept = width, []
    for span in spans:
        kept.append(replace(span, text=cut(span.text, room)))
        room -= len(kept[-1].text)
    return Row(tuple(kept))


def _sign(timeline: Timeline, node: Node, glyphs: Glyphs) -> Span:
    subject = f"node:{node.number}"
    if node.number == timeline.here.number:
        return Span(glyphs.here, "here", subject)
    severity = timeline.severity(node)
    if severity:
        return Span(glyphs.caution if severity == "hazard" else glyphs.broken, severity, subject)
    return Span(glyphs.node, "now", subject)


def _words(timeline: Timeline, node: Node, passed: int) -> Iterator[tuple[str, str]]:
    """What a place is: pieces of text, each with its role."""
    if node.parent < 0:
        yield tr("the machine has just been booted"), "plain"
    yield node.command, "code"
    if node.outcome is not None:
        yield f" = {node.outcome}", "plain" if node.outcome.status == "ok" else "hazard"
    elif node.stepped is not None:
        yield f" > {node.stepped.procedure}.{node.stepped.step}", "plain"
    if passed:
        steps = tr("({count} micro-steps)") if passed > 1 else tr("(1 micro-step)")
        yield "  " + steps.format(count=passed), "dim"
    broken = list(dict.fromkeys(violation.invariant for violation in node.new))
    if broken:
        yield f"  ! {', '.join(broken)}", "wrong"
    if node.changes and not node.running:
        elsewhere = next((other for other in timeline.same_as(node) if other.number < node.number), None)
        if elsewhere is not None:
            yield "  " + tr("same machine as step {step}").format(step=elsewhere.depth), "dim"
