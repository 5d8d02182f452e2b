"""What the real kernel did, as a recording that `ptescope replay` reads."""

import platform
from collections.abc import Iterable
from typing import Final

import msgspec

from model.replay.recording import Recording, RecordingHeader, Seen, encode
from tui.live.side_by_side import Compared, swap

FIRST: Final = "p0"
"""The process that every recording starts with."""


class NotRecordableError(Exception):
    """What was done cannot be said in the recording format; the message says what."""


def recording(found: Iterable[Compared], seen: Seen, name: str, about: str) -> str:
    """The text of a recording of everything that was carried out.

    Raises NotRecordableError: a recording starts with one process, p0, and knows no second one that is no child.
    """
    ops = [dict(op) for one in found for op in one.ops]
    started = [str(op["proc"]) for op in ops if op["op"] == "process"]
    if len(started) > 1:
        raise NotRecordableError(f"a recording has one process that is nobody's child; `{started[1]}` is a second")
    if started and started[0] != FIRST:
        raise NotRecordableError(f"a recording calls its first process `{FIRST}`, not `{started[0]}`")
    header = RecordingHeader(name, about, {"swap": swap()}, seen)
    raw = msgspec.to_builtins(header) | {"kernel": platform.release(), "ops": []}
    kept = [op for op in ops if op["op"] != "process"]
    return encode(Recording(header, (), (), raw), kept)
