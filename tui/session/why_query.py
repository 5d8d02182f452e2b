"""`why` as a word: what somebody asks about, by the names that scripts use, and the answer as text."""

from typing import Final

from lessons.i18n.language import tr
from model.invariants.subjects import subject
from model.memory.state import State
from model.script.ask import quantity
from model.script.conditions import measure
from model.script.moment import Moment, NoAnswerError
from model.session.timeline import Timeline
from model.text.words import whole_number
from tui.views.why import accounts, cause_line

FRAMES: Final = "f"
"""Frames are written `f5`, as in the panes."""


def offered() -> str:
    """What a text offers with each alarm; a screen's key line has `W` instead."""
    return tr("`why` names the steps behind it.")


class AskError(Exception):
    """Nothing of that name; the message says what was expected."""


def asked(state: State, words: str) -> str:
    """The subject that is meant by `P WHERE`, a reference, a buffer, a file, a process or `f5`; AskError if none is."""
    named = words.split()
    match named:
        case []:
            return ""
        case [process, where]:
            try:
                return subject("pte", process, measure(quantity(f"page-number {process} {where}"), Moment(state)))
            except NoAnswerError as error:
                raise AskError(str(error)) from None
        case [one] if one.startswith(FRAMES) and (frame := whole_number(one.removeprefix(FRAMES))) is not None:
            return subject("frame", frame)
        case [one]:
            kinds = {"ref": state.references, "buffer": state.buffers, "file": state.files, "process": state.processes}
            for kind, table in kinds.items():
                if one in table:
                    return subject(kind, one)
            expected = tr("there is no `{name}`; expected PROCESS WHERE, a reference, buffer, file or frame (`f5`)")
            raise AskError(expected.format(name=one[:40]))
        case _:
            raise AskError(tr("expected PROCESS WHERE, a reference, buffer, file or frame (`f5`), or nothing"))


def answer(timeline: Timeline, words: str) -> str:
    """The steps that made it so, oldest first; for no words, those that broke the rules. Raises AskError."""
    lines: list[str] = []
    nothing = tr("nothing in this history has made or changed it")
    for title, causes in accounts(timeline, asked(timeline.here.state, words)):
        lines.append(f"{title}:")
        lines += [f"  {cause_line(cause)}" for cause in causes] or [f"  {nothing}"]
    return "\n".join(lines) or tr("No rule is broken. Ask about something: `why p0 buf`, `why r0`, `why f5`.")
