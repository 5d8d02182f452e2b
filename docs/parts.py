"""Renews the parts of the documents that the program itself can tell: `python docs/parts.py agreement example`.

Such a part stands between markers that Markdown does not show: `<!-- NAME -->` and `<!-- end NAME -->`.
"""

import argparse
import ast
import io
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Final, NamedTuple

from docs.driver_lines import driver_lines, drivers
from model.engine.config import FACTS, SETTINGS
from model.engine.mends import MENDS
from model.invariants.registry import INVARIANTS
from model.replay.compare import RecordingResult
from model.script.conditions import CONDITIONS
from model.script.verbs import VERBS
from tui.commands.replay import compare_all, print_table, recordings
from tui.views.glossary import GLOSSARY as TERMS

ROOT: Final = Path(__file__).parent.parent
README: Final = ROOT / "README.md"
SCRIPT: Final = ROOT / "docs" / "script.md"
MODEL: Final = ROOT / "model" / "README.md"
GLOSSARY: Final = ROOT / "docs" / "glossary.md"
DRIVERS: Final = ROOT / "docs" / "drivers.md"
CONTRACT: Final = ROOT / "docs" / "script-contract.md"
COMPARE: Final = ROOT / "docs" / "compare.md"
ORDINARY: Final = ROOT / "docs" / "ordinary.md"
RECORDINGS: Final = ROOT / "tests" / "recordings"
MAPPED: Final = ("model", "lessons", "tui", "tests", "benchmarks")
"""Folders whose README has a map of every module."""
WIDTH: Final = 100
"""Columns of the example's output."""


def part(text: str, name: str) -> str:
    """What stands between the markers of `name`. Raises ValueError if there are none."""
    found = re.search(rf"<!-- {name} -->\n(.*?)<!-- end {name} -->", text, re.DOTALL)
    if found is None:
        raise ValueError(f"no markers for {name!r}")
    return found[1]


def with_part(text: str, name: str, content: str) -> str:
    """The text with something else between the markers of `name`."""
    return text.replace(f"<!-- {name} -->\n{part(text, name)}<!-- end", f"<!-- {name} -->\n{content}<!-- end")


