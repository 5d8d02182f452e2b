"""What a condition is asked about, and how it looks things up there.

A moment is a machine, the answer to the last command, and the rules that are broken. Everything is read out of the
tables of the State, by key where that is possible, so a search that notes reads can ask too.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, cast

import msgspec

from model.invariants.violation import Violation
from model.memory.folio import page_frame
from model.memory.ordered import floor
from model.memory.records import Frame, Pte, Vma
from model.memory.state import Memory, State
from model.script.command import Phrase, Place, RefPage
from model.script.context import OK, Context, Outcome
from model.script.page_operands import place_key
from model.script.pages import Missing, page_entry, pages_at

if TYPE_CHECKING:
    from model.invariants.checker import Checker


class NoAnswerError(ValueError):
    """What is asked has no answer now: it is malformed, or speaks of something that does not exist."""

    missing: Missing | None = None
    """What does not exist."""

    @classmethod
    def without(cls, missing: Missing) -> NoAnswerError:
        """The error for something that the script names and the machine does not have."""
        error = cls(str(missing))
        error.missing = missing
        return error


class NoValueError(NoAnswerError):
    """A quantity that has no value now: no page is there, or the command returned nothing."""


class Moment(msgspec.Struct, frozen=True):
    """What a condition is asked about."""

    state: State
    last: Outcome = OK
    """The answer to the last command. While one is under way, that is the one before."""
    violations: tuple[Violation, ...] = ()
    """What that command broke."""
    checker: Checker | None = None
    """The checker of `state`; None: made when a condition asks what is broken."""

    @staticmethod
    def after(context: Context, checker: Checker | None = None) -> Moment:
        """The moment after the last command of a context."""
        return Moment(context.state, context.last, context.violations, checker)

    @property
    def standing(self) -> Iterable[Violation]:
        """What is broken now, whichever command broke it."""
        if self.checker is not None:
            return self.checker.violations
        from model.invariants.checker import Checker  # noqa: PLC0415 -- it brings the kernel; few conditions need it

        return Checker.full(self.state).violations


def process_named(state: Memory, name: str) -> str:
    """The name of a process that exists. One that is exiting does, as long as there is anything of it to look at."""
    if name not in state.processes:
        raise Missing("process", name)
    return name


def range_at(moment: Moment, phrase: Phrase, key: str = "WHERE", of: str = "P") -> tuple[str, int, int]:
    """(process, first page, end) of a place that may be a range: a bare label means its first page."""
    place = cast("Place", phrase.values[key])
    process = process_named(moment.state, str(phrase.values[of]))
    start, pages = pages_at(moment.state, process, place)
    return process, start, start + (1 if place.pages == 0 else pages)


def page_at(moment: Moment, phrase: Phrase) -> tuple[str, int]:
    """(process, virtual page number) of `P WHERE`."""
    process, start, _ = range_at(moment, phrase)
    return process, start


def entry_at(moment: Moment, phrase: Phrase) -> Pte | None:
    """The present entry of `P WHERE`: its PTE, or the huge PMD above it."""
    found = page_entry(moment.state, *page_at(moment, phrase))
    return found[0] if found is not None and found[0].present else None


def vma_at(moment: Moment, phrase: Phrase) -> Vma | None:
    """The VMA that covers `P WHERE` (vma_lookup)."""
    process, vpn = page_at(moment, phrase)
    start = floor(moment.state.vma_index, process, vpn)
    vma = moment.state.vmas.get((process, start)) if start is not None else None
    return vma if vma is not None and vpn < vma.end else None


def frame_behind(moment: Moment, phrase: Phrase, key: str = "PAGE") -> int | None:
    """The frame behind a `PageOf`; None: no present entry leads to one, or the reference holds no such page."""
    value = phrase.values[key]
    if isinstance(value, RefPage):
        reference = moment.state.references.get(value.reference)
        if reference is None:
            raise Missing("reference", value.reference)
        return reference.frames[value.page] if value.page < len(reference.frames) else None
    _, vpn, _ = range_at(moment, phrase, place_key(key), key)
    found = page_entry(moment.state, str(value), vpn)
    return found[1] if found is not None and found[0].present else None


def frame_of(moment: Moment, phrase: Phrase, key: str = "PAGE") -> tuple[int, Frame]:
    """The frame behind a `PageOf` and its struct page. Raises NoValueError if there is none."""
    pfn = frame_behind(moment, phrase, key)
    if pfn is None:
        raise NoValueError("no page mapped there")
    return pfn, page_frame(moment.state, pfn)
