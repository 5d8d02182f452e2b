"""One cell of the comparison: what the search finds in a scene, and whether a use of today still works."""

from typing import Final, Literal, cast

import msgspec

from model.invariants.violation import Severity
from model.memory.state import TABLES
from model.script.account import Account, Runner
from model.script.command import Command
from model.script.context import Outcome
from model.script.parser import parse
from model.search.explore import Kind, Search, explore
from model.search.scene import set_up
from model.search.ways import as_script, best_path, verified

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
    commands = parse(text)
    first = next(number for number, command in enumerate(commands) if command.verb == "may")
    runner = Runner()
    accounts = [runner.perform(command) for command in commands[:first]]
    splats = any(violation.severity == "splat" for account in accounts for violation in account.violations)
    if answer := _refused_mapping(accounts):
        return Cell("refused", f"{answer} at mmap", splats=splats)
    alone = runner.perform(cast("Command", commands[first].operands["COMMAND"])).outcome
    search = explore(set_up(commands), most_states, stop=lambda kind: kind[1] == "corruption")
    splats = splats or any(severity == "splat" for _, severity in search.found)
    for severity, outcome in WORST:
        if kinds := [kind for kind in search.found if kind[1] == severity]:
            return _found(search, outcome, min(kinds, key=lambda kind: (search.distance[kind], kind)), splats=splats)
    states = len(search.seen)
    if not search.complete:
        return Cell("open", splats=splats, states=states, complete=False)
    if (answer := _answer(alone)) and not _granted(search):
        return Cell("refused", answer, splats=splats, states=states)
    return Cell("safe", splats=splats, states=states)


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
    """Whether in some state the grabber holds what it asked for: refused when alone may be granted in a race."""
    references = search.memo.tables[REFERENCES].components
    return any(value is not None for component in references.values() for value in component.by_code.values())


def _found(search: Search, outcome: CellOutcome, kind: Kind, *, splats: bool) -> Cell:
    """The cell of a violation, with the way into it walked once more on the plain kernel."""
    path = verified(search, kind, best_path(search, kind))
    trace = "".join(f"{line}\n" for line in as_script(search, path.moves))
    complete = search.complete or outcome == "corrupts"
    return Cell(outcome, "", kind[0], search.distance[kind], splats, len(search.seen), complete, trace)


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
