"""`ptescope compare`: exporters, grabbers and defences against each other, every cell computed by a search."""

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final

from lessons.i18n.language import tr
from tui.commands.numbers import JOBS, MEBIBYTES, STATES
from tui.session.ending import EXIT_INTERRUPTED

if TYPE_CHECKING:
    from model.compare.table import CellQuestion
    from tui.jobs.compare import CellBounds
    from tui.jobs.compare_cache import Answer

EXIT_FINE: Final = 0


def add_arguments(parser: ArgumentParser) -> None:
    """The options of `ptescope compare`."""
    # Which kernels, exporters, grabbers and defences there are is known to the model alone.
    from model.compare.scenes import DEFENCES, GRABBERS, defence_name
    from model.driver_files import library
    from model.engine.config import SETTINGS

    parser.description = (
        "Compare what drivers' mappings, those who lay hands on their pages, and the defences that were proposed do "
        "together: each cell is a small scene, searched in every interleaving. Then: which uses of today each defence "
        "breaks. What has been computed is kept until the model changes."
    )
    kernels = SETTINGS["kernel"].values
    parser.add_argument(
        "--kernel", choices=kernels, default="6.1", help="the kernel, by default %(default)s, that of the discussion"
    )
    for option, names in (
        ("exporter", list(library.names())),
        ("grabber", [grabber.name for grabber in GRABBERS]),
        ("defence", [defence_name(defence) for defence in DEFENCES]),
    ):
        parser.add_argument(
            f"--{option}",
            action="append",
            choices=names,
            metavar="NAME",
            help="only this one (repeatable): %(choices)s",
        )
    output = parser.add_mutually_exclusive_group()
    output.add_argument(
        "--json", action="store_true", help="one JSON object, with every scene and a trace of each find"
    )
    output.add_argument("--markdown", action="store_true", help="the tables as Markdown")
    add_bounds(parser)


def main(args: Namespace) -> int:
    """Run the command; returns the exit status."""
    from model.compare.table import questions
    from tui.jobs.compare import answer_all
    from tui.views.comparison_table import as_json, print_tables
    from tui.views.visible import write_json

    asked = questions(args.kernel, args.exporter or (), args.grabber or (), args.defence or ())
    answers, interrupted = answer_all(asked, bounds_of(args), fresh=args.fresh)
    if interrupted:
        asked = say_interrupted(asked, answers)
    if args.json:
        write_json(as_json(asked, answers, args.kernel, args.max_states))
    else:
        print_tables(asked, answers, args.kernel, args.max_states, markdown=args.markdown)
    return EXIT_INTERRUPTED if interrupted else EXIT_FINE


def add_bounds(parser: ArgumentParser) -> None:
    """Add the options that bound a search: how many states, how much memory, how long."""
    from model.compare.cells import MOST_STATES
    from tui.jobs.compare import MOST_MEMORY

    parser.add_argument(
        "--max-states",
        metavar="N",
        type=STATES,
        default=MOST_STATES,
        help="give up a cell after this many states (default %(default)s)",
    )
    parser.add_argument(
        "--max-memory",
        metavar="MIB",
        type=MEBIBYTES,
        default=MOST_MEMORY,
        help="give up a cell once all processes together take this many MiB (default %(default)s)",
    )
    parser.add_argument("--fresh", action="store_true", help="compute everything again")
    parser.add_argument(
        "--jobs", type=JOBS, default=os.cpu_count() or 1, metavar="N", help="worker processes (default: one a CPU)"
    )


def bounds_of(args: Namespace) -> "CellBounds":
    """The bounds that were given."""
    from tui.jobs.compare import CellBounds

    return CellBounds(args.max_states, args.jobs, args.max_memory)


def say_interrupted(asked: "Sequence[CellQuestion]", answers: "Mapping[str, Answer]") -> "tuple[CellQuestion, ...]":
    """Say how far it went; returns the questions that have an answer."""
    known = tuple(question for question in asked if question.text in answers)
    said = tr("you interrupted it: {known} of {all} cells are known and kept; the same command goes on from there")
    print(said.format(known=len(known), all=len(asked)), file=sys.stderr)
    return known
