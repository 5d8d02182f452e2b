"""The result of a search in words: verdicts, and the easiest way into the worst violation as a story.

One column a task shows who moves (`*`), who has begun and waits (`|`), who is still to come or is done (`.`). Below
each turn stands only what it has changed.
"""

from collections.abc import Iterator, Sequence
from itertools import groupby, zip_longest
from typing import Final, NamedTuple

from rich.text import Text

from lessons.i18n.language import ntr, ptr, spoken, tr
from model.memory.changes import net_changes
from model.script.moment import Moment
from model.script.parser import parse
from model.search.command_events import STARTED
from model.search.ends import CommandUse, HeldLock, NeverEnds
from model.search.part_searches import PartSearch
from model.search.paths import Action, ReplayedAction, as_script, replay
from model.search.problem import SearchProblem
from model.search.report import Finding, Report, Story, story
from model.search.verdicts import Verdict
from model.session.causes import Cause, why_violation
from model.session.session import Session
from tui.views.change_text import HIDDEN, change_line
from tui.views.glyphs import ASCII, UNICODE
from tui.views.plain_text import SEVERITY_STYLES, SIGN_STYLES, Narrator, console
from tui.views.search_ways import of_story
from tui.views.time_space import Way, legend, time_space

RULE_WIDTH: Final = 24
"""Columns for the name of a rule; properties are longer."""
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


def tell(found: Report, seconds: float, ended: str = "") -> None:
    """Print a report. `ended`: why the search did not go on, where neither its bound nor its end was reached."""
    Teller(found, ended).all(seconds)


