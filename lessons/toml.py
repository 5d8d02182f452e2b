"""TOML into typed records, with the place of each mistake in the file around it."""

import re
import tomllib
from typing import Any, Final, TypeVar, get_args

import msgspec

from lessons.problems import Problem, did_you_mean

T = TypeVar("T")
PATH: Final = re.compile(r" - at `\$(?P<path>[^`]*)`")
TOML_PLACE: Final = re.compile(r" \(at (?:line (?P<line>\d+), column (?P<column>\d+)|end of document)\)")
UNKNOWN: Final = re.compile(r"Object contains unknown field `(?P<field>[^`]*)`")
STEP: Final = re.compile(r"\.?(?P<key>[\w-]+)|\[(?P<index>\d+)\]")


def decode(text: str, kind: type[T], file: str, offset: int, problems: list[Problem]) -> T | None:
    """Decode TOML that starts one line below line `offset` of `file`; on a mistake append to `problems`.

    `kind` may be a union of tagged records, cast to a type.
    """
    try:
        return msgspec.convert(tomllib.loads(text), kind)
    except tomllib.TOMLDecodeError as error:
        place = TOML_PLACE.search(str(error))
        line = int(place["line"] or text.count("\n") + 1) if place else 1
        column = int(place["column"] or 1) if place else 1
        problems.append(Problem(file, offset + line, column, f"not TOML: {TOML_PLACE.sub('', str(error))}"))
    except msgspec.ValidationError as error:
        problems.append(_invalid(str(error), text, kind, file, offset))
    return None


def _invalid(message: str, text: str, kind: Any, file: str, offset: int) -> Problem:
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
        return Problem(file, offset + line, column, f"no key `{unknown['field']}` here", hint)
    line, column = _locate(text.split("\n"), path)
    key = path.rpartition(".")[2]
    return Problem(file, offset + line, column, f"{key}: {said}" if key else said)


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
