"""`ptescope class LESSON…`: what a teacher takes to a classroom, as Markdown."""

import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path
from typing import Final

from lessons.i18n.language import tr

EXIT_FINE: Final = 0
EXIT_NO_LESSON: Final = 2


def add_arguments(parser: ArgumentParser) -> None:
    """The operands and options of `ptescope class`."""
    parser.description = (
        "Write a class pack: plan.md (50 minutes by default), worksheet.md (questions, room for answers) and key.md "
        "(the model's answers, and the belief behind each wrong one)."
    )
    parser.add_argument("lessons", nargs="+", metavar="LESSON", help="names of lessons (see `ptescope lessons`)")
    parser.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="where to write them (default: here)")
    parser.add_argument(
        "--minutes", type=minutes, default=50, metavar="N", help="how long the class is (default %(default)s)"
    )
    parser.add_argument("--force", action="store_true", help="replace files that exist")


def minutes(text: str) -> int:
    """A length that a plan fits into."""
    if not text.isdecimal() or not 20 <= int(text) <= 240:
        raise ArgumentTypeError(tr("expected 20 to 240 minutes, not `{text}`").format(text=text))
    return int(text)


def main(args: Namespace) -> int:
    """Run the command; returns the exit status."""
    from lessons.file.library import find
    from lessons.file.problems import LessonError
    from lessons.learner.progress import replace_file
    from lessons.teach.handout import plan, reference, worksheet

    try:
        lessons = [find(name) for name in dict.fromkeys(args.lessons)]
        texts = {
            "plan.md": plan(lessons, args.minutes),
            "worksheet.md": "\n\n".join(map(worksheet, lessons)),
            "key.md": "\n\n".join(map(reference, lessons)),
        }
    except LessonError as error:
        print(error, file=sys.stderr)
        return EXIT_NO_LESSON
    existing = [name for name in texts if (args.out / name).exists()]
    if existing and not args.force:
        print(tr("{file} exists; `--force` replaces it").format(file=args.out / existing[0]), file=sys.stderr)
        return EXIT_NO_LESSON
    args.out.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        replace_file(args.out / name, text.encode(), private=False)
        print(args.out / name)
    return EXIT_FINE
