"""A search that goes on in arrays, from where the sets have become large."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING, Final, cast

import numpy as np

from model.search.paths import turned
from model.search.state_arrays import (
    Known,
    Levels,
    Outcome,
    groups,
    moves,
    packed_of,
    row_of,
    rows_of,
    smaller,
    wider,
    words_of,
)

if TYPE_CHECKING:
    from model.search.bfs import Kind, Progress, Search
    from model.search.state_arrays import Rows
    from model.search.symmetry import Image, Symmetry
    from model.search.transition_cache import Actor

EVERY: Final = 1000
"""One in so many new states has its remembered transitions run anew, as a guard."""


class Seen(Collection[int]):
    """All known states, as far as anybody asks for them."""

    def __init__(self, known: Known) -> None:
        self.known = known

    def __len__(self) -> int:
        return len(self.known)

    def __iter__(self) -> Iterator[int]:
        return (packed for depth in range(self.known.depth + 1) for packed in self.known.level(depth))

    def __contains__(self, packed: object) -> bool:
        return any(packed == one for one in self)


def search_in_arrays(
    search: Search, most_states: int, stop: Callable[[Kind], bool], progress: Callable[[Progress], bool]
) -> None:
    """Go on with a search; see `Search.run`. Its levels and states are found in arrays from then on."""
    known = Known(words_of(search.memo.ledger.bits))
    for depth, level in enumerate(search.levels):
        for wave, part in _waves(search, level).items():
            known.new(rows_of(part, known.words), depth, wave, most_states + 1)
    depth = len(search.levels) - 1
    frontier = rows_of(search.levels[-1], known.words)
    search.seen = cast("set[int]", Seen(known))
    search.levels = cast("list[list[int]]", Levels(known, depth + 1))
    while len(frontier):
        if any(stop(kind) for kind in search.found):
            return
        frontier = _started(search, known, frontier, depth, most_states)
        if len(known) > most_states:
            return
        following = _stepped(search, known, frontier, depth + 1, most_states)
        depth += 1
        search.levels = cast("list[list[int]]", Levels(known, depth + 1))
        for row in following[EVERY // 2 :: EVERY]:
            search.verify(packed_of(row))
        if len(known) > most_states or not progress(search.progressed(len(following))):
            return
        frontier = following
    search.levels = cast("list[list[int]]", Levels(known, depth))
    search.complete = True


def _waves(search: Search, level: list[int]) -> dict[int, list[int]]:
    """A level that was found in sets, by how many commands in a row were started to come to a state."""
    wave = dict.fromkeys(level, 0)
    for packed in level:
        for actor in search.memo.starters:
            after = search.canonical(packed ^ turned(search.memo.effect(actor, packed)))
            if after != packed and after in wave:
                wave[after] = max(wave[after], wave[packed] + 1)
    found: dict[int, list[int]] = {}
    for packed, number in wave.items():
        found.setdefault(number, []).append(packed)
    return found


def _started(search: Search, known: Known, level: Rows, depth: int, most: int) -> Rows:
    """A level with all that starting commands leads to."""
    parts, newest, wave = [level], level, 0
    while len(newest) and len(known) <= most:
        wave += 1
        after: list[Rows] = []
        for actor in search.memo.starters:
            outcome = moves(search, actor, newest)
            _note(search, actor, outcome, 0)
            after += outcome.after
        newest = _new(search, known, after, depth, wave, most)
        if len(newest):
            parts.append(newest)
    words = known.words
    return np.concatenate([wider(part, words) for part in parts])


def _stepped(search: Search, known: Known, level: Rows, depth: int, most: int) -> Rows:
    """One micro-step of every task in every state of a level; returns the new states."""
    after: list[Rows] = []
    moved, waits = np.zeros(len(level), bool), np.zeros(len(level), bool)
    last = search.memo.tasks[0] if search.memo.tasks else None
    for actor in search.memo.tasks:
        outcome = moves(search, actor, level)
        _note(search, actor, outcome, 1)
        after += outcome.after
        moved |= outcome.moved
        waits |= outcome.waits
        last = actor if outcome.waits.any() else last
    stuck = level[waits & ~moved]
    if last is not None and search.stuck is None:
        any(search.note_stuck(packed_of(row), last) for row in stuck)
    return _new(search, known, after, depth, 0, most)


def _new(search: Search, known: Known, after: list[Rows], depth: int, wave: int, most: int) -> Rows:
    """Those that were not known."""
    search.transitions += sum(len(rows) for rows in after)
    known.widen(words_of(search.memo.ledger.bits))
    after = [wider(rows, known.words) for rows in after if len(rows)]
    if not after:
        return np.zeros((0, known.words), np.uint64)
    rows = np.concatenate(after)
    if search.symmetry is not None:
        rows = _standing_for(search.symmetry, known.unknown(rows))
        known.widen(rows.shape[1])
    return known.new(rows, depth, wave, most + 1)


def _standing_for(symmetry: Symmetry, rows: Rows) -> Rows:
    """The states that stand for some."""
    least = rows
    for image in symmetry.images:
        other = _under_other_names(image, rows)
        least = smaller(wider(least, other.shape[1]), other)
    return least


def _under_other_names(image: Image, rows: Rows) -> Rows:
    """The same states under other names: each chunk is looked up once for all rows that are alike in it."""
    image.look_again()
    words = max(words_of(image.memo.ledger.bits), rows.shape[1])
    others = wider(rows, words) & np.array(row_of(image.still, words), np.uint64)
    for chunk in image.chunks:
        alike, which = groups(rows, chunk.mask)
        others |= rows_of([image.part(chunk, packed_of(row)) for row in alike], words)[which]
    return others


def _note(search: Search, actor: Actor, outcome: Outcome, cost: int) -> None:
    """What the moves violate, with ways into it."""
    for effect, rows in outcome.notes:
        assert not isinstance(effect, int)
        search.note(effect[1], actor, (packed_of(outcome.rows[row]) for row in rows), cost)
