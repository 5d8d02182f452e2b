r"""Text → DriverText. Everything that can be known without running anything is checked here, and all of it is reported.

>>> parse("driver mine\nmap at=fault insert=pfn\nop purge:\n  zap\n  free").ops
('purge',)
>>> parse("driver mine\nbaking pool")
Traceback (most recent call last):
model.text.problems.ScriptError: 2:1: `baking` is no field; did you mean `backing`?
"""

from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

import msgspec

from model.driver_files.line_forms import (
    AS_IT_WAS,
    FIELDS,
    HEADS,
    JOIN,
    LONG,
    MOST_PAGES,
    STEPS,
    VERSIONS,
    WHEN,
    LineForm,
    Slot,
)
from model.driver_files.records import DriverLine, DriverText, StepList, Value
from model.engine.config import KERNELS
from model.engine.mends import MENDS
from model.text.problems import ScriptError, ScriptProblem, did_you_mean
from model.text.words import LONGEST_NAME, Word, hidden, is_name, number, printable

MOST_CHARACTERS: Final = 65_536
"""Of a driver file. The longest that comes along has a twentieth."""
MOST_LINES: Final = 1_000
LONGEST_LINE: Final = 1_000
MOST_LISTS: Final = 32
"""Operations and functions of a driver."""
MOST_STEPS: Final = 64
"""Steps of one list."""
MOST_DEPTH: Final = 8
"""How deep lists may call each other."""
NO_USE: Final = "a driver file uses no other: `like NAME` takes over from a driver that comes along"
NO_DRIVER: Final = "a driver file begins with `driver NAME`"
SOURCE: Final = "--"
"""Stands before the kernel function of a line, and before what it does."""


class _Raw(NamedTuple):
    """One line before it is understood."""

    number: int
    words: list[Word]
    end: int


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


