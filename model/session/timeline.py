"""The history: a tree of every state that was ever reached, in which one can go anywhere.

Going back and doing something else grows a branch; nothing is lost. A node shares with its parent all that did not
change, so keeping it costs what its step changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import msgspec
from msgspec.structs import replace

from model.engine.procedure import Stepped
from model.invariants.checker import Checker
from model.invariants.violation import SEVERITIES, Violation
from model.memory.state import Change, State
from model.script.context import Context, Outcome
from model.script.drive import Moved, differing
from model.script.execute import Ended, Running


class Node(msgspec.Struct, frozen=True):
    """One place in the history."""

    context: Context
    """Where the next command would start from; while one is under way, where that one started."""
    checker: Checker
    """Which invariants are broken here; the machine itself is in it."""
    number: int = 0
    parent: int = -1
    """-1 for the root."""
    depth: int = 0
    """Steps from the root."""
    running: Running | None = None
    """The plain command that is being carried out here, if it has not ended."""
    command: str = ""
    """The command whose step led here, as written."""
    stepped: Stepped | None = None
    """The micro-step that led here; None for the root and for commands that have none."""
    changes: tuple[Change, ...] = ()
    """What differs from the parent's State, tasks apart."""
    outcome: Outcome | None = None
    """How the command ended, if it ended with this step."""
    new: tuple[Violation, ...] = ()
    """What this step broke."""
    scars: tuple[int, ...] = ()
    """Nodes on the way here (this one included) whose step did harm that leaves no trace in the State itself."""

    @property
    def state(self) -> State:
        """The machine here."""
        return self.checker.scene.state

    @classmethod
    def of(cls, moved: Moved, command: str, before: Context, outcome: Outcome | None = None) -> Node:
        """The node that a move leads to, for the timeline to grow. `before`: where the command under way started."""
        running, context = (None, moved.now.context) if isinstance(moved.now, Ended) else (moved.now, before)
        return cls(
            context=context,
            checker=moved.checker,
            running=running,
            command=command,
            stepped=moved.stepped,
            changes=moved.changes,
            outcome=moved.outcome or outcome,
            new=moved.violations,
        )


