"""`ptescope explore`: search every schedule of what a script permits, and tell the shortest way to corruption."""

import sys
import time
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Final

from lessons.i18n.language import tr
from tui.commands.numbers import MEBIBYTES, PREEMPTIONS, REPEATS, SEED, STATES
from tui.commands.run import complain
from tui.jobs.limits import Limits
from tui.session.ending import EXIT_INTERRUPTED
from tui.session.user_files import UnreadableError, read_script

if TYPE_CHECKING:
    from model.search.bfs import Property, Search, SearchProgress
    from model.search.problem import SearchProblem
    from model.search.report import Report
    from model.search.strategy import SearchOutcome

MOST_MEMORY: Final = 4096
"""MiB that a search may take unless told otherwise."""
SUFFIXES: Final = (".svg", ".md")
"""Of drawings."""
EXIT_MALFORMED: Final = 2


def add_arguments(parser: ArgumentParser) -> None:
    """The operands and options of `ptescope explore`."""
    # Which rules there are is known to the model, and it is needed for the search anyhow.
    from model.invariants.registry import INVARIANTS
    from model.search.bfs import MOST_STATES

    parser.description = (
        "Search: carry out the commands before the first `may` line, then try every way in which the commands that "
        "`may` lines permit can be started and interleaved, micro-step by micro-step. Exit status: 0 nothing worse "
        "than a hazard is reachable, and every property holds; 1 a corruption or a splat is reachable, or a property "
        "(`always`, `never`, `final`) can be broken; 2 the script is malformed, its set-up fails, or it cannot be "
        "read; 3 the search ended before it was complete and had met nothing worse than a hazard; 4 nothing was "
        "broken, but some permitted command never took place, or a property never spoke of what exists, so that "
        "nothing is shown (vacuous); 5 in some schedule tasks wait for each other, or one waits for ever."
    )
    parser.add_argument("file", metavar="FILE", help="the script; `-` reads standard input")
    parser.add_argument("--json", action="store_true", help="one JSON object, for programs")
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        type=drawing_file,
        help="also draw the easiest way into the worst that was found in time and space, with the nearest safe "
        "schedule beside it: .svg or .md",
    )
    parser.add_argument("--violation", metavar="NAME", choices=list(INVARIANTS), help="look at this rule alone")
    parser.add_argument(
        "--max-states",
        metavar="N",
        type=STATES,
        default=MOST_STATES,
        help="give up after this many states (default %(default)s)",
    )
    parser.add_argument(
        "--max-memory",
        metavar="MIB",
        type=MEBIBYTES,
        default=MOST_MEMORY,
        help="give up once this many MiB are taken (default %(default)s)",
    )
    part = parser.add_mutually_exclusive_group()
    part.add_argument(
        "--preemptions",
        metavar="N",
        type=PREEMPTIONS,
        help="search the schedules with at most N pre-emptions, level by level",
    )
    part.add_argument(
        "--random",
        metavar="N",
        type=REPEATS,
        help="try N random schedules: what they do not meet may still exist",
    )
    parser.add_argument(
        "--seed",
        metavar="S",
        type=SEED,
        default=0,
        help="seed of the random schedules; the same S tries the same ones (default 0)",
    )
    parser.add_argument(
        "--first",
        action="store_true",
        help="stop at the first corruption or splat, or with --violation at the first violation of that rule",
    )
    parser.add_argument(
        "--every-state",
        action="store_true",
        help="visit every state of large scenes too, for shares of schedules and nearest ways; otherwise steps that "
        "commute are tried in one order, with the same verdicts",
    )
    parser.add_argument(
        "--no-symmetry",
        action="store_true",
        help="also search states one by one that differ only in which of two equal tasks is which",
    )


def drawing_file(text: str) -> Path:
    """Parse the name of a file for a drawing, or raise ArgumentTypeError."""
    path = Path(text)
    if path.suffix not in SUFFIXES:
        raise ArgumentTypeError(tr("expected a file that ends in .svg or .md, not `{text}`").format(text=text))
    return path


