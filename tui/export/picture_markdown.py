"""Pictures as Markdown: the drawing as a block of text, with its command, what it broke, and what the lesson says."""

from collections.abc import Iterator, Sequence

from tui.export.picture_steps import PictureStep
from tui.views.glyphs import UNICODE
from tui.views.picture.draw import picture


def markdown(steps: Sequence[PictureStep], title: str, width: int) -> str:
    """All steps; `width` of a picture in columns."""
    return "\n\n".join((f"# {title}", *(part for step in steps for part in _parts(step, width)))) + "\n"


def _parts(step: PictureStep, width: int) -> Iterator[str]:
    """The paragraphs of one step."""
    yield f"## {step.number}. `{step.command}`" if step.command else f"## {step.title}"
    told = [part for part in (step.name and f"`{step.name}`", step.outcome) if part]
    if told:
        yield " → ".join(told)
    rows = [line.text.rstrip() for line in picture(step.drawn, width)]
    if rows:
        yield "\n".join(("```text", *rows, "```"))
    for alarm in step.alarms:
        sign = UNICODE.caution if alarm.severity == "hazard" else UNICODE.broken
        yield f"{sign} **{alarm.severity} {alarm.invariant}**: {alarm.message}"
    if step.text:
        yield step.text
