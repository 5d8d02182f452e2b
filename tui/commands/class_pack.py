"""`ptescope class pack LESSON…`: what a teacher takes to a classroom, for print."""

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Final

from lessons.i18n.language import tr
from tui.commands.numbers import WholeNumber

EXIT_FINE: Final = 0
EXIT_NO_LESSON: Final = 2
MINUTES: Final = WholeNumber(20, 240)
"""A length that a plan fits into."""


def add_arguments(parser: ArgumentParser) -> None:
    """The operands and options of `ptescope class`."""
    parser.description = (
        "Write a class pack for print: plan.md (50 minutes by default; what does not fit is refused), worksheet.html "
        "(scenes drawn, tables to fill in, no answers), key.html (the model's answers with their reasons), and slides "
        "as slides.html and slides.md."
    )
    parser.add_argument("lessons", nargs="+", metavar="LESSON", help="names of lessons (see `ptescope lessons`)")
    parser.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="where to write them (default: here)")
    parser.add_argument(
        "--minutes", type=MINUTES, default=50, metavar="N", help="how long the class is (default %(default)s)"
    )
    parser.add_argument("--force", action="store_true", help="replace files that exist")


def main(args: Namespace) -> int:
    """Run the command; returns the exit status."""
    from lessons.file.library import find
    from lessons.file.problems import LessonError
    from lessons.teach.class_plan import PlanError, class_plan
    from tui.export.slides import as_html, as_markdown
    from tui.export.worksheet import answer_key, worksheet

    try:
        lessons = [find(name) for name in dict.fromkeys(args.lessons)]
        texts = {
            "plan.md": class_plan(lessons, args.minutes),
            "worksheet.html": worksheet(lessons),
            "key.html": answer_key(lessons),
            "slides.html": as_html(lessons),
            "slides.md": as_markdown(lessons),
        }
    except (LessonError, PlanError) as error:
        print(error, file=sys.stderr)
        return EXIT_NO_LESSON
    return write(texts, args.out, force=args.force)


def write(texts: dict[str, str], folder: Path, *, force: bool) -> int:
    """Write these files into a folder; the exit status. Nothing that exists is replaced without being told to."""
    from lessons.learner.own_file import replace_file

    existing = [name for name in texts if (folder / name).exists()]
    if existing and not force:
        print(tr("{file} exists; `--force` replaces it").format(file=folder / existing[0]), file=sys.stderr)
        return EXIT_NO_LESSON
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        replace_file(folder / name, text.encode(), private=False)
        print(folder / name)
    return EXIT_FINE
