"""Whatever the code or a document cites stands in the repository, at the place that is cited."""

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

from model.engine.config import FACTS as KERNEL_DIFFERENCES

ROOT: Final = Path(__file__).parent.parent
FACTS: Final = ROOT / "docs" / "kernel-facts.md"
DISCUSSION: Final = ROOT / "docs" / "discussion.md"
FINDINGS: Final = ROOT / "tests" / "recordings" / "dma-buf" / "README.md"

SECTION: Final = re.compile(r"^#{2,3} ([A-Z0-9](?:\.\d+)?)\b", re.MULTILINE)
SCENARIO: Final = re.compile(r"^\| (P\d+) ", re.MULTILINE)
NUMBERED: Final = re.compile(r"^(\d+)\. ", re.MULTILINE)

CITED_FACTS: Final = re.compile(r"kernel[- ]facts,? ((?:[A-Z](?:\.\d+)?|P\d+)(?:, (?:[A-Z]\.\d+|[A-Z]\b|P\d+))*)")
CITED_POINT: Final = re.compile(r"\bthread, point (\d+)")
CITED_FINDING: Final = re.compile(r"\bdma-buf recordings, finding (\d+)")
CITED_PATH: Final = re.compile(
    r"(?<![\w/.-])((?:docs|tests|model|lessons|tui|benchmarks)/[\w./-]+\.(?:md|py|pte|json|toml|svg|pml|po))\b"
)


def files() -> list[Path]:
    """Every text of the repository that may cite something; recordings and snapshots are data."""
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=False).stdout.split()
    found = [ROOT / name for name in listed] or [path for path in ROOT.rglob("*") if ".venv" not in path.parts]
    data = (ROOT / "tests" / "recordings", ROOT / "tests" / "tui" / "snapshots")
    return [
        path
        for path in found
        if path.suffix in {".py", ".md", ".pte", ".po", ".toml"}
        and path.is_file()
        and not any(path.is_relative_to(folder) for folder in data)
        and path
        not in {Path(__file__), ROOT / "CONTRIBUTING.md"}  # its examples are carried out by a test of their own
    ]


def cited(pattern: re.Pattern[str]) -> Iterator[tuple[str, str]]:
    """Where something is cited, and what."""
    for path in files():
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            for found in pattern.finditer(line):
                for name in found[1].split(", "):
                    yield f"{path.relative_to(ROOT)}:{number}", name


@pytest.mark.parametrize(
    ("pattern", "document", "anchors"),
    [
        (CITED_FACTS, FACTS, (SECTION, SCENARIO)),
        (CITED_POINT, DISCUSSION, (NUMBERED,)),
        (CITED_FINDING, FINDINGS, (NUMBERED,)),
    ],
    ids=["kernel facts", "points of the discussion", "findings of the dma-buf recordings"],
)
def test_a_citation_leads_to_its_place(
    pattern: re.Pattern[str], document: Path, anchors: tuple[re.Pattern[str], ...]
) -> None:
    text = document.read_text(encoding="utf-8")
    known = {found for anchor in anchors for found in anchor.findall(text)}
    citations = list(cited(pattern))
    assert citations, "nothing is cited: the pattern no longer fits how we cite"
    lost = [f"{where}: {name}" for where, name in citations if name not in known]
    assert not lost, f"not in {document.relative_to(ROOT)}: {lost}"


def test_a_file_that_is_named_exists() -> None:
    placeholder = re.compile(r"\b(?:ID|NAME|LANGUAGE|LANG)\b")  # lessons/ID.md stands for any lesson
    named = [(where, name) for where, name in cited(CITED_PATH) if not placeholder.search(name)]
    lost = [
        f"{where}: {name}"
        for where, name in named
        if not (ROOT / name).exists() and not (ROOT / where).parent.joinpath(name).exists()  # a README's own files
    ]
    assert not lost, "; ".join(lost)


def test_a_fact_names_its_source() -> None:
    """A difference between kernels without a source cannot be checked by anybody."""
    assert [
        name
        for name, fact in KERNEL_DIFFERENCES.items()
        if not re.search(r"[a-z_]{4,}|\d\.\d+|finding \d+", fact.source)
    ] == []
