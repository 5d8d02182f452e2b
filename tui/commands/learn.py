"""`ptescope learn [LESSON]`: play a lesson, on the screen or, with --plain, as text in and text out."""

import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from typing import TYPE_CHECKING, Final

from lessons.i18n.language import tr
from tui.app.launch import hold_collector, learn
from tui.session.terminal import EXIT_NO_TERMINAL, no_terminal

if TYPE_CHECKING:
    from lessons.file.schema import Lesson
    from lessons.learner.progress import Store

EXIT_FINE: Final = 0
EXIT_NO_LESSON: Final = 2
SLOWEST: Final = 0.25
FASTEST: Final = 8.0


def add_arguments(parser: ArgumentParser) -> None:
    """The operands and options of `ptescope learn`."""
    parser.description = (
        "Play a lesson; without a name the first of the course that is not done. You come back to the very step "
        "at which you left. Exit status: 0, or 2 if there is no such lesson or it is damaged."
    )
    parser.add_argument("lesson", nargs="?", metavar="LESSON", help="its name (see `ptescope lessons`), or a .md file")
    parser.add_argument("--plain", action="store_true", help="text in, text out: no screen, no cursor movement")
    parser.add_argument("--present", action="store_true", help="for a room: large, one thing at a time, clicker keys")
    parser.add_argument(
        "--autoplay",
        nargs="?",
        const=1.0,
        type=speed,
        metavar="SPEED",
        help="step by itself, at 1 every three seconds; it stops at questions (`A`, `+` and `-` while it plays)",
    )
    parser.add_argument(
        "--reset", action="store_true", help="start this lesson, or with --present this lecture, from the beginning"
    )


def speed(text: str) -> float | str:
    """How fast: from a quarter to eight times. A word is no speed but the lesson's name, to be sorted out later."""
    if text[:1].isalpha():
        return text
    try:
        number = float(text) if text.isascii() else 0.0
    except ValueError:
        number = 0.0
    if not SLOWEST <= number <= FASTEST:
        raise ArgumentTypeError(
            tr("expected a speed from {slowest} to {fastest}, not `{text}`").format(
                slowest=SLOWEST, fastest=FASTEST, text=text
            )
        )
    return number


def main(args: Namespace) -> int:
    """Run the command; returns the exit status."""
    if isinstance(args.autoplay, str):
        if args.lesson is not None:
            what = tr("`{speed}` is no speed, and `{lesson}` is a lesson").format(
                speed=args.autoplay, lesson=args.lesson
            )
            print(f"ptescope learn: {what}", file=sys.stderr)
            return EXIT_NO_LESSON
        args.lesson, args.autoplay = args.autoplay, 1.0
    if args.plain and (args.present or args.autoplay):
        what = tr("--present and --autoplay need a screen, --plain has none")
        print(f"ptescope learn: {what}", file=sys.stderr)
        return EXIT_NO_LESSON
    if not args.plain:
        hold_collector()
    from lessons.file.problems import LessonError
    from lessons.learner.progress import ProgressError, Store

    store = Store()
    try:
        lesson = chosen(args.lesson, store)
        if args.present and not _may_present():
            return EXIT_NO_LESSON
        if args.reset and args.present:
            _end_lecture(lesson.id, store)
        elif args.reset:
            store.reset(lesson.id)
        if args.plain:
            play_plain(lesson, store)
            return EXIT_FINE
        if refusal := no_terminal():
            print(
                f"ptescope: {refusal}; {tr('`{command}` needs none').format(command='ptescope learn --plain')}",
                file=sys.stderr,
            )
            return EXIT_NO_TERMINAL
        return learn(lesson, store, present=args.present, autoplay=args.autoplay or 0.0)
    except (LessonError, ProgressError) as error:
        print(error, file=sys.stderr)
        return EXIT_NO_LESSON


def _may_present() -> bool:
    """Whether no other program presents; says which does."""
    from lessons.teach import presenter_state

    held = presenter_state.become_presenter()
    if held is None:
        print(f"ptescope: {presenter_state.already_presenting()}", file=sys.stderr)
        return False
    held.close()
    return True


def _end_lecture(lesson: str, store: "Store") -> None:
    """The lecture that was left or cut off is over; the teacher's own progress is not touched."""
    from lessons.teach.lecture import FOLDER, Lectures

    lectures = Lectures(store.path.parent / FOLDER)
    known = lectures.find(lesson)
    if known is not None:
        lectures.end(lesson, known.began)


def chosen(name: str | None, store: "Store") -> "Lesson":
    """The lesson that was named, or the first that is not done; after the last the first again. Raises LessonError."""
    from lessons.file.library import entries, find

    if name is not None:
        return find(name)
    course = [entry.header.id for entry in entries() if entry.header is not None]
    done = {key for key, lesson in store.read().lessons.items() if lesson.finished}
    return find(next((name for name in course if name not in done), course[0]))


def play_plain(lesson: "Lesson", store: "Store") -> None:
    """Play on standard input and output. Raises LessonError."""
    from lessons.play.player import Player
    from tui.plain.lesson import PlainLesson
    from tui.views.plain_text import console

    PlainLesson(Player(lesson, store.lesson(lesson.id)), store, sys.stdin, console()).run()
