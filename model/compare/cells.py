"""One cell of the comparison: what the search finds in a scene, and whether a use of today still works."""

from typing import Final, Literal, NamedTuple, cast

import msgspec

from model.compare.owner_acts import CellScene, without_grabber
from model.engine.config import SETTINGS as KNOWN_SETTINGS
from model.invariants.violation import Severity
from model.kernel.mm.mmu_notifier import NOT_MAPPED
from model.memory.state import TABLES
from model.script.command import Command
from model.script.context import OK, Outcome
from model.script.parser import parse
from model.script.runner import Account, Runner
from model.search.bfs import Property, Search
from model.search.ends import OK as OK_WORD
from model.search.ends import CommandUse, NeverEnds, command_uses, never_ends
from model.search.paths import Action, Path, as_script, best_path, path_of, verified_in
from model.search.problem import SearchProblem, set_up
from model.search.strategy import Progress, SearchOutcome, search_scene
from model.search.whose import Whose

CellOutcome = Literal["corrupts", "splat", "stuck", "hazard", "open", "vacuous", "safe", "refused"]
"""From bad to good. `stuck`: in some schedule tasks wait for ever. `open`: the bound was hit before anything was found.
`vacuous`: nothing was found, but what it is about never took place."""

MOST_STATES: Final = 300_000
"""States that the search for one cell visits at most: about a second."""

WORST: Final[tuple[tuple[Severity, CellOutcome], ...]] = (
    ("corruption", "corrupts"),
    ("splat", "splat"),
    ("hazard", "hazard"),
)
"""What a cell says if several are found: silent damage counts more than a complaint."""

STUCK: Final = "stuck"
HELD: Final = frozenset({"ref:r"})
"""What a grabber holds, as the subjects of violations name it."""

REFERENCES: Final = next(number for number, table in enumerate(TABLES) if table.name == "references")
SETTINGS: Final = next(number for number, table in enumerate(TABLES) if table.name == "settings")


class Cell(msgspec.Struct, frozen=True, omit_defaults=True):
    """What is found in one scene."""

    outcome: CellOutcome
    answer: str = ""
    """How the kernel refuses: an errno or a signal, and at which call if it is not the grab; of a vacuous cell the
    command that would have had to succeed, and what it answered; of a safe one what is refused in every schedule."""
    invariant: str = ""
    """Which rule is broken, for corrupts, splat and hazard; `deadlock` or `waits for ever` where it is stuck."""
    steps: int = 0
    """The fewest micro-steps into it."""
    splats: bool = False
    """The kernel complains: while the scene is set up, or in a schedule not longer than the one told."""
    states: int = 0
    """How many the search visited. It ends at the first corruption, for nothing is worse; where they are many, of steps
    that can change places it tries one order (model.search.reduction)."""
    complete: bool = True
    """False: the bound was hit, and something worse may lie beyond it."""
    trace: str = ""
    """A script that leads into it from an empty machine."""
    ended: str = ""
    """Why the search was ended, if it was not by the number of states."""

    def __str__(self) -> str:
        """In words, as tables show it.

        >>> str(Cell("corrupts", steps=41, splats=True)), str(Cell("refused", "EFAULT")), str(Cell("safe", states=7))
        ('corrupts in 41, splat', 'refused EFAULT', 'safe, 7 states')
        """
        match self.outcome:
            case "refused":
                words = f"refused {self.answer}"
            case "vacuous":
                words = f"vacuous: {self.answer}"
            case "stuck":
                words = f"{self.invariant} in {self.steps}"
            case "safe":
                words = f"safe, {self.states} states" + (f" ({self.answer})" if self.answer else "")
            case "open":
                words = f"nothing in {self.states} states"
            case "corrupts" if self.splats:
                words = f"corrupts in {self.steps}, splat"
            case _:
                words = f"{self.outcome} in {self.steps}"
        return words if self.complete else f"{words}, {self.ended or 'bound hit'}"


class Trial(msgspec.Struct, frozen=True, omit_defaults=True):
    """Whether a use works."""

    works: bool
    found: str = ""
    """What went wrong: the command, and what was expected and found."""


