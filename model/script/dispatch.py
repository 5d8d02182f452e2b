"""What a verb runs: Command + State → the kernel procedure that carries it out.

A verb that is not in `CALLS`, and a backing that is not in `SIMULATED_BACKINGS`, can be written but not run yet.
"""

from typing import Final

from model.engine.procedure import Procedure
from model.memory.state import State
from model.script.calls import address_space, buffers, files, references, userfaultfd
from model.script.calls.call import Builder, Call
from model.script.command import BackingSpec, Command
from model.script.verbs import VERBS

CALLS: Final[dict[str, Builder]] = {
    **address_space.CALLS,
    **userfaultfd.CALLS,
    **files.CALLS,
    **references.CALLS,
    **buffers.CALLS,
}
"""Verb → how its procedure is made. What is missing here is not simulated yet."""

SIMULATED_BACKINGS: Final = frozenset(
    {"anon", "memfd", "file", "devzero", "hugetlb", "secretmem", "vvar", "vdso", "perf", "packet", "io_uring"}
    | {"kvm_vcpu", "guest_memfd", "btf", "bpf_map", "bo", "dmabuf", "dax", "bar", "devmem"}
)


def not_simulated(command: Command) -> str:
    """The part of a kernel command that has no procedure yet, empty if all of it has."""
    if command.verb not in CALLS:
        return command.verb if command.verb in VERBS else ""
    backing = command.operands.get("BACKING")
    if isinstance(backing, BackingSpec) and backing.kind not in SIMULATED_BACKINGS:
        return backing.kind
    return ""


def procedure_of(state: State, command: Command) -> Procedure:
    """The kernel procedure that carries `command` out. KeyError if `not_simulated`; see `places.resolve` too."""
    make = CALLS[command.verb] if command.verb in VERBS else buffers.driver_operation
    return make(Call(state, command))