class _DriverReader:
    """One text being read, and what is wrong with it so far."""

    def __init__(self) -> None:
        self.problems: list[ScriptProblem] = []
        self.name: DriverLine | None = None
        self.likes: list[DriverLine] = []
        self.fields: list[DriverLine] = []
        self.lists: list[tuple[DriverLine, list[DriverLine]]] = []

    def complain(self, line: int, column: int, message: str) -> None:
        """Note a problem and go on."""
        self.problems.append(ScriptProblem(line, column, message))

    def driver(self, text: str) -> DriverText:
        """Read all of it."""
        lost = False
        for raw in self.raw_lines(text):
            lost = self._take(raw, lost=lost)
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

    def raw_lines(self, text: str) -> Iterator[_Raw]:
        """The lines that say something, as words."""
        for line_number, physical in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
            line = physical.removesuffix("\r").partition("#")[0]
            if (bad := hidden(line)) is not None:
                self.complain(
                    line_number, bad[0], f"the control character {bad[1]}: a driver file has printable text only"
                )
                continue
            if len(line) > LONGEST_LINE and ";" not in line:
                self.complain(line_number, 1, f"the line is longer than {LONGEST_LINE} characters")
                continue
            at = 1
            for part in line.split(";"):
                words = _split(part, at)
                if words:
                    yield _Raw(line_number, words, at + len(part.rstrip()))
                at += len(part) + 1

    # -- lines -----------------------------------------------------------------------------

    def _take(self, raw: _Raw, *, lost: bool) -> bool:
        """One line to where it belongs. `lost`: the head before it could not be read, which is returned anew."""
        first = self._after_versions(raw)
        if first is None:
            return lost
        if first.text.removesuffix(":") in HEADS:
            return not self._head(raw, first.text.removesuffix(":"))
        if self.name is None and not self.problems:
            self.complain(raw.number, first.column, f"{NO_DRIVER}, not with `{printable(first.text)}`")
        if lost:
            return True
        if self.lists:
            misplaced = first.text in FIELDS and first.text not in STEPS
            if misplaced:
                self.complain(
                    raw.number, first.column, f"`{first.text}` is a field: fields stand before the first `op`"
                )
                return False
            step = self.line(raw, STEPS, "a step")
            if step is not None:
                steps = self.lists[-1][1]
                steps.append(step)
                if len(steps) == MOST_STEPS + 1:
                    self.complain(raw.number, step.column, f"a list has at most {MOST_STEPS} steps")
            return False
        if first.text in STEPS and first.text not in FIELDS:
            self.complain(raw.number, first.column, f"`{first.text}` is a step: it stands below an `op NAME:`")
            return False
        field = self.line(raw, FIELDS, "a field")
        if field is not None:
            self._field(field)
        return False

    def _head(self, raw: _Raw, word: str) -> bool:
        """`driver`, `like`, `op` or `function`; returns whether it could be read."""
        line = self.line(raw, HEADS, "a head")
        if line is None:
            return False
        match word:
            case "driver" if self.name is not None:
                self.complain(
                    raw.number, line.column, f"there is a `driver` already (line {self.name.line}): a file has one"
                )
            case "driver":
                self.name = line
            case "like":
                if self.fields or self.lists or any(_overlap(line, other) for other in self.likes):
                    self.complain(raw.number, line.column, "`like` stands once, right behind `driver`")
                self.likes.append(line)
            case _:
                self._list(line)
        return True

    def _list(self, head: DriverLine) -> None:
        name = head.word_at("NAME")
        for other, _ in self.lists:
            if other.word_at("NAME") == name and _overlap(other, head):
                self.complain(head.line, head.column, f"there is a list `{name}` already (line {other.line})")
                break
        if len(self.lists) == MOST_LISTS:
            self.complain(head.line, head.column, f"a driver has at most {MOST_LISTS} operations and functions")
        self.lists.append((head, []))

    def _field(self, line: DriverLine) -> None:
        for other in self.fields:
            same = other.word == line.word and _overlap(other, line)
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

    # -- one line --------------------------------------------------------------------------

    def _after_versions(self, raw: _Raw) -> Word | None:
        """The first word behind `since`, `until`, `as-it-was`, `mended`, `when` and `unless`."""
        at = 0
        while at < len(raw.words) and raw.words[at].text in {*VERSIONS, *AS_IT_WAS, *WHEN}:
            at += 2
        if at >= len(raw.words):
            self.complain(raw.number, raw.end, f"a line is missing behind `{raw.words[0].text}`")
            return None
        return raw.words[at]

    def line(self, raw: _Raw, forms: dict[str, LineForm], what: str) -> DriverLine | None:
        """Understand one line by the forms that may stand there; None if it is wrong."""
        before = len(self.problems)
        words, source, told = _explanations(raw.words)
        versions = self._versions(raw, words)
        when = self._when(raw, words) if forms is STEPS else ()
        parts = _parted(words) if forms is STEPS else [words]
        words = parts[0]
        head = words.pop(0) if words else None
        if head is None:
            self.complain(raw.number, raw.end, f"{what} is missing")
            return None
        form = forms.get(head.text.removesuffix(":")) if head.text.endswith(":") else forms.get(head.text)
        if form is None:
            if head.text == "use":
                self.complain(raw.number, head.column, NO_USE)
                return None
            hint = did_you_mean(head.text, [*forms, *HEADS])
            self.complain(raw.number, head.column, f"`{printable(head.text)}` is no {what.removeprefix('a ')}{hint}")
            return None
        if form.colon:
            words = self._without_colon(raw, words, form)
        written = " ".join((head.text, *(word.text for word in words)))
        values = self._values(raw, form, words)
        joined = tuple(self._joined(raw, parts))
        if len(self.problems) > before:
            return None
        written = " + ".join((written, *(one.text for one in joined)))
        where = (raw.number, head.column)
        return DriverLine(form.name, values, source, told, *versions, *where, written, when, joined)

    def _joined(self, raw: _Raw, parts: list[list[Word]]) -> Iterator[DriverLine]:
        """The steps behind a `+`: a call, after which others may come between, can be the last only."""
        for at, words in enumerate(parts):
            if at and not words:
                self.complain(raw.number, raw.end, f"a step is missing behind `{JOIN}`")
            elif at and (step := self.line(_Raw(raw.number, words, raw.end), STEPS, "a step")) is not None:
                yield step
            last = at == len(parts) - 1
            if words and words[0].text in LONG and not last:
                why = "takes many micro-steps: nothing can be joined behind it"
                self.complain(raw.number, words[0].column, f"`{words[0].text}` {why}")

    def _when(self, raw: _Raw, words: list[Word]) -> tuple[tuple[str, bool], ...]:
        """The states in which a step is done."""
        found = []
        while words and words[0].text in WHEN:
            wanted = words.pop(0).text == "when"
            if not words:
                break
            state = words.pop(0)
            if not is_name(state.text):
                self.complain(raw.number, state.column, f"`{printable(state.text)}` is no name of a state")
            found.append((state.text, wanted))
        return tuple(found)

    def _versions(self, raw: _Raw, words: list[Word]) -> tuple[str, str, str, str]:
        """Since and until which kernel, and with which mend undone or not, a line counts."""
        found = {"since": "", "until": "", "as-it-was": "", "mended": ""}
        while words and words[0].text in found:
            key = words.pop(0).text
            if not words:
                break
            value = words.pop(0)
            known, what = (KERNELS, "kernel") if key in VERSIONS else (tuple(MENDS), "mend")
            if value.text not in known:
                hint = did_you_mean(value.text, known) or f": one of {', '.join(known)}"
                self.complain(raw.number, value.column, f"`{printable(value.text)}` is no {what}{hint}")
            found[key] = value.text
        return found["since"], found["until"], found["as-it-was"], found["mended"]

    def _without_colon(self, raw: _Raw, words: list[Word], form: LineForm) -> list[Word]:
        """The name of a list without the colon behind it."""
        if words and words[-1].text == ":":
            return words[:-1]
        if words and words[-1].text.endswith(":"):
            return [*words[:-1], Word(words[-1].text[:-1], words[-1].column)]
        end = words[-1].column + len(words[-1].text) if words else raw.end
        self.complain(raw.number, end, f"a colon is missing (`{form.usage}`)")
        return words

    def _values(self, raw: _Raw, form: LineForm, words: list[Word]) -> dict[str, Value]:
        """All operands, options and flags of a line; those that are wrong are reported and left out."""
        values: dict[str, Value] = {}
        options = {option.name: option for option in form.options}
        flags = {flag.name for flag in form.flags}
        for slot in form.slots:
            if slot.kind == "text":
                values[slot.name] = " ".join(word.text for word in words)
                if not words:
                    self._missing(raw, slot, form)
                return values
            taken: list[str] = []
            while words and not self._is_extra(words[0], options, flags, slot):
                value = self._value(raw, slot, words.pop(0))
                if value is not None and not slot.many:
                    values[slot.name] = value
                    break
                if value is None and not slot.many:
                    break
                taken.append(str(value))
            else:
                if not slot.many and not slot.optional:
                    self._missing(raw, slot, form)
                    return values
            if slot.many:
                values[slot.name] = tuple(taken)
        self._extras(raw, form, words, values, options, flags)
        return values

    @staticmethod
    def _is_extra(word: Word, options: dict[str, Slot], flags: set[str], slot: Slot) -> bool:
        """Whether an option or a flag stands where an operand could."""
        if word.text in slot.words:
            return False
        key, equals, _ = word.text.partition("=")
        return word.text in flags or (bool(equals) and key in options)

    def _extras(
        self,
        raw: _Raw,
        form: LineForm,
        words: list[Word],
        values: dict[str, Value],
        options: dict[str, Slot],
        flags: set[str],
    ) -> None:
        """What follows the operands."""
        for word in words:
            key, equals, rest = word.text.partition("=")
            if key in values:
                self.complain(raw.number, word.column, f"`{key}` is given twice")
            elif equals and key in options:
                option, inner = options[key], Word(rest, word.column + len(key) + 1)
                if option.many:
                    values[key] = tuple(self._several(raw, option, inner))
                elif (value := self._value(raw, option, inner)) is not None:
                    values[key] = value
            elif not equals and key in flags:
                values[key] = True
            else:
                hint = did_you_mean(key, [*options, *flags])
                self.complain(
                    raw.number,
                    word.column,
                    f"`{form.name}` does not expect `{printable(key)}` here{hint} (`{form.usage}`)",
                )
        for option in form.options:
            if (
                not option.optional
                and option.name not in values
                and not any(w.text.startswith(f"{option.name}=") for w in words)
            ):
                self.complain(raw.number, raw.end, f"`{option.name}=` is missing: {option.expected} (`{form.usage}`)")

    def _several(self, raw: _Raw, slot: Slot, word: Word) -> Iterator[str]:
        """Words with commas between them."""
        column = word.column
        for part in word.text.split(","):
            if (value := self._value(raw, slot, Word(part, column))) is not None:
                yield str(value)
            column += len(part) + 1

    def _value(self, raw: _Raw, slot: Slot, word: Word) -> Value | None:
        """What a word means; None, and a complaint, if it means nothing here."""
        match slot.kind:
            case "name" if is_name(word.text):
                return word.text
            case "name":
                shape = f"a letter, then letters, digits, `_` or `-`, at most {LONGEST_NAME}"
                self.complain(raw.number, word.column, f"`{printable(word.text)}` is no name: {shape}")
                return None
            case "number" if (value := number(word.text)) is not None and value <= MOST_PAGES:
                return value
            case "word" if word.text in slot.words:
                return word.text
            case _:
                hint = did_you_mean(word.text, slot.words)
                self.complain(raw.number, word.column, f"`{printable(word.text)}` is not {slot.expected}{hint}")
                return None

    def _missing(self, raw: _Raw, slot: Slot, form: LineForm) -> None:
        self.complain(raw.number, raw.end, f"{slot.name} is missing: expected {slot.expected} (`{form.usage}`)")

    # -- the whole -------------------------------------------------------------------------

    def _check_names(self, lists: tuple[StepList, ...]) -> None:
        """Locks that steps name are declared; functions that they call exist and do not call each other in a circle."""
        if self.likes:
            return  # what it takes over is known when it is resolved
        declared = {line.word_at("LOCK") for line in self.fields if line.word == "lock"}
        for problem in wrong_names(lists, declared):
            self.problems.append(problem)


