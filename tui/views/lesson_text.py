"""The story: what to read, what to predict, what to reach, and the micro-step in words."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from string import Formatter
from typing import Final

from lessons.i18n.language import ntr, tr
from tui.views.glyphs import Glyphs
from tui.views.markdown import inline, markdown, wrap
from tui.views.row import BLANK, Row, Span, row
from tui.views.view_model import LessonText, Picture, ShownStep, ShownViolation

ORDER: Final = {"splat": 0, "corruption": 1, "hazard": 2}


def story(picture: Picture, width: int, glyphs: Glyphs, *, alarms: bool = False) -> list[Row]:
    """What to read now, the most pressing first.

    First what the lesson says: the last guess judged, the author's remark to this step, the question or the goal with
    its hints. Below that the micro-step in the kernel's words, and what was read before it was made. `alarms`: the
    rules have no pane of their own in sight, so what a step has broken is told here; not while a question is open.
    """
    tale = picture.tale
    later = [] if _is_reading(picture) else list(markdown(tale.text, width))
    return _joined(
        *_pressing(picture, width, glyphs, alarms=alarms),
        steps(picture, width, glyphs),
        later,
        [line for note in tale.notes for line in _labelled(f"{tr('aside')}: ", note, width)],
        wrap([Span(f"{tr('command')}: ", "dim"), Span(tale.do, "code")], width) if tale.do else [],
    )


def pressing(picture: Picture, width: int, glyphs: Glyphs) -> int:
    """How many of the story's first lines must be in sight: a remark, a question, a goal is never cut off."""
    return len(_joined(*_pressing(picture, width, glyphs, alarms=False)))


def last_answer(rows: Sequence[Row]) -> int:
    """The row of the last answer to choose, or of the place where one is typed; 0: nothing is asked."""
    return max(
        (
            at
            for at, line in enumerate(rows)
            for span in line.spans
            if span.subject.startswith(("answer:", "action:act"))
        ),
        default=0,
    )


def _is_reading(picture: Picture) -> bool:
    """Whether the text comes before what is done, not after it: at a question, and where no step was made yet."""
    return picture.tale.ask is not None or picture.last is None


def _pressing(picture: Picture, width: int, glyphs: Glyphs, *, alarms: bool) -> Iterator[list[Row]]:
    """The story's first sections."""
    tale = picture.tale
    yield from _news(picture, width, glyphs)
    yield _alarms(picture.broken, width, glyphs) if alarms and tale.ask is None else []
    yield list(markdown(tale.text, width)) if _is_reading(picture) else []
    yield list(_question(tale, width))
    if not is_reached(tale):
        yield list(_goal(tale, width, glyphs))
    yield [line for kind, hint in tale.hints for line in _labelled(f"{tr('hint')}, {tr(kind)}: ", hint, width)]


def _news(picture: Picture, width: int, glyphs: Glyphs) -> Iterator[list[Row]]:
    """What has come of the last move, as the lesson sees it."""
    tale = picture.tale
    if is_reached(tale):
        yield list(_goal(tale, width, glyphs))
    yield list(_watched(tale, width))
    yield list(_judged(tale, width, glyphs))
    yield _remark(picture.last, width, glyphs)


def _joined(*sections: list[Row]) -> list[Row]:
    """Sections one below the other, a blank line between those that say something."""
    rows: list[Row] = []
    for section in sections:
        if section and rows:
            rows.append(BLANK)
        rows += section
    return rows


def _remark(last: ShownStep | None, width: int, glyphs: Glyphs) -> list[Row]:
    """What the author says to the step that was just made."""
    if last is None or not last.remark:
        return []
    return [Row((Span(f"{glyphs.bar} ", "now"), *line.spans)) for line in markdown(last.remark, width - 2)]


def _alarms(broken: Iterable[ShownViolation], width: int, glyphs: Glyphs) -> list[Row]:
    """What the last move broke, each case whole."""
    return [line for one in newest(broken) if one.fresh for line in case(one, width, glyphs)]


