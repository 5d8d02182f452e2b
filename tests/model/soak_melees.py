"""Melees: up to four calls of all that belong to a beginning, in random interleavings, and nobody checks the rules.

So one costs a fraction of an episode, and many more interleavings are tried: the only find is an error inside the
program. Half of the calls take something away that is there just now.
"""

from typing import Final

from model.engine.procedure import advance
from model.memory.state import State
from model.script.execute import ITS_OWN
from model.script.runner import Runner
from tests.model.random_scripts import Chance
from tests.model.soak_calls import calls_on
from tests.model.soak_coverage import Coverage
from tests.model.soak_episodes import Episode, Find, place_of
from tests.model.soak_scenes import that_succeed
from tests.model.soak_strikes import begun, killers, onward

MELEES: Final = 40
"""Of one beginning."""
FIGHTERS: Final = ("A", "B", "C", "D")
STRIDES: Final = (1, 1, 2, 3, 5, 8, 13, 21, 34, 400)
"""Micro-steps of one turn; the last is as far as it comes."""


def melee(number: int, coverage: Coverage | None = None) -> Find | None:
    """All melees of a number; what went wrong, if anything did."""
    episode, runner = Episode(number), Runner()
    lines = tuple(that_succeed(episode.prelude, runner))
    calls = calls_on(episode.backing, episode.kernel)
    for _ in range(MELEES):
        fight = Melee(runner.context.state, lines, calls, episode.chance)
        find = fight.find()
        if coverage is not None:
            coverage.note(fight.made)
        if find is not None:
            return find
    return None


class Melee:
    """One of them: the machine, and the script so far."""

    def __init__(
        self, state: State, lines: tuple[str, ...], calls: tuple[tuple[str, ...], ...], chance: Chance
    ) -> None:
        self.state = state
        self.script = [*lines]
        self.made = set[tuple[str, str]]()
        """The micro-steps of the turns: procedure and name."""
        self.calls: Final = calls

        self.chance: Final = chance

    def find(self) -> Find | None:
        """Fight it out; what went wrong, if anything did."""
        names = FIGHTERS[: self.chance.number(2, len(FIGHTERS))]
        try:
            for _ in range(self.chance.number(6, 30)):
                self.turn(self.chance.one_of(names))
            for name in names * 3:
                if name in self.state.tasks:
                    self.script.append(f"finish {name}")
                    self.state = onward(self.state, name)
        except Exception as error:  # noqa: BLE001 - any error at all is a find
            return Find(tuple(self.script), f"{type(error).__name__} in {place_of(error)}")
        return None

    def turn(self, name: str) -> None:
        """One of them begins a call, unless it is in one, and goes on a little."""
        if name not in self.state.tasks:
            own = self.chance.number(0, 1)
            line = self.chance.one_of(self.chance.one_of(self.calls) if own else tuple(killers(self.state)))
            cpu = self.chance.one_of((ITS_OWN, ITS_OWN, *sorted(self.state.cpus)[:2]))
            started = begun(self.state, name, line, cpu)
            if started is None:
                return
            self.state = started
            self.script.append(f"begin {name} {'' if cpu == ITS_OWN else f'cpu={cpu} '}{line}")
        stride = self.chance.one_of(STRIDES)
        self.script.append(f"step {name} {stride}")
        for _ in range(stride):
            if name not in self.state.tasks:
                break
            stepped = advance(self.state, name)
            self.state = stepped.state
            self.made.add((stepped.procedure, stepped.step))
            if stepped.blocked:
                break
