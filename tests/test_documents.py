"""What the documents show is what the program does."""

import re

import pytest

from docs.parts import PARTS, README, ROOT, part

DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("*/README.md")]


@pytest.mark.parametrize("name", PARTS)
def test_a_generated_part_is_what_the_program_says_today(name: str) -> None:
    file, make = PARTS[name]
    assert part(file.read_text(), name) == make(), "out of date: make documents"


@pytest.mark.parametrize("name", [file.relative_to(ROOT).as_posix() for file in DOCUMENTS])
def test_links_lead_somewhere(name: str) -> None:
    file = ROOT / name
    local = re.findall(r"\]\((?!https?:)([^)#]+)[^)]*\)", file.read_text())
    assert [target for target in local if not (file.parent / target).exists()] == []


def test_every_make_target_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:`|^ +)make ([a-z]+)", README.read_text(), re.MULTILINE))
    assert named
    assert named <= targets


def test_the_first_screen_shows_what_it_is() -> None:
    """Picture, the two commands and a script stand within the first lines."""
    first = "\n".join(README.read_text().splitlines()[:40])
    for shown in ("](docs/lesson.svg)", "make run", "make test", "ptescope run"):
        assert shown in first
