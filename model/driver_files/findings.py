"""What is wrong with a driver, as a value: where, how bad, what the kernel does about it, and on which kernels."""

from collections.abc import Iterable
from typing import Literal, NamedTuple

from model.driver_files.records import DriverLine
from model.engine.config import KERNELS

Severity = Literal["error", "warning"]
"""`error`: it corrupts memory, hangs, or stops the kernel. `warning`: it need not, or the file says too little."""


class DriverFault(NamedTuple):
    """One complaint about one line of a driver file."""

    line: int
    """Counted from 1."""
    column: int
    severity: Severity
    name: str
    """What kind of mistake: stable, for programs."""
    message: str
    source: str = ""
    """The kernel function that it rests on, and the versions in which that was read; empty: the driver's own steps."""
    kernels: tuple[str, ...] = KERNELS
    """On which kernels the driver is so."""

    @property
    def text(self) -> str:
        """The complaint with its source, and where it is not so everywhere the kernels.

        >>> DriverFault(1, 1, "error", "x", "it ends badly", "mm/memory.c: f, 6.1", ("6.1", "6.12")).text
        'it ends badly (mm/memory.c: f, 6.1) [6.1, 6.12]'
        """
        source = f" ({self.source})" if self.source else ""
        kernels = f" [{', '.join(self.kernels)}]" if self.kernels != KERNELS else ""
        return f"{self.message}{source}{kernels}"

    def located(self, file: str) -> str:
        """The one-line form that editors can jump to."""
        return f"{file}:{self.line}:{self.column}: {self.severity}: {self.text}"


def _at(at: DriverLine, severity: Severity, name: str, message: str, source: str) -> DriverFault:
    driver, _, line = at.origin.partition(":")
    there = f"in `{driver}`, line {line}: " if at.origin else ""
    return DriverFault(at.line, at.column, severity, name, there + message, source)


def error(at: DriverLine, name: str, message: str, source: str = "") -> DriverFault:
    """Something that corrupts, hangs or stops the kernel."""
    return _at(at, "error", name, message, source)


def warning(at: DriverLine, name: str, message: str, source: str = "") -> DriverFault:
    """Something that deserves a look."""
    return _at(at, "warning", name, message, source)


def merged(found: Iterable[tuple[str, DriverFault]]) -> tuple[DriverFault, ...]:
    """Findings of single kernels, each once with all of its kernels, by place."""
    kernels: dict[DriverFault, list[str]] = {}
    for kernel, finding in found:
        known = kernels.setdefault(finding._replace(kernels=()), [])
        if kernel not in known:
            known.append(kernel)
    whole = [finding._replace(kernels=tuple(known)) for finding, known in kernels.items()]
    return tuple(sorted(whole, key=lambda one: (one.line, one.column, one.severity, one.name, one.message)))
