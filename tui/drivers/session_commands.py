"""What can be typed at the sandbox's prompt besides commands: words about the session, not about the machine."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from lessons.i18n.language import tr
from model.text.problems import ScriptError, did_you_mean
from model.text.words import whole_number
from tui.session.terminal import is_served

if TYPE_CHECKING:
    from model.script.complete import Completion, Suggestion
    from model.session.timeline import Timeline
    from tui.drivers.sandbox import SandboxDriver


class SessionCommand(NamedTuple):
    """A word, how it is used, and what it does."""

    name: str
    usage: str
    help: str


WORDS: Final = (
    SessionCommand("save", "save FILE", "write a script that leads here, with the whole history below it"),
    SessionCommand("load", "load FILE", "run a script, or open a saved session, as another branch"),
    SessionCommand("scene", "scene NAME", "load a ready scene as another branch"),
    SessionCommand("restore", "restore", "bring the session back that was open last"),
    SessionCommand("code", "code [CODE]", "show the code of this state, or open one"),
    SessionCommand("bookmark", "bookmark [NAME]", "name this place of the history; without a name: take it away"),
    SessionCommand("goto", "goto NAME|STEP", "go to a named place of the history, or to a step of this way"),
    SessionCommand("undo", "undo", "go back to before the last command; nothing is lost"),
    SessionCommand("redo", "redo", "go on again to the end of the next command"),
    SessionCommand("watch", "watch EXPRESSION", "watch a value; again: stop watching it"),
    SessionCommand("script", "script", "show the script that leads here"),
    SessionCommand("history", "history", "the tree of every path you took"),
    SessionCommand(
        "diff", "diff [PLACE [PLACE]]", "what differs from the step before, from a place, or between two places"
    ),
    SessionCommand(
        "why",
        "why [THING]",
        "the steps that made a page, reference, buffer or frame what it is; alone: the broken rules",
    ),
    SessionCommand("run", "run", "choose which task makes the next micro-step"),
    SessionCommand("scenes", "scenes", "the list of ready scenes"),
    SessionCommand("settings", "settings", "another kernel or another defence, side by side with this one"),
    SessionCommand("form", "form VERB", "fill in a command in fields"),
)
NODE: Final = "#"
"""What a place begins with that is named by its number in the whole history, as `history` lists it in plain mode."""
BY_NAME: Final = {word.name: word for word in WORDS}
SCREENS: Final = frozenset({"history", "diff", "why", "run", "scenes", "settings", "script", "form"})
"""Words that open something; the stage knows how."""


def is_word(line: str) -> bool:
    """Whether a line is about the session."""
    return line.split(maxsplit=1)[0] in BY_NAME if line.strip() else False


def carry_out(driver: "SandboxDriver", line: str) -> str:
    """Do what a word says that opens nothing. Returns a word to the user, empty if there is nothing to say."""
    name, _, rest = line.strip().partition(" ")
    rest = rest.strip()
    try:
        match name:
            case "save":
                return _save(driver, rest)
            case "load":
                return _load(driver, rest)
            case "scene":
                return load_scene(driver, rest)
            case "restore":
                return _restore(driver)
            case "code":
                return open_code(driver, rest)
            case "bookmark":
                driver.bookmark(rest)
                return ""
            case "goto":
                return _goto(driver, rest)
            case "undo":
                return driver.undo()
            case "redo":
                return driver.redo()
            case _:
                return driver.watch(rest) if rest else tr("Watch what? For example `watch refcount p0 buf`.")
    except ScriptError as error:
        first = error.problems[0]
        more = f" (+{len(error.problems) - 1})" if len(error.problems) > 1 else ""
        return f"{rest}:{first.line}:{first.column}: {first.message}{more}"
    except OSError as error:
        return f"{rest or name}: {error.strerror or error}"


def _save(driver: "SandboxDriver", name: str) -> str:
    from tui.session.session_file import SaveError, save
    from tui.session.user_files import FileNameError, new_file

    if is_served():
        return tr("In a browser there are no files: y gives a code, and `code CODE` opens it.")
    if not name:
        return tr("A file name is missing: `save FILE`.")
    try:
        path = new_file(name, ".pte")
        word = save(driver.session, path, driver.watched)
    except (FileNameError, SaveError) as error:
        return str(error)
    return f"{tr('Saved as {file}.').format(file=path)} {word}".strip()


def _load(driver: "SandboxDriver", name: str) -> str:
    from tui.session.user_files import UnreadableError, load_script

    if is_served():
        return tr("In a browser there are no files: y gives a code, and `code CODE` opens it.")
    if not name or name == "-":
        return tr("A file name is missing: `load FILE`.")
    try:
        text = load_script(name)
    except UnreadableError as error:
        return str(error)
    return _loaded(driver, open_text(driver, text), Path(name).stem)


def open_text(driver: "SandboxDriver", text: str) -> str:
    """Carry out a script, or open a saved session with what was watched in it. Raises ScriptError."""
    from tui.session.session_file import load, watched_in

    word = load(driver.session, text)
    for watched in watched_in(text):
        if watched not in driver.watched:
            driver.watch(watched)
    return word


def load_scene(driver: "SandboxDriver", name: str) -> str:
    """Load a ready scene."""
    from lessons.file.scene_library import ready_scenes
    from tui.session.session_file import load

    scenes = {scene.name: scene for scene in ready_scenes()}
    if name not in scenes:
        return tr("There is no scene `{name}`{hint}").format(name=name[:40], hint=did_you_mean(name, scenes))
    load(driver.session, scenes[name].text)
    _loaded(driver, "", name)
    driver.about = scenes[name].about
    return tr("{about} (`Home` goes to its start, `c` on by a command)").format(about=scenes[name].about)


def _loaded(driver: "SandboxDriver", word: str, name: str) -> str:
    """The end of what was loaded gets a name, so that it is found again."""
    if driver.session.node.number not in driver.session.timeline.bookmarks:
        driver.bookmark(name)
    driver.about = ""
    driver.jumped()
    return word


def _restore(driver: "SandboxDriver") -> str:
    kept = driver.autosave.last() if driver.autosave is not None else None
    if kept is None:
        return tr("No earlier session is kept.")
    word = open_text(driver, kept.path.read_text(encoding="utf-8"))
    driver.jumped()
    return word or tr("The session of {when} is back.").format(when=kept.when)


def open_code(driver: "SandboxDriver", code: str) -> str:
    """Go to the state of a state code."""
    from model.session.state_code import CodeError, follow

    try:
        same = follow(driver.session, code)
    except CodeError as error:
        return str(error)
    driver.jumped()
    return "" if same else tr("The code was made by another version: its moves lead to a different state here.")


def _goto(driver: "SandboxDriver", where: str) -> str:
    try:
        return driver.go(place_of(driver.session.timeline, where))
    except NoPlaceError as error:
        return str(error)


class NoPlaceError(Exception):
    """The history has no such place; the message names the nearest."""


def place_of(timeline: "Timeline", where: str) -> int:
    """The node that a name, or the number of a step on the present way, stands for. Raises NoPlaceError."""
    named = {name: number for number, name in timeline.bookmarks.items()}
    if where in named:
        return named[where]
    node, step = whole_number(where.removeprefix(NODE)), whole_number(where)
    if where.startswith(NODE) and node is not None and node < len(timeline.nodes):
        return node
    way = timeline.way()
    if step is not None and step < len(way):
        return way[step].number
    raise NoPlaceError(tr("There is no place `{name}`{hint}").format(name=where[:40], hint=did_you_mean(where, named)))


def places_of(timeline: "Timeline", text: str) -> list[int]:
    """The nodes that one place, or two, stand for; names may have blanks. Raises NoPlaceError."""
    words = text.split()
    why = NoPlaceError()
    for cut in range(len(words), 0, -1):
        parts = [part for part in (" ".join(words[:cut]), " ".join(words[cut:])) if part]
        try:
            return [place_of(timeline, part) for part in parts]
        except NoPlaceError as error:
            why = error
    raise why


# -- completion ----------------------------------------------------------------------------------


def assist(driver: "SandboxDriver", line: str, commands: "Completion") -> "Completion":
    """Help for a line that may be a command or a word."""
    from model.driver_files.library import SUFFIX
    from model.script.complete import Completion, Suggestion
    from model.script.uses import USE

    name, blank, rest = line.lstrip().partition(" ")
    if not blank:
        more = (Suggestion(word.name, tr(word.help)) for word in WORDS if word.name.startswith(name) and name)
        same = (Suggestion("", tr(word.help)) for word in WORDS if word.name == name)
        usage = BY_NAME[name].usage if name in BY_NAME else commands.usage
        expected = next((one.help for one in same), commands.expected)
        return Completion(usage, expected, (*commands.suggestions, *more))
    if name == USE and not is_served():
        files = (str(path) for path in sorted(Path().glob(f"*{SUFFIX}")))
        fitting = (Suggestion(file, "") for file in files if file.startswith(rest.strip()) and file != rest.strip())
        return commands._replace(suggestions=tuple(fitting))
    if name not in BY_NAME:
        return commands
    word = BY_NAME[name]
    typed = rest.split()[-1] if rest and not rest[-1].isspace() else ""
    given = rest.split()[: -1 if typed else None]
    fitting = (one for one in _operands(driver, name, given) if one.word.startswith(typed) and one.word != typed)
    return Completion(word.usage, tr(word.help), tuple(fitting))


def _operands(driver: "SandboxDriver", name: str, given: list[str]) -> "Iterator[Suggestion]":
    """What may follow a word."""
    from model.script.complete import Suggestion

    found: Iterable[tuple[str, str]] = ()
    match name:
        case "scene" if not given:
            from lessons.file.scene_library import ready_scenes

            found = ((scene.name, scene.about) for scene in ready_scenes())
        case "goto" | "diff" if len(given) < (2 if name == "diff" else 1):
            nodes = driver.session.timeline.nodes
            found = ((name, nodes[number].command) for number, name in driver.session.timeline.bookmarks.items())
        case "watch":
            found = expression_words(driver, given)
        case "form" if not given:
            from model.script.verbs import VERBS

            found = ((verb.name, verb.help) for verb in VERBS.values())
        case "load" | "save" if not given and not is_served():
            found = ((str(path), "") for path in sorted(Path().glob("*.pte")))
        case _:
            pass
    return (Suggestion(word, text) for word, text in found)


def expression_words(driver: "SandboxDriver", given: list[str]) -> Iterator[tuple[str, str]]:
    """What may come next in an expression; first of all, those that are watched."""
    from model.script.complete import assist_condition
    from model.script.scope import Scope

    if not given and driver.watches is not None:
        yield from ((text, tr("no longer watch it")) for text in driver.watches.texts)
    text = "".join(f"{word} " for word in given)
    yield from assist_condition(text, Scope.of(driver.session.state)).suggestions
