"""Numbers of the pages of a large folio, as runs of equal ones: 512 pages that are all alike cost no more than one.

Runs are `((first, value), …)`: the value holds from page `first` to where the next run begins. Pages before the first
run have 0, and so have those behind the folio. Neighbouring runs differ, so equal numbers are equal tuples.
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator

Runs = tuple[tuple[int, int], ...]


def run_at(runs: Runs, page: int) -> int:
    """The number of one page.

    >>> run_at(((0, 1), (100, 2)), 99), run_at(((0, 1), (100, 2)), 100), run_at((), 7)
    (1, 2, 0)
    """
    after = bisect_right(runs, page, key=_first)
    return runs[after - 1][1] if after else 0


def added(runs: Runs, first: int, end: int, number: int) -> Runs:
    """With `number` added to the pages in [first, end); it may be negative.

    >>> added(((0, 1),), 256, 266, -1)
    ((0, 1), (256, 0), (266, 1))
    """
    return _changed(runs, first, end, lambda value: value + number)


def filled(runs: Runs, first: int, end: int, number: int) -> Runs:
    """With `number` for each of the pages in [first, end).

    >>> filled(((0, 1), (256, 0)), 0, 512, 0)
    ()
    """
    return _changed(runs, first, end, lambda _value: number)


def rows(runs: Runs, pages: int) -> Iterator[tuple[int, int, int]]:
    """Every run of the first `pages` pages: where it begins, how many pages it has, and their number.

    >>> list(rows(((2, 1), (4, 0)), 8))
    [(0, 2, 0), (2, 2, 1), (4, 4, 0)]
    """
    first, value = 0, 0
    for begin, number in (*runs, (pages, 0)):
        if begin > first:
            yield first, min(begin, pages) - first, value
        if begin >= pages:
            return
        first, value = begin, number


def _first(run: tuple[int, int]) -> int:
    return run[0]


def _changed(runs: Runs, first: int, end: int, change: Callable[[int], int]) -> Runs:
    """The runs with the numbers of the pages in [first, end) changed."""
    if first >= end:
        return runs
    made: list[tuple[int, int]] = []
    inside = [(begin, number) for begin, number in runs if first < begin < end]
    pieces = (
        *((begin, number) for begin, number in runs if begin < first),
        (first, change(run_at(runs, first))),
        *((begin, change(number)) for begin, number in inside),
        (end, run_at(runs, end)),
        *((begin, number) for begin, number in runs if begin > end),
    )
    for begin, number in pieces:
        if number != (made[-1][1] if made else 0):
            made.append((begin, number))
    return tuple(made)
