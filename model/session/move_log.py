"""A history as text: the moves that grew it, so that the same moves grow it again, node by node.

One move a line. Nothing in it is code, and how far it may go can be bounded: a record may come from anybody.

    >write p0 buf 65   begin a command
    7                  seven micro-steps of it
    T 2                two micro-steps of task T, beside it
    ^begin U fork p0 c a task is begun beside it
    !                  it would have to wait: undo it
    &                  all that is left of it, as one node
    @12                go back to node 12, to grow a branch there
    *name              give the present node a name
"""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple, cast

from model.kernel.arch.boot import boot
from model.script.command import Command
from model.script.execute import MAIN, MOST_STEPS, proceed
from model.script.parser import parse_line
from model.script.scope import Scope
from model.session import session as sessions
from model.session.session import Session
from model.session.timeline import Node, Timeline
from model.text.problems import ScriptError

LONGEST_NAME: Final = 60
"""Characters of a bookmark's name."""

UNLIMITED: Final = 1 << 62


class RecordError(ValueError):
    """A record that cannot be followed, and where."""


class Move(NamedTuple):
    """What led from a node to its child."""

    kind: str
    """`>` begin, `^` begin beside, `into`, `beside`, `!` undo, `&` leap."""
    what: str = ""
    """The command, or the task that was stepped beside it."""


def can_be_recorded(timeline: Timeline) -> bool:
    """Whether the history begins on a machine that has just been booted: nothing else can be grown again."""
    return timeline.nodes[0].state == boot()


def move_to(timeline: Timeline, node: Node) -> Move:
    """The move that led to a node."""
    before = timeline.nodes[node.parent]
    running, stepped = before.running, node.stepped
    if stepped is None:
        beside = running is not None and node.running is not None and running.command == node.running.command
        return Move("^" if beside and node.outcome is not None else ">", node.command)
    if running is None or stepped.task != running.task:
        return Move("beside", stepped.task)
    if node.running is None and node.outcome is not None and node.outcome.status == "blocked" and running.task == MAIN:
        return Move("!")
    return Move("&" if _is_leap(timeline, node) else "into")


def _is_leap(timeline: Timeline, node: Node) -> bool:
    """Whether a node stands for the rest of a command: only far behind its beginning can it be one."""
    running = timeline.nodes[node.parent].running
    if running is None:
        return False
    allowed = cast("int", running.command.get("N", 1)) if running.command.verb == "step" else MOST_STEPS
    made = allowed - running.most
    return made >= sessions.MOST_KEPT and proceed(running)[0].state != node.state


def record(timeline: Timeline) -> str:
    """The whole tree; it ends where we are."""
    return "\n".join(_lines(timeline, timeline.nodes, timeline.here.number))


def record_way(timeline: Timeline, node: Node) -> str:
    """Only the way to a node."""
    return "\n".join(_lines(timeline, timeline.path_to(node), node.number))


def _lines(timeline: Timeline, nodes: Sequence[Node], end: int) -> Iterator[str]:
    """The moves that made these nodes, in their order, those of a kind in a row together."""
    numbers = {node.number: number for number, node in enumerate(nodes)}
    last, repeated = Move(""), 0
    at = nodes[0].number
    for node in nodes:
        move = move_to(timeline, node) if node.parent >= 0 else Move("")
        away = node.parent >= 0 and node.parent != at
        if repeated and (move != last or away):
            yield _counted(last, repeated)
            repeated = 0
        if away:
            yield f"@{numbers[node.parent]}"
        at, last = node.number, move
        if move.kind in {"into", "beside"}:
            repeated += 1
        elif move.kind:
            yield move.kind + move.what
        if name := timeline.bookmarks.get(node.number, ""):
            if repeated:
                yield _counted(last, repeated)
            repeated = 0
            yield f"*{name}"
    if repeated:
        yield _counted(last, repeated)
    if at != end:
        yield f"@{numbers[end]}"


def _counted(move: Move, times: int) -> str:
    return f"{move.what} {times}".strip()


class Bounds(NamedTuple):
    """How far a record may go."""

    lines: int = UNLIMITED
    steps: int = UNLIMITED
    """Micro-steps."""
    leaps: bool = True
    """Whether `&` is allowed, whose micro-steps nobody has counted."""


