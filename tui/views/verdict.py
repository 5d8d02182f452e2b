"""Whether all rules hold: the bar that nobody can miss, and the list of rules."""

from collections.abc import Iterator
from typing import Final

from lessons.i18n.language import tr
from tui.views.glyphs import Glyphs
from tui.views.lesson_text import case, newest, worst
from tui.views.markdown import wrap
from tui.views.row import Row, Span, flow, row
from tui.views.view_model import Picture, Rule, ShownViolation

SENTENCES: Final = 72
"""From this width on each rule begins a line, with its sentence."""
FURTHER: Final = 2
"""Columns by which the rest of a sentence stands further in."""


def is_muted(picture: Picture) -> bool:
    """Whether what is broken is kept quiet: a question is open, and an alarm would answer it."""
    return picture.tale.ask is not None and bool(picture.broken)


def verdict(picture: Picture, width: int, glyphs: Glyphs, lines: int = 2) -> list[Row]:
    """The bar: nothing is wrong; or what broke, since when and why, over the whole width."""
    if is_muted(picture):
        return [row(Span(f" {glyphs.dot} {tr('rules: after your answer')}", "dim"))] + [Row()] * (lines - 1)
    if not picture.broken:
        rules = (
            tr("all {count} rules hold").format(count=len(picture.rules)) if picture.rules else tr("no rule is broken")
        )
        return [row(Span(f" {glyphs.ok} {rules}", "ok"))] + [Row()] * (lines - 1)
    first, *others = worst(picture.broken)
    sign = glyphs.caution if first.severity == "hazard" else glyphs.broken
    more = "  " + tr("and {count} more").format(count=len(others)) if others else ""
    head = f" {sign} {tr(first.severity).upper()}  {first.invariant}  {tr('since')} {first.since}{more}"
    subject = f"moment:{first.node}"
    text = wrap([Span(first.message.replace("`", ""))], width - 3)
    body = [line.text for line in text[: lines - 1]]
    if len(text) > lines - 1 and body:
        body[-1] = f"{body[-1][: width - 7].rpartition(' ')[0]} ..."
    role = "hazard" if first.severity == "hazard" else first.severity
    return [
        row(Span(head.ljust(width), role, subject)),
        *(row(Span(f"   {line}".ljust(width), "strong" if role == "hazard" else role, subject)) for line in body),
        *[Row()] * (lines - 1 - len(body)),
    ]


def captions(picture: Picture, command: str, glyphs: Glyphs) -> Iterator[tuple[Span, ...]]:
    """What stands over the drawing: the command that led here, and the worst rule that is broken now.

    Where both have no room, only the sign of the rule: its name is in the bar below.
    """
    made = Span(f" > {command}" if command else "", "strong")
    if not picture.broken or is_muted(picture):
        yield (made,)
        return
    first, *others = worst(picture.broken)
    sign = glyphs.caution if first.severity == "hazard" else glyphs.broken
    more = f" +{len(others)}" if others else ""
    for told in (f"  {sign} {first.invariant}{more}", f"  {sign}"):
        yield made, Span(told, first.severity, f"moment:{first.node}")


def rules(picture: Picture, width: int, glyphs: Glyphs) -> list[Row]:
    """What is broken, case by case, then every rule with its sign."""
    if is_muted(picture):
        return [row(Span(tr("The rules are shown after your answer."), "dim"))]
    rows = alarms(picture, width, glyphs)
    states = {broken.invariant: broken.severity for broken in reversed(worst(picture.broken))}
    if width >= SENTENCES:
        for rule in picture.rules:
            said = wrap([_rule(rule, states, glyphs), Span("  "), Span(tr(rule.rule), "dim")], width - FURTHER)
            rows += [said[0], *(row(Span(" " * FURTHER), *line.spans) for line in said[1:])]
        return rows
    return rows + flow([], [[_rule(rule, states, glyphs)] for rule in picture.rules], width, 0)


def alarms(picture: Picture, width: int, glyphs: Glyphs) -> list[Row]:
    """Every broken rule, told for this case: first what the last move broke, and of that the worst."""
    rows: list[Row] = []
    for broken in newest(picture.broken):
        rows += case(broken, width, glyphs)
        rows += _pointers(broken, width)
    return rows


def _rule(rule: Rule, states: dict[str, str], glyphs: Glyphs) -> Span:
    """A rule's name with its sign."""
    severity = states.get(rule.name, "")
    sign = glyphs.ok if not severity else glyphs.caution if severity == "hazard" else glyphs.broken
    return Span(f"{sign} {rule.name}", severity or "ok")


def _pointers(broken: ShownViolation, width: int) -> list[Row]:
    """Since when, and what it points at: both can be gone to."""
    spans = [
        Span(f"{tr('since')} ", "dim"),
        Span(broken.since, "key", f"moment:{broken.node}"),
        Span(f"  {tr('see')} ", "dim"),
    ]
    for subject in broken.subjects:
        spans += [Span(subject.replace(":", " "), "key", subject), Span("  ")]
    return wrap(spans, width)


def severities(broken: tuple[ShownViolation, ...]) -> dict[str, str]:
    """Subject → the worst that is wrong with it."""
    found: dict[str, str] = {}
    for one in reversed(worst(broken)):
        for subject in one.subjects:
            found[subject] = one.severity
    return found
