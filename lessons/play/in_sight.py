"""Which micro-steps show: those after which the machine on the screen is another, or that say something."""

from typing import Final

from model.session.timeline import Node

OUT_OF_SIGHT: Final = frozenset({"locks", "counters", "tasks", "anon_vmas"})
"""Tables in which a change alone is no event for a reader: who has which lock, whose turn it is, how much is left."""


def is_in_sight(node: Node) -> bool:
    """Whether the step that led to a node is worth a key press of its own.

    Walking down a level, unlocking and returning are not. A step that changes what is mapped, held, cached or stored
    is, and so is one that breaks a rule, has to wait, or ends its command; so is the place where a command begins.
    """
    stepped = node.stepped
    if stepped is None or node.outcome is not None or node.new or stepped.blocked or stepped.events:
        return True
    return any(change.table not in OUT_OF_SIGHT for change in node.changes)
