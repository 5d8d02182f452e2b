"""A lesson in the reader's language: the same lesson with other words. Its logic is not touched."""

from collections.abc import Iterator, Mapping
from typing import Final, TypeVar

import msgspec

from lessons.file.schema import Lesson
from lessons.i18n.catalog import plain

WORDS: Final = frozenset({"title", "summary", "rule", "text", "ask", "right", "otherwise", "reply"})
"""The fields of a lesson's records that are read by the learner."""

Record = TypeVar("Record", bound=msgspec.Struct)


def translated(record: Record, texts: Mapping[str, str]) -> Record:
    """A lesson, or what it says of itself, with every text in it replaced; what has no translation stays English."""
    changed: dict[str, object] = {}
    for name in record.__struct_fields__:
        value = getattr(record, name)
        if isinstance(value, str) and name in WORDS and not _is_script(record, name):
            changed[name] = texts.get(plain(value), value)
        elif isinstance(value, msgspec.Struct):
            changed[name] = translated(value, texts)
        elif isinstance(value, tuple):
            changed[name] = tuple(translated(one, texts) if isinstance(one, msgspec.Struct) else one for one in value)
    return msgspec.structs.replace(record, **changed)


def texts_of(lesson: Lesson) -> list[str]:
    """Every text of a lesson that the learner reads, each once, in the order of the lesson."""
    return list(dict.fromkeys(plain(text) for text in _texts(lesson) if text.strip()))


def _texts(record: msgspec.Struct) -> Iterator[str]:
    """The texts of a record and of the records in it."""
    for name in record.__struct_fields__:
        value = getattr(record, name)
        if isinstance(value, str) and name in WORDS and not _is_script(record, name):
            yield value
        for one in value if isinstance(value, tuple) else (value,):
            if isinstance(one, msgspec.Struct):
                yield from _texts(one)


def _is_script(record: msgspec.Struct, name: str) -> bool:
    """Whether a field has a command of the script language, not words: the `text` of what carries remarks."""
    return name == "text" and "remarks" in record.__struct_fields__
