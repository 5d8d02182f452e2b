"""What the README shows is what the program does."""

import re

import pytest

from docs.readme import PARTS, README, ROOT, part

TEXT = README.read_text()


@pytest.mark.parametrize("name", PARTS)
def test_a_generated_part_is_what_the_program_says_today(name: str) -> None:
    assert part(TEXT, name) == PARTS[name]()


def test_links_lead_somewhere() -> None:
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", TEXT)
    local = [target for target in targets if not target.startswith("http")]
    assert local
    assert [target for target in local if not (ROOT / target).exists()] == []


def test_every_make_target_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"\bmake ([a-z]+)\b", TEXT)) - {"sure"}
    assert named
    assert named <= targets


def test_the_first_screen_shows_what_it_is() -> None:
    """Picture, the two commands and a script stand within the first lines."""
    first = "\n".join(TEXT.splitlines()[:40])
    for shown in ("](docs/lesson.svg)", "make run", "make test", "ptescope run"):
        assert shown in first
