"""What is wrong with a TOML text, and where: loaded when one cannot be read.

The types of the records say what, key by key, and tomlkit, which keeps a text as it was written, says where.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from types import UnionType
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Union, cast, get_args, get_origin

import msgspec

from lessons.file.problems import did_you_mean

if TYPE_CHECKING:
    from tomlkit import TOMLDocument
    from tomlkit.items import Item

TYPE_WORDS: Final[dict[type, str]] = {
    int: "a number",
    str: 'a "text"',
    bool: "true or false",
    float: "a fraction",
    tuple: "a [list]",
    list: "a [list]",
    dict: "a table",
    msgspec.Struct: "a table",
}
MARK: Final = "\0"
"""A character that no TOML text has."""

DEEPEST: Final = 50
"""Brackets in one line that no lesson needs."""
BARE: Final = re.compile(r"\s*(?P<key>[\w-]+)\s*=\s*(?P<value>[^\s\"'\[{\d+-].*?)\s*")
"""A value that begins like a word."""

LONG_NUMBER: Final = re.compile(r"[0-9](?:_?[0-9]){4300}")
"""One that Python does not convert."""

Path = tuple[str | int, ...]


class Mistake(msgspec.Struct, frozen=True):
    """What is wrong, and where: line and column, from 1."""

    line: int
    column: int
    text: str
    hint: str = ""


class _Mistake(msgspec.Struct, frozen=True):
    """What is wrong, and with which key."""

    path: Path
    text: str
    hint: str = ""


def mistakes(text: str, kind: Any, error: Exception) -> Iterator[Mistake]:
    """All that is wrong with a text that `error` has kept from being read as a `kind`."""
    if isinstance(error, tomllib.TOMLDecodeError):
        line, column, message = _syntax_error(text, str(error))
        yield Mistake(line, column, f"not TOML: {message}", _probably(text, line))
        return
    if isinstance(error, RecursionError):
        line = next((at for at, row in enumerate(text.split("\n"), 1) if row.count("[") + row.count("{") > DEEPEST), 1)
        yield Mistake(line, 1, "not TOML: too many brackets inside each other")
        return
    if not isinstance(error, msgspec.ValidationError):  # tomllib lets it out of `int`
        found = LONG_NUMBER.search(text)
        start = found.start() if found is not None else 0
        line, column = text.count("\n", 0, start) + 1, start - text.rfind("\n", 0, start)
        yield Mistake(line, column, "not TOML: a number of that many digits")
        return
    read = tomllib.loads(text)
    for mistake in list(_mistakes(read, kind, (), _keys(kind))) or [_Mistake((), str(error))]:
        yield Mistake(*place(text, mistake.path), mistake.text, mistake.hint)


def _probably(text: str, line: int) -> str:
    """What was probably meant in a line that is no TOML: mostly a text without its quotes."""
    rows = text.split("\n")
    row = rows[line - 1] if line <= len(rows) else ""
    bare = BARE.fullmatch(row)
    if bare is not None and bare["value"] not in {"true", "false", "inf", "nan"}:
        return f'a text needs quotes: {bare["key"]} = "{bare["value"]}"'
    if row.count('"') % 2 and '"""' not in row:
        return 'a quote is missing; a text over several lines begins and ends with """'
    if row.strip() and "=" not in row and not row.lstrip().startswith(("[", "#", '"', "]")):
        return "a line reads: key = value"
    return ""


# -- what is wrong -------------------------------------------------------------------------------


def _mistakes(value: object, kind: Any, path: Path, elsewhere: set[str]) -> Iterator[_Mistake]:
    """Everything about a value that its type does not allow. `elsewhere`: the keys of the whole text's type."""
    records = _records(kind)
    if records and isinstance(value, dict):
        yield from _in_table(value, records, path, elsewhere)
    elif isinstance(value, list) and get_origin(_bare(kind)) is tuple and _fits(value, tuple[Any, ...]):
        inside = [
            mistake
            for number, each in enumerate(value)
            for mistake in _mistakes(each, get_args(_bare(kind))[0], (*path, number), elsewhere)
        ]
        yield from inside or _in_value(value, kind, path)
    else:
        yield from _in_value(value, kind, path)


def _in_table(value: Mapping[str, object], records: list[Any], path: Path, elsewhere: set[str]) -> Iterator[_Mistake]:
    """The mistakes of a table: its tag, keys that it does not know, keys that it lacks, and those of its values."""
    tag = records[0].__struct_config__.tag_field
    record = records[0]
    if tag:
        tags = {str(each.__struct_config__.tag): each for each in records}
        if tag not in value:
            yield _Mistake(path, f"the key `{tag}` is missing")
            return
        if str(value[tag]) not in tags:
            yield _Mistake((*path, tag), *_no_choice(tag, value[tag], tags))
            return
        record = tags[str(value[tag])]
    fields = {field.encode_name: field for field in msgspec.structs.fields(record)}
    for key in value.keys() - fields.keys() - {tag}:
        known = {*fields, tag} if tag else set(fields)
        hint = "it belongs to another part of the block" if key in elsewhere else did_you_mean(key, known)
        yield _Mistake((*path, key), f"no key `{key}` here", hint)
    for key, field in fields.items():
        if key in value:
            yield from _mistakes(value[key], field.type, (*path, key), elsewhere)
        elif field.required:
            yield _Mistake(path, f"the key `{key}` is missing")