def worst(broken: Iterable[ShownViolation]) -> list[ShownViolation]:
    """The worst first; of equal ones the latest broken first."""
    return sorted(broken, key=lambda one: (ORDER[one.severity], not one.fresh, -one.node))


def newest(broken: Iterable[ShownViolation]) -> list[ShownViolation]:
    """What the last move broke first, then what was broken before it; of both the worst first."""
    return sorted(worst(broken), key=lambda one: not one.fresh)


def tells_alarm(picture: Picture, width: int, glyphs: Glyphs, window: int) -> bool:
    """Whether the last move set off the worst alarm, and a story of `window` lines has all of its message in sight."""
    first = worst(picture.broken)[:1]
    if not first or not first[0].fresh or picture.tale.ask is not None:
        return False
    message = _alarms([first[0]._replace(symptom="")], width, glyphs)
    above = _joined(*_news(picture, width, glyphs), message)
    return len(above) <= window


def _labelled(label: str, text: str, width: int) -> list[Row]:
    """A paragraph that begins with a bold word."""
    rows = list(markdown(text, width - 2))
    first = row(Span(label, "now"))
    return [first, *(Row((Span("  "), *line.spans)) for line in rows)]


def _judged(tale: LessonText, width: int, glyphs: Glyphs) -> Iterator[Row]:
    """Guesses beside the truth, each with its reply; or the guess that waits for it."""
    for number, judged in enumerate(tale.judged):
        if number:
            yield BLANK
        said = {"guess": Span(judged.guess, "strong"), "truth": Span(judged.truth, "strong")}
        if not judged.guess:
            yield from wrap(_filled(tr("It is {truth}."), said), width)
        elif judged.right:
            yield from wrap([Span(f"{glyphs.ok} {tr('Right')}: ", "ok"), said["truth"], Span(".")], width)
        else:
            no = Span(f"{glyphs.broken} {tr('No')}. ", "hazard")
            yield from wrap([no, *_filled(tr("You said {guess}; it is {truth}."), said)], width)
        yield from markdown(judged.reply, width)
    if tale.kept:
        yield from wrap(
            [Span(f"{tr('Your guess')}: ", "now"), Span(tale.kept, "strong"), Span(f". {tr('Now see.')}")], width
        )


def _filled(template: str, spans: Mapping[str, Span]) -> Iterator[Span]:
    """A sentence with spans in its places."""
    for text, name, _, _ in Formatter().parse(template):
        if text:
            yield Span(text)
        if name:
            yield spans[name]


def _question(tale: LessonText, width: int) -> Iterator[Row]:
    """The question, and the answers to choose from."""
    ask = tale.ask
    if ask is None:
        return
    yield row(Span(f" {tr('Predict')} ", "here"))
    yield from markdown(ask.text, width)
    yield BLANK
    for option in ask.options:
        subject = f"answer:{option.key}"
        lead = Span(f" {option.key}  ", "key", subject)
        for at, line in enumerate(wrap([Span(option.text, "plain", subject)], width - len(lead.text))):
            yield Row((lead if at == 0 else Span(" " * len(lead.text)), *line.spans))
    if ask.options:
        yield from wrap([Span(how_to_answer()[0 if ask.numbered else 1], "dim")], width)
    else:
        yield row(Span(f"{tr('Your answer')}: ", "dim"), Span(ask.wants or tr("type it"), "key", "action:act"))


def how_to_answer() -> tuple[str, str]:
    """Below the options: where they have numbers, and where they have letters only."""
    return (
        tr("up/down, the letter or its number chooses, Enter answers"),
        tr("up/down or the letter chooses, Enter answers"),
    )


