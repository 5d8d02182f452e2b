"""Completion and inline help at the prompt."""

import pytest

from model.script.complete import assist
from model.script.parser import parse_line
from model.script.scope import Scope
from model.script.verbs import VERBS


@pytest.fixture(name="scope")
def _scope() -> Scope:
    scope = Scope()
    for line in (
        "process p0",
        "memfd f 4",
        "diskfile d 4",
        "device nic",
        "mmap p0 buf anon private rw 4",
        "gup p0 buf as=r0",
    ):
        parse_line(line, scope)
    return scope


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("re", ["remote-read", "remote-write", "reclaim"]),
        ("read ", ["p0"]),
        ("read p0 ", ["buf"]),
        ("mmap p0 m memfd:", ["memfd:f"]),
        ("mmap p0 m file", ["file:d"]),
        ("gup p0 buf as=r1 f", ["fast", "fast-only", "force"]),
        ("gup p0 buf as=r1 slow ", ["write", "pin", "longterm", "force", "by="]),
        ("gup p0 buf as=r1 by=", ["by=nic"]),
        ("set kernel ", ["6.18", "6.1", "6.12", "7.3"]),
        ("dma r0 ", ["write", "read"]),
        ("begin t gup p0 ", ["buf"]),
        ("begin t no", []),
        ("expect ref", ["refcount"]),
        ("expect refcount p", ["p0"]),
        ("note re", []),
        ("frobnicate ", []),
        ("read p0 buf ", []),
    ],
)
def test_suggestions(line: str, words: list[str], scope: Scope) -> None:
    found = [suggestion.word for suggestion in assist(line, scope).suggestions]
    assert (found if line != "re" else found[1:]) == words


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("", "a command"),
        ("write p0 buf ", "a byte (0 to 255)"),
        ("begin t ", "a command"),
        ("gup p0 buf ", "an option"),
        ("read p0 buf ", ""),
    ],
)
def test_the_prompt_says_what_comes_next(line: str, expected: str, scope: Scope) -> None:
    assert assist(line, scope).expected == expected


def test_the_prompt_shows_the_syntax_of_the_verb(scope: Scope) -> None:
    assert assist("begin t read ", scope).usage == "read P WHERE"


def test_a_whole_verb_is_explained_before_the_blank() -> None:
    told = assist("gup", Scope())
    assert told.usage.startswith("gup P WHERE")
    assert told.expected == VERBS["gup"].help
    assert [suggestion.word for suggestion in assist("d", Scope()).suggestions] != []
