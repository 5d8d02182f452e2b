"""What a search need not find: mistakes of a driver file that one sees by reading it.

    for finding in check(text):
        print(finding.located("mine.driver"))

Each kernel is looked at by itself; a finding says on which it is so.
"""

from collections.abc import Iterator
from typing import Final

from model.driver_files.check_mapping import FieldPlaces, mapping_findings
from model.driver_files.check_steps import StepChecker
from model.driver_files.findings import DriverFault, merged, warning
from model.driver_files.line_forms import CONDITIONS
from model.driver_files.records import DriverLine, DriverText, KernelDriver
from model.driver_files.resolve import KernelAt, resolve, whole
from model.engine.config import KERNELS
from model.text.problems import did_you_mean

ALWAYS_THERE: Final = frozenset({*CONDITIONS, "fence"})
"""States that no step of the file sets."""


def check(text: str) -> tuple[DriverFault, ...]:
    """Everything that is wrong with a driver, by place. Raises ScriptError if it cannot be read.

    What stands in a driver that is taken over by `like` is told at the `like` line.
    """
    driver = whole(text)
    found: list[tuple[str, DriverFault]] = []
    before: KernelDriver | None = None
    steps: tuple[DriverFault, ...] = ()
    for kernel in KERNELS:
        now, lines = resolve(text, kernel), _lines(driver, KernelAt(kernel, frozenset()))
        steps = steps if now == before else tuple(StepChecker(now).findings())
        found += [(kernel, finding) for finding in (*mapping_findings(now, kernel, lines), *steps)]
        before = now
    found += [(kernel, finding) for finding in _names(driver) for kernel in KERNELS]
    return merged(found)


def _lines(driver: DriverText, here: KernelAt) -> FieldPlaces:
    """Where the fields stand that sentences are about; for one that is not given, the file's first line."""
    counting = sorted(filter(here.has, driver.fields), key=lambda line: bool(line.as_it_was))
    by_word = {line.word: line for line in counting}
    first = DriverLine("driver", {})
    return FieldPlaces(*(by_word.get(word, first) for word in FieldPlaces._fields))


def _names(driver: DriverText) -> Iterator[DriverFault]:
    """States that nothing sets, functions that nobody calls, locks that nobody takes."""
    steps = [step for one in driver.lists for step in one.every_step()]
    set_by = {step.word_at("STATE") for step in steps if step.word == "set"}
    set_by |= {line.word_at("STATE") for line in driver.fields if line.word == "mkwrite"} | ALWAYS_THERE
    asked = [(line, line.word_at("STATE")) for line in driver.fields if line.word == "fail-when"]
    for step in (step for one in driver.lists for step in one.every_step()):
        asked += [(step, state) for state, _ in step.when]
        asked += [(step, step.word_at("STATE"))] if step.word in {"refuse-when", "refuse-unless", "clear"} else []
    for line, state in asked:
        if state not in set_by:
            hint = did_you_mean(state, set_by)
            yield warning(line, "state-never-set", f"no step sets `{state}`: the buffer is never in that state{hint}")
    called = {step.word_at("NAME") for step in steps if step.word == "call"}
    called |= {line.word_at("NAME") for line in driver.fields if line.word == "pin"}
    for one in driver.lists:
        if one.head.word == "function" and one.name not in called:
            yield warning(one.head, "never-called", f"nothing calls `{one.name}`")
    taken = {step.word_at("LOCK") for step in steps if step.word == "lock"}
    going = {step.word for step in steps} & {"free", "put", "zap", "switch", "truncate"}
    for line in driver.fields:
        if line.word == "lock" and line.word_at("LOCK") not in taken and going:
            what = f"no step takes `{line.word_at('LOCK')}`: it keeps no operation from running beside ->fault"
            yield warning(line, "lock-never-taken", what)
