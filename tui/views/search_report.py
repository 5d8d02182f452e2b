"""The result of a search in words: what was searched, and a verdict for each rule; then the story of the worst."""

from typing import Final

from lessons.i18n.language import ntr, tr
from model.search.command_events import STARTED
from model.search.ends import CommandUse, NeverEnds
from model.search.part_searches import PartSearch
from model.search.report import Report
from model.search.verdicts import Verdict
from tui.views.plain_text import SEVERITY_STYLES
from tui.views.search_counts import (
    in_part,
    label,
    number_of,
    preempted,
    preemptions_of,
    random_schedules,
    share_of,
    who_holds,
)
from tui.views.search_story import StoryPrinter

RULE_WIDTH: Final = 24
"""Columns for the name of a rule; properties are longer."""


def print_report(found: Report, seconds: float, ended: str = "") -> None:
    """Print a report. `ended`: why the search did not go on, where neither its bound nor its end was reached."""
    ReportPrinter(found, ended).all(seconds)


class ReportPrinter(StoryPrinter):
    """Prints one report."""

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
            how = tr("steps that commute were tried in one order only, which still covers every schedule")
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
        for text, frames in self.passed_over().items():
            said = tr(
                "`{command}` could have got frame {frames}, to which something still leads; `may 1` before it tries "
                "that as well"
            )
            self.line(0, label(tr("set-up:")), said.format(command=text, frames=", ".join(map(str, sorted(frames)))))
        for number, use in enumerate(self.found.commands):
            became = self.became(use, self.found.in_schedules(number))
            self.line(0, label(tr("done:")) if use.took_place else (label(tr("never done:")), "bold"), *became)
        self.line(0)

    def passed_over(self) -> dict[str, set[int]]:
        """Lines of the set-up → frames that their allocations could have got instead."""
        lines: dict[str, set[int]] = {}
        for one in self.scene.decided:
            lines.setdefault(one.command.text, set()).update(one.others)
        return lines

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
            told = not one.held_by or ", held by " in one.on  # a lock says who has it
            by = "" if told else tr(", held by {tasks}").format(tasks=", ".join(one.held_by))
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
            of_the_end = any(one.text == name for one in self.found.search.cache.finals)
            said = (
                tr("vacuous: something can always happen, so no schedule ends, and nothing is proved")
                if of_the_end
                else tr("vacuous: what it speaks of existed in no state, so nothing is proved")
            )
        sign = self.signs.ok if verdict == "never" else self.signs.caution
        self.line(0, f"{sign} property   {name}: {said}")