def judge(scene: CellScene, most_states: int = MOST_STATES) -> Cell:
    """Search a scene. Raises ScriptError."""
    return Judge(most_states).cell(scene)


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
    uses: tuple[CommandUse, ...]
    """What became of each permitted command."""
    kinds: frozenset[Property]
    """What was met."""
    outcome: CellOutcome | None
    """The worst of it; None if nothing is."""
    kind: Property
    """Which rule is broken; for `stuck` the kind of it."""
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
            and self.scene.whose == scene.whose
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
    """Judges scenes; what was searched for one is not searched again for another that is the same to the search.

    Scenes that differ in a defence that nobody asks about are the same, and so are those of two grabbers without the
    grab: what happens there does not count as theirs.
    """

    def __init__(self, most_states: int = MOST_STATES, progress: Progress = lambda _: True) -> None:
        self.most_states: Final = most_states
        self.progress: Final = progress
        """Ends a search by returning False."""
        self.searched: Final[list[Searched]] = []

    def cell(self, scene: CellScene) -> Cell:
        """What is found in a scene. Raises ScriptError."""
        commands = parse(scene.text)
        first = next(number for number, command in enumerate(commands) if command.verb == "may")
        runner = Runner()
        accounts = [runner.perform(command) for command in commands[:first]]
        splats = any(violation.severity == "splat" for account in accounts for violation in account.violations)
        if answer := _refused_set_up(accounts):
            return Cell("refused", answer, splats=splats)
        problem = self.problem(scene)
        found = self._search(problem, scene.grabs)
        splats = splats or found.splats
        if found.outcome is not None and found.outcome != "hazard":
            return _found(found, problem, found.outcome, splats=splats)
        alone = runner.perform(cast("Command", commands[first].operands["COMMAND"])).outcome if scene.grabs else OK
        if found.complete and not found.granted and (answer := _answer(alone)):
            return Cell("refused", answer, splats=splats, states=found.states)
        if found.complete and (missing := _missing(found, scene)):
            return Cell("vacuous", missing, splats=splats, states=found.states)
        if found.outcome is not None:
            return _found(found, problem, found.outcome, splats=splats)
        outcome: CellOutcome = "safe" if found.complete else "open"
        about = _about(found, scene)
        never = about and not any(OK_WORD in use.outcomes for use in about)
        return Cell(
            outcome, _in_words(about[0]) if never else "", splats=splats, states=found.states, complete=found.complete
        )

    def problem(self, scene: CellScene) -> SearchProblem:
        """What is searched for a cell. Raises ScriptError."""
        problem = set_up(parse(scene.text), refusals=True)
        return problem._replace(whose=self._whose(scene, problem)) if scene.grabs else problem

    def _whose(self, scene: CellScene, problem: SearchProblem) -> Whose:
        """The grabber, and what happens without him."""
        tasks = frozenset(name for permission in problem.permissions[: scene.grabs] for name in permission.tasks)
        without = self._search(set_up(parse(without_grabber(scene).text), refusals=True), 0)
        return Whose(tasks, HELD, without.kinds)

    def _search(self, problem: SearchProblem, grabs: int) -> Searched:
        """What is known of a scene, or found."""
        found = next((known for known in self.searched if known.holds_for(problem)), None)
        if found is None:
            found = _searched(problem, grabs, self.most_states, self.progress)
            self.searched.append(found)
        return found


def _searched(problem: SearchProblem, grabs: int, most_states: int, progress: Progress) -> Searched:
    """Search a scene: with a grabber to its first corruption, for nothing is worse; without one to the end."""
    made = search_scene(problem, most_states, progress, stop=lambda kind: bool(grabs) and kind[1] == "corruption")
    search, reduced = made.search, made.reduction
    whole = reduced is not None and reduced.complete
    kinds = {*search.found, *(reduced.kinds if reduced is not None and whole else ())}
    kinds |= set(made.part.paths) if made.part is not None else set()
    outcome: CellOutcome | None = None
    kind: Property = ("", "hazard")
    steps = 0
    actions: tuple[Action, ...] = ()
    for severity, named in WORST:
        if severe := [each for each in kinds if each[1] == severity]:
            outcome = named
            kind, path = _nearest(made, severe)
            steps, actions = path.steps, path.actions
            break
    ends = _stuck(made) if outcome not in {"corrupts", "splat"} else None
    anyhow = problem.whose is not None and (STUCK, "corruption") in problem.whose.anyhow
    if ends is not None:
        kinds.add((STUCK, "corruption"))
    if ends is not None and not anyhow:
        outcome, kind, actions = "stuck", (ends.kind, "corruption"), ends.moves
        steps = sum(action.starts is None for action in actions)
    uses = command_uses(search.cache, search.symmetry)
    return Searched(
        problem,
        _settings_read(search),
        len(reduced.before) if reduced is not None and whole else len(search.seen),
        search.complete or whole,
        any(severity == "splat" for _, severity in kinds),
        not grabs or _granted(search, uses[0]),
        uses,
        frozenset(kinds),
        outcome,
        kind,
        steps,
        actions,
        as_script(search, actions)[len(problem.script) :],
    )


