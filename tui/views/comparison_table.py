"""The tables of `ptescope compare`: for a terminal, as Markdown, as JSON."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec

from lessons.i18n.language import tr
from model.compare.cells import Cell, Trial
from model.compare.scenes import DEFENCES, GRABBERS, defence_name
from model.compare.table import CellQuestion
from tui.jobs.compare_cache import Answer

if TYPE_CHECKING:
    from rich.console import Console

NARROWEST: Final = 11
"""Columns of text in which a cell is still easy to read."""

STYLES: Final = {
    "corrupts": "bold red",
    "splat": "magenta",
    "stuck": "magenta",
    "hazard": "yellow",
    "open": "yellow",
    "vacuous": "yellow",
    "refused": "cyan",
    "safe": "green",
}
"""Colours help the eye; the word says the same."""

LEGEND: Final = (
    ("corrupts in N", "bytes reach somebody they do not belong to, or are lost; N micro-steps are the fewest"),
    ("splat in N", "the kernel complains, and nothing worse is reachable; after `corrupts`: it complains too"),
    ("hazard in N", "a belief is false by then, but nothing is lost yet"),
    ("refused ERRNO", "the kernel refuses, in every interleaving; `at mmap`: there is nothing to grab"),
    ("safe, N states", "all N reachable states are in order"),
    (
        "deadlock in N, waits for ever in N",
        "in some schedule tasks wait for each other, or for something that nobody does",
    ),
    ("vacuous: COMMAND: ERRNO", "nothing was found, but that command never took place, so nothing is shown"),
    ("bound hit", "the search ended early, and something worse may lie beyond"),
)


class Grid(NamedTuple):
    """A table: its title, the names of its columns, and its rows with the cells in words."""

    title: str
    heading: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Answer | None, ...]], ...]
    """None: not searched, for somebody has interrupted it."""


def words(answer: Answer | None) -> str:
    """A cell in words."""
    if answer is None:
        return tr("not searched")
    if isinstance(answer, Cell):
        return str(answer)
    found = answer.found.rpartition("; found ")[2].rpartition(": ")[2]
    return tr("works") if answer.works else tr("breaks: {found}").format(found=found)


def grids(asked: Sequence[CellQuestion], answers: Mapping[str, Answer]) -> Iterator[Grid]:
    """One table a defence, and one of the uses with a column a defence."""
    found = {(question.row, question.column, question.defence): answers[question.text] for question in asked}
    scenes = [question for question in asked if not question.use]
    for defence in dict.fromkeys(question.defence for question in scenes):
        drivers = dict.fromkeys(question.row for question in scenes)
        grabbers = tuple(dict.fromkeys(question.column for question in scenes))
        cells = ((row, tuple(found.get((row, grabber, defence)) for grabber in grabbers)) for row in drivers)
        yield Grid(tr("Defence: {name}").format(name=defence), (tr("exporter"), *grabbers), tuple(cells))
    tried = [question for question in asked if question.use]
    if tried:
        defences = tuple(dict.fromkeys(question.defence for question in tried))
        uses = dict.fromkeys(question.row for question in tried)
        cells = ((use, tuple(found.get((use, "", defence)) for defence in defences)) for use in uses)
        yield Grid(tr("Uses that should go on working"), (tr("use"), *defences), tuple(cells))


def bounds(kernel: str, most_states: int) -> str:
    """What the figures hold for."""
    return tr(
        "Kernel {kernel}; one buffer of one page (ttm-huge: 512), two CPUs; one grab and one access through it, "
        "against what the driver does with its buffer; at most {states} states a cell."
    ).format(kernel=kernel, states=most_states)


# -- for people --------------------------------------------------------------------------------


def print_tables(
    asked: Sequence[CellQuestion], answers: Mapping[str, Answer], kernel: str, most_states: int, *, markdown: bool
) -> None:
    """Print every table, what the figures hold for, and what the words mean."""
    if markdown:
        sys.stdout.write(as_markdown(asked, answers, kernel, most_states))
        return
    from tui.views.plain_text import Printer

    console = Printer(highlight=False)
    console.print(bounds(kernel, most_states), style="bold", markup=False)
    for grid in grids(asked, answers):
        print_grid(console, grid)
    for term, meaning in LEGEND:
        console.print(f"{term}: {tr(meaning)}", markup=False)


def print_grid(console: "Console", grid: Grid) -> None:
    """Print a table; if it is wider than the screen, so many columns at a time as fit."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    first, *names = grid.heading
    width = 2 * NARROWEST
    longest = max((len(row) for row, _ in grid.rows), default=0)
    fitting = max(1, (console.width - width) // (NARROWEST + 2))
    for start in range(0, len(names), fitting):
        table = Table(box=box.SIMPLE, pad_edge=False, title=Text(grid.title), title_justify="left")
        table.add_column(first, overflow="fold", min_width=min(width, longest), max_width=width)
        for name in names[start : start + fitting]:
            table.add_column(name.replace(" ", "\n"), overflow="fold", min_width=NARROWEST)
        for row, cells in grid.rows:
            texts = [Text(words(cell), style_of(cell)) for cell in cells[start : start + fitting]]
            table.add_row(Text(row), *texts)
        console.print(table)


def style_of(answer: Answer | None) -> str:
    """The colour of a cell."""
    if answer is None:
        return "dim"
    if isinstance(answer, Cell):
        return STYLES[answer.outcome]
    return STYLES["safe" if answer.works else "corrupts"]


def as_markdown(asked: Sequence[CellQuestion], answers: Mapping[str, Answer], kernel: str, most_states: int) -> str:
    """The table as Markdown."""
    parts = [f"{bounds(kernel, most_states)}\n"]
    for grid in grids(asked, answers):
        lines = [grid.heading, ("---",) * len(grid.heading)]
        lines += [(row, *map(words, cells)) for row, cells in grid.rows]
        parts.append(f"\n### {grid.title}\n\n" + "".join(f"| {' | '.join(line)} |\n" for line in lines))
    parts.append("\n" + "".join(f"* `{term}`: {tr(meaning)}\n" for term, meaning in LEGEND))
    return "".join(parts)


# -- for programs ------------------------------------------------------------------------------


def as_json(asked: Sequence[CellQuestion], answers: Mapping[str, Answer], kernel: str, most_states: int) -> bytes:
    """One object: the bounds, who is compared, every cell and every use with its scene."""
    settings = {defence_name(defence): dict(defence) for defence in DEFENCES}
    cells, uses = [], []
    for question in asked:
        answer = answers[question.text]
        about = {"defence": question.defence, "scene": question.text}
        if isinstance(answer, Trial):
            uses.append({"use": question.row, **about, "works": answer.works, "found": answer.found})
        else:
            place = {"exporter": question.row, "grabber": question.column, **about}
            cells.append(place | {name: getattr(answer, name) for name in Cell.__struct_fields__})
    result = {
        "kernel": kernel,
        "max_states": most_states,
        "grabbers": {grabber.name: grabber.meaning for grabber in GRABBERS},
        "defences": {name: settings[name] for name in dict.fromkeys(question.defence for question in asked)},
        "cells": cells,
        "uses": uses,
    }
    return msgspec.json.encode(result)
