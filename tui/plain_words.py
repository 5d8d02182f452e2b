"""Words about the session in plain mode: the same as at the sandbox's prompt, with text as their answer."""

from pathlib import Path
from typing import TYPE_CHECKING, Final

from lessons.scenes import ready_scenes
from lessons.watching import Watches
from model.script.parser import parse
from model.script.problems import ScriptError, did_you_mean
from model.session.code import CodeError, encode, follow
from model.session.scribe import script_of
from model.session.session import Session
from model.session.twins import apart
from tui.asking import AskError, answer
from tui.changes import HIDDEN, change_line
from tui.reading import UnreadableError, read_text
from tui.sandbox_words import Word
from tui.session_file import SaveError, save

if TYPE_CHECKING:
    from tui.sandbox_plain import PlainSandbox

PLAIN_WORDS: Final = (
    Word("save", "save FILE", "write the script that leads here"),
    Word("load", "load FILE", "start over with a script"),
    Word("scenes", "scenes", "list the ready scenes"),
    Word("scene", "scene NAME", "start over with a ready scene"),
    Word("code", "code [CODE]", "show the code of this state, or start over with one"),
    Word("script", "script", "show the script that leads here"),
    Word("watch", "watch EXPRESSION", "tell after each command what it is worth; again: no longer"),
    Word("why", "why [THING]", "the steps that made a page, reference, buffer or frame so; alone: the broken rules"),
    Word("diff", "diff [N [M]]", "what the last N commands have changed (default 1), up to M commands ago"),
)


def use(sandbox: "PlainSandbox", line: str) -> str:
    """Do what a word says; returns what is to be said."""
    name, _, rest = line.strip().partition(" ")
    rest = rest.strip()
    try:
        return _use(sandbox, name, rest)
    except ScriptError as error:
        return "\n".join(problem.located(rest) for problem in error.problems)
    except (AskError, CodeError, SaveError, UnreadableError) as error:
        return str(error)
    except OSError as error:
        return f"{rest}: {error.strerror or error}"


def _use(sandbox: "PlainSandbox", name: str, rest: str) -> str:
    match name:
        case "save" if rest:
            path = Path(rest).expanduser()
            path = path if path.suffix else path.with_suffix(".pte")
            return f"Saved as {path}. {save(session_of(sandbox.done), path)}".strip()
        case "load" if rest:
            sandbox.start_over(parse(read_text(str(Path(rest).expanduser()))))
            return ""
        case "scenes":
            return "\n".join(f"{scene.name}: {scene.about}" for scene in ready_scenes())
        case "scene":
            scenes = {scene.name: scene.text for scene in ready_scenes()}
            if rest not in scenes:
                return f"There is no scene `{rest[:40]}`{did_you_mean(rest, scenes)}"
            sandbox.start_over(parse(scenes[rest]))
            return ""
        case "code" if rest:
            session = Session()
            follow(session, rest)
            sandbox.start_over(parse("\n".join(script_of(session.timeline, session.node).lines)))
            return ""
        case "code":
            session = session_of(sandbox.done)
            return encode(session.timeline, session.node)
        case "script":
            return "\n".join(sandbox.done)
        case "watch" if rest:
            return _watch(sandbox, rest)
        case "why":
            return answer(session_of(sandbox.done).timeline, rest)
        case "diff" if all(word.isascii() and word.isdigit() for word in rest.split()) and len(rest.split()) <= 2:
            first, *second = [int(word) for word in rest.split()] or [1]
            return _difference(sandbox, first, second[0] if second else 0)
        case _:
            return f"Expected `{next(word.usage for word in PLAIN_WORDS if word.name == name)}`."


def session_of(lines: tuple[str, ...]) -> Session:
    """A session that has carried these commands out."""
    session = Session()
    for command in parse("\n".join(lines)):
        session.perform(command)
    return session


def _watch(sandbox: "PlainSandbox", text: str) -> str:
    """Watch one more expression, or one less."""
    watches = Watches(Session().timeline)
    watches.texts = sandbox.watched
    known = " ".join(text.split()) in watches.texts
    word = watches.remove(text) if known else watches.add(text)
    if not word:
        sandbox.tell_watched()
    return word


def _difference(sandbox: "PlainSandbox", commands: int, until: int) -> str:
    """What differs between the machine before the last `commands` and the one before the last `until`."""
    if not 0 < commands <= len(sandbox.earlier) or until > len(sandbox.earlier):
        return f"There are {len(sandbox.earlier)} commands to look back over."
    before = sandbox.earlier[-commands][0].context.state
    after = sandbox.earlier[-until][0].context.state if until else sandbox.runner.context.state
    shown = [change for change in apart(before, after) if change.table not in HIDDEN]
    lines = sorted(change_line(after, change) for change in shown)
    told = (f"{line.sign} {line.subject}{f': {line.text}' if line.text else ''}" for line in lines)
    return "\n".join(told) or "Nothing differs."
