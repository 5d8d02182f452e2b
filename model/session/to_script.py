"""A way through the history as a script: whoever runs it comes to the same state, interleavings included.

A command that was carried out alone stands as it was typed. One beside which others moved becomes `begin`, `step` …,
with as many micro-steps each as were made. What was undone, or given up, changes nothing and is left out or stands as
the plain command that it was: it is undone again.

A script is read before it runs, so there a name that some command has asked for is taken, whether the kernel granted
it or not; at the prompt it is free again. The earlier one, which does not exist, then gets another name.
"""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

import msgspec

from model.engine.mends import AS_IT_WAS, set_lines
from model.memory.state import State
from model.script.command import Command
from model.script.execute import MAIN
from model.script.operands import NewLabel, NewName
from model.script.parser import parse, parse_line
from model.script.renaming import Renaming, renamed
from model.script.scope import Known, Scope
from model.script.verbs import verb_of
from model.session.move_log import move_to
from model.session.session import Session
from model.session.timeline import Node, Timeline
from model.text.problems import ScriptError

WAITS: Final = re.compile(r'"blocked":"[^"]*"')
READERS: Final = re.compile(r'(?<="readers":\[)[^]]*')
MOST_RENAMED: Final = 200
"""Names that are changed at most to make a script well-formed."""


class Script(NamedTuple):
    """A way as lines of the script language."""

    lines: tuple[str, ...]
    stopped: str = ""
    """Not empty: a plain command is under way at its end; there it is a task of this name."""


class _Piece(NamedTuple):
    """Moves in a row of one task, or a line as it stands."""

    task: str
    steps: int = 0
    line: str = ""


class _Segment:
    """A command, and what happened until it was over."""

    def __init__(self, node: Node) -> None:
        self.text = node.command
        self.task = node.running.task if node.running else ""
        self.pieces: list[_Piece] = []
        self.over = node.running is None
        self.undone = False

    def step(self, task: str, *, waits: bool) -> None:
        """One micro-step; after one that had to wait `step T N` would not go on."""
        last = self.pieces[-1] if self.pieces else None
        if last is not None and last.task == task and last.steps > 0:
            self.pieces[-1] = last._replace(steps=last.steps + 1)
        else:
            self.pieces.append(_Piece(task, 1))
        if waits:
            self.pieces.append(_Piece(""))

    @property
    def alone(self) -> bool:
        """Whether nobody else moved while the command was under way."""
        return all(piece.task in {self.task, ""} and not piece.line for piece in self.pieces)


def script_of(timeline: Timeline, node: Node) -> Script:
    """The way from the root to `node` as a script."""
    path = timeline.path_to(node)
    segments = _segments(timeline, path)
    used = {word for one in path for word in one.command.split()}
    lines: list[str] = []
    stopped = ""
    for number, segment in enumerate(segments):
        last = number == len(segments) - 1
        if segment.undone or (segment.over and segment.alone):
            lines.append(segment.text)
        elif segment.over or last:
            name = segment.task
            if name == MAIN:
                name = next(task for count in range(1, len(used) + 2) if (task := f"t{count}") not in used)
                used.add(name)
                lines.append(f"begin {name} {segment.text}")
            lines += _steps(segment, name)
            stopped = name if segment.task == MAIN and not segment.over else ""
    return Script(well_formed(lines), stopped)


def _segments(timeline: Timeline, path: Sequence[Node]) -> list[_Segment]:
    """The commands of a way, each with what happened until it was over."""
    segments: list[_Segment] = []
    for node in path[1:]:
        move = move_to(timeline, node)
        if move.kind == ">":
            segments.append(_Segment(node))
            continue
        if not segments or segments[-1].over:
            idle = _Segment(node)
            idle.text, idle.over = f"step {move.what}", True
            segments.append(idle)
            continue
        segment = segments[-1]
        before = timeline.nodes[node.parent].running
        assert before is not None
        segment.over = node.running is None
        match move.kind:
            case "!":
                segment.undone = True
            case "^":
                segment.pieces.append(_Piece("", 0, move.what))
            case "&" if not segment.over:
                assert node.running is not None
                segment.pieces.append(_Piece(before.task, before.most - node.running.most))
            case _:
                waits = node.stepped is not None and bool(node.stepped.blocked)
                if not waits or node.state != timeline.nodes[node.parent].state:
                    segment.step(move.what or before.task, waits=waits)
    return segments


