"""What could be typed next: completion and inline help for a prompt, from the same table that the parser reads."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import msgspec

from model.script.command import Value
from model.script.conditions import AND, CONDITION, CONDITIONS, Asked
from model.script.operands import Nested, Operand, OperandError, Option, Reading, Rest, Signature
from model.script.scope import Scope
from model.script.verbs import VERBS, Verb, op_verb, verb_of
from model.text.words import Word, split


class Suggestion(NamedTuple):
    """A word that could stand where the cursor is, in full."""

    word: str
    help: str


class Completion(NamedTuple):
    """What a prompt can say about an unfinished line."""

    usage: str
    """The syntax of its verb; empty while there is none."""
    expected: str
    """What belongs where the cursor is; empty: nothing more."""
    suggestions: tuple[Suggestion, ...]


def assist(line: str, scope: Scope) -> Completion:
    """Help for a line whose cursor stands at its end.

    >>> [suggestion.word for suggestion in assist("mun", Scope()).suggestions]
    ['munmap', 'munlock']
    >>> assist("read ", Scope()).expected
    'a process'
    """
    words = split(line)
    partial = words.pop() if words and not line[-1:].isspace() else Word("", len(line) + 1)
    return _assist(words, partial, scope, [*(verb.name for verb in VERBS.values()), *scope.ops()])


def _assist(words: list[Word], partial: Word, scope: Scope, verbs: Iterable[str]) -> Completion:
    if not words:
        known = [_verb(name, scope) for name in verbs]
        whole = next((verb for verb in known if verb.name == partial.text), None)
        usage, expected = (whole.usage, whole.help) if whole is not None else ("", "a command")
        return Completion(usage, expected, tuple(_matching(partial.text, ((verb.name, verb.help) for verb in known))))
    verb = _verb(words[0].text, scope) if words[0].text in {*VERBS, *scope.ops()} else None
    if verb is None:
        return Completion("", "", ())
    if any(isinstance(operand, Asked) for operand in verb.form.operands):
        return _condition(words[1:], partial, scope, verb.usage)
    walk = _SignatureReader(verb.form, Reading(scope, {}))
    for number, word in enumerate(words[1:], 1):
        if walk.next_is(Nested) and not walk.takes_option(word):
            return _nested(words[number:], partial, scope)
        walk.take(word)
    if walk.next_is(Nested):
        options = _matching(partial.text, walk.option_words(partial.text))
        started = _nested([], partial, scope)
        return started._replace(suggestions=(*started.suggestions, *options))
    return Completion(verb.usage, walk.expected, tuple(_matching(partial.text, walk.candidates(partial.text))))


def _nested(words: list[Word], partial: Word, scope: Scope) -> Completion:
    """A command inside `begin` or `may`."""
    kernel = [verb.name for verb in VERBS.values() if verb.role == "kernel"]
    return _assist(words, partial, scope, [*kernel, *scope.ops()])


def _verb(name: str, scope: Scope) -> Verb:
    """A verb as it is told here: an operation of a driver with what its file says of it."""
    about = scope.ops().get(name, "") if name not in VERBS else ""
    return msgspec.structs.replace(op_verb(name), help=about) if about else verb_of(name)


def assist_condition(text: str, scope: Scope) -> Completion:
    """Completion for an unfinished condition or quantity, as after `expect`.

    >>> [suggestion.word for suggestion in assist_condition("present p0 buf and not acc", Scope()).suggestions]
    ['accessed']
    """
    words = split(text)
    partial = words.pop() if words and not text[-1:].isspace() else Word("", len(text) + 1)
    return _condition(words, partial, scope, "")


def _condition(words: list[Word], partial: Word, scope: Scope, usage: str) -> Completion:
    """Completion for the last phrase of a condition."""
    start = max((at for at, word in enumerate(words, 1) if word.text == AND), default=0)
    phrase = words[start:]
    walk = _SignatureReader(Signature((CONDITION,)), Reading(scope, {}))
    for word in phrase:
        walk.take(word)
    head = next((word.text for word in phrase if word.text in CONDITIONS), "")
    known = CONDITIONS[head].usage if head else usage
    found = list(_matching(partial.text, walk.candidates(partial.text)))
    if head and not walk.pending:
        found += _matching(partial.text, [(AND, "another condition")])
    return Completion(known, walk.expected, tuple(found))


def _matching(start: str, candidates: Iterable[tuple[str, str]]) -> Iterator[Suggestion]:
    return (Suggestion(word, text) for word, text in candidates if word.startswith(start) and word != start)


class _SignatureReader:
    """A form being filled in word by word, as far as it goes."""

    def __init__(self, form: Signature, reading: Reading) -> None:
        self.pending = list(form.operands)
        self.options = list(form.options)
        self.reading = reading

    def next_is(self, kind: type[Operand]) -> bool:
        """Whether an operand of that kind comes next."""
        return bool(self.pending) and isinstance(self.pending[0], kind)

    def take(self, word: Word) -> None:
        """One complete word. What cannot be read is passed over: the parser will complain soon enough."""
        if self.next_is(Rest):
            return
        if not self.pending or self.takes_option(word):
            key = word.text.partition("=")[0]
            given = next((option for option in self.options if option.key == key), Option(key))
            self.options = [o for o in self.options if o.key != key and not (o.instead and o.instead == given.instead)]
            return
        operand = self.pending.pop(0)
        try:
            value: Value = operand.read(word, Reading(self.reading.scope, self.reading.values, 1))
        except OperandError:
            return
        self.reading.values[operand.name] = value
        self.pending = [*operand.following(value).operands, *self.pending]
        self.options += operand.following(value).options

    @property
    def expected(self) -> str:
        """What comes next, in words."""
        if self.pending:
            return self.pending[0].expected
        return "an option" if self.options else ""

    def candidates(self, partial: str) -> Iterator[tuple[str, str]]:
        """Every word that could come next, with what it is."""
        if self.pending:
            for word in self.pending[0].words(self.reading):
                yield word, CONDITIONS[word].help if word in CONDITIONS else self.pending[0].expected
        if not self.pending or self.pending[0].optional:
            yield from self.option_words(partial)

    def takes_option(self, word: Word) -> bool:
        """Whether a word stands before a command as an option of the verb that starts it."""
        key, equals, _ = word.text.partition("=")
        return self.next_is(Nested) and bool(equals) and any(option.key == key for option in self.options)

    def option_words(self, partial: str) -> Iterator[tuple[str, str]]:
        """The options that are not given yet, with what they are."""
        for option in self.options:
            if option.value is None:
                yield option.key, "a flag"
            elif not partial.startswith(f"{option.key}="):
                yield f"{option.key}=", option.value.expected
            else:
                words = option.value.words(self.reading)
                yield from ((f"{option.key}={word}", option.value.expected) for word in words)
