"""A state space drawn as text: a row for each depth, a sign for each state, and the ways on from one of them."""

from collections.abc import Sequence
from functools import cache
from typing import Final, NamedTuple

from lessons.language import tr
from model.search.atlas import Atlas, Place
from tui.rows.glyphs import Glyphs
from tui.rows.row import Row, Span, cut, row

STEP: Final = 3
"""Columns from one state of a row to the next."""


class Drawing(NamedTuple):
    """Where each state stands."""

    columns: tuple[int, ...]
    """By state."""
    layers: tuple[tuple[int, ...], ...]
    """The states of each depth, from left to right."""


@cache
def draw(atlas: Atlas) -> Drawing:
    """A layered layout: by depth from top to bottom, each state near those that lead to it."""
    import networkx as nx  # noqa: PLC0415 - a large import, needed only where a map is looked at

    graph: nx.DiGraph[int] = nx.DiGraph((step.start, step.end) for step in atlas.steps)
    graph.add_node(0)
    rank: dict[int, float] = {}
    layers = []
    for layer in nx.bfs_layers(graph, 0):
        ordered = sorted(layer, key=lambda number: _middle(list(graph.predecessors(number)), rank))
        rank.update({number: at - len(ordered) / 2 for at, number in enumerate(ordered)})
        layers.append(tuple(ordered))
    widest = max(map(len, layers))
    columns = {
        number: (widest - len(layer)) * STEP // 2 + at * STEP for layer in layers for at, number in enumerate(layer)
    }
    return Drawing(tuple(columns[number] for number in range(len(atlas.places))), tuple(layers))


def _middle(before: Sequence[int], rank: dict[int, float]) -> float:
    """Where the states before stand, on average."""
    known = [rank[number] for number in before if number in rank]
    return sum(known) / len(known) if known else 0.0


def sign_of(place: Place, glyphs: Glyphs) -> tuple[str, str]:
    """A state's sign and role: more can happen, or how it ends."""
    if place.stuck:
        return "=", "hazard"
    worse = {"": glyphs.ok if place.ends else glyphs.ahead, "hazard": glyphs.caution}
    sign = worse.get(place.worst, glyphs.broken)
    return sign, "ok" if place.ends and not place.worst else place.worst or "dim"


def chart(atlas: Atlas, here: int, way: Sequence[int], ahead: int, width: int, glyphs: Glyphs) -> list[Row]:
    """The map around `here`; `way` are the states on the way there, `ahead` the one that the chosen step leads to."""
    drawing = draw(atlas)
    room = width - 5
    first = max(0, drawing.columns[here] - room // 2) if max(drawing.columns) >= room else 0
    rows = []
    for depth, layer in enumerate(drawing.layers):
        spans = [Span(f"{depth:3}  ", "dim")]
        at = 0
        for number in layer:
            column = drawing.columns[number] - first
            if not 0 <= column < room:
                continue
            sign, role = sign_of(atlas.places[number], glyphs)
            if number == here:
                sign, role = glyphs.here, "here"
            elif number in way:
                role = "now"
            elif number == ahead:
                role = "lit"
            spans += [Span(" " * (column - at)), Span(sign, role, f"place:{number}")]
            at = column + 1
        rows.append(row(*spans))
    return rows


def ways_on(atlas: Atlas, here: int, chosen: int, width: int, glyphs: Glyphs) -> list[Row]:
    """What is known of a state, and each step that leads on from it."""
    place = atlas.places[here]
    rows = [row(Span(cut(said(place), width), place.worst or ("ok" if place.ends else "strong")))]
    for number, step in enumerate(step for step in atlas.steps if step.start == here):
        lead = f" {glyphs.pointer} " if number == chosen else "   "
        sign, role = sign_of(atlas.places[step.end], glyphs)
        breaks = f"  {tr(step.severity)}" if step.severity else ""
        rows.append(
            row(
                Span(lead, "now"),
                Span(f"{sign} ", role),
                Span(cut(step.label, width - 6 - len(breaks)), "strong" if number == chosen else "plain"),
                Span(breaks, step.severity or "plain"),
            )
        )
    return rows


def said(place: Place) -> str:
    """What a state is, in words."""
    if place.stuck:
        return tr("Every task waits for another, for ever.")
    if place.worst and not place.best:
        what = tr("on some way here: {worst}").format(worst=tr(place.worst))
    elif place.worst:
        what = tr("on every way here: {best}").format(best=tr(place.best))
    else:
        what = tr("nothing is broken on any way here")
    end = tr("An end") if place.ends else tr("More can happen")
    return f"{end}; {what}."


def legend(atlas: Atlas, glyphs: Glyphs) -> str:
    """How many ends of each class there are."""
    ends = [place for place in atlas.places if place.ends]
    counts: dict[str, int] = {}
    for place in ends:
        sign, _ = sign_of(place, glyphs)
        name = tr("stuck") if place.stuck else tr(place.worst) if place.worst else tr("safe")
        counts[f"{sign} {name}"] = counts.get(f"{sign} {name}", 0) + 1
    text = tr("{states} states, {steps} steps, {count} ends").format(
        states=len(atlas.places), steps=len(atlas.steps), count=len(ends)
    )
    return f"{text}: " + ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
