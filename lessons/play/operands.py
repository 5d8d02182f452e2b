"""What an expression speaks of: a process and one of its pages, or a reference and one of its pages."""

import re
from typing import Final, NamedTuple

from model.memory.records import Frame, Pte
from model.memory.state import State

PLACE: Final = re.compile(
    r"(?:@(?P<vpn>0x[0-9a-fA-F]+|\d+)|(?P<label>[A-Za-z][\w-]*)(?:\+(?P<plus>0x[0-9a-fA-F]+|\d+))?)$"
)


class ExpressionError(ValueError):
    """An expression that is malformed, or that asks for something this state does not have."""


class NoValueError(ExpressionError):
    """A well-formed quantity that has no value now: no page is there, or the command returned nothing."""


def virtual_page(state: State, process: str, where: str) -> int:
    """The virtual page number of a place of one page (`buf`, `buf+1`, `@16`) in a process.

    Raises ExpressionError if there is no such process or label.
    """
    match = PLACE.match(where)
    if not match:
        raise ExpressionError(f"`{where}` is no place; expected LABEL, LABEL+N or @N")
    if process not in state.processes:
        raise ExpressionError(f"no process `{process}`")
    if match["vpn"]:
        return int(match["vpn"], 0)
    label = state.labels.get((process, match["label"]))
    if label is None:
        raise ExpressionError(f"no label `{match['label']}` in process {process}")
    return label.start + int(match["plus"] or "0", 0)


def entry_at(state: State, process: str, vpn: int) -> Pte | None:
    """The leaf that translates a virtual page: its PTE, or the huge PMD above it."""
    upper = state.tables.get((process, 1, vpn >> 9))
    return upper if upper is not None and upper.huge else state.ptes.get((process, vpn))


class Subject(NamedTuple):
    """A process and one of its pages, or one page of what a reference holds."""

    process: str
    vpn: int
    reference: str
    page: int


def take_subject(state: State, words: list[str]) -> Subject:
    """Take one subject off the front of `words`."""
    if not words:
        raise ExpressionError("a subject is missing: PROCESS WHERE, or REFERENCE")
    first = words.pop(0)
    name, _, page = first.partition("+")
    if name in state.references:
        return Subject("", 0, name, int(page or "0", 0))
    if not words:
        raise ExpressionError(f"no reference `{first}`")
    return Subject(first, virtual_page(state, first, words.pop(0)), "", 0)


def frame_number(state: State, subject: Subject) -> int | None:
    """The page frame behind a subject, None if no present entry leads to one."""
    if subject.reference:
        frames = state.references[subject.reference].frames
        return frames[subject.page] if subject.page < len(frames) else None
    entry = entry_at(state, subject.process, subject.vpn)
    if entry is None or not entry.present:
        return None
    return entry.pfn + (subject.vpn % 512 if entry.huge else 0)


def take_frame(state: State, words: list[str]) -> tuple[int, Frame]:
    """The frame behind the subject at the front of `words`; ExpressionError if there is none."""
    phrase = " ".join(words)
    pfn = frame_number(state, take_subject(state, words))
    if pfn is None:
        raise NoValueError(f"no page behind `{phrase}`")
    return pfn, state.frames.get(pfn) or Frame()


def take_entry(state: State, words: list[str]) -> Pte | None:
    """The present entry of the process and place at the front of `words`."""
    subject = take_subject(state, words)
    if subject.reference:
        raise ExpressionError(f"`{subject.reference}` is a reference; it has no page-table entry of its own")
    entry = entry_at(state, subject.process, subject.vpn)
    return entry if entry is not None and entry.present else None
