"""JSON that somebody hands over: what it says, or the line and column at which it is none."""

import re
from typing import Final, TypeVar

import msgspec

from model.text.problems import line_and_column

T = TypeVar("T")
BOM: Final = "\ufeff".encode()
"""What some editors write before UTF-8 text."""
AT: Final = re.compile(r" \(byte (\d+)\)$")
"""How msgspec says where; that a text is too short stands at its end."""


class NotJsonError(Exception):
    """A text is no JSON. The message begins with line and column."""


def from_json(raw: bytes, kind: type[T]) -> T:
    """What a text says.

    Raises:
        NotJsonError: it is no UTF-8, no JSON, or nested too deeply.
        msgspec.ValidationError: it is JSON of another shape.
    """
    text = raw.removeprefix(BOM)
    try:
        text.decode()
        return msgspec.json.decode(text, type=kind)
    except msgspec.ValidationError:
        raise
    except UnicodeDecodeError as error:
        raise NotJsonError(_located(text, error.start, "no UTF-8")) from None
    except msgspec.DecodeError as error:
        found = AT.search(str(error))
        what = AT.sub("", str(error)).removeprefix("JSON is malformed: ")
        raise NotJsonError(_located(text, int(found[1]) if found else len(text), f"no JSON: {what}")) from None
    except RecursionError:
        raise NotJsonError(_located(text, 0, "nested too deeply")) from None


def _located(text: bytes, at: int, what: str) -> str:
    line, column = line_and_column(text, at)
    return f"{line}:{column}: {what}"
