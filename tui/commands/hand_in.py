"""`ptescope hand-in`: what was done, as one file for the teacher."""

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lessons.i18n.language import tr

if TYPE_CHECKING:
    from lessons.learner.progress import Progress
    from lessons.teach.assignment import Assignment

EXIT_FINE: Final = 0
EXIT_MALFORMED: Final = 2


def add_arguments(parser: ArgumentParser) -> None:
    """The operands and options of `ptescope hand-in`."""
    parser.description = (
        "Write what you have done into one file: your guesses, commands, hints and times. The teacher's "
        "`ptescope class collect` does it all again on the model; nothing else in the file is believed. Without LESSON "
        "and --assignment: of the assignment that you opened last, or else everything."
    )
    parser.add_argument("lessons", nargs="*", metavar="LESSON", help="only these lessons")
    parser.add_argument("--name", metavar="NAME", help="your name, as the teacher knows it")
    parser.add_argument("--id", default="", metavar="ID", help="your address or number in the school's list")
    parser.add_argument("--assignment", type=Path, metavar="FILE", help="the assignment that it is for")
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="where to write it (default: by your name)")
    parser.add_argument("--force", action="store_true", help="replace FILE if it exists")


def main(args: Namespace) -> int:
    """Run the command; returns the exit status."""
    from lessons.learner.own_file import replace_file
    from lessons.learner.progress import ProgressError, Store
    from lessons.teach.assignment import AssignmentError
    from lessons.teach.hand_in import HandInError, as_file, clean_name, file_name, hand_in, missing
    from tui.version import __version__

    store = Store()
    try:
        name = clean_name(args.name if args.name is not None else _asked())
        progress = store.read()
        assignment = _assignment(args.assignment, args.lessons)
        _must_be_begun(args.lessons, progress)
        work = hand_in(progress, name, args.id.strip(), __version__, assignment, args.lessons)
    except (AssignmentError, HandInError, ProgressError) as error:
        print(f"ptescope hand-in: {error}", file=sys.stderr)
        return EXIT_MALFORMED
    if not work.lessons and not work.exercises:
        print(tr("There is nothing to hand in yet."), file=sys.stderr)
        return EXIT_MALFORMED
    file = args.output or Path(file_name(name))
    if file.exists() and not args.force:
        print(tr("{file} exists; `--force` replaces it").format(file=file), file=sys.stderr)
        return EXIT_MALFORMED
    replace_file(file, as_file(work))
    for line in missing(work, assignment) if assignment is not None else ():
        print(f"{tr('still open')}: {line}")
    done = tr("{lessons} lessons and {exercises} exercises")
    print(f"{file}: {done.format(lessons=len(work.lessons), exercises=len(work.exercises))}")
    return EXIT_FINE


def _must_be_begun(lessons: list[str], progress: "Progress") -> None:
    """Raise HandInError where a lesson that was named was not begun."""
    from lessons.teach.hand_in import HandInError

    for lesson in lessons:
        if lesson not in progress.lessons:
            raise HandInError(tr("{lesson}: not begun").format(lesson=lesson))


def _asked() -> str:
    """The name, typed. Raises HandInError where nobody can be asked."""
    from lessons.teach.hand_in import HandInError

    if not sys.stdin.isatty():
        raise HandInError(tr("say whose work it is: --name NAME"))
    try:
        return input(f"{tr('Your name, as the teacher knows it')}: ")
    except EOFError:
        raise HandInError(tr("say whose work it is: --name NAME")) from None


def _assignment(file: Path | None, lessons: list[str]) -> "Assignment | None":
    """The one that was named, or the one that is open. Raises AssignmentError."""
    from lessons.teach.assignment import opened, read_assignment

    if file is not None:
        return read_assignment(file)
    return next(iter(opened()), None) if not lessons else None
