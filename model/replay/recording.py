"""Recordings of a real kernel: their ops and observations as types, from JSON and back, byte for byte.

A recording is a scenario (`ops`), and per op what the kernel answered (`result`, `si_code`) and what had changed
since the op before (`state`). The format is described in `tests/recordings/README.md`.
"""

import json
from collections.abc import Sequence
from typing import Annotated, Any, Final, Literal, TypedDict

import msgspec

from model.replay.ops import Op, UnknownOp, operation
from model.text.json_text import BOM, NotJsonError, from_json

ARENA: Final = 0x2000_0000_0000 >> 12
"""Virtual page number of the recordings' page 0."""
ARENA_PAGES: Final = 2048
"""Page tables were recorded for this many pages."""
KERNEL_CHOOSES: Final = 100_000
"""A page number from here on means: where the kernel put that mapping, outside of the arena."""

VmaRow = tuple[int, int, str, str | None, int, str]
"""Start, end, `rw-p`, backing, offset, VmFlags."""
PagesOfEntries = Annotated[str, msgspec.Meta(pattern=r"^[0-9]{1,9}(\+[0-9]{1,4})?$")]
"""`12`, or `512+100`: equal entries of so many pages from there on."""
FrameName = Annotated[str, msgspec.Meta(pattern=r"^[A-Z][0-9]{1,9}(\.[0-9]{1,9})?$")]
"""`P12`, `P12.3`: the fourth page of a large folio."""
PteRow = tuple[Annotated[str, msgspec.Meta(pattern=r"^[^.]*(\.[0-9]{1,9})?$")], str]
"""Frame, swap slot or what else an entry shows, and flags."""
PhysRow = tuple[int | None, int | None, str, int | None]
"""Refcount, mapcount, flags, first byte; None for what the recorder could not see."""
PageRun = Annotated[list[int], msgspec.Meta(min_length=3, max_length=3)]
"""First page, how many, and what each of them has."""


class LargePhysRow(TypedDict):
    """A large folio: what it has as a whole, and of its pages the mapcounts, the marks and the first bytes as runs."""

    order: int
    ref: int
    pincount: int
    map: list[PageRun]
    flags: str
    excl: list[PageRun] | None
    val: list[PageRun]


class PinRow(msgspec.Struct, frozen=True):
    """A pin (or a reference) that is held, with the frames it got."""

    kind: Literal["pin", "get"]
    proc: str
    page: int
    frames: tuple[str, ...]


class ProcessDelta(msgspec.Struct, omit_defaults=True):
    """What changed in one address space."""

    vmas: list[VmaRow] | None = None
    ptes: dict[PagesOfEntries, PteRow | None] = {}


class Delta(msgspec.Struct, omit_defaults=True):
    """`state`: what changed since the op before. None stands for gone."""

    procs: dict[str, ProcessDelta | None] = {}
    phys: dict[FrameName, PhysRow | LargePhysRow | None] = {}
    pins: dict[str, PinRow | None] = {}
    freed: list[str] = []


class Seen(msgspec.Struct, frozen=True, omit_defaults=True):
    """Which fields the recorder could see. What it could not see is compared with nothing."""

    frames: bool = True
    """Which frame an entry shows. Without it a present entry shows `?` and the byte behind it, and `phys` is empty."""
    pte: str = "wdxfnusHe"
    """Letters of the flags of an entry."""
    phys: tuple[str, ...] | None = None
    """Flags of a frame; None for all."""
    counts: tuple[str, ...] = ("refcount", "mapcount")
    signals: bool = True
    """False: an access that raises a signal is recorded as EFAULT, since a system call made it."""


EVERYTHING: Final = Seen()


class RecordingHeader(msgspec.Struct, frozen=True):
    """What stands before the ops."""

    name: str
    about: str = ""
    config: dict[str, Any] = {}
    seen: Seen = EVERYTHING


class OpResult(msgspec.Struct, frozen=True):
    """What the kernel did at one op."""

    result: int | str = ""
    si_code: str = ""
    volatile: bool = False
    """The value that was read is not the same on every machine."""
    state: Delta = msgspec.field(default_factory=Delta)


class Recording(msgspec.Struct, frozen=True):
    """A decoded recording."""

    header: RecordingHeader
    ops: tuple[Op | UnknownOp, ...]
    answers: tuple[OpResult, ...]
    raw: dict[str, Any]
    """All fields as they came, in their order, for writing them back."""


class NotARecordingError(ValueError):
    """The text is no recording; the message says where (`line:column:`, or the op's number) and why."""


class _Shape(msgspec.Struct):
    """The outermost shape."""

    name: str
    ops: list[dict[str, Any]]


def decode(text: bytes) -> Recording:
    """The recording that `text` holds.

    Raises:
        NotARecordingError: `text` is no JSON, or not of this shape.
    """
    try:
        text = text.removeprefix(BOM)
        raw = from_json(text, dict[str, Any])
        header = msgspec.convert(raw, RecordingHeader)
        fields = msgspec.convert(raw, _Shape).ops
    except msgspec.ValidationError as error:
        raise NotARecordingError(f"1:1: no recording: {error}") from None
    except NotJsonError as error:
        raise NotARecordingError(str(error)) from None
    ops, answers = [], []
    for number, op in enumerate(fields):
        try:
            ops.append(operation(op))
            answers.append(msgspec.convert(op, OpResult))
        except msgspec.ValidationError as error:
            line = 1 + text[: _start_of_op(text, number)].count(b"\n")
            raise NotARecordingError(f"{line}:1: op {number}, {op.get('op', 'without a name')}: {error}") from None
    return Recording(header, tuple(ops), tuple(answers), raw)


def _start_of_op(text: bytes, number: int) -> int:
    """Byte offset of op `number` in a text that is known to be well-formed."""
    raw_ops = msgspec.json.decode(text, type=dict[str, msgspec.Raw])["ops"]
    start = text.index(bytes(raw_ops))
    for raw_op in msgspec.json.decode(raw_ops, type=list[msgspec.Raw])[: number + 1]:
        start = text.index(bytes(raw_op), start)
    return start


def encode(recording: Recording, ops: Sequence[dict[str, Any]]) -> str:
    """The recording with these ops instead, laid out as the recorder does: header fields and ops one a line."""
    header = {key: value for key, value in recording.raw.items() if key != "ops"}
    head = json.dumps(header, indent=1, ensure_ascii=False).removesuffix("\n}")
    lines = (json.dumps(op, separators=(",", ":"), ensure_ascii=False) for op in ops)
    return f'{head},\n "ops": [\n' + ",\n".join(f"  {line}" for line in lines) + "\n ]\n}\n"
