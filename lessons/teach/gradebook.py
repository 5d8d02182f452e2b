"""Collected work as tables: for the eye, for a spreadsheet, and for the learning platforms Moodle and Canvas."""

import csv
from collections.abc import Iterable, Sequence
from io import StringIO
from typing import Final

from lessons.i18n.language import tr
from lessons.teach.assignment import Assignment, when
from lessons.teach.collect import CollectedWork, Collection

FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")
"""What a spreadsheet takes for the beginning of a formula."""


def _csv(rows: Iterable[Sequence[object]]) -> str:
    """Rows as CSV; no cell is a formula."""
    stream = StringIO()
    writer = csv.writer(stream, lineterminator="\r\n")
    for row in rows:
        writer.writerow([_cell(cell) for cell in row])
    return stream.getvalue()


def _cell(value: object) -> object:
    """What may stand in a cell: a student may be called anything."""
    if isinstance(value, str) and value.startswith(FORMULA):
        return f"'{value}"
    return value


def questions(collection: Collection) -> str:
    """One row for each student and question."""
    head = ("student", "id", "lesson", "question", "asked", "answer", "truth", "right", "hints", "answered at")
    rows: list[Sequence[object]] = [head]
    for one in collection.works:
        who = (one.work.name, one.work.student)
        for lesson in one.lessons:
            rows += [
                (*who, lesson.lesson, q.id, q.ask, q.guess, q.truth, int(q.right), q.hints, when(q.at) if q.at else "")
                for q in lesson.questions
            ]
            rows += [
                (
                    *who,
                    lesson.lesson,
                    g.id,
                    tr("goal"),
                    g.commands,
                    "",
                    int(g.reached),
                    g.hints,
                    when(g.at) if g.at else "",
                )
                for g in lesson.goals
            ]
        rows += [
            (*who, f"drill {e.kind}", e.seed, "", e.guess, e.truth, int(e.right), "", when(e.at) if e.at else "")
            for e in one.exercises
        ]
    return _csv(rows)


def _parts(collection: Collection, assignment: Assignment | None) -> list[str]:
    """The columns of the gradebook: each lesson, and each kind of drill."""
    if assignment is not None:
        return [*assignment.lessons, *dict.fromkeys(f"drill {drills.kind}" for drills in assignment.drills)]
    lessons = {lesson.lesson for one in collection.works for lesson in one.lessons}
    kinds = {f"drill {made.kind}" for one in collection.works for made in one.exercises}
    return [*sorted(lessons), *sorted(kinds)]


def _points(one: CollectedWork, part: str) -> int:
    if part.startswith("drill "):
        return sum(made.right for made in one.exercises if f"drill {made.kind}" == part)
    return sum(lesson.points for lesson in one.lessons if lesson.lesson == part)


def _most(collection: Collection, assignment: Assignment | None, part: str) -> int:
    """Points that a column has at most."""
    if part.startswith("drill "):
        if assignment is not None:
            return sum(drills.count for drills in assignment.drills if f"drill {drills.kind}" == part)
        return max((sum(f"drill {e.kind}" == part for e in one.exercises) for one in collection.works), default=0)
    found = [lesson.possible for one in collection.works for lesson in one.lessons if lesson.lesson == part]
    return max(found, default=0)


def moodle(collection: Collection, assignment: Assignment | None) -> str:
    """A table that Moodle's gradebook imports: mapped by address, ID number or name; points and a remark a student.

    https://docs.moodle.org/311/en/Grade_import says which columns can be mapped to what.
    """
    parts = _parts(collection, assignment)
    rows: list[Sequence[object]] = [("Full name", "ID number", "Email address", *parts, "Feedback comments")]
    for one in collection.works:
        student = one.work.student
        address = student if "@" in student else ""
        points = [_points(one, part) for part in parts]
        rows.append((one.work.name, "" if address else student, address, *points, "; ".join((*one.refused, *one.odd))))
    return _csv(rows)


def canvas(collection: Collection, assignment: Assignment | None) -> str:
    """A table that Canvas' gradebook imports: its five columns for a student, then points; below the heads the most.

    As lib/gradebook_importer.rb of canvas-lms (00b222d) reads it: `row_has_student_headers?`, `update_column_count`,
    `check_for_non_student_row`, `process_student`.
    """
    parts = _parts(collection, assignment)
    head = ("Student", "ID", "SIS User ID", "SIS Login ID", "Section", *(f"ptescope {part}" for part in parts))
    most = ("    Points Possible", "", "", "", "", *(_most(collection, assignment, part) for part in parts))
    rows: list[Sequence[object]] = [head, most]
    for one in collection.works:
        student = one.work.student
        ids = ("", student, "") if student and "@" not in student else ("", "", student)
        rows.append((one.work.name, *ids, "", *(_points(one, part) for part in parts)))
    return _csv(rows)


def table(collection: Collection, assignment: Assignment | None) -> list[str]:
    """For the eye: one line a student, then what was refused and what is odd."""
    parts = _parts(collection, assignment)
    heads = [tr("student"), *(part.removeprefix("drill ") for part in parts), tr("together")]
    body = [
        [one.work.name, *(str(_points(one, part)) for part in parts), f"{one.points}/{collection.possible}"]
        for one in collection.works
    ]
    widths = [max(len(row[at]) for row in (heads, *body)) for at in range(len(heads))]
    lines = [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in (heads, *body)
    ]
    for one in collection.works:
        lines += [f"{one.work.name}: {tr('refused')}: {why}" for why in one.refused]
        lines += [f"{one.work.name}: {tr('odd')}: {what}" for what in one.odd]
    lines += [f"{file.file}: {tr('refused')}: {file.why}" for file in collection.refused]
    return lines


def hardest(collection: Collection, most: int = 5) -> list[str]:
    """The questions that went worst: what to begin the next class with."""
    asked: dict[tuple[str, str], list[bool]] = {}
    wrong: dict[tuple[str, str], list[str]] = {}
    for one in collection.works:
        for lesson in one.lessons:
            for question in lesson.questions:
                if question.guess and question.truth:
                    key = (lesson.lesson, question.ask)
                    asked.setdefault(key, []).append(question.right)
                    if not question.right:
                        wrong.setdefault(key, []).append(question.guess)
    worst = sorted(asked, key=lambda key: (sum(asked[key]) / len(asked[key]), key))[:most]
    lines = []
    for key in worst:
        right, guesses = asked[key], wrong.get(key, [])
        if not guesses:
            continue
        often = max(set(guesses), key=lambda guess: (guesses.count(guess), guess))
        said = tr("{right} of {all} right; {count} said: {guess}")
        told = said.format(right=sum(right), all=len(right), count=guesses.count(often), guess=often)
        lines.append(f"{key[0]}: {key[1]}\n    {told}")
    return lines
