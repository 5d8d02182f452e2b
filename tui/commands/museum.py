"""`ptescope museum [NAME]`: real bugs, as they were and as mended."""

import sys
from argparse import ArgumentParser, Namespace
from typing import TYPE_CHECKING, Final

from lessons.i18n.language import ntr, tr
from tui.commands import museum_new

if TYPE_CHECKING:
    from lessons.file.museum_schema import Exhibit

EXIT_FINE: Final = 0
EXIT_PROBLEMS: Final = 1
EXIT_MALFORMED: Final = 2
WIDEST: Final = 110
"""Columns that a text is printed in at most."""


def add_arguments(parser: ArgumentParser) -> None:
    """The operands and options of `ptescope museum`."""
    from tui.views.museum import ORDERS

    parser.description = (
        "Real bugs about the life of pages. Without a name: the list. With one: what happened, the search's verdict on "
        "the scene as it was and as mended, and which micro-steps the fix changed."
    )
    parser.add_argument("name", nargs="?", metavar="NAME", help="a bug's name, its CVE, its commit, a file, or `new`")
    parser.add_argument("--by", choices=ORDERS, default=ORDERS[0], help="the order of the list (default %(default)s)")
    parser.add_argument("--story", action="store_true", help="tell the way into the bug step by step")
    parser.add_argument(
        "--check",
        action="store_true",
        help="play both scenes of the named bug, or of all, and say what differs from its text",
    )
    museum_new.add_arguments(parser)


def main(args: Namespace) -> int:
    """Run the command; returns the exit status."""
    from lessons.file.museum import exhibits, find
    from lessons.file.problems import LessonError
    from lessons.play.exhibit import ExhibitMissesError
    from tui.session.user_files import UnreadableError

    try:
        if args.name == museum_new.NEW:
            return museum_new.main(args)
        if args.check:
            return check([find(args.name)] if args.name else exhibits())
        if args.name:
            return show(find(args.name), story=args.story)
        return listed(args.by)
    except (LessonError, UnreadableError, ExhibitMissesError) as error:
        print(error, file=sys.stderr)
        return EXIT_MALFORMED


def _columns() -> int:
    from tui.views.plain_text import console

    return min(console().width, WIDEST)


def listed(order: str) -> int:
    """Print the list."""
    from lessons.file.museum import exhibits
    from tui.views.glyphs import choose
    from tui.views.museum import ORDERS, legend, museum

    found, glyphs = exhibits(), choose()
    by = next(known for known in ORDERS if known == order)
    for line in museum(found, by, _columns(), glyphs):
        print(line.text.rstrip())
    print()
    print(legend(found, glyphs))
    return EXIT_FINE


def show(exhibit: "Exhibit", *, story: bool) -> int:
    """Print one bug."""
    from lessons.play.exhibit import play, verdict_of
    from tui.views.glyphs import choose
    from tui.views.museum import differences, facts, verdicts

    header, width, glyphs = exhibit.header, _columns(), choose()
    names = ", ".join((str(header.year), *header.cve))
    print(f"{header.title} ({names})\n")
    if exhibit.before is None:
        print("\n".join(line.text.rstrip() for line in facts(exhibit, width)))
        return EXIT_FINE
    played = play(exhibit)
    found = verdict_of(played)
    for line in (*facts(exhibit, width), *verdicts(exhibit, found, width, glyphs)):
        print(line.text.rstrip())
    if found.differences:
        print(f"\n{tr('The same schedule on both machines, task by task; - as it was, + as mended')}")
        state = played.way.moves[-1].state
        for line in differences(state, found.differences, width, glyphs):
            print(line.text.rstrip())
    if story:
        from tui.views.search_report import ReportPrinter

        ReportPrinter(played.before).story(played.finding)
    print(f"\n{tr('Looked up in')}: {'; '.join(header.sources)}")
    return EXIT_FINE


def check(exhibits: "list[Exhibit]") -> int:
    """Play the bugs, and print what is not as their files tell it."""
    from lessons.play.exhibit import ExhibitMissesError, misses, play

    count = 0
    for exhibit in exhibits:
        if exhibit.before is None:
            continue
        try:
            wrong = misses(play(exhibit))
        except ExhibitMissesError as error:
            wrong = [str(error)]
        for text in wrong:
            print(f"{exhibit.file}: {text}", file=sys.stderr)
        count += len(wrong)
    checked = ntr("{n} bug checked", "{n} bugs checked", len(exhibits)).format(n=len(exhibits))
    print(f"{checked}, {ntr('{n} problem', '{n} problems', count).format(n=count)}")
    return EXIT_PROBLEMS if count else EXIT_FINE
