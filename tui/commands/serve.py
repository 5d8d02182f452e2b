"""`ptescope serve`: the app in a browser, for students without a terminal; with --class for a room of them."""

import sys
import tempfile
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from importlib.util import find_spec
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Final

from lessons.i18n.language import tr
from tui.commands.numbers import WholeNumber
from tui.jobs.subprocess_job import python_module
from tui.views.visible import raw, visible

if TYPE_CHECKING:
    from lessons.teach.room import ClassFolder

EXIT_FINE: Final = 0
EXIT_MISSING: Final = 2
MOST_PORT: Final = 65_535
ROOM: Final = "ptescope-class"
"""The folder of a room that was given none: the same each week, so whoever has joined is known again."""
EVERYWHERE: Final = "0.0.0.0"  # noqa: S104 - a class is served to other machines


def add_arguments(parser: ArgumentParser) -> None:
    """The options of `ptescope serve`."""
    parser.description = (
        "Serve the app to browsers (extra `web`). Each visitor has a session of their own, which outlives a reload and "
        "a short disconnection. Served to this machine only unless --host or --class says otherwise; whoever can reach "
        "the port can use it."
    )
    parser.add_argument("lesson", nargs="?", metavar="LESSON", help="open this lesson instead of home")
    parser.add_argument(
        "--class",
        dest="room",
        nargs="?",
        type=Path,
        const=Path(ROOM),
        metavar="DIR",
        help="a room: students join by name, follow `learn --present`, vote and hand in; DIR keeps it all (default: "
        "%(const)s in this folder)",
    )
    parser.add_argument(
        "--host", type=host, help="address to listen at (default localhost; with --class every address)"
    )
    parser.add_argument(
        "--port", type=WholeNumber(1, MOST_PORT), default=8000, help="port to listen at (default %(default)s)"
    )
    parser.add_argument(
        "--public-url", type=url, default="", metavar="URL", help="how browsers reach it through a proxy"
    )
    parser.add_argument(
        "--allow-host", action="append", default=[], metavar="NAME", help="another name of this machine to answer under"
    )
    parser.add_argument(
        "--keep", type=Path, metavar="DIR", help="keep visitors' progress here (default: until the end)"
    )
    parser.add_argument(
        "--sessions", type=WholeNumber(1, 1000), default=60, metavar="N", help="sessions at once (default %(default)s)"
    )
    parser.add_argument(
        "--memory", type=WholeNumber(256, 65536), default=1024, metavar="MIB", help="of a session (default %(default)s)"
    )
    parser.add_argument(
        "--search",
        type=WholeNumber(1, 3600),
        default=60,
        metavar="S",
        help="CPU seconds of a search (default %(default)s)",
    )


def host(text: str) -> str:
    """Parse a name or an address as far as it can be looked up, or raise ArgumentTypeError."""
    try:
        text.encode("idna")
    except UnicodeError:
        raise ArgumentTypeError(tr("expected a name or an address, not `{text}`").format(text=text)) from None
    return text


def url(text: str) -> str:
    """Parse the address of a web page, empty for none, or raise ArgumentTypeError."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(text)
        fine = not text or (parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0)
    except ValueError:
        fine = False
    if not fine or any(letter.isspace() or not letter.isprintable() for letter in text):
        said = tr("expected an address that begins with http:// or https:// and a name, not `{text}`")
        raise ArgumentTypeError(said.format(text=text))
    return text


def main(args: Namespace) -> int:
    """Serve until interrupted; returns the exit status."""
    if find_spec("textual_serve") is None:
        needs = tr("ptescope serve needs textual-serve: `pip install textual-serve segno`, or the extra `web`")
        print(needs, file=sys.stderr)
        return EXIT_MISSING
    words = python_module("tui.served_session")
    if args.lesson is not None:
        from lessons.file.library import find
        from lessons.file.problems import LessonError

        try:
            find(args.lesson)
        except LessonError as error:
            print(error, file=sys.stderr)
            return EXIT_MISSING
        words += ["learn", args.lesson]
    room = _room(args)
    with tempfile.TemporaryDirectory(prefix="ptescope-serve-") as temporary:
        folder = args.keep or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        return _serve(args, words, folder.absolute(), room)


def _room(args: Namespace) -> "ClassFolder | None":
    if args.room is None:
        return None
    from lessons.teach.room import ClassFolder

    room = ClassFolder(args.room.absolute())
    if room.report:
        print(room.report, file=sys.stderr)
    return room


def _serve(args: Namespace, words: list[str], folder: Path, room: "ClassFolder | None") -> int:
    import asyncio

    from tui.web.server import Serving, WebServer
    from tui.web.visitors import VisitorLimits

    host = args.host or (EVERYWHERE if room is not None else "localhost")
    limits = VisitorLimits(args.sessions, args.memory, args.search)
    serving = Serving(words, folder, host, args.port, limits, tuple(args.allow_host), args.public_url, room)
    try:
        server = WebServer(serving, Status(sys.stdout.isatty()))
        ready = asyncio.Event()

        async def served() -> None:
            running = asyncio.create_task(server.run(ready))
            waiting = asyncio.create_task(ready.wait())
            await asyncio.wait((running, waiting), return_when=asyncio.FIRST_COMPLETED)
            waiting.cancel()
            if ready.is_set():
                announce(host, args.port, args.public_url, args.room)
            await running

        asyncio.run(served())
    except OSError as error:
        print(f"ptescope serve: {error.strerror or error}", file=sys.stderr)
        return EXIT_MISSING
    return EXIT_FINE


def announce(host: str, port_: int, public: str, room: Path | None) -> None:
    """The addresses to tell others, with a code to photograph."""
    from tui.web.addresses import is_loopback, lan_address, qr_code

    here = f"http://localhost:{port_}/" if host in {"localhost", "::", EVERYWHERE} else f"http://{host}:{port_}/"
    print(tr("On this machine: {url}").format(url=here))
    if not is_loopback(host):
        lan = host if host not in {"::", EVERYWHERE} else lan_address()
        there = public or (f"http://{lan}:{port_}/" if lan else "")
        if there:
            print(tr("For the others:  {url}").format(url=there))
            print(qr_code(there) or tr("(a QR code needs segno: pip install segno)"))
    elif public:
        print(tr("For the others:  {url}").format(url=public))
    else:
        print(tr("Only this machine can reach it; `--host 0.0.0.0` opens it to the network."))
    print(tr("Visitors and what they take: {url}").format(url=f"http://localhost:{port_}/teacher"))
    if room is not None:
        print(tr("Names, votes and work are kept in {folder}.").format(folder=room))
        print(tr("To grade it: ptescope class collect {folder}").format(folder=quote(str(room / "hand-ins"))))
        print(tr("Present in another terminal: `ptescope learn LESSON --present`; the room follows."))
    print(tr("Ctrl+C ends it."), flush=True)


class Status:
    """How things stand, in a line that is written over; where there is no terminal, only what is new."""

    def __init__(self, terminal: bool) -> None:
        self.terminal = terminal
        self.last = ""

    def __call__(self, text: str) -> None:
        """Say it."""
        if text == self.last:
            return
        self.last = text
        raw(sys.stdout).write(f"\r\x1b[K{visible(text)}" if self.terminal else f"{visible(text)}\n")
        sys.stdout.flush()
