"""The search in arrays: a level at a time, states as rows of 64-bit words, for spaces beyond some ten thousand states.

It needs numpy (the extra `search`) and knows nothing of the model either: the same cells are asked, once for all rows
of a level that look the same to them. What is known is kept as sorted runs of rows, with the level at which each was
found: some 28 bytes a state where it has up to 192 bits.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from model.search.transition_cache import Actor, Effect

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Rows = NDArray[np.uint64]
    """One row a state, the lowest word first."""
    Keys = NDArray[np.bytes_]
    """The same rows as byte strings, the highest byte first: these can be sorted and searched."""
    Depths = NDArray[np.uint32]

WORD: Final = 64
WAVES: Final = 1 << 8
"""Starts of commands in a row that one level can have; its states are kept in that order."""
FULL: Final = (1 << WORD) - 1
MIX: Final = np.uint64(0x9E3779B97F4A7C15)
"""An odd number to multiply with: what is mixed is compared afterwards, so any would do."""


def words_of(bits: int) -> int:
    """How many words hold so many bits."""
    return max(1, -(-bits // WORD))


def row_of(packed: int, words: int) -> list[int]:
    """A packed state, or a mask, as words; what lies beyond them is left out."""
    return [packed >> WORD * number & FULL for number in range(words)]


def packed_of(row: Rows) -> int:
    """The packed state of a row."""
    return sum(int(word) << WORD * number for number, word in enumerate(row))


def rows_of(packed: Sequence[int], words: int) -> Rows:
    """Packed states as rows."""
    return np.array([row_of(one, words) for one in packed], dtype=np.uint64).reshape(len(packed), words)


def wider(rows: Rows, words: int) -> Rows:
    """The same rows with zeros on top."""
    missing = words - rows.shape[1]
    return np.pad(rows, ((0, 0), (0, missing))) if missing > 0 else rows


def keys_of(rows: Rows) -> Keys:
    """Rows as byte strings."""
    turned = np.ascontiguousarray(rows[:, ::-1]).astype(">u8")
    return turned.view(f"S{8 * rows.shape[1]}").ravel()


def rows_again(keys: Keys) -> Rows:
    """Byte strings as rows."""
    words = keys.dtype.itemsize // 8
    return np.ascontiguousarray(keys).view(">u8").reshape(len(keys), words)[:, ::-1].astype(np.uint64)


def groups(rows: Rows, mask: int) -> tuple[Rows, NDArray[np.intp]]:
    """The different values that the bits of a mask have in some rows, and which of them each row has."""
    wanted = np.array(row_of(mask, rows.shape[1]), dtype=np.uint64)
    used = np.flatnonzero(wanted)
    if not len(used):
        return np.zeros((1, rows.shape[1]), np.uint64), np.zeros(len(rows), np.intp)
    narrow = rows[:, used] & wanted[used]
    mixed = narrow[:, 0].copy()
    for column in range(1, len(used)):
        mixed = mixed * MIX ^ narrow[:, column]
    _, first, inverse = np.unique(mixed, return_index=True, return_inverse=True)
    if len(used) > 1 and (narrow[first][inverse] != narrow).any():  # two values mixed to one number
        _, first, inverse = np.unique(keys_of(narrow), return_index=True, return_inverse=True)
    whole = np.zeros((len(first), rows.shape[1]), np.uint64)
    whole[:, used] = narrow[first]
    return whole, inverse


def smaller(rows: Rows, others: Rows) -> Rows:
    """Of each row and the one in its place among the others, the one that is the smaller number."""
    less, same = np.zeros(len(rows), bool), np.ones(len(rows), bool)
    for word in range(rows.shape[1] - 1, -1, -1):
        less |= same & (others[:, word] < rows[:, word])
        same &= others[:, word] == rows[:, word]
    return np.where(less[:, np.newaxis], others, rows)


class Known:
    """Every state that was found, and when."""

    def __init__(self, words: int) -> None:
        self.words = words
        self.runs: list[tuple[Keys, Depths]] = []
        """Sorted, the larger ones first; at least twice as large as the next."""
        self.depth = 0

    def __len__(self) -> int:
        return sum(len(keys) for keys, _ in self.runs)

    @property
    def nbytes(self) -> int:
        """Bytes that all of it takes."""
        return sum(keys.nbytes + depths.nbytes for keys, depths in self.runs)

    def widen(self, words: int) -> None:
        """States have more bits from now on."""
        if words > self.words:
            self.words = words
            self.runs = [(keys_of(wider(rows_again(keys), words)), depths) for keys, depths in self.runs]

    def unknown(self, rows: Rows) -> Rows:
        """Those of the rows that are not known, each once."""
        return rows_again(self._unknown(rows))

    def _unknown(self, rows: Rows) -> Keys:
        keys = np.unique(keys_of(rows))
        for known, _ in self.runs:
            at = np.searchsorted(known, keys)
            at[at == len(known)] = 0
            keys = keys[known[at] != keys]
        return keys

    def new(self, rows: Rows, depth: int, wave: int, most: int) -> Rows:
        """Add those of the rows that are not known, at most `most` states in all; returns these, each once."""
        keys = self._unknown(rows)[: max(0, most - len(self))]
        if len(keys):
            self.depth = max(self.depth, depth)
            moment = depth * WAVES + min(wave, WAVES - 1)
            self.runs.append((keys, np.full(len(keys), moment, np.uint32)))
            self._merge()
        return rows_again(keys)

    def _merge(self) -> None:
        """Few runs, so that few have to be searched."""
        while len(self.runs) > 1 and len(self.runs[-2][0]) < 2 * len(self.runs[-1][0]):
            (one, when_one), (other, when_other) = self.runs[-2:]
            keys = np.concatenate((one, other))
            order = np.argsort(keys, kind="stable")
            self.runs[-2:] = [(keys[order], np.concatenate((when_one, when_other))[order])]

    def level(self, depth: int) -> list[int]:
        """The states of a level as packed integers, in the order in which commands were started."""
        parts = [(keys[mask], when[mask]) for keys, when in self.runs if (mask := when // WAVES == depth).any()]
        if not parts:
            return []
        when = np.concatenate([moment for _, moment in parts])
        rows = np.concatenate([rows_again(keys) for keys, _ in parts])
        return [packed_of(row) for row in rows[np.argsort(when, kind="stable")]]


class Levels(Sequence[list[int]]):
    """The levels of a search in arrays, each made into packed states when it is looked at."""

    def __init__(self, known: Known, depths: int) -> None:
        self.known = known
        self.depths = depths

    def __len__(self) -> int:
        return self.depths

    def __getitem__(self, depth: Any) -> Any:
        if isinstance(depth, slice):
            return [self[number] for number in range(*depth.indices(self.depths))]
        number = depth + self.depths if depth < 0 else depth
        if not 0 <= number < self.depths:
            raise IndexError(depth)
        return self.known.level(number)

    def __iter__(self) -> Iterator[list[int]]:
        return (self.known.level(number) for number in range(self.depths))


class Outcome:
    """What the moves of one actor lead to, from all rows of a level."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self.moved = np.zeros(len(rows), bool)
        self.waits = np.zeros(len(rows), bool)
        """Rows in which the actor is there and cannot move."""
        self.after: list[Rows] = []
        self.notes: list[tuple[Effect, NDArray[np.intp]]] = []
        """What is violated, and in which rows."""

    @property
    def transitions(self) -> int:
        """How many moves there were."""
        return sum(len(rows) for rows in self.after)


