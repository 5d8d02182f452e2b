"""Another name in a command: every place where a name of some kind stands, found through the verb table."""

from typing import NamedTuple

from model.script.conditions import AND, Asked
from model.script.operands import (
    Branch,
    MappingOf,
    Name,
    Nested,
    NewLabel,
    NewName,
    Operand,
    Rest,
    Signature,
)
from model.script.page_operands import HELD, PageOf, ReferencePage, Where
from model.script.verbs import VERBS


class Renaming(NamedTuple):
    """Which name gets which other one."""

    kind: str
    """process, file, device, buffer, dma-buf, reference, task; or `label of P`."""
    old: str
    new: str


def renamed(line: str, renaming: Renaming) -> str:
    """A well-formed command with the name replaced wherever it stands for that kind of thing.

    >>> renamed("gup r r+1 as=r by=r", Renaming("reference", "r", "r_1"))
    'gup r r+1 as=r_1 by=r'
    >>> renamed("begin T dma r+1 write 5", Renaming("reference", "r", "q"))
    'begin T dma q+1 write 5'
    >>> renamed("mmap p0 buf memfd:buf shared rw 1", Renaming("label of p0", "buf", "b"))
    'mmap p0 b memfd:buf shared rw 1'
    >>> renamed("expect same p0 r r+1 and not held r", Renaming("reference", "r", "q"))
    'expect same p0 r q+1 and not held q'
    """
    words = line.split()
    verb = VERBS.get(words[0]) if words else None
    if verb is None:
        return line
    return " ".join([words[0], *_words(words[1:], verb.form, renaming)])


def _words(words: list[str], form: Signature, renaming: Renaming) -> list[str]:
    """The words after the verb."""
    left, done = list(words), list[str]()
    pending, options = list(form.operands), {option.key: option.value for option in form.options}
    values: dict[str, str] = {}
    while pending and left:
        operand = pending.pop(0)
        if isinstance(operand, Rest):
            return [*done, *left]
        while isinstance(operand, Nested) and left and left[0].partition("=")[0] in options:
            done.append(_option(left.pop(0), options, values, renaming))
        if isinstance(operand, Nested):
            return [*done, renamed(" ".join(left), renaming)]
        if isinstance(operand, Asked) and AND in left:
            first = left.index(AND)
            rest = _words(left[first + 1 :], Signature((operand,)), renaming)
            return [*done, *_words(left[:first], Signature((operand,)), renaming), AND, *rest]
        word = left.pop(0)
        values[operand.name] = word
        if isinstance(operand, PageOf):
            spare = sum("=" not in one for one in left) - sum(not one.optional for one in pending)
            pending = [operand.place, *pending] if spare > 0 else pending
            renamed_kind = Name(name="", kind="process") if spare > 0 else HELD
            done.append(_word(renamed_kind, word, values, renaming))
            continue
        done.append(_word(operand, word, values, renaming))
        if isinstance(operand, Branch) and word in operand.forms:
            pending = [*operand.forms[word].operands, *pending]
            options |= {option.key: option.value for option in operand.forms[word].options}
    return [*done, *(_option(word, options, values, renaming) for word in left)]


def _option(word: str, options: dict[str, Operand | None], values: dict[str, str], renaming: Renaming) -> str:
    key, equals, value = word.partition("=")
    operand = options.get(key)
    return f"{key}={_word(operand, value, values, renaming)}" if equals and operand is not None else word


def _word(operand: Operand, word: str, values: dict[str, str], renaming: Renaming) -> str:
    """One word: the name, or the name with something around it."""
    match operand:
        case ReferencePage() if renaming.kind == "reference":
            name, plus, page = word.partition("+")
            return f"{_swap(name, renaming)}{plus}{page}"
        case Name() | NewName() if operand.kind == renaming.kind:
            return _swap(word, renaming)
        case NewLabel() if renaming.kind == f"label of {values.get('P', '')}":
            return _swap(word, renaming)
        case Where() if renaming.kind == f"label of {values.get(operand.of, '')}":
            end = min((at for sign in "+[" if (at := word.find(sign)) >= 0), default=len(word))
            return _swap(word[:end], renaming) + word[end:]
        case MappingOf():
            kind, colon, of = word.partition(":")
            owner = operand.kinds.get(kind)
            return f"{kind}:{_word(owner, of, values, renaming)}" if colon and owner is not None else word
        case _:
            return word


def _swap(word: str, renaming: Renaming) -> str:
    return renaming.new if word == renaming.old else word
