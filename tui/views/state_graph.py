"""The map of a state space: every state a sign, the start at the top, one row a move, end states by class."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from lessons.i18n.language import tr
from model.search.result import SearchResult
from model.search.state_graph import Edge, StateGraph
from tui.views.glyphs import Glyphs
from tui.views.row import BLANK, Row, Span, cut, row

if TYPE_CHECKING:
    import networkx as nx

LEFT: Final = 5
"""Columns before the map: the depth."""
GAPS: Final = (4, 2)
"""Columns from one state to the next: the first with which the widest row has room, else the last."""
SWEEPS: Final = 6
"""How often each row is put in the order of its neighbours."""
UNICODE_SIGNS: Final = {"safe": "○", "end": "✓", "hazard": "▲", "corruption": "✗", "splat": "!", "blocked": "="}
ASCII_SIGNS: Final = {"safe": "o", "end": "v", "hazard": "^", "corruption": "X", "splat": "!", "blocked": "="}
ROLES: Final = {"safe": "dim", "end": "ok", "hazard": "hazard", "corruption": "corruption", "splat": "splat"}
WORDS: Final = {
    "safe": "on the way",
    "end": "safe end",
    "hazard": "hazard",
    "corruption": "corruption",
    "splat": "splat",
    "blocked": "stuck: all wait",
}
WIDEST_BAR: Final = 30
MOST_PAST: Final = 40


class Plan(NamedTuple):
    """Where each state stands."""

    layers: tuple[tuple[int, ...], ...]
    """The states by depth, from left to right."""
    columns: tuple[float, ...]
    """State → how far right of the middle, in states."""
    widest: int


class Walk(NamedTuple):
    """Where on the map one is."""

    way: tuple[int, ...]
    """The numbers of the edges that led here."""
    chosen: int
    """Of the edges that lead on: which one is next."""


def graph_of(drawn: StateGraph) -> nx.DiGraph:
    """The map for networkx: states by number; edges with their number."""
    import networkx as nx

    graph = nx.DiGraph()
    graph.add_nodes_from(range(len(drawn.places)))
    graph.add_edges_from((edge.start, edge.end, {"number": number}) for number, edge in enumerate(drawn.edges))
    return graph


def plan(graph: nx.DiGraph) -> Plan:
    """Rows by depth; within a row the states stand below those that lead to them (barycentres, swept both ways)."""
    import networkx as nx

    layers = [list(layer) for layer in nx.bfs_layers(graph, 0)]
    columns = dict.fromkeys(graph, 0.0)

    def spread(layer: list[int]) -> None:
        for place, state in enumerate(layer):
            columns[state] = place - (len(layer) - 1) / 2

    def near(state: int, neighbours: Sequence[int]) -> float:
        return sum(columns[one] for one in neighbours) / len(neighbours) if neighbours else columns[state]

    for layer in layers:
        spread(layer)
    for sweep in range(SWEEPS):
        ahead = graph.predecessors if sweep % 2 == 0 else graph.successors
        for layer in layers if sweep % 2 == 0 else reversed(layers):
            middles = {state: near(state, list(ahead(state))) for state in layer}
            layer.sort(key=middles.__getitem__)
            spread(layer)
    return Plan(
        tuple(map(tuple, layers)), tuple(columns[state] for state in sorted(graph)), max(map(len, layers), default=0)
    )


def kind(drawn: StateGraph, state: int) -> str:
    """What a state counts as on the map: its class, or `end` for a safe one from which nothing leads on."""
    state_node = drawn.places[state]
    return "end" if state_node.ends and state_node.standing == "safe" else state_node.standing


def signs(glyphs: Glyphs) -> dict[str, str]:
    """Kind → sign."""
    return UNICODE_SIGNS if glyphs.arrow == "→" else ASCII_SIGNS


def here(drawn: StateGraph, walk: Walk) -> int:
    """The state at which one is."""
    return drawn.edges[walk.way[-1]].end if walk.way else 0


def edges_from(drawn: StateGraph, state: int) -> list[int]:
    """The numbers of the edges that lead on from a state."""
    return [number for number, edge in enumerate(drawn.edges) if edge.start == state]


# -- the picture -------------------------------------------------------------------------------


def picture(drawn: StateGraph, laid: Plan, walk: Walk, width: int, glyphs: Glyphs) -> list[Row]:
    """The whole map; where it is wider than the pane, the part around the cursor."""
    room = max(width - LEFT, 10)
    gap = next((gap for gap in GAPS if laid.widest * gap <= room), GAPS[-1])
    at = here(drawn, walk)
    half = laid.widest * gap // 2
    middle = room // 2
    if half * 2 > room:
        middle = max(room - half - 1, min(half, middle - round(laid.columns[at] * gap)))
    places = [middle + round(column * gap) for column in laid.columns]
    marks = signs(glyphs)
    trodden = set(walk.way)
    ways = edges_from(drawn, at)
    following = ways[walk.chosen] if walk.chosen < len(ways) else -1
    by_start: dict[int, list[tuple[int, Edge]]] = {}
    for number, edge in enumerate(drawn.edges):
        by_start.setdefault(edge.start, []).append((number, edge))
    depth_of = {state: depth for depth, layer in enumerate(laid.layers) for state in layer}
    rows: list[Row] = []
    for depth, layer in enumerate(laid.layers):
        states = Canvas(room)
        links = Canvas(room)
        for state in layer:
            is_kind = kind(drawn, state)
            role = "now" if state == at else ROLES.get(is_kind, "hazard")
            end = drawn.places[state].ends and gap > 2
            states.put(places[state], marks[is_kind], role, f"place:{state}")
            if end:
                states.put(places[state] - 1, "[", role, f"place:{state}")
                states.put(places[state] + 1, "]", role, f"place:{state}")
            for number, edge in by_start.get(state, ()):
                if depth_of[edge.end] != depth + 1:
                    continue
                role = "key" if number == following else "now" if number in trodden else edge.severity or "dim"
                links.link(places[state], places[edge.end], gap, role)
        rows.append(Row((Span(f"{depth:3}  ", "dim"), *states.spans())))
        if depth + 1 < len(laid.layers):
            rows.append(Row((Span(" " * LEFT), *links.spans())))
    return rows


STRONGER: Final = ("dim", "hazard", "corruption", "splat", "now", "key")
"""Roles of links, the weakest first: what is drawn over what."""


class Canvas:
    """One row of the map, column by column."""

    def __init__(self, width: int) -> None:
        self.cells: Final[list[Span | None]] = [None] * width

    def put(self, at: int, sign: str, role: str, subject: str = "") -> None:
        """A sign in a column, if that is in sight."""
        if 0 <= at < len(self.cells):
            self.cells[at] = Span(sign, role, subject)

    def link(self, start: int, end: int, gap: int, role: str) -> None:
        """A line from a state to one of the row below."""
        slash = "|" if start == end else "/" if end < start else "\\"
        if abs(end - start) <= gap:
            self._over((start + end) // 2 if end != start else start, slash, role)
            return
        step = 1 if end > start else -1
        for at in range(start + step, end - step, step):
            self._over(at, "-", role)
        self._over(end - step, slash, role)

    def _over(self, at: int, sign: str, role: str) -> None:
        """The stronger role stays; two slashes that cross are an x."""
        if not 0 <= at < len(self.cells):
            return
        old = self.cells[at]
        if old is not None:
            if {old.text, sign} == {"/", "\\"}:
                sign = "x"
            elif sign == "-":
                sign = old.text
            role = max(role, old.role, key=lambda one: STRONGER.index(one) if one in STRONGER else 0)
        self.cells[at] = Span(sign, role)

    def spans(self) -> Iterator[Span]:
        """The row; blanks together."""
        blank = 0
        for cell in self.cells:
            if cell is None:
                blank += 1
                continue
            if blank:
                yield Span(" " * blank)
                blank = 0
            yield cell


# -- beside it ---------------------------------------------------------------------------------


def beside(drawn: StateGraph, walk: Walk, width: int, glyphs: Glyphs) -> list[Row]:
    """The state under the cursor, what leads on from it, and the way that led there."""
    at = here(drawn, walk)
    state_node, marks = drawn.places[at], signs(glyphs)
    is_kind = kind(drawn, at)
    word = tr(WORDS[is_kind])
    end = tr(", an end") if state_node.ends and is_kind != "end" else ""
    rows = [row(Span(f" {marks[is_kind]} ", ROLES.get(is_kind, "hazard")), Span(f"{word}{end}", "strong"))]
    rows[0] = Row((*rows[0].spans, Span(f"  {tr('after {moves} moves').format(moves=len(walk.way))}", "dim")))
    for place, number in enumerate(edges_from(drawn, at)):
        edge = drawn.edges[number]
        chosen = place == walk.chosen
        sign = marks[kind(drawn, edge.end)]
        text = f" {glyphs.pointer if chosen else ' '} {_named(edge)} "
        broken = f" {edge.severity}" if edge.severity else ""
        rows.append(
            row(
                Span(cut(text, width - 4 - len(broken)), "key" if chosen else "plain", f"edge:{place}"),
                Span(f"{glyphs.arrow[0]} ", "dim"),
                Span(sign, ROLES.get(kind(drawn, edge.end), "hazard")),
                Span(broken, edge.severity or "dim"),
            )
        )
    if walk.way:
        rows += [BLANK, row(Span(f" {tr('the way here, the last move first')}", "dim"))]
        rows += [row(Span(cut(f"   {_named(drawn.edges[n])}", width), "dim")) for n in walk.way[::-1][:MOST_PAST]]
    return rows


def _named(edge: Edge) -> str:
    """A transition in words.

    >>> from model.search.state_graph import NumberedAction
    >>> _named(Edge(0, 1, NumberedAction("gup", 0), "gup p0 buf as=r", ""))
    'begin gup: gup p0 buf as=r'
    >>> _named(Edge(0, 1, NumberedAction("gup"), "gup_fast.read_pte", ""))
    'gup: gup_fast.read_pte'
    """
    return f"{'begin ' if edge.step.starts >= 0 else ''}{edge.step.task}: {edge.name}"


def legend(drawn: StateGraph, width: int, glyphs: Glyphs) -> Row:
    """How many ends there are of each class, with the signs."""
    marks = signs(glyphs)
    counted: dict[str, int] = {}
    for state, state_node in enumerate(drawn.places):
        if state_node.ends:
            is_kind = kind(drawn, state)
            counted[is_kind] = counted.get(is_kind, 0) + 1
    text = tr("{states} states; ends:").format(states=drawn.states)
    spans = [Span(f" {text} ", "dim")]
    for is_kind, word in WORDS.items():
        if is_kind in counted:
            spans.append(Span(f" {marks[is_kind]} ", ROLES.get(is_kind, "hazard")))
            spans.append(Span(f"{counted[is_kind]} {tr(word)} "))
    used = sum(len(span.text) for span in spans)
    rest = f"  {marks['safe']} {tr(WORDS['safe'])}"
    return row(*spans, Span(cut(rest, max(width - used, 0)), "dim"))


def too_large(found: SearchResult, most: int, width: int, glyphs: Glyphs) -> list[Row]:
    """A space that nobody could read as a map: how many states of each class there are at each depth."""
    words = tr("{states} states: too many for a map, which shows {most} at most. New states by depth and class:")
    head = words.format(states=f"{found.states:,}", most=f"{most:,}")
    rows = [row(Span(f" {line}", "strong")) for line in textwrap.wrap(head, max(width - 2, 20))]
    rows.append(BLANK)
    fullest = max((layer.states for layer in found.layers), default=1)
    marks = signs(glyphs)
    for depth, layer in enumerate(found.layers):
        bar = -(-layer.states * min(WIDEST_BAR, width // 3) // max(fullest, 1))
        spans = [Span(f"{depth:4} ", "dim"), Span("#" * bar, "now"), Span(f" {layer.states:,} ", "strong")]
        for severity, states in layer.broken:
            spans += [Span(f" {marks[severity]} ", ROLES[severity]), Span(f"{states:,} {tr(WORDS[severity])} ")]
        rows.append(Row(tuple(spans)))
    return rows
