"""Which micro-steps of the model the soak has run: one that never runs is one that it cannot break."""

import pkgutil
from collections.abc import Iterable
from importlib import import_module
from typing import Final

from model import kernel
from model.engine.procedure import MicroStep, Procedure
from model.kernel.drivers.driver_fault import driver_fault

REPLAYED: Final = {
    "close": ("filp_close.fput",),
    "willneed": (
        *("madvise_willneed_swap.read_swap_cache_async", "do_madvise.unlock_for_readahead"),
        "do_madvise.lock_after_readahead",
    ),
    "guard_install": tuple(
        f"madvise_guard_install.{name}" for name in ("vma_set_atomic_flag", "pte_alloc", "install_ptes", "zap")
    ),
    "guard_remove": ("madvise_guard_remove.clear_ptes",),
}
"""A word that recordings have and scripts have not -> the steps that nothing else leads to."""
DRIVEN: Final = "driver_op.perform"
"""What runs the steps of driver files, whose functions are called as the file says."""


def procedures(of: type[Procedure] = Procedure) -> Iterable[type[Procedure]]:
    """Every procedure that is declared, whatever has been loaded so far."""
    if of is Procedure:
        for module in pkgutil.walk_packages(kernel.__path__, f"{kernel.__name__}."):
            import_module(module.name)
    for one in of.__subclasses__():
        yield one
        yield from procedures(one)


def place(micro: MicroStep) -> str:
    """Where a micro-step is written; those that inherit it share it."""
    return micro.body.__qualname__


class Coverage:
    """The micro-steps that there are, and those that ran."""

    def __init__(self) -> None:
        self.by_name = {
            (one.__name__, micro.name): place(micro)
            for one in procedures()
            if one.__module__.startswith(kernel.__name__)
            for micro in one.steps
            if place(micro) not in {step for steps in REPLAYED.values() for step in steps}
        }
        self.of_files = {micro.name: place(micro) for micro in driver_fault.steps}
        """A fault bears the name that its driver's file gives it; its steps keep theirs, but for the lock's."""
        self.ran = set[str]()

    def note(self, steps: Iterable[tuple[str, str]]) -> None:
        """These ran: procedure and name of each."""
        for made in steps:
            self.ran.add(self.by_name.get(made) or self.of_files.get(made[1], DRIVEN))

    def __str__(self) -> str:
        there_are = {*self.by_name.values()}
        return f"{len(there_are & self.ran)} of {len(there_are)} micro-steps ran"

    @property
    def missing(self) -> list[str]:
        """Those that never did."""
        return sorted({*self.by_name.values()} - self.ran)
