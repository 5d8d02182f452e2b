"""What happened on a way through the history, command by command, as `ptescope run` tells it."""

from collections.abc import Iterator, Sequence
from itertools import chain

from model.memory.changes import net_changes
from model.memory.state import Change
from model.script.command import Command
from model.script.context import OK
from model.script.runner import Account, step_note
from model.session.timeline import Node, Timeline


def accounts(timeline: Timeline, start: Node, end: Node) -> Iterator[Account]:
    """An account of each command on the way from `start` to `end`, which lies behind it.

    The first may have begun before `start`, and the last may be under way at `end`: they are told as far as they lie
    between. `command.line` is the number of the step at which the account ends.
    """
    row: list[Node] = []
    for node in way_between(timeline, start, end):
        if row and timeline.nodes[node.parent].running is None:
            yield _account(row)
            row = []
        row.append(node)
    if row:
        yield _account(row)


def way_between(timeline: Timeline, start: Node, end: Node) -> list[Node]:
    """The nodes after `start` up to `end`, which lies behind it."""
    row, node = [], end
    while node.number != start.number:
        row.append(node)
        node = timeline.nodes[node.parent]
    return row[::-1]


def _account(row: Sequence[Node]) -> Account:
    """What the nodes of one command did."""
    last = row[-1]
    steps = [node.stepped for node in row if node.stepped is not None]
    changes: chain[Change] = chain.from_iterable(node.changes for node in row)
    command = next((node.running.command for node in row if node.running is not None), None)
    verb, _, rest = row[0].command.partition(" ")
    command = command or Command(verb, {"TEXT": rest.strip()}, {}, row[0].command)
    return Account(
        Command(command.verb, command.operands, command.options, command.text, last.depth),
        last.outcome or OK,
        tuple(map(step_note, steps)),
        tuple(net_changes(changes)),
        tuple(event for stepped in steps for event in stepped.events),
        tuple(violation for node in row for violation in node.new),
        last.state,
    )
