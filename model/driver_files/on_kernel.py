"""A driver written out as it is on one kernel: no versions, nothing taken over, a file that can be read again."""

from collections.abc import Iterator

import msgspec

from model.driver_files.records import DriverLine
from model.driver_files.resolve import KernelAt, whole
from model.driver_files.writing import described


def on_kernel(text: str, kernel: str) -> str:
    """The text of a driver with what counts on a kernel. Raises ScriptError."""
    return "\n".join(_lines(text, KernelAt(kernel, frozenset()))) + "\n"


def _lines(text: str, here: KernelAt) -> Iterator[str]:
    driver = whole(text)
    yield f"driver {driver.name}"
    yield from (_plain(line) for line in driver.fields if here.has(line))
    for one in driver.lists:
        if here.has(one.head):
            head = msgspec.structs.replace(one.head, text=f"{one.head.text}:")
            yield f"\n{_plain(head)}"
            yield from (f"  {_plain(step)}" for step in one.steps if here.has(step))


def _plain(line: DriverLine) -> str:
    """A line without its versions."""
    return described(msgspec.structs.replace(line, since="", until="", as_it_was="", mended=""))
