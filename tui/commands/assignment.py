"""`ptescope assignment FILE`: open an assignment that a teacher has made."""

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Final

from lessons.i18n.language import tr

EXIT_FINE: Final = 0
EXIT_MALFORMED: Final = 2


def add_arguments(parser: ArgumentParser) -> None:
    """The operand of `ptescope assignment`."""
    parser.description = (
        "Open an assignment: home shows it first from then on, and `ptescope hand-in` hands it in. Lessons that came "
        "with it are kept among your own. Without FILE: those that are open, and what is still to be done."
    )
    parser.add_argument("file", nargs="?", type=Path, metavar="FILE", help="the file that you were given")
    parser.add_argument("--plain", action="store_true", help="only say what there is to do")


def main(args: Namespace) -> int:
    """Run the command; returns the exit status."""
    from lessons.file.problems import LessonError
    from lessons.learner.progress import ProgressError, Store
    from lessons.teach.assignment import AssignmentError, open_assignment, opened, read_assignment
    from lessons.teach.hand_in import hand_in, missing
    from tui.session.terminal import no_terminal

    store = Store()
    try:
        if args.file is not None:
            open_assignment(read_assignment(args.file))
        progress = store.read()
    except (AssignmentError, LessonError, ProgressError) as error:
        print(error, file=sys.stderr)
        return EXIT_MALFORMED
    found = opened()
    if not found:
        print(tr("No assignment is open: `ptescope assignment FILE` opens the one that you were given."))
        return EXIT_FINE
    if args.file is not None and not args.plain and not no_terminal():
        from tui.app.launch import home

        return home(store)
    for assignment in found:
        until = f" ({tr('until {when}').format(when=assignment.until)})" if assignment.until else ""
        print(f"{assignment.title}{until}")
        open_ones = missing(hand_in(progress, "-", "", "", assignment), assignment)
        for line in open_ones or [tr("all done: `ptescope hand-in` hands it in")]:
            print(f"  {line}")
        for drills in assignment.drills:
            print(f"  ptescope drill {drills.kind} --seed {drills.seed} --count {drills.count}")
    return EXIT_FINE
