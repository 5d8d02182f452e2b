"""`ptescope sweep`: every pair of ordinary calls, over every backing, in every interleaving: they must do no harm."""

import os
import sys
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, Final

from lessons.i18n.language import tr
from tui.commands.numbers import JOBS, PREEMPTIONS, REPEATS, STATES
from tui.jobs.progress_bar import progress_bar

if TYPE_CHECKING:
    from model.compare.sweep import Answer, SweepCase

EXIT_HARMLESS: Final = 0
EXIT_HARMFUL: Final = 1
EXIT_INCOMPLETE: Final = 3


def add_arguments(parser: ArgumentParser) -> None:
    """The options of `ptescope sweep`."""
    # Which kernels, backings and calls there are is known to the model alone.
    from model.compare.ordinary_calls import BACKINGS, CALLS
    from model.compare.sweep import BEYOND, FEW_STATES, LEAST, MOST_BEYOND, MOST_STATES
    from model.engine.config import KERNELS

    parser.description = tr(
        "Search every pair of ordinary calls over every backing, with an access by each of two CPUs, and then the "
        "most entangled calls in threes. Threes, and pairs with more than {few} states, are searched with at most "
        "{least} pre-emption, and with at most {beyond} where that takes no more than {most} states. None may "
        "corrupt memory or make the kernel complain, unless that kernel really does. A sweep that was interrupted "
        "goes on where it stopped, until the model changes. Exit status: 0 no harm, 1 some is found that the "
        "kernel does not do, 3 some searches ended before they were complete."
    ).format(few=f"{FEW_STATES:,}", least=LEAST, beyond=BEYOND, most=f"{MOST_BEYOND:,}")
    for option, names, only in (
        ("kernel", KERNELS, tr("only this kernel (repeatable): %(choices)s")),
        ("backing", [backing.name for backing in BACKINGS], tr("only this backing (repeatable): %(choices)s")),
        ("call", [call.name for call in CALLS], tr("only scenes with this call (repeatable): %(choices)s")),
    ):
        parser.add_argument(f"--{option}", action="append", choices=names, metavar="NAME", help=only)
    parser.add_argument(
        "--bounded", type=PREEMPTIONS, metavar="N", help="of pairs, schedules with at most N pre-emptions"
    )
    parser.add_argument(
        "--thin", type=REPEATS, metavar="N", help="the N pairs per kernel that entangle most kernel functions"
    )
    parser.add_argument(
        "--max-states",
        metavar="N",
        type=STATES,
        default=MOST_STATES,
        help="give up a search after this many states (default %(default)s)",
    )
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--json", action="store_true", help="one JSON object, with a trace of each find")
    output.add_argument("--markdown", action="store_true", help="the tables as Markdown")
    parser.add_argument("--fresh", action="store_true", help="search everything again")
    parser.add_argument(
        "--jobs", type=JOBS, default=os.cpu_count() or 1, metavar="N", help="worker processes (default: one a CPU)"
    )


def main(args: Namespace) -> int:
    """Run the command; returns the exit status."""
    from tui.jobs.sweep import KnownCases, sweep
    from tui.views.sweep_table import SweepBounds, as_json, as_markdown, print_table
    from tui.views.visible import write_json

    asked, bounds = chosen(args), SweepBounds(args.bounded, args.max_states, args.thin)
    known = KnownCases(args.bounded, args.max_states)
    if not args.fresh:
        known.read()
    answers: dict[SweepCase, Answer] = {}
    with progress_bar(len(asked)) as advance:
        for case, found in sweep(asked, known, args.jobs):
            answers[case] = found
            advance()
    if known.report:
        print(known.report, file=sys.stderr)
    answers = {case: answers[case] for case in asked}
    if args.json:
        write_json(as_json(answers, bounds))
    elif args.markdown:
        sys.stdout.write(as_markdown(answers, bounds))
    else:
        print_table(answers, bounds)
    if any(found.bad for found in answers.values()):
        return EXIT_HARMFUL
    return EXIT_HARMLESS if all(found.complete for found in answers.values()) else EXIT_INCOMPLETE


def chosen(args: Namespace) -> "list[SweepCase]":
    """The cases that the options ask for."""
    from model.compare.coverage import thinned
    from model.compare.ordinary_calls import BACKINGS
    from model.compare.sweep import cases
    from model.engine.config import KERNELS

    kernels = args.kernel or KERNELS
    backings = [backing for backing in BACKINGS if not args.backing or backing.name in args.backing]
    found = [
        case for case in cases(kernels, backings) if not args.call or any(call.name in args.call for call in case.calls)
    ]
    if not args.thin:
        return found
    pairs = [case for case in found if len(case.calls) == 2]
    return [
        case for kernel in kernels for case in thinned([case for case in pairs if case.kernel == kernel], args.thin)
    ]
