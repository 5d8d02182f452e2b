"""The easiest way into a violation as a story, and the nearest safe schedule beside it.

One column a task shows who moves (`*`), who has begun and waits (`|`), who is still to come or is done (`.`). Below
each turn stands only what it has changed.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby, zip_longest
from typing import Final, NamedTuple

from rich.text import Text

from lessons.i18n.language import localized, ptr, tr
from model.memory.changes import net_changes
from model.script.moment import Moment
from model.script.parser import parse
from model.search.paths import Action, ReplayedAction, as_script, replay
from model.search.problem import SearchProblem
from model.search.report import Finding, Report, Story, story
from model.session.causes import Cause, why_violation
from model.session.session import Session
from tui.views.change_text import HIDDEN, change_line
from tui.views.glyphs import ASCII, UNICODE
from tui.views.plain_text import SEVERITY_STYLES, SIGN_STYLES, Narrator, console
from tui.views.search_counts import preempted
from tui.views.search_drawing import of_story
from tui.views.time_space import DrawnSchedule, legend, time_space
from tui.views.why import cause_line

MOST_CHANGES: Final = 12
"""Changes that one turn shows."""
BESIDE: Final = 34
"""Columns for the commands of the left one of two schedules; a longer one pushes its neighbour."""
WIDEST_DRAWING: Final = 140
"""Columns of the time-and-space drawing."""
MOST_LINES: Final = 24
"""Commands of the safe schedule that are shown."""


class StoryTurn(NamedTuple):
    """What a task does before another one moves, or up to the point of no return."""

    first: int
    """The number of its first move."""
    done: tuple[ReplayedAction, ...]

    @property
    def action(self) -> Action:
        """Its first move."""
        return self.done[0].action


class StoryPrinter:
    """Prints how a violation happens."""

    def __init__(self, found: Report, ended: str = "") -> None:
        self.found = found
        self.ended = ended
        self.scene: SearchProblem = found.search.scene
        self.narrator = Narrator(console())
        self.signs = self.narrator.signs

    def line(self, indent: int, *parts: str | tuple[str, str], hanging: int = 2) -> None:
        """One line of parts, each plain or with a style."""
        self.narrator.line(indent, Text.assemble(*parts), hanging)

    def story(self, finding: Finding) -> None:
        """How the worst of it happens."""
        told = story(self.found.search, finding)
        name, severity = finding.prop
        path, shortest = told.path, finding.shortest
        self.line(0)
        kind = "property" if name in self.found.stated else severity
        self.line(0, (f"{name} ({kind})", "bold"), f": {preempted(path.steps, path.preemptions)}")
        if shortest.preemptions > path.preemptions:
            least = preempted(shortest.steps, shortest.preemptions)
            self.line(2, f"({tr('the shortest way takes {steps}').format(steps=least)})")
        if not path.actions:
            self.line(2, tr("It is broken before anything happens."))
            return
        done = list(replay(self.scene, path.actions))
        tip = told.point_of_no_return.actions if told.point_of_no_return else -1
        self.lanes(turns(done, tip), tip)
        if (stated := self.scene.property_named(name)) is not None:
            said = stated.why_broken(Moment(done[-1].state, checker=done[-1].checker))
            self.line(4, ("! property: ", SEVERITY_STYLES[severity]), said)
        else:
            self.why(told, done)
        found, *safe = of_story(self.scene, name, told)
        self.line(0)
        self.drawing(found)
        self.way_out(told)
        for schedule in safe:
            self.line(0)
            self.drawing(schedule)

    def drawing(self, schedule: DrawnSchedule) -> None:
        """A schedule in time and space."""
        console = self.narrator.output
        glyphs = UNICODE if self.signs.rule == UNICODE.rule else ASCII
        width = min(console.width, WIDEST_DRAWING) - 2
        self.line(2, (tr("time and space"), "bold"))
        for each in (legend(glyphs), *time_space(schedule.found, width, glyphs, schedule.across)):
            console.print(Text(f"  {each.text.rstrip()}"), no_wrap=True, overflow="ignore", crop=False)

    def lanes(self, taken: Sequence[StoryTurn], tip: int) -> None:
        """Turn by turn: who moves, and what it changes."""
        tasks = list(dict.fromkeys(turn.action.task for turn in taken))
        last = {task: max(turn.first + len(turn.done) for turn in taken if turn.action.task == task) for task in tasks}
        running: set[str] = set()
        steps = 0
        self.line(
            2, "   ".join(f"{number}: {task} ({self.where(taken, task)})" for number, task in enumerate(tasks, 1))
        )
        self.line(2, " ".join(str(number % 10) for number in range(1, len(tasks) + 1)))
        for turn in taken:
            if turn.first == tip:
                said = tr("point of no return: until here a safe schedule exists")
                self.line(2, (f"{self.signs.rule * 3} {said}", "bold"))
            running.add(turn.action.task)
            columns = " ".join("*" if task == turn.action.task else "|" if task in running else "." for task in tasks)
            made = [done.stepped for done in turn.done if done.stepped is not None]
            begun = next((done.action.starts for done in turn.done if done.action.starts), None)
            if begun is not None:
                self.line(2, columns, "  ", (begun.command.text, "bold"), hanging=2 * len(tasks) + 2)
            if made:
                through = f"{made[0].procedure}.{made[0].step}"
                if len(made) > 1:
                    through += f" {self.signs.arrow} {made[-1].procedure}.{made[-1].step}"
                numbers = f"{steps + 1}" if len(made) == 1 else f"{steps + 1}-{steps + len(made)}"
                ends = f", {ptr('task', 'ends')}" if made[-1].result is not None else ""
                self.line(2, columns, f"  {numbers}: ", (through, "cyan"), ends, hanging=2 * len(tasks) + 2)
            steps += len(made)
            self.changes(turn, 2 * len(tasks) + 5)
            if turn.first + len(turn.done) == last[turn.action.task]:
                running.discard(turn.action.task)

    @staticmethod
    def where(taken: Sequence[StoryTurn], task: str) -> str:
        """The CPU of a task."""
        for turn in taken:
            if turn.action.task == task and (record := turn.done[0].state.tasks.get(task)) is not None:
                return f"cpu{record.cpu}" if record.cpu >= 0 else tr("device")
        return tr("one step")

    def changes(self, turn: StoryTurn, indent: int) -> None:
        """What is different after a turn, and what it broke."""
        after = turn.done[-1].state
        journal = [change for done in turn.done if done.stepped for change in done.stepped.changes]
        visible = [change for change in net_changes(journal) if change.table not in HIDDEN]
        for change in visible[:MOST_CHANGES]:
            sign, subject, description = change_line(after, change, self.signs.arrow)
            self.line(indent, (f"{sign} ", SIGN_STYLES[sign]), subject, f": {description}" if description else "")
        if len(visible) > MOST_CHANGES:
            self.line(
                indent,
                f"{self.signs.bullet} {tr('and {count} more changes').format(count=len(visible) - MOST_CHANGES)}",
            )
        for done in turn.done:
            for broken in done.violations:
                style = SEVERITY_STYLES[broken.severity]
                self.line(indent, (f"! {broken.severity} {broken.invariant}: ", style), localized(broken.message))

    def why(self, told: Story, done: Sequence[ReplayedAction]) -> None:
        """The shortest causal account, from the history of the very same moves."""
        broken = next(each for each in done[-1].violations if (each.invariant, each.severity) == told.prop)
        causes = tuple(self.causes(told, broken.identity))
        if causes:
            self.line(0)
            self.line(2, (tr("because"), "bold"))
            for cause in causes:
                self.line(4, f"{self.signs.arrow} {cause_line(cause)}")

    def causes(self, told: Story, identity: tuple[str, str]) -> Iterator[Cause]:
        """The links of the chain that ends in the violation."""
        session = Session()
        lines = [*self.scene.script, *as_script(self.found.search, told.path.actions)[len(self.scene.script) :]]
        for command in parse("\n".join(lines)):
            session.perform(command)
        timeline = session.timeline
        for violation in (*timeline.here.new, *timeline.here.checker.violations):
            if violation.identity == identity:
                yield from why_violation(timeline, violation)
                return

    def way_out(self, told: Story) -> None:
        """The nearest safe schedule, with the first choice that differs marked."""
        self.line(0)
        if told.point_of_no_return is None:
            self.line(2, tr("No schedule avoids it."))
            return
        search, cut, before = self.found.search, told.point_of_no_return.actions, len(self.scene.script)
        shared = as_script(search, told.path.actions[:cut])[before:]
        broken = as_script(search, told.path.actions, cut)[before + len(shared) :]
        safe = as_script(search, (*told.path.actions[:cut], *told.point_of_no_return.safe), cut)[before + len(shared) :]
        self.line(
            2,
            (tr("the nearest safe schedule"), "bold"),
            f", {tr('beside the one above (`>` marks the choice that differs)')}",
        )
        for command in shared:
            self.line(4, "  ", command)
        for left, right in beside(broken, safe):
            self.line(4, left, right, hanging=len(left))


def beside(broken: Sequence[str], safe: Sequence[str]) -> Iterator[tuple[str, str]]:
    """The commands of two schedules that part, in two columns; the first of each is marked.

    >>> [left + right for left, right in beside(["finish cut", "dma r write 9"], ["finish read"])]
    ['> finish cut     | > finish read', '  dma r write 9  |   ']
    """
    column = min(max(map(len, broken), default=0), BESIDE) + 4
    rows = list(zip_longest(broken, safe, fillvalue=""))
    for number, (left, right) in enumerate(rows[:MOST_LINES]):
        sign = "> " if not number else "  "
        yield f"{sign if left else '  '}{left}".ljust(column) + "| ", f"{sign if right else '  '}{right}"
    if len(rows) > MOST_LINES:
        yield "  ...".ljust(column) + "| ", "  ..."


def turns(done: Sequence[ReplayedAction], tip: int) -> list[StoryTurn]:
    """Moves in a row of one task together; a new turn begins at the point of no return."""
    numbered = list(enumerate(done))
    return [
        StoryTurn(group[0][0], tuple(each for _, each in group))
        for _, members in groupby(numbered, key=lambda pair: (pair[1].action.task, pair[0] >= tip >= 0))
        for group in [list(members)]
    ]
