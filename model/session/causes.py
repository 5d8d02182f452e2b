"""Why? Which steps made a byte, a count, an entry or a violation what it is, back to the commands.

Nothing about the past is kept in a State. The journals along the way to a node have it all: one pass over them, for
the few records that matter, tells who took the reference when, who freed the page when, who got it and who wrote it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final, Literal, NamedTuple

from model.invariants.machine_view import MachineView
from model.invariants.subjects import parse
from model.invariants.violation import Violation
from model.memory.state import Change
from model.session.change_sentences import ChangeInStep, change_phrase
from model.session.timeline import Node, Timeline

Record = tuple[str, Any]
"""A record of a State: table and key."""

Count = Literal["refcount", "mapcount", "pins"]

MOST_PAGES: Final = 16
"""Pages of a reference that an account goes into."""


class Cause(NamedTuple):
    """One link of a chain: a step that changed something that matters."""

    node: int
    """Where in the history, to go there."""
    command: str
    task: str
    """Empty for a command without micro-steps."""
    step: str
    """`procedure.step`."""
    change: Change
    text: str
    """What it did, as a phrase: `freed frame 5 …`."""

    @property
    def made_by(self) -> str:
        """The command, and its step if it has any: `munmap p0 buf: zap_vmas.zap_pte_range`."""
        return f"{self.command}{': ' if self.step else ''}{self.step}"

    def __str__(self) -> str:
        """The whole link in one line."""
        return f"{self.text} ({self.made_by})"


# -- questions ---------------------------------------------------------------------------------


def why(timeline: Timeline, about: str, node: Node | None = None) -> tuple[Cause, ...]:
    """How a subject came to be as it is at `node` (default: here), oldest first; empty if it has no past."""
    node = node or timeline.here
    kind, key = parse(about)
    records = set(_records(node.checker.scene, kind, key))
    causes = _along(timeline, node, records, _turning_point)
    return tuple(_since_allocation(causes, key[0]) if kind == "frame" else causes)


def why_byte(timeline: Timeline, pfn: int, node: Node | None = None) -> tuple[Cause, ...]:
    """Who wrote the byte that a frame has now, and before that: who gave the frame to whom."""
    node = node or timeline.here
    causes = _along(timeline, node, {("content", pfn), ("frames", pfn)}, _turning_point)
    writes = [cause for cause in causes if cause.change.table == "content"]
    owners = [cause for cause in causes if cause.change.table == "frames"]
    return tuple(cause for cause in causes if cause in (*owners[-2:], *writes[-1:]))


def why_count(timeline: Timeline, pfn: int, count: Count, node: Node | None = None) -> tuple[Cause, ...]:
    """Each step since the frame was last allocated that changed one of its counts."""
    node = node or timeline.here

    def changes_it(made: ChangeInStep) -> bool:
        old, new = made.change.old, made.change.new
        return (getattr(old, count) if old else 0) != (getattr(new, count) if new else 0)

    return tuple(_since_allocation(_along(timeline, node, {("frames", pfn)}, changes_it), pfn))


def why_violation(timeline: Timeline, violation: Violation, node: Node | None = None) -> tuple[Cause, ...]:
    """The shortest account of how a rule came to be broken, seen from `node` (default: here), oldest first.

    It ends at the step that broke the rule. Counts are followed only where a count is what is wrong.
    """
    end = timeline.since(violation, node)
    if violation.invariant in COUNT_RULES:
        pfn = parse(violation.subjects[0])[1][0]
        return why_count(timeline, int(pfn), COUNT_RULES[violation.invariant], end)
    scene = end.checker.scene
    subjects = [parse(about) for about in violation.subjects]
    records = {record for kind, key in subjects for record in _records(scene, kind, key)}
    if any(kind == "pte" for kind, _ in subjects):
        # The other pages of a reference have a story of their own.
        records -= {record for record in records if record[0] == "ptes" and ("pte", record[1]) not in subjects}
    pfns = {int(key[0]) for kind, key in subjects if kind == "frame"}
    causes = _along(timeline, end, records, _turning_point)
    return tuple(_from_the_beginning(causes, pfns))


COUNT_RULES: Final[dict[str, Count]] = {
    "reference-accounting": "refcount",
    "map-accounting": "mapcount",
    "underflow": "refcount",
    "special-counted": "mapcount",
}
"""Invariant → the count whose history explains it."""


# -- finding the steps -------------------------------------------------------------------------


def _records(scene: MachineView, kind: str, key: tuple[str | int, ...]) -> Iterator[Record]:
    """The records whose past is the past of a subject."""
    match kind:
        case "frame":
            yield "frames", key[0]
            yield "content", key[0]
        case "pte":
            yield "ptes", key
        case "ref":
            yield "references", key[0]
            reference = scene.state.references.get(str(key[0]))
            if reference is not None:
                for page in range(min(len(reference.frames), MOST_PAGES)):
                    yield "ptes", (reference.process, reference.vpn + page)
        case "cache":
            yield "page_cache", key
        case "tlb":
            yield "tlbs", key[0]
            yield "ptes", key[1:]
        case "lock":
            yield "locks", key
        case _ if kind in TABLES_OF:
            yield TABLES_OF[kind], key if len(key) > 1 else key[0]
        case _:
            return


TABLES_OF: Final = {
    "vma": "vmas",
    "table": "tables",
    "file": "files",
    "process": "processes",
    "cpu": "cpus",
    "device": "devices",
    "buffer": "buffers",
    "dmabuf": "dma_bufs",
}
"""Kind of subject → the table that has its record, under the same key."""


def _along(
    timeline: Timeline, node: Node, records: set[Record], matters: Callable[[ChangeInStep], bool]
) -> list[Cause]:
    """Every change of `records` on the way to `node` that matters, oldest first."""
    causes = []
    for place in timeline.path_to(node):
        for change in place.changes:
            if (change.table, change.key) in records:
                made = ChangeInStep(place.checker.scene, change, place.stepped.events if place.stepped else ())
                if matters(made):
                    causes.append(_cause(place, made))
    return causes


def _cause(place: Node, made: ChangeInStep) -> Cause:
    stepped = place.stepped
    return Cause(
        place.number,
        place.command,
        stepped.task if stepped else "",
        f"{stepped.procedure}.{stepped.step}" if stepped else "",
        made.change,
        change_phrase(made),
    )


def _turning_point(made: ChangeInStep) -> bool:
    """Whether a change is worth telling: not a mere count, and not an accessed or dirty bit."""
    table, _, old, new = made.change
    if old is None or new is None:
        return True
    if table == "frames":
        return bool(old.kind != new.kind or (old.mapping and old.mapping != new.mapping))
    if table in {"ptes", "tables"}:
        return bool(old.pfn != new.pfn or old.kind != new.kind or old.writable != new.writable)
    return True


def _allocates(cause: Cause, pfn: int) -> bool:
    """The frame leaves the allocator with this step."""
    table, key, old, new = cause.change
    return table == "frames" and key == pfn and new is not None and (old is None or old.kind == "free")


def _since_allocation(causes: list[Cause], pfn: object) -> list[Cause]:
    """The links from the last time on that the frame left the allocator."""
    starts = [position for position, cause in enumerate(causes) if isinstance(pfn, int) and _allocates(cause, pfn)]
    return causes[starts[-1] :] if starts else causes


def _from_the_beginning(causes: list[Cause], pfns: Iterable[int]) -> Iterator[Cause]:
    """Leave out what the frames were before the reference was taken, and all bytes but the last of each."""
    taken = next((at for at, cause in enumerate(causes) if cause.change.table == "references"), len(causes))
    first = {pfn: max((at for at in range(taken) if _allocates(causes[at], pfn)), default=0) for pfn in pfns}
    last_byte = {cause.change.key: at for at, cause in enumerate(causes) if cause.change.table == "content"}
    for at, cause in enumerate(causes):
        table, key = cause.change.table, cause.change.key
        if table == "content" and last_byte[key] != at:
            continue
        if table in {"frames", "content"} and at < first.get(key, 0):
            continue
        yield cause
