"""From a lesson file to a Lesson: every block decoded into its type, every mistake with its place.

All mistakes of a file are reported together. What can only be known by running the lesson is checked elsewhere
(`lessons.author.check`).
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Literal, cast

import msgspec

from lessons.file import toml_records as toml
from lessons.file.document import Block, Prose, front, scan
from lessons.file.problems import LessonError, LessonProblem, did_you_mean, nearest
from lessons.file.schema import (
    HINT_KINDS,
    PACES,
    Do,
    FrontMatter,
    Goal,
    GoalCheck,
    Hint,
    Item,
    Lesson,
    LessonCommand,
    Note,
    Pace,
    Prediction,
    Remark,
)
from lessons.i18n.lesson_folders import WORLDS
from model.memory.digest import blake2b
from model.text.problems import ScriptError, ScriptProblem, line_and_column
from model.text.words import hidden, whole_number

MOST_BYTES: Final = 1_000_000
"""No lesson or world comes near; a longer file is refused without reading it."""
REMARK: Final = re.compile(r"\s+(?P<step>[A-Za-z_]\w*(?:\.\w+)?):\s+(?P<text>.*)")
HINT_LINE: Final = re.compile(r"(?P<kind>[a-z]+):\s*(?P<text>.*)")
CHECK: Final = re.compile(r"(?P<expect>\s*expect\s+)(?P<condition>[^#]*[^#\s])\s*#\s*(?P<text>.+)")


def load(path: Path) -> Lesson:
    """The lesson in a file.

    Raises:
        LessonError: it cannot be read or is malformed; with every problem found.
    """
    source = read(path)
    return parse(source, str(path), _FolderOfWorlds(path.parent / WORLDS))


def front_matter(path: Path) -> FrontMatter:
    """What a lesson file says of itself; the rest of it is not read. Raises LessonError."""
    text = front(_decoded(path), str(path))
    problems = _unprintable(text, path)
    header = toml.decode(text, FrontMatter, str(path), 1, problems)
    if header is None or problems:
        raise LessonError(problems)
    return header


def read(path: Path) -> str:
    """The text of a file, whatever it is. Raises LessonError."""
    text = _decoded(path)
    if problems := _unprintable(text, path):
        raise LessonError(problems)
    return text


def _decoded(path: Path) -> str:
    """The text of a file as it is. Raises LessonError."""
    try:
        with path.open("rb") as file:
            raw = file.read(MOST_BYTES + 1)
    except OSError as error:
        raise LessonError([LessonProblem(str(path), 1, 1, f"cannot be read: {error.strerror}")]) from None
    if len(raw) > MOST_BYTES:
        raise LessonError([LessonProblem(str(path), 1, 1, f"longer than {MOST_BYTES} bytes, the most that is read")])
    try:
        return raw.decode("utf-8").removeprefix("\ufeff").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        where = line_and_column(raw, error.start)
        raise LessonError([LessonProblem(str(path), *where, "not UTF-8 text")]) from None


def _unprintable(text: str, path: Path) -> list[LessonProblem]:
    """Every line of a file with a control character in it."""
    return [
        LessonProblem(str(path), number, column, f"the control character {name}: lessons have printable text only")
        for number, line in enumerate(text.split("\n"), 1)
        for column, name in filter(None, [hidden(line)])
    ]


def parse(source: str, file: str, worlds: Mapping[str, str]) -> Lesson:
    """The lesson that a text describes; `file` is only used in messages. Raises LessonError."""
    document = scan(source, file)
    problems: list[LessonProblem] = []
    header = toml.decode(document.header, FrontMatter, file, 1, problems)
    builder = _Builder(file, problems)
    for part in document.parts:
        if isinstance(part, Prose):
            builder.prose(part)
        else:
            builder.block(part)
    items = builder.finish()
    used = {item.world: item.line for item in reversed(items) if item.world}
    for name, line in used.items():
        if name not in worlds:
            hint = nearest(name, worlds) or f"it belongs into {WORLDS}/{name}.pte, beside the lesson"
            builder.problem(line, f"no world is called `{name}`", hint, len("~~~world ") + 1)
    texts = ((1, header), *((item.line, item) for item in items)) if any(sign in source for sign in ESCAPES) else ()
    for line, record in texts:
        for name in dict.fromkeys(_hidden(record)):
            where, column = _escape(source, line, name)
            text = f"an escape here makes the control character {name}"
            builder.problem(where, text, "lessons have printable text only", column)
    if header is None or problems:
        raise LessonError(sorted(problems, key=lambda problem: problem.line))
    return Lesson(
        file=file,
        header=header,
        items=items,
        worlds={name: worlds[name] for name in sorted(used)},
        revision=blake2b(source.encode(), digest_size=8).hexdigest(),
    )


ESCAPE: Final = r"\\(?:([bfe])|x([0-9a-fA-F]{2})|u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8}))"
"""What a TOML string writes for a character that one cannot type …"""
ESCAPES: Final = (r"\b", r"\f", r"\e", r"\x", r"\u", r"\U")
"""… and how each begins: nearly every lesson has none, and then its texts are as printable as the file is."""


def _escape(source: str, line: int, name: str) -> tuple[int, int]:
    """Line and column of the escape that makes a control character, in what begins at a line."""
    short = {"b": "U+0008", "f": "U+000C", "e": "U+001B"}
    for number, text in enumerate(source.split("\n")[line - 1 :], line):
        for found in re.finditer(ESCAPE, text):
            letter, *codes = found.groups()
            if (short.get(letter or "") or f"U+{int(next(filter(None, codes), '0'), 16):04X}") == name:
                return number, found.start() + 1
    return line, 1


def _hidden(value: object) -> Iterator[str]:
    """The names of the control characters in the texts of a record: a TOML escape can make one."""
    if isinstance(value, str):
        for line in value.splitlines():
            if found := hidden(line):
                yield found[1]
    elif isinstance(value, msgspec.Struct):
        for name in value.__struct_fields__:
            yield from _hidden(getattr(value, name))
    elif isinstance(value, tuple):
        for one in value:
            yield from _hidden(one)


def _driver(path: Path) -> str:
    """The text of a driver that a world uses. Raises ValueError."""
    try:
        return read(path)
    except LessonError as error:
        raise ValueError(str(error)) from None


def _in_world(path: Path, problem: ScriptProblem) -> LessonProblem:
    return LessonProblem(str(path), problem.line, problem.column, problem.message)


class _FolderOfWorlds(Mapping[str, str]):
    """The world scripts of a folder by their names; each is read when it is asked for."""

    def __init__(self, folder: Path) -> None:
        self.paths = {path.stem: path for path in folder.glob("*.pte")}

    def __getitem__(self, name: str) -> str:
        from model.script.uses import with_drivers

        path = self.paths[name]
        try:
            return with_drivers(read(path), lambda file: _driver(path.parent / file))
        except ScriptError as error:
            raise LessonError([_in_world(path, problem) for problem in error.problems]) from None

    def __iter__(self) -> Iterator[str]:
        return iter(sorted(self.paths))

    def __len__(self) -> int:
        return len(self.paths)


class _Builder:
    """Gathers prose and blocks into items."""

    def __init__(self, file: str, problems: list[LessonProblem]) -> None:
        self.file = file
        self.problems = problems
        self.items: list[Item] = []
        self.pending: Item | None = None
        """Text, notes and world of the item whose action has not come yet."""
        self.ids: set[str] = set()
        self.damaged = False
        """The last prediction could not be read: what belongs to it is not complained about."""

    def problem(self, line: int, text: str, hint: str = "", column: int = 1) -> None:
        """Remember a mistake and go on."""
        self.problems.append(LessonProblem(self.file, line, column, text, hint))

    # -- parts of the file ---------------------------------------------------------------------

    def prose(self, part: Prose) -> None:
        """Text belongs to the action that follows it."""
        pending = self._pending(part.line)
        text = f"{pending.text}\n\n{part.text}" if pending.text else part.text
        self.pending = msgspec.structs.replace(pending, text=text, text_line=pending.text_line or part.line)

    def block(self, block: Block) -> None:
        """Hand a block to the method that knows its kind."""
        kinds: dict[str, Callable[[Block], None]] = {
            "world": self.world,
            "do": self.do,
            "predict": self.predict,
            "goal": self.goal,
            "solution": self.solution,
            "hint": self.hint,
            "note": self.note,
            "after": self.after,
        }
        if block.kind in kinds:
            kinds[block.kind](block)
        else:
            self.problem(block.line, f"no block is called `{block.kind}`", did_you_mean(block.kind, kinds), 4)

    def finish(self) -> tuple[Item, ...]:
        """All items; text after the last action is an item of its own."""
        self._flush()
        if not self.items:
            self.problem(1, "the lesson has no content")
        elif not self.items[-1].last:
            self.problem(self.items[-1].line, "the lesson does not end with an `after` block")
        return tuple(self.items)

    # -- the kinds of blocks -------------------------------------------------------------------

    def world(self, block: Block) -> None:
        """`~~~world NAME`: a new scene; commands inside set it further."""
        self._flush()
        if len(block.words) != 1:
            self.problem(block.line, "a world block names one world", "~~~world NAME")
            return
        self.pending = msgspec.structs.replace(
            self._pending(block.line), world=block.words[0].text, setup=self._commands(block)
        )

    def do(self, block: Block) -> None:
        """`~~~do [by=visible|micro|procedure|remark|command] [until=PROCEDURE.STEP]`."""
        options = self._options(block, {"by": PACES, "until": None})
        pace: Pace = next((pace for pace in PACES if pace == options.get("by")), "visible")
        commands = self._commands(block)
        if not commands:
            self.problem(block.line, "a do block without a command")
        self._act(Do(commands, pace, block.line, options.get("until", "")), block)

    def predict(self, block: Block) -> None:
        """`~~~predict`: TOML."""
        self._options(block, {})
        prediction = toml.decode(block.text, cast("type[Prediction]", Prediction), self.file, block.line, self.problems)
        if prediction is None:
            self.pending = None
            self.damaged = True
        else:
            self._identify(prediction.id, block)
            self._act(prediction, block)

    def goal(self, block: Block) -> None:
        """`~~~goal id=NAME [par=N]`: lines `expect CONDITION  # what the learner reads`."""
        options = self._options(block, {"id": None, "par": None})
        par = options.get("par", "0")
        if whole_number(par) is None or ("par" in options and not int(par)):
            self.problem(block.line, f"`par` is a number of commands, not `{par}`", "par=3")
            par = "0"
        if "id" not in options:
            self.problem(block.line, "a goal needs an id", "~~~goal id=NAME")
        self._identify(options.get("id", ""), block)
        checks = []
        for number, line in enumerate(block.lines, block.line + 1):
            match = CHECK.fullmatch(line)
            if match:
                self._condition(match["condition"], number, match.start("condition"))
                checks.append(GoalCheck(match["condition"], match["text"], number))
            elif line.strip():
                self.problem(number, "a goal's line is not `expect CONDITION  # what the learner reads`")
        if not checks:
            self.problem(block.line, "a goal without an `expect` line")
        self._act(Goal(options.get("id", ""), tuple(checks), block.line, par=int(par)), block)

    def _condition(self, text: str, line: int, before: int) -> None:
        """Complain about a condition that is none; `before`: the characters that stand before it in its line."""
        from model.script.ask import MalformedError, condition

        try:
            condition(text)
        except MalformedError as malformed:
            self.problem(line, str(malformed), column=before + malformed.column)

    def solution(self, block: Block) -> None:
        """`~~~solution`: commands that reach the goal before it."""
        self._options(block, {})
        owner = self._owner(block)
        if owner is None:
            return
        if not isinstance(owner.action, Goal):
            self.problem(block.line, "a solution belongs after a goal")
            return
        goal = msgspec.structs.replace(owner.action, solution=self._commands(block))
        self.items[-1] = msgspec.structs.replace(owner, action=goal)

    def hint(self, block: Block) -> None:
        """`~~~hint`: lines `where: …`, `what: …`, `next: …`, `show: …`, in this order."""
        self._options(block, {})
        owner = self._owner(block)
        hints: list[Hint] = []
        for number, line in enumerate(block.lines, block.line + 1):
            match = HINT_LINE.match(line)
            if match:
                kind = match["kind"]
                if kind not in HINT_KINDS:
                    self.problem(number, f"no hint is called `{kind}`", did_you_mean(kind, HINT_KINDS))
                    continue
                hints.append(Hint(kind, match["text"].strip(), number))
            elif hints and line.strip():
                last = hints.pop()
                hints.append(Hint(last.kind, f"{last.text} {line.strip()}", last.line))
            elif line.strip():
                self.problem(number, "a hint's line starts with its kind", "where: … what: … next: … show: …")
        order = [HINT_KINDS.index(hint.kind) for hint in hints]
        if order != sorted(set(order)):
            self.problem(block.line, f"the hints are not in the order {', '.join(HINT_KINDS)}")
        if owner is not None:
            self.items[-1] = msgspec.structs.replace(owner, hints=tuple(hints))

    def note(self, block: Block) -> None:
        """`~~~note [for=reader|teacher]`: belongs to the action that follows it."""
        options = self._options(block, {"for": ("reader", "teacher")})
        audience: Literal["reader", "teacher"] = "teacher" if options.get("for") == "teacher" else "reader"
        pending = self._pending(block.line)
        note = Note(block.text.strip(), audience, block.line)
        self.pending = msgspec.structs.replace(pending, notes=(*pending.notes, note))

    def after(self, block: Block) -> None:
        """`~~~after`: Markdown that stays in the reference; the last block of a lesson."""
        self._options(block, {})
        self._flush()
        self.items.append(Item(line=block.line, text=block.text.strip(), text_line=block.line + 1, last=True))

    # -- what they share -----------------------------------------------------------------------

    def _pending(self, line: int) -> Item:
        """The item that is being gathered."""
        if self.items and self.items[-1].last:
            self.problem(line, "nothing may follow the `after` block")
        return self.pending or Item(line=line)

    def _act(self, action: Prediction | Do | Goal, block: Block) -> None:
        """Close the item that is being gathered with its action."""
        self.items.append(msgspec.structs.replace(self._pending(block.line), action=action, action_line=block.line))
        self.pending = None
        self.damaged = False

    def _flush(self) -> None:
        """Text that no action follows is an item of its own."""
        if self.pending is not None:
            self.items.append(self.pending)
            self.pending = None

    def _owner(self, block: Block) -> Item | None:
        """The item that a hint or a solution belongs to: the one whose action has just been read."""
        if self.pending is None and self.items and self.items[-1].action is not None:
            return None if self.damaged else self.items[-1]
        if not self.damaged:
            self.problem(block.line, f"a {block.kind} stands directly after the block it belongs to")
        return None

    def _identify(self, name: str, block: Block) -> None:
        """Predictions and goals keep what the learner did under their ids."""
        if name in self.ids:
            self.problem(block.line, f"the id `{name}` is used twice")
        self.ids.add(name)

    def _options(self, block: Block, known: dict[str, Sequence[str] | None]) -> dict[str, str]:
        """The key=value words of a block's opening line; None = any value."""
        options: dict[str, str] = {}
        for word in block.words:
            key, _, value = word.text.partition("=")
            if key not in known:
                hint = did_you_mean(key, known) if known else ""
                self.problem(block.line, f"a {block.kind} block has no option `{key}`", hint, word.column)
                continue
            values = known[key]
            if values is not None and value not in values:
                self.problem(
                    block.line, f"`{key}` cannot be `{value}`", did_you_mean(value, values), word.column + len(key) + 1
                )
            options[key] = value
        return options

    def _commands(self, block: Block) -> tuple[LessonCommand, ...]:
        """Commands at the margin; indented lines below one are remarks to its steps: `step: sentence`."""
        commands: list[LessonCommand] = []
        for number, line in enumerate(block.lines, block.line + 1):
            if not line.strip() or line.startswith("#"):
                continue
            if not line[0].isspace():
                commands.append(LessonCommand(line.rstrip(), number))
            elif not commands:
                self.problem(number, "a remark without a command above it")
            else:
                commands.append(self._remarked(commands.pop(), line, number))
        return tuple(commands)

    def _remarked(self, command: LessonCommand, line: str, number: int) -> LessonCommand:
        """The command with one more remark, or with its last remark continued."""
        remarks = command.remarks
        match = REMARK.fullmatch(line)
        if match:
            remarks = (*remarks, Remark(match["step"], match["text"].strip(), number))
        elif remarks:
            last = remarks[-1]
            remarks = (*remarks[:-1], Remark(last.step, f"{last.text} {line.strip()}", last.line))
        else:
            self.problem(number, "a remark names its step", "  procedure.step: sentence")
        return msgspec.structs.replace(command, remarks=remarks)
