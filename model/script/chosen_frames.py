"""The frames that a micro-step allocates, as `step T taking=…` chooses them: with `set allocator any` that is open."""

from collections.abc import Sequence

from model.engine.procedure import advance
from model.memory.state import State


class NotFreeError(Exception):
    """A page cannot be had; the message says why."""


class ChosenFrames:
    """Picks the given pages, one after the other. Raises NotFreeError."""

    def __init__(self, pages: Sequence[int]) -> None:
        self.left = list(pages)

    def __call__(self, free: Sequence[int], fresh: int | None) -> int:
        """The page of the next allocation."""
        could = [*sorted(free), *([] if fresh is None else [fresh])]
        page = self.left.pop(0) if self.left else None
        if page not in could:
            named = "one more frame than `taking=` names" if page is None else f"frame {page}, which it cannot get"
            raise NotFreeError(f"its allocation would take {named}: {', '.join(map(str, could))} are free")
        return page


def why_not(state: State, task: str, pages: Sequence[int]) -> str:
    """Why the next micro-step of a task cannot take these pages; empty where it can."""
    chosen = ChosenFrames(pages)
    try:
        advance(state, task, chosen)
    except NotFreeError as wrong:
        return str(wrong)
    return f"it does not choose frame {chosen.left[0]}: nothing is open there" if chosen.left else ""