def code_block(text: str, language: str) -> str:
    """The first fenced block in `language`, without its fence. Raises ValueError if there is none."""
    found = re.search(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    if found is None:
        raise ValueError(f"no {language} block in {text!r}")
    return found[1]


def table(heading: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """A Markdown table."""
    lines = [heading, tuple("---" for _ in heading), *rows]
    return "".join(f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in line)} |\n" for line in lines)


# -- the parts --------------------------------------------------------------------------------


def agreement() -> str:
    """Replay every recording, print the table for the terminal, and return it as Markdown."""
    paths = list(recordings([RECORDINGS]))
    verdicts = list(compare_all(paths, os.cpu_count() or 1, progress=sys.stderr.isatty()))
    print_table(verdicts, markdown=False)
    return agreement_table(verdicts)


def agreement_table(verdicts: Sequence[tuple[Path, RecordingResult]]) -> str:
    """What came of each recording, counted by kind, as Markdown."""
    with redirect_stdout(io.StringIO()) as markdown:
        print_table(verdicts, markdown=True)
    rows, summary = markdown.getvalue().strip().rsplit("\n", 1)
    return f"{rows}\n\n{summary}.\n"


def example() -> str:
    """The README's own script, and below it what the program prints for it now."""
    script = code_block(part(README.read_text(), "example"), "sh")
    return f"```sh\n{script}```\n\n`ptescope run -q stale.pte` answers:\n\n```text\n{output_of(script)}```\n"


def output_of(script: str) -> str:
    """What `ptescope run -q` prints for a script."""
    told = subprocess.run(
        [sys.executable, "-m", "tui", "run", "-q", "-"],
        input=script,
        env=os.environ | {"COLUMNS": str(WIDTH), "NO_COLOR": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return "".join(f"{line.rstrip()}\n" for line in told.stdout.splitlines())


def verbs() -> str:
    """Every verb with its syntax, from the table that the parser reads."""
    return table(("command", "what it stands for"), ((f"`{verb.usage}`", verb.help) for verb in VERBS.values()))


def conditions() -> str:
    """Every form of the condition language, from the table that answers it."""
    about = {"command": "the last command", "machine": "the machine"}
    rows = ((f"`{known.usage}`", about[known.about], known.help) for known in CONDITIONS.values())
    return table(("form", "about", "holds if; or which number it is"), rows)


def settings() -> str:
    """Every setting with its values."""
    return table(
        ("key", "values, the default first", "meaning"),
        (
            (f"`{key}`", " ".join(f"`{value}`" for value in known.values), f"{known.meaning}. {known.breaks}".strip())
            for key, known in SETTINGS.items()
        ),
    )


def invariants() -> str:
    """Every invariant: its name, how bad it is, its rule."""
    return table(
        ("invariant", "severity", "rule"),
        ((f"`{known.name}`", known.severity, known.rule) for known in INVARIANTS.values()),
    )


def facts() -> str:
    """Every difference between kernels, and in which of them it holds."""
    return table(
        ("fact", "from", "to", "source"),
        ((name, known.since, known.until, known.source) for name, known in FACTS.items()),
    )


def mends() -> str:
    """Every mend that can be undone."""
    rows = (
        (f"`{name}`", f"{one.commit} {one.title}{_before(one.earlier)}", one.versions, one.cve, one.missing)
        for name, one in MENDS.items()
    )
    return table(("name", "commit", "since", "CVE", "without it"), rows)


def _before(commits: tuple[str, ...]) -> str:
    return f" (in place of {', '.join(commits)})" if commits else ""


def glossary() -> str:
    """Each term, its meaning, and where it stands in the kernel."""
    rows = ((term.name, term.meaning, f"`{term.where}`" if term.where else "") for term in TERMS)
    return table(("term", "in the kernel", "where"), rows)


def comparison() -> str:
    """The tables of `ptescope compare`; a minute, unless they are still in the cache."""
    command = [sys.executable, "-m", "tui", "compare", "--markdown"]
    return subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout


def ordinary() -> str:
    """The tables of `ptescope sweep`, and of which commit they tell: hours, unless they are still in the cache."""
    command = [sys.executable, "-m", "tui", "sweep", "--markdown"]
    made = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=False).stdout
    last = ["git", "log", "-1", "--format=%h of %as", "--", "model"]
    commit = subprocess.run(last, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    return f"The model is that of commit {commit}.\n\n{made}"


def modules(folder: str) -> Callable[[], str]:
    """Makes the map of a folder: every module below it, with the first sentence of its docstring."""

    def made() -> str:
        root = ROOT / folder
        lines: list[str] = []
        for path in sorted(root.rglob("*.py"), key=lambda path: (path.parent, path.name != "__init__.py", path.name)):
            if path.name == "__init__.py":
                here = path.parent.relative_to(root.parent).as_posix()
                said = first_sentence(path)
                lines += ["", f"**{here}/** {said}".rstrip(), ""]
            else:
                name = path.relative_to(root).as_posix()
                lines.append(f"- [{path.stem}]({name}): {first_sentence(path)}")
        return "\n".join(lines).strip() + "\n"

    return made


def first_sentence(path: Path) -> str:
    """What a module says of itself in its first line."""
    return (ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or "").split("\n")[0]


class Part(NamedTuple):
    """A generated part: where it stands and who makes it."""

    file: Path
    make: Callable[[], str]


PARTS: Final = {
    "example": Part(README, example),
    "agreement": Part(README, agreement),
    "verbs": Part(SCRIPT, verbs),
    "conditions": Part(SCRIPT, conditions),
    "settings": Part(SCRIPT, settings),
    "driver lines": Part(DRIVERS, driver_lines),
    "drivers": Part(CONTRACT, drivers),
    "invariants": Part(MODEL, invariants),
    "facts": Part(MODEL, facts),
    "mends": Part(MODEL, mends),
    "glossary": Part(GLOSSARY, glossary),
    **{f"modules of {name}": Part(ROOT / name / "README.md", modules(name)) for name in MAPPED},
}

SLOW_PARTS: Final = {"comparison": Part(COMPARE, comparison)}
"""Parts that take too long to be made in a test."""

LONG_PARTS: Final = {"ordinary": Part(ORDINARY, ordinary)}
"""Parts that take hours: `make sweep`."""


def main() -> None:
    """Renew the named parts, by default all."""
    parts = PARTS | SLOW_PARTS
    known = parts | LONG_PARTS
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(known)}; by default all but the last")
    for name in parser.parse_args().parts or parts:
        file, make = known[name]
        content = make()
        file.write_text(with_part(file.read_text(), name, content))


if __name__ == "__main__":
    main()
