"""The command line of ptescope: what there is to call, and each subcommand's module loaded only when it is called."""

import argparse
import gc
import os
import sys
from argparse import Action, ArgumentParser, HelpFormatter, Namespace
from collections.abc import Iterable, Sequence
from contextlib import suppress
from difflib import get_close_matches
from importlib import import_module
from io import TextIOWrapper
from pathlib import Path
from typing import Any, Final, NamedTuple, NoReturn, Protocol, cast

from lessons.i18n.language import ENGLISH, chosen, ntr, tr
from tui.session.ending import EXIT_INTERRUPTED
from tui.session.terminal import sensible_size
from tui.version import __version__
from tui.views.visible import visible, visible_streams

EXIT_MALFORMED: Final = 2
EXIT_BROKEN_PIPE: Final = 141
"""128 + SIGPIPE."""
EXIT_BUG: Final = 70
"""EX_SOFTWARE of sysexits.h."""


class CommandModule(Protocol):
    """What every module of `tui.commands` has."""

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare operands and options."""

    def main(self, args: Namespace) -> int:
        """Run the command; returns the exit status."""


class Subcommand(NamedTuple):
    """One subcommand, and the module of `tui.commands` that carries it out."""

    name: str
    module: str
    help: str


SUBCOMMANDS: Final = (
    Subcommand("learn", "learn", "play a lesson, by default the one where you stopped"),
    Subcommand("drill", "drill", "endless practice; the model computes every answer"),
    Subcommand("recap", "recap", "print what you have learnt, as Markdown"),
    Subcommand("progress", "progress", "show, export, import or reset your progress"),
    Subcommand("sandbox", "sandbox", "play freely on an empty machine, or on the one that a script sets up"),
    Subcommand("lessons", "lessons", "list the lessons and how far you are in each"),
    Subcommand("lesson", "lesson", "for authors: new, check, play, promote, diff, mutate"),
    Subcommand("notes", "notes", "show the teacher's notes beside a presentation"),
    Subcommand("serve", "serve", "serve the app to browsers (extra `web`)"),
    Subcommand("class", "class_room", "for teachers: class packs, assignments, and what was handed in"),
    Subcommand("assignment", "assignment", "open an assignment that a teacher has made"),
    Subcommand("hand-in", "hand_in", "write what you have done into one file for the teacher"),
    Subcommand("export", "export", "export a lesson or a script as SVG, Markdown, asciicast or Mermaid diagram"),
    Subcommand("run", "run", "run a script and tell what happened"),
    Subcommand("explore", "explore", "search every schedule of what a script permits for the way to corruption"),
    Subcommand("compare", "compare", "compare drivers, grabbers and defences, each cell by a search"),
    Subcommand("driver", "driver", "describe your own driver: list, show, check, new"),
    Subcommand("review", "review", "review one driver: every grabber against everything that its owner does"),
    Subcommand("mcp", "mcp", "offer run, explore and review to other programs (extra `mcp`)"),
    Subcommand("museum", "museum", "real bugs, as they were and as mended"),
    Subcommand("sweep", "sweep", "search every pair of ordinary calls: they must do no harm"),
    Subcommand("live", "live", "run a script on this machine's own kernel, beside the model"),
    Subcommand("replay", "replay", "replay recordings of a real kernel on the model and compare"),
)
WITH_LESSONS: Final = frozenset(
    (
        "learn",
        "recap",
        "lessons",
        "lesson",
        "serve",
        "class",
        "export",
        "drill",
        "notes",
        "progress",
        "assignment",
        "hand-in",
    )
)
"""Subcommands that look at lessons, and so at those of one's own."""
HOME: Final = Subcommand("home", "home", "open the app")


class TranslatedHelp(HelpFormatter):
    """Help in the reader's language; the texts stand in English where a command declares its arguments."""

    def add_text(self, text: str | None) -> None:
        """A description, or what stands below all."""
        super().add_text(tr(text) if text else text)

    def add_usage(
        self,
        usage: str | None,
        actions: Iterable[Action],
        groups: Iterable[argparse._MutuallyExclusiveGroup],
        prefix: str | None = None,
    ) -> None:
        """The first line."""
        super().add_usage(usage, actions, groups, f"{tr('usage:')} " if prefix is None else prefix)

    def _get_help_string(self, action: Action) -> str:
        return tr(action.help) if action.help else ""


