"""Replay of recordings: does the model do what a real kernel did, op by op?

`compare` performs a recording on the model and finds the first difference, `emit` writes the recording as the model
would have made it. Nothing is compared that the recordings' README leaves open: the `lru` flag, and the `dirty` flag
of anonymous pages, which the kernel sets at some later time.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

import msgspec

from model.replay import deltas
from model.replay.machine import UNSUPPORTED, Machine, Reply
from model.replay.observe import Observation
from model.replay.perform import perform
from model.replay.recording import EVERYTHING, Delta, LargePhysRow, OpResult, PhysRow, Recording, Seen
from model.replay.visible import visible

BROKEN: Final = "BROKEN"
"""Result of an op at which the model itself failed; never what a kernel says."""


class Played(NamedTuple):
    """One op as the model did it."""

    reply: Reply
    before: Observation
    look: Observation
    freed: list[str]

    @property
    def delta(self) -> Delta:
        """What the recorder would write of it."""
        return deltas.delta(self.before, self.look, self.freed)


class Mismatch(NamedTuple):
    """Where model and kernel part."""

    number: int
    """Of the op, from 0."""
    op: str
    field: str
    """`result`, `procs.p0.ptes.7`, `phys.P0` …"""
    kernel: Any
    model: Any

    def __str__(self) -> str:
        """One line for a person."""
        kernel, model = (msgspec.json.encode(value).decode() for value in (self.kernel, self.model))
        return f"op {self.number} {self.op}: {self.field}: kernel {kernel}, model {model}"


class RecordingResult(NamedTuple):
    """What came of one recording."""

    name: str
    ops: int
    difference: Mismatch | None
    """The first one before any op that is unsupported."""
    unsupported: tuple[str, ...]
    """What the model does not know, each once. The comparison ends at the first such op."""

    @property
    def agrees(self) -> bool:
        """Every op was performed and nothing differs."""
        return self.difference is None and not self.unsupported


def play(recording: Recording) -> Iterator[Played]:
    """Perform the ops one by one. After an op at which the model broke all the others are BROKEN too."""
    config = recording.header.config
    machine = Machine(str(config.get("swap", "off")), str(config.get("hugetlb", 0)))
    before = Observation()
    broken: Reply | None = None
    for op, answer in zip(recording.ops, recording.answers, strict=True):
        machine.observer.freed.clear()
        if broken is None:
            try:
                reply = perform(machine, op)
                look = machine.look()
            except Exception as error:  # noqa: BLE001 - a bug of the model is a finding like any other, not the end
                reply, look, broken = Reply(f"{BROKEN}: {type(error).__name__}: {error}"), before, Reply(BROKEN)
        else:
            reply = broken
        if answer.volatile and isinstance(reply.result, int):
            reply = Reply("ANY")
        yield Played(reply, before, look, list(machine.observer.freed))
        before = look


def compare(recording: Recording) -> RecordingResult:
    """Replay a recording and say where the model first differs from the kernel."""
    kernel = Observation()
    fields: list[dict[str, Any]] = recording.raw["ops"]
    unsupported: Counter[str] = Counter()
    for number, (played, answer) in enumerate(zip(play(recording), recording.answers, strict=True)):
        name = fields[number]["op"]
        if played.reply == UNSUPPORTED:
            unsupported[describe(fields[number])] += 1
        if unsupported:
            continue
        deltas.apply(kernel, answer.state)
        seen = as_seen(played, recording.header.seen, kernel)
        for field, theirs, ours in differences(answer, kernel, seen):
            return RecordingResult(recording.header.name, len(fields), Mismatch(number, name, field, theirs, ours), ())
    return RecordingResult(recording.header.name, len(fields), None, tuple(unsupported))


def as_seen(played: Played, seen: Seen, kernel: Observation) -> Played:
    """What the recorder would have seen of the model, had it looked at it as it did at the kernel."""
    if seen == EVERYTHING:
        return played
    reply = Reply("EFAULT") if played.reply.si_code and not seen.signals else played.reply
    return Played(reply, played.before, visible(played.look, seen, kernel), played.freed if seen.frames else [])


def describe(op: dict[str, Any]) -> str:
    """An op's name, and what about it may be unknown."""
    return " ".join([op["op"], *(str(op[key]).lower() for key in ("advice",) if key in op)])