def main(args: Namespace) -> int:
    """Run the command; returns the exit status."""
    from model.script.parser import parse
    from model.search.problem import set_up
    from model.search.report import report
    from model.text.problems import ScriptError

    try:
        scene = set_up(parse(read_script(args.file)))
    except UnreadableError as error:
        print(error, file=sys.stderr)
        return EXIT_MALFORMED
    except ScriptError as error:
        complain(args.file, error)
        return EXIT_MALFORMED
    if not args.json:
        # Now, not when somebody has pressed Ctrl+C and waits: it takes a while to load.
        from tui.views.search_report import print_report
    began = time.process_time()
    (search, part, reduction), limits = run(scene, args)
    try:
        with limits.telling():
            found = report(search, args.violation or "", part, reduction)
            seconds = time.process_time() - began
            if args.json:
                print_json(found, seconds, args.seed)
            else:
                print_report(found, seconds, limits.ended)
            if args.output is not None and not draw(found, args.output):
                return EXIT_MALFORMED
    except KeyboardInterrupt:
        if limits.interrupted:
            say_unfinished(search)
        raise
    from tui.views.search_json import status

    return EXIT_INTERRUPTED if limits.interrupted else status(found)


def say_unfinished(search: "Search") -> None:
    """In a line what is known, where there is no time to tell how it happens."""
    said = tr("you interrupted it at {states} states; there was no time to tell all. Broken so far: {rules}")
    broken = ", ".join(sorted({name for name, _ in search.found})) or tr("nothing")
    print(said.format(states=len(search.seen), rules=broken), file=sys.stderr)


def draw(found: "Report", output: Path) -> bool:
    """Write the drawing of the worst that was found; False, and a word, where that cannot be done."""
    from lessons.learner.own_file import reason, replace_file
    from model.search.report import story
    from tui.export.search_drawing import as_markdown, as_svg
    from tui.views.search_drawing import of_story

    drawable = [finding for finding in found.findings if finding.shortest.steps]
    if not drawable:
        print(tr("Nothing was found that could be drawn."), file=sys.stderr)
        return True
    finding = drawable[0]
    ways = of_story(found.search.scene, finding.prop[0], story(found.search, finding))
    text = as_svg(ways, finding.prop[0]) if output.suffix == ".svg" else as_markdown(ways, finding.prop[0])
    try:
        replace_file(output, text.encode(), private=False)
    except OSError as error:
        print(reason(error), file=sys.stderr)
        return False
    print(output, file=sys.stderr)
    return True


def run(scene: "SearchProblem", args: Namespace) -> "tuple[SearchOutcome, Limits]":
    """Search, and say how far it is where somebody is looking. Also what may have ended it: memory, Ctrl+C."""
    if args.json or not sys.stderr.isatty():
        limits = Limits(args.max_memory, lambda _: None)
        with limits.interruptible():
            return searched(scene, args, limits), limits
    from rich.console import Console

    began = time.monotonic()
    with Console(stderr=True).status("searching") as status:

        def show(progress: "SearchProgress") -> None:
            rate = progress.states / max(time.monotonic() - began, 0.001)
            status.update(
                f"{progress.states} states, depth {progress.depth}, frontier {progress.frontier}, {rate:.0f} states/s"
            )

        limits = Limits(args.max_memory, show)
        with limits.interruptible():
            return searched(scene, args, limits), limits


def searched(scene: "SearchProblem", args: Namespace, limits: Limits) -> "SearchOutcome":
    """Search all schedules, or those that were asked for; where all are too many, those with few pre-emptions."""
    from model.search.bfs import Search, explore
    from model.search.part_searches import at_random, up_to
    from model.search.strategy import SearchOutcome, search_scene

    def stop(kind: "Property") -> bool:
        return kind[0] == args.violation if args.violation else kind[1] != "hazard"

    symmetry = not args.no_symmetry
    if args.random is not None:
        dice = Random(args.seed)
        search = Search(scene, symmetry=symmetry)
        return SearchOutcome(search, at_random(search, args.random, dice.randrange, limits.allow))
    if args.preemptions is not None:
        search = Search(scene, symmetry=symmetry)
        part = up_to(search, args.preemptions, args.max_states, limits.allow)
        if not part.whole or limits.ended:
            return SearchOutcome(search, part)
    if args.first:
        return SearchOutcome(explore(scene, args.max_states, stop, limits.allow, symmetry=symmetry))
    return search_scene(scene, args.max_states, limits.allow, symmetry=symmetry, every_state=args.every_state)


def print_json(found: "Report", seconds: float, seed: int = 0) -> None:
    """The object that docs/script-contract.md describes."""
    import msgspec

    from tui.views.search_json import as_object
    from tui.views.visible import write_json

    write_json(msgspec.json.encode(as_object(found, seconds, seed)))
