"""TOML into typed records, with the place of each mistake in the file around it."""

import re
import tomllib
from typing import Any, Final, Literal, TypeVar, get_args, get_origin

import msgspec

from lessons.file.problems import LessonProblem, did_you_mean

T = TypeVar("T")
PATH: Final = re.compile(r" - at `\$(?P<path>[^`]*)`")
TOML_PLACE: Final = re.compile(r" \(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)")
UNKNOWN: Final = re.compile(r"Object contains unknown field `(?P<field>[^`]*)`")
MISSING: Final = re.compile(r"Object missing required field `(?P<field>[^`]*)`")
INVALID: Final = re.compile(r"Invalid (?:enum )?value (?P<value>.*)")
TYPES: Final = re.compile(r"Expected (?P<wanted>`[^,]*`), got (?P<got>`.*`)")
TYPE_WORDS: Final = {
    "int": "a number",
    "str": 'a "text"',
    "array": "a [list]",
    "object": "a table",
    "bool": "true or false",
    "float": "a fraction",
    "null": "nothing",
}
STEP: Final = re.compile(r"\.?(?P<key>[\w-]+)|\[(?P<index>\d+)\]")


def decode(text: str, kind: type[T], file: str, offset: int, problems: list[LessonProblem]) -> T | None:
    """Decode TOML that starts one line below line `offset` of `file`; on a mistake append to `problems`.

    `kind` may be a union of tagged records, cast to a type.
    """
    try:
        return msgspec.convert(tomllib.loads(text), kind)
    except tomllib.TOMLDecodeError as error:
        place = TOML_PLACE.search(str(error))
        line = int(place["line"] or text.count("\n") + 1) if place else 1
        column = int(place["column"] or 1) if place else 1
        problems.append(LessonProblem(file, offset + line, column, f"not TOML: {TOML_PLACE.sub('', str(error))}"))
    except msgspec.ValidationError as error:
        problems.append(_invalid(str(error), text, kind, file, offset))
    return None


def _invalid(message: str, text: str, kind: Any, file: str, offset: int) -> LessonProblem:
    """A validation error of msgspec as a problem at the line of the key it speaks of."""
    match = PATH.search(message)
    path = match["path"] if match else ""
    said = PATH.sub("", message)
    unknown = UNKNOWN.match(said)
    if unknown:
        line, column = _locate(text.split("\n"), f"{path}.{unknown['field']}")
        known = _keys(kind)
        elsewhere = unknown["field"] in known
        hint = "it belongs to another part of the block" if elsewhere else did_you_mean(unknown["field"], known)
        return LessonProblem(file, offset + line, column, f"no key `{unknown['field']}` here", hint)
    line, column = _locate(text.split("\n"), path)
    missing = MISSING.match(said)
    if missing:
        return LessonProblem(file, offset + line, column, f"the key `{missing['field']}` is missing")
    key = path.rpartition(".")[2]
    hint = ""
    invalid = INVALID.match(said)
    if invalid:
        given = invalid["value"].strip("'")
        said, hint = f"`{given}` cannot stand here", did_you_mean(given, _choices(kind, key))
    wrong_type = TYPES.match(said)
    if wrong_type:
        said = f"expected {_in_words(wrong_type['wanted'])}, not {_in_words(wrong_type['got'])}"
    return LessonProblem(file, offset + line, column, f"{key}: {said}" if key else said, hint)


def _in_words(types: str) -> str:
    """The types of JSON that msgspec speaks of, as an author calls them."""
    return " or ".join(TYPE_WORDS.get(each, each) for each in types.replace("`", "").split(" | "))


def _choices(kind: Any, key: str) -> set[str]:
    """The words that may stand under a key, where they are few."""
    found: set[str] = set()
    for choice in get_args(kind) or (kind,):
        if isinstance(choice, type) and issubclass(choice, msgspec.Struct):
            config = choice.__struct_config__
            if config.tag_field == key:
                found.add(str(config.tag))
            for field in msgspec.structs.fields(choice):
                found |= set(map(str, get_args(field.type))) if _is_literal(field, key) else _choices(field.type, key)
        elif get_args(choice):
            found |= _choices(choice, key)
    return found


def _is_literal(field: Any, key: str) -> bool:
    return field.encode_name == key and get_origin(field.type) is Literal


def _locate(lines: list[str], path: str) -> tuple[int, int]:
    """Line and column, from 1, of a path such as `.wrong[1].reply`; the nearest thing above it if it is missing."""
    at = 0
    column = 1
    key = ""
    for step in STEP.finditer(path):
        if step["key"]:
            key = step["key"]
            pattern = re.compile(rf"(\s*)(?:{re.escape(key)}\s*=|\[\[?{re.escape(key)}\]\]?)")
            found = next((number for number in range(at, len(lines)) if pattern.match(lines[number])), None)
        else:
            headers = [number for number in range(len(lines)) if lines[number].strip() == f"[[{key}]]"]
            found = headers[int(step["index"])] if int(step["index"]) < len(headers) else None
        if found is None:
            break
        at = found
        column = len(lines[at]) - len(lines[at].lstrip()) + 1
    return at + 1, column


def _keys(kind: Any) -> set[str]:
    """Every key that a record type, or a record inside it, knows."""
    keys: set[str] = set()
    for choice in get_args(kind) or (kind,):
        if isinstance(choice, type) and issubclass(choice, msgspec.Struct):
            tag = choice.__struct_config__.tag_field
            keys |= {tag} if tag else set()
            for field in msgspec.structs.fields(choice):
                keys.add(field.encode_name)
                keys |= _keys(field.type)
        elif get_args(choice):
            keys |= _keys(choice)
    return keys
