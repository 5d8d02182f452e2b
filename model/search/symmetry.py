"""States that differ only in names are searched once.

Of two tasks that run the same permitted command it does not matter which is which; nor of two processes, or devices,
that are set up alike and may do the same. A permutation of names that turns the scene into itself turns every state
that it can reach into another one that it can reach, with the same future under other names. So of all states that
such permutations turn into each other one stands for all: the one whose packed form is the smallest number.

Frames need no permutation of their own: the allocator hands them out in an order that depends on nothing but what was
done before, so none that a scene leaves unnamed can take the place of another, except together with its owner.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping, Sequence
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Annotated, Any, Final, NamedTuple, cast, get_type_hints

from model.invariants.holder_index import LargeTally
from model.invariants.holders import Crowd, Holder
from model.invariants.incremental import Translation
from model.memory.state import TABLES
from model.memory.tasks import FlushOwed, Task
from model.memory.units import ORDERED, Pfn, Word
from model.search.interchangeable import exchanges, value_hint
from model.search.packed import ENTRY, SplitTable
from model.search.problem import SearchProblem
from model.search.renaming import NamePermutation, rename
from model.search.tracked_holders import IN_ALL, HoldersKey
from model.search.transition_cache import budget_key

if TYPE_CHECKING:
    from model.search.packed import Component, PackedTable
    from model.search.transition_cache import Actor, TransitionCache

MOST_RENAMINGS: Final = 24
"""Permutations of names that a search makes use of: each is tried on every new state."""

CHUNK: Final = 24
"""Bits of a state that are looked up at once."""

COUNTERS: Final = next(number for number, table in enumerate(TABLES) if table.name == "counters")
HELD: Final = tuple[Holder, ...] | Crowd
HOLDING: Final[tuple[tuple[Any, Any], ...]] = (
    (tuple[Pfn, Word], HELD),
    (tuple[str, int], Annotated[tuple[Holder, ...], ORDERED]),
    (Pfn, Annotated[tuple[Holder, ...], ORDERED]),
    (str, Annotated[tuple[tuple[str, FlushOwed], ...], ORDERED]),
    (str, Annotated[tuple[tuple[str, str], ...], ORDERED]),
    (Pfn, LargeTally),
)
"""The types of keys and values in the tables of the index of holders."""


class Hints:
    """The types of everything that a packed state is made of."""

    def __init__(self, cache: TransitionCache) -> None:
        self.cache: Final = cache
        self.types: Final[dict[PackedTable, tuple[Any, Any]]] = {
            packed_table: (table.key, table.value) for packed_table, table in zip(cache.tables, TABLES, strict=True)
        } | {
            cache.alive: (str, Task),
            **dict(zip(cache.holding, HOLDING, strict=True)),
            **({} if cache.kinds_apart else {cache.holding[0]: (Pfn, HELD)}),
            cache.frames: (Pfn, int),  # the names of rules are nobody's
            cache.references: (str, int),
            cache.outdated: (str, frozenset[Translation]),
            cache.dangerous: (str, frozenset[Translation]),
            cache.locks: (tuple[str, str], bool),
        }
        """Table → the types of its keys and values, with marks of `model.memory.units`."""
        self.budgets: Final = {budget_key(number): number for number in range(len(cache.starters))}

    def key(self, component: Component, renaming: NamePermutation) -> Hashable:
        """The key of a component under other names."""
        key: Any = component.key
        if component.packed_table is self.cache.budgets:
            return budget_key(renaming.permissions[self.budgets[key]])
        if isinstance(component.packed_table, SplitTable):
            entry, field = key
            return rename(self.types[component.packed_table][0], entry, renaming), field
        return cast("Hashable", rename(self.types[component.packed_table][0], key, renaming))

    def value(self, component: Component, value: Any, renaming: NamePermutation) -> Any:
        """A value of a component under other names."""
        hint = self.types.get(component.packed_table, (str, int))[1]
        apart = self.cache.kinds_apart and component.packed_table is self.cache.holding[0]
        if apart and cast("HoldersKey", component.key)[1] == IN_ALL:
            return value
        if component.packed_table is self.cache.tables[COUNTERS]:
            hint = value_hint("counters", component.key, hint)
        elif isinstance(component.packed_table, SplitTable):
            hint = _field_hint(hint, cast("tuple[Hashable, str]", component.key)[1])
        return rename(hint, value, renaming)


@cache
def _field_hint(record: Any, field: str) -> Any:
    """The type of a field of a record, with its marks."""
    return bool if field == ENTRY else get_type_hints(record, include_extras=True)[field]


class Chunk(NamedTuple):
    """Some components, looked up together."""

    mask: int
    known: dict[int, int]
    """Their bits → these bits of the same state under other names."""
    components: tuple[Component, ...]


def chunk_of(components: Sequence[Component]) -> Chunk:
    """A chunk of which nothing is known yet."""
    return Chunk(sum(component.mask for component in components), {}, tuple(components))


class Image:
    """One permutation of names, at work on packed states."""

    __slots__ = ("cache", "chunks", "codes", "hints", "moving", "news", "partners", "renaming", "still")

    def __init__(self, cache: TransitionCache, hints: Hints, renaming: NamePermutation) -> None:
        self.cache: Final = cache
        self.hints: Final = hints
        self.renaming: Final = renaming
        self.news = 0
        """How many of the values that the ledger knows have been looked at."""
        self.partners: dict[Component, Component] = {}
        """Component → the one that has its values under the other names."""
        self.moving: dict[Component, int] = {}
        """Components with values that the names make a difference to, and their masks when they were put in chunks."""
        self.codes: dict[tuple[Component, int], int] = {}
        """A component's value as bits → the bits of its partner for that value under the other names."""
        self.still = 0
        """The bits of all other components."""
        self.chunks: list[Chunk] = []
        """The moving ones, some at a time."""

    def of(self, packed: int) -> int:
        """The packed state under the other names."""
        if self.news != len(self.cache.layout.news):
            self.look_again()
        image = packed & self.still
        for chunk in self.chunks:
            bits = packed & chunk.mask
            part = chunk.known.get(bits)
            image |= self.part(chunk, bits) if part is None else part
        return image

    def part(self, chunk: Chunk, bits: int) -> int:
        """The image of the bits of a chunk."""
        part = chunk.known.get(bits)
        if part is None:
            part = 0
            for component in chunk.components:
                if code := bits & component.mask:  # the value of the start becomes the value of the start
                    part |= self.codes[component, code]
            chunk.known[bits] = part
        return part

    def look_again(self) -> None:
        """Find out what the names make of values that are new. Their images may be new values too."""
        news, moving = self.cache.layout.news, self.moving
        while self.news < len(news):
            component, code = news[self.news]
            self.news += 1
            partner = self.partner(component)
            value = component.by_code[code]
            image = None if value is None else self.hints.value(component, value, self.renaming)
            self.codes[component, code] = partner.code(image)
            if component not in moving and (partner is not component or image != value):
                moving[component] = 0
        if any(component.mask != mask for component, mask in moving.items()):
            self._put_in_chunks()
        self.still = ((1 << self.cache.layout.bits) - 1) & ~sum(moving.values())

    def partner(self, component: Component) -> Component:
        """The component that has the values of this one under the other names."""
        partner = self.partners.get(component)
        if partner is None:
            partner = component.packed_table.component(self.hints.key(component, self.renaming))
            self.partners[component] = partner
        return partner

    def _put_in_chunks(self) -> None:
        """Share the moving components out anew."""
        self.chunks = []
        part: list[Component] = []
        width = 0
        for component in self.moving:
            self.moving[component] = component.mask
            bits = component.mask.bit_count()
            if part and width + bits > CHUNK:
                self.chunks.append(chunk_of(part))
                part, width = [], 0
            part.append(component)
            width += bits
        self.chunks.append(chunk_of(part))

    def actor(self, actor: Actor) -> Actor:
        """The actor that does under the other names what `actor` does."""
        if actor.permission is None:
            name = self.renaming.strings.get(actor.task, actor.task)
            return next(other for other in self.cache.tasks if other.task == name)
        number = self.cache.starters.index(actor)
        return self.cache.starters[self.renaming.permissions[number]]


