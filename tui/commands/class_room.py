"""`ptescope class pack|assign|collect|drills`: for teachers, before a class and after it."""

import sys
import time
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lessons.i18n.language import ntr, tr
from tui.commands import class_pack
from tui.commands.drill import seed

if TYPE_CHECKING:
    from lessons.teach.collect import Collection

EXIT_FINE: Final = 0
EXIT_ODD: Final = 1
EXIT_MALFORMED: Final = 2


def add_arguments(parser: ArgumentParser) -> None:
    """The deeds of `ptescope class`, and their operands."""
    parser.description = (
        "For teachers. `ptescope class LESSON…` is `ptescope class pack LESSON…`; `ptescope class guide` tells how a "
        "class goes."
    )
    deeds = parser.add_subparsers(dest="deed", metavar="DEED", required=True)
    class_pack.add_arguments(deeds.add_parser("pack", help="write plan, worksheets, key and slides of lessons"))
    assigning = deeds.add_parser("assign", help="write an assignment, as one file that students open")
    assigning.add_argument("lessons", nargs="*", metavar="LESSON", help="lessons to be done; your own go into the file")
    assigning.add_argument(
        "--drill", action="append", default=[], metavar="KIND:COUNT", help="exercises to be done, e.g. pte:10"
    )
    assigning.add_argument("--seed", type=seed, default=1, metavar="N", help="the number of the first exercise")
    assigning.add_argument("--deadline", default="", metavar="WHEN", help="e.g. 2026-12-01T18:00, in your time zone")
    assigning.add_argument("--title", default="", metavar="TITLE", help="what students see (default: the lessons)")
    assigning.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="where to write it")
    assigning.add_argument("--force", action="store_true", help="replace FILE if it exists")
    collecting = deeds.add_parser("collect", help="replay what was handed in, and write the grades")
    collecting.description = (
        "Every file in DIR, and in folders below it, is done again on the model. What does not replay is refused, what "
        "is odd (copies, times that cannot be) is named. With --out: questions.csv, moodle.csv and canvas.csv. Exit "
        "status: 0, or 1 if something was refused or is odd."
    )
    collecting.add_argument("folder", type=Path, metavar="DIR", help="what the students have handed in")
    collecting.add_argument("--assignment", type=Path, metavar="FILE", help="what they were to do")
    collecting.add_argument("--out", type=Path, metavar="DIR", help="where to write the tables")
    deeds.add_parser("guide", help="print the instructor's guide, docs/teaching.md")
    drills = deeds.add_parser("drills", help="write a sheet of exercises for print, and its key")
    drills.add_argument("kinds", nargs="+", metavar="KIND:COUNT", help="e.g. pte:5 refcount:5")
    drills.add_argument("--seed", type=seed, default=1, metavar="N", help="the number of the first exercise")
    drills.add_argument("--out", type=Path, default=Path(), metavar="DIR", help="where to write them (default: here)")
    drills.add_argument("--force", action="store_true", help="replace files that exist")


def main(args: Namespace) -> int:
    """Run the command; returns the exit status."""
    from lessons.file.problems import LessonError
    from lessons.teach.assignment import AssignmentError

    try:
        return DEEDS[args.deed](args)
    except (AssignmentError, LessonError, ArgumentTypeError) as error:
        print(error, file=sys.stderr)
        return EXIT_MALFORMED


def assign(args: Namespace) -> int:
    """Write an assignment."""
    from lessons.file.library import find
    from lessons.learner.own_file import replace_file
    from lessons.teach.assignment import AssignmentError, as_file, deadline, drill_set
    from lessons.teach.assignment import assign as assigned

    if not args.lessons and not args.drill:
        raise AssignmentError(tr("an assignment has lessons, or --drill KIND:COUNT, or both"))
    until = deadline(args.deadline) if args.deadline else 0.0
    if until and until < time.time():
        raise AssignmentError(tr("the deadline {when} is past").format(when=args.deadline))
    drills = [drill_set(word, args.seed) for word in args.drill]
    title = args.title or ", ".join(find(name).header.title for name in args.lessons) or ", ".join(args.drill)
    made = assigned(title, args.lessons, drills, until)
    if args.output.exists() and not args.force:
        print(tr("{file} exists; `--force` replaces it").format(file=args.output), file=sys.stderr)
        return EXIT_MALFORMED
    replace_file(args.output, as_file(made), private=False)
    print(
        tr("{file}: students open it with `ptescope assignment {name}`").format(file=args.output, name=args.output.name)
    )
    return EXIT_FINE


def collect(args: Namespace) -> int:
    """Replay what was handed in."""
    from lessons.teach.assignment import read_assignment
    from lessons.teach.collect import collect as collected
    from lessons.teach.collect import files_in
    from lessons.teach.gradebook import hardest, table

    assignment = read_assignment(args.assignment) if args.assignment is not None else None
    if not args.folder.exists():
        print(tr("there is no folder {folder}").format(folder=args.folder), file=sys.stderr)
        return EXIT_MALFORMED
    files = files_in(args.folder)
    if not files:
        print(tr("{folder}: nothing was handed in there").format(folder=args.folder), file=sys.stderr)
        return EXIT_MALFORMED
    found = collected(files, assignment, time.time())
    for line in table(found, assignment):
        print(line)
    if worst := hardest(found):
        print(f"\n{tr('What went worst')}:")
        print("\n".join(worst))
    if args.out is not None:
        _write_tables(args, found)
    many = ntr("{n} student", "{n} students", len(found.works)).format(n=len(found.works))
    refused = sum(bool(one.refused) for one in found.works) + len(found.refused)
    odd = sum(bool(one.odd) for one in found.works)
    print(f"\n{many}, {tr('{refused} with something refused, {odd} odd').format(refused=refused, odd=odd)}")
    return EXIT_ODD if refused or odd else EXIT_FINE


def _write_tables(args: Namespace, found: "Collection") -> None:
    """The tables for a spreadsheet and for learning platforms."""
    from lessons.learner.own_file import replace_file
    from lessons.teach.assignment import read_assignment
    from lessons.teach.gradebook import canvas, moodle, questions

    assignment = read_assignment(args.assignment) if args.assignment is not None else None
    args.out.mkdir(parents=True, exist_ok=True)
    tables = {
        "questions.csv": questions(found),
        "moodle.csv": moodle(found, assignment),
        "canvas.csv": canvas(found, assignment),
    }
    for name, text in tables.items():
        replace_file(args.out / name, text.encode("utf-8-sig" if name == "questions.csv" else "utf-8"), private=False)
        print(args.out / name)


def drills(args: Namespace) -> int:
    """Write exercises for print."""
    from lessons.teach.assignment import drill_set
    from tui.export.drill_sheet import key, sheet

    sets = [drill_set(word, args.seed) for word in args.kinds]
    texts = {"drills.html": sheet(sets), "drills-key.html": key(sets)}
    return class_pack.write(texts, args.out, force=args.force)


def guide(_args: Namespace) -> int:
    """Print the instructor's guide."""
    from tui.session.documents import document

    print(document("teaching.md"), end="")
    return EXIT_FINE


DEEDS: Final = {"guide": guide, "pack": class_pack.main, "assign": assign, "collect": collect, "drills": drills}
WITH_VALUE: Final = frozenset(("--lessons", "--out", "--minutes"))
"""Options of `class` and `class pack` after which a word is no operand: `--out pack` names a folder."""
NAMES: Final = frozenset(DEEDS)
"""Words after `class` that are no lessons."""
