"""`ptescope run`: carry a script out and tell what happened, to a reader or, with --json, to a program."""

import sys
from argparse import Action, ArgumentParser, Namespace
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Final

from tui.session.user_files import UnreadableError, read_script

if TYPE_CHECKING:
    from model.script.command import Command
    from model.script.runner import Account
    from model.text.problems import ScriptError

EXIT_HELD: Final = 0
EXIT_NOT_HELD: Final = 1
EXIT_MALFORMED: Final = 2


def add_arguments(parser: ArgumentParser) -> None:
    """The operands and options of `ptescope run`."""
    parser.description = (
        "Run a script (.pte) on the simulated machine. Prints a readable account of every command, or with "
        "--json one object a line. Exit status: 0 it ran to the end and every `expect` and every property (`always`, "
        "`never`, `final`) held, 1 some did not, 2 it is malformed, asks for what is not simulated, or cannot be read."
    )
    parser.add_argument("file", metavar="FILE", help="the script; `-` reads standard input")
    parser.add_argument("--json", action="store_true", help="one JSON object a command, for programs")
    parser.add_argument(
        "--state",
        choices=("full", "changes", "none"),
        default="changes",
        help="what --json says of the machine: all of it after each command, what changed (default), or nothing",
    )
    parser.add_argument("--verbs", action=ShowVerbs, nargs=0, help="list the verbs of the script language and exit")
    detail = parser.add_mutually_exclusive_group()
    detail.add_argument("-v", "--verbose", action="store_true", help="every micro-step with what it means")
    detail.add_argument("-q", "--quiet", action="store_true", help="only commands, answers and what is broken")


class ShowVerbs(Action):
    """`--verbs`: the reference of the script language, from the table that the parser reads."""

    def __call__(
        self, parser: ArgumentParser, namespace: Namespace, values: object, option_string: str | None = None
    ) -> None:
        """Print the reference of verbs and exit."""
        del namespace, values, option_string
        from model.script.verbs import VERBS
        from tui.views.plain_text import Narrator, console

        Narrator(console()).verbs(VERBS.values())
        parser.exit()


def main(args: Namespace) -> int:
    """Run the command; returns the exit status."""
    # The kernel is imported where it is run.
    from model.script.execute import check_simulated
    from model.script.parser import parse
    from model.text.problems import ScriptError

    try:
        commands = parse(read_script(args.file))
        check_simulated(commands)
        accounts = perform(commands)
        failed = print_json(accounts, args) if args.json else print_readable(accounts, args)
    except UnreadableError as error:
        print(error, file=sys.stderr)
        return EXIT_MALFORMED
    except ScriptError as error:
        sys.stdout.flush()
        complain(args.file, error)
        return EXIT_MALFORMED
    return EXIT_NOT_HELD if failed else EXIT_HELD


def complain(file: str, error: "ScriptError") -> None:
    """Every problem of a script, one a line, as editors expect it."""
    for problem in error.problems:
        print(problem.located(file), file=sys.stderr)


def perform(commands: "Iterable[Command]") -> "Iterator[Account]":
    """Carry the commands out on a machine fresh from boot; what is said of the end is judged there."""
    from model.script.runner import Runner

    runner = Runner()
    for command in sorted(commands, key=lambda command: command.verb == "final"):
        yield runner.perform(command)


def print_json(accounts: "Iterator[Account]", args: Namespace) -> int:
    """The trace; expectations and properties that do not hold are told on standard error too. Returns their number."""
    from model.script.trace import trace_line
    from tui.views.plain_text import located
    from tui.views.visible import write_json

    failed = 0
    for account in accounts:
        write_json(trace_line(account, args.state))
        if account.outcome.status == "failed":
            failed += 1
            place = f"{args.file}:{account.command.line}:{account.command.column}"
            print(f"{place}: {account.outcome.message}", file=sys.stderr)
        for broken in account.properties:
            failed += 1
            print(f"{args.file}:{account.command.line}:{account.command.column}: {located(broken)}", file=sys.stderr)
    sys.stdout.flush()
    return failed


def print_readable(accounts: "Iterator[Account]", args: Namespace) -> int:
    """The account for people, and a last line that sums it up. Returns how many expectations do not hold."""
    from model.script.verbs import PROPERTIES, verb_of
    from tui.views.plain_text import NORMAL, QUIET, VERBOSE, Narrator, console

    output = console()
    narrator = Narrator(output, VERBOSE if args.verbose else QUIET if args.quiet else NORMAL)
    commands = expected = failed = violations = properties = 0
    broken: set[str] = set()
    for account in accounts:
        narrator.tell(account)
        verb = verb_of(account.command.verb)
        commands += verb.role != "word"
        expected += verb.name == "expect"
        properties += verb.name in PROPERTIES
        if account.outcome.status == "failed":
            failed += verb.name == "expect"
            broken |= {account.command.text} if verb.name in PROPERTIES else set()
        broken |= {one.property.text for one in account.properties}
        violations += len(account.violations)
    narrator.sum_up(commands, expected, failed, violations, (properties, len(broken)))
    return failed + len(broken)
