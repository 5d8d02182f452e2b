"""What `ptescope sweep` has found: for a terminal, and as JSON."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import Final, NamedTuple

import msgspec

from lessons.i18n.language import tr
from model.compare.known_bugs import KNOWN_BUGS
from model.compare.sweep import BEYOND, FEW_STATES, LEAST, MOST_BEYOND, Answer, SweepCase
from model.engine.config import KERNELS
from model.search.verdicts import MEMORY_ORDER

Answers = Mapping[SweepCase, Answer]

HEADINGS: Final = ("backing", "scenes", "searched", "harmful", "known", "whole", "two", "one", "capped", "states")


class SweepBounds(NamedTuple):
    """How far the searches went."""

    preemptions: int | None
    """In any schedule, at most; None: as many as there can be."""
    states: int
    """Of one scene, at most."""
    thin: int | None = None
    """Only so many scenes of each kernel; None: all."""

    def __str__(self) -> str:
        """What the answers hold for.

        >>> str(SweepBounds(1, 9000))
        'schedules with at most 1 pre-emptions, at most 9000 states a scene'
        """
        schedules = tr("schedules with at most {n} pre-emptions").format(n=self.preemptions)
        if self.preemptions is None:
            schedules = tr(
                "every schedule; of a scene of over {few} states and of threes, schedules with at most {least} "
                "pre-emption, and with at most {beyond} where that takes no more than {most} states"
            ).format(few=FEW_STATES, least=LEAST, beyond=BEYOND, most=MOST_BEYOND)
        few = tr("of each kernel the {n} pairs in which most kernel functions meet").format(n=self.thin) + ", "
        states = tr("at most {n} states a scene").format(n=self.states)
        return f"{few if self.thin else ''}{schedules}, {states}"


def print_table(answers: Answers, bounds: SweepBounds) -> None:
    """A line for each backing, then everything that was found."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    from tui.views.plain_text import Printer

    console = Printer(highlight=False)
    table = Table(
        title=tr("Ordinary calls"), title_justify="left", box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True
    )
    table.add_column(tr(HEADINGS[0]), min_width=9)
    for heading in HEADINGS[1:]:
        table.add_column(tr(heading), justify="right")
    for row in rows(answers):
        table.add_row(*row)
    console.print(table)
    console.print(_scope(answers, bounds))
    for case, each in answers.items():
        if each.invariant:
            console.print(f"{case.name}: {words(each)}", soft_wrap=True, markup=False)


def _scope(answers: Answers, bounds: SweepBounds) -> str:
    """What was searched, and what no search here can see."""
    said = tr("Kernels: {kernels}. Searched: {bounds}. Memory is {order}: a missing barrier is not seen.")
    return said.format(kernels=kernels(answers), bounds=bounds, order=tr(MEMORY_ORDER))


def rows(answers: Answers) -> Iterator[tuple[str, ...]]:
    """For each backing: scenes, those searched, harmful and known ones, how far they were searched, and states.

    Of the whole ones every schedule was searched where nothing was found, of others those with two pre-emptions or
    more, or one; the capped were given up. A scene that is the same on several kernels is searched on one of them.
    """
    by_backing: dict[str, list[Answer]] = {}
    for case, answer in answers.items():
        by_backing.setdefault(case.backing.name, []).append(answer)
    for backing, found in by_backing.items():
        searched = [each for each in found if not each.same_as]
        harmful, known = sum(each.bad for each in found), sum(bool(each.known) for each in found)
        bounds = [each.bound for each in found if not each.invariant and each.complete]
        far = (bounds.count(None), sum(bound is not None and bound > 1 for bound in bounds), bounds.count(1))
        capped, states = sum(not each.complete for each in found), sum(each.states for each in searched)
        yield backing, *map(str, (len(found), len(searched), harmful, known, *far, capped, states))


def kernels(answers: Answers) -> str:
    """The kernels of the scenes, in order of age."""
    return ", ".join(sorted({case.kernel for case in answers}, key=KERNELS.index))


def as_markdown(answers: Answers, bounds: SweepBounds) -> str:
    """The table, what was found, and what these kernels really do."""
    lines = [
        _scope(answers, bounds),
        "",
        *markdown_table(HEADINGS, rows(answers)),
        "",
    ]
    if found := [f"- {case.name}: {words(each)}" for case, each in answers.items() if each.bad]:
        lines += ["Harm that the kernel does not do, so faults of the model:", "", *found, ""]
    lines += ["What these kernels really do:", ""]
    lines += markdown_table(
        ("kernel", "backing", "calls", "beside", "found", "source"),
        (
            (*(named(part) for part in (bug.kernels, bug.backings, bug.calls, bug.beside)), bug.what, bug.source)
            for bug in KNOWN_BUGS
        ),
    )
    return "".join(f"{line}\n" for line in lines)


def named(names: Collection[str]) -> str:
    """Names in order, some of which have commas in them."""
    return "; ".join(sorted(names))


def markdown_table(heading: tuple[str, ...], body: Iterable[tuple[str, ...]]) -> list[str]:
    """The lines of a table."""
    return [f"| {' | '.join(line)} |" for line in (heading, tuple("---" for _ in heading), *body)]


def words(answer: Answer) -> str:
    """What was found in one scene.

    >>> words(Answer(9, invariant="splat", severity="splat", steps=4)), words(Answer(9, bound=2))
    ('splat in 4 micro-steps, 0 pre-emptions', 'no harm with at most 2 pre-emptions')
    """
    if not answer.invariant:
        few = "" if answer.bound is None else " " + tr("with at most {n} pre-emptions").format(n=answer.bound)
        ended = "" if answer.complete else " " + tr("in {n} states, bound hit").format(n=answer.states)
        return f"{tr('no harm')}{few}{ended}"
    known = f"; {tr('the kernel really does that')}: {answer.known}" if answer.known else ""
    if answer.severity == "error":
        return f"{tr('error in the model')}: {answer.trace.partition(chr(10))[0].removeprefix('# ')}"
    if answer.severity == "deadlock":
        return f"{tr('deadlock: some task waits for ever')}{known}"
    found = tr("{rule} in {steps} micro-steps, {preemptions} pre-emptions")
    return found.format(rule=answer.invariant, steps=answer.steps, preemptions=answer.preemptions) + known


def as_json(answers: Answers, bounds: SweepBounds) -> bytes:
    """One JSON object: the bounds, and every case with what was found in it."""
    cases = [
        {
            "kernel": case.kernel,
            "backing": case.backing.name,
            "calls": [call.name for call in case.calls],
            "states": answer.states,
            "same_as": answer.same_as,
            "bound": answer.bound,
            "complete": answer.complete,
            "found": answer.invariant,
            "severity": answer.severity,
            "known": answer.known,
            "trace": answer.trace,
        }
        for case, answer in answers.items()
    ]
    return msgspec.json.encode(
        {
            "bounded": bounds.preemptions,
            "max_states": bounds.states,
            "thin": bounds.thin,
            "memory_order": MEMORY_ORDER,
            "cases": cases,
        }
    )
