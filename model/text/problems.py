"""What is wrong with a script: where, what, what was expected, and what was probably meant."""

from collections.abc import Iterable
from difflib import get_close_matches

import msgspec


class ScriptProblem(msgspec.Struct, frozen=True):
    """One complaint about one place of a script."""

    line: int
    """Counted from 1, as editors do."""
    column: int
    """In characters, counted from 1."""
    message: str

    def located(self, file: str) -> str:
        """The one-line form that editors can jump to.

        >>> ScriptProblem(3, 1, "unknown command `raed`; did you mean `read`?").located("demo.pte")
        'demo.pte:3:1: unknown command `raed`; did you mean `read`?'
        """
        return f"{file}:{self.line}:{self.column}: {self.message}"


class ScriptError(ValueError):
    """A script that cannot be run; carries every problem found, not only the first."""

    def __init__(self, problems: Iterable[ScriptProblem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda problem: (problem.line, problem.column)))
        super().__init__("\n".join(f"{p.line}:{p.column}: {p.message}" for p in self.problems))


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """The end of a message: the nearest known word, or nothing if none is near.

    >>> did_you_mean("raed", ["read", "write"])
    '; did you mean `read`?'
    >>> did_you_mean("xyz", ["read", "write"])
    ''
    """
    near = get_close_matches(word, sorted(known), n=1)
    return f"; did you mean `{near[0]}`?" if near else ""


def line_and_column(raw: bytes, at: int) -> tuple[int, int]:
    r"""Where a byte of a text stands: line and column from 1 on, in characters. What is before it is UTF-8.

    >>> line_and_column(b"a\nb\xc3\xbc\xff", 5)
    (2, 3)
    """
    before = raw[:at]
    begun = before.rfind(b"\n") + 1
    return before.count(b"\n") + 1, len(before[begun:].decode()) + 1
