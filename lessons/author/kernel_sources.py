"""Whether what a lesson gives to read in the kernel stands there, in a tree of sources that the author has."""

import re
from collections.abc import Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Final

from lessons.file.problems import LessonProblem
from lessons.file.schema import Lesson

OTHERWISE: Final = re.compile(r"\s*\([^)]*\)")
"""What a function is called in another version: no tree has all of them."""
OTHER_VERSION: Final = re.compile(r"[\w ]+\((?:in |since )?\d+\.\d+\)")
"""A function of another version."""
NAME: Final = re.compile(r"(?:struct )?(?P<name>[A-Za-z_]\w*)")
WORD: Final = re.compile(r"[A-Za-z_]\w*")


def dead(lesson: Lesson, tree: Path) -> Iterator[LessonProblem]:
    """Files and functions of the front matter's `read` that the tree does not have."""
    for place in lesson.header.read:
        file, _, functions = place.partition(": ")
        words = _words(tree / file)
        if words is None:
            yield LessonProblem(lesson.file, 1, 1, f"read: there is no {file} in {tree}")
            continue
        here = OTHERWISE.sub("", OTHER_VERSION.sub("", functions))
        for each in re.split("[,;]", here):
            match = NAME.fullmatch(each.strip())
            if match and match["name"] not in words:
                near = get_close_matches(match["name"], words, n=1)
                hint = f"did you mean `{near[0]}`?" if near else ""
                yield LessonProblem(lesson.file, 1, 1, f"read: {file} in {tree} has no `{match['name']}`", hint)


def _words(path: Path) -> frozenset[str] | None:
    """Every name in a file; None if there is no such file."""
    try:
        return frozenset(WORD.findall(path.read_text(encoding="utf-8", errors="replace")))
    except OSError:
        return None
