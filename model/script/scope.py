"""Which names there are at a point of a script, without running it.

A name is known from the command that creates it on, whether the kernel will grant it or not. Giving something up
(`put`, `exit`, `munmap` …) leaves its name known, since a script may well use it too late, but free to be taken
again.
"""

from collections.abc import Iterable, Iterator
from typing import Final

import msgspec
from msgspec.structs import replace

from model.driver_files import library
from model.driver_files.line_forms import KEPT
from model.driver_files.records import DriverText, job_of
from model.driver_files.resolve import whole
from model.memory.records import Userfaultfd
from model.memory.state import State
from model.text.words import is_name

KINDS: Final[dict[str, str]] = {
    "process": "processes",
    "file": "files",
    "device": "devices",
    "buffer": "buffers",
    "dma-buf": "dma_bufs",
    "reference": "references",
    "userfaultfd": "userfaultfds",
    "task": "tasks",
}
"""Kind of name → the table of a State that has what it names."""

FILE_VERBS: Final = {"memfd": "memfd", "hugetlb": "memfd", "ext4": "diskfile", "dax": "dax"}
"""Kind of file → the verb that creates one."""


class Known(msgspec.Struct, frozen=True):
    """A name and where it comes from."""

    verb: str
    """The command that creates it."""
    line: int
    free: bool = False
    """It was given up, or is still being made: another command may create it as well."""