class AsymmetryError(Exception):
    """A permutation of names has turned out to make a difference after all."""


class Symmetry:
    """All permutations of names that a search makes use of."""

    def __init__(self, cache: TransitionCache, renamings: Iterable[NamePermutation]) -> None:
        self.cache: Final = cache
        hints = Hints(cache)
        self.images: Final = [Image(cache, hints, renaming) for renaming in renamings]
        """Without the one that leaves every name as it is."""
        exchanges = any(image.renaming.permissions != tuple(range(len(cache.starters))) for image in self.images)
        self.samples: Final = 16 if exchanges else 2
        """States of each level that are checked. Whatever a script names may be named where nobody thinks of it."""

    @property
    def alike(self) -> tuple[tuple[str, ...], ...]:
        """The names that can take each other's place, in groups."""
        # Not by networkx: it takes longer to import than most searches take.
        groups: dict[str, frozenset[str]] = {}
        for image in self.images:
            for name, other in image.renaming.strings.items():
                joined = groups.get(name, frozenset((name,))) | groups.get(other, frozenset((other,)))
                groups |= dict.fromkeys(joined, joined)
        return tuple(sorted(tuple(sorted(group)) for group in set(groups.values())))

    def canonical(self, packed: int) -> int:
        """The state that stands for this one."""
        least = packed
        for image in self.images:
            other = image.of(packed)
            if other < least:  # noqa: PLR1730 - min() takes twice as long, and this is asked of every state
                least = other
        return least

    def standing_for(self, packed: int) -> tuple[int, Image | None]:
        """The canonical state, with the permutation that leads to it; None where it is the state itself."""
        least, by = packed, None
        for image in self.images:
            if (other := image.of(packed)) < least:
                least, by = other, image
        return least, by

    def actors_along(self, path: Sequence[tuple[int, Actor]]) -> list[Actor]:
        """Who moves on a path from the start, under the names of the start.

        `path`: the states that stand for those on the way, each with who moves on from there.
        """
        here = 0
        found: list[Actor] = []
        for packed, actor in path:
            movers = [actor] if packed == here else []
            movers += [image.actor(actor) for image in self.images if image.of(packed) == here]
            mover = found[-1] if found and found[-1] in movers else movers[0]
            found.append(mover)
            effect = self.cache.effect(mover, here)
            here ^= effect if isinstance(effect, int) else effect[0]
        return found

    def check(self, packed: int) -> None:
        """See whether the names make no difference to what can happen in a state. Raises AsymmetryError."""
        for image in self.images:
            other = image.of(packed)
            for actor in (*self.cache.tasks, *self.cache.starters):
                mine, its = self.cache.effect(actor, packed), self.cache.effect(image.actor(actor), other)
                (turned, properties), (its_turned, its_kinds) = (
                    (effect, frozenset()) if isinstance(effect, int) else effect for effect in (mine, its)
                )
                after, its_after = packed ^ turned, other ^ its_turned
                alike = image.of(after) == its_after or self.canonical(after) == self.canonical(its_after)
                if properties != its_kinds or not alike:
                    raise AsymmetryError(f"{actor.name} is not {image.actor(actor).name} under other names")


