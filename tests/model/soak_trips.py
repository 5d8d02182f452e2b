"""Round trips of the soak: whatever a session with tasks in flight is carried through, the same machine comes back.

A trip follows from its number: the script of that episode, left in the middle of a last command. It is run, performed
in a session, stepped through, undone and redone, saved and loaded, sent as a state code, kept and restored. The machine
must be the same to the last bit each time, and so must every answer. The scenes play back what a search prints.
"""

import contextlib
from pathlib import Path
from typing import Final

from model.memory.state import State
from model.script.command import Command
from model.script.context import Outcome
from model.script.execute import MAIN
from model.script.parser import parse
from model.script.runner import Runner
from model.session.session import Session
from model.session.state_code import CodeError, encode
from model.session.timeline import Node
from model.session.to_script import reproduces, script_of
from model.text.problems import ScriptError
from tests.model.soak_episodes import Episode, Find, place_of
from tests.model.test_move_log import asked_for, in_flight
from tests.model.test_random_scripts import possible
from tui.drivers.sandbox import SandboxDriver
from tui.drivers.session_commands import carry_out
from tui.session.autosave import Autosave

LINES: Final = 16
"""Commands of a trip after its beginning; the last one is left in the middle."""
MOST_UNDONE: Final = 60
"""Times that `undo` is said."""
AGAIN: Final = 4
"""Commands that are carried out once more."""


class DifferentError(AssertionError):
    """Two machines, or two answers, that should be the same."""


def trip(number: int, folder: Path) -> Find | None:
    """Carry the session of a number through every round trip; what went wrong, if anything did."""
    lines: list[str] = []
    try:
        session, sayable = _run_and_stepped(number, lines)
        driver = SandboxDriver(session=session)
        _undone_and_redone(driver)
        if sayable:
            _as_script(driver)
        _as_code(driver)
        _saved(driver, folder / f"{number}.pte")
        _kept(driver, folder / f"{number}")
    except Exception as error:  # noqa: BLE001 - any error at all is a find
        what = str(error) if isinstance(error, DifferentError) else f"{type(error).__name__} in {place_of(error)}"
        return Find(tuple(lines), what)
    return None


def same(one: State, other: State, how: str) -> None:
    """Raise DifferentError unless the machines are the same to the last bit."""
    if one != other or one.to_json() != other.to_json():
        raise DifferentError(f"another machine after {how}")


def _run_and_stepped(number: int, lines: list[str]) -> tuple[Session, bool]:
    """Draw a script while it runs; a session that performs it and one that steps through it come to the same.

    Returns the session, in the middle of a last command where that has micro-steps enough; and whether no two commands
    in flight have asked for one name, which no script can say.
    """
    episode = Episode(number)
    runner, whole, stepped = Runner(), Session(), Session()
    drawn, sayable = iter(episode.lines(runner)), True
    for _ in range(len(episode.prelude) + LINES):
        lines.append(next(drawn))
        command = _understood(whole, lines[-1])
        if command is None:
            continue
        sayable = sayable and not _asks_for_a_name_in_flight(command, whole)
        account, node = runner.perform(command), whole.perform(command)
        answer = _step_by_step(stepped, command)
        if not account.outcome == node.outcome == answer:
            raise DifferentError("another answer step by step")
        same(account.state, node.state, "performing it in a session")
        same(account.state, stepped.state, "stepping through")
    lines.append(next(drawn))
    last = _understood(whole, lines[-1])
    if last is not None:
        sayable = sayable and not _asks_for_a_name_in_flight(last, whole)
        with contextlib.suppress(ScriptError):
            whole.begin_command(last)
            for _ in range(episode.chance.number(1, 20)):
                whole.step_into()
    return whole, sayable


def _asks_for_a_name_in_flight(command: Command, session: Session) -> bool:
    return not asked_for(command).isdisjoint(name for each in in_flight(session) for name in asked_for(each))


def _understood(session: Session, line: str) -> Command | None:
    try:
        command = session.understand(line)
    except ScriptError:
        return None
    return command if command is not None and possible(command) else None


def _step_by_step(session: Session, command: Command) -> Outcome | None:
    """One micro-step after the other; where it has to wait it is given up."""
    session.begin_command(command)
    while session.running is not None:
        node = session.step_into()
        if node.running is not None and node.stepped is not None and node.stepped.blocked:
            if node.running.task == MAIN:
                session.undo()
            break
    return session.outcome


def _undone_and_redone(driver: SandboxDriver) -> None:
    """`undo` and `redo`, again and again; and the same commands once more from where they began."""
    session = driver.session
    here, passed = session.node, list[Node]()
    while len(passed) < MOST_UNDONE and session.node.parent >= 0:
        passed.append(session.node)
        carry_out(driver, "undo")
    for node in reversed(passed):
        carry_out(driver, "redo")
        same(node.state, session.state, "undo and redo")
    way = [node for node in session.timeline.path_to(here) if node.running is None]
    twin = Session(timeline=session.timeline.copy())
    twin.goto(way[-min(len(way), AGAIN)].number)
    for node in way[len(way) - min(len(way), AGAIN) + 1 :]:
        command = twin.understand(node.command)
        assert command is not None
        twin.perform(command)
    same(way[-1].state, twin.state, "doing it again")
    session.goto(here.number)


def _as_script(driver: SandboxDriver) -> None:
    """As a script alone it comes to the same machine as well."""
    session = driver.session
    script = script_of(session.timeline, session.node)
    parse("\n".join(script.lines))
    if not reproduces(script, session.node):
        raise DifferentError("another machine after the script of the session")


def _as_code(driver: SandboxDriver) -> None:
    session, twin = driver.session, SandboxDriver()
    try:
        code = encode(session.timeline, session.node)
    except CodeError:
        return  # it is too long to be one
    if word := carry_out(twin, f"code {code}"):
        raise DifferentError(f"`{word}` of a state code")
    _as_far(session, twin.session, "a state code")


def _as_far(session: Session, twin: Session, how: str) -> None:
    """The same machine; and the command that was under way is, and goes on as it would have."""
    same(session.state, twin.state, how)
    if (session.running is None) != (twin.running is None):
        raise DifferentError(f"another command is under way after {how}")
    one, other = (Session(timeline=each.timeline.copy()) for each in (session, twin))
    same(one.finish().state, other.finish().state, f"{how} and going on")


def _saved(driver: SandboxDriver, path: Path) -> None:
    """`save` and `load`."""
    carry_out(driver, f"save {path}")
    twin = SandboxDriver()
    if word := carry_out(twin, f"load {path}"):
        raise DifferentError(f"`{word}` after loading")
    _equal(driver.session, twin.session, "saving and loading")


def _kept(driver: SandboxDriver, folder: Path) -> None:
    """Kept by itself, and brought back by `restore`."""
    keeper = SandboxDriver(session=driver.session, autosave=Autosave(folder))
    if word := keeper.keep():
        raise DifferentError(f"`{word}` when it is kept")
    twin = SandboxDriver(autosave=Autosave(folder))
    carry_out(twin, "restore")
    _equal(driver.session, twin.session, "autosave and restoring")


def _equal(session: Session, twin: Session, how: str) -> None:
    """The same history, and the same place in it."""
    _as_far(session, twin, how)
    if [node.state for node in session.timeline.nodes] != [node.state for node in twin.timeline.nodes]:
        raise DifferentError(f"another history after {how}")
