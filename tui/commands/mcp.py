"""`ptescope mcp`: run, explore and review as tools for other programs, over the Model Context Protocol."""

import sys
from argparse import ArgumentParser, Namespace
from importlib.util import find_spec
from typing import Final

from lessons.i18n.language import tr
from tui.commands.numbers import MEBIBYTES, STATES, WholeNumber

EXIT_FINE: Final = 0
EXIT_MISSING: Final = 2
DAY: Final = 86_400


def add_arguments(parser: ArgumentParser) -> None:
    """The options of `ptescope mcp`."""
    parser.description = (
        "Offer `run`, `explore` and `review` as tools over the Model Context Protocol (extra `mcp`), on standard input "
        "and output: script in, verdict and replayable script out. Each call runs in a process of its own, within "
        "these bounds; no tool reads or writes a file. The program that wants them starts it: docs/mcp.md says how."
    )
    parser.add_argument(
        "--seconds",
        metavar="S",
        type=WholeNumber(1, DAY),
        default=60,
        help="seconds that a call may take (default %(default)s)",
    )
    parser.add_argument(
        "--max-memory",
        metavar="MIB",
        type=MEBIBYTES,
        default=1024,
        help="MiB that a call may take (default %(default)s)",
    )
    parser.add_argument(
        "--max-states",
        metavar="N",
        type=STATES,
        default=1_000_000,
        help="states that a search visits at most (default %(default)s)",
    )


def main(args: Namespace) -> int:
    """Run the command; returns the exit status."""
    if find_spec("mcp") is None:
        print(
            tr("ptescope mcp needs the official package of the protocol: pip install 'ptescope[mcp]'"), file=sys.stderr
        )
        return EXIT_MISSING
    from tui.tools.server import server

    server(args.seconds, args.max_memory, args.max_states).run("stdio")
    return EXIT_FINE
