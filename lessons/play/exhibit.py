"""An exhibit of the museum that is played: both scenes searched, the way into the bug, and the same way as mended."""

import re
from typing import NamedTuple

from lessons.file.museum_schema import Exhibit, SceneText
from lessons.file.problems import LessonError, LessonProblem
from model.script.parser import parse
from model.search.as_mended import SecondWalk, TaskDifference, difference, parting, walk
from model.search.bfs import MOST_STATES, explore
from model.search.ends import OK, CommandUse
from model.search.problem import SearchProblem, set_up
from model.search.report import Finding, Report, Story, report, story
from model.search.state_graph import NumberedAction, numbered_action
from model.search.verdicts import Verdict
from model.text.problems import ScriptError


class ExhibitMissesError(Exception):
    """What an exhibit says does not happen on the machine; carries what happens instead."""


class PlayedExhibit(NamedTuple):
    """Both scenes of an exhibit, searched."""

    exhibit: Exhibit
    before: Report
    finding: Finding
    """The rule that the bug broke."""
    told: Story
    """The way into it that is easiest to follow."""
    after: Report | None
    """None: there is no scene as mended."""
    way: SecondWalk
    """The way on the machine as it was …"""
    again: SecondWalk | None
    """… and on the one that is mended."""
    parts: int | None
    """The move of the way at which the two part."""
    differences: tuple[TaskDifference, ...]
    """What the fix changed: the micro-steps that differ, task by task."""


class SceneVerdict(NamedTuple):
    """What the search says of one scene, as plain values."""

    states: int
    rule: Verdict | None
    """Of the rule that the bug broke."""
    share: float | None
    """In how large a part of all schedules it is broken; None where they are not counted."""
    shortest: int
    """The fewest micro-steps into it; 0: none leads there."""
    ended: tuple[tuple[str, tuple[str, ...]], ...]
    """Each permitted command, and the ways in which it ended."""


class ExhibitVerdict(NamedTuple):
    """What is found in both scenes, as plain values: to be sent from the process that searched, and to be shown."""

    severity: str
    before: SceneVerdict
    after: SceneVerdict | None
    actions: tuple[NumberedAction, ...]
    """The way into the bug that is easiest to follow, as moves from the end of the set-up."""
    steps: int
    preemptions: int
    parts: int | None
    """The move at which the machine that is mended goes another way."""
    differences: tuple[TaskDifference, ...]


def verdict_of(played: PlayedExhibit) -> ExhibitVerdict:
    """What was found, as plain values that another process can be sent."""
    rule, path = played.exhibit.header.breaks, played.told.path
    return ExhibitVerdict(
        played.finding.prop[1],
        _of_scene(played.before, rule, played.finding),
        _of_scene(played.after, rule, None) if played.after is not None else None,
        tuple(numbered_action(played.before.search.scene, action) for action in path.actions),
        path.steps,
        path.preemptions,
        played.parts,
        played.differences,
    )


def _of_scene(found: Report, rule: str, finding: Finding | None) -> SceneVerdict:
    said = found.verdicts.get(rule) or found.stated.get(rule)
    share, shortest = (finding.share, finding.shortest.steps) if finding is not None else (None, 0)
    return SceneVerdict(found.states, said, share, shortest, tuple(map(_ended, found.commands)))


def _ended(use: CommandUse) -> tuple[str, tuple[str, ...]]:
    return use.permission.command.text, use.outcomes


def problem_of(exhibit: Exhibit, scene: SceneText) -> SearchProblem:
    """The machine that a scene sets up, and what may happen there. Raises LessonError where the set-up fails."""
    try:
        return set_up(parse(scene.text))
    except ScriptError as error:
        above = scene.text.count("\n") - _lines_in_file(exhibit, scene)
        raise LessonError(
            LessonProblem(exhibit.file, scene.line + problem.line - above, problem.column, problem.message)
            for problem in error.problems
        ) from None