def _steps(segment: _Segment, name: str) -> list[str]:
    """The micro-steps of a command and of whoever moved beside it."""
    lines = []
    for piece in segment.pieces:
        if piece.line:
            lines.append(piece.line)
        elif piece.task:
            task = name if piece.task == segment.task else piece.task
            lines.append(f"step {task}{f' {piece.steps}' if piece.steps > 1 else ''}")
    return lines


def with_setting(lines: Sequence[str], key: str, value: str) -> tuple[str, ...]:
    """A script on another machine: with this setting instead of the one it may have had."""
    kept = [line for line in lines if line.split()[:2] != ["set", key]]
    return (*(set_lines(value) if key == AS_IT_WAS else (f"set {key} {value}",)), *kept)


def reproduces(script: Script, node: Node) -> bool:
    """Whether the script really leads to the state of `node`; a task that goes by another name is no difference."""
    session = Session()
    try:
        for command in parse("\n".join(script.lines)):
            session.perform(command)
    except ScriptError:
        return False
    # The name of plain commands may also stand where an earlier one has died with a lock, in either machine.
    return session.state == node.state or _entries(session.state, script.stopped) == _entries(
        node.state, script.stopped
    )


def _entries(state: State, instead: str = "") -> list[str]:
    """Every entry of a State as text, with another name for the task that plain commands run as.

    Whom a task waits for it says in words, of which only that there are some counts; readers have no order.
    """
    tables = msgspec.json.decode(state.to_json(), type=dict[str, list[msgspec.Raw]])
    texts = [f"{name} {bytes(each).decode()}" for name, rows in tables.items() for each in rows]
    if instead:
        texts = [re.sub(rf"\b{MAIN}\b", instead, text) for text in texts]
    return sorted(READERS.sub(_in_order, WAITS.sub('"blocked":""', text)) for text in texts)


def _in_order(readers: re.Match[str]) -> str:
    return ",".join(sorted(readers[0].split(",")))


# -- names that are taken ----------------------------------------------------------------------


def well_formed(lines: Sequence[str]) -> tuple[str, ...]:
    """The lines with other names where one is asked for again that no command before it was granted."""
    script = list(lines)
    for _ in range(MOST_RENAMED):
        clash = _first_clash(script)
        if clash is None:
            break
        first, end, renamings = clash
        for renaming in renamings:
            script[first:end] = [renamed(line, renaming) for line in script[first:end]]
    return tuple(script)


def _first_clash(lines: Sequence[str]) -> tuple[int, int, list[Renaming]] | None:
    """Where a name is asked for first that is asked for again, where the second time is, and what to call the first."""
    scope = Scope()
    for number, line in enumerate(lines, 1):
        if line.split(maxsplit=1)[:1] == ["may"]:
            continue
        loose = scope.copy()
        loose.searching = True
        try:
            command = parse_line(line, loose, number)
        except ScriptError:
            return None
        for kind, name, known in _asked_for(command, scope) if command is not None else ():
            if known is not None and not known.free and known.line:
                words = {word for each in lines for word in each.replace("=", " ").replace("+", " ").split()}
                fresh = next(new for count in range(1, len(words) + 2) if (new := f"{name}_{count}") not in words)
                first, end = known.line - 1, number - 1
                kinds = _heirs(lines[first:end]) if kind.startswith("label") else [kind]
                return first, end, [Renaming(each, name, fresh) for each in kinds]
        loose.searching = False
        scope = loose
    return None


def _heirs(lines: Sequence[str]) -> list[str]:
    """Whose label it is that the first of the lines asks for: that process's, and its children's."""
    words = lines[0].split()
    processes = [words[words.index("mmap") + 1]]
    for line in lines[1:]:
        words = line.split()
        if "fork" in words[:-2] and words[words.index("fork") + 1] in processes:
            processes.append(words[words.index("fork") + 2])
    return [f"label of {process}" for process in processes]


def _asked_for(command: Command, scope: Scope) -> list[tuple[str, str, Known | None]]:
    """The names that a command asks for: kind, name, and what a script knows of it until then."""
    inner = command.operands.get("COMMAND")
    found = _asked_for(inner, scope) if isinstance(inner, Command) else []
    form = verb_of(command.verb).form
    operands = [*form.operands, *(option.value for option in form.options)]
    keys = [*(operand.name for operand in form.operands), *(option.key for option in form.options)]
    for key, operand in zip(keys, operands, strict=True):
        name = str(command.get(key, ""))
        if isinstance(operand, NewName) and name:
            found.append((operand.kind, name, scope.names[operand.kind].get(name)))
        elif isinstance(operand, NewLabel) and name:
            process = str(command.operands.get("P", ""))
            found.append((f"label of {process}", name, scope.labels.get(process, {}).get(name)))
    return found
