"""On which kernels a line of a driver file counts."""

from model.driver_files.records import DriverLine
from model.engine.config import KERNELS


def overlap(one: DriverLine, other: DriverLine) -> bool:
    """Whether two lines count on some kernel both, and neither takes the other's place."""
    if one.as_it_was != other.as_it_was:
        return False
    return any(counts_on(one, kernel) and counts_on(other, kernel) for kernel in KERNELS)


def on_some_kernel(line: DriverLine) -> bool:
    """Whether a line counts anywhere at all."""
    return any(counts_on(line, kernel) for kernel in KERNELS)


def counts_on(line: DriverLine, kernel: str) -> bool:
    """Whether a line counts on a kernel."""
    first = KERNELS.index(line.since) if line.since else 0
    last = KERNELS.index(line.until) if line.until else len(KERNELS) - 1
    return first <= KERNELS.index(kernel) <= last
