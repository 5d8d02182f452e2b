"""Names that a scene can exchange: two processes that are set up alike, two devices that may do the same.

Such an exchange is guessed from two permitted commands that differ in names alone, carried on through the records that
bear these names until nothing more follows, and then tried: the whole machine and all permissions under the new names
must be what they were. So a wrong guess costs time and nothing else.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Any, Final

from model.memory.state import TABLES, State
from model.memory.units import Pfn, Unit
from model.script.command import RefPage, Value
from model.script.execute import ITS_OWN
from model.script.operands import Name, NewName, Operand
from model.script.places import arguments
from model.search.problem import Permission, SearchProblem
from model.search.renaming import NamePermutation, rename

LISTS: Final = ("free_head", "pmem_free_head", "vram_free_head", "ttm_pool:")
"""How the names of counters begin that are the head of a list of frames."""


MAPS: Final = frozenset({"mmap", "mremap", "fork"})
"""Verbs that put a VMA on such a list."""


class ContradictionError(Exception):
    """One name would have to become two, or another's."""


class Atoms:
    """Stands in for a mapping of names and notes which are asked for."""

    def __init__(self, found: list[tuple[str, Any]], unit: str = "") -> None:
        self.found = found
        self.unit = unit

    def get(self, key: Any, default: Any = None) -> Any:
        """Of a table of units: the mapping of one; of that: the name itself, which is noted."""
        if self.unit == "numbers":
            return Atoms(self.found, str(key))
        self.found.append((self.unit, key))
        return default


def atoms(hint: Any, value: Any) -> list[tuple[str, Any]]:
    """The names that a value bears, in order: (unit, name), for strings with no unit."""
    found: list[tuple[str, Any]] = []
    recording: Any = (Atoms(found), Atoms(found, "numbers"))
    rename(hint, value, NamePermutation(*recording))
    return found


class Guess:
    """An exchange of names as far as it is known: whatever becomes another, that becomes it."""

    def __init__(self, scene: SearchProblem) -> None:
        self.scene: Final = scene
        self.strings: dict[str, str] = {}
        self.numbers: dict[Unit, dict[int, int]] = {}
        self.open: list[tuple[str, str]] = []
        """Pairs of strings whose records have not been looked at."""

    def pair(self, unit: str, one: Any, other: Any) -> None:
        """These two change places. Raises ContradictionError."""
        known: dict[Any, Any] = self.numbers.setdefault(unit, {}) if unit else self.strings  # type: ignore[arg-type]
        if known.get(one, other) != other or known.get(other, one) != one:
            raise ContradictionError
        if one not in known:
            known[one], known[other] = other, one
            if not unit and one != other:
                self.open += [(one, other)]

    def match(self, hint: Any, one: Any, other: Any) -> None:
        """Whatever names these two values bear change places. Raises ContradictionError."""
        mine, its = atoms(hint, one), atoms(hint, other)
        if len(mine) != len(its):
            raise ContradictionError
        for (unit, name), (its_unit, its_name) in zip(mine, its, strict=True):
            if unit != its_unit:
                raise ContradictionError
            self.pair(unit, name, its_name)

    def carry_on(self) -> None:
        """Follow the names through the records of the machine. Raises ContradictionError."""
        state = self.scene.context.state
        while self.open:
            one, other = self.open.pop()
            for table, entries in zip(TABLES, state.maps, strict=True):
                if table.derived or table.key is int:
                    continue
                for key, value in entries.items():
                    owner = key[0] if isinstance(key, tuple) else key
                    if owner == one:
                        its = entries.get((other, *key[1:]) if isinstance(key, tuple) else other)
                        if its is None:
                            raise ContradictionError
                        self.match(table.value, value, its)
            for table, entries in zip(TABLES, state.maps, strict=True):
                if table.key == Pfn:
                    self._frames(table.value, entries)

    def _frames(self, hint: Any, entries: Any) -> None:
        """Frames that change places do so with what is known of them."""
        for pfn, its_pfn in list(self.numbers.get("pfn", {}).items()):
            one, other = entries.get(pfn), entries.get(its_pfn)
            if (one is None) != (other is None):
                raise ContradictionError
            if one is not None:
                self.match(hint, one, other)

    def permissions(self) -> tuple[int, ...]:
        """Which permission takes the place of each; names that they add change places too.

        Raises ContradictionError.
        """
        allowed = self.scene.permissions
        found: dict[int, int] = {}
        for number, permission in enumerate(allowed):
            for other, its in enumerate(allowed):
                if other in found.values() or not alike(permission, its):
                    continue
                if all(
                    self.strings.get(word, its_word) == its_word and self.strings.get(its_word, word) == word
                    for word, its_word in words_of(permission, its)
                ):
                    found[number] = other
                    for word, its_word in words_of(permission, its):
                        self.pair("", word, its_word)
                    break
            else:
                raise ContradictionError
        return tuple(found[number] for number in range(len(allowed)))


