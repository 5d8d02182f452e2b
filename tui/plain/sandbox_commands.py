"""Words about the session in plain mode: the same as at the sandbox's prompt, with text as their answer."""

from pathlib import Path
from typing import Final

from lessons.file.scene_library import ready_scenes
from lessons.play.watches import Watches
from model.memory.state import State
from model.script.parser import parse
from model.script.problems import ScriptError, did_you_mean
from model.session.move_log import tidy
from model.session.session import Session
from model.session.side_by_side import apart
from model.session.state_code import CodeError, encode, follow
from model.session.to_script import script_of
from tui.drivers.session_commands import SessionCommand
from tui.plain.machine import PlainMachine
from tui.session.session_file import SaveError, save
from tui.session.user_files import UnreadableError, read_text
from tui.session.why_query import AskError, answer
from tui.views.change_text import HIDDEN, change_line

MOST_COMPARED: Final = 2
PLAIN_WORDS: Final = (
    SessionCommand("save", "save FILE", "write the script that leads here"),
    SessionCommand("load", "load FILE", "start over with a script"),
    SessionCommand("scenes", "scenes", "list the ready scenes"),
    SessionCommand("scene", "scene NAME", "start over with a ready scene"),
    SessionCommand("code", "code [CODE]", "show the code of this state, or start over with one"),
    SessionCommand("script", "script", "show the script that leads here"),
    SessionCommand("watch", "watch EXPRESSION", "tell after each command what it is worth; again: no longer"),
    SessionCommand(
        "why", "why [THING]", "the steps that made a page, reference, buffer or frame so; alone: the broken rules"
    ),
    SessionCommand("bookmark", "bookmark [NAME]", "give this state a name; alone: list the names"),
    SessionCommand("goto", "goto NAME", "go to a state with a name; `undo` leads back"),
    SessionCommand(
        "diff", "diff [A [B]]", "what differs from A to B: names, or numbers of commands ago (default 1 and 0)"
    ),
)


def use(machine: PlainMachine, line: str) -> str:
    """Do what a word says; returns what is to be said."""
    name, _, rest = line.strip().partition(" ")
    rest = rest.strip()
    try:
        return _use(machine, name, rest)
    except ScriptError as error:
        return "\n".join(problem.located(rest) for problem in error.problems)
    except (AskError, CodeError, SaveError, UnreadableError) as error:
        return str(error)
    except OSError as error:
        return f"{rest}: {error.strerror or error}"


def _use(machine: PlainMachine, name: str, rest: str) -> str:
    match name:
        case "save" if rest:
            path = Path(rest).expanduser()
            path = path if path.suffix else path.with_suffix(".pte")
            return f"Saved as {path}. {save(session_of(machine.done), path)}".strip()
        case "load" if rest:
            machine.start_over(parse(read_text(str(Path(rest).expanduser()))))
            return ""
        case "scenes":
            return "\n".join(f"{scene.name}: {scene.about}" for scene in ready_scenes())
        case "scene":
            scenes = {scene.name: scene.text for scene in ready_scenes()}
            if rest not in scenes:
                return f"There is no scene `{rest[:40]}`{did_you_mean(rest, scenes)}"
            machine.start_over(parse(scenes[rest]))
            return ""
        case "code" if rest:
            session = Session()
            follow(session, rest)
            machine.start_over(parse("\n".join(script_of(session.timeline, session.node).lines)))
            return ""
        case "code":
            session = session_of(machine.done)
            return encode(session.timeline, session.node)
        case "script":
            return "\n".join(machine.done)
        case "watch" if rest:
            return _watch(machine, rest)
        case "why":
            return answer(session_of(machine.done).timeline, rest)
        case "bookmark" if len(rest.split()) <= 1:
            return _bookmark(machine, rest)
        case "goto" if rest:
            return _goto(machine, rest)
        case "diff" if len(rest.split()) <= MOST_COMPARED:
            return _difference(machine, rest.split())
        case _:
            return f"Expected `{next(word.usage for word in PLAIN_WORDS if word.name == name)}`."


def session_of(lines: tuple[str, ...]) -> Session:
    """A session that has carried these commands out."""
    session = Session()
    for command in parse("\n".join(lines)):
        session.perform(command)
    return session


def _watch(machine: PlainMachine, text: str) -> str:
    """Watch one more expression, or one less."""
    watches = Watches(Session().timeline)
    watches.texts = machine.watched
    known = " ".join(text.split()) in watches.texts
    word = watches.remove(text) if known else watches.add(text)
    if not word:
        machine.tell_watched()
    return word


def _bookmark(machine: PlainMachine, name: str) -> str:
    """Give the present state a name, or list those that have one."""
    if name:
        machine.places[tidy(name)] = machine.runner.copy(), machine.done
        return ""
    ends = ((name, done[-1] if done else "the empty machine") for name, (_, done) in sorted(machine.places.items()))
    return "\n".join(f"{name}: {end}" for name, end in ends) or "No state has a name: `bookmark NAME` gives it one."


def _goto(machine: PlainMachine, name: str) -> str:
    """Be where that name was given."""
    if name not in machine.places:
        return _no_place(machine, name)
    machine.earlier.append((machine.runner, machine.done))
    runner, machine.done = machine.places[name]
    machine.runner = runner.copy()
    machine.tell_watched()
    return ""


def _no_place(machine: PlainMachine, name: str) -> str:
    return f"There is no place `{name[:40]}`{did_you_mean(name, machine.places)}"


def _difference(machine: PlainMachine, words: list[str]) -> str:
    """What differs from one state to another; by default from before the last command to now."""
    places = [*words, *("1", "0")[len(words) :]]
    found = [_state_at(machine, place) for place in places]
    for place, state in zip(places, found, strict=True):
        if state is None and place.isascii() and place.isdigit():
            return f"There are {len(machine.earlier)} commands to look back over."
        if state is None:
            return _no_place(machine, place)
    before, after = (state for state in found if state is not None)
    shown = [change for change in apart(before, after) if change.table not in HIDDEN]
    lines = sorted(change_line(after, change) for change in shown)
    told = (f"{line.sign} {line.subject}{f': {line.text}' if line.text else ''}" for line in lines)
    return "\n".join(told) or "Nothing differs."


def _state_at(machine: PlainMachine, place: str) -> State | None:
    """The machine at a name, or so many commands ago; None where there is none."""
    if place in machine.places:
        return machine.places[place][0].context.state
    if not (place.isascii() and place.isdigit()) or int(place) > len(machine.earlier):
        return None
    ago = int(place)
    return (machine.earlier[-ago][0] if ago else machine.runner).context.state
