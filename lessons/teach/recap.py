"""What was learnt, as Markdown: the rules, your wrong guesses beside the truth, what to read, what comes next."""

from collections.abc import Iterable, Iterator

from lessons.drills.score import summary
from lessons.file.library import LessonEntry
from lessons.file.schema import Lesson
from lessons.i18n.language import tr
from lessons.learner.progress import LessonProgress, Progress
from lessons.play.player import Player


def recap(course: Iterable[LessonEntry], progress: Progress) -> str:
    """The whole recap. Raises LessonError where a lesson that was begun cannot be played any more.

    Only the lessons that were begun are read whole.
    """
    lessons = [(entry, entry.header) for entry in course if entry.header is not None]
    begun = [entry.lesson for entry, header in lessons if header.id in progress.lessons and entry.lesson is not None]
    texts = [f"# {tr('What I have learnt')}"]
    if not begun and not progress.drills:
        texts.append(tr("Nothing yet: `ptescope` opens the course, `ptescope drill` asks a question."))
    part = ""
    for lesson in begun:
        if lesson.header.part != part:
            part = lesson.header.part
            texts.append(f"## {tr(part)}")
        texts.append("\n\n".join(_lesson(lesson, progress.lessons[lesson.id])))
    if progress.drills:
        texts.append("\n\n".join(_drills(progress)))
    done = {name for name, one in progress.lessons.items() if one.finished}
    following = next((header for _, header in lessons if header.id not in done), None)
    if following is not None:
        texts.append(f"## {tr('Next')}\n\n**{following.title}**: {following.summary}")
    return "\n\n".join(texts) + "\n"


def _lesson(lesson: Lesson, progress: LessonProgress) -> Iterator[str]:
    """One lesson: its rule once it is finished, and the guesses that were wrong."""
    header = lesson.header
    player = Player(lesson, progress)
    yield f"### {header.title}"
    if progress.finished:
        yield f"**{header.rule.strip()}**"
    else:
        yield tr("Begun: section {at} of {parts}.").format(at=progress.item + 1, parts=len(lesson.items))
    asked = player.asked()
    wrong = [(asked[name], verdict) for name, verdict in player.judged.items() if not verdict.right]
    right = len(player.judged) - len(wrong)
    if player.judged:
        score = tr("{right} of {all} predictions were right.").format(right=right, all=len(player.judged))
        yield score if not wrong else f"{score} {tr('These were not:')}"
    for question, verdict in wrong:
        said = tr("I said {guess}; it is {truth}.").format(guess=verdict.guess, truth=verdict.truth)
        yield f"- {' '.join(question.split())}\n  {said} {verdict.reply}"
    if progress.finished:
        yield tr("Read in the kernel:") + " " + ", ".join(f"`{place}`" for place in header.read)


def _drills(progress: Progress) -> Iterator[str]:
    """How the exercises went, kind by kind."""
    yield f"## {tr('Drills')}"
    yield tr("{score} right.").format(score=summary(progress.drills))
    yield "\n".join(
        f"- `{kind}`: " + tr("{right} of {asked}").format(right=score.right, asked=score.asked)
        for kind, score in sorted(progress.drills.items())
    )