def differences(answer: OpResult, kernel: Observation, played: Played) -> Iterator[tuple[str, Any, Any]]:
    """Every field in which the kernel's answer and the model's differ: field, kernel, model."""
    if answer.result != played.reply.result:
        yield "result", answer.result, played.reply.result
    if answer.si_code != played.reply.si_code:
        yield "si_code", answer.si_code, played.reply.si_code
    model = played.look
    for process in kernel.vmas.keys() | model.vmas.keys():
        yield from _different(f"procs.{process}.vmas", kernel.vmas.get(process), model.vmas.get(process))
        theirs, ours = kernel.ptes.get(process, {}), model.ptes.get(process, {})
        if theirs != ours:
            for page in sorted(theirs.keys() | ours.keys()):
                yield from _different(f"procs.{process}.ptes.{page}", theirs.get(page), ours.get(page))
    for name in sorted(kernel.phys.keys() | model.phys.keys(), key=deltas.number_of):
        yield from _different(f"phys.{name}", comparable(kernel.phys.get(name)), comparable(model.phys.get(name)))
    for name in sorted(kernel.pins.keys() | model.pins.keys()):
        yield from _different(f"pins.{name}", kernel.pins.get(name), model.pins.get(name))
    yield from _different("freed", answer.state.freed, deltas.freed_in_runs(played.freed))


def _different(field: str, kernel: object, model: object) -> Iterator[tuple[str, Any, Any]]:
    if kernel != model:
        yield field, kernel, model


def comparable(row: PhysRow | LargePhysRow | None) -> PhysRow | LargePhysRow | None:
    """A frame without the flags that are not compared."""
    if row is None:
        return None
    if isinstance(row, dict):
        return {**row, "flags": compared_flags(row["flags"])}
    return (*row[:2], compared_flags(row[2]), row[3])


def compared_flags(flags: str) -> str:
    """The flags that must be the same; `dirty` of anonymous pages comes at some later time."""
    words = flags.split()
    ignored = {"lru", "dirty"} if "anon" in words else {"lru"}
    return " ".join(word for word in words if word not in ignored)


def emit(recording: Recording) -> list[dict[str, Any]]:
    """The ops with `result`, `si_code` and `state` as the model has them, in the recording's order of fields."""
    emitted = []
    for fields, played in zip(recording.raw["ops"], play(recording), strict=True):
        op = {key: value for key, value in fields.items() if key not in ("result", "si_code", "state")}
        op["result"] = played.reply.result
        if played.reply.si_code:
            op["si_code"] = played.reply.si_code
        op["state"] = msgspec.json.decode(msgspec.json.encode(played.delta))
        emitted.append(op)
    return emitted


# -- the table by kind ------------------------------------------------------------------------


class KindRow(NamedTuple):
    """How the recordings of one kind fare."""

    kind: str
    recordings: int
    agreeing: int
    unsupported: int
    first_difference: str
    """Of the first recording that differs, or what is unsupported; empty if all agree."""


def kind_of(stem: str) -> str:
    """The kind of a recording by its file's name without `.json`.

    >>> kind_of("061_stale_dontneed"), kind_of("r017_anon"), kind_of("mine")
    ('stale', 'anon', 'mine')
    """
    words = stem.split("_")
    return words[1] if len(words) > 1 else stem


def by_kind(verdicts: Sequence[tuple[str, RecordingResult]]) -> list[KindRow]:
    """One row a kind, in the order of first appearance, from (kind, verdict) pairs."""
    rows = []
    for kind in dict.fromkeys(kind for kind, _ in verdicts):
        mine = [verdict for other, verdict in verdicts if other == kind]
        worst = next((f"{one.name} {one.difference}" for one in mine if one.difference), "")
        missing = ", ".join(dict.fromkeys(what for one in mine for what in one.unsupported))
        rows.append(
            KindRow(
                kind,
                len(mine),
                sum(one.agrees for one in mine),
                sum(bool(one.unsupported) for one in mine),
                worst or (f"unsupported: {missing}" if missing else ""),
            )
        )
    return rows
