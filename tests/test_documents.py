"""What the documents show is what the program does."""

import re

import pytest

from docs import pictures
from docs.parts import COMPARE, PARTS, README, RECORDINGS, ROOT, agreement_table, part
from lessons.file.library import entries
from lessons.file.museum import exhibits
from lessons.file.schema import PARTS as PARTS_OF_COURSE
from model.compare.scenes import DEFENCES, GRABBERS, defence_name, rows
from model.compare.uses import uses
from model.replay.compare import RecordingResult
from tui.commands.replay import recordings

COUNTED = {5: "five", 6: "six", 7: "seven"}
DOCUMENTS = [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("*/README.md")]


@pytest.mark.parametrize("name", [name for name in PARTS if name != "agreement"])
def test_a_generated_part_is_what_the_program_says_today(name: str) -> None:
    file, make = PARTS[name]
    assert part(file.read_text(), name) == make(), "out of date: make documents"


def test_the_table_of_agreement_counts_every_recording() -> None:
    """That each agrees is tested where it is replayed: tests/model/test_replay.py."""
    agreeing = [(path, RecordingResult(path.stem, 0, None, ())) for path in recordings([RECORDINGS])]
    assert part(README.read_text(), "agreement") == agreement_table(agreeing), "out of date: make agreement"


@pytest.mark.parametrize("name", pictures.FIRST)
def test_the_pictures_of_the_gallery_are_what_the_program_draws_today(name: str) -> None:
    drawn = (pictures.FOLDER / f"{name}.svg").read_text(encoding="utf-8")
    assert drawn == pictures.shown(name).svg, "out of date: make documents"


def test_the_gallery_tells_what_happens_in_its_pictures() -> None:
    assert pictures.gallery() == pictures.GALLERY.read_text(encoding="utf-8"), "out of date: make documents"
    assert {path.stem for path in pictures.FOLDER.glob("*.pte")} == set(pictures.FIRST)


def test_the_comparison_has_every_cell() -> None:
    """Making it anew takes a minute; what stands in its cells is tested in tests/model/test_compare.py."""
    text = part(COMPARE.read_text(), "comparison")
    drivers = rows("6.1")
    assert re.findall(r"^### Defence: (.*)$", text, re.MULTILINE) == [defence_name(defence) for defence in DEFENCES]
    lines = [line.strip("| ").split(" | ") for line in text.splitlines() if line.startswith("| ")]
    cells = [line for line in lines if line[0] in {row.name for row in drivers}]
    assert len(cells) == len(DEFENCES) * len(drivers)
    names = {tuple(line[1:]) for line in lines if line[0] == "exporter"}
    assert names == {tuple(grabber.name for grabber in GRABBERS)}
    assert {len(line) for line in cells} == {1 + len(GRABBERS)}
    tried = [line for line in lines if line[0] in {use.name for use in uses(drivers, "6.1")}]
    assert len(tried) == len(uses(drivers, "6.1"))
    assert {len(line) for line in tried} == {1 + len(DEFENCES)}


@pytest.mark.parametrize("name", [file.relative_to(ROOT).as_posix() for file in DOCUMENTS])
def test_links_lead_somewhere(name: str) -> None:
    file = ROOT / name
    local = re.findall(r"\]\((?!https?:)([^)#]+)[^)]*\)", file.read_text())
    assert [target for target in local if not (file.parent / target).exists()] == []


def test_the_readme_counts_the_lessons_and_the_bugs() -> None:
    text, lessons = " ".join(README.read_text().split()), [entry.lesson for entry in entries() if entry.lesson]
    assert f"{len(lessons)} lessons in {COUNTED[len(PARTS_OF_COURSE)]} parts" in text
    bugs = exhibits()
    both = [bug for bug in bugs if bug.shown == "both"]
    assert f"{len(bugs)} real bugs, from Dirty COW to a GPU that kept its mapping: {len(both)} of them" in text


def test_every_make_target_that_is_named_exists() -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"(?:`|^ +)make ([a-z]+)", README.read_text(), re.MULTILINE))
    assert named
    assert named <= targets


def test_the_first_screen_shows_what_it_is() -> None:
    """Picture, the two commands and a script stand within the first lines."""
    first = "\n".join(README.read_text().splitlines()[:40])
    for shown in ("](docs/gallery/move-under-grab.svg)", "make run", "make test", "ptescope run"):
        assert shown in first
