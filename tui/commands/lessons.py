"""`ptescope lessons`: the course, and how far the learner is in each lesson."""

import sys
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, Final

from lessons.i18n.language import tr

if TYPE_CHECKING:
    from lessons.file.library import LessonEntry
    from lessons.learner.progress import LessonProgress, Progress, Store

EXIT_FINE: Final = 0
EXIT_UNREADABLE: Final = 2


def add_arguments(parser: ArgumentParser) -> None:
    """The options of `ptescope lessons`."""
    parser.description = "List the lessons of the course, and how far you are in each."
    parser.add_argument("--reset", metavar="LESSON", help="forget the progress in one lesson; `all` forgets everything")


def main(args: Namespace) -> int:
    """Run `ptescope lessons`; returns the exit status."""
    from lessons.file.library import entries
    from lessons.learner.progress import ProgressError, Store

    store = Store()
    course = entries()
    try:
        if args.reset is not None and not _reset(store, args.reset, {entry.name for entry in course}):
            return EXIT_UNREADABLE
        progress = store.read()
    except ProgressError as error:
        print(error, file=sys.stderr)
        return EXIT_UNREADABLE
    if store.report:
        print(store.report, file=sys.stderr)
    print_course(course, progress)
    damaged = [entry for entry in course if entry.header is None]
    for entry in damaged:
        print(entry.error, file=sys.stderr)
    return EXIT_UNREADABLE if damaged else EXIT_FINE


def _reset(store: "Store", name: str, known: set[str]) -> bool:
    """Forget progress; False, with a complaint, if there is no such lesson."""
    from lessons.file.problems import nearest

    if name not in known | {"all"}:
        hint = nearest(name, known | {"all"}) or tr("`ptescope lessons` lists them")
        print(f"{name}: {tr('no such lesson')} ({hint})", file=sys.stderr)
        return False
    store.reset("" if name == "all" else name)
    return True


def print_course(course: "list[LessonEntry]", progress: "Progress") -> None:
    """Part by part: a sign and a word for the progress, the name, the title, the minutes."""
    from lessons.learner.progress import LessonProgress

    part = ""
    for entry in course:
        header = entry.header
        if header is None:
            continue
        if entry.group != part:
            print(tr(entry.group) if not part else f"\n{tr(entry.group)}")
            part = entry.group
        done = how_far(progress.lessons.get(entry.name, LessonProgress()), entry)
        print(f"  {done:9}  {entry.name}: {header.title} ({tr('{count} minutes').format(count=header.minutes)})")
        print(f"  {'':9}  {header.summary}")


def how_far(progress: "LessonProgress", entry: "LessonEntry") -> str:
    """How far a lesson is, in a word. One that is under way is read whole: its header does not say how long it is."""
    if progress.finished:
        return tr("done")
    if not (progress.item or progress.step or progress.guesses):
        return tr("new")
    return f"{tr('at')} {progress.item + 1}/{len(entry.lesson.items) if entry.lesson is not None else '?'}"