def alike(one: Permission, other: Permission) -> bool:
    """Two permissions that differ in names at most."""
    mine, its = one.command, other.command
    if (mine.verb, one.times, mine.options.keys()) != (its.verb, other.times, its.options.keys()):
        return False
    if (one.cpu, one.thread) != (other.cpu, other.thread):
        return False
    return [unnamed(*each) for each in arguments(mine)] == [unnamed(*each) for each in arguments(its)]


def unnamed(operand: Operand, value: Value) -> tuple[str, object]:
    """What was given to a command, without the name if it is one."""
    if isinstance(value, RefPage):
        return operand.name, value.page
    return operand.name, "" if isinstance(operand, Name | NewName) else value


def words_of(one: Permission, other: Permission) -> Iterator[tuple[str, str]]:
    """The names that stand in the same place of two permissions that are alike, and those of their tasks."""
    for (operand, value), (_, its) in zip(arguments(one.command), arguments(other.command), strict=True):
        if isinstance(value, RefPage) and isinstance(its, RefPage):
            yield value.reference, its.reference
        elif isinstance(operand, Name | NewName):
            yield str(value), str(its)
    yield from zip(one.tasks, other.tasks, strict=True)


MOST_PERMISSIONS: Final = 40
"""Among more than that nobody looks for exchanges: it takes the fourth power of their number."""


def exchanges(scene: SearchProblem) -> Iterator[NamePermutation]:
    """Every exchange of names that two permissions suggest and that turns the scene into itself."""
    if len(scene.permissions) > MOST_PERMISSIONS:
        return
    known: list[NamePermutation] = []
    for one, other in combinations(scene.permissions, 2):
        if not alike(one, other):
            continue
        try:
            found = exchange(scene, one, other)
        except ContradictionError:
            continue
        if found not in known and is_symmetry(scene, found):
            known.append(found)
            yield found


def exchange(scene: SearchProblem, one: Permission, other: Permission) -> NamePermutation:
    """What follows if the names in two permissions change places. Raises ContradictionError."""
    guess = Guess(scene)
    for word, its_word in words_of(one, other):
        guess.pair("", word, its_word)
    guess.carry_on()
    numbers = guess.permissions()
    guess.carry_on()
    moved = {old: new for old, new in guess.strings.items() if old != new}
    units = {
        unit: changed
        for unit, names in guess.numbers.items()
        if (changed := {old: new for old, new in names.items() if old != new})
    }
    return NamePermutation(moved, units, numbers)


def is_symmetry(scene: SearchProblem, renaming: NamePermutation) -> bool:
    """Whether the machine is what it was, and no list that the kernel walks is in the order of these names."""
    state = scene.context.state
    return (
        not walked_by_name(scene, renaming)
        and all(keeps_cpu(permission, renaming) for permission in scene.permissions)
        and renamed(state, renaming) == as_dicts(state)
    )


def keeps_cpu(permission: Permission, renaming: NamePermutation) -> bool:
    """Whether the command starts on the same CPU under the other names: as far behind that of its process, say."""
    cpus, thread = range(permission.cpus), permission.thread
    moved = renaming.numbers.get("cpu", {})
    names = [moved.get(cpu, cpu) for cpu in cpus]
    if permission.cpu != ITS_OWN:
        return names[permission.cpu] == permission.cpu
    return all(names[(cpu + thread) % len(cpus)] == (names[cpu] + thread) % len(cpus) for cpu in cpus)


def walked_by_name(scene: SearchProblem, renaming: NamePermutation) -> bool:
    """Whether the kernel may walk a list of VMAs in which there are several of the processes that change places.

    i_mmap and anon_vma keep theirs in the order of names here; who comes first would make a difference.
    """
    state, moved = scene.context.state, renaming.strings.keys()
    lists = [file.i_mmap for file in state.files.values()] + [anon_vma.vmas for anon_vma in state.anon_vmas.values()]
    shared = any(len({process for process, _ in vmas} & moved) > 1 for vmas in lists)
    return shared or any(
        permission.command.verb in MAPS and not moved.isdisjoint(word for word, _ in words_of(permission, permission))
        for permission in scene.permissions
    )


def as_dicts(state: State) -> list[dict[Any, Any]]:
    """The tables of a State."""
    return [dict(entries) for entries in state.maps]


def renamed(state: State, renaming: NamePermutation) -> list[dict[Any, Any]]:
    """A value under other names."""
    return [
        {
            rename(table.key, key, renaming): rename(value_hint(table.name, key, table.value), value, renaming)
            for key, value in entries.items()
        }
        for table, entries in zip(TABLES, state.maps, strict=True)
    ]


def value_hint(table: str, key: Any, hint: Any) -> Any:
    """The type of a table's value; of counters some are frames."""
    return Pfn if table == "counters" and str(key).startswith(LISTS) else hint
