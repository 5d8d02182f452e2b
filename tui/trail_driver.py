"""A way that a search has found, on the stage: ready to step through, with the nearest safe schedule beside it."""

from collections.abc import Iterable

from lessons.language import tr
from model.invariants.checker import Checker
from model.script.context import Context
from model.search.outcome import Judgement
from model.session.session import Session
from tui.rows.picture import Tale
from tui.sandbox_driver import SandboxDriver


class TrailDriver(SandboxDriver):
    """A sandbox in which both ways have been walked already; one stands where they begin."""

    def __init__(self, context: Context, checker: Checker, found: Judgement) -> None:
        super().__init__(session=Session(context, checker), title=f"{found.severity} {found.invariant}")
        self.found = found
        session, start = self.session, self.session.node.number
        trail = found.trail
        assert trail is not None, "only a broken rule has a way into it"
        self.tipping = -1
        """The node of the last state from which a safe schedule exists; -1: there is none."""
        if trail.cut >= 0:
            self._walk(trail.lines[: trail.cut])
            self.tipping = session.node.number
            self._walk(trail.safe)
            session.goto(self.tipping)
            self._walk(trail.lines[trail.cut :])
        else:
            self._walk(trail.lines)
        self.last = session.node.number
        session.goto(start)
        self.came_from = session.node

    def _walk(self, lines: Iterable[str]) -> None:
        for line in lines:
            self.session.run(line)

    def _tale(self) -> Tale:
        """What was found, and where one stands on the way."""
        trail = self.found.trail
        assert trail is not None
        here = self.session.node
        steps = tr("**{invariant}**, a {severity}, in {steps} micro-steps, with {count} pre-emptions.").format(
            invariant=self.found.invariant,
            severity=tr(self.found.severity),
            steps=trail.steps,
            count=trail.preemptions,
        )
        texts = [steps]
        if self.tipping < 0:
            texts.append(tr("No schedule avoids it."))
        elif here.number == self.tipping:
            texts.append(
                tr("**The point of no return**: here a safe schedule is open for the last time. `[` goes over to it.")
            )
        elif self._is_behind(self.tipping):
            texts.append(tr("The point of no return lies behind: go back with `p`, and choose the other way with `[`."))
        else:
            texts.append(tr("The point of no return lies ahead."))
        if here.number == self.last:
            texts.append(tr("This is where the rule breaks. `W` tells why."))
        else:
            texts.append(tr("`n` goes on by a micro-step, `c` by a command. Whatever else you do makes a branch."))
        return Tale("\n\n".join([*texts, super()._tale().text if self.session.tasks() else ""]).strip())

    def _is_behind(self, number: int) -> bool:
        """Whether a node lies on the way here."""
        node = self.session.node
        while node.parent >= 0:
            node = self.session.timeline.nodes[node.parent]
            if node.number == number:
                return True
        return False
