"""A booted model to run kernel functions on, to their end or in step with each other."""

from collections.abc import Iterator, Sequence

from model.engine.procedure import Procedure, Result, advance, begin
from model.kernel.arch.access import cpu_load, cpu_store
from model.kernel.arch.boot import boot
from model.kernel.mm.mm_alloc import mm_alloc
from model.kernel.mm.mmap import MAP_PRIVATE, MAP_SHARED, do_mmap
from model.memory.flags import VM_READ, VM_WRITE, smaps_codes
from model.memory.records import Frame, Pte
from model.memory.state import State

RW = VM_READ | VM_WRITE


class Machine:
    """A machine with one process, p0."""

    def __init__(self, kernel: str = "6.18", memory: int = 4096) -> None:
        self.state: State = boot(memory=memory, settings={"kernel": kernel})
        assert self.run(mm_alloc(mm="p0", cpu=0)).ok

    def run(self, procedure: Procedure, process: str = "p0") -> Result:
        """Run a kernel function to its end."""
        self.begin("main", procedure, process)
        result = self.finish("main")
        assert result is not None
        return result

    def begin(self, task: str, procedure: Procedure, process: str = "p0") -> None:
        """Start a kernel function and stop before its first micro-step."""
        cpu = self.state.processes[process].cpu if process in self.state.processes else 0
        self.state = begin(self.state, task, procedure, process, cpu)

    def step_to(self, task: str, step: str) -> None:
        """Run a task until it is about to do the named micro-step."""
        while (top := self.state.tasks[task].stack[-1]).steps[top.pc].name != step:  # type: ignore[attr-defined]
            stepped = advance(self.state, task)
            assert stepped.result is None
            assert not stepped.blocked, stepped.blocked
            self.state = stepped.state

    def finish(self, task: str) -> Result | None:
        """Run a task to its end; None if it has to wait for another."""
        while True:
            stepped = advance(self.state, task)
            self.state = stepped.state
            if stepped.blocked or stepped.result is not None:
                return stepped.result

    def map(
        self,
        backing: str,
        pages: int = 4,
        *,
        file: str = "",
        share: int = MAP_SHARED,
        prot: int = RW,
        offset: int = 0,
        at: int = -1,
    ) -> int:
        """mmap(2) by p0; the first page, or a negated errno."""
        call = do_mmap(mm="p0", pages=pages, prot=prot, flags=share, backing=backing, file=file, offset=offset, at=at)
        return self.run(call).value

    def map_private(
        self, backing: str, pages: int = 4, *, file: str = "", prot: int = RW, offset: int = 0, at: int = -1
    ) -> int:
        """The same with MAP_PRIVATE."""
        return self.map(backing, pages, file=file, share=MAP_PRIVATE, prot=prot, offset=offset, at=at)

    def read(self, vpn: int, mm: str = "p0") -> int | str:
        """Load a byte: its value, or the signal."""
        result = self.run(cpu_load(mm=mm, vpn=vpn), mm)
        return result.signal or result.value

    def write(self, vpn: int, value: int, mm: str = "p0") -> str:
        """Store a byte: empty, or the signal."""
        return self.run(cpu_store(mm=mm, vpn=vpn, value=value), mm).signal

    def pte(self, vpn: int, mm: str = "p0") -> Pte | None:
        """The entry of a page."""
        return self.state.ptes.get((mm, vpn))

    def frame(self, vpn: int, mm: str = "p0") -> Frame:
        """The frame behind a page that is mapped."""
        return self.state.frames[self.state.ptes[mm, vpn].pfn]

    def codes(self, vpn: int, mm: str = "p0") -> str:
        """VmFlags of the VMA that starts at a page."""
        return " ".join(smaps_codes(self.state.vmas[mm, vpn].flags))

    def frames_in_use(self) -> int:
        """Frames that are neither free, page tables nor the kernel's own from the start."""
        return sum(frame.kind not in ("free", "pgtable", "zero", "reserved") for frame in self.state.frames.values())


def interleavings(start: State, tasks: Sequence[str]) -> Iterator[tuple[State, dict[str, Result]]]:
    """Every end that tasks can reach, however their micro-steps mix: the State, and how each task ended."""
    todo: list[tuple[State, dict[str, Result]]] = [(start, {})]
    seen: set[tuple[State, frozenset[tuple[str, Result]]]] = set()
    while todo:
        state, results = todo.pop()
        running = [task for task in tasks if task in state.tasks]
        if not running:
            yield state, results
        steps = [(task, advance(state, task)) for task in running]
        assert not running or not all(stepped.blocked for _, stepped in steps), "deadlock"
        for task, stepped in steps:
            after = results if stepped.result is None else {**results, task: stepped.result}
            node = (stepped.state, frozenset(after.items()))
            if not stepped.blocked and node not in seen:
                seen.add(node)
                todo.append((stepped.state, after))
