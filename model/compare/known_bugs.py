"""What ordinary calls really break on the kernels that are simulated: the one list of what a sweep may find."""

from collections.abc import Collection
from typing import Final, NamedTuple


class KnownBug(NamedTuple):
    """A fault of a kernel, not of the model."""

    kernels: tuple[str, ...]
    backing: str
    calls: frozenset[str]
    """One of the calls that meet is among these."""
    invariants: frozenset[str]
    source: str
    """Who says so: kernel function and version, or a recording."""


KNOWN_BUGS: Final[tuple[KnownBug, ...]] = ()


def known_bug(kernel: str, backing: str, calls: Collection[str], invariant: str) -> str:
    """The source that says that this kernel does this; empty where none does."""
    for bug in KNOWN_BUGS:
        if kernel in bug.kernels and backing == bug.backing and invariant in bug.invariants and bug.calls & {*calls}:
            return bug.source
    return ""