def _in_value(value: object, kind: Any, path: Path) -> Iterator[_Mistake]:
    """What is wrong with anything but a table."""
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        key = next((str(step) for step in reversed(path) if isinstance(step, str)), "")
        bare = _bare(kind)
        if get_origin(bare) is Literal:
            text, hint = _no_choice(key, value, map(str, get_args(bare)))
            yield _Mistake(path, text, hint)
        elif not _fits(value, bare):
            yield _Mistake(path, f"{key}: expected {_in_words(bare)}, not {_word(type(value))}")
        else:
            yield _Mistake(path, f"{key}: {_bounds(kind) or error}")


def _bounds(kind: Any) -> str:
    """What a value of a type must be, besides being of that type; empty where nothing is said of it."""
    meta = next((one for one in get_args(kind)[1:] if isinstance(one, msgspec.Meta)), None)
    if meta is None:
        return ""
    if meta.description:
        return f"expected {meta.description}"
    if meta.ge is not None:
        return f"expected a number from {meta.ge}" + (f" to {meta.le}" if meta.le is not None else " on")
    return "expected a text: it is empty" if get_args(kind)[0] is str and meta.min_length else ""


def _no_choice(key: str, value: object, choices: Any) -> tuple[str, str]:
    return f"{key}: `{value}` cannot stand here", did_you_mean(str(value), choices)


# -- types -----------------------------------------------------------------------------------------


def _bare(kind: Any) -> Any:
    """A type without what is said about its values."""
    return get_args(kind)[0] if get_origin(kind) is Annotated else kind


def _members(kind: Any) -> tuple[Any, ...]:
    """The types of a union; of any other type, itself."""
    bare = _bare(kind)
    return get_args(bare) if get_origin(bare) in {Union, UnionType} else (bare,)


def _records(kind: Any) -> list[Any]:
    """The record types of a union."""
    return [each for each in _members(kind) if isinstance(each, type) and issubclass(each, msgspec.Struct)]


def _fits(value: object, kind: Any) -> bool:
    """Whether a value has the type, whatever else is demanded of it."""
    return any(
        isinstance(value, list)
        if get_origin(each) is tuple
        else isinstance(value, get_origin(each) or each) and not (isinstance(value, bool) and each is int)
        for each in map(_bare, _members(kind))
    )


def _in_words(kind: Any) -> str:
    """What an author would call a type."""
    return " or ".join(_word(get_origin(_bare(each)) or _bare(each)) for each in _members(kind))


def _word(kind: type) -> str:
    return next((word for known, word in TYPE_WORDS.items() if kind is known), None) or next(
        (word for known, word in TYPE_WORDS.items() if issubclass(kind, known)), kind.__name__
    )


def _keys(kind: Any) -> set[str]:
    """Every key that a record type, or a record inside it, knows."""
    keys: set[str] = set()
    for record in _records(kind):
        tag = record.__struct_config__.tag_field
        keys |= {tag} if tag else set()
        for field in msgspec.structs.fields(record):
            keys.add(field.encode_name)
            inner = _bare(field.type)
            keys |= _keys(get_args(inner)[0] if get_origin(inner) is tuple else inner)
    return keys


# -- where it is wrong -----------------------------------------------------------------------------


def _syntax_error(text: str, message: str) -> tuple[int, int, str]:
    """(line, column, what is wrong) of a text that is no TOML."""
    import tomlkit
    from tomlkit.exceptions import ParseError, TOMLKitError, UnexpectedEofError

    last = text.rstrip().split("\n")
    try:
        tomlkit.parse(text)
    except ParseError as error:
        # Where a value is missing at the end, tomlkit takes its own end mark for the character that is wrong.
        if isinstance(error, UnexpectedEofError) or (repr("\0") in str(error) and "\0" not in text):
            return len(last), len(last[-1]) + 1, "it ends too early"
        return error.line, error.col + 1, str(error).removesuffix(f" at line {error.line} col {error.col}")
    except TOMLKitError as error:
        return 1, 1, str(error)
    except ValueError:  # a number before it is too long
        return 1, 1, message
    return 1, 1, message


def place(text: str, path: Path) -> tuple[int, int]:
    """Line and column, from 1, of what stands under a path; of the nearest thing above it if nothing does.

    The key is marked and the document written out again: where the mark is, there the key was.
    """
    import tomlkit

    document = tomlkit.parse(text)
    for length in range(len(path), 0, -1):
        item = _item(document, path[:length])
        if item is None:
            continue
        indent = item.trivia.indent
        item.trivia.indent = MARK
        before, mark, _ = tomlkit.dumps(document).partition(MARK)
        item.trivia.indent = indent
        if mark:
            return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + len(indent) + 1
    return 1, 1


def _item(document: TOMLDocument, path: Path) -> Item | None:
    """What tomlkit keeps under a path; None where there is nothing."""
    from tomlkit.container import Container
    from tomlkit.items import AoT, Table

    at: Any = document
    for step in path:
        if isinstance(at, Container | Table) and step in at:
            at = at.item(cast("str", step))
        elif isinstance(at, AoT) and isinstance(step, int):
            at = at.body[step]
        else:
            return None
    return at.body[0] if isinstance(at, AoT) else cast("Item", at)
