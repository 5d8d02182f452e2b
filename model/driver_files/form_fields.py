"""A driver file as a form: a field for each slot of the table of lines, and the text that what is filled in makes.

>>> filled = {"driver NAME": "mine", "vma FLAGS": "PFNMAP", "map at": "fault", "map insert": "pfn"}
>>> print(written(filled, "op go:").strip())
driver mine
vma PFNMAP
map at=fault insert=pfn
<BLANKLINE>
op go:
"""

from collections.abc import Iterator, Mapping
from typing import Final, NamedTuple

from model.driver_files.line_forms import FIELDS, HEADS, LineForm, Slot

FIRST: Final = (HEADS["driver"], HEADS["like"], FIELDS["about"], FIELDS["source"])
"""The lines that a file begins with."""
FORMS: Final = (*FIRST, *(form for form in FIELDS.values() if form not in FIRST))
PROPOSED: Final[dict[str, str]] = {
    "driver NAME": "mydrv",
    "vma FLAGS": "PFNMAP DONTEXPAND DONTDUMP",
    "map at": "fault",
    "map insert": "pfn",
    "lock LOCK": "resv",
    "lock HOW": "blocking",
    "backing KIND": "pages",
}
"""What a form begins with."""
OPERATIONS: Final = """\
op move:
  refuse-when pinned EBUSY
  lock resv
  notify
  zap
  alloc
  copy
  switch
  free
  unlock resv
"""
"""The operations that a form begins with: a move in TTM's order."""


class DriverField(NamedTuple):
    """One slot of one line."""

    key: str
    """The line's word and the slot's name."""
    form: LineForm
    slot: Slot
    flag: bool = False

    @property
    def required(self) -> bool:
        """Whether a driver file cannot be without it."""
        return self.key == "driver NAME"

    @property
    def help(self) -> str:
        """What belongs there, in a line."""
        about = self.slot.meaning or self.form.help
        return f"{self.form.usage}: {about}"


def driver_fields() -> tuple[DriverField, ...]:
    """Every field of the form, in the order of the file."""
    return tuple(_fields())


def _fields() -> Iterator[DriverField]:
    for form in FORMS:
        for slot in (*form.slots, *form.options):
            yield DriverField(f"{form.name} {slot.name}", form, slot)
        for flag in form.flags:
            yield DriverField(f"{form.name} {flag.name}", form, flag, flag=True)


def written(given: Mapping[str, str], operations: str) -> str:
    """The text of the file. A line of which nothing is filled in is left out; mistakes are written as they are."""
    lines = [line for form in FORMS if (line := _line(form, given))]
    return "\n".join((*lines, "", operations.strip("\n"), ""))


def _line(form: LineForm, given: Mapping[str, str]) -> str:
    values = {slot.name: " ".join(given.get(f"{form.name} {slot.name}", "").split()) for slot in form.slots}
    options = {option.name: "".join(given.get(f"{form.name} {option.name}", "").split()) for option in form.options}
    flags = [flag.name for flag in form.flags if given.get(f"{form.name} {flag.name}")]
    words = [value for value in values.values() if value]
    words += [f"{name}={value}" for name, value in options.items() if value]
    return " ".join((form.name, *words, *flags)) if words or flags else ""