class Teller:
    """Prints one report."""

    def __init__(self, found: Report, ended: str = "") -> None:
        self.found = found
        self.ended = ended
        self.scene: SearchProblem = found.search.scene
        self.narrator = Narrator(console())
        self.signs = self.narrator.signs

    def all(self, seconds: float) -> None:
        """Bounds, verdicts, story."""
        self.bounds(seconds)
        self.verdicts()
        rules = [finding for finding in self.found.findings if finding.prop[0] in self.found.verdicts]
        stated = [finding for finding in self.found.findings if finding.prop[0] in self.found.stated]
        for finding in (*rules[:1], *stated):
            self.story(finding)
        if self.found.never_ends is not None:
            self.never_ends(self.found.never_ends)

    def line(self, indent: int, *parts: str | tuple[str, str], hanging: int = 2) -> None:
        """One line of parts, each plain or with a style."""
        self.narrator.line(indent, Text.assemble(*parts), hanging)

    # -- bounds and verdicts ---------------------------------------------------------------

    def bounds(self, seconds: float) -> None:
        """What was searched, and whether all of it was."""
        search = self.found.search
        for number, permission in enumerate(self.scene.permissions):
            times = tr("at most {n} times").format(n=permission.times)
            times = times if permission.times else tr("any number of times, one at a time")
            times = tr("once") if permission.times == 1 else times
            self.line(0, label("" if number else tr("may happen:")), permission.command.text, f"  ({times})")
        rate = self.found.states / max(seconds, 0.001)
        counts = tr("{states} states, {transitions} transitions, {depth} steps deep").format(
            states=len(search.seen), transitions=search.transitions, depth=len(search.levels) - 1
        )
        if self.found.states > len(search.seen):
            counts = tr("{states} states, told apart by who moved last").format(states=self.found.states)
        because = tr(", for {reason}").format(reason=self.ended) if self.ended else ""
        how = tr("every schedule searched") if search.complete else tr("ended before everything was searched") + because
        reduced = self.found.reduction
        if reduced is not None and reduced.complete:
            counts = tr("{states} states, {transitions} transitions").format(
                states=len(reduced.before), transitions=reduced.transitions
            )
            how = tr("of steps that can change places one order was tried, so every schedule is covered")
        took = tr("{seconds} s of CPU time ({rate} states/s)").format(seconds=f"{seconds:.1f}", rate=round(rate))
        self.line(0, label(tr("searched:")), counts, f"; {how}, {took}")
        if self.found.part is not None:
            self.part(self.found.part)
        if self.scene.properties:
            self.line(0, label(tr("counted each:")), tr("states that differ only in names, since properties use names"))
        elif search.symmetry is not None:
            alike = "; ".join(", ".join(group) for group in search.symmetry.alike)
            self.line(
                0, label(tr("counted once:")), f"{tr('states that differ only in which of these is which')}: {alike}"
            )
        if self.found.counted is not None:
            said = tr("{many}, each counted once: a share of them says nothing of how likely something is")
            self.line(0, label(tr("schedules:")), said.format(many=number_of(self.found.counted.schedules)))
        for number, use in enumerate(self.found.commands):
            became = self.became(use, self.found.in_schedules(number))
            self.line(0, label(tr("done:")) if use.took_place else (label(tr("never done:")), "bold"), *became)
        self.line(0)

    def part(self, part: PartSearch) -> None:
        """What a search of a part of all schedules has shown."""
        if part.schedules:
            many = ntr("{n} schedule", "{n} schedules", part.schedules).format(n=part.schedules)
            given_up = tr("{n} of them abandoned before the end").format(n=part.unended)
            self.line(0, label(tr("at random:")), f"{many}, {given_up}" if part.unended else many)
            same = tr("every possible move was equally likely; what they did not meet may still exist")
            self.line(13, same)
            return
        if part.proved < 0:
            self.line(0, label(tr("pre-emptions:")), tr("too many schedules even without one"))
            return
        searched = tr("every schedule with up to {preemptions} was searched")
        self.line(0, label(tr("pre-emptions:")), searched.format(preemptions=preemptions_of(part.proved)))

    def unbroken(self) -> str:
        """What can be said of a rule that an unfinished search has not seen broken."""
        part = self.found.part
        if part is not None and part.schedules:
            return tr("not met in {schedules}").format(schedules=random_schedules(part.schedules))
        if part is not None and part.proved >= 0:
            return tr("not broken with up to {preemptions}").format(preemptions=preemptions_of(part.proved))
        return tr("not broken as far as the search went")

    def became(self, use: CommandUse, counts: dict[str, int] | None) -> tuple[str, ...]:
        """What became of a permitted command, and in how many of the schedules."""
        if not use.started:
            return use.permission.command.text, f"  ({tr('in no schedule could it be started')})"
        total = self.found.counted.schedules if self.found.counted is not None else 1
        started = f"{tr('started')} {in_part(counts[STARTED], total)}" if counts and counts[STARTED] < total else ""
        if not use.outcomes:
            return use.permission.command.text, f"  ({started or tr('started')}, {tr('but it never ended')})"
        ended = [f"{one} {in_part(counts[one], total)}" if counts else one for one in use.outcomes]
        return use.permission.command.text, f"  ({', '.join([*filter(None, [started]), *ended])})"

    def never_ends(self, found: NeverEnds) -> None:
        """Tasks that wait for each other, or one that waits for ever, and the schedule that leads there."""
        self.line(0)
        self.line(
            0, (f"! {found.kind}", SEVERITY_STYLES["corruption"]), f": {tr('in some schedule nothing can go on')}"
        )
        for one in found.waiting:
            waits = tr("waits for {what}").format(what=one.on)
            by = tr(", held by {tasks}").format(tasks=", ".join(one.held_by)) if one.held_by else ""
            self.line(2, (one.task, "bold"), f" ({one.command}) {waits}{by}")
        for lock in found.locks:
            self.line(2, tr("{lock}: held by {tasks}").format(lock=lock.lock, tasks=who_holds(lock)))
        if found.references:
            self.line(2, tr("references that nobody has put: {names}").format(names=", ".join(found.references)))
        self.line(2, (tr("the schedule"), "bold"))
        for command in found.script[len(self.scene.script) :]:
            self.line(4, command)

    def verdicts(self) -> None:
        """Never, sometimes or always, for each rule."""
        named = [finding.prop[0] for finding in self.found.findings]
        width = max(RULE_WIDTH, *(len(name) + 2 for name in (*named, "")))
        for finding in self.found.findings:
            name, severity = finding.prop
            least = tr("{steps} steps at least") if finding.nearest else tr("{steps} steps, perhaps fewer")
            steps = least.format(steps=finding.shortest.steps)
            if self.found.part is not None and finding.prop in self.found.part.paths and not finding.verdict:
                steps = preempted(finding.shortest.steps, finding.shortest.preemptions)
            if self.found.part is not None and (times := self.found.part.broken_in.get(name)):
                many = random_schedules(self.found.part.schedules)
                steps = f"{tr('in {n} of {schedules}').format(n=times, schedules=many)}; {steps}"
            self.line(
                0,
                (f"! {'property' if name in self.found.stated else severity:11}", SEVERITY_STYLES[severity]),
                name.ljust(width),
                f"{tr(finding.verdict) if finding.verdict else tr('broken')}{share_of(finding)}; {steps}",
            )
        for name, verdict in self.found.stated.items():
            if name not in named:
                self.holding(name, verdict)
        rest = [verdict for name, verdict in self.found.verdicts.items() if name not in named]
        if rest:
            more = (
                ntr("{n} other rule", "{n} other rules", len(rest))
                if named
                else ntr("{n} rule", "{n} rules", len(rest))
            )
            others = tr("the rule") if len(rest) == 1 and not named else more.format(n=len(rest))
            sign = self.signs.caution if rest[0] == "vacuous" else self.signs.ok
            said = tr(rest[0]) if rest[0] else self.unbroken()
            if rest[0] == "vacuous":
                missing = ", ".join(f"`{use.permission.command.text}`" for use in self.found.vacuous)
                said = tr("vacuous: not broken, but {missing} never ran, so nothing is proved")
                said = said.format(missing=missing)
            self.line(0, f"{sign} {others}: {said}")
            if rest[0] == "never":
                self.line(2, f"({tr('with sequentially consistent memory: a missing barrier is not seen')})")

    def holding(self, name: str, verdict: Verdict | None) -> None:
        """A property of the script that was not broken."""
        said = tr(verdict) if verdict else self.unbroken()
        said = tr("never broken") if verdict == "never" else said
        if verdict == "vacuous" and not self.found.vacuous:
            said = tr("vacuous: what it speaks of existed in no state, so nothing is proved")
        sign = self.signs.ok if verdict == "never" else self.signs.caution
        self.line(0, f"{sign} property   {name}: {said}")

    # -- the story -------------------------------------------------------------------------

    def story(self, finding: Finding) -> None:
        """How the worst of it comes about."""
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
        for way in safe:
            self.line(0)
            self.drawing(way)

    def drawing(self, way: Way) -> None:
        """A way in time and space."""
        console = self.narrator.output
        glyphs = UNICODE if self.signs.rule == UNICODE.rule else ASCII
        width = min(console.width, WIDEST_DRAWING) - 2
        self.line(2, (tr("time and space"), "bold"))
        for each in (legend(glyphs), *time_space(way.found, width, glyphs, way.across)):
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
                self.line(indent, (f"! {broken.severity} {broken.invariant}: ", style), spoken(broken.message))

    def why(self, told: Story, done: Sequence[ReplayedAction]) -> None:
        """The shortest causal account, from the history of the very same moves."""
        broken = next(each for each in done[-1].violations if (each.invariant, each.severity) == told.prop)
        causes = tuple(self.causes(told, broken.identity))
        if causes:
            self.line(0)
            self.line(2, (tr("because"), "bold"))
            for cause in causes:
                self.line(4, f"{self.signs.arrow} {cause}")

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


