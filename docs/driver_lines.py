"""The reference of driver files: every line form from the table that the parser reads, with a line of a real driver."""

from collections.abc import Iterator, Mapping
from typing import Final

from model.driver_files import library
from model.driver_files.line_forms import CONDITIONS, FIELDS, HEADS, STEPS, LineForm, Slot
from model.driver_files.parser import parse
from model.driver_files.records import DriverLine, DriverText

TITLES: Final = (("Heads", HEADS), ("Fields, before the first operation", FIELDS), ("Steps, below a head", STEPS))
OWN: Final = {
    "fence": "fence",
    "signal": "signal",
    "wait-fence": "wait-fence",
    "split": "split refuse",
    "export": "export refuse ENOTTY",
    "writable": "writable refuse EPERM",
}
"""Examples of lines that no driver that comes along has."""


def lines_of(driver: DriverText, forms: Mapping[str, LineForm]) -> Iterator[DriverLine]:
    """The lines of a driver file that are heads, fields or steps; `lock` is both a field and a step."""
    if forms is FIELDS:
        yield from driver.fields
        return
    if forms is HEADS:
        yield from driver.likes
    for one in driver.lists:
        yield from [one.head] if forms is HEADS else one.every_step()


def example(form: LineForm, forms: Mapping[str, LineForm]) -> str:
    """A line that uses a form, and where it stands."""
    if form.name == "driver":
        return "`driver panfrost`"
    found = [
        (name, line)
        for name in library.bundled()
        for line in lines_of(parse(library.text_of(name)), forms)
        if line.word == form.name
    ]
    if not found:
        return f"`{OWN[form.name]}`"
    name, line = max(found, key=lambda pair: len(pair[1].values))  # the first of those that say the most
    first = line.text.split(" + ")[0]
    return f"`{first}{':' if form.colon else ''}` ({name})"


def driver_lines() -> str:
    """The whole reference as Markdown."""
    return "\n".join(_reference())


def _reference() -> Iterator[str]:
    for title, forms in TITLES:
        yield f"### {title}\n"
        for form in forms.values():
            yield f"* `{form.usage}`: {form.help}. Example: {example(form, forms)}"
            for slot in (*form.slots, *form.options, *form.flags):
                if told := _slot_in_words(slot):
                    yield f"  * {told}"
        yield ""
    yield "### Conditions\n"
    yield "What `when`, `unless`, `refuse-when` and `fail-when` may ask besides the driver's own states:\n"
    yield from (f"* `{name}`: {told}" for name, told in CONDITIONS.items())
    yield ""


def _slot_in_words(slot: Slot) -> str:
    """What stands in a slot, where its name does not say it all."""
    words = " ".join(f"`{word}`" for word in slot.words)
    if slot.meaning:
        return f"`{slot.name}`{f' ({words})' if len(slot.words) > 1 else ''}: {slot.meaning}"
    return f"`{slot.name}`: {words}" if slot.many else ""


def drivers() -> str:
    """The drivers that come along, as a table."""
    rows = [(f"`{name}`", parse(library.text_of(name)).about) for name in library.bundled()]
    return "".join(f"| {' | '.join(row)} |\n" for row in (("KIND", "what it is"), ("---", "---"), *rows))
