"""What a room sees: one thing at a time, with air around it; ballots as bars; and the teacher's notes."""

from lessons.i18n.language import tr
from lessons.teach.presenter_state import Ballots, Presented
from tui.views.glyphs import Glyphs
from tui.views.lesson_text import case, how_to_answer, story
from tui.views.markdown import markdown, wrap
from tui.views.row import BLANK, Row, Span, row
from tui.views.view_model import LessonText, Picture

WIDEST = 64
"""Columns of text that can be taken in from the back of a room."""
BAR = 30


def shown(picture: Picture, width: int, glyphs: Glyphs, *, air: bool = True, hinted: bool = False) -> list[Row]:
    """The one thing that matters now: a question, a remark to the last step, or the text; double spaced with `air`.

    A goal is always in sight, with how much of it is reached; a hint where one was just asked for.
    """
    room = min(width - 4, WIDEST)
    tale, last = picture.tale._replace(notes=()), picture.last
    tale = tale._replace(hints=tale.hints[-1:] if hinted else ())
    if tale.ask is None and last is not None and (last.remark or last.outcome) and not tale.judged:
        rows = [row(Span(last.name, "title")), BLANK]
        rows += markdown(last.remark or last.doc, room)
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
    return [line for each in placed for line in (each, BLANK)] if air else placed


def ballots(votes: Ballots, width: int, glyphs: Glyphs) -> list[Row]:
    """Both ballots side by side, in bars and in numbers."""
    rows = [BLANK, row(Span(f"  {tr('Ballot')}", "title"))]
    most = max((count for counts in votes.counts for count in counts), default=1) or 1
    for number, answer in enumerate(votes.answers):
        rows += [Row((Span("  "), *line.spans)) for line in wrap([Span(answer, "strong")], width - 2)]
        for ballot, counts in enumerate(votes.counts, 1):
            total = sum(counts) or 1
            bar = (glyphs.node if glyphs.arrow == "→" else "#") * round(BAR * counts[number] / most)
            share = f"{100 * counts[number] / total:3.0f}%"
            rows.append(row(Span(f"   {ballot}. ", "dim"), Span(f"{counts[number]:3}  {share}  "), Span(bar, "now")))
    return rows


def notes(where: Presented | None, now: float, width: int, glyphs: Glyphs) -> list[Row]:
    """The second terminal: what to say, what comes next, what they will believe, and the clock."""
    if where is None:
        said = tr("Nobody is presenting. Start with `ptescope learn LESSON --present`; this page follows.")
        return [BLANK, *wrap([Span(f" {said}")], width)]
    elapsed = max(int(now - where.began), 0)
    late = elapsed > where.minutes * 60
    clock = f"{elapsed // 60:02}:{elapsed % 60:02} / {where.minutes:02}:00"
    rows = [
        row(
            Span(f" {where.title}  ", "title"),
            Span(tr("part {at} of {parts}").format(at=where.part, parts=where.parts), "dim"),
            Span(f"   {glyphs.caution + ' ' if late else ''}{clock}", "hazard" if late else "strong"),
        ),
        BLANK,
    ]
    for text in where.notes or (tr("(no note to this part)"),):
        rows += [*markdown(text, width - 2), BLANK]
    if where.question:
        rows += [row(Span(f" {tr('Question')}", "title")), *markdown(where.question, width - 2), BLANK]
    for belief in where.beliefs:
        rows += wrap([Span(f" {belief.answer}: " if belief.answer else " ", "strong"), Span(belief.reply)], width - 1)
    for name, votes in where.ballots.items():
        rows += [BLANK, row(Span(f" {name}", "dim")), *ballots(votes, width, glyphs)]
    if where.following:
        rows += [BLANK, row(Span(f" {tr('Next')}", "title")), *wrap([Span(f" {where.following}")], width - 1)]
    return rows
