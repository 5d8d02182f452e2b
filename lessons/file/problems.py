"""What is wrong with a lesson file: where, what, and what was probably meant."""

from collections.abc import Iterable
from difflib import get_close_matches

import msgspec


class LessonProblem(msgspec.Struct, frozen=True):
    """One complaint; prints as `file:line:column: what is wrong`."""

    file: str
    line: int
    """Counted from 1, as editors do; 0: it is about no place in a file."""
    column: int
    text: str
    hint: str = ""
    """What to do about it, where we can tell."""

    def __str__(self) -> str:
        """The one-line form that editors can jump to."""
        place = f"{self.file}:{self.line}:{self.column}" if self.line else self.file
        return f"{place}: {self.text}" + (f" ({self.hint})" if self.hint else "")


class LessonError(ValueError):
    """A lesson that cannot be used; carries every problem found, not only the first."""

    def __init__(self, problems: Iterable[LessonProblem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(map(str, self.problems)))


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """`did you mean …?`, or what there is to choose from if nothing is near.

    >>> did_you_mean("predit", ["predict", "do"])
    'did you mean `predict`?'
    >>> did_you_mean("xyz", ["predict", "do"])
    'expected one of: do, predict'
    >>> did_you_mean("xyz", [])
    ''
    """
    choices = sorted(known)
    near = nearest(word, choices)
    if near:
        return near
    return f"expected one of: {', '.join(choices)}" if choices else ""


def nearest(word: str, known: Iterable[str]) -> str:
    """`did you mean …?`, or nothing.

    >>> nearest("predit", ["predict", "do"]), nearest("xyz", ["predict", "do"])
    ('did you mean `predict`?', '')
    """
    near = get_close_matches(word, sorted(known), n=1)
    return f"did you mean `{near[0]}`?" if near else ""