def moves(search: Any, actor: Actor, rows: Rows) -> Outcome:
    """Let one actor move in every row in which it can."""
    outcome = Outcome(rows)
    places, which = groups(rows, actor.control.mask)
    for number, place in enumerate(places):
        at = packed_of(place)
        if at != actor.idle:
            selected = np.flatnonzero(which == number)
            _moves_at(search, actor, at, selected, outcome)
    return outcome


def _moves_at(search: Any, actor: Actor, at: int, selected: NDArray[np.intp], outcome: Outcome) -> None:
    """The same for the rows in which the actor is at one place: its cell is asked once for rows that are alike."""
    memo = search.memo
    rows = outcome.rows[selected]
    while True:
        cell = actor.cells.get(at)
        if cell is None:
            memo.learn(actor, packed_of(rows[0]))
            cell = actor.cells[at]
        mask = cell.mask
        alike, which = groups(rows, mask)
        keys = [packed_of(row) for row in alike]
        first = _first_of_each(which, len(alike))
        missing = next((number for number, key in enumerate(keys) if key not in cell.effects), -1)
        while missing >= 0:
            memo.learn(actor, packed_of(rows[first[missing]]))
            if actor.cells[at] is not cell or cell.mask != mask:
                break  # it looks at more than before: ask the wider cell
            missing = next((n for n in range(missing + 1, len(keys)) if keys[n] not in cell.effects), -1)
        else:
            break
    effects: list[Effect] = [cell.effects[key] for key in keys]
    turned = [effect if isinstance(effect, int) else effect[0] for effect in effects]
    words = max(rows.shape[1], words_of(memo.ledger.bits))
    table = rows_of(turned, words)
    possible = np.array([bool(one) for one in effects])[which]
    outcome.moved[selected[possible]] = True
    outcome.waits[selected[~possible]] = True
    outcome.after.append(wider(rows[possible], words) ^ table[which[possible]])
    for number, effect in enumerate(effects):
        if not isinstance(effect, int):
            outcome.notes.append((effect, selected[which == number]))


def _first_of_each(which: NDArray[np.intp], count: int) -> NDArray[np.intp]:
    """For each group the first row that belongs to it."""
    first = np.zeros(count, np.intp)
    first[which[::-1]] = np.arange(len(which) - 1, -1, -1)
    return first
