"""An exhibit of the museum on the stage: two branches of one history, the bug as it was and the same way as mended.

Both set out from an empty machine, whose first commands differ: that is where the branches part. What is done here is
free play: whoever leaves the way plays on.
"""

from collections.abc import Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Final, NamedTuple

from lessons.file.museum_schema import Exhibit
from lessons.i18n.language import tr
from lessons.play.exhibit import ExhibitVerdict, problem_of
from lessons.play.in_sight import OUT_OF_SIGHT
from model.script.parser import parse
from model.script.verbs import PROPERTIES
from model.search.as_mended import WalkedMove, own, walk
from model.search.paths import Action, command_of
from model.search.problem import SearchProblem
from model.session.session import Session
from model.session.timeline import Node
from tui.drivers.history_view import broken
from tui.drivers.sandbox import SandboxDriver
from tui.views.museum import percent
from tui.views.view_model import LessonText, Picture, ShownStep

if TYPE_CHECKING:
    from lessons.play.step_size import StepSize

NOT_PLAYED: Final = PROPERTIES | {"may", "note", "expect"}
"""Words of a scene that do nothing to the machine."""


class LaidWay(NamedTuple):
    """One of the two machines on the timeline."""

    start: int
    """The node at the end of the set-up."""
    nodes: tuple[int, ...]
    """Where each move of the way leads; the node before it, where it is not made here."""
    end: int
    """Where all tasks are over, or can go no further."""