def replay(session: Session, text: str, bounds: Bounds = Bounds()) -> None:  # noqa: B008 -- it is immutable
    """Make the moves of a record, from the root of a session's history; what is there already is walked again.

    Raises RecordError where they are not possible, or go further than `bounds`; the history keeps what was made.
    """
    lines = text.split("\n")
    if len(lines) > bounds.lines:
        raise RecordError(f"it has {len(lines)} lines; at most {bounds.lines} are followed")
    replayer = _Replayer(session, bounds)
    for number, line in enumerate(lines, 1):
        try:
            replayer.make(line)
        except ScriptError as error:
            raise RecordError(f"move {number}, `{line[:60]}`: {error.problems[0].message}") from None
        except (ValueError, IndexError) as error:
            raise RecordError(f"move {number}, `{line[:60]}`: {error}") from None


class _Replayer:
    """Makes the moves of one record."""

    def __init__(self, session: Session, bounds: Bounds) -> None:
        self.session = session
        self.bounds = bounds
        self.steps = 0
        root = session.goto(0)
        self.places = [root.number]
        """Node of the record → node of the session."""
        self.scopes: dict[int, Scope] = {root.number: Scope(len(root.state.cpus))}
        """Node of the session at which a command begins → the names that a script has up to it."""

    def make(self, line: str) -> None:
        """Carry out one line of the log."""
        kind, rest = line[:1], line[1:]
        match kind:
            case "":
                return
            case ">":
                self._arrived(self._begin(rest, beside=False))
            case "^":
                self._arrived(self._begin(rest, beside=True))
            case "@":
                self.session.goto(self._place(rest))
            case "*":
                self.session.timeline.bookmark(tidy(rest))
            case "!":
                self._under_way()
                self._arrived(self.session.undo())
            case "&":
                self._under_way()
                if not self.bounds.leaps:
                    raise RecordError("so long a command is not followed")
                self._arrived(self.session.leap())
            case _:
                self._steps(line)

    def _arrived(self, node: Node) -> None:
        self.places.append(node.number)

    def _place(self, text: str) -> int:
        """The session's node for a node of the record."""
        number = _number(text)
        if number >= len(self.places):
            raise RecordError(f"there is no node {number} yet")
        return self.places[number]

    def _under_way(self) -> None:
        if self.session.running is None:
            raise RecordError("nothing is under way there")

    def _begin(self, line: str, *, beside: bool) -> Node:
        """Begin a command, read as at the prompt or, where that does not know a name, as in a script."""
        scope = self._scope().copy()
        command = self._understood(line, scope)
        if command is None:
            raise RecordError("a command is missing")
        if beside and command.verb != "begin":
            raise RecordError("only `begin` may come beside a command")
        node = self.session.begin_beside(command) if beside else self.session.commence(command)
        self.scopes[node.number] = scope
        return node

    def _understood(self, line: str, scope: Scope) -> Command | None:
        if line.split(maxsplit=1)[:1] == ["may"]:
            return Command("may", {}, {}, line)  # nothing happens; what it permits is read with the script
        try:
            command = parse_line(line, scope)
        except ScriptError:
            return parse_line(line, Scope.of(self.session.state))
        return command

    def _scope(self) -> Scope:
        """The names known to a script that has come to the present node."""
        node = self.session.node
        while node.number not in self.scopes:
            node = self.session.timeline.nodes[node.parent]
        return self.scopes[node.number]

    def _steps(self, line: str) -> None:
        """`N` micro-steps of the command under way, or `TASK N` of another task."""
        task, _, times = line.rpartition(" ")
        count = _number(times)
        self.steps += count
        if self.steps > self.bounds.steps:
            raise RecordError(f"at most {self.bounds.steps} micro-steps are followed")
        for _ in range(count):
            if task:
                self._arrived(self.session.step_task(task))
            else:
                self._under_way()
                self._arrived(self.session.step_into())


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 10):
        raise RecordError("a number is expected")
    return int(text)


def tidy(name: str) -> str:
    r"""A bookmark's name as it is kept: one line of printable characters, not too long.

    >>> tidy("  just\tbefore \x07the  move ")
    'just before the move'
    """
    text = "".join(char if char.isprintable() else " " for char in name)
    return " ".join(text.split())[:LONGEST_NAME].strip()
