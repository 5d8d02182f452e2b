# ruff: noqa: D102 -- `expected`, `read` and `words` mean in every kind of operand what they mean in Operand
"""The operands that name pages: of an address space, of what a reference holds, or of either."""

import re
from collections.abc import Iterable
from typing import Final, cast

from model.script.command import Place, RefPage, Value
from model.script.operands import TOP_PAGE, Name, Operand, OperandError, Reading, Signature
from model.text.problems import did_you_mean
from model.text.words import Word, is_name, number, printable

PLACE: Final = re.compile(r"(?:@|(?P<label>[^@+\[\]]+))(?P<rest>.*)")
RANGE: Final = re.compile(r"\[(?P<first>[^:\]]*):(?P<last>[^:\]]*)\]")


class Where(Operand, frozen=True):
    """A place in the address space of the process that operand `of` names."""

    of: str = "P"
    many: bool = False
    """The verb takes a range of pages."""

    @property
    def expected(self) -> str:
        forms = "`LABEL`, `LABEL+N`, `LABEL[A:B]`, `@N` or `@[A:B]`" if self.many else "`LABEL`, `LABEL+N` or `@N`"
        return f"a place: {forms}"

    def read(self, word: Word, reading: Reading) -> Place:
        match = PLACE.fullmatch(word.text)
        if match is None:
            raise self.wrong(word)
        label, rest = match["label"] or "", word.part(match.start("rest"))
        place = self._place(label, rest, word)
        if label:
            self._check_label(Word(label, word.column), reading)
        if not self.many and place.pages > 1:
            raise OperandError(rest.column, f"one page is expected here, not a range: {self.expected}")
        return place

    def _place(self, label: str, rest: Word, word: Word) -> Place:
        """The place without a look at whether there is such a label."""
        if label and not rest.text:
            return Place(label)
        if span := RANGE.fullmatch(rest.text):
            first, last = number(span["first"]), number(span["last"])
            if first is None or last is None or last > TOP_PAGE:
                raise self.wrong(word)
            if first >= last:
                raise OperandError(rest.column, f"`{rest.text}` has no page in it: `[A:B]` are the pages A … B-1")
            return Place(label, first, last - first)
        one = rest.text.removeprefix("+") if label else rest.text
        page = number(one)
        if page is None or (label and not rest.text.startswith("+")):
            raise self.wrong(word)
        if page >= TOP_PAGE:
            raise OperandError(rest.column, f"virtual page numbers end at {TOP_PAGE - 1:#x}")
        return Place(label, page, 1)

    def _check_label(self, label: Word, reading: Reading) -> None:
        process = cast("str | None", reading.values.get(self.of))
        if process is None:
            return
        labels = reading.scope.labels.get(process, {})
        if label.text not in labels and not (is_name(label.text) and reading.scope.trusts()):
            hint = did_you_mean(label.text, labels) or (f"; it has {', '.join(sorted(labels))}" if labels else "")
            raise OperandError(label.column, f"`{process}` has no label `{printable(label.text)}`{hint}")

    def words(self, reading: Reading) -> Iterable[str]:
        return reading.scope.labels.get(cast("str", reading.values.get(self.of, "")), ())


class ReferencePage(Name, frozen=True):
    """`R` or `R+N`: a page of what a reference holds."""

    kind: str = "reference"

    def read(self, word: Word, reading: Reading) -> RefPage:  # type: ignore[override]
        name, plus, page = word.text.partition("+")
        super().read(Word(name, word.column), reading)
        index = number(page) if plus else 0
        if index is None or index >= TOP_PAGE:
            raise OperandError(word.column + len(name), f"`{printable(plus + page)}` is no page of it: `R` or `R+N`")
        return RefPage(name, index)


class PageOf(Operand, frozen=True):
    """One page: `P WHERE`, of a process (read into its name; the place follows), or `R[+N]`, of what a reference holds.

    A name that both a process and a reference bear means the process if a place follows it.
    """

    @property
    def place(self) -> Where:
        """The place that follows the name of a process; its value stands under this operand's name."""
        return Where(name=place_key(self.name), of=self.name)

    @property
    def expected(self) -> str:
        return "a page: `P WHERE` of a process, or `R` or `R+N` of what a reference holds"

    def read(self, word: Word, reading: Reading) -> Value:
        name, plus, _ = word.text.partition("+")
        scope = reading.scope
        processes, references = scope.names["process"], scope.names["reference"]
        if plus or (name in references and not (name in processes and reading.spare)):
            return HELD.read(word, reading)
        if name in processes or (scope.trusts() and reading.spare and is_name(name)):
            return name
        if scope.trusts():
            return HELD.read(word, reading)
        hint = did_you_mean(name, {*processes, *references})
        raise OperandError(word.column, f"there is no process or reference `{printable(name)}`{hint}")

    def words(self, reading: Reading) -> Iterable[str]:
        yield from reading.scope.names["process"]
        yield from reading.scope.names["reference"]

    def following(self, value: Value) -> Signature:
        return Signature() if isinstance(value, RefPage) else Signature((self.place,))


HELD: Final = ReferencePage(name="R[+N]")


def place_key(name: str) -> str:
    """Under which name the place of a `PageOf` is kept."""
    return f"WHERE of {name}"
