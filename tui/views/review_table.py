"""The review of a driver: its cells worst first, and who against what as a table; for people, programs and CI."""

import sys
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Mapping
from fnmatch import fnmatchcase
from typing import Final, NamedTuple

import msgspec

from lessons.i18n.language import tr
from model.compare.cells import Cell, CellOutcome
from model.compare.owner_acts import OwnerAct
from model.compare.ranking import FAILS, QUIET, badness, counted, worst
from model.compare.scenes import GRABBERS, NOBODY
from model.compare.table import CellQuestion
from model.search.verdicts import MEMORY_ORDER
from tui.jobs.compare_cache import Answer
from tui.views.comparison_table import LEGEND, Grid, print_grid, style_of, words
from tui.views.plain_text import console
from tui.views.search_json import EXIT_CORRUPTS, EXIT_INCOMPLETE, EXIT_NEVER_ENDS, EXIT_SAFE, EXIT_VACUOUS
from tui.views.visible import write_json

STATUS: Final[dict[CellOutcome, int]] = {
    "corrupts": EXIT_CORRUPTS,
    "splat": EXIT_CORRUPTS,
    "stuck": EXIT_NEVER_ENDS,
    "open": EXIT_INCOMPLETE,
    "vacuous": EXIT_VACUOUS,
}
BY: Final = ":"
"""Between grabber and act in the name of a cell."""


class ReviewResult(NamedTuple):
    """What was asked and what came of it."""

    driver: str
    kernel: str
    defence: str
    most_states: int
    acts: tuple[OwnerAct, ...]
    asked: tuple[CellQuestion, ...]
    answers: Mapping[str, Answer]
    accepted: tuple[str, ...] = ()
    """Cells that are known to be as they are, as patterns."""

    def is_accepted(self, question: CellQuestion) -> bool:
        """Whether the cell counts for nothing, whatever stands in it."""
        return any(fnmatchcase(name_of(question), pattern) for pattern in self.accepted)

    @property
    def worst(self) -> CellOutcome:
        """The worst outcome of a cell that is not accepted."""
        return worst(cell for question, cell in self.cells if not self.is_accepted(question))

    @property
    def cells(self) -> list[tuple[CellQuestion, Cell]]:
        """Each cell that is known, the worst first."""
        known = [(question, self.answers.get(question.text)) for question in self.asked]
        found = [(question, cell) for question, cell in known if isinstance(cell, Cell)]
        return sorted(found, key=lambda one: badness(one[1]))

    @property
    def title(self) -> str:
        """What was reviewed, in a line."""
        under = tr(", defence {name}").format(name=self.defence) if self.defence != "none" else ""
        return tr(
            "{driver}, kernel {kernel}{under}: one buffer, two CPUs, one grab and one access through it against one "
            "thing that happens; at most {states} states a cell; {order} memory"
        ).format(driver=self.driver, kernel=self.kernel, under=under, states=self.most_states, order=MEMORY_ORDER)

    @property
    def grid(self) -> Grid:
        """Who against what."""
        columns = tuple(dict.fromkeys(question.column for question in self.asked))
        found = {(question.row, question.column): self.answers.get(question.text) for question in self.asked}
        rows = dict.fromkeys(question.row for question in self.asked)
        cells = ((row, tuple(found.get((row, column)) for column in columns)) for row in rows)
        return Grid("", (tr("grabber"), *columns), tuple(cells))

    @property
    def counted(self) -> str:
        """How many cells there are of each outcome.

        >>> from model.compare.owner_acts import CellScene
        >>> question = CellQuestion("raw", "move", "none", CellScene("a"))
        >>> ReviewResult("qxl", "6.18", "none", 9, (), (question,), {"a": Cell("safe")}).counted
        '1 safe'
        """
        return counted(cell for _, cell in self.cells)


def name_of(question: CellQuestion) -> str:
    """How `--story` names a cell."""
    return f"{question.row}{BY}{question.column}"


# -- for people ------------------------------------------------------------------------------------


def print_review(review: ReviewResult, how: str) -> None:
    """Print the cells that are not in order, worst first, then everything as a table. `how`: to see one's story."""
    out = console()
    out.print(review.title, style="bold")
    out.print(review.counted)
    listed = [(question, cell) for question, cell in review.cells if cell.outcome not in QUIET]
    wide = max((len(name_of(question)) for question, _ in listed), default=0)
    for question, cell in listed:
        out.print(f"  {name_of(question).ljust(wide)}  {_with_its_rule(review, question, cell)}", style=style_of(cell))
    if listed:
        out.print(tr("How one happens: {command}").format(command=f"{how} --story {name_of(listed[0][0])}"))
    print_grid(out, review.grid)
    for term, meaning in (*LEGEND, *_meanings(review)):
        out.print(f"{term}: {tr(meaning)}")