class Timeline:
    """The tree, and where in it we are. The only thing here that changes."""

    def __init__(self, context: Context, checker: Checker | None = None) -> None:
        root = Node(context, checker or Checker.full(context.state))
        self.nodes: list[Node] = [root]
        self.children: dict[int, list[int]] = {}
        self.bookmarks: dict[int, str] = {}
        """Node → the name that somebody gave it."""
        self.here = root
        self._next_from: dict[int, int] = {}
        """Node → the child through which it was last left."""
        self._equals: dict[int, list[int]] = {}
        """Fingerprint of a State → the nodes that have it, in the order in which they were reached …"""
        self._looked_at = 0
        """… as far as the nodes up to this number."""
        self._severities: dict[int, str] = {}

    # -- growing -------------------------------------------------------------------------------

    def grow(self, node: Node) -> Node:
        """Add a step after this node: a new child, or the equal one that exists already.

        `number`, `parent`, `depth` and `scars` of `node` are filled in here.
        """
        for number in self.children.get(self.here.number, ()):
            if _same_step(self.nodes[number], node):
                return self._enter(self.nodes[number])
        number = len(self.nodes)
        hurt = any(not node.checker.stands(violation) for violation in node.new)
        scars = (*self.here.scars, number) if hurt else self.here.scars
        grown = replace(node, number=number, parent=self.here.number, depth=self.here.depth + 1, scars=scars)
        self.nodes.append(grown)
        self.children.setdefault(self.here.number, []).append(number)
        return self._enter(grown)

    def _enter(self, child: Node) -> Node:
        """Go from a node to one of its children."""
        self._next_from[child.parent] = child.number
        self.here = child
        return child

    # -- walking -------------------------------------------------------------------------------

    def goto(self, number: int) -> Node:
        """Be at a node. Forward leads there again from everywhere on its path. IndexError if there is no such node."""
        if not 0 <= number < len(self.nodes):
            raise IndexError(f"the history has no node {number}: 0 to {len(self.nodes) - 1}")
        here, node = self.here.number, self.nodes[number]
        while node.parent >= 0 and node.number != here:  # the path to where we are leads there already
            self._next_from[node.parent] = node.number
            node = self.nodes[node.parent]
        self.here = self.nodes[number]
        return self.here

    def back(self, until: Callable[[Node], bool] = lambda _: True) -> Node:
        """One step back, and on until a node satisfies `until`; stays at the root."""
        while self.here.parent >= 0:
            self.here = self.nodes[self.here.parent]
            if until(self.here):
                break
        return self.here

    def forward(self, until: Callable[[Node], bool] = lambda _: True) -> Node:
        """One step on, the way that was walked last, and on until a node satisfies `until`; stays at the end."""
        while (number := self.next_from(self.here.number)) is not None:
            self.here = self.nodes[number]
            if until(self.here):
                break
        return self.here

    def next_from(self, number: int) -> int | None:
        """Where forward leads from a node: the child last walked, or the only one; None at an end."""
        if number in self._next_from:
            return self._next_from[number]
        return next(iter(self.children.get(number, ())), None)

    def branch(self, by: int) -> Node:
        """Turn to another of the ways that lead on from here, `by` ways further; does not move."""
        ways = self.children.get(self.here.number, [])
        if ways:
            self._next_from[self.here.number] = ways[
                (ways.index(self.next_from(self.here.number) or ways[0]) + by) % len(ways)
            ]
        return self.here

    def copy(self) -> Timeline:
        """Another tree with the same nodes, which grows on its own from now on; nothing is carried out anew."""
        twin = Timeline(self.nodes[0].context, self.nodes[0].checker)
        twin.nodes, twin.here = list(self.nodes), self.here
        twin.children = {number: list(ways) for number, ways in self.children.items()}
        twin.bookmarks = dict(self.bookmarks)
        twin._next_from = dict(self._next_from)
        return twin

    def bookmark(self, name: str) -> None:
        """Give the present node a name; an empty one takes it away."""
        if name:
            self.bookmarks[self.here.number] = name
        else:
            self.bookmarks.pop(self.here.number, None)

    # -- ways ----------------------------------------------------------------------------------

    def path_to(self, node: Node) -> list[Node]:
        """Every node from the root to `node`."""
        path = [node]
        while path[-1].parent >= 0:
            path.append(self.nodes[path[-1].parent])
        return path[::-1]

    def began(self, node: Node) -> Node:
        """Where the command began whose step led to a node; the root stays itself."""
        if node.parent >= 0:
            node = self.nodes[node.parent]
        while node.running is not None and node.parent >= 0:
            node = self.nodes[node.parent]
        return node

    def way(self) -> list[Node]:
        """The way that leads through here: the path from the root, and what lies ahead."""
        way = self.path_to(self.here)
        while (number := self.next_from(way[-1].number)) is not None:
            way.append(self.nodes[number])
        return way

    def common_ancestor(self, one: Node, other: Node) -> Node:
        """The last node that the ways to both share."""
        while one.number != other.number:
            if one.depth >= other.depth:
                one = self.nodes[one.parent]
            else:
                other = self.nodes[other.parent]
        return one

    def difference(self, one: Node, other: Node) -> tuple[Change, ...]:
        """What turns the State of `one` into that of `other`, by table and key; costs what lies between them."""
        fork = self.common_ancestor(one, other)
        touched: dict[tuple[str, Any], None] = {}
        for end in (one, other):
            node = end
            while node.number != fork.number:
                touched.update(dict.fromkeys((change.table, change.key) for change in node.changes))
                node = self.nodes[node.parent]
        return tuple(differing(one.state, other.state, touched))

    def same_as(self, node: Node) -> list[Node]:
        """The other nodes with an equal State, in the order in which they were reached.

        Few ever ask, and a fingerprint costs as much as a step: it is made for all nodes when somebody does.
        """
        for other in self.nodes[self._looked_at :]:
            self._equals.setdefault(other.state.fingerprint, []).append(other.number)
        self._looked_at = len(self.nodes)
        equal = self._equals.get(node.state.fingerprint, ())
        return [self.nodes[number] for number in equal if number != node.number]

    # -- what is wrong -------------------------------------------------------------------------

    def since(self, violation: Violation, node: Node | None = None) -> Node:
        """Since when a violation has held, seen from `node` (default: here): the node whose step broke the rule."""
        node = node or self.here
        if not node.checker.stands(violation):
            return self._when(violation, node)
        while node.parent >= 0 and self.nodes[node.parent].checker.stands(violation):
            node = self.nodes[node.parent]
        return node

    def _when(self, violation: Violation, node: Node) -> Node:
        """The last time on the way to `node` that a step did just this."""
        for number in reversed(node.scars):
            if any(other.identity == violation.identity for other in self.nodes[number].new):
                return self.nodes[number]
        raise LookupError(f"{violation.invariant} of {violation.subjects[0]} did not happen on the way to this node")

    def suffered(self, node: Node | None = None) -> Iterator[tuple[Node, Violation]]:
        """The harm done on the way to `node` (default: here) that its State does not show: accesses, splats."""
        for number in (node or self.here).scars:
            scar = self.nodes[number]
            for violation in scar.new:
                if not scar.checker.stands(violation):
                    yield scar, violation

    def severity(self, node: Node) -> str:
        """The worst that is wrong at a node: what its step did, and what stands; empty if all is well."""
        known = self._severities.get(node.number)
        if known is None:
            found = [violation.severity for violation in (*node.checker.violations, *node.new)]
            known = max(found, key=SEVERITIES.index, default="")
            self._severities[node.number] = known
        return known


def _same_step(old: Node, new: Node) -> bool:
    """Whether doing `new` is what led to `old` before."""
    return (
        old.command == new.command
        and _name(old.stepped) == _name(new.stepped)
        and old.outcome == new.outcome
        and (old.running is None) == (new.running is None)
        and old.state == new.state
    )


def _name(stepped: Stepped | None) -> tuple[str, str, str] | None:
    return (stepped.task, stepped.procedure, stepped.step) if stepped else None
