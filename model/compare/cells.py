"""One cell of the comparison: what the search finds in a scene, and whether a use of today still works."""

from typing import Final, Literal, NamedTuple, cast

import msgspec

from model.engine.config import SETTINGS as KNOWN_SETTINGS
from model.invariants.violation import Severity
from model.kernel.mm.mmu_notifier import NOT_MAPPED
from model.memory.state import TABLES
from model.script.command import Command
from model.script.context import Outcome
from model.script.parser import parse
from model.script.runner import Account, Runner
from model.search.bfs import Property, Search, explore
from model.search.paths import Action, Path, as_script, best_path, verified_in
from model.search.problem import SearchProblem, set_up

CellOutcome = Literal["corrupts", "splat", "hazard", "refused", "safe", "open"]
"""From bad to good; `open`: the bound was hit before anything was found."""

MOST_STATES: Final = 300_000
"""States that the search for one cell visits at most: about a second."""

WORST: Final[tuple[tuple[Severity, CellOutcome], ...]] = (
    ("corruption", "corrupts"),
    ("splat", "splat"),
    ("hazard", "hazard"),
)
"""What a cell says if several are found: silent damage counts more than a complaint."""

REFERENCES: Final = next(number for number, table in enumerate(TABLES) if table.name == "references")
SETTINGS: Final = next(number for number, table in enumerate(TABLES) if table.name == "settings")


