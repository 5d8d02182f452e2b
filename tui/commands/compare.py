"""`ptescope compare`: exporters, grabbers and defences against each other, every cell computed by a search."""

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from tui.commands.explore import positive
from tui.jobs.progress_bar import progress_bar

if TYPE_CHECKING:
    from model.compare.table import CellQuestion
    from tui.jobs.compare_cache import Answer

EXIT_FINE: Final = 0


def add_arguments(parser: ArgumentParser) -> None:
    """The options of `ptescope compare`."""
    # Which kernels, exporters, grabbers and defences there are is known to the model alone.
    from model.compare.cells import MOST_STATES
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
    parser.add_argument(
        "--max-states",
        metavar="N",
        type=positive,
        default=MOST_STATES,
        help="give a cell up after so many states (default %(default)s)",
    )
    output = parser.add_mutually_exclusive_group()
    output.add_argument(
        "--json", action="store_true", help="one JSON object, with every scene and a trace of each find"
    )
    output.add_argument("--markdown", action="store_true", help="the tables as Markdown")
    parser.add_argument("--fresh", action="store_true", help="compute everything anew")
    parser.add_argument(
        "--jobs", type=positive, default=os.cpu_count() or 1, metavar="N", help="worker processes (default: one a CPU)"
    )


def main(args: Namespace) -> int:
    """Run the command; returns the exit status."""
    from model.compare.table import questions
    from tui.views.comparison_table import as_json, print_tables

    asked = questions(args.kernel, args.exporter or (), args.grabber or (), args.defence or ())
    answers = answer_all(asked, args.max_states, args.jobs, fresh=args.fresh)
    if args.json:
        sys.stdout.buffer.write(as_json(asked, answers, args.kernel, args.max_states) + b"\n")
        sys.stdout.flush()
    else:
        print_tables(asked, answers, args.kernel, args.max_states, markdown=args.markdown)
    return EXIT_FINE


def answer_all(
    asked: "Sequence[CellQuestion]", most_states: int, jobs: int, *, fresh: bool = False
) -> "dict[str, Answer]":
    """Scene text → what comes of it: from the cache, or computed by as many processes as are worth it."""
    from tui.jobs.compare import compute
    from tui.jobs.compare_cache import Cache

    cache = Cache(most_states)
    known = {} if fresh else cache.read()
    texts = dict.fromkeys(question.text for question in asked)
    answers = {text: known[text] for text in texts if text in known}
    missing = {question.text: question for question in asked if question.text not in answers}
    with progress_bar(len(missing)) as advance:
        for text, answer in compute(list(missing.values()), most_states, jobs):
            answers[text] = answer
            advance()
    if missing:
        cache.write(known | answers)
    return answers
