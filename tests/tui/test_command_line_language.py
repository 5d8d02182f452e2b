"""The command line in German: its help, what it says to mistakes, and that English waits for no translation."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from lessons.i18n.language import ENGLISH, use
from tests.test_project import COMMAND, imported_by
from tui.cli import SUBCOMMANDS, main

DEEDS = {
    "lesson": ("new", "check", "play", "promote", "diff", "guide", "translate", "mutate"),
    "progress": ("show", "export", "import", "reset"),
    "class": ("pack", "assign", "collect", "drills", "guide"),
}
CALLS = [
    [],
    *([subcommand.name] for subcommand in SUBCOMMANDS),
    *([name, deed] for name, deeds in DEEDS.items() for deed in deeds),
]


@pytest.fixture
def german() -> Iterator[None]:
    use("de")
    yield
    use(ENGLISH)


def help_to(words: list[str], capsys: pytest.CaptureFixture[str]) -> str:
    with pytest.raises(SystemExit) as ended:
        main([*words, "--help"])
    assert ended.value.code == 0
    return capsys.readouterr().out


def sentences(text: str) -> set[str]:
    """What the help says in words, below the line with the usage: neither names nor options."""
    _, _, below = text.partition("\n\n")
    said = {piece for line in below.splitlines() for piece in re.split(r" {2,}|:$", line.strip())}
    return {piece for piece in said if re.match(r"[`\w].* .*[a-z]{2}", piece)}


@pytest.mark.parametrize("words", CALLS, ids=" ".join)
def test_no_sentence_of_the_help_stays_english(
    words: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "2000")  # one line a text
    english = help_to(words, capsys)
    use("de")
    try:
        german = help_to(words, capsys)
    finally:
        use(ENGLISH)
    assert english.startswith("usage: ptescope")
    assert german.startswith("Aufruf: ptescope")
    assert german.count("Aufruf:") == 1
    assert sentences(english)
    assert sentences(english) & sentences(german) == set()
    assert "options:" not in german


@pytest.mark.usefixtures("german")
@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["run"], "ptescope run: diese Argumente fehlen: FILE"),
        (["run", "--jsn", "x"], "ptescope: unbekannte Argumente: --jsn"),
        (["run", "-v", "-q", "x"], "Argument -q/--quiet: nicht zusammen mit dem Argument -v/--verbose erlaubt"),
        (["run", "--state"], "Argument --state: erwartet einen Wert"),
        (["run", "--json=1", "x"], "Argument --json: nimmt keinen Wert, bekam aber '1'"),
        (["explore", "--max", "9", "x"], "mehrdeutige Option: --max könnte --max-states, --max-memory sein"),
        (
            ["explore", "--max-states", "no", "x"],
            "Argument --max-states: erwartet eine Zahl von 1 bis 1000000000, nicht `no`",
        ),
        (["replay", "--jobs", "no", "x"], "Argument --jobs: erwartet eine Zahl von 1 bis 256, nicht `no`"),
        (["class"], "ptescope class: diese Argumente fehlen: DEED"),
        (["lessn"], "meintest du `lesson`? (`ptescope --help` zeigt, was es gibt)"),
    ],
)
def test_mistakes_are_told_in_german(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err


def test_english_waits_for_no_translation() -> None:
    assert not imported_by("import sys\n" + COMMAND.format(argv=["ptescope", "--help"])) & {"babel", "platformdirs"}


SCENE = """
process p0
device nic
mmap p0 buf anon private rw 1
write p0 buf 1
may 1 gup p0 buf as=r write by=nic
may 1 madvise p0 buf dontneed
may 1 dma r write 65
"""


@pytest.mark.usefixtures("german")
def test_run_sums_up_in_german(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = tmp_path / "one.pte"
    script.write_text("process p0\nexpect vmas p0 0\nexpect vmas p0 1\n", encoding="utf-8")
    assert main(["run", str(script)]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == "1 Befehl, 0 Verletzungen, 1 von 2 Erwartungen trafen zu"


@pytest.mark.usefixtures("german")
def test_a_search_is_told_in_german(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = tmp_path / "two.pte"
    script.write_text(SCENE, encoding="utf-8")
    main(["explore", str(script)])
    said = capsys.readouterr().out
    for words in ("erlaubt:", "durchsucht:", "alle Abläufe durchsucht", "s CPU-Zeit", "Abläufe:", "getan:"):
        assert words in said
    assert not re.search(r"\b(searched|schedule|steps at least|rules|because|done|the shortest way|beside)\b", said)