def symmetry_of(scene: SearchProblem, cache: TransitionCache) -> Symmetry | None:
    """The symmetry of a scene, None if it has none."""
    if cache.choosing:  # the first of several pages would be another one under other names
        return None
    found = renamings(scene)
    return Symmetry(cache, found) if found else None


def renamings(scene: SearchProblem) -> list[NamePermutation]:
    """The permutations of names that turn a scene into itself, without the one that moves nothing."""
    nothing = NamePermutation({}, {}, tuple(range(len(scene.permissions))))
    group = [nothing]
    taken = words(scene)
    for permission in scene.permissions:
        if not taken & set(permission.tasks):
            for one, other in pairwise(permission.tasks):
                group = larger(group, nothing._replace(strings={one: other, other: one}))
    for exchange in exchanges(scene):
        group = larger(group, exchange)
    return group[1:]


def larger(group: list[NamePermutation], generator: NamePermutation) -> list[NamePermutation]:
    """The group with one more permutation and all that follows, unless that is too many.

    What moves nothing stays first.
    """
    if generator in group:
        return group
    found = list(group)
    for one in found:
        for other in (*group[1:], generator):
            if (both := after(one, other)) not in found:
                if len(found) == MOST_RENAMINGS:
                    return group
                found.append(both)
    return found


def after(one: NamePermutation, other: NamePermutation) -> NamePermutation:
    """First one permutation, then the other."""
    units = one.numbers.keys() | other.numbers.keys()
    return NamePermutation(
        _after(one.strings, other.strings),
        {unit: _after(one.numbers.get(unit, {}), other.numbers.get(unit, {})) for unit in units},
        tuple(other.permissions[number] for number in one.permissions),
    )


def _after(one: Mapping[Any, Any], other: Mapping[Any, Any]) -> dict[Any, Any]:
    both = {name: other.get(one.get(name, name), one.get(name, name)) for name in one.keys() | other.keys()}
    return {old: new for old, new in sorted(both.items()) if old != new}


def words(scene: SearchProblem) -> set[str]:
    """Every name that the machine of a scene, or what may happen to it, knows already."""
    state = scene.context.state
    tables: tuple[Any, ...] = (
        state.processes, state.labels, state.files, state.references, state.devices, state.buffers, state.dma_bufs,
        state.tasks,
    )  # fmt: skip
    names = {part for table in tables for key in table for part in (key if isinstance(key, tuple) else (key,))}
    return names.union(*(permission.command.text.replace("=", " ").split() for permission in scene.permissions))
