"""Which pages of a buffer the steps of a driver file are about: `zap 1 2`, `alloc first=1 count=2`."""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from model.driver_files.records import DriverLine, KernelDriver

MOST_PAGES: Final = 16
"""Pages of a buffer in which the pages that steps name are looked at."""


class BufferPart(NamedTuple):
    """Pages of a buffer."""

    first: int = 0
    pages: int = 0
    """0: all up to the end."""

    @property
    def is_whole(self) -> bool:
        """The buffer's pages, however many it has."""
        return not self.first and not self.pages

    def end_in(self, pages: int) -> int:
        """The page behind its last one in a buffer of so many; not before its first.

        >>> BufferPart(1).end_in(4), BufferPart(1, 2).end_in(4), BufferPart(6, 2).end_in(4)
        (4, 3, 6)
        """
        end = min(self.first + self.pages, pages) if self.pages else pages
        return max(end, self.first)


def cover(parts: Iterable[BufferPart], wanted: BufferPart) -> bool:
    """Whether some parts together are all of the wanted one.

    >>> cover([BufferPart(2), BufferPart(0, 2)], WHOLE), cover([BufferPart(0, 1), BufferPart(2, 1)], BufferPart(0, 3))
    (True, False)
    """
    reached = wanted.first
    for part in sorted(parts):
        if part.first > reached:
            break
        if not part.pages:
            return True
        reached = max(reached, part.first + part.pages)
    return bool(wanted.pages) and reached >= wanted.first + wanted.pages


WHOLE: Final = BufferPart()


def range_of(step: DriverLine) -> BufferPart:
    """The pages that a step names; one that names none is about all of them."""
    keys = ("first", "count") if step.word == "alloc" else ("FIRST", "COUNT")
    return BufferPart(*(step.number_at(key, 0) for key in keys))


def _steps(driver: KernelDriver) -> Iterator[DriverLine]:
    for one in (*driver.ops, *driver.functions):
        yield from one.every_step()


def tried(driver: KernelDriver) -> tuple[int, int]:
    """(pages, page): how large a buffer shows what a driver does to a part, and which page of it to look at.

    That is a page which is moved but not zapped, else one that is moved but not copied, else one that is moved. Of a
    driver whose steps name no pages: the only one.
    """
    named = [(step.word, range_of(step)) for step in _steps(driver) if step.word in {"zap", "copy", "alloc"}]
    bounds = [border for _, part in named for border in (part.first, part.first + part.pages)]
    pages = min(max(bounds, default=0) + 1, MOST_PAGES)

    def of(word: str) -> set[int]:
        return {page for name, part in named if name == word for page in range(part.first, part.end_in(pages))}

    moved = of("alloc") or set(range(pages))
    wanted = moved - of("zap") or moved - of("copy") or moved
    return pages, min(wanted, default=0)
