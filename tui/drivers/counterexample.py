"""What a search has found, on the stage: a way that leads on from where somebody stood, ready to be walked.

The history before it comes along, so that "why?" reaches back to the commands. What is done here is done to a copy:
the lesson or the sandbox that it was searched from stays as it was.
"""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from lessons.i18n.language import tr
from model.invariants.registry import INVARIANTS
from model.script.drive import step_task
from model.search.paths import Action, command_of
from model.search.problem import Permission
from model.search.result import Counterexample, PropertyVerdict
from model.search.state_graph import NumberedAction
from model.session.session import Session
from model.session.timeline import Node, Timeline
from tui.drivers.sandbox import SandboxDriver
from tui.views.search_drawing import of_history
from tui.views.time_space import DrawnSchedule
from tui.views.view_model import LessonText, Picture, ShownHistory, ShownStep

WIDTH: Final = 40
"""Columns of the story pane that a line of the schedule may take."""


class TurnLine(NamedTuple):
    """Moves of one task in a row."""

    task: str
    first: int
    """The number of its first move, from 0."""
    actions: int


class CounterexampleDriver(SandboxDriver):
    """Free play on a copy, with a way laid out ahead."""

    def __init__(self, timeline: Timeline, origin: Node, permissions: Sequence[Permission], title: str) -> None:
        super().__init__(title=title, session=copied(timeline, origin))
        self.permissions: Final = permissions
        self.start: Final = self.session.node.number
        """Where the search set out from."""
        self.found: PropertyVerdict | None = None
        self.nodes: list[int] = [self.start]
        """The nodes of the way, the start first: one more than there are moves."""
        self.safe: list[int] = []
        """The nodes of the nearest safe schedule, from the point of no return on."""

    def lay(self, found: PropertyVerdict) -> None:
        """Put a way into a violation on the timeline, and the way out as another branch; stand at its beginning."""
        counterexample = found.counterexample
        assert counterexample is not None, "only a broken rule has a way into it"
        self.found = found
        self.nodes += self._walk(counterexample.actions)
        if counterexample.cut >= 0:
            self.session.goto(self.nodes[counterexample.cut])
            self.session.timeline.bookmark(tr("point of no return"))
            self.safe = [self.nodes[counterexample.cut], *self._walk(counterexample.safe)]
        self.session.goto(self.nodes[-1])
        self.session.goto(self.start)
        self._stand_still()

    def schedules(self) -> tuple[DrawnSchedule, ...]:
        """The way that was found, and the nearest safe one, in time and space; none where no rule was broken."""
        if self.found is None or self.found.counterexample is None:
            return ()
        name = f"{self.found.invariant}: {tr('the way that was found')}"
        cut = self.found.counterexample.cut
        return of_history(self.session.timeline, name, tuple(self.nodes), cut, tuple(self.safe))

    def lead(self, steps: Sequence[NumberedAction]) -> None:
        """Walk to the end of some moves, and stand there."""
        self.nodes += self._walk(steps)
        self._stand_still()

    def _walk(self, steps: Sequence[NumberedAction]) -> list[int]:
        """Make moves from here; the nodes that they lead to."""
        return [self._make(step).number for step in steps]

    def _make(self, step: NumberedAction) -> Node:
        """One move of the search, on the session."""
        if step.starts >= 0:
            start = Action(step.task, self.permissions[step.starts])
            return self.session.begin_beside(command_of(start, self.session.state))
        if step.pages:
            return self.session.perform(step_task(step.task, step.pages))
        return self.session.step_task(step.task)

    # -- looking ---------------------------------------------------------------------------------

    def picture(self) -> Picture:
        """The sandbox's picture, with the move that comes next on this way."""
        shown = super().picture()
        timeline = self.session.timeline
        shown = shown._replace(history=self._turn_by_turn(shown.history))
        here = timeline.here
        if shown.last is not None and here.stepped is not None and here.stepped.result is None:
            # That one `step` command is over says nothing about the task that it moved.
            shown = shown._replace(last=shown.last._replace(outcome=""))
        if self.found is not None and here.number == self.start:
            shown = shown._replace(last=None)  # what is told first is which way this is
        ahead = timeline.next_from(here.number)
        if self.session.running is not None or ahead is None:
            return shown
        stepped = timeline.nodes[ahead].stepped
        following = None
        if stepped is not None:
            following = ShownStep(f"{stepped.procedure}.{stepped.step}", stepped.source, stepped.doc, stepped.task)
        return shown._replace(next=following, hint=tr("forward"), enter="step('forward')")

    def _turn_by_turn(self, history: ShownHistory) -> ShownHistory:
        """The strip with a mark where another task moves on, instead of one at each `step`."""
        known = self.session.timeline.nodes
        tasks = [stepped.task if (stepped := known[node.number].stepped) else "" for node in history.nodes]
        nodes = [
            node._replace(command=node.command if not following or following != task else "")
            for node, task, following in zip(history.nodes, tasks, [*tasks[1:], ""], strict=True)
        ]
        return history._replace(nodes=tuple(nodes))

    def _tale(self) -> LessonText:
        """Which way this is, where on it one stands, and the schedule as a list."""
        usual, found, here = super()._tale(), self.found, self.session.node.number
        if found is None or found.counterexample is None:
            return usual
        counterexample = found.counterexample
        many = tr("{steps} micro-steps, {preemptions} pre-emptions")
        count = many.format(steps=counterexample.steps, preemptions=counterexample.preemptions)
        known = INVARIANTS.get(found.invariant)
        rule = known.rule if known is not None else tr("That is what you said must hold.")
        text = f"**{found.invariant}** ({tr(found.severity)}): {count}.\n\n{rule}\n\n"
        schedule = "\n".join(self._schedule(counterexample, here))
        drawn = tr("`S` draws it in time and space, with the nearest safe schedule beside it.")
        standing = "\n\n".join((self._standing(counterexample, here), *self._instead(), drawn))
        return usual._replace(text=f"{text}{standing}\n\n```\n{schedule}\n```")

    def _instead(self) -> Iterator[str]:
        """Who else could move here: a schedule is a choice at every step."""
        timeline = self.session.timeline
        ahead = timeline.next_from(timeline.here.number)
        if ahead is None:
            return
        following = timeline.nodes[ahead]
        if following.stepped is None and not following.command.startswith("begin "):
            return  # somebody's own command, not a move of the search
        mover = following.stepped.task if following.stepped else following.command.split()[1]
        could = [f"`{task.task}`" for task in self.session.tasks() if task.task != mover and not task.blocked]
        begun = {node.command.split()[1] for node in timeline.path_to(timeline.here) if node.command[:6] == "begin "}
        could += [
            f"`{permission.command.text}`"
            for permission in self.permissions
            if mover not in permission.tasks and not begun.issuperset(permission.tasks)
        ]
        if could:
            yield tr("Next moves `{task}`. Instead could: {others}.").format(task=mover, others=", ".join(could))

    def _standing(self, way: Counterexample, here: int) -> str:
        """Where on the way one is, and what can be done there."""
        if way.cut >= 0 and here == self.nodes[way.cut]:
            return tr(
                "**The point of no return.** From here a safe schedule still exists; after the next move of this way "
                "none does. `]` turns to the nearest safe schedule, then go forward."
            )
        if here == self.nodes[-1]:
            return tr("**Here the rule is broken.** Point at what is wrong and press `W`: why is it so?")
        if here in self.safe:
            return tr("This is the nearest safe schedule. Back to the point of no return, and `[`, for the other one.")
        if here not in self.nodes:
            return tr("You have left the way that was found. It is kept: go back to get to it.")
        if way.cut < 0:
            return tr("No schedule avoids it. Go forward and see.")
        if self.nodes.index(here) > way.cut:
            return tr("You are past the point of no return: no schedule from here on is safe.")
        return tr("Go forward. Until the point of no return another order would be safe.")

    def _schedule(self, way: Counterexample, here: int) -> Iterator[str]:
        """One line a turn: a column a task, then the micro-steps that it makes; `>` is where one stands."""
        tasks = list(dict.fromkeys(step.task for step in way.actions))
        at = self.nodes.index(here) if here in self.nodes else -1
        for number, task in enumerate(tasks):
            yield f"  {'. ' * number}{number + 1} {task}"
        for turn in turns(way.actions, way.cut):
            if turn.first == way.cut:
                yield f"  {'-' * 4} {tr('point of no return')} {'-' * 4}"
            inside = turn.first <= at < turn.first + turn.actions
            columns = " ".join("*" if task == turn.task else "|" for task in tasks)
            nodes = [self.session.timeline.nodes[node] for node in self.nodes[turn.first + 1 :][: turn.actions]]
            names = [node.stepped.procedure for node in nodes if node.stepped] or ["begin"]
            through = names[0] if names[0] == names[-1] else f"{names[0]} .. {names[-1]}"
            yield f"{'>' if inside else ' '} {columns}  {turn.actions:2} {through}"[:WIDTH]
        if at == len(self.nodes) - 1:
            yield f"> {tr('broken')}"


def copied(timeline: Timeline, origin: Node) -> Session:
    """A session that stands at a node of a timeline, with the way that led there, and nothing else of it."""
    first, *later = timeline.path_to(origin)
    session = Session(first.context, first.checker)
    for node in later:
        session.timeline.grow(node)
    return session


def turns(steps: Sequence[NumberedAction], cut: int) -> list[TurnLine]:
    """Moves in a row of one task together; a new turn begins at the point of no return.

    >>> turns([NumberedAction("gup", 0), NumberedAction("gup"), NumberedAction("evict", 1), NumberedAction("gup")], 1)
    [TurnLine(task='gup', first=0, actions=1), TurnLine(task='gup', first=1, actions=1), \
TurnLine(task='evict', first=2, actions=1), TurnLine(task='gup', first=3, actions=1)]
    """
    found: list[TurnLine] = []
    for number, step in enumerate(steps):
        if found and found[-1].task == step.task and number != cut:
            found[-1] = found[-1]._replace(actions=found[-1].actions + 1)
        else:
            found.append(TurnLine(step.task, number, 1))
    return found
