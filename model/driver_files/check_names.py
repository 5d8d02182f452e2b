"""Locks and functions that the steps of a driver file name: each is declared, and none calls itself."""

from collections.abc import Iterator
from functools import cache
from typing import Final

from model.driver_files.records import DriverLine, StepList
from model.text.problems import ScriptProblem, did_you_mean

MOST_DEPTH: Final = 8
"""How deep lists may call each other."""
MOST_TOGETHER: Final = 2_000
"""Steps of an operation with those of the lists that it calls, each as often as it is called."""


def wrong_names(lists: tuple[StepList, ...], declared: set[str]) -> Iterator[ScriptProblem]:
    """What the steps of lists name and is not there, and lists that call each other without end."""
    functions = {one.name for one in lists if one.head.word == "function"}
    for one in lists:
        for step in one.every_step():
            lock = step.word_at("LOCK")
            if lock and lock not in declared and (step.word == "lock" or not step.origin):
                hint = did_you_mean(lock, declared) or "; declare it: `lock NAME ops`"
                yield ScriptProblem(step.line, step.column, f"{_there(step)}no lock `{lock}` is declared{hint}")
            callee = step.word_at("NAME") if step.word == "call" else ""
            if callee and callee not in functions:
                hint = did_you_mean(callee, functions) or "; write it: `function NAME:`"
                yield ScriptProblem(step.line, step.column, f"{_there(step)}there is no function `{callee}`{hint}")
    circles = tuple(_circles(lists))
    yield from circles or _too_long(lists)


def _there(step: DriverLine) -> str:
    """Where a step stands that is taken over: the complaint is at the `like`."""
    driver, _, line = step.origin.partition(":")
    return f"in `{driver}`, line {line}, `{step.text}`: " if step.origin else ""


def _circles(lists: tuple[StepList, ...]) -> Iterator[ScriptProblem]:
    """Lists that call each other in a circle, or too deep: a driver would never come to an end."""
    calls: dict[str, list[DriverLine]] = {}
    for one in lists:
        calls.setdefault(one.name, []).extend(step for step in one.every_step() if step.word == "call")
    for one in lists:
        for step in (step for step in one.every_step() if step.word == "call"):
            chain, level = [one.name], {step.word_at("NAME")}
            while level and len(chain) <= MOST_DEPTH + len(calls):
                if one.name in level:
                    circle = "calls itself" if len(chain) == 1 else "calls itself through others"
                    yield ScriptProblem(step.line, step.column, f"`{one.name}` {circle}: a driver cannot loop")
                    break
                chain.append("")
                level = {inner.word_at("NAME") for name in level for inner in calls.get(name, ())}
            else:
                if not level and len(chain) > MOST_DEPTH:  # else it leads into a circle, which is told where it is
                    yield ScriptProblem(step.line, step.column, f"lists call each other more than {MOST_DEPTH} deep")


def _too_long(lists: tuple[StepList, ...]) -> Iterator[ScriptProblem]:
    """Operations that come to too many steps with all that they call: a few lines can say a million."""
    steps: dict[str, list[DriverLine]] = {}
    for one in lists:
        steps.setdefault(one.name, []).extend(one.every_step())

    @cache
    def length(name: str) -> int:
        mine = steps.get(name, [])
        return len(mine) + sum(length(step.word_at("NAME")) for step in mine if step.word == "call")

    for one in lists:
        if one.head.word == "op" and length(one.name) > MOST_TOGETHER:
            what = f"`{one.name}` has more than {MOST_TOGETHER} steps with those of the lists that it calls"
            yield ScriptProblem(one.head.line, one.head.column, what)
