"""A lesson as a text to read: what it says, asks and plays, with the model's answers and the reasons for them."""

from collections.abc import Iterator

from lessons.file.schema import Lesson
from lessons.i18n.language import tr
from lessons.play.read_through import ReadItem, read_once
from lessons.play.worked_answer import WorkedAnswer


def reference(lesson: Lesson) -> str:
    """Everything, the answers included, as Markdown. Raises LessonError."""
    header = lesson.header
    parts = [f"# {header.title}", header.summary]
    parts += [part for item in read_once(lesson) for part in _item(item)]
    parts.append(f"**{tr('The rule.')}** {header.rule.strip()}")
    parts.append(tr("Read in the kernel:") + "\n\n" + "\n".join(f"* `{place}`" for place in header.read))
    return "\n\n".join(part for part in parts if part) + "\n"


def _item(item: ReadItem) -> Iterator[str]:
    """One item: text, then what is done."""
    yield item.text
    if item.goal:
        yield f"**{tr('Goal')}**\n\n" + "\n".join(f"- [ ] {check}" for check in item.goal)
    if item.commands:
        yield "```sh\n" + "\n".join(item.commands) + "\n```"
    yield "\n".join(f"* `{step.name}`: {step.remark}" for step in item.steps if step.remark)
    if item.question is not None:
        yield f"**{tr('Predict')}**: {item.ask}"
        yield "\n".join(f"- [ ] {choice}" for choice in item.choices)
    if item.answer is not None:
        yield from answered(item.answer)


def answered(answer: WorkedAnswer) -> Iterator[str]:
    """The model's answer, why, and what is to be said to each wrong one."""
    yield f"**{tr('Answer')}: {answer.truth}.** {answer.why}".strip()
    yield "\n".join(f"* {wrong.answer or tr('anything else')}: {wrong.reply}" for wrong in answer.wrong)
