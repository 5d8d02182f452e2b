"""`ptescope progress`: where it is kept, and how to take it along, bring it in, or begin again."""

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lessons.i18n.language import tr

if TYPE_CHECKING:
    from lessons.learner.progress import Store

EXIT_FINE: Final = 0
EXIT_UNREADABLE: Final = 2


def add_arguments(parser: ArgumentParser) -> None:
    """The deeds of `ptescope progress`, and their operands."""
    parser.description = "Progress in lessons and drills: one plain file that only you ever delete."
    deeds = parser.add_subparsers(dest="deed", metavar="DEED")
    deeds.add_parser("show", help="say where the file is and what it has (the default)")
    exporting = deeds.add_parser("export", help="write a copy of it")
    exporting.add_argument("file", type=Path, metavar="FILE")
    exporting.add_argument("--force", action="store_true", help="replace FILE if it exists")
    importing = deeds.add_parser("import", help="import a copy: of each lesson the further progress is kept")
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
                said = tr("{lessons} lessons and {drills} kinds of drills are further than before")
                print(said.format(lessons=lessons, drills=drills))
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
    print(store.path if store.path.exists() else f"{store.path} ({tr('not there yet')})")
    said = tr("{done} lessons done, {begun} begun; drills: {drills}")
    drills = summary(progress.drills) or tr("none")
    print(said.format(done=done, begun=len(progress.lessons) - done, drills=drills))


def _export(store: "Store", file: Path, *, force: bool) -> None:
    """Write a copy. Raises ProgressError where that is not possible."""
    from lessons.learner.progress import ProgressError

    if file.exists() and not force:
        raise ProgressError(tr("{file} exists; `--force` replaces it").format(file=file))
    store.copy_to(file)
    print(tr("written to {file}").format(file=file))


def _reset(store: "Store", lesson: str) -> None:
    """Begin again. Raises ProgressError, also where no such lesson was begun."""
    from lessons.file.problems import did_you_mean
    from lessons.learner.progress import ProgressError

    known = store.read().lessons
    if lesson and lesson not in known:
        what = f"{lesson}: {tr('not begun')}"
        raise ProgressError(f"{what} ({did_you_mean(lesson, known)})" if known else what)
    aside = store.reset_keeping_a_copy(lesson)
    forgotten = tr("forgotten; the file as it was: {file}").format(file=aside)
    print(forgotten if aside else tr("there is nothing to forget"))
