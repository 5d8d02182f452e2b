"""What the help says first: what is going on here and now, what is stuck and why, and what to do about it."""

import re
from collections.abc import Iterator
from typing import Final

from lessons.i18n.language import tr
from model.memory.state import State
from model.memory.tasks import Task
from tui.views.lesson_text import worst
from tui.views.view_model import Picture

HELD_PAGE: Final = re.compile(r"reference on page (\d+) of (\S+)")
MOST_BROKEN: Final = 3


def context(picture: Picture, word: str = "") -> list[tuple[str, str]]:
    """Pairs of what it is about and what there is to say, the most pressing first. `word` refused the last key."""
    return [
        *([(tr("refused"), word)] if word else []),
        *_asked(picture),
        *_stuck(picture.state),
        *_broken(picture),
        (tr("Enter"), tr("The next thing to do here: {hint}.").format(hint=picture.hint)),
    ]


def _asked(picture: Picture) -> Iterator[tuple[str, str]]:
    """The question or the goal that the lesson waits at."""
    tale = picture.tale
    if tale.ask is not None:
        how = tr("choose with up/down or a letter, then Enter") if tale.ask.options else tr("type a number, then Enter")
        waits = tr("The lesson waits for your guess: {how}. A wrong guess costs nothing, and is what one learns from.")
        yield tr("question"), waits.format(how=how)
    if missing := [check.text for check in tale.goal if not check.met]:
        first = tr("{count} of {all} conditions do not hold yet, the first: {text}.")
        yield tr("goal"), first.format(count=len(missing), all=len(tale.goal), text=missing[0])
        yield (
            tr("goal"),
            tr("Type commands with `:`. `h` gives a hint; the third one is computed from where you are."),
        )
    elif tale.goal:
        yield tr("goal"), tr("The goal is reached: go forward.")


def _stuck(state: State) -> Iterator[tuple[str, str]]:
    """Tasks that cannot go on, and who is in their way."""
    for name, task in sorted(state.tasks.items()):
        if not task.blocked:
            continue
        yield f"{tr('task')} {name}", tr("It waits: {reason}.").format(reason=task.blocked)
        for other in _in_the_way(state, name, task):
            moves = tr("Let `{other}` go on (`step {other}`, `finish {other}`), and `{name}` can follow.")
            yield "", moves.format(other=other, name=name)
        for reference in _holding(state, task):
            yield (
                "",
                tr("`{reference}` holds that frame: give it back with `put {reference}`.").format(reference=reference),
            )


def _in_the_way(state: State, name: str, task: Task) -> list[str]:
    """Tasks that hold what another one waits for: named in the reason, or holders of the lock that is."""
    holders = set()
    for (kind, owner), lock in state.locks.items():
        if kind in task.blocked and owner in task.blocked:
            holders |= {lock.writer, *lock.readers}
    named = {other for other in state.tasks if other in task.blocked.replace(",", " ").replace(":", " ").split()}
    return sorted((holders | named) & set(state.tasks) - {name})


def _holding(state: State, task: Task) -> list[str]:
    """References to the page whose last reference a task waits for."""
    found = HELD_PAGE.search(task.blocked)
    pfn = state.page_cache.get((found[2], int(found[1]))) if found is not None else None
    return sorted(name for name, reference in state.references.items() if pfn in reference.frames)


def _broken(picture: Picture) -> Iterator[tuple[str, str]]:
    """The rules that do not hold, the worst first."""
    for broken in worst(picture.broken)[:MOST_BROKEN]:
        since = tr("Since {since}: {message}").format(since=broken.since, message=broken.message.replace("`", ""))
        yield f"{tr(broken.severity)} {broken.invariant}", since
