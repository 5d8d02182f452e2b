"""Driver files written by the program: a line as it may stand in a file again, a whole file as one line."""

from collections.abc import Iterable

from model.driver_files.line_parser import SOURCE
from model.driver_files.records import DriverLine


def one_line(text: str) -> str:
    """A driver file as one line, comments left out: as it stands in scripts that are written by the program."""
    return "; ".join(part for line in text.split("\n") for part in _parts(line))


def _parts(line: str) -> Iterable[str]:
    return (" ".join(part.split()) for part in line.partition("#")[0].split(";") if part.strip())


def described(line: DriverLine) -> str:
    """A line as it may stand in a file again."""
    said = {"since": line.since, "until": line.until, "as-it-was": line.as_it_was, "mended": line.mended}
    versions = [f"{key} {value}" for key, value in said.items() if value]
    versions += [f"{'when' if wanted else 'unless'} {state}" for state, wanted in line.when]
    told = f" {SOURCE} {line.source}" if line.source or line.words else ""
    return " ".join((*versions, line.text)) + told + (f" {SOURCE} {line.words}" if line.words else "")