def wrong_names(lists: tuple[StepList, ...], declared: set[str]) -> Iterator[ScriptProblem]:
    """What the steps of lists name and is not there, and lists that call each other without end."""
    functions = {one.name for one in lists if one.head.word == "function"}
    for one in lists:
        for step in every_step(one):
            lock = step.word_at("LOCK")
            if lock and lock not in declared:
                hint = did_you_mean(lock, declared) or "; declare it: `lock NAME ops`"
                yield ScriptProblem(step.line, step.column, f"no lock `{lock}` is declared{hint}")
            callee = step.word_at("NAME") if step.word == "call" else ""
            if callee and callee not in functions:
                hint = did_you_mean(callee, functions) or "; write it: `function NAME:`"
                yield ScriptProblem(step.line, step.column, f"there is no function `{callee}`{hint}")
    yield from _circles(lists)


def every_step(one: StepList) -> Iterator[DriverLine]:
    """The steps of a list, those behind a `+` too."""
    for step in one.steps:
        yield step
        yield from step.joined


def _circles(lists: tuple[StepList, ...]) -> Iterator[ScriptProblem]:
    """Lists that call each other in a circle, or too deep: a driver would never come to an end."""
    calls: dict[str, list[DriverLine]] = {}
    for one in lists:
        calls.setdefault(one.name, []).extend(step for step in every_step(one) if step.word == "call")
    for one in lists:
        for step in (step for step in every_step(one) if step.word == "call"):
            chain, level = [one.name], {step.word_at("NAME")}
            while level and len(chain) <= MOST_DEPTH + len(calls):
                if one.name in level:
                    circle = "calls itself" if len(chain) == 1 else "calls itself through others"
                    yield ScriptProblem(step.line, step.column, f"`{one.name}` {circle}: a driver cannot loop")
                    break
                chain.append("")
                level = {inner.word_at("NAME") for name in level for inner in calls.get(name, ())}
            else:
                if len(chain) > MOST_DEPTH:
                    yield ScriptProblem(step.line, step.column, f"lists call each other more than {MOST_DEPTH} deep")


