"""SPIN on a model in Promela, where spin and a C compiler are installed: states, and CPU seconds of every part."""

import re
import resource
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final, NamedTuple

STATES: Final = re.compile(r"(\d+) states, stored")
TRANSITIONS: Final = re.compile(r"(\d+) transitions")
UNMERGED: Final = "-o3"
"""Every statement is a step of its own, as in the model; SPIN would take several for one."""
EXHAUSTIVE: Final = "-DNOREDUCE"


class Spun(NamedTuple):
    """What SPIN has found."""

    states: int
    transitions: int
    compiled: float
    """CPU seconds to generate and compile the verifier."""
    searched: float
    """CPU seconds of the search itself."""


def installed() -> bool:
    """Whether there are spin and a C compiler."""
    return all(shutil.which(program) for program in ("spin", "cc"))


def spin(model: Path, devices: int, *, reduced: bool = False) -> Spun:
    """Search a model for a number of devices, every state or with partial-order reduction."""
    flags = ["-O2", "-w", "-DSAFETY", *([] if reduced else [EXHAUSTIVE])]
    with tempfile.TemporaryDirectory() as folder:
        begun = spent()
        run(["spin", UNMERGED, f"-DK={devices}", "-a", str(model.resolve())], folder)
        run(["cc", *flags, "-o", "pan", "pan.c"], folder)
        compiled = spent()
        told = run(["./pan", "-E", "-m100000", "-w24"], folder)
        searched = spent()
    states, transitions = STATES.search(told), TRANSITIONS.search(told)
    assert states is not None, told
    assert transitions is not None, told
    return Spun(int(states[1]), int(transitions[1]), compiled - begun, searched - compiled)


def run(command: list[str], folder: str) -> str:
    """What a program prints."""
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout


def spent() -> float:
    """CPU seconds of all programs that were run and have ended."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