def _nearest(made: SearchOutcome, kinds: list[Property]) -> tuple[Property, Path]:
    """Of some kinds that were met the nearest, and a way into it: the nearest where that is known."""
    search, reduced, part = made.search, made.reduction, made.part
    if met := [kind for kind in kinds if kind in search.found]:
        kind = min(met, key=lambda each: (search.distance[each], each))
        return kind, best_path(search, kind)
    kind = min(kinds)
    if reduced is not None and reduced.complete:
        return kind, path_of(search, search.actors_along(reduced.way_into(kind)))
    assert part is not None
    return kind, part.paths[kind]


def _stuck(made: SearchOutcome) -> NeverEnds | None:
    """A schedule that never ends."""
    search, reduced = made.search, made.reduction
    if reduced is not None and reduced.complete:
        if reduced.waiting is None:
            return None
        return never_ends(search, path_of(search, search.actors_along(reduced.way_to(reduced.waiting))).actions)
    return never_ends(search, made.part.waits_for_ever if made.part is not None else None)


def _missing(found: Searched, scene: CellScene) -> str:
    """What would have had to take place for "safe" to say anything; empty: nothing is missing."""
    for use in found.uses[1 : scene.grabs]:
        if not use.took_place:
            return _in_words(use)
    about = _about(found, scene)
    return _in_words(about[0]) if about and not any(use.took_place for use in about) else ""


def _about(found: Searched, scene: CellScene) -> list[CommandUse]:
    """What became of the commands that a scene is about."""
    return [use for use in found.uses[scene.grabs :] if use.permission.command.text in scene.subjects]


def _in_words(use: CommandUse) -> str:
    return f"{use.permission.command.text}: {', '.join(use.outcomes) or 'never ran'}"


def _settings_read(search: Search) -> dict[str, str | None]:
    """The settings that any run of the search has read: all of them if one has gone through the whole table."""
    settings_table, given = search.cache.tables[SETTINGS], search.scene.context.state.settings
    keys = KNOWN_SETTINGS if settings_table.watchers else settings_table.components
    return {str(key): given.get(str(key)) for key in keys}


def _refused_set_up(accounts: list[Account]) -> str:
    """How an mmap was refused, or a dma-buf; then there is nothing to grab, or nothing to import."""
    asked = ((_answer(account.outcome), account.command.verb) for account in accounts)
    return next((f"{answer} at {verb}" for answer, verb in asked if answer and verb in {"mmap", "export"}), "")


def _answer(outcome: Outcome) -> str:
    """The errno or the signal, if the kernel answers with one.

    >>> _answer(Outcome("signal", signal="SIGBUS"))
    'SIGBUS'
    """
    return outcome.errno or outcome.signal


def _granted(search: Search, grab: CommandUse) -> bool:
    """Whether in some state the grabber has a page: a mirror whose entries are still empty has none."""
    name = grab.permission.command.get("as")
    if name is None:
        return OK_WORD in grab.outcomes
    return any(pfn != NOT_MAPPED for frames in search.cache.tables[REFERENCES].met(name, "frames") for pfn in frames)


def _found(found: Searched, scene: SearchProblem, outcome: CellOutcome, *, splats: bool) -> Cell:
    """The cell of a violation, with the way into it walked once more on the plain kernel of this very scene."""
    if outcome != "stuck":
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
