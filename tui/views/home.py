"""The home screen: what there is to learn, how far one is, and the sandbox."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from lessons.i18n.language import tr
from tui.views.glyphs import Glyphs
from tui.views.markdown import wrap
from tui.views.row import BLANK, Row, Span, cut, row

ABOUT = (
    "Holding a reference to a page does not keep the page table from changing. "
    "See why, byte by byte, on a simulated Linux memory manager that runs one micro-step a key press."
)
ENTRIES: Final = (
    ("Tour", "What is where, in ninety seconds.", "lesson:tour"),
    ("Drills", "Endless practice. What you get wrong comes back more often.", "action:app.drill"),
    ("Recap", "What you have learnt, your wrong guesses beside the truth.", "action:app.recap"),
    ("Sandbox", "Build any machine with commands and step through it.", "open:sandbox"),
    ("Compare", "Which drivers are safe from whom, and with which defence.", "action:app.compare"),
    ("Museum", "Real bugs: walk into each as it was, then see what mended it.", "action:app.museum"),
    ("Help", "Keys, signs, words.", "action:app.help"),
)
"""What there is besides lessons: title, summary, and what opens it."""
TITLE: Final = 12
"""Columns for the title of one of these."""
SIDE = 22
"""Columns for minutes and progress."""


class LessonLine(NamedTuple):
    """A lesson of the list."""

    name: str
    title: str
    part: str
    summary: str
    minutes: int
    parts: int
    """How many it has; known only of one that has been begun."""
    at: int
    """Parts that lie behind the learner."""
    finished: bool
    damaged: str = ""
    """Why it cannot be played; empty if it can."""


class AssignedDrills(NamedTuple):
    """Exercises of an assignment."""

    kind: str
    seed: int
    many: int
    done: int


class ShownAssignment(NamedTuple):
    """An assignment that is open."""

    title: str
    until: str
    """When it is to be handed in; empty: whenever one likes."""
    late: bool
    lessons: tuple[LessonLine, ...]
    drills: tuple[AssignedDrills, ...]


def home(
    offers: Sequence[LessonLine],
    width: int,
    glyphs: Glyphs,
    assignments: Sequence[ShownAssignment] = (),
    worlds: Sequence[str] = (),
) -> list[Row]:
    """The whole list; every line that can be opened is a place for the cursor. `worlds`: one's own, to practise on."""
    rows = [BLANK, *(Row((Span("  "), *line.spans)) for line in wrap([Span(tr(ABOUT))], min(width - 4, 96))), BLANK]
    entries = list(ENTRIES)
    if worlds:
        about = tr("Practice on the worlds of your own lessons: {names}.").format(names=", ".join(worlds))
        entries.insert(2, ("My worlds", about, "action:app.drill('@')"))
    rows += [_entry(title, summary, subject, width, glyphs) for title, summary, subject in entries]
    for assignment in assignments:
        rows += _assignment(assignment, width, glyphs)
    part = ""
    for offer in offers:
        if offer.part != part:
            part = offer.part
            rows += [BLANK, row(Span(f"  {tr(part)}", "title"))]
        rows += _offer(offer, width, glyphs)
    return rows


def _assignment(assignment: ShownAssignment, width: int, glyphs: Glyphs) -> list[Row]:
    """What was assigned, how much of it is done, and the way to hand it in."""
    until = f"  {tr('until {when}').format(when=assignment.until)}" if assignment.until else ""
    head = f"  {tr('Assignment')}: {assignment.title}"
    rows = [BLANK, row(Span(cut(head, width), "title"), Span(until, "hazard" if assignment.late else "dim"))]
    for lesson in assignment.lessons:
        rows += _offer(lesson, width, glyphs)[:1]
    for drills in assignment.drills:
        done = drills.done >= drills.many
        sign, role = (glyphs.ok, "ok") if done else (glyphs.here, "now") if drills.done else (glyphs.ahead, "dim")
        title = tr("Drill {kind}, {count} exercises").format(kind=drills.kind, count=drills.many)
        side = tr("{done} of {count}").format(done=drills.done, count=drills.many)
        subject = f"action:app.assigned_drill('{drills.kind}', {drills.seed}, {drills.many})"
        rows += _line(sign, role, title, side, "", width, subject)[:1]
    return [*rows, _entry("Hand in", tr("One file for the teacher."), "action:app.hand_in", width, glyphs)]


def _entry(title: str, summary: str, subject: str, width: int, glyphs: Glyphs) -> Row:
    """A line of what there is besides lessons."""
    lead = f"  {glyphs.pointer} ".ljust(5)
    name = tr(title).ljust(TITLE)
    return row(
        Span(lead, "key", subject),
        Span(name, "strong", subject),
        Span(cut(tr(summary), width - len(lead + name)), "dim"),
    )


def _offer(offer: LessonLine, width: int, glyphs: Glyphs) -> list[Row]:
    """The row of one lesson."""
    if offer.damaged:
        return _line(glyphs.broken, "splat", offer.name, tr("damaged"), offer.damaged, width, "")
    sign, role = (glyphs.ok, "ok") if offer.finished else (glyphs.here, "now") if offer.at else (glyphs.ahead, "dim")
    place = tr("section {at} of {parts}").format(at=offer.at + 1, parts=offer.parts)
    far = tr("done") if offer.finished else place if offer.at else ""
    side = f"{offer.minutes} min  {far}"
    return _line(sign, role, offer.title, side, offer.summary, width, f"lesson:{offer.name}")


def _line(sign: str, role: str, title: str, side: str, summary: str, width: int, subject: str) -> list[Row]:
    """Sign, title and what stands at the right, then the summary."""
    room = max(width - SIDE - 5, 10)
    return [
        row(
            Span(f"  {sign} ".ljust(5), role, subject),
            Span(cut(title, room).ljust(room), "strong", subject),
            Span(side, "dim", subject),
        ),
        *(Row((Span("     "), *line.spans)) for line in wrap([Span(summary, "dim")], width - 6)),
    ]
