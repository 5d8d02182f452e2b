"""Session commands in plain mode: those that open a screen in the app answer with text; all others are the same."""

from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from lessons.file.scene_library import ready_scenes
from lessons.i18n.language import tr
from model.session.state_code import CodeError, encode
from model.session.to_script import script_of
from tui.drivers.session_commands import WORDS, NoPlaceError, carry_out, places_of
from tui.plain.panes import read_aloud
from tui.session.why_query import AskError, answer
from tui.views.difference import between, difference
from tui.views.tree import tree

if TYPE_CHECKING:
    from tui.drivers.sandbox import SandboxDriver
    from tui.views.glyphs import Glyphs

SCREENS_ONLY: Final = frozenset({"settings", "form"})
"""What needs fields to fill in."""
PLAIN_WORDS: Final = tuple(word for word in WORDS if word.name not in SCREENS_ONLY)


def use(driver: "SandboxDriver", line: str, width: int, glyphs: "Glyphs") -> str:
    """Do what a line says; returns what is to be said."""
    name, _, rest = line.strip().partition(" ")
    rest = rest.strip()
    session = driver.session
    try:
        match name:
            case "settings" | "form":
                return tr("`{word}` needs a screen: `ptescope sandbox` without --plain has it.").format(word=name)
            case "scenes":
                return "\n".join(f"{scene.name}: {tr(scene.about)}" for scene in ready_scenes())
            case "script":
                return "\n".join(script_of(session.timeline, session.node).lines)
            case "code" if not rest:
                return encode(session.timeline, session.node)
            case "why":
                return answer(session.timeline, rest)
            case "history":
                return "\n".join(_history(driver, width, glyphs))
            case "diff":
                return _difference(driver, rest, width, glyphs)
            case "run":
                return _run(driver, rest)
            case _:
                return carry_out(driver, line.strip())
    except (AskError, CodeError, NoPlaceError) as error:
        return str(error)


def _history(driver: "SandboxDriver", width: int, glyphs: "Glyphs") -> Iterator[str]:
    """The tree, each place with the number by which `goto` knows it."""
    for row in tree(driver.session.timeline, width - 7, glyphs):
        node = next((span.subject for span in row.spans if span.subject), "").removeprefix("node:")
        yield f"{'#' + node:<6} {row.text}".rstrip()


def _difference(driver: "SandboxDriver", names: str, width: int, glyphs: "Glyphs") -> str:
    """What differs from one place to another; by default from where the last command began to here."""
    timeline = driver.session.timeline
    if names:
        base, to = ([timeline.nodes[number] for number in places_of(timeline, names)] + [timeline.here])[:2]
    else:
        base, to = timeline.began(timeline.here), timeline.here
    rows = difference(to.state, between(timeline, base, to), width, glyphs)
    return "\n".join(read_aloud(row.text) for row in rows) or tr("Nothing differs: it is the same machine.")


def _run(driver: "SandboxDriver", words: str) -> str:
    """The tasks, and what each does next; with the name of one its next micro-step is made."""
    if words:
        return driver.step_task(words)
    tasks = [f"{at.task}: {at.procedure}.{at.step}{_waits(at.blocked)}" for at in driver.session.tasks()]
    return "\n".join(tasks) or tr("No task is in flight: `begin T COMMAND` begins one.")


def _waits(blocked: str) -> str:
    return f"  ({tr('waits')}: {blocked})" if blocked else ""