def _goal(tale: LessonText, width: int, glyphs: Glyphs) -> Iterator[Row]:
    """What is to be reached, and how much of it is."""
    if not tale.goal:
        return
    reached, goes_on = tr("Goal reached"), tr("goes on")
    if is_reached(tale):
        yield row(Span(f" {glyphs.ok} {reached}".ljust(width), "here"))
    else:
        to_type = Span(f" {tr('type commands with')} ")
        yield row(Span(f" {tr('Goal')} ", "here"), to_type, Span(":", "key", "action:prompt"))
    for check in tale.goal:
        sign = Span(f"{glyphs.ok} " if check.met else f"{glyphs.ahead} ", "ok" if check.met else "plain")
        for at, line in enumerate(wrap([Span(check.text)], width - len(sign.text))):
            yield Row((sign if at == 0 else Span(" " * len(sign.text)), *line.spans))
    if is_reached(tale):
        yield row(Span("Enter", "key", "action:act"), Span(f" {goes_on}"))


def is_reached(tale: LessonText) -> bool:
    """Whether there is a goal, and all of it holds."""
    return bool(tale.goal) and all(check.met for check in tale.goal)


def _watched(tale: LessonText, width: int) -> Iterator[Row]:
    """Watched expressions with what they are worth; what the last step changed has a sign."""
    for one in tale.watched:
        role = "changed" if one.fresh else "plain"
        was = f"  ({one.was})" if one.was else ""
        spans = [Span("~ " if one.fresh else "  ", role), Span(one.text, "code"), Span(" = "), Span(one.value, role)]
        yield from wrap([*spans, Span(was, "dim")], width)


def steps(picture: Picture, width: int, glyphs: Glyphs) -> list[Row]:
    """What the last micro-step did, and what the next one is going to do, in the kernel's words."""
    rows: list[Row] = []
    if picture.last is not None:
        rows += _micro_step(tr("just now"), picture.last, width, "strong", glyphs)
    if picture.next is not None:
        if rows:
            rows.append(BLANK)
        rows += _micro_step(tr("next"), picture.next, width, "now", glyphs)
    return rows


def _micro_step(label: str, told: ShownStep, width: int, role: str, glyphs: Glyphs) -> list[Row]:
    """One micro-step: its name, where it stands in the kernel, its words, and how the call ends."""
    name = [Span(f"{label} ", "dim"), Span(told.name, role)]
    if told.task not in {"", "main"}:
        name.append(Span(f" ({tr('task')} {told.task})", "dim"))
    rows = wrap(name, width)
    if told.waits:
        rows += wrap([Span(f"{tr('It must wait')}: ", "hazard"), Span(told.waits)], width)
    if told.outcome:
        rows += wrap([Span(f"{tr('The call ends')}: ", "now"), Span(told.outcome, "strong")], width)
    rows += [Row((Span(told.source, "dim"),))] if told.source and len(told.source) <= width else []
    rows += markdown(tr(told.doc), width)
    if told.before:
        rows += wrap([Span(f"{tr('after')} ", "dim"), Span(in_short(told.before, glyphs), "dim")], width)
    return rows


def in_short(before: Sequence[str], glyphs: Glyphs) -> str:
    """The steps that one key press has made before the last one: the first, and how many follow.

    >>> from tui.views.glyphs import ASCII
    >>> in_short(["walk_pgd", "walk_pud", "walk_pmd"], ASCII)
    'walk_pgd > walk_pud > walk_pmd'
    >>> in_short(["a", "b", "c", "d", "e"], ASCII)
    'a > 3 steps > e'
    """
    link = f" {glyphs.arrow} "
    if len(before) <= 3:
        return link.join(before)
    return link.join((before[0], ntr("{n} step", "{n} steps", len(before) - 2).format(n=len(before) - 2), before[-1]))


def case(broken: ShownViolation, width: int, glyphs: Glyphs) -> list[Row]:
    """One broken invariant, told for this case."""
    sign = glyphs.caution if broken.severity == "hazard" else glyphs.broken
    head = [Span(f" {sign} {tr(broken.severity).upper()} ", broken.severity), Span(f" {broken.invariant}", "strong")]
    rows = wrap(head, width)
    rows += markdown(broken.message, width)
    if broken.symptom:
        rows += wrap([Span(f"{tr('In a real kernel')}: ", "dim"), *inline(broken.symptom, "dim")], width)
    return rows