class ExhibitDriver(SandboxDriver):
    """Free play on a history that has both ways laid out."""

    def __init__(self, exhibit: Exhibit, found: ExhibitVerdict) -> None:
        super().__init__(title=exhibit.header.title, session=Session())
        self.exhibit: Final = exhibit
        self.found: Final = found
        self.remarks: Final = {remark.step: remark.text for remark in exhibit.remarks}
        assert exhibit.before is not None
        scene = problem_of(exhibit, exhibit.before)
        self.actions: Final = tuple(_action(scene, one.task, one.starts, one.pages) for one in found.actions)
        self.before: Final = self._lay(exhibit.before.text, scene, self.actions, to_the_end=False)
        self.after: LaidWay | None = None
        if exhibit.after is not None:
            self.session.goto(0)
            mended = problem_of(exhibit, exhibit.after)
            self.after = self._lay(exhibit.after.text, mended, self.actions, to_the_end=True)
        self.folds = True
        self.session.goto(self.before.end)
        self.session.goto(self.before.start)
        self._stand_still()

    def _lay(self, text: str, scene: SearchProblem, actions: Sequence[Action], *, to_the_end: bool) -> LaidWay:
        """Set a machine up and make the moves that it makes; `to_the_end`: until every task is over."""
        for command in parse(text):
            if command.verb not in NOT_PLAYED:
                self.session.perform(command)
        start = here = self.session.node.number
        nodes = []
        second = walk(scene, actions)
        for move in second.moves:
            here = self._make(scene, move) if move.done else here
            nodes.append(here)
        for move in second.rest if to_the_end else ():
            here = self._make(scene, move)
        return LaidWay(start, tuple(nodes), here)

    def _make(self, scene: SearchProblem, move: WalkedMove) -> int:
        """One move on the session, with the call that this scene has for it; the node that it leads to."""
        action = own(scene, move.action)
        assert action is not None
        if action.starts is not None:
            return self.session.begin_beside(command_of(action, self.session.state)).number
        return self.session.step_task(move.action.task).number

    # -- moves -----------------------------------------------------------------------------------

    def _again(self, size: "StepSize") -> None:
        """Along the way: to the next move that shows, or that is to be spoken of."""
        if size == "forward" and self.folds:
            self.session.timeline.forward(self._is_worth_a_look)
        else:
            super()._again(size)

    def back(self) -> str:
        """To the move before that shows."""
        if self.session.node.parent < 0 or not self.folds:
            return super().back()
        self.session.timeline.back(self._is_worth_a_look)
        self._stand_still()
        return ""

    def _is_worth_a_look(self, node: Node) -> bool:
        """Whether a move shows on the machine, ends a call, has a remark, or is where the two machines part.

        Each move is a command of its own here, so that one is over says nothing.
        """
        stepped = node.stepped
        if stepped is None or node.new or stepped.blocked or stepped.events or stepped.result is not None:
            return True
        if f"{stepped.procedure}.{stepped.step}" in self.remarks or node.number in self.turning_points:
            return True
        return any(change.table not in OUT_OF_SIGHT for change in node.changes)

    @cached_property
    def turning_points(self) -> frozenset[int]:
        """The nodes right before and behind the move at which the two machines part, and the ends."""
        ends = {branch.end for branch in (self.before, self.after) if branch is not None}
        if self.found.parts is None or self.after is None:
            return frozenset(ends)
        at = self.found.parts
        return frozenset(
            ends | {branch.nodes[number] for branch in (self.before, self.after) for number in (at - 1, at)}
        )

    # -- where one is ----------------------------------------------------------------------------

    @property
    def mended(self) -> bool:
        """Whether the machine on the screen is the one that is mended."""
        return self.after is not None and self._is_on(self.after)

    def _is_on(self, branch: LaidWay) -> bool:
        path = self.session.timeline.path_to(self.session.node)
        return any(node.number == branch.start for node in path)

    def turn(self) -> str:
        """Go to the same place of the way on the other machine; says why where there is none."""
        if self.after is None:
            return tr("There is no scene as mended: {why}").format(why=self.exhibit.header.lacks)
        mine, other = (self.after, self.before) if self.mended else (self.before, self.after)
        here = self.session.node.number
        at = max((number for number, node in enumerate(mine.nodes) if node == here), default=-1)
        if here == mine.end and here not in mine.nodes:
            at = len(mine.nodes) - 1
        self.session.goto(other.end)
        self.session.goto(other.nodes[at] if at >= 0 else other.start)
        self._stand_still()
        return ""

    def end(self, *, last: bool) -> str:
        """To where the set-up ends, or to the end of this machine's way."""
        branch = self.after if self.mended and self.after is not None else self.before
        self.session.goto(branch.end if last else branch.start)
        self._stand_still()
        return ""

    # -- looking ---------------------------------------------------------------------------------

    def picture(self) -> Picture:
        """The sandbox's picture, with the move that comes next on this way, and the author's remark on the last."""
        shown = super().picture()
        timeline = self.session.timeline
        which = tr("as mended") if self.mended else tr("as it was")
        shown = shown._replace(title=f"{self.exhibit.header.title}, {which}")
        here = timeline.here
        if here.number in {self.before.start, self.after.start if self.after is not None else -1}:
            shown = shown._replace(last=None)  # what is told first is which way this is
        if shown.last is not None and here.stepped is not None and here.stepped.result is None:
            shown = shown._replace(last=shown.last._replace(outcome=""))  # one `step` is over, not the task
        if shown.last is not None and (remark := self.remarks.get(shown.last.name)):
            shown = shown._replace(last=shown.last._replace(remark=remark))
        ahead = timeline.next_from(timeline.here.number)
        if self.session.running is not None or ahead is None:
            return shown
        stepped = timeline.nodes[ahead].stepped
        following = None
        if stepped is not None:
            following = ShownStep(f"{stepped.procedure}.{stepped.step}", stepped.source, stepped.doc, stepped.task)
        return shown._replace(next=following, hint=tr("forward"), enter="step('forward')")

    def _tale(self) -> LessonText:
        """What happened, where on which way one stands, and what the search says."""
        return super()._tale()._replace(text="\n\n".join(filter(None, self._paragraphs())))

    def _paragraphs(self) -> tuple[str, ...]:
        header, here = self.exhibit.header, self.session.node.number
        if here == self.before.start:
            return self.exhibit.story, self._verdict_before(), tr("Go forward and see.")
        if self.after is not None and here == self.after.start:
            return (self._verdict_after(), tr("The same schedule again, on the machine that is mended."))
        branch = self.after if self.mended and self.after is not None else self.before
        if here == self.before.end:
            seen = tr("`b`: the same schedule as mended.") if self.after is not None else header.lacks
            return (f"**{tr('Here the rule is broken.')}**", self._broken(), f"*{header.symptom}*", seen)
        if self.after is not None and here == self.after.end:
            return (f"**{tr('Nothing is broken.')}** {self._verdict_after()}", header.rule, self._fixes())
        if here not in branch.nodes and not self._is_on(branch):
            return (tr("This is before the bug: the set-up of the scene."),)
        return self._on_the_way(branch, here)

    def _on_the_way(self, branch: LaidWay, here: int) -> tuple[str, ...]:
        """Between start and end: who moves, and whether the two machines have parted."""
        at = max((number for number, node in enumerate(branch.nodes) if node == here), default=len(branch.nodes))
        parts = self.found.parts
        said = []
        if parts is not None and self.after is not None:
            if at == parts - 1 or (at == parts and self.mended):
                said.append(tr("**Here the two machines part.** `b` turns to the other one."))
            elif at < parts:
                said.append(tr("Up to here both machines do the same."))
            else:
                said.append(tr("As mended, another way.") if self.mended else tr("As mended, this does not happen."))
        said.append(self._schedule(at))
        return tuple(said)

    def _schedule(self, at: int) -> str:
        """The schedule as a list, a line a turn; `>` is where one stands."""
        lines: list[str] = []
        first = 0
        while first < len(self.actions):
            task, last = self.actions[first].task, first
            while last + 1 < len(self.actions) and self.actions[last + 1].task == task:
                last += 1
            sign = ">" if first <= at <= last else " "
            lines.append(f"{sign} {task}  {sum(one.starts is None for one in self.actions[first : last + 1])}")
            first = last + 1
        return "```\n" + "\n".join(lines) + "\n```"

    def _broken(self) -> str:
        """What is wrong, in the checker's words, or the property that is broken."""
        rule = self.exhibit.header.breaks
        found = next((one for one in broken(self.session.timeline) if one.invariant == rule), None)
        return f"`{rule}`" if found is None else f"**{found.invariant}**: {found.message}"

    def _verdict_before(self) -> str:
        found = self.found.before
        share = percent(found.share) if found.share else ""
        text = tr("**As it was:** `{rule}` is broken in {steps} micro-steps at least")
        said = text.format(rule=self.exhibit.header.breaks, steps=found.shortest)
        return f"{said}, {tr('in {share} of all schedules').format(share=share)}." if share else f"{said}."

    def _verdict_after(self) -> str:
        if self.found.after is None:
            return ""
        text = tr("**As mended:** `{rule}` is never broken, in none of {states} states.")
        return text.format(rule=self.exhibit.header.breaks, states=self.found.after.states)

    def _fixes(self) -> str:
        return "\n".join(f"- {fix.commit} {fix.title} ({fix.version})" for fix in self.exhibit.header.fix)


def _action(scene: SearchProblem, task: str, starts: int, pages: tuple[int, ...]) -> Action:
    """A move with the permission that its number names."""
    return Action(task, scene.permissions[starts] if starts >= 0 else None, pages)


def scene_session(text: str) -> tuple[Session, tuple[str, ...]]:
    """A session at the end of a scene's set-up, and the lines of what it permits."""
    session = Session()
    permitted = []
    for command in parse(text):
        if command.verb == "may":
            permitted.append(command.text)
        elif command.verb not in NOT_PLAYED:
            session.perform(command)
    return session, tuple(permitted)
