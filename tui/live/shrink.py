"""The shortest script that still shows a difference: delta debugging by lines (Zeller and Hildebrandt, TSE 2002)."""

from collections.abc import Callable, Sequence


def shrink(lines: Sequence[str], shows: Callable[[list[str]], bool]) -> list[str]:
    """The lines without all those that `shows` does not need: no single one of the rest can go.

    >>> shrink(["a", "b", "c", "d"], lambda lines: "b" in lines and "d" in lines)
    ['b', 'd']
    """
    kept = list(lines)
    size = max(len(kept) // 2, 1)
    while True:
        at = 0
        shorter = False
        while at < len(kept):
            candidate = kept[:at] + kept[at + size :]
            if candidate and shows(candidate):
                kept, shorter = candidate, True
            else:
                at += size
        if size == 1 and not shorter:
            return kept
        size = max(size // 2, 1)