def _lines_in_file(exhibit: Exhibit, scene: SceneText) -> int:
    """How many lines of a scene stand in the file; the others undo mends and come first."""
    return scene.text.count("\n") - (len(exhibit.header.undo) if scene == exhibit.before else 0)


def play(exhibit: Exhibit, most_states: int = MOST_STATES) -> PlayedExhibit:
    """Search both scenes.

    Raises:
        LessonError: a scene cannot be set up.
        ExhibitMissesError: there is nothing to play, the bug does not happen, or it does although it is mended.
    """
    if exhibit.before is None:
        raise ExhibitMissesError(exhibit.header.lacks)
    rule = exhibit.header.breaks
    scene = problem_of(exhibit, exhibit.before)
    before = report(explore(scene, most_states))
    finding = next((found for found in before.findings if found.prop[0] == rule), None)
    if finding is None:
        instead = ", ".join(found.prop[0] for found in before.findings) or "nothing"
        raise ExhibitMissesError(f"as it was, `{rule}` is never broken; broken is {instead}")
    told = story(before.search, finding)
    way = walk(scene, told.path.actions)
    if exhibit.after is None:
        return PlayedExhibit(exhibit, before, finding, told, None, way, None, None, ())
    mended = problem_of(exhibit, exhibit.after)
    after = report(explore(mended, most_states))
    again = walk(mended, told.path.actions)
    parts = parting(way.moves, again.moves)
    return PlayedExhibit(exhibit, before, finding, told, after, way, again, parts, difference(way, again))


def misses(played: PlayedExhibit) -> list[str]:
    """What an exhibit must show and does not: complete searches, harm as it was, none as mended, nothing vacuous."""
    found = []
    rule, after = played.exhibit.header.breaks, played.after
    if not played.before.search.complete:
        found.append("the search of the scene as it was is not complete: make the scene smaller")
    if played.before.shows_nothing:
        found.append("as it was: some command is never done")
    if played.finding.prop[1] == "hazard" and rule in played.before.verdicts:
        found.append(f"as it was, `{rule}` is only a hazard: play on until something is corrupted")
    if after is None:
        return found
    if not after.search.complete:
        found.append("the search of the scene as mended is not complete: make the scene smaller")
    remains = played.exhibit.header.remains
    harm = [broken.prop[0] for broken in _harm(after)]
    found += [f"as mended, `{name}` is broken all the same" for name in harm if name not in remains]
    found += [
        f"as mended, `{name}` is not broken any more: `remains` says it is" for name in remains if name not in harm
    ]
    known = refused(after)
    found += [f"as mended, `{line}` is never done" for line in _never_done(after) if line not in known]
    if "vacuous" in after.stated.values():
        found.append("as mended, a property speaks of what is never there")
    if after.never_ends is not None:
        found.append(f"as mended, a schedule never ends ({after.never_ends.kind})")
    made = {move.step for move in (*played.way.moves, *(played.again.moves if played.again else ()))}
    made |= {move.step for move in (played.again.rest if played.again else ())}
    found += [
        f"no step `{remark.step}` is made on this way" for remark in played.exhibit.remarks if remark.step not in made
    ]
    return found


def refused(found: Report) -> tuple[str, ...]:
    """Commands that always met a refusal, and those that never began because they use what was refused.

    That is what a mend looks like that refuses: the attack was made, and got an errno. It was not left out.
    """
    uses = [use for use in found.commands if use.started and use.outcomes and OK not in use.outcomes]
    gone = {str(use.permission.command.get("as", "")) for use in uses} - {""}
    return tuple(
        use.permission.command.text
        for use in found.commands
        if use in uses or (not use.started and gone & set(re.findall(r"[\w-]+", use.permission.command.text)))
    )


def _never_done(found: Report) -> list[str]:
    return [use.permission.command.text for use in found.vacuous]


def _harm(found: Report) -> list[Finding]:
    """What is broken that is worse than a hazard, and every broken property."""
    return [one for one in found.findings if one.prop[1] != "hazard" or one.prop[0] in found.stated]
