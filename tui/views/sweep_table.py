"""What `ptescope sweep` has found: for a terminal, and as JSON."""

from collections.abc import Mapping
from typing import Final

import msgspec

from model.compare.sweep import Answer, SweepCase

Answers = Mapping[SweepCase, Answer]

SEQUENTIAL: Final = "Micro-steps are interleaved as if memory were sequentially consistent: missing barriers go unseen."


def bounds(bounded: int | None, most_states: int) -> str:
    """What the answers hold for."""
    schedules = "every schedule" if bounded is None else f"schedules with at most {bounded} pre-emptions"
    return f"{schedules}, at most {most_states} states a scene"


def print_table(answers: Answers, bounded: int | None, most_states: int) -> None:
    """A line for each kernel and backing, then everything that was found."""
    from rich.console import Console
    from rich.table import Table

    console = Console(highlight=False)
    table = Table("kernel", "backing", title="Ordinary calls", title_justify="left")
    for heading in ("scenes", "harmful", "known", "incomplete", "states"):
        table.add_column(heading, justify="right")
    for kernel, backing in dict.fromkeys((case.kernel, case.backing.name) for case in answers):
        found = [each for case, each in answers.items() if (case.kernel, case.backing.name) == (kernel, backing)]
        harmful, known = sum(each.bad for each in found), sum(bool(each.known) for each in found)
        incomplete, states = sum(not each.complete for each in found), sum(each.states for each in found)
        table.add_row(kernel, backing, *map(str, (len(found), harmful, known, incomplete, states)))
    console.print(table)
    console.print(f"Searched: {bounds(bounded, most_states)}. {SEQUENTIAL}")
    for case, each in answers.items():
        if each.invariant:
            console.print(f"{case.name}: {words(each)}", soft_wrap=True, markup=False)


def words(answer: Answer) -> str:
    """What was found in one scene.

    >>> words(Answer(9, invariant="splat", severity="splat", steps=4)), words(Answer(9))
    ('splat in 4 micro-steps, 0 pre-emptions', 'no harm')
    """
    if not answer.invariant:
        return "no harm" if answer.complete else f"no harm in {answer.states} states, bound hit"
    known = f"; the kernel really does that: {answer.known}" if answer.known else ""
    if answer.severity == "deadlock":
        return f"deadlock: every task waits for another{known}"
    return f"{answer.invariant} in {answer.steps} micro-steps, {answer.preemptions} pre-emptions{known}"


def as_json(answers: Answers, bounded: int | None, most_states: int) -> bytes:
    """One JSON object: the bounds, and every case with what was found in it."""
    cases = [
        {
            "kernel": case.kernel,
            "backing": case.backing.name,
            "calls": [call.name for call in case.calls],
            "states": answer.states,
            "complete": answer.complete,
            "found": answer.invariant,
            "severity": answer.severity,
            "known": answer.known,
            "trace": answer.trace,
        }
        for case, answer in answers.items()
    ]
    return msgspec.json.encode(
        {"bounded": bounded, "max_states": most_states, "memory_order": "sequentially consistent", "cases": cases}
    )