class Cell(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is found in one scene."""

    outcome: CellOutcome
    answer: str = ""
    """How the kernel refuses: an errno or a signal, and at which call if it is not the grab."""
    invariant: str = ""
    """Which rule is broken, for corrupts, splat and hazard."""
    steps: int = 0
    """The fewest micro-steps into it."""
    splats: bool = False
    """The kernel complains: while the scene is set up, or in a schedule not longer than the one told."""
    states: int = 0
    """How many the search visited. It ends at the first corruption, for nothing is worse."""
    complete: bool = True
    """False: the bound was hit, and something worse may lie beyond it."""
    trace: str = ""
    """A script that leads into it from an empty machine."""

    def __str__(self) -> str:
        """In words, as tables show it.

        >>> str(Cell("corrupts", steps=41, splats=True)), str(Cell("refused", "EFAULT")), str(Cell("safe", states=7))
        ('corrupts in 41, splat', 'refused EFAULT', 'safe, 7 states')
        """
        match self.outcome:
            case "refused":
                words = f"refused {self.answer}"
            case "safe":
                words = f"safe, {self.states} states"
            case "open":
                words = f"nothing in {self.states} states"
            case "corrupts" if self.splats:
                words = f"corrupts in {self.steps}, splat"
            case _:
                words = f"{self.outcome} in {self.steps}"
        return words if self.complete else f"{words}, bound hit"


class Trial(msgspec.Struct, frozen=True, omit_defaults=True):
    """Whether a use works."""

    works: bool
    found: str = ""
    """What went wrong: the command, and what was expected and found."""


def judge(text: str, most_states: int = MOST_STATES) -> Cell:
    """Search a scene whose first `may` line is the grab. Raises ScriptError."""
    return Judge(most_states).cell(text)


class Searched(NamedTuple):
    """A search that was made, as far as cells tell of it."""

    scene: SearchProblem
    settings: dict[str, str | None]
    """The settings that it has read, with their values; None for one that was not set."""
    states: int
    complete: bool
    splats: bool
    granted: bool
    """In some state the grabber holds what it asked for: refused when alone may be granted in a race."""
    outcome: CellOutcome | None
    """The worst that is reachable; None if nothing is."""
    kind: Property
    """Which rule is broken."""
    steps: int
    actions: tuple[Action, ...]
    lines: tuple[str, ...]
    """The moves as commands."""

    def holds_for(self, scene: SearchProblem) -> bool:
        """Whether the search of another scene would go the very same way.

        It would if the same may happen on the same machine, apart from settings that this search never looked at: a
        micro-step does nothing else than what follows from the entries that it reads.
        """
        mine, other = self.scene.context.state.maps, scene.context.state.maps
        return (
            self.scene.permissions == scene.permissions
            and all(scene.context.state.settings.get(key) == value for key, value in self.settings.items())
            and all(
                one == another
                for number, (one, another) in enumerate(zip(mine, other, strict=True))
                if number != SETTINGS
            )
            and self.scene.checker.broken == scene.checker.broken
            and self.scene.checker.scene.holding == scene.checker.scene.holding
        )


class Judge:
    """Judges scenes that differ in their defences; a defence that nobody asks about is not searched again."""

    def __init__(self, most_states: int = MOST_STATES) -> None:
        self.most_states: Final = most_states
        self.searched: Final[list[Searched]] = []

    def cell(self, text: str) -> Cell:
        """What is found in a scene whose first `may` line is the grab. Raises ScriptError."""
        commands = parse(text)
        first = next(number for number, command in enumerate(commands) if command.verb == "may")
        runner = Runner()
        accounts = [runner.perform(command) for command in commands[:first]]
        splats = any(violation.severity == "splat" for account in accounts for violation in account.violations)
        if answer := _refused_mapping(accounts):
            return Cell("refused", f"{answer} at mmap", splats=splats)
        alone = runner.perform(cast("Command", commands[first].operands["COMMAND"])).outcome
        scene = set_up(commands, refusals=True)
        found = next((known for known in self.searched if known.holds_for(scene)), None)
        if found is None:
            found = _search(scene, self.most_states)
            self.searched.append(found)
        splats = splats or found.splats
        if found.outcome is not None:
            return _found(found, scene, found.outcome, splats=splats)
        if not found.complete:
            return Cell("open", splats=splats, states=found.states, complete=False)
        if (answer := _answer(alone)) and not found.granted:
            return Cell("refused", answer, splats=splats, states=found.states)
        return Cell("safe", splats=splats, states=found.states)


def _search(scene: SearchProblem, most_states: int) -> Searched:
    """Search a scene to its first corruption."""
    search = explore(scene, most_states, stop=lambda kind: kind[1] == "corruption")
    outcome: CellOutcome | None = None
    kind: Property = ("", "hazard")
    steps, path = 0, Path((), (0,), 0)
    for severity, named in WORST:
        if kinds := [each for each in search.found if each[1] == severity]:
            outcome, kind = named, min(kinds, key=lambda each: (search.distance[each], each))
            steps, path = search.distance[kind], best_path(search, kind)
            break
    return Searched(
        scene,
        _settings_read(search),
        len(search.seen),
        search.complete,
        any(severity == "splat" for _, severity in search.found),
        _granted(search),
        outcome,
        kind,
        steps,
        path.actions,
        as_script(search, path.actions)[len(scene.script) :],
    )


def _settings_read(search: Search) -> dict[str, str | None]:
    """The settings that any run of the search has read: all of them if one has gone through the whole table."""
    settings_table, given = search.cache.tables[SETTINGS], search.scene.context.state.settings
    keys = KNOWN_SETTINGS if settings_table.watchers else settings_table.components
    return {str(key): given.get(str(key)) for key in keys}


def _refused_mapping(accounts: list[Account]) -> str:
    """The errno of an mmap that was refused; then there is nothing to grab."""
    return next((_answer(account.outcome) for account in accounts if account.command.verb == "mmap"), "")


def _answer(outcome: Outcome) -> str:
    """The errno or the signal, if the kernel answers with one.

    >>> _answer(Outcome("signal", signal="SIGBUS"))
    'SIGBUS'
    """
    return outcome.errno or outcome.signal


def _granted(search: Search) -> bool:
    """Whether in some state the grabber holds a page: a mirror whose entries are still empty holds none."""
    references = search.cache.tables[REFERENCES].components
    return any(
        reference is not None and any(pfn != NOT_MAPPED for pfn in reference.frames)
        for component in references.values()
        for reference in component.by_code.values()
    )


def _found(found: Searched, scene: SearchProblem, outcome: CellOutcome, *, splats: bool) -> Cell:
    """The cell of a violation, with the way into it walked once more on the plain kernel of this very scene."""
    verified_in(scene, found.kind, found.actions)
    trace = "".join(f"{line}\n" for line in (*scene.script, *found.lines))
    complete = found.complete or outcome == "corrupts"
    return Cell(outcome, "", found.kind[0], found.steps, splats, found.states, complete, trace)


def try_use(text: str) -> Trial:
    """Run a use: it works if every expectation holds and nothing worse than a hazard comes of it.

    Raises ScriptError.
    """
    runner = Runner()
    last = ""
    for command in parse(text):
        account = runner.perform(command)
        if account.outcome.status == "failed":
            return Trial(works=False, found=f"{last}: {account.outcome.message}")
        for violation in account.violations:
            if violation.severity != "hazard":
                return Trial(works=False, found=f"{command.text}: {violation.invariant}")
        if command.verb != "expect":
            last = command.text
    return Trial(works=True)