class Scope:
    """The names that the next command of a script may use."""

    def __init__(self, cpus: int = 2) -> None:
        self.names: dict[str, dict[str, Known]] = {kind: {} for kind in KINDS}
        self.labels: dict[str, dict[str, Known]] = {}
        """Process → its labels."""
        self.drivers: dict[str, DriverText] = {}
        """Drivers that the script has brought along."""
        self.exporters: dict[str, str] = {}
        """Buffer → its driver, where that is known."""
        self.fork_events: set[str] = set()
        """The userfaultfds that a fork gives one more: that of the child."""
        self.cpus = cpus
        self.touched = False
        """A command has run that touches memory: it is too late for `set`."""
        self.answered = False
        """A command has run whose result `expect` can ask for."""
        self.searching = False
        """Inside `may`: whatever is created may be created more than once."""
        self.remembers = True
        """It knows the names that were given up as well, as a script does; a prompt knows only what there is now."""
        self.open = False
        """A condition is read before anybody knows what there will be: every name is taken on trust."""

    @staticmethod
    def unknown() -> "Scope":
        """The scope of a condition that is asked later, of any machine."""
        scope = Scope()
        scope.open = scope.answered = True
        return scope

    def trusts(self, may_be_gone: bool = False) -> bool:
        """Whether a name that is not known may stand for something; `may_be_gone`: or for nothing any more."""
        return self.open or (may_be_gone and not self.remembers)

    @staticmethod
    def of(state: State) -> "Scope":
        """The scope of somebody who sits before `state`, as at the prompt of the sandbox."""
        scope = Scope(len(state.cpus))
        scope.remembers = False
        for kind, table in KINDS.items():
            for name in sorted(filter(is_name, getattr(state, table, ()))):
                scope.names[kind][name] = Known(_creator(state, kind, name), 0)
        for process in state.processes:
            scope.labels[process] = {}
        for process, label in sorted(state.labels):
            scope.labels.setdefault(process, {})[label] = Known("mmap", 0)
        scope.drivers = {name: whole(text) for name, text in sorted(state.drivers.items())}
        scope.exporters = {name: buffer.exporter for name, buffer in state.buffers.items()}
        scope.fork_events = {name for name, one in state.userfaultfds.items() if "event_fork" in one.features}
        scope.touched = bool(len(state.processes) or len(state.files))
        scope.answered = True
        return scope

    def copy(self) -> "Scope":
        """An independent scope with the same names."""
        twin = Scope()
        twin.become(self)
        return twin

    def become(self, other: "Scope") -> None:
        """Know what `other` knows, and nothing else."""
        self.names = {kind: dict(names) for kind, names in other.names.items()}
        self.labels = {process: dict(labels) for process, labels in other.labels.items()}
        self.drivers, self.exporters = dict(other.drivers), dict(other.exporters)
        self.fork_events = set(other.fork_events)
        self.cpus, self.touched, self.answered = other.cpus, other.touched, other.answered
        self.searching, self.remembers, self.open = other.searching, other.remembers, other.open

    def declare(self, kind: str, name: str, verb: str, line: int, *, free: bool = False) -> None:
        """From here on there is such a name."""
        self.names[kind][name] = Known(verb, line, free)
        if kind == "process":
            self.labels[name] = {}

    def label(self, process: str, name: str, line: int, *, free: bool = False) -> None:
        """From here on `process` has such a label."""
        self.labels.setdefault(process, {})[name] = Known("mmap", line, free)

    def fork(self, parent: str, child: str, line: int) -> None:
        """The child knows its parent's labels, and may have a userfaultfd of its own."""
        self.labels[child] = dict(self.labels.get(parent, {}))
        for uffd in sorted(self.fork_events):
            new = Userfaultfd.of_child(uffd, child)
            self.declare("userfaultfd", new, "fork", line, free=True)
            self.fork_events.add(new)

    def release(self, kind: str, name: str) -> None:
        """The name may be taken again."""
        if name in self.names[kind]:
            self.names[kind][name] = replace(self.names[kind][name], free=True)

    def release_label(self, process: str, name: str) -> None:
        """The label may be given again."""
        labels = self.labels.get(process, {})
        if name in labels:
            labels[name] = replace(labels[name], free=True)

    def driver(self, name: str) -> DriverText | None:
        """What the file of a driver says; None if there is no such driver, or none that is described by a file."""
        if name in self.drivers:
            return self.drivers[name]
        return whole(library.text_of(name)) if name in library.bundled() else None

    @staticmethod
    def bundled_drivers() -> tuple[str, ...]:
        """The drivers that come with the program."""
        return library.bundled()

    def has_backing(self, name: str, backing: str) -> bool:
        """Whether the pages of a driver's buffers come from there, on some kernel."""
        driver = self.driver(name)
        return driver is not None and any(
            line.word == "backing" and line.word_at("KIND") == backing for line in driver.fields
        )

    def ops_of(self, buffer: str) -> tuple[str, ...] | None:
        """The operations of a buffer's driver; None where that is not known."""
        driver = self.driver(self.exporters.get(buffer, ""))
        return None if driver is None else driver.ops

    def noted_by(self, buffer: str, op: str) -> Iterator[str]:
        """The references that an operation may leave behind: of frame numbers that are noted, and of jobs."""
        driver = self.driver(self.exporters.get(buffer, ""))
        if driver is None or op not in driver.ops:
            return
        for step in (step for one in driver.lists for step in one.every_step()):
            if step.word == "keep":
                yield f"{buffer}{KEPT}"
            elif step.word == "fence":
                yield job_of(buffer, step)

    def ops(self) -> dict[str, str]:
        """Every operation that is a verb here → what it does: of the drivers brought along, and of those in use."""
        names = dict.fromkeys((*self.drivers, *self.exporters.values()))
        drivers = [driver for name in names if (driver := self.driver(name)) is not None]
        return {one.name: one.about for driver in drivers for one in driver.lists if one.head.word == "op"}

    def made_by(self, kind: str, verbs: Iterable[str]) -> list[str]:
        """The names of a kind that one of `verbs` creates; no verbs: all of the kind."""
        wanted = tuple(verbs)
        return [name for name, known in self.names[kind].items() if not wanted or known.verb in wanted]


def _creator(state: State, kind: str, name: str) -> str:
    """The verb behind a name of `state`: it matters for files, whose kinds differ."""
    return FILE_VERBS.get(state.files[name].kind, "") if kind == "file" else ""
