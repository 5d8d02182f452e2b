"""`ptescope drill [KIND]`: exercises without end, on the screen or, with --plain, as text in and text out."""

import sys
from argparse import ArgumentParser, Namespace
from typing import Final

from lessons.i18n.language import tr
from tui.app.launch import hold_collector
from tui.commands.numbers import WholeNumber
from tui.session.terminal import EXIT_NO_TERMINAL, no_terminal

EXIT_FINE: Final = 0
EXIT_NO_PROGRESS: Final = 2


def add_arguments(parser: ArgumentParser) -> None:
    """The operands and options of `ptescope drill`."""
    from lessons.drills.book import KINDS

    parser.description = tr(
        "Endless practice; the model computes every answer and shows how it happens. Kinds: "
        "{kinds}. Without a kind all of them, those that go badly more often; with --seed the number alone chooses. "
        "The same call with --seed asks the same everywhere."
    ).format(kinds="; ".join(f"{name}, {tr(asks)}" for name, (asks, _) in KINDS.items()))
    parser.add_argument(
        "kind",
        nargs="?",
        metavar="KIND",
        help="what to practise; KIND@WORLD asks it on a world of your own lessons, @WORLD asks all that fits that "
        "world, @ takes any of your worlds",
    )
    parser.add_argument("--seed", type=seed, metavar="N", help="the number of the first exercise (default: today's)")
    parser.add_argument(
        "--count", type=WholeNumber(0, 1_000_000), default=0, metavar="N", help="end after N exercises (with --plain)"
    )
    parser.add_argument("--plain", action="store_true", help="text in, text out: no screen, no cursor movement")


def seed(text: str) -> int:
    """The number of an exercise."""
    from lessons.drills.book import LARGEST_SEED

    return WholeNumber(0, LARGEST_SEED)(text)


def main(args: Namespace) -> int:
    """Run the command; returns the exit status."""
    if not args.plain:
        hold_collector()
    from lessons.drills.book import today_seed, unknown_choice
    from lessons.drills.own_worlds import WorldError
    from lessons.learner.progress import ProgressError, Store

    if why := unknown_choice(args.kind or ""):
        print(f"ptescope drill: {why}", file=sys.stderr)
        return EXIT_NO_PROGRESS
    fixed = args.seed is not None
    first = args.seed if fixed else today_seed()
    store = Store()
    try:
        if args.plain:
            from tui.plain.drill import PlainDrill
            from tui.views.plain_text import console

            PlainDrill(store, sys.stdin, console()).run(args.kind or "", first, args.count, fixed=fixed)
            return EXIT_FINE
        if refusal := no_terminal():
            print(
                f"ptescope: {refusal}; {tr('`{command}` needs none').format(command='ptescope drill --plain')}",
                file=sys.stderr,
            )
            return EXIT_NO_TERMINAL
        from tui.app.launch import drill

        return drill(store, args.kind or "", first, fixed=fixed)
    except (ProgressError, WorldError) as error:
        print(error, file=sys.stderr)
        return EXIT_NO_PROGRESS
