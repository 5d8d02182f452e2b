"""What a search has found, for programs: the object of `explore --json`, and the exit status that sums it up."""

from typing import Final

import msgspec

from model.search.command_events import STARTED
from model.search.ends import NeverEnds
from model.search.report import Report
from model.search.verdicts import MEMORY_ORDER

EXIT_SAFE: Final = 0
EXIT_CORRUPTS: Final = 1
EXIT_INCOMPLETE: Final = 3
EXIT_VACUOUS: Final = 4
EXIT_NEVER_ENDS: Final = 5


def status(found: Report) -> int:
    """The exit status of `ptescope explore`."""
    if found.corrupts:
        return EXIT_CORRUPTS
    if found.never_ends is not None:
        return EXIT_NEVER_ENDS
    if not found.complete:
        return EXIT_INCOMPLETE
    return EXIT_VACUOUS if found.shows_nothing else EXIT_SAFE


def never_ends(found: NeverEnds) -> dict[str, object]:
    """A schedule without an end, for programs."""
    return {
        "kind": found.kind,
        "waiting": [one._asdict() for one in found.waiting],
        "locks": [one._asdict() for one in found.locks],
        "references": list(found.references),
        "script": "".join(f"{line}\n" for line in found.script),
    }


def properties(found: Report) -> list[dict[str, object]]:
    """The properties of the script with their verdicts, for programs; of a broken one the shortest way into it."""
    broken = {finding.prop[0]: finding for finding in found.findings}
    told: list[dict[str, object]] = []
    for stated in found.search.scene.properties:
        one: dict[str, object] = {
            "property": stated.text,
            "line": stated.line,
            "broken": found.stated[stated.text],
        }
        if (finding := broken.get(stated.text)) is not None:
            one |= {
                "steps": finding.shortest.steps,
                "nearest": finding.nearest,
                "preemptions": finding.shortest.preemptions,
                "script": "".join(f"{line}\n" for line in finding.script),
            }
        told.append(one)
    return told


def exact(number: int) -> object:
    """An integer of any length, which msgspec would not write."""
    return msgspec.Raw(str(number).encode())


def in_schedules(counts: dict[str, int] | None) -> dict[str, object]:
    """In how many schedules a command was started, and ended with what; null where they were not counted."""
    if counts is None:
        return {"started_in": None, "ended_in": None}
    ended = {outcome: exact(count) for outcome, count in counts.items() if outcome != STARTED}
    return {"started_in": exact(counts[STARTED]), "ended_in": ended}


def as_object(found: Report, seconds: float, seed: int = 0) -> dict[str, object]:
    """The object that docs/script-contract.md describes."""
    result: dict[str, object] = {
        "complete": found.complete,
        "states": found.states,
        "transitions": found.search.transitions,
        "schedules": None,
        "seconds": round(seconds, 3),
        "verdicts": found.verdicts,
        "violations": [
            {
                "invariant": finding.prop[0],
                "severity": finding.prop[1],
                "steps": finding.shortest.steps,
                "nearest": finding.nearest,
                "preemptions": finding.shortest.preemptions,
                "script": "".join(f"{line}\n" for line in finding.script),
            }
            for finding in found.findings
            if finding.prop[0] in found.verdicts
        ],
        "reduced": None,
        "memory_order": MEMORY_ORDER,
        "set_up_decides": [
            {"line": one.command.line, "command": one.command.text, "step": one.step, "frames": list(one.others)}
            for one in found.search.scene.decided
        ],
        "vacuous": found.shows_nothing,
        "properties": properties(found),
        "preemptions_proved": None,
        "commands": [
            {
                "command": use.permission.command.text,
                "times": use.permission.times or None,
                "started": use.started,
                "outcomes": list(use.outcomes),
            }
            | in_schedules(found.in_schedules(number))
            for number, use in enumerate(found.commands)
        ],
        "never_ends": never_ends(found.never_ends) if found.never_ends else None,
    }
    if (part := found.part) is not None:
        result["preemptions_proved"] = part.proved if part.proved >= 0 else None
        if part.schedules:
            result["random"] = {
                "schedules": part.schedules,
                "seed": seed,
                "given_up": part.unended,
                "broken_in": part.broken_in,
            }
    if found.reduction is not None:
        result["reduced"] = {
            "complete": found.reduction.complete,
            "states": len(found.reduction.before),
            "transitions": found.reduction.transitions,
        }
    if found.counted is not None:
        result["schedules"] = exact(found.counted.schedules)
    return result
