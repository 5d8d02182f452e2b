"""A trace as a Mermaid sequence diagram: tasks, what they touch, and one message for each telling step."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from model.memory.state import Change
from model.session.timeline import Node
from tui.views.change_text import HIDDEN, change_line

TOUCHED: Final = {
    "ptes": "page tables",
    "tables": "page tables",
    "vmas": "address space",
    "frames": "memory",
    "content": "memory",
    "tlbs": "TLBs",
    "references": "references",
    "page_cache": "page cache",
    "buffers": "buffers",
    "locks": "locks",
}
"""Table → who is told of its changes; all others are not drawn."""
OWN: Final = re.compile(r"\bend\b", re.IGNORECASE)
"""The word that ends a block of a diagram wherever it stands: as an entity it is only read."""
MOST_WORDS: Final = 3
"""Changes that one message names."""


def diagram(nodes: Sequence[Node]) -> str:
    """The way along these nodes. Steps that change nothing that is drawn are left out."""
    tasks = dict.fromkeys(_actor(node) for node in nodes if node.stepped is not None)
    touched = dict.fromkeys(TOUCHED[change.table] for node in nodes for change in node.changes if _drawn(change))
    ids = {("task", task): f"t{number}" for number, task in enumerate(tasks)}
    ids |= {("thing", thing): f"m{number}" for number, thing in enumerate(touched)}
    lines = ["sequenceDiagram"]
    lines += [f"    participant {name} as {_text(told)}" for (_, told), name in ids.items()]
    messages = [line for node in nodes for line in _messages(node, ids)]
    return "\n".join((*lines, *messages)) + "\n"


def _actor(node: Node) -> str:
    """Who makes a step: its task, by its process where it has none of its own."""
    assert node.stepped is not None
    record = node.state.tasks.get(node.stepped.task)
    return node.stepped.task if node.stepped.task != "main" or record is None or not record.process else record.process


def _drawn(change: Change) -> bool:
    return change.table in TOUCHED and change.table not in HIDDEN


def _messages(node: Node, ids: Mapping[tuple[str, str], str]) -> Iterator[str]:
    """What one node shows: the command that begins with it, what its step did to whom, and what that broke."""
    if node.stepped is None:
        if node.command:
            yield f"    %% {_text(node.command)}"
        return
    actor = ids["task", _actor(node)]
    by_thing: dict[str, list[str]] = {}
    for change in filter(_drawn, node.changes):
        by_thing.setdefault(TOUCHED[change.table], []).append(_change_in_words(node, change))
    step = f"{node.stepped.procedure}.{node.stepped.step}"
    for thing, changes in by_thing.items():
        more = f" and {len(changes) - MOST_WORDS} more" if len(changes) > MOST_WORDS else ""
        yield f"    {actor}->>{ids['thing', thing]}: {_text(step)}: {_text(', '.join(changes[:MOST_WORDS]) + more)}"
    if node.stepped.blocked:
        yield f"    Note over {actor}: waits for {_text(node.stepped.blocked)}"
    for violation in node.new:
        yield f"    Note over {actor}: {_text(violation.severity.upper())} {_text(violation.invariant)}"


def _change_in_words(node: Node, change: Change) -> str:
    """One change; what is gone must not read like what has come."""
    sign, subject, words = change_line(node.state, change, "to")
    return {"+": f"new {subject} {words}", "-": f"{subject} gone, was {words}"}.get(sign, f"{subject} {words}").strip()


def _text(text: str) -> str:
    """Text that ends no statement, starts no entity and is no word of the diagram's own language.

    >>> _text("x;y: z #3"), "end" in _text("task end")
    ('x, y z no. 3', False)
    """
    plain = " ".join(text.split()).replace(";", ", ").replace("#", "no. ").replace(":", " ").replace("%%", "% %")
    return OWN.sub(lambda word: f"#{ord(word[0][0])};{word[0][1:]}", " ".join(plain.split()))
