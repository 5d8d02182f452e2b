"""Which page an allocation gets, where it may get any: the choices that a search tries, one after the other.

Free pages that nobody refers to are interchangeable, so one of them stands for all. A page that somebody still refers
to, through an old reference, a TLB or a page table, is a choice of its own: it is used again, or it is not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

MOST_CHOICES: Final = 6
"""Choices that are tried in one micro-step; a search that met more of them is not complete."""


class PageChoice:
    """Picks pages for the allocations of one micro-step, according to the number of the choice."""

    def __init__(self, number: int, is_held: Callable[[int], bool]) -> None:
        self.left: int = number
        self.is_held: Final = is_held
        """Whether somebody refers to a page."""
        self.choices = 1
        """How many there have been: with one allocation the pages to choose from, with several the combinations."""
        self.picked: tuple[int, ...] = ()

    def __call__(self, free: Sequence[int], fresh: int | None) -> int:
        """The page of the next allocation."""
        held = [page for page in sorted(free) if self.is_held(page)]
        others = [page for page in sorted(free) if page not in held]
        options = held + (others[:1] or ([] if fresh is None else [fresh]))
        self.left, index = divmod(self.left, len(options))
        self.choices *= len(options)
        self.picked += (options[index],)
        return options[index]