def _with_its_rule(review: ReviewResult, question: CellQuestion, cell: Cell) -> str:
    """A cell in words, with the rule that is broken."""
    rule = f" ({cell.invariant})" if cell.invariant and cell.outcome != "stuck" else ""
    return f"{words(cell)}{rule}" + (f", {tr('accepted')}" if review.is_accepted(question) else "")


def _meanings(review: ReviewResult) -> list[tuple[str, str]]:
    """Who the grabbers are, and what happens."""
    rows = {question.row for question in review.asked}
    return [(grabber.name, grabber.meaning) for grabber in (NOBODY, *GRABBERS) if grabber.name in rows] + [
        (act.name, act.meaning) for act in review.acts
    ]


def print_markdown(review: ReviewResult) -> None:
    """Print the same as Markdown."""
    lines = [f"### {review.driver}", "", f"{review.title}.", "", f"{review.counted}.", ""]
    for question, cell in review.cells:
        if cell.outcome not in QUIET:
            lines.append(f"* `{name_of(question)}`: {_with_its_rule(review, question, cell)}")
    grid = review.grid
    table = [grid.heading, ("---",) * len(grid.heading), *((row, *map(words, cells)) for row, cells in grid.rows)]
    lines += ["", *(f"| {' | '.join(line)} |" for line in table), ""]
    lines += [f"* `{term}`: {tr(meaning)}" for term, meaning in (*LEGEND, *_meanings(review))]
    sys.stdout.write("\n".join(lines) + "\n")


# -- for programs ----------------------------------------------------------------------------------


def as_object(review: ReviewResult) -> dict[str, object]:
    """The object that docs/script-contract.md describes."""
    return {
        "driver": review.driver,
        "kernel": review.kernel,
        "defence": review.defence,
        "max_states": review.most_states,
        "memory_order": MEMORY_ORDER,
        "worst": review.worst,
        "accepted": list(review.accepted),
        "complete": len(review.cells) == len(review.asked) and all(cell.complete for _, cell in review.cells),
        "grabbers": {grabber.name: grabber.meaning for grabber in (NOBODY, *GRABBERS)},
        "acts": {act.name: act.meaning for act in review.acts},
        "cells": [
            {"cell": name_of(question), "grabber": question.row, "act": question.column}
            | {name: getattr(cell, name) for name in Cell.__struct_fields__}
            | {"scene": question.text}
            for question, cell in review.cells
        ],
        "not_searched": [name_of(question) for question in review.asked if question.text not in review.answers],
    }


def print_json(review: ReviewResult) -> None:
    """Print one object."""
    write_json(msgspec.json.encode(as_object(review)))


def print_junit(review: ReviewResult) -> None:
    """Print a test suite: a cell is a test case, and fails if it corrupts, splats or never ends.

    A cell that was given up is an error; one that is vacuous, or accepted, is skipped.
    """
    cells = review.cells
    outcomes = Counter(_verdict_for_ci(review, question, cell) for question, cell in cells)
    unknown = [question for question in review.asked if question.text not in review.answers]
    suite = ET.Element(
        "testsuite",
        name=f"ptescope review {review.driver} (kernel {review.kernel})",
        tests=str(len(review.asked)),
        failures=str(outcomes["failure"]),
        errors=str(outcomes["error"]),
        skipped=str(outcomes["skipped"] + len(unknown)),
    )
    for question, cell in cells:
        case = ET.SubElement(suite, "testcase", classname=review.driver, name=name_of(question))
        if (verdict := _verdict_for_ci(review, question, cell)) != "passed":
            ET.SubElement(case, verdict, message=str(cell), type=cell.invariant or cell.outcome).text = cell.trace
        else:
            ET.SubElement(case, "system-out").text = str(cell)
    for question in unknown:
        case = ET.SubElement(suite, "testcase", classname=review.driver, name=name_of(question))
        ET.SubElement(case, "skipped", message="not searched")
    ET.indent(suite)
    sys.stdout.write('<?xml version="1.0" encoding="UTF-8"?>\n')
    sys.stdout.write(ET.tostring(suite, encoding="unicode") + "\n")


def status_of(worst: CellOutcome) -> int:
    """The exit status of a review, by its worst cell: as `explore` has it."""
    return STATUS.get(worst, EXIT_SAFE)


def _verdict_for_ci(review: ReviewResult, question: CellQuestion, cell: Cell) -> str:
    if review.is_accepted(question):
        return "skipped"
    if cell.outcome in FAILS:
        return "failure"
    if not cell.complete:
        return "error"
    return "skipped" if cell.outcome == "vacuous" else "passed"
