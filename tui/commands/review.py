"""`ptescope review DRIVER`: one driver against every grabber, in everything that its owner may do."""

import sys
import time
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING

from lessons.i18n.language import tr
from tui.commands.compare import add_bounds, bounds_of, say_interrupted
from tui.commands.explore import EXIT_MALFORMED, draw, drawing_file
from tui.commands.run import complain
from tui.session.ending import EXIT_INTERRUPTED

if TYPE_CHECKING:
    from model.compare.table import CellQuestion


def add_arguments(parser: ArgumentParser) -> None:
    """The operands and options of `ptescope review`."""
    from model.compare.scenes import DEFENCES, GRABBERS, NOBODY, defence_name
    from model.engine.config import SETTINGS

    parser.description = (
        "Review a driver: every grabber against each of the driver's operations and against fork, munmap, mremap and "
        "exit, each cell a small scene that is searched in every interleaving. A cell tells what the grabber does: "
        "what happens without it stands in the row `nobody`. What has been computed is kept until the model changes; "
        "after Ctrl+C the same command goes on from there. Exit status, by the worst cell: 0 nothing worse than a "
        "hazard; 1 a cell corrupts or splats; 2 there is no such driver or cell, or the file is wrong; 3 the bound was "
        "hit; 4 a cell is vacuous; 5 in some schedule tasks wait for ever."
    )
    parser.add_argument("driver", metavar="DRIVER", help="a bundled driver, or a .driver file")
    kernels = SETTINGS["kernel"].values
    parser.add_argument("--kernel", choices=kernels, default=kernels[0], help="the kernel (default %(default)s)")
    parser.add_argument(
        "--defence",
        choices=[defence_name(defence) for defence in DEFENCES],
        default=defence_name(()),
        metavar="NAME",
        help="with this defence: %(choices)s",
    )
    parser.add_argument(
        "--grabber",
        action="append",
        choices=[grabber.name for grabber in (NOBODY, *GRABBERS)],
        metavar="NAME",
        help="only this one (repeatable): %(choices)s",
    )
    parser.add_argument(
        "--accept",
        action="append",
        metavar="CELLS",
        help="the exit status ignores these cells (repeatable): for example raw:* or *:fork",
    )
    output = parser.add_mutually_exclusive_group()
    output.add_argument(
        "--json", action="store_true", help="one JSON object, with every scene and a trace of each find"
    )
    output.add_argument("--markdown", action="store_true", help="the review as Markdown")
    output.add_argument("--junit", action="store_true", help="a JUnit test suite, for CI: each cell a test case")
    output.add_argument(
        "--story", metavar="CELL", help="tell how one cell happens, step by step: GRABBER:ACT, say raw:move"
    )
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        type=drawing_file,
        help="with --story: also draw it in time and space, .svg or .md",
    )
    add_bounds(parser)


def main(args: Namespace) -> int:
    """Run the command; returns the exit status."""
    from model.compare.owner_acts import of_owner
    from model.compare.scenes import DEFENCES, defence_name
    from model.compare.table import review_questions
    from model.text.problems import ScriptError
    from tui.jobs.compare import answer_all
    from tui.session.reviewed import row_of
    from tui.session.user_files import UnreadableError
    from tui.views.review_table import ReviewResult, print_json, print_junit, print_markdown, print_review, status_of

    if args.output is not None and not args.story:
        print(tr("-o draws a story: name a cell with --story"), file=sys.stderr)
        return EXIT_MALFORMED
    defence = next(known for known in DEFENCES if defence_name(known) == args.defence)
    try:
        row = row_of(args.driver)
        asked = review_questions(row, args.kernel, defence, args.grabber or ())
    except UnreadableError as error:
        print(error, file=sys.stderr)
        return EXIT_MALFORMED
    except ScriptError as error:
        complain(args.driver, error)
        return EXIT_MALFORMED
    if args.story:
        return tell_cell(args, asked)
    answers, interrupted = answer_all(asked, bounds_of(args), fresh=args.fresh)
    if interrupted:
        say_interrupted(asked, answers)
    acts = of_owner(row, args.kernel, defence)
    review = ReviewResult(
        row.name, args.kernel, args.defence, args.max_states, acts, asked, answers, tuple(args.accept or ())
    )
    if args.json:
        print_json(review)
    elif args.markdown:
        print_markdown(review)
    elif args.junit:
        print_junit(review)
    else:
        print_review(review, f"ptescope review {args.driver} --kernel {args.kernel}")
    return EXIT_INTERRUPTED if interrupted else status_of(review.worst)


# -- the story of one cell -------------------------------------------------------------------------


def tell_cell(args: Namespace, asked: "tuple[CellQuestion, ...]") -> int:
    """Search one cell to its end, and tell what is found."""
    from model.compare.cells import Judge
    from model.search.report import report
    from model.search.strategy import search_scene
    from model.text.problems import did_you_mean
    from tui.jobs.limits import Limits
    from tui.views.review_table import name_of, status_of
    from tui.views.search_report import print_report

    cells = {name_of(question): question for question in asked}
    question = cells.get(args.story)
    if question is None:
        hint = did_you_mean(args.story, cells) or f": {', '.join(cells)}"
        print(tr("there is no cell `{name}`").format(name=args.story) + hint, file=sys.stderr)
        return EXIT_MALFORMED
    judge = Judge(args.max_states)
    cell = judge.cell(question.scene)
    print(f"{args.driver}, {tr('kernel')} {args.kernel}, {args.story}: {cell}")
    if cell.answer.endswith("at mmap"):
        return 0
    began = time.process_time()
    limits = Limits(args.max_memory, lambda _: None)
    with limits.interruptible():
        made = search_scene(judge.problem(question.scene), args.max_states, limits.allow)
    with limits.telling():
        found = report(made.search, "", made.part, made.reduction)
        print_report(found, time.process_time() - began, limits.ended)
        if args.output is not None and not draw(found, args.output):
            return EXIT_MALFORMED
    return EXIT_INTERRUPTED if limits.interrupted else status_of(cell.outcome)
