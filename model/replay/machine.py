"""The machine that a recorded scenario runs on: the model, and the books that the recorder kept beside the kernel."""

from typing import Final, NamedTuple

from model.engine.procedure import Procedure, Result, advance, begin
from model.kernel.arch.boot import boot
from model.kernel.fs.file_kinds import EOF
from model.kernel.mm.mm_alloc import mm_alloc
from model.memory.errno import errno_name
from model.replay.observe import HeldReference, Observation, Observer
from model.replay.recording import ARENA, KERNEL_CHOOSES

MOST_STEPS: Final = 200_000
"""An op that has not ended after so many micro-steps never does; so has one that waits while nothing else runs."""


class Reply(NamedTuple):
    """`result` and `si_code` of an op."""

    result: int | str
    si_code: str = ""


OK: Final = Reply("ok")
UNSUPPORTED: Final = Reply("UNSUPPORTED")


class Machine:
    """A booted model on which a scenario runs, with what the recorder kept beside the kernel."""

    def __init__(self, swap: str = "off", hugetlb: str = "0") -> None:
        self.state = boot(cpus=1, settings={"swap": swap, "hugetlb": hugetlb})
        self.observer = Observer()
        self.processes: list[str] = []
        """Those alive, oldest first."""
        self.held: dict[str, HeldReference] = {}
        self.references: dict[str, list[str]] = {}
        """By id, the model's references behind it: `get_many` takes many."""
        self.uffds: dict[str, str] = {}
        """By process, the userfaultfd that it has opened last."""
        self.outside: dict[int, int] = {}
        """Where the kernel put mappings that a scenario left to it: start vpn → its page number in the scenario."""
        self.run(mm_alloc(mm="p0", cpu=0))
        self.processes.append("p0")

    def run(self, procedure: Procedure, process: str = "", cpu: int = 0) -> Result | None:
        """Run a kernel function to its end; None if it has none."""
        self.state = begin(self.state, "main", procedure, process, cpu)
        for _ in range(MOST_STEPS):
            stepped = advance(self.state, "main")
            self.state = stepped.state
            self.observer.watch(stepped.changes)
            if stepped.result is not None:
                return stepped.result
            if stepped.blocked:
                return None
        return None

    def reply(self, procedure: Procedure, process: str = "", *, value: bool = False, cpu: int = 0) -> Reply:
        """Run a kernel function and say what came of it: an errno, a signal, its value if asked for, or `ok`."""
        result = self.run(procedure, process, cpu)
        if result is None:
            return Reply("TIMEOUT")
        if result.signal:
            return Reply(result.signal, result.si_code)
        if result.value < 0:
            return Reply("EOF" if result.value == EOF else errno_name(result.value))
        return Reply(result.value) if value else OK

    def look(self) -> Observation:
        """What the recorder would see now."""
        return self.observer.look(self.state, self.processes, self.held, self.outside)

    def vpn(self, page: int) -> int:
        """The virtual page number behind a page number of the scenario."""
        if page < KERNEL_CHOOSES:
            return ARENA + page
        start = max((start for start, at in self.outside.items() if at <= page), default=None)
        return ARENA + page if start is None else start + page - self.outside[start]
