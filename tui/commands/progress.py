"""`ptescope progress`: where it is kept, and how to take it along, bring it in, or begin again."""

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from lessons.learner.progress import Store

EXIT_FINE: Final = 0
EXIT_UNREADABLE: Final = 2


def add_arguments(parser: ArgumentParser) -> None:
    """The deeds of `ptescope progress`, and their operands."""
    parser.description = "Progress in lessons and drills: one plain file, which nothing but you ever throws away."
    deeds = parser.add_subparsers(dest="deed", metavar="DEED")
    deeds.add_parser("show", help="say where the file is and what it has (the default)")
    exporting = deeds.add_parser("export", help="write a copy of it")
    exporting.add_argument("file", type=Path, metavar="FILE")
    exporting.add_argument("--force", action="store_true", help="replace FILE if it exists")
    importing = deeds.add_parser("import", help="bring in a copy: of each lesson the further progress is kept")
    importing.add_argument("file", type=Path, metavar="FILE")
    resetting = deeds.add_parser("reset", help="begin again; the old file is set aside, not deleted")
    resetting.add_argument("lesson", nargs="?", default="", metavar="LESSON", help="only this lesson")


def main(args: Namespace) -> int:
    """Run the command; returns the exit status."""
    from lessons.learner.progress import ProgressError, Store

    store = Store()
    try:
        match args.deed:
            case "export":
                _export(store, args.file, force=args.force)
            case "import":
                lessons, drills = store.bring_in(args.file)
                print(f"{lessons} lessons and {drills} kinds of drills are further than before")
            case "reset":
                _reset(store, args.lesson)
            case _:
                _show(store)
    except ProgressError as error:
        print(error, file=sys.stderr)
        return EXIT_UNREADABLE
    if store.report:
        print(store.report, file=sys.stderr)
    return EXIT_FINE


def _show(store: "Store") -> None:
    from lessons.drills.score import summary

    progress = store.read()
    done = sum(lesson.finished for lesson in progress.lessons.values())
    print(f"{store.path}{'' if store.path.exists() else ' (not there yet)'}")
    print(f"{done} lessons done, {len(progress.lessons) - done} begun; drills: {summary(progress.drills) or 'none'}")


def _export(store: "Store", file: Path, *, force: bool) -> None:
    """Write a copy. Raises ProgressError where that is not possible."""
    from lessons.learner.progress import ProgressError

    if file.exists() and not force:
        raise ProgressError(f"{file} exists; `--force` replaces it")
    store.copy_to(file)
    print(f"written to {file}")


def _reset(store: "Store", lesson: str) -> None:
    """Begin again. Raises ProgressError, also where no such lesson was begun."""
    from lessons.file.problems import did_you_mean
    from lessons.learner.progress import ProgressError

    known = store.read().lessons
    if lesson and lesson not in known:
        raise ProgressError(f"{lesson}: not begun ({did_you_mean(lesson, known)})" if known else f"{lesson}: not begun")
    aside = store.reset_keeping_a_copy(lesson)
    print(f"forgotten; the file as it was: {aside}" if aside else "there is nothing to forget")
