"""What happens to permitted commands in a schedule: they are started, and end in one way or another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from model.search.bfs import Search
    from model.search.transition_cache import Actor

STARTED: Final = ""


class CommandEvent(NamedTuple):
    """A command is started, or ends."""

    permission: int
    """The number of its `may` line."""
    outcome: str
    """`ok`, an errno or a signal; STARTED: it is started."""


class CommandEvents:
    """Which transitions of a search are events of commands."""

    def __init__(self, search: Search) -> None:
        cache = self.cache = search.cache
        self.numbers: Final = {actor: number for number, actor in enumerate(cache.starters)}
        permissions = [actor.permission for actor in cache.starters]
        self.runs: Final = {
            task: number for number, one in enumerate(permissions) if one is not None for task in one.tasks
        }
        """Task → the permission that it is started by."""
        images = search.symmetry.images if search.symmetry is not None else []
        self.told_apart: Final = all(image.renaming.permissions == tuple(range(len(permissions))) for image in images)
        """No state stands for another one in which these commands have changed places."""

    @property
    def all(self) -> list[CommandEvent]:
        """Every event that the search has met; empty where commands take each other's place."""
        if not self.told_apart:
            return []
        ends = {
            CommandEvent(self.runs[actor.task], outcome)
            for actor in self.cache.threads
            if actor.task in self.runs
            for outcome in self.cache.outcomes(actor)
        }
        return [*(CommandEvent(number, STARTED) for number in self.numbers.values()), *sorted(ends)]

    def of(self, actor: Actor, packed: int) -> CommandEvent | None:
        """The event that a transition is."""
        if actor.permission is not None:
            return CommandEvent(self.numbers[actor], STARTED)
        outcome = self.cache.outcome(actor, packed) if actor.task in self.runs else ""
        return CommandEvent(self.runs[actor.task], outcome) if outcome else None
