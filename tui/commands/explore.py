"""`ptescope explore`: search every schedule of what a script permits, and tell the shortest way to corruption."""

import sys
import time
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from typing import TYPE_CHECKING, Final

from lessons.i18n.language import tr
from tui.commands.run import complain
from tui.jobs.limits import Limits
from tui.session.user_files import UnreadableError, read_text

if TYPE_CHECKING:
    from model.search.bfs import Property, Search, SearchProgress
    from model.search.ends import NeverEnds
    from model.search.problem import SearchProblem
    from model.search.report import Report

MOST_MEMORY: Final = 4096
"""MiB that a search may take unless told otherwise."""
EXIT_SAFE: Final = 0
EXIT_CORRUPTS: Final = 1
EXIT_MALFORMED: Final = 2
EXIT_INCOMPLETE: Final = 3
EXIT_VACUOUS: Final = 4
EXIT_NEVER_ENDS: Final = 5


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
    parser.add_argument("--violation", metavar="NAME", choices=list(INVARIANTS), help="look at this rule alone")
    parser.add_argument(
        "--max-states",
        metavar="N",
        type=positive,
        default=MOST_STATES,
        help="give up after so many states (default %(default)s)",
    )
    parser.add_argument(
        "--max-memory",
        metavar="MIB",
        type=positive,
        default=MOST_MEMORY,
        help="give up where so many MiB are taken (default %(default)s)",
    )
    parser.add_argument(
        "--first",
        action="store_true",
        help="stop at the first corruption or splat, or with --violation at the first violation of that rule",
    )
    parser.add_argument(
        "--no-symmetry",
        action="store_true",
        help="search states that differ only in which of two equal tasks is which as well, one by one",
    )


def positive(text: str) -> int:
    """Parse a positive number, or raise ArgumentTypeError."""
    if not text.isdecimal() or not int(text):
        raise ArgumentTypeError(tr("expected a number above 0, not `{text}`").format(text=text))
    return int(text)


def main(args: Namespace) -> int:
    """Run the command; returns the exit status."""
    try:
        text = read_text(args.file)
    except UnreadableError as error:
        print(error, file=sys.stderr)
        return EXIT_MALFORMED
    from model.script.parser import parse
    from model.script.problems import ScriptError
    from model.search.problem import set_up
    from model.search.report import report

    try:
        scene = set_up(parse(text))
    except ScriptError as error:
        complain(args.file, error)
        return EXIT_MALFORMED
    began = time.process_time()
    search, ended = run(scene, args)
    found = report(search, args.violation or "")
    seconds = time.process_time() - began
    if args.json:
        print_json(found, seconds)
    else:
        from tui.views.search_report import tell

        tell(found, seconds, ended)
    if found.corrupts:
        return EXIT_CORRUPTS
    if found.never_ends is not None:
        return EXIT_NEVER_ENDS
    if not search.complete:
        return EXIT_INCOMPLETE
    return EXIT_VACUOUS if found.shows_nothing else EXIT_SAFE


def run(scene: "SearchProblem", args: Namespace) -> "tuple[Search, str]":
    """Search, and say how far it is where somebody is looking. Also why it ended early, if memory or Ctrl+C did it."""
    from model.search.bfs import explore

    def stop(kind: "Property") -> bool:
        return args.first and (kind[0] == args.violation if args.violation else kind[1] != "hazard")

    if args.json or not sys.stderr.isatty():
        limits = Limits(args.max_memory, lambda _: None)
        with limits.interruptible():
            return explore(scene, args.max_states, stop, limits.allow, symmetry=not args.no_symmetry), limits.ended
    from rich.console import Console

    began = time.monotonic()
    with Console(stderr=True).status(tr("searching")) as status:

        def show(progress: "SearchProgress") -> None:
            rate = progress.states / max(time.monotonic() - began, 0.001)
            status.update(
                tr("{states} states, depth {depth}, frontier {frontier}, {rate} states/s").format(
                    states=progress.states, depth=progress.depth, frontier=progress.frontier, rate=round(rate)
                )
            )

        limits = Limits(args.max_memory, show)
        with limits.interruptible():
            return explore(scene, args.max_states, stop, limits.allow, symmetry=not args.no_symmetry), limits.ended


def never_ends(found: "NeverEnds") -> dict[str, object]:
    """A schedule without an end, for programs."""
    return {
        "kind": found.kind,
        "waiting": [one._asdict() for one in found.waiting],
        "script": "".join(f"{line}\n" for line in found.script),
    }


def properties(found: "Report") -> list[dict[str, object]]:
    """The properties of the script with their verdicts, for programs; of a broken one the shortest way into it."""
    broken = {finding.prop[0]: finding for finding in found.findings}
    told: list[dict[str, object]] = []
    for stated in found.search.scene.properties:
        one: dict[str, object] = {
            "property": stated.text,
            "line": stated.line,
            "broken": found.stated[stated.text],
        }
        if (finding := broken.get(stated.text)) is not None:
            one |= {
                "steps": finding.shortest.steps,
                "preemptions": finding.shortest.preemptions,
                "script": "".join(f"{line}\n" for line in finding.script),
            }
        told.append(one)
    return told


def print_json(found: "Report", seconds: float) -> None:
    """The object that docs/script-contract.md describes."""
    import msgspec

    from model.search.verdicts import MEMORY_ORDER

    result: dict[str, object] = {
        "complete": found.search.complete,
        "states": len(found.search.seen),
        "transitions": found.search.transitions,
        "schedules": None,
        "seconds": round(seconds, 3),
        "verdicts": found.verdicts,
        "violations": [
            {
                "invariant": finding.prop[0],
                "severity": finding.prop[1],
                "steps": finding.shortest.steps,
                "preemptions": finding.shortest.preemptions,
                "script": "".join(f"{line}\n" for line in finding.script),
            }
            for finding in found.findings
            if finding.prop[0] in found.verdicts
        ],
        "memory_order": MEMORY_ORDER,
        "vacuous": found.shows_nothing,
        "properties": properties(found),
        "commands": [
            {
                "command": use.permission.command.text,
                "times": use.permission.times or None,
                "started": use.started,
                "outcomes": list(use.outcomes),
            }
            for use in found.commands
        ],
        "never_ends": never_ends(found.never_ends) if found.never_ends else None,
    }
    if found.counted is not None:  # an integer of any length, which msgspec would not write
        result["schedules"] = msgspec.Raw(str(found.counted.schedules).encode())
    sys.stdout.buffer.write(msgspec.json.encode(result) + b"\n")
    sys.stdout.flush()
