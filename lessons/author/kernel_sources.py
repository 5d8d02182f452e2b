"""Whether what a lesson gives to read in the kernel stands there, in a tree of sources that the author has.

An entry of `read` is `FILE: NAME, NAME…`. A name that some kernels lack says which have it: `pmd_special (since
6.12)`, `follow_pte (until 6.1)`, `udmabuf_vm_fault (6.12 to 6.18)`.
"""

import re
from collections.abc import Iterator
from difflib import get_close_matches
from math import inf
from pathlib import Path
from typing import Final

from lessons.file.problems import LessonProblem
from lessons.file.schema import Lesson

WORD: Final = re.compile(r"[A-Za-z_]\w*")
NAME: Final = re.compile(r"(?:struct )?(?P<name>[A-Za-z_]\w*)(?: \((?P<kernels>[^)]*)\))?")
VERSION: Final = r"[0-9]{1,4}\.[0-9]{1,4}"
KERNELS: Final = re.compile(
    rf"since (?P<since>{VERSION})|until (?P<until>{VERSION})|(?P<first>{VERSION})(?: to (?P<last>{VERSION}))?"
)
MAKEFILE: Final = re.compile(r"^(?:VERSION|PATCHLEVEL) *= *([0-9]{1,4})$", re.MULTILINE)

Release = tuple[float, float]
"""Version and patch level: 6.12 is (6, 12)."""


def dead(lesson: Lesson, tree: Path) -> Iterator[LessonProblem]:
    """Files and names of the front matter's `read` that the tree lacks, though its kernel should have them."""
    release = release_of(tree)
    for place in lesson.header.read:
        file, _, names = place.partition(": ")
        expected = [name for name, first, last in _names(names) if _concerns(release, first, last)]
        words = _words(tree / file)
        if words is None:
            if expected or not any(_names(names)):
                yield LessonProblem(lesson.file, 1, 1, f"read: there is no {file} in {tree}")
            continue
        for name in expected:
            if name not in words:
                near = get_close_matches(name, words, n=1)
                hint = f"did you mean `{near[0]}`?" if near else ""
                yield LessonProblem(lesson.file, 1, 1, f"read: {file} in {tree} has no `{name}`", hint)


def release_of(tree: Path) -> Release | None:
    """The version in a tree's Makefile; None if it says none."""
    try:
        found = MAKEFILE.findall((tree / "Makefile").read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return None
    return (int(found[0]), int(found[1])) if len(found) == 2 else None


def _names(listed: str) -> Iterator[tuple[str, Release, Release]]:
    """Each name of a file, with the first and the last kernel that has it; what is no name is prose."""
    for each in re.split("[,;]", listed):
        match = NAME.fullmatch(each.strip())
        if match is not None:
            yield match["name"], *_bounds(match["kernels"])


def _bounds(kernels: str | None) -> tuple[Release, Release]:
    """The first and the last kernel of what stands in parentheses."""
    match = KERNELS.fullmatch(kernels or "")
    if match is None:
        return (0, 0), (inf, inf)
    first, last = match["since"] or match["first"], match["until"] or match["last"] or match["first"]
    return _release(first) if first else (0, 0), _release(last) if last else (inf, inf)


def _concerns(release: Release | None, first: Release, last: Release) -> bool:
    """Whether a kernel lies between two; of one that does not tell its version, only what all kernels have is asked."""
    return (first, last) == ((0, 0), (inf, inf)) if release is None else first <= release <= last


def _release(version: str) -> Release:
    major, minor = version.split(".")
    return int(major), int(minor)


def _words(path: Path) -> frozenset[str] | None:
    """Every name in a file; None if there is no such file."""
    try:
        return frozenset(WORD.findall(path.read_text(encoding="utf-8", errors="replace")))
    except OSError:
        return None
