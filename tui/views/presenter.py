"""What a room sees: one thing at a time, with air around it; ballots as bars; and the teacher's notes."""

from collections.abc import Iterator, Sequence

from lessons.i18n.language import tr
from lessons.teach.presenter_state import Ballots, Presented
from tui.views.glyphs import Glyphs
from tui.views.lesson_text import case, how_to_answer, story
from tui.views.markdown import inline, markdown, wrap
from tui.views.row import BLANK, Row, Span, row
from tui.views.view_model import LessonText, Picture, ShownStep

WIDEST = 64
"""Columns of text that can be taken in from the back of a room."""
BAR = 30
SILENT = 5.0
"""Seconds after which a presenter that says nothing more is said to be cut off."""


def shown(
    picture: Picture, width: int, glyphs: Glyphs, *, air: bool = True, hinted: bool = False, below: Sequence[Row] = ()
) -> list[Row]:
    """The one thing that matters now: a question, a remark to the last step, or the text; double spaced with `air`.

    A goal is always in sight, with how much of it is reached; a hint where one was just asked for. `below`: rows that
    stand under all this, as wide as the text: a ballot.
    """
    room = min(width - 4, WIDEST)
    tale, last = picture.tale._replace(notes=()), picture.last
    tale = tale._replace(hints=tale.hints[-1:] if hinted else ())
    if has_said(picture) and last is not None:
        rows = [row(Span(last.name, "title")), BLANK]
        rows += markdown(last.remark or tr(last.doc), room)
        if last.outcome:
            rows += [BLANK, row(Span(last.outcome, "strong"))]
        if tale.goal:
            rows += [BLANK, *story(picture._replace(tale=LessonText(goal=tale.goal, hints=tale.hints)), room, glyphs)]
    else:
        rows = story(picture._replace(tale=tale), room, glyphs)
    for broken in picture.broken:
        if broken.fresh:
            rows += [BLANK, *case(broken, room, glyphs)]
    left = max((width - room) // 2, 0)
    if tale.ask is not None and tale.ask.options:
        rows = [line for line in rows if line.text.strip() not in how_to_answer()]  # the room has no keys
    placed = [Row((Span(" " * left), *each.spans), each.ground) for each in rows]
    if air:
        placed = [line for each in placed for line in (each, BLANK)]
    return [*placed, *(Row((Span(" " * left), *each.spans), each.ground) for each in below)]


def as_markdown(picture: Picture, *, hinted: bool = False) -> str:
    """What a room reads now, for browsers: the same as `shown`, but the question, which they vote on."""
    tale, last, following = picture.tale, picture.last, picture.next
    parts: list[str] = []
    if has_said(picture) and last is not None:
        parts += [f"**{last.name}**" if last.name else "", last.remark or tr(last.doc), last.outcome]
        parts += [_goal_as_markdown(tale)]
    else:
        parts += [f"{tr('It is')} **{guess.truth}**.\n\n{guess.reply}" for guess in tale.judged]
        parts += [f"{tr('Your guess')}: **{tale.kept}**. {tr('Now see.')}" if tale.kept else ""]
        told = last if tale.ask is None else None
        parts += [told.remark if told is not None else "", tale.text if last is None or tale.ask is not None else ""]
        parts += [_goal_as_markdown(tale)]
        if told is not None:
            parts += [_step_as_markdown(told), told.outcome]
        if following is not None and tale.ask is None:
            parts.append(f"{tr('next')} {_step_as_markdown(following)}")
        parts += [tale.text if told is not None else "", f"{tr('command')}: `{tale.do}`" if tale.do else ""]
    if hinted:
        parts += [f"**{tr('hint')}, {tr(kind)}:** {hint}" for kind, hint in tale.hints[-1:]]
    for broken in picture.broken:
        if broken.fresh:
            parts.append(f"**{tr(broken.severity)} {broken.invariant}**: {broken.message}")
            parts += [f"{tr('In a real kernel')}: {broken.symptom}" if broken.symptom else ""]
    return "\n\n".join(filter(None, parts))


def has_said(picture: Picture) -> bool:
    """Whether the last step is the one thing that matters now: it has a remark, or ends a call."""
    tale, last = picture.tale, picture.last
    return tale.ask is None and last is not None and bool(last.remark or last.outcome) and not tale.judged


def _step_as_markdown(step: ShownStep) -> str:
    task = f" ({tr('task')} {step.task})" if step.task not in {"", "main"} else ""
    waits = f"{tr('It must wait')}: {step.waits}\n\n" if step.waits else ""
    return f"**{step.name}**{task}: {waits}{tr(step.doc)}"


def _goal_as_markdown(tale: LessonText) -> str:
    return "\n".join(f"- {'✓' if check.met else '○'} {check.text}" for check in tale.goal)


def ballots(votes: Ballots, width: int, glyphs: Glyphs) -> list[Row]:
    """Both ballots side by side, in bars and in numbers."""
    rows = [BLANK, row(Span(tr("Ballot"), "title"))]
    room = max(min(BAR, width - 16), 1)
    most = max((count for counts in votes.counts for count in counts), default=1) or 1
    for number, answer in enumerate(votes.answers):
        rows += wrap(inline(answer, "strong"), width)
        for ballot, counts in enumerate(votes.counts, 1):
            total = sum(counts) or 1
            bar = (glyphs.node if glyphs.arrow == "→" else "#") * round(room * counts[number] / most)
            share = f"{100 * counts[number] / total:3.0f}%"
            rows.append(row(Span(f" {ballot}. ", "dim"), Span(f"{counts[number]:3}  {share}  "), Span(bar, "now")))
    return rows


def notes(where: Presented | None, now: float, width: int, glyphs: Glyphs) -> list[Row]:
    """The second terminal: what to say, the right answer, what they will believe, what comes next, and the clock."""
    if where is None:
        said = tr("Nobody is presenting. Start with `ptescope learn LESSON --present`; this page follows.")
        return [BLANK, *wrap([Span(f" {said}")], width)]
    rows = [_clock(where, glyphs), BLANK]
    if abs(now - where.now) > SILENT:
        ago = max(int(now - where.now), 0)
        said = tr(
            "The presentation has not answered for {minutes}:{seconds:02}; the clock stands still. If it was cut off:"
        )
        again = f"`ptescope learn {where.lesson} --present` {tr('goes on at this very place.')}"
        told = said.format(minutes=ago // 60, seconds=ago % 60)
        rows += [*wrap([Span(f" {told}", "hazard")], width), *markdown(f" {again}", width), BLANK]
    return [*rows, *_answer(where, width, glyphs), *_script(where, width)]


def _clock(where: Presented, glyphs: Glyphs) -> Row:
    """Title, part, and how long the lecture has taken of what it was planned for."""
    elapsed = max(int(where.elapsed), 0)
    late = elapsed > where.minutes * 60
    clock = f"{elapsed // 60:02}:{elapsed % 60:02} / {where.minutes:02}:00"
    return row(
        Span(f" {where.title}  ", "title"),
        Span(tr("section {at} of {parts}").format(at=where.part, parts=where.parts), "dim"),
        Span(f"   {glyphs.caution + ' ' if late else ''}{clock}", "hazard" if late else "strong"),
    )


def _answer(where: Presented, width: int, glyphs: Glyphs) -> Iterator[Row]:
    """The question with its right answer, why it is right, and what is to be said to each wrong one."""
    if not where.question:
        return
    yield row(Span(f" {tr('Question')}", "title"))
    yield from markdown(where.question, width - 2)
    yield BLANK
    if where.truth:
        yield from wrap([Span(f" {glyphs.ok} {tr('Right')}: ", "ok"), *inline(where.truth, "strong")], width - 1)
        yield from (Row((Span("   "), *line.spans)) for line in markdown(where.why, width - 4))
        yield BLANK
    if where.beliefs:
        yield row(Span(f" {tr('To whoever says')}", "title"))
    for belief in where.beliefs:
        answer = belief.answer.replace("**", "") or tr("anything else")
        yield from markdown(f"**{answer}:** {belief.reply}", width - 1)
    votes = where.ballots.get(where.question_id)
    if votes is not None:
        yield from ballots(votes, width, glyphs)
    yield BLANK


def _script(where: Presented, width: int) -> Iterator[Row]:
    """What to say to this part, what the room is about to see, and what comes next."""
    if where.notes:
        yield row(Span(f" {tr('Note')}", "title"))
        for text in where.notes:
            yield from markdown(text, width - 2)
            yield BLANK
    if where.say:
        yield row(Span(f" {tr('Say')}", "title"))
        yield from markdown(where.say, width - 2)
        yield BLANK
    if where.solution:
        yield row(Span(f" {tr('These commands reach the goal')}", "title"))
        yield from (row(Span(f"   {line}", "code")) for line in where.solution)
        yield BLANK
    if where.ahead:
        yield row(Span(f" {tr('They will see')}", "title"))
    for step in where.ahead:
        yield from markdown(f"`{step.answer}`: {step.reply}", width - 1)
    if where.ahead:
        yield BLANK
    if where.following:
        yield row(Span(f" {tr('Next')}", "title"))
        yield from markdown(where.following, width - 1)
