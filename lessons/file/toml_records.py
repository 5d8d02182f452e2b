"""TOML into typed records. What is right is read by tomllib and msgspec alone."""

import tomllib
from typing import TypeVar

import msgspec

from lessons.file.problems import LessonProblem

T = TypeVar("T")


def decode(text: str, kind: type[T], file: str, offset: int, problems: list[LessonProblem]) -> T | None:
    """Decode TOML that starts one line below line `offset` of `file`; on mistakes append to `problems`.

    `kind` may be a union of tagged records, cast to a type.
    """
    try:
        return msgspec.convert(tomllib.loads(text), kind)
    except (ValueError, msgspec.ValidationError, RecursionError) as error:
        from lessons.file.toml_mistakes import mistakes

        problems.extend(
            LessonProblem(file, offset + wrong.line, wrong.column, wrong.text, wrong.hint)
            for wrong in mistakes(text, kind, error)
        )
    return None
