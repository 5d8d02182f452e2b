"""Sentences that know what they are made of, so that they can be said in another language.

A Wording is its English text, for whoever wants no more: it compares, hashes and prints as that. Beside it stand the
pattern and the facts that were put in: numbers, names and further phrases. Whoever has a translation of the pattern
puts the same facts into that (`lessons.i18n.language.localized`). In a pattern, `{holder:capital}` begins a sentence.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from string import Formatter
from typing import Final, NamedTuple, Self

CAPITAL: Final = "capital"
"""A format for phrases: with a capital letter."""


class Pattern(NamedTuple):  # no struct, for the same reason as `model.text.words.Word`
    """How a phrase is put together."""

    text: str
    """With a placeholder for each fact; empty: the facts one after the other, nothing between them."""
    facts: Mapping[str, object]
    many: str = ""
    """The form for all numbers `n` but 1; empty: the phrase counts nothing."""


class Wording(str):
    """An English text with its pattern."""

    __slots__ = ("pattern",)

    pattern: Pattern

    def __new__(cls, text: str, pattern: Pattern) -> Self:
        """The text must be what the pattern makes."""
        made = super().__new__(cls, text)
        made.pattern = pattern
        return made

    def __reduce__(self) -> tuple[type[Wording], tuple[str, Pattern]]:
        """For copies."""
        return Wording, (str(self), self.pattern)


class Filling(str):
    """A text on its way into a pattern, which may ask for a capital letter."""

    __slots__ = ("begins",)

    begins: bool
    """Whether its first word is one of the language, and no name."""

    def __new__(cls, fact: str) -> Self:
        """A fact, which may be a phrase."""
        made = super().__new__(cls, fact)
        made.begins = begins_with_a_word(fact)
        return made

    def __format__(self, form: str) -> str:
        if form != CAPITAL:
            return super().__format__(form)
        return self[:1].upper() + self[1:] if self.begins else str(self)


def begins_with_a_word(fact: object) -> bool:
    """Whether a fact is a phrase that begins with a word of the language: names stay as they are."""
    if not isinstance(fact, Wording):
        return False
    pattern = fact.pattern
    if not pattern.text:
        return any(begins_with_a_word(one) for one in list(pattern.facts.values())[:1])
    before, name, _, _ = next(iter(Formatter().parse(pattern.text)))
    return bool(before) or begins_with_a_word(pattern.facts.get(name or ""))


def filled(text: str, facts: Mapping[str, object]) -> str:
    """A pattern with its facts. Raises KeyError, IndexError or ValueError for one that asks for what there is not.

    >>> filled("{one} and {n:02}", {"one": "a page", "n": 3})
    'a page and 03'
    """
    return text.format(**{name: Filling(fact) if isinstance(fact, str) else fact for name, fact in facts.items()})


def phrase(text: str, **facts: object) -> Wording:
    """A phrase by its pattern, which is what a translator sees: it must stand in the source as it is.

    >>> phrase("{who:capital} holds {frame}.", who=phrase("the pin {name}", name="r"), frame="frame 5")
    'The pin r holds frame 5.'
    >>> phrase("{who:capital} writes.", who="nic")
    'nic writes.'
    """
    return Wording(filled(text, facts), Pattern(text, facts))


def counted(n: int, one: str, many: str) -> Wording:
    """A number of things: `one` is said of 1, `many` of all others.

    >>> counted(1, "{n} page", "{n} pages"), counted(2, "{n} page", "{n} pages")
    ('1 page', '2 pages')
    """
    return Wording(filled(one if n == 1 else many, {"n": n}), Pattern(one, {"n": n}, many))


def together(parts: Iterable[str], between: str = " ") -> Wording:
    """Phrases one after the other; empty ones are left out.

    >>> together([phrase("It is free."), "", phrase("Nobody has it.")])
    'It is free. Nobody has it.'
    """
    some = [part for part in parts if part]
    pieces = [piece for part in some for piece in (between, part)][1:]
    return Wording("".join(pieces), Pattern("", {str(number): piece for number, piece in enumerate(pieces)}))