def who_holds(lock: HeldLock) -> str:
    """The tasks that hold a lock.

    >>> who_holds(HeldLock("mmap_lock of p0", "", ("gup", "read")))
    'gup (to read), read (to read)'
    """
    return lock.writer or ", ".join(tr("{task} (to read)").format(task=task) for task in lock.readers)


def label(text: str) -> str:
    """What a line is about, as wide as the widest in English."""
    return f"{text:12} "


def preempted(steps: int, preemptions: int) -> str:
    """How many steps and pre-emptions a path has.

    >>> preempted(21, 1), preempted(1, 0)
    ('21 steps with 1 pre-emption', '1 step with no pre-emption')
    """
    many = preemptions_of(preemptions)
    moves = ntr("{n} step", "{n} steps", steps).format(n=steps)
    return tr("{steps} with {preemptions}").format(
        steps=moves, preemptions=many if preemptions else tr("no pre-emption")
    )


def preemptions_of(count: int) -> str:
    """A number of pre-emptions."""
    return ntr("{n} pre-emption", "{n} pre-emptions", count).format(n=count)


def random_schedules(count: int) -> str:
    """A number of schedules that were tried at random."""
    return ntr("{n} random schedule", "{n} random schedules", count).format(n=count)


def number_of(count: int) -> str:
    """A number that may be too long to read.

    >>> number_of(1234567), number_of(3 * 10**34)
    ('1234567', 'about 3.0e+34')
    """
    return str(count) if count < 10**9 else tr("about {number}").format(number=f"{count:.1e}")


def in_part(count: int, total: int) -> str:
    """In how many of all schedules.

    >>> in_part(8, 8), in_part(3, 8), in_part(1, 10**9)
    ('in all schedules', 'in 37.5%', 'in less than 0.1%')
    """
    if count == total:
        return tr("in all schedules")
    share = f"{min(count / total, 0.999):.1%}" if count * 1000 >= total else tr("less than 0.1%")
    return tr("in {share}").format(share=share)


def share_of(finding: Finding) -> str:
    """In how many schedules, where that was counted."""
    if finding.share is None or finding.verdict == "always":
        return ""
    share = f"{finding.share:.1%}" if finding.share >= 0.001 else tr("less than 0.1%")
    return f" ({tr('in {share} of the schedules').format(share=share)})"
