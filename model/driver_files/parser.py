r"""Text → DriverText. Everything that can be known without running anything is checked here, and all of it is reported.

>>> parse("driver mine\nmap at=fault insert=pfn\nop purge:\n  zap\n  free").ops
('purge',)
>>> parse("driver mine\nbaking pool")
Traceback (most recent call last):
model.text.problems.ScriptError: 2:1: `baking` is no field; did you mean `backing`?
"""

from typing import Final

from model.driver_files.check_names import wrong_names
from model.driver_files.line_forms import (
    AS_IT_WAS,
    FIELDS,
    HEADS,
    STEPS,
    VERSIONS,
    WHEN,
)
from model.driver_files.line_parser import LineReader, RawLine
from model.driver_files.records import DriverLine, DriverText, StepList
from model.driver_files.versions import overlap
from model.text.problems import ScriptError, ScriptProblem
from model.text.words import Word, printable

MOST_CHARACTERS: Final = 65_536
"""Of a driver file. The longest that comes along has a twentieth."""
MOST_LINES: Final = 1_000
MOST_LISTS: Final = 32
"""Operations and functions of a driver."""
MOST_STEPS: Final = 64
"""Steps of one list."""
LISTS: Final = ("op", "function")
"""Heads of lists of steps."""
NO_DRIVER: Final = "a driver file begins with `driver NAME`"


def parse(text: str) -> DriverText:
    """The driver that a text describes. Raises ScriptError with every problem that it has.

    Lines end at a newline or at a `;`, so that a whole driver may stand in one line of a script.
    """
    if len(text) > MOST_CHARACTERS or text.count("\n") + text.count(";") > MOST_LINES:
        most = f"a driver file has at most {MOST_LINES} lines and {MOST_CHARACTERS} characters"
        raise ScriptError([ScriptProblem(1, 1, most)])
    return _DriverReader().driver(text)


def parse_step(text: str) -> DriverLine:
    """One step, as the canonical text of a list has it. Raises ScriptError."""
    reader = _DriverReader()
    (raw,) = reader.raw_lines(text)
    line = reader.line(raw, STEPS, "a step")
    if line is None or reader.problems:
        raise ScriptError(reader.problems)
    return line


class _DriverReader(LineReader):
    """One text being read, and what is wrong with it so far."""

    def __init__(self) -> None:
        super().__init__()
        self.name: DriverLine | None = None
        self.likes: list[DriverLine] = []
        self.fields: list[DriverLine] = []
        self.lists: list[tuple[DriverLine, list[DriverLine]]] = []

    def driver(self, text: str) -> DriverText:
        """Read all of it."""
        for raw in self.raw_lines(text):
            known = len(self.problems)
            self._take(raw)
            if raw.behind_text:
                self.problems[known:] = [
                    ScriptProblem(one.line, one.column, f"{one.message}; the `;` before it ends a line")
                    for one in self.problems[known:]
                ]
        if self.name is None and not self.problems:
            self.complain(1, 1, NO_DRIVER)
        lists = tuple(StepList(head, tuple(steps)) for head, steps in self.lists)
        self._check_names(lists)
        if self.name is None and any(NO_DRIVER in problem.message for problem in self.problems):
            raise ScriptError(self.problems[:1])  # it is no driver file at all: the other lines say nothing
        if self.problems:
            raise ScriptError(self.problems)
        assert self.name is not None
        return DriverText(self.name.word_at("NAME"), tuple(self.likes), tuple(self.fields), lists)

    def _take(self, raw: RawLine) -> None:
        """One line to where it belongs."""
        first = self._after_versions(raw)
        if first is None:
            return
        if first.text.removesuffix(":") in HEADS:
            self._head(raw, first.text.removesuffix(":"))
            return
        if self.name is None and not self.problems:
            self.complain(raw.number, first.column, f"{NO_DRIVER}, not with `{printable(first.text)}`")
        if self.lists:
            misplaced = first.text in FIELDS and first.text not in STEPS
            if misplaced:
                self.complain(
                    raw.number, first.column, f"`{first.text}` is a field: fields stand before the first `op`"
                )
                return
            step = self.line(raw, STEPS, "a step")
            if step is not None:
                steps = self.lists[-1][1]
                steps.append(step)
                if len(steps) == MOST_STEPS + 1:
                    self.complain(raw.number, step.column, f"a list has at most {MOST_STEPS} steps")
            return
        if first.text in STEPS and first.text not in FIELDS:
            self.complain(raw.number, first.column, f"`{first.text}` is a step: it stands below an `op NAME:`")
            return
        field = self.line(raw, FIELDS, "a field")
        if field is not None:
            self._field(field)

    def _head(self, raw: RawLine, word: str) -> None:
        """`driver`, `like`, `op` or `function`.

        What follows one that cannot be read is looked at as well.
        """
        line = self.line(raw, HEADS, "a head")
        if line is None:
            if word in LISTS:
                meant = raw.words[-1].text.removesuffix(":")
                self.lists.append((DriverLine(word, {"NAME": meant}, line=raw.number), []))
            return
        match word:
            case "driver" if self.name is not None:
                self.complain(
                    raw.number, line.column, f"there is a `driver` already (line {self.name.line}): a file has one"
                )
            case "driver":
                self.name = line
            case "like":
                if self.fields or self.lists or any(overlap(line, other) for other in self.likes):
                    self.complain(raw.number, line.column, "`like` stands once, right behind `driver`")
                self.likes.append(line)
            case _:
                self._list(line)

    def _list(self, head: DriverLine) -> None:
        name = head.word_at("NAME")
        for other, _ in self.lists:
            if other.word_at("NAME") == name and overlap(other, head):
                self.complain(head.line, head.column, f"there is a list `{name}` already (line {other.line})")
                break
        if len(self.lists) == MOST_LISTS:
            self.complain(head.line, head.column, f"a driver has at most {MOST_LISTS} operations and functions")
        self.lists.append((head, []))

    def _field(self, line: DriverLine) -> None:
        for other in self.fields:
            same = other.word == line.word and overlap(other, line)
            if not same or line.word == "source":
                continue
            if line.word not in {"lock", "fail-when"}:
                self.complain(line.line, line.column, f"`{line.word}` is given twice (line {other.line})")
                break
            key = "LOCK" if line.word == "lock" else "STATE"
            if other.values.get(key) == line.values.get(key):
                self.complain(
                    line.line, line.column, f"`{line.word} {line.word_at(key)}` is given twice (line {other.line})"
                )
                break
        self.fields.append(line)

    def _after_versions(self, raw: RawLine) -> Word | None:
        """The first word behind `since`, `until`, `as-it-was`, `mended`, `when` and `unless`."""
        at = 0
        while at < len(raw.words) and raw.words[at].text in {*VERSIONS, *AS_IT_WAS, *WHEN}:
            at += 2
        if at >= len(raw.words):
            self.complain(raw.number, raw.end, f"a line is missing behind `{raw.words[0].text}`")
            return None
        return raw.words[at]

    def _check_names(self, lists: tuple[StepList, ...]) -> None:
        """Locks that steps name are declared; functions that they call exist and do not call each other in a circle."""
        if self.likes:
            return  # what it takes over is known when it is resolved
        declared = {line.word_at("LOCK") for line in self.fields if line.word == "lock"}
        for problem in wrong_names(lists, declared):
            self.problems.append(problem)