def _overlap(one: DriverLine, other: DriverLine) -> bool:
    """Whether two lines count on some kernel both, and neither takes the other's place."""
    if one.as_it_was != other.as_it_was:
        return False
    return any(counts_on(one, kernel) and counts_on(other, kernel) for kernel in KERNELS)


def on_some_kernel(line: DriverLine) -> bool:
    """Whether a line counts anywhere at all."""
    return any(counts_on(line, kernel) for kernel in KERNELS)


def counts_on(line: DriverLine, kernel: str) -> bool:
    """Whether a line counts on a kernel."""
    first = KERNELS.index(line.since) if line.since else 0
    last = KERNELS.index(line.until) if line.until else len(KERNELS) - 1
    return first <= KERNELS.index(kernel) <= last


def _split(part: str, start: int) -> list[Word]:
    """The words of a part of a line that begins at column `start`."""
    words: list[Word] = []
    at = 0
    for text in part.split():
        at = part.index(text, at)
        words.append(Word(text, start + at))
        at += len(text)
    return words


def _explanations(words: list[Word]) -> tuple[list[Word], str, str]:
    """The words before ` -- `, the source behind it, and what stands behind a second one."""
    parts: list[list[Word]] = [[]]
    for word in words:
        if word.text == SOURCE and len(parts) < 3:
            parts.append([])
        else:
            parts[-1].append(word)
    texts = [" ".join(word.text for word in part) for part in parts[1:]]
    source, told = [*texts, "", ""][:2]
    return parts[0], source, told


