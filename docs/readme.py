"""Renews what the README shows of the program: `python docs/readme.py agreement example`.

The generated parts stand between markers that Markdown does not show: `<!-- NAME -->` and `<!-- end NAME -->`.
"""

import argparse
import io
import os
import re
import subprocess
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Final

from tui.commands.replay import compare_all, print_table, recordings

ROOT: Final = Path(__file__).parent.parent
README: Final = ROOT / "README.md"
RECORDINGS: Final = ROOT / "tests" / "recordings"
WIDTH: Final = 100
"""Columns of the example's output."""


def part(text: str, name: str) -> str:
    """What stands between the markers of `name`. Raises ValueError if there are none."""
    found = re.search(rf"<!-- {name} -->\n(.*?)<!-- end {name} -->", text, re.DOTALL)
    if found is None:
        raise ValueError(f"README.md has no markers for {name!r}")
    return found[1]


def with_part(text: str, name: str, content: str) -> str:
    """The text with something else between the markers of `name`."""
    return text.replace(f"<!-- {name} -->\n{part(text, name)}<!-- end", f"<!-- {name} -->\n{content.strip()}\n<!-- end")


def code_block(text: str, language: str) -> str:
    """The first fenced block in `language`, without its fence."""
    found = re.search(rf"^```{language}\n(.*?)^```$", text, re.DOTALL | re.MULTILINE)
    if found is None:
        raise ValueError(f"no {language} block in {text!r}")
    return found[1]


def agreement() -> str:
    """Replay every recording, print the table for the terminal, and return it as Markdown."""
    verdicts = list(compare_all(list(recordings([RECORDINGS])), os.cpu_count() or 1, progress=sys.stderr.isatty()))
    print_table(verdicts, markdown=False)
    with redirect_stdout(io.StringIO()) as markdown:
        print_table(verdicts, markdown=True)
    rows, summary = markdown.getvalue().strip().rsplit("\n", 1)
    return f"{rows}\n\n{summary}.\n"


def output_of(script: str) -> str:
    """What `ptescope run -` prints for a script."""
    told = subprocess.run(
        [sys.executable, "-m", "tui", "run", "-"],
        input=script,
        env=os.environ | {"COLUMNS": str(WIDTH), "NO_COLOR": "1"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    return "".join(f"{line.rstrip()}\n" for line in told.stdout.splitlines())


def example() -> str:
    """The README's own script, and below it what the program prints for it now."""
    script = code_block(part(README.read_text(), "example"), "sh")
    return f"```sh\n{script}```\n\n```text\n{output_of(script)}```\n"


PARTS: Final = {"agreement": agreement, "example": example}


def main() -> None:
    """Renew the named parts."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    parser.add_argument("parts", nargs="+", choices=PARTS)
    for name in parser.parse_args().parts:
        content = PARTS[name]()
        README.write_text(with_part(README.read_text(), name, content))


if __name__ == "__main__":
    main()
