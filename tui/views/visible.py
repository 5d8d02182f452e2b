r"""What comes from outside (names of files, arguments, texts, messages of the system) as a terminal may have it.

A control character in such a text is carried out by a terminal instead of being shown. Rather than each place that
prints something, the streams see to it that none gets through: it is written as `\x1b`. Rich writes colours and moves
the cursor past them, and `Printer` looks at what it prints.
"""

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final, TextIO, cast

from model.text.words import HIDDEN

CARRIED_OUT: Final = rf"(?!\r?\n){HIDDEN.pattern}"
"""Regular expression of such a character; not the end of a line."""


def visible(text: str) -> str:
    r"""The text with what a terminal would carry out, or nobody would see, spelt out.

    >>> visible("a\x1b]0;x\x07\tb\u202e\n")
    'a\\x1b]0;x\\x07\tb\\u202e\n'
    """
    return re.sub(CARRIED_OUT, lambda found: found.group().encode("unicode_escape").decode(), text)


class VisibleStream:
    """A stream for text that may come from anywhere."""

    def __init__(self, stream: TextIO) -> None:
        self.rich_proxied_file: Final = stream
        """Where Rich writes: it asks every file for this name."""

    def write(self, text: str) -> int:
        """Write it, spelt out where necessary."""
        self.rich_proxied_file.write(visible(text))
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Likewise."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.rich_proxied_file, name)


def raw(stream: TextIO) -> TextIO:
    """The stream as it is, for what moves the cursor: nothing that comes from outside may be written there."""
    return cast("TextIO", getattr(stream, "rich_proxied_file", stream))


@contextmanager
def visible_streams() -> Iterator[None]:
    """What is printed in here shows every control character that it has."""
    streams = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = (cast("TextIO", VisibleStream(stream)) for stream in streams)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = streams


def write_json(encoded: bytes) -> None:
    r"""JSON and a newline on standard output; in its strings what a terminal would carry out is written as `\u009b`."""
    import json  # takes longer to load than all else here

    text = re.sub(CARRIED_OUT, lambda found: json.dumps(found.group())[1:-1], encoded.decode())
    sys.stdout.buffer.write(text.encode() + b"\n")
    sys.stdout.flush()