def _parted(words: list[Word]) -> list[list[Word]]:
    """The words between the `+`."""
    parts: list[list[Word]] = [[]]
    for word in words:
        if word.text == JOIN:
            parts.append([])
        else:
            parts[-1].append(word)
    return parts


# -- writing ---------------------------------------------------------------------------------------


def one_line(text: str) -> str:
    """A driver file as one line, comments left out: as it stands in scripts that are written by the program."""
    return "; ".join(part for line in text.split("\n") for part in _parts(line))


def _parts(line: str) -> Iterable[str]:
    return (" ".join(part.split()) for part in line.partition("#")[0].split(";") if part.strip())


def described(line: DriverLine) -> str:
    """A line as it may stand in a file again."""
    said = {"since": line.since, "until": line.until, "as-it-was": line.as_it_was, "mended": line.mended}
    versions = [f"{key} {value}" for key, value in said.items() if value]
    versions += [f"{'when' if wanted else 'unless'} {state}" for state, wanted in line.when]
    told = f" {SOURCE} {line.source}" if line.source or line.words else ""
    return " ".join((*versions, line.text)) + told + (f" {SOURCE} {line.words}" if line.words else "")


def moved(line: DriverLine, *, to: int) -> DriverLine:
    """The same line elsewhere in the text."""
    return msgspec.structs.replace(line, line=to)