class Parser(ArgumentParser):
    """Speaks the reader's language, and says what was probably meant where a word is not known."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**{"formatter_class": TranslatedHelp, **options})
        vars(self)["color"] = False  # from Python 3.14 on; the streams would show its escape sequences

    def error(self, message: str) -> NoReturn:
        """One line of what is wrong, and how to get help."""
        there_is = tr("`{command}` shows what there is").format(command=f"{self.prog} --help")
        self.exit(EXIT_MALFORMED, f"{self.prog}: {message} ({there_is})\n")

    def _check_value(self, action: Action, value: str) -> None:
        if action.choices is not None and value not in action.choices:
            near = get_close_matches(value, list(action.choices), n=1)
            what = tr("there is no `{word}`: expected {known}").format(word=value, known=", ".join(action.choices))
            self.error(f"{what}; {tr('did you mean `{word}`?').format(word=near[0])}" if near else what)


def build_parser(wanted: Sequence[str]) -> Parser:
    """The parser for a command line. Only the subcommand that it calls for is loaded, to start fast."""
    if chosen().code != ENGLISH:
        vars(argparse).update(_=tr, ngettext=ntr)  # its own words; it would ask the gettext of the whole process
    parser = Parser(
        prog="ptescope",
        description="See page tables, reference counts and what breaks them, on a simulated Linux memory manager.",
        epilog="Without a subcommand the app opens: lessons, sandbox and everything else.",
    )
    parser.add_argument("--version", action="version", version=f"ptescope {__version__}")
    parser.add_argument(
        "--plain", dest="plain_home", action="store_true", help="home as text in, text out: for screen readers"
    )
    # To make them all takes longer than all else here; where one is named at once, nobody looks at the others.
    is_named = bool(wanted) and any(subcommand.name == wanted[0] for subcommand in SUBCOMMANDS)
    subparsers = parser.add_subparsers(dest="subcommand", metavar="SUBCOMMAND", parser_class=Parser)
    _add_lessons(parser)
    for subcommand in SUBCOMMANDS:
        if is_named and subcommand.name not in wanted:
            continue
        below = subparsers.add_parser(subcommand.name, help=subcommand.help)
        if subcommand.name in wanted:
            _module(subcommand).add_arguments(below)
            if subcommand.name in WITH_LESSONS:
                _add_lessons(below)
    return parser


def _add_lessons(parser: ArgumentParser) -> None:
    """The option that names folders with lessons of one's own."""
    parser.add_argument(
        "--lessons",
        dest="lesson_folders",
        action="append",
        type=folder,
        default=argparse.SUPPRESS,
        metavar="DIR",
        help="a folder with lessons of your own, beside the course (also: PTESCOPE_LESSONS)",
    )


def folder(text: str) -> Path:
    """A folder that exists, or ArgumentTypeError."""
    path = Path(text)
    if not path.is_dir():
        raise argparse.ArgumentTypeError(tr("there is no folder {folder}").format(folder=text))
    return path


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ptescope. Returns the exit status; whatever goes wrong is one line on standard error, never a traceback."""
    if arguments is not None:
        return _status(arguments)
    from tui.session.ending import in_order

    return in_order(lambda: _status(sys.argv[1:]))


def _status(arguments: Sequence[str]) -> int:
    words = list(arguments)
    sensible_size()
    _open_streams()
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        # A terminal that cannot show a sign gets a question mark instead of an accident; so does a byte that is none.
        if isinstance(stream, TextIOWrapper) and stream.errors != "replace":
            stream.reconfigure(errors="replace")
    try:
        with visible_streams():
            status = run(words)
            _name_damaged_translations()
            sys.stdout.flush()
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except BrokenPipeError:
        _close_output()
        return EXIT_BROKEN_PIPE
    except OSError as error:
        _close_output()
        from lessons.learner.own_file import reason

        return _give_up(reason(error), EXIT_MALFORMED)
    except Exception as error:
        if os.environ.get("PTESCOPE_TRACEBACK"):
            raise
        what = f"{tr('this is a bug in ptescope')}: {type(error).__name__}: {error}"
        return _give_up(f"{what} ({tr('with PTESCOPE_TRACEBACK=1 it says more')})", EXIT_BUG)
    return status


def run(words: Sequence[str]) -> int:
    """Call the subcommand that a command line asks for; its exit status."""
    words = _spelled_out(words)
    args = build_parser(words).parse_args(words)
    if named := getattr(args, "lesson_folders", None):
        from lessons.i18n.lesson_folders import name_folders

        name_folders(named)
    subcommand = next((known for known in SUBCOMMANDS if known.name == args.subcommand), HOME)
    module = _module(subcommand)
    if not gc.isenabled():  # off while all this was loaded, and it need never look at that
        gc.freeze()
        gc.enable()
    return module.main(args)


def _spelled_out(words: Sequence[str]) -> list[str]:
    """`class LESSON…` is `class pack LESSON…`."""
    if "class" not in words:
        return list(words)
    from tui.commands.class_room import NAMES, WITH_VALUE

    at = words.index("class") + 1
    values = {number + 1 for number, word in enumerate(words) if word in WITH_VALUE}
    operands = [word for number, word in enumerate(words) if number >= at and number not in values and word[:1] != "-"]
    if not operands or operands[0] in NAMES:
        return list(words)
    return [*words[:at], "pack", *words[at:]]


def _name_damaged_translations() -> None:
    """A translation that cannot be read is left aside, and whoever uses it is told which file it is."""
    catalog = sys.modules.get("lessons.i18n.catalog")  # never loaded: nothing was translated
    for damage in catalog.damaged.values() if catalog else ():
        sys.stderr.write(f"ptescope: {damage}\n")


def _give_up(message: str, status: int) -> int:
    with suppress(OSError):  # a terminal that has gone
        sys.stderr.write(visible(f"ptescope: {message}\n"))
    return status


def _open_streams() -> None:
    """Give closed streams (`>&-`) the null device: Python leaves None in their place."""
    sys.stdin = sys.stdin or Path(os.devnull).open(encoding="utf-8")  # noqa: SIM115 - as long as the program
    sys.stdout = sys.stdout or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    sys.stderr = sys.stderr or Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115


def _close_output() -> None:
    """Close standard output quietly where its reader has gone: Python would complain when it flushes at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _module(subcommand: Subcommand) -> CommandModule:
    return cast("CommandModule", import_module(f"tui.commands.{subcommand.module}"))
