"""How fast the lesson screen is, next to the smallest possible Textual app: `python benchmarks/screen.py`.

Both run in turns in a terminal of 120 x 40, so that a busy machine slows both. CPU time, bytes and frames hardly
depend on what else the machine does, times on the wall do: targets are for the former. Exit status 1 if one is missed.
"""

import argparse
import sys
from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

from rich.console import Console
from rich.table import Table

from benchmarks.picture import FULLEST, PINS, dearest, lesson_ms, pins_ms
from benchmarks.terminal import Cost, Program

HERE: Final = Path(__file__).parent
MOST_OF_A_BLOCK: Final = 2.5
"""Milliseconds for the picture of a step that changes 512 pages one by one."""


class App(NamedTuple):
    """What is run and how it is driven."""

    name: str
    argv: tuple[str, ...]
    ready: str
    """Regular expression of a complete first frame."""
    prepare: tuple[str, ...]
    """Keys that lead to where `forward` is one step."""
    forward: str


BASELINE: Final = App("empty app", (sys.executable, str(HERE / "baseline_counter.py")), "step 0 of 999", (), "n")
LESSON: Final = App(
    "lesson",
    (
        sys.executable,
        "-m",
        "tui",
        "learn",
        "each-mapping-each-grab",
    ),  # the fullest: eight mappings, four kinds of pages
    # All panes, the rules checked, the keys at the bottom.
    "(?=.*Picture)(?=.*Ledger)(?=.*Rules)(?=.*Log)(?=.*rules hold)(?=.*all actions)",
    ("a", "enter", "n", "i"),  # the lesson's first question; then the command begins, and the panes make room
    "i",
)


HERTZ: Final = 30.0
"""The rate at which a held key repeats on many desktops."""
HELD: Final = 20
"""Steps that are made while the key is held."""


class Measured(NamedTuple):
    """What is typical of one app: medians over all runs, and the fastest start, which no other load disturbed."""

    first_frame_ms: float
    start_cpu_ms: float
    resident_mib: float
    key_ms: float
    key_cpu_ms: float
    key_bytes: float
    key_frames: float
    held_frames: float
    """Frames a second while the step key is held at HERTZ."""
    idle_cpu_ms: float
    idle_bytes: float


class Run(NamedTuple):
    """One fresh process."""

    start: Cost
    keys: list[Cost]
    held: Cost
    idle: Cost
    resident_kib: int


def run(app: App, presses: int) -> Run:
    """Start the app, step forward where nobody has been yet, and leave it alone for a while."""
    with Program(app.argv) as program:
        start = program.first_frame(app.ready)
        for key in app.prepare:
            program.press(key)
        keys = [program.press(app.forward) for _ in range(presses)]
        resident = program.resident_kib
        held = program.hold(app.forward, HELD, HERTZ)
        return Run(start, keys, held, program.idle(2.0), resident)


def typical(runs: Iterable[Run]) -> Measured:
    """Over the runs, and for keys over all presses of all runs."""
    runs = list(runs)
    keys = [key for one in runs for key in one.keys]
    return Measured(
        min(one.start.milliseconds for one in runs),
        min(one.start.cpu_ms for one in runs),
        median(one.resident_kib / 1024 for one in runs),
        median(key.milliseconds for key in keys),
        median(key.cpu_ms for key in keys),
        median(key.bytes for key in keys),
        median(key.frames for key in keys),
        median(one.held.frames / HELD * HERTZ for one in runs),
        median(one.idle.cpu_ms for one in runs),
        median(one.idle.bytes for one in runs),
    )


class Row(NamedTuple):
    """One line of the report."""

    what: str
    baseline: float
    lesson: float
    unit: str
    most: float | None
    """The target; None where there is none."""
    ratio: bool
    """The target is a ratio to the baseline."""

    @property
    def met(self) -> bool:
        """Within the target, or without one."""
        return self.most is None or (self.lesson / self.baseline if self.ratio else self.lesson) <= self.most


def rows(baseline: Measured, lesson: Measured) -> list[Row]:
    """Every quantity beside its target."""
    return [
        Row("first complete frame: CPU", baseline.start_cpu_ms, lesson.start_cpu_ms, "ms", 1.4, ratio=True),
        Row("first complete frame: time", baseline.first_frame_ms, lesson.first_frame_ms, "ms", None, ratio=True),
        Row("memory (RSS)", baseline.resident_mib, lesson.resident_mib, "MiB", 1.4, ratio=True),
        Row("step: key to last byte", baseline.key_ms, lesson.key_ms, "ms", None, ratio=True),
        Row("step: CPU", baseline.key_cpu_ms, lesson.key_cpu_ms, "ms", 3.0, ratio=True),
        Row("step: written", baseline.key_bytes, lesson.key_bytes, "bytes", 6000, ratio=False),
        Row("step: frames", baseline.key_frames, lesson.key_frames, "", 1, ratio=False),
        Row(
            "frames missed with the key held",
            HERTZ - baseline.held_frames,
            HERTZ - lesson.held_frames,
            "/s",
            0,
            ratio=False,
        ),
        Row("idle second: CPU", baseline.idle_cpu_ms, lesson.idle_cpu_ms, "ms", None, ratio=True),
        Row("idle second: written", baseline.idle_bytes, lesson.idle_bytes, "bytes", 0, ratio=False),
    ]


def report(measured: list[Row]) -> Table:
    """The rows as a table."""
    table = Table(title=f"{LESSON.name} against {BASELINE.name}, 120 x 40")
    table.add_column("")
    for heading in (BASELINE.name, LESSON.name, "ratio", "target", "verdict"):
        table.add_column(heading, justify="right")
    for row in measured:
        table.add_row(
            row.what,
            f"{row.baseline:,.1f} {row.unit}",
            f"{row.lesson:,.1f} {row.unit}",
            f"{row.lesson / row.baseline:.2f}" if row.baseline else "",
            "" if row.most is None else f"≤ {row.most:g}" + ("x" if row.ratio else f" {row.unit}"),
            "" if row.most is None else ("met" if row.met else "MISSED"),
        )
    return table


def main() -> int:
    """Measure, report, compare with the targets."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--runs", type=int, default=5, help="fresh processes of each app")
    parser.add_argument("--presses", type=int, default=12, help="forward steps in each process")
    arguments = parser.parse_args()
    for app in (BASELINE, LESSON):  # once for the compiled modules
        run(app, 1)
    runs = [(run(BASELINE, arguments.presses), run(LESSON, arguments.presses)) for _ in range(arguments.runs)]
    measured = rows(typical(baseline for baseline, _ in runs), typical(lesson for _, lesson in runs))
    worst = dearest()
    for what, cost, most in (
        (f"a picture of {FULLEST}: CPU", lesson_ms(), 1.0),
        (f"a picture with {PINS} pins: CPU", pins_ms(), 10.0),
        (f"the dearest picture, {worst.command!r} in {worst.lesson}: CPU", worst.ms, MOST_OF_A_BLOCK),
    ):
        measured.append(Row(what, 0.0, cost, "ms", most, ratio=False))
    Console(width=120).print(report(measured))
    return 0 if all(row.met for row in measured) else 1


if __name__ == "__main__":
    sys.exit(main())
