"""`ptescope replay`: perform recordings of a real kernel on the model and say where the two differ."""

import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tui.commands.numbers import JOBS

if TYPE_CHECKING:
    from model.replay.compare import KindRow, RecordingResult

EXIT_AGREES: Final = 0
EXIT_DIFFERS: Final = 1
EXIT_NO_RECORDING: Final = 2

FEW: Final = 8
"""So many recordings are replayed sooner than worker processes are started."""
CHUNK: Final = 4
"""Recordings that a worker process is given at once."""


def add_arguments(parser: ArgumentParser) -> None:
    """The operands and options of `ptescope replay`."""
    parser.description = (
        "Perform the operations of recordings on the model and compare results, VMAs, page tables, counts, contents, "
        "pins and freed frames with what the kernel did. Exit status: 0 all agree, 1 some do not (or need what the "
        "model does not have), 2 a file is no recording."
    )
    parser.add_argument("traces", nargs="+", type=Path, metavar="TRACE.json|DIR", help="recordings, or folders of them")
    output = parser.add_mutually_exclusive_group()
    output.add_argument("--emit", action="store_true", help="print the one recording as the model would have made it")
    output.add_argument("--table", action="store_true", help="print one line a kind instead of one a recording")
    output.add_argument("--markdown", action="store_true", help="the same table as Markdown")
    parser.add_argument("--jobs", type=JOBS, default=os.cpu_count() or 1, metavar="N", help="worker processes")


def main(args: Namespace) -> int:
    """Run the command; returns the exit status."""
    try:
        paths = list(recordings(args.traces))
        if args.emit:
            return emit(paths)
        verdicts = list(compare_all(paths, args.jobs, progress=sys.stderr.isatty()))
    except ReplayError as error:
        print(f"ptescope replay: {error}", file=sys.stderr)
        return EXIT_NO_RECORDING
    if args.table or args.markdown:
        print_table(verdicts, markdown=args.markdown)
    else:
        for path, verdict in verdicts:
            print(f"{path}: {outcome(verdict)}")
        print(summary(verdicts))
    return EXIT_AGREES if all(verdict.agrees for _, verdict in verdicts) else EXIT_DIFFERS


class ReplayError(Exception):
    """A file that cannot be replayed; the message starts with its name."""


def recordings(operands: Sequence[Path]) -> Iterator[Path]:
    """The files that the operands name. A folder stands for the recordings below it: JSON files that have `ops`."""
    for operand in operands:
        if not operand.is_dir():
            yield operand
            continue
        found = sorted(path for path in operand.rglob("*.json") if b'"ops"' in path.read_bytes())
        if not found:
            raise ReplayError(f"{operand}: no recording (*.json) in this folder")
        yield from found


def compare_all(paths: Sequence[Path], jobs: int, *, progress: bool) -> Iterator[tuple[Path, "RecordingResult"]]:
    """The verdicts in the order of the paths, from as many processes as are worth it."""
    if jobs <= 1 or len(paths) < FEW:
        yield from zip(paths, map(compare_file, paths), strict=True)
        return
    from tui.jobs.worker_processes import worker_processes
    from tui.views.visible import raw

    with worker_processes(jobs) as pool:
        # Not by `pool.map`: interrupted, it cancels what is waiting, and Python 3.11's pool then ends with a traceback
        # of its thread when it hears that its processes are gone.
        asked = [pool.submit(compare_files, paths[at : at + CHUNK]) for at in range(0, len(paths), CHUNK)]
        results = chain.from_iterable(future.result() for future in asked)
        for number, found in enumerate(zip(paths, results, strict=True), 1):
            if progress:
                print(
                    f"\r{number}/{len(paths)}",
                    end="" if number < len(paths) else "\r",
                    file=raw(sys.stderr),
                    flush=True,
                )
            yield found


def compare_files(paths: Sequence[Path]) -> "list[RecordingResult]":
    """Replay some files; runs in a worker process. Raises ReplayError if one is no recording."""
    return [compare_file(path) for path in paths]


def compare_file(path: Path) -> "RecordingResult":
    """Replay one file. Raises ReplayError if it is no recording."""
    from model.replay.compare import compare
    from model.replay.recording import NotARecordingError, decode

    try:
        return compare(decode(path.read_bytes()))
    except NotARecordingError as error:
        raise ReplayError(f"{path}:{error}") from None
    except OSError as error:
        raise ReplayError(f"{path}: {error.strerror}") from None


def emit(paths: Sequence[Path]) -> int:
    """Print the one recording as the model has it."""
    from model.replay import compare as replay
    from model.replay.recording import NotARecordingError, decode, encode
    from tui.views.visible import write_json

    if len(paths) != 1:
        raise ReplayError(f"--emit prints one recording, not {len(paths)}")
    try:
        recording = decode(paths[0].read_bytes())
    except NotARecordingError as error:
        raise ReplayError(f"{paths[0]}:{error}") from None
    except OSError as error:
        raise ReplayError(f"{paths[0]}: {error.strerror}") from None
    write_json(encode(recording, replay.emit(recording)).removesuffix("\n").encode())
    return EXIT_AGREES


def outcome(verdict: "RecordingResult") -> str:
    """One recording's verdict in words."""
    if verdict.difference:
        return f"DIFFERS at {verdict.difference}"
    if verdict.unsupported:
        return f"UNSUPPORTED: {', '.join(verdict.unsupported)}"
    return f"agrees, {verdict.ops} ops"


def summary(verdicts: Sequence[tuple[Path, "RecordingResult"]]) -> str:
    """The last line: how many agree, differ, and are not supported."""
    agreeing = sum(verdict.agrees for _, verdict in verdicts)
    unsupported = sum(bool(verdict.unsupported) for _, verdict in verdicts)
    differing = len(verdicts) - agreeing - unsupported
    count = f"{len(verdicts)} recording{'' if len(verdicts) == 1 else 's'}"
    return f"{count}: {agreeing} agree, {differing} differ, {unsupported} unsupported"


def print_table(verdicts: Sequence[tuple[Path, "RecordingResult"]], *, markdown: bool) -> None:
    """One line a kind, and the totals."""
    from model.replay.compare import by_kind, kind_of

    rows = by_kind([(kind_of(path.stem), verdict) for path, verdict in verdicts])
    if markdown:
        print("| kind | recordings | agree | unsupported | first difference |")
        print("|---|--:|--:|--:|---|")
        for row in rows:
            print(f"| {' | '.join(cells(row))} |".replace("  ", " "))
    else:
        print_rich(rows)
    print(summary(verdicts))


def cells(row: "KindRow") -> tuple[str, ...]:
    """A table row as text."""
    return row.kind, str(row.recordings), str(row.agreeing), str(row.unsupported or ""), row.first_difference


def print_rich(rows: Sequence["KindRow"]) -> None:
    """The table for a terminal."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    from tui.views.plain_text import Printer

    table = Table(box=box.SIMPLE, pad_edge=False)
    table.add_column("kind", no_wrap=True)
    for title in ("recordings", "agree", "unsupported"):
        table.add_column(title, justify="right", no_wrap=True)
    table.add_column("first difference", overflow="fold")
    for row in rows:
        style = "green" if row.agreeing == row.recordings else "yellow" if row.unsupported else "red"
        table.add_row(*(Text(cell) for cell in cells(row)), style=style)
    Printer(highlight=False).print(table)
