"""What a learner would notice between two versions of a lesson."""

from collections.abc import Iterator

import msgspec

from lessons.file.schema import Do, Goal, Item, Lesson
from lessons.play.any_answer_player import truths


def differences(old: Lesson, new: Lesson) -> Iterator[str]:
    """One line a difference: the header, what was added and removed, what reads or answers differently."""
    for name in old.header.__struct_fields__:
        one, other = getattr(old.header, name), getattr(new.header, name)
        if one != other:
            yield f"~ {name}: {_short(one)} -> {_short(other)}"
    before, after = _named(old), _named(new)
    for name in before:
        if name not in after:
            yield f"- {name}"
    answered_before, answered_after = truths(old), truths(new)
    for name, item in after.items():
        if name not in before:
            truth = answered_after.get(name.rpartition(" ")[2])
            yield f"+ {name}" + (f", answer: {truth}" if truth is not None else "")
            continue
        yield from (f"~ {name}: {what}" for what in _changed(before[name], item))
        key = name.rpartition(" ")[2]
        if answered_before.get(key) != answered_after.get(key):
            yield f"! {name}: the answer was {answered_before.get(key)}, and is {answered_after.get(key)}"
    if [name for name in before if name in after] != [name for name in after if name in before]:
        yield "~ the order of the items"
    for world in sorted({*old.worlds, *new.worlds}):
        if old.worlds.get(world) != new.worlds.get(world):
            sign = "+" if world not in old.worlds else "-" if world not in new.worlds else "~"
            yield f"{sign} world {world}"


def _named(lesson: Lesson) -> dict[str, Item]:
    """The items by what stays when they are edited: the ids of questions and goals, else their number of the kind."""
    found: dict[str, Item] = {}
    for item in lesson.items:
        match item.action:
            case Goal(id=name):
                found[f"goal {name}"] = item
            case Do(commands=commands):
                found[_free(found, f"commands {commands[0].text}" if commands else "commands")] = item
            case None:
                found[_free(found, "text" if not item.last else "end")] = item
            case prediction:
                found[f"prediction {prediction.id}"] = item
    return found


def _free(found: dict[str, Item], name: str) -> str:
    """The name, numbered if it is taken."""
    number = 1
    while (numbered := name if number == 1 else f"{name} ({number})") in found:
        number += 1
    return numbered


def _changed(old: Item, new: Item) -> Iterator[str]:
    """Which parts of an item read differently; lines do not matter."""
    for name in ("text", "world", "hints", "notes"):
        yield from _parts(name, _words(getattr(old, name)), _words(getattr(new, name)))
    yield from _parts("what sets the scene", _words(old.setup), _words(new.setup))
    one, other = old.action, new.action
    if one is None or other is None:
        return
    for name in other.__struct_fields__:
        if name not in {"line", "id"}:
            yield from _parts(name, _words(getattr(one, name, None)), _words(getattr(other, name)))


def _parts(name: str, old: object, new: object) -> Iterator[str]:
    """The smallest parts that differ, as `name: old -> new`.

    >>> list(_parts("wrong", [{"answer": 1, "reply": "No."}], [{"answer": 2, "reply": "No."}]))
    ['wrong 1 answer: 1 -> 2']
    """
    if isinstance(old, dict) and isinstance(new, dict) and old.keys() == new.keys():
        for key in new:
            yield from _parts(f"{name} {key}", old[key], new[key])
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new):
        for number, (one, other) in enumerate(zip(old, new, strict=True), 1):
            yield from _parts(f"{name} {number}" if len(new) > 1 or isinstance(one, dict) else name, one, other)
    elif isinstance(old, str) and isinstance(new, str) and old != new:
        yield f"{name}: {' -> '.join(_around(old, new))}"
    elif isinstance(old, list) and isinstance(new, list) and old != new:
        yield f"{name}: {len(old)} -> {len(new)} of them"
    elif old != new:
        yield f"{name}: {_short(old)} -> {_short(new)}"


def _around(old: str, new: str) -> tuple[str, str]:
    """Two texts from shortly before the first word that differs.

    >>> _around("this page is still in its place", "this page is now in its place")
    ('this page is still in its place', 'this page is now in its place')
    >>> _around("a b c d e f g h i", "a b c d e f g h j")[1]
    '... f g h j'
    """
    one, other = old.split(), new.split()
    pairs = zip(one, other, strict=False)
    same = next((at for at, (left, right) in enumerate(pairs) if left != right), min(len(one), len(other)))
    begin = same - 3 if same > 5 else 0
    dots = "... " if begin else ""
    return _short(dots + " ".join(one[begin:])), _short(dots + " ".join(other[begin:]))


def _words(value: object) -> object:
    """A value without the lines at which it stands."""
    if isinstance(value, msgspec.Struct):
        return {
            name: _words(getattr(value, name)) for name in value.__struct_fields__ if name not in {"line", "column"}
        }
    if isinstance(value, tuple):
        return [_words(one) for one in value]
    return " ".join(value.split()) if isinstance(value, str) else value


def _short(value: object) -> str:
    text = " ".join(str(value).split())
    return text if len(text) <= 60 else f"{text[:57]}..."
