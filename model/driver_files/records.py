"""What a driver file says, as values: the whole text line by line, and the driver as it is on one kernel."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

import msgspec

JOB: Final = "-job"
"""Stands between the name of a buffer and that of a job: a reference of scripts."""

Value = str | int | bool | tuple[str, ...]

NO_WORDS: Final = "an operation of the driver"
"""What is said of an operation whose file says nothing."""


class DriverLine(msgspec.Struct, frozen=True):
    """One line that was read."""

    word: str
    """Which field, head or step it is."""
    values: dict[str, Value]
    """Operands, options and flags that were given, by their names."""
    source: str = ""
    """The kernel function that it stands for."""
    words: str = ""
    """What it does, in the file's own words."""
    since: str = ""
    """The first kernel on which it counts; empty: the oldest."""
    until: str = ""
    as_it_was: str = ""
    """The mend that must be undone for the line to count."""
    mended: str = ""
    """The mend that must not be undone."""
    line: int = 1
    column: int = 1
    text: str = ""
    """As written, single spaces, without comment and without the versions."""
    when: tuple[tuple[str, bool], ...] = ()
    """(state, whether it must be so): the step is left out otherwise."""
    joined: tuple[DriverLine, ...] = ()
    """Steps that belong to the same micro-step."""
    origin: str = ""
    """Of a line that `like` takes over, which stands at the `like` line then: the driver, a colon, the line there."""

    def word_at(self, key: str, default: str = "") -> str:
        """An operand that is a word or a name."""
        return str(self.values.get(key, default))

    def number_at(self, key: str, default: int) -> int:
        """An operand that is a number."""
        value = self.values.get(key, default)
        return value if isinstance(value, int) else default

    def words_at(self, key: str) -> tuple[str, ...]:
        """An operand that is several words."""
        value = self.values.get(key, ())
        return value if isinstance(value, tuple) else ()

    def has(self, flag: str) -> bool:
        """Whether a flag was given."""
        return self.values.get(flag) is True

    @property
    def function(self) -> str:
        """The last kernel function that the source names: `a.c: one, two` → `two`; empty if it names none.

        >>> DriverLine("zap", {}, source="drm_gem.c: drm_vma_node_unmap()").function
        'drm_vma_node_unmap'
        """
        last = self.source.split(":")[-1].split(",")[-1].strip()
        return last.removesuffix("()") if last.removesuffix("()").isidentifier() else ""


class StepList(msgspec.Struct, frozen=True):
    """An operation, or a function that operations call."""

    head: DriverLine
    steps: tuple[DriverLine, ...]

    @property
    def name(self) -> str:
        """How scripts and `call` name it."""
        return self.head.word_at("NAME")

    @property
    def about(self) -> str:
        """What it does, in a line."""
        return self.head.words or self.head.source or NO_WORDS

    def every_step(self) -> Iterator[DriverLine]:
        """Its steps, those behind a `+` too."""
        for step in self.steps:
            yield step
            yield from step.joined


class DriverText(msgspec.Struct, frozen=True):
    """A driver file that was read without a mistake."""

    name: str
    likes: tuple[DriverLine, ...]
    """The drivers that it takes all from that it does not say, each on some kernels."""
    fields: tuple[DriverLine, ...]
    lists: tuple[StepList, ...]

    @property
    def about(self) -> str:
        """What it is, in one line."""
        return next((line.word_at("TEXT") for line in self.fields if line.word == "about"), "")

    @property
    def ops(self) -> tuple[str, ...]:
        """Its operations, in the order of the file."""
        return tuple(dict.fromkeys(one.name for one in self.lists if one.head.word == "op"))


class KernelDriver(msgspec.Struct, frozen=True):
    """A driver as it is on one kernel. Field by field what model.driver_files.line_forms declares."""

    name: str
    about: str
    sources: tuple[str, ...]
    vma_flags: int
    """VM_* that its ->mmap sets."""
    at: str
    insert: str
    reach: str
    """`one`, `around` or `vma`: which entries one fault makes."""
    gets_pages: bool
    """Its ->fault, and a mapping for DMA, get memory where the buffer has none."""
    bounds: bool
    map_line: DriverLine
    lock_line: DriverLine
    """The declaration of the lock that ->fault takes; an empty line if it takes none."""
    private_pages: int
    """The longest MAP_PRIVATE mapping that it allows, where a write would copy; 0: none."""
    shared_only: bool
    """It refuses MAP_PRIVATE even where nothing could be written."""
    unwritable: str
    """The errno with which it refuses mappings that may be written; empty: it permits them."""
    keeps_maywrite: bool
    """It refuses them, and lets mprotect() make them writable."""
    locks: tuple[tuple[str, str], ...]
    """(lock, how ->fault takes it)."""
    mmap_locks: tuple[str, ...]
    """The locks that ->mmap takes."""
    fails_when: tuple[tuple[str, int], ...]
    """(state, VM_FAULT_* bits)."""
    backing: str
    require: tuple[str, ...]
    forbid: tuple[str, ...]
    counts: str
    opens: str
    """`forgets`: the copy of a VMA is not counted."""
    closes: str
    """`forgets`: the end of a VMA is not counted."""
    mkwrite: str
    """`refuse`, `allow`, or empty: entries are writable at once."""
    notes: str
    """The state that a first write notes."""
    access: str
    may_split: bool
    pin_place: str
    """Where a static importer has the buffer taken; empty: it is not pinned."""
    pin_function: str
    pins_every: bool
    """The buffer is pinned for dynamic importers as well."""
    unexported: str
    """The errno with which it refuses to make a dma-buf; empty: it makes one."""
    ops: tuple[StepList, ...]
    functions: tuple[StepList, ...]

    def op(self, name: str) -> StepList | None:
        """The operation of that name."""
        return next((one for one in self.ops if one.name == name), None)

    def steps(self, name: str) -> StepList | None:
        """The operation or the function of that name."""
        return next((one for one in (*self.ops, *self.functions) if one.name == name), None)

    @property
    def pages_per_mapping(self) -> bool:
        """Whether it has the pages of its file as long as some mapping shows the buffer, and no longer."""
        return self.counts == "per-mapping"

    @property
    def counts_mappings(self) -> bool:
        """Whether it matters how many mappings its driver counts."""
        return self.pages_per_mapping or "forgets" in (self.opens, self.closes)

    @property
    def moves(self) -> bool:
        """Whether its buffers change place: it has an operation `move`."""
        return self.op("move") is not None

    @property
    def fault_locks(self) -> tuple[tuple[str, str], ...]:
        """The locks that ->fault takes, in this order, and how."""
        return tuple((name, how) for name, how in self.locks if how != "ops")


def job_of(buffer: str, fence: DriverLine) -> str:
    """The reference that stands for what a job of the device works on, by the step that begins or ends it.

    >>> job_of("b", DriverLine("fence", {})), job_of("b", DriverLine("signal", {"NAME": "copy"}))
    ('b-job', 'b-job-copy')
    """
    name = fence.word_at("NAME")
    return f"{buffer}{JOB}{f'-{name}' if name else ''}"
