"""`ptescope driver`: the bundled drivers, and your own: written, read, and checked."""

import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from lessons.i18n.language import ntr, tr
from model.engine.config import KERNELS
from tui.session.user_files import NotUtf8Error, UnreadableError, read_text

if TYPE_CHECKING:
    from model.driver_files.findings import DriverFault
    from model.text.problems import ScriptProblem

EXIT_FINE: Final = 0
EXIT_WRONG: Final = 1
EXIT_MALFORMED: Final = 2


def add_arguments(parser: ArgumentParser) -> None:
    """The deeds of `ptescope driver`."""
    parser.description = (
        "Drivers as text files: how they map their pages, and what each operation does step by step. In a script "
        "`use FILE` brings one along. docs/drivers.md tells how to describe your own."
    )
    deeds = parser.add_subparsers(dest="deed", metavar="DEED", required=True)
    deeds.add_parser("list", help="the bundled drivers")
    showing = deeds.add_parser("show", help="print the file of a driver")
    showing.add_argument("driver", metavar="NAME|FILE", help="a bundled driver, or a file")
    showing.add_argument("--kernel", choices=KERNELS, help="as it is on that kernel, with what `like` takes over")
    checking = deeds.add_parser("check", help="say what is wrong with driver files")
    checking.description = (
        "Read driver files and say what is wrong: locks left held on some path, memory that goes before its "
        "entries, flags and functions that end in a BUG_ON. Exit status: 0 no error (warnings may be told), 1 an "
        "error, 2 a file that cannot be read or is malformed."
    )
    checking.add_argument("files", nargs="+", metavar="FILE|NAME", help="driver files; `-` reads standard input")
    checking.add_argument("--json", action="store_true", help="one JSON object, for programs")
    new = deeds.add_parser("new", help="write a driver file to begin with")
    new.add_argument("name", type=_new_name, metavar="NAME", help="its name: the file is called NAME.driver")
    new.add_argument("--folder", type=Path, default=Path(), metavar="DIR", help="where to write it (default: here)")


def _new_name(text: str) -> str:
    """A name that a driver of one's own may have, or ArgumentTypeError."""
    from model.driver_files import library
    from model.text.words import is_name, printable

    if not is_name(text):
        shape = tr("a letter, then letters, digits, `_` or `-`")
        raise ArgumentTypeError(tr("`{name}` is no name: {shape}").format(name=printable(text), shape=shape))
    if text in library.bundled():
        raise ArgumentTypeError(tr("a bundled driver is called `{name}`: choose another name").format(name=text))
    return text


def main(args: Namespace) -> int:
    """Run the deed; returns the exit status."""
    try:
        match args.deed:
            case "list":
                return listed()
            case "show":
                return show(args.driver, args.kernel)
            case "new":
                return new(args.name, args.folder)
            case _:
                return check(args.files, as_json=args.json)
    except UnreadableError as error:
        print(error, file=sys.stderr)
        return EXIT_MALFORMED


def listed() -> int:
    """Every driver with what it is."""
    from model.driver_files import library
    from model.driver_files.parser import parse

    widest = max(map(len, library.bundled()))
    for name in library.bundled():
        print(f"{name:{widest}}  {parse(library.text_of(name)).about}")
    return EXIT_FINE


def text_of(word: str) -> str:
    """The text of a file, or of a driver that comes along. Raises UnreadableError."""
    from model.driver_files import library
    from model.text.problems import did_you_mean

    if word in library.bundled() and not Path(word).is_file():
        return library.text_of(word)
    try:
        return read_text(word)
    except UnreadableError as error:
        if "/" in word or "." in word:
            raise
        raise UnreadableError(f"{error}{did_you_mean(word, library.bundled())}") from None


def show(word: str, kernel: str | None) -> int:
    """Print a driver's file, or the driver as it is on one kernel."""
    from model.driver_files.on_kernel import on_kernel
    from model.text.problems import ScriptError

    text = text_of(word)
    try:
        print((on_kernel(text, kernel) if kernel else text).rstrip("\n"))
    except ScriptError as error:
        _complain(word, error.problems)
        return EXIT_MALFORMED
    return EXIT_FINE


def check(words: list[str], *, as_json: bool) -> int:
    """Print what is wrong with drivers."""
    from model.script.driver_findings import checked as findings_of
    from model.text.problems import ScriptError, ScriptProblem

    checked: list[dict[str, Any]] = []
    malformed = False
    for word in words:
        problems: tuple[ScriptProblem, ...] = ()
        found: tuple[DriverFault, ...] = ()
        try:
            found = findings_of(text_of(word))
        except ScriptError as error:
            problems = error.problems
        except NotUtf8Error as error:
            problems = (ScriptProblem(error.line, error.column, error.what),)
        except UnreadableError as error:
            problems = (ScriptProblem(1, 1, str(error).removeprefix(f"{word}: ")),)
        malformed |= bool(problems)
        checked.append({"file": word, "problems": problems, "findings": found})
    if as_json:
        _print_json(checked)
    else:
        for one in checked:
            _complain(one["file"], one["problems"])
            for finding in one["findings"]:
                print(finding.located(one["file"]))
        _sum_up(checked)
    if malformed:
        return EXIT_MALFORMED
    return EXIT_WRONG if any(f.severity == "error" for one in checked for f in one["findings"]) else EXIT_FINE


def _complain(file: str, problems: "tuple[ScriptProblem, ...]") -> None:
    for problem in problems:
        print(problem.located(file), file=sys.stderr)


def _sum_up(checked: list[dict[str, Any]]) -> None:
    read = [one for one in checked if not one["problems"]]
    found = [finding for one in read for finding in one["findings"]]
    errors = sum(finding.severity == "error" for finding in found)
    parts = [
        ntr("{n} driver checked", "{n} drivers checked", len(read)).format(n=len(read)),
        ntr("{n} error", "{n} errors", errors).format(n=errors),
        ntr("{n} warning", "{n} warnings", len(found) - errors).format(n=len(found) - errors),
    ]
    print(", ".join(parts))


def _print_json(checked: list[dict[str, Any]]) -> None:
    """The object that docs/script-contract.md describes."""
    import msgspec

    files = [
        {
            "file": one["file"],
            "problems": [{"line": p.line, "column": p.column, "message": p.message} for p in one["problems"]],
            "findings": [finding._asdict() for finding in one["findings"]],
        }
        for one in checked
    ]
    print(msgspec.json.encode({"files": files}).decode())


def new(name: str, folder: Path) -> int:
    """Write a file to begin with. What exists is left alone."""
    from lessons.learner.own_file import create_file, reason
    from model.driver_files.library import SUFFIX
    from model.driver_files.starting_file import starting_file

    path = folder / f"{name}{SUFFIX}"
    try:
        create_file(path, starting_file(name).encode())
    except FileExistsError:
        print(tr("{file} exists; choose another name or another --folder").format(file=path), file=sys.stderr)
        return EXIT_MALFORMED
    except OSError as error:
        print(reason(error), file=sys.stderr)
        return EXIT_MALFORMED
    print(tr("{file} is written. `ptescope driver check {file}` says what is wrong with it.").format(file=path))
    return EXIT_FINE
