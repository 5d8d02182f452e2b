"""A driver of one's own as scripts use it: its operations are verbs, so none of them may have the name of one."""

from collections.abc import Iterator
from typing import Final

from model.driver_files import library
from model.driver_files.records import DriverText
from model.driver_files.resolve import whole
from model.script.verbs import VERBS
from model.text.problems import ScriptError, ScriptProblem

SHARED_OPS: Final = frozenset({"move", "evict", "invalidate"})
"""Verbs that are operations of drivers."""
TAKEN: Final = "a bundled driver is called `{name}`: choose another name"


def usable(text: str) -> DriverText:
    """The driver that a text describes. Raises ScriptError, also where no script could use it."""
    driver = whole(text)
    problems = tuple(clashes(driver))
    if driver.name in library.bundled() and text.strip() != library.text_of(driver.name).strip():
        problems = (ScriptProblem(1, 1, TAKEN.format(name=driver.name)), *problems)
    if problems:
        raise ScriptError(problems)
    return driver


def clashes(driver: DriverText) -> Iterator[ScriptProblem]:
    """Operations that are called like a verb, each at its head."""
    for one in driver.lists:
        if one.head.word == "op" and one.name in VERBS and one.name not in SHARED_OPS:
            what = f"the operation `{one.name}` of `{driver.name}` has the name of a verb: choose another name"
            yield ScriptProblem(one.head.line, one.head.column, what)
