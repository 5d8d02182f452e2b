"""A session as a file: a script that leads to the present state, and below it, as comments, the whole history.

Whoever runs the file gets the state. ptescope reads the comments as well, and has every branch and bookmark again; they
are a record of moves as in a state code, so a file may come from anybody. Where somebody has edited the script the
comments no longer belong to it and are left out.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from textwrap import wrap
from typing import Final
from zlib import crc32

from lessons.i18n.language import tr
from lessons.learner.own_file import replace_file
from model.script.command import Command
from model.script.execute import check_simulated
from model.script.parser import parse
from model.session.move_log import Bounds, RecordError, can_be_recorded, record, replay
from model.session.session import Session
from model.session.state_code import CodeError, Opened, pack, unpack
from model.session.to_script import reproduces, script_of

MARK: Final = "#: "
"""What a line of the history begins with …"""
WATCHED: Final = "# watch "
"""… and one with a watched expression."""
WIDTH: Final = 100
MOST_CHARACTERS: Final = 3_000_000
"""Of the history in a file."""
MOST_TEXT: Final = 20_000_000
BOUNDS: Final = Bounds(lines=2_000_000, steps=2_000_000)
VERIFIED: Final = 5_000
"""Micro-steps up to which a script is tried out before it is handed over."""


class SaveError(ValueError):
    """A session that cannot be saved."""


def as_text(session: Session, watched: Sequence[str] = (), *, verify: bool = True) -> tuple[str, str]:
    """The content of a file, and a word of warning where the script alone does not come to the present state.

    `watched`: the expressions that the file remembers.

    Raises SaveError where the session did not begin on an empty machine.
    """
    timeline, here = session.timeline, session.node
    if not can_be_recorded(timeline):
        raise SaveError(tr("This machine did not begin empty: no script can say how it came to be."))
    script = script_of(timeline, here)
    head = [f"{WATCHED}{text}" for text in watched]
    if script.stopped:
        head.append(f"# It ends in the middle of a command; `finish {script.stopped}` carries it out.")
    lines = "\n".join([*head, *script.lines])
    whole = pack(Opened(record(timeline), crc32(_essence(lines))))
    history = ["# The whole history, for `ptescope sandbox`. It may be deleted.", *_marked(whole)]
    wrong = verify and here.depth <= VERIFIED and not reproduces(script, here)
    word = tr("The script alone does not come to this state; `ptescope sandbox` does, by the history below it.")
    return "\n".join([lines, "", *history, ""]), word if wrong else ""


def _marked(text: str) -> Iterator[str]:
    return (f"{MARK}{part}" for part in wrap(text, WIDTH, break_on_hyphens=False))


def _essence(text: str) -> bytes:
    """The commands of a script without comments and blank lines."""
    return "\n".join(
        line.strip() for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")
    ).encode()


def load(session: Session, text: str) -> str:
    """Grow what a file holds in a session, from its root, and go to its end. Returns a word of warning, if any.

    The script is read only where there is no history: no script can say which of two tasks has the name both asked for.

    Raises ScriptError, with lines and columns, where the script is malformed.
    """
    before = session.node
    word = ""
    if can_be_recorded(session.timeline):
        moves, word = _history(text)
        try:
            if moves:
                replay(session, moves, BOUNDS)
                return ""
        except RecordError as error:
            session.goto(before.number)
            word = _left_out(error)
    perform_all(session, _script(text))
    return word


def check(text: str) -> None:
    """Raise ScriptError where an empty session could not load it."""
    if not _history(text)[0]:
        _script(text)


def _script(text: str) -> tuple[Command, ...]:
    commands = parse(text)
    check_simulated(commands)
    return tuple(commands)


def _history(text: str) -> tuple[str, str]:
    """The moves that a file remembers, if its script is as it was; and what is to be said if it is not."""
    marked = [line.removeprefix(MARK) for line in text.splitlines() if line.startswith(MARK)]
    if not marked:
        return "", ""
    try:
        opened = unpack("".join(marked), MOST_CHARACTERS, MOST_TEXT)
    except CodeError as error:
        return "", _left_out(error)
    if opened.fingerprint != crc32(_essence(text)):
        return "", tr("The script has been edited since it was saved, so only its own way is loaded.")
    return opened.moves, ""


def _left_out(error: Exception) -> str:
    return tr("The history in the file is left out: {why}").format(why=error)


def perform_all(session: Session, commands: Sequence[Command]) -> None:
    """Carry a script out from the root of a session's history: a branch, where something else has been done there."""
    session.goto(0)
    for command in commands:
        session.perform(command)


def watched_in(text: str) -> list[str]:
    """The watched expressions of a file."""
    return [line.removeprefix(WATCHED) for line in text.splitlines() if line.startswith(WATCHED)]


def _is_session(path: Path) -> bool:
    """Whether a file has a history in it; nothing else is ever replaced."""
    if not path.is_file():
        return False
    with path.open(encoding="utf-8", errors="replace") as file:
        return MARK in file.read(MOST_TEXT)


def save(session: Session, path: Path, watched: Sequence[str] = ()) -> str:
    """Write a session to a file, atomically. Returns a word of warning, if any. Raises SaveError and OSError."""
    if path.exists() and not _is_session(path):
        raise SaveError(tr("{file} exists and is no saved session: choose another name.").format(file=path))
    text, word = as_text(session, watched)
    replace_file(path, text.encode())
    return word
