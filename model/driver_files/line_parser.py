"""One line of a driver file: its words → a DriverLine, by the form that its first word has."""

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec

from model.driver_files.line_forms import (
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
from model.driver_files.records import DriverLine, Value
from model.engine.config import KERNELS
from model.engine.mends import MENDS
from model.text.problems import ScriptProblem, did_you_mean
from model.text.words import LONGEST_NAME, Word, hidden, is_name, number, printable

LONGEST_LINE: Final = 1_000
NO_USE: Final = "a driver file uses no other: `like NAME` takes over from a bundled driver"
AFFIXES: Final = ("VM_FAULT_", "VM_", "F_SEAL_")
"""What the kernel's names begin with, and words of driver files do not."""
SOURCE: Final = "--"
"""Stands before the kernel function of a line, and before what it does."""
TEXTS: Final = ("about", "source", SOURCE)
"""Words that a free text follows."""


class RawLine(msgspec.Struct, frozen=True):
    """One line before it is understood."""

    number: int
    words: list[Word]
    end: int
    behind_text: bool = False
    """A `;` stands before it, and a free text before that: somebody may have meant the `;` as a mark of punctuation."""


class LineReader:
    """Reads lines, and keeps what is wrong with them."""

    def __init__(self) -> None:
        self.problems: list[ScriptProblem] = []

    def complain(self, line: int, column: int, message: str) -> None:
        """Note a problem and go on."""
        self.problems.append(ScriptProblem(line, column, message))

    def raw_lines(self, text: str) -> Iterator[RawLine]:
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
            at, in_text = 1, False
            for part in line.split(";"):
                words = _split(part, at)
                if words:
                    yield RawLine(line_number, words, at + len(part.rstrip()), in_text)
                in_text = any(word.text in TEXTS for word in words)
                at += len(part) + 1

    def line(self, raw: RawLine, forms: dict[str, LineForm], what: str) -> DriverLine | None:
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

    def _joined(self, raw: RawLine, parts: list[list[Word]]) -> Iterator[DriverLine]:
        """The steps behind a `+`: a call, after which others may come between, can be the last only."""
        for at, words in enumerate(parts):
            if at and not words:
                self.complain(raw.number, raw.end, f"a step is missing behind `{JOIN}`")
            elif at and (step := self.line(RawLine(raw.number, words, raw.end), STEPS, "a step")) is not None:
                yield step
            last = at == len(parts) - 1
            if words and words[0].text in LONG and not last:
                why = "takes many micro-steps: nothing can be joined behind it"
                self.complain(raw.number, words[0].column, f"`{words[0].text}` {why}")

    def _when(self, raw: RawLine, words: list[Word]) -> tuple[tuple[str, bool], ...]:
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

    def _versions(self, raw: RawLine, words: list[Word]) -> tuple[str, str, str, str]:
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

    def _without_colon(self, raw: RawLine, words: list[Word], form: LineForm) -> list[Word]:
        """The name of a list without the colon behind it."""
        if words and words[-1].text == ":":
            return words[:-1]
        if words and words[-1].text.endswith(":"):
            return [*words[:-1], Word(words[-1].text[:-1], words[-1].column)]
        end = words[-1].column + len(words[-1].text) if words else raw.end
        self.complain(raw.number, end, f"a colon is missing (`{form.usage}`)")
        return words

    def _values(self, raw: RawLine, form: LineForm, words: list[Word]) -> dict[str, Value]:
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
        raw: RawLine,
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

    def _several(self, raw: RawLine, slot: Slot, word: Word) -> Iterator[str]:
        """Words with commas between them."""
        column = word.column
        for part in word.text.split(","):
            if (value := self._value(raw, slot, Word(part, column))) is not None:
                yield str(value)
            column += len(part) + 1

    def _value(self, raw: RawLine, slot: Slot, word: Word) -> Value | None:
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
                hint = did_you_mean(without_affixes(word.text, slot.words), slot.words)
                self.complain(raw.number, word.column, f"`{printable(word.text)}` is not {slot.expected}{hint}")
                return None

    def _missing(self, raw: RawLine, slot: Slot, form: LineForm) -> None:
        self.complain(raw.number, raw.end, f"{slot.name} is missing: expected {slot.expected} (`{form.usage}`)")


def without_affixes(word: str, known: Iterable[str]) -> str:
    """A word as driver files write it, where somebody has copied it from the kernel or from a man page.

    >>> without_affixes("VM_IO", ["IO"]), without_affixes("-EBUSY", ["EBUSY"]), without_affixes("F_SEAL_GROW", ["grow"])
    ('IO', 'EBUSY', 'grow')
    """
    bare = word.lstrip("-")
    for prefix in AFFIXES:
        bare = bare.removeprefix(prefix)
    return next((one for one in known if one.lower() == bare.lower()), bare)


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
