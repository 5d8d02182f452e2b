"""What happens in a step and leaves no record in the State: the kernel's messages, accesses, copies."""

from model.memory.record_base import Record
from model.memory.units import Pfn


class Splat(Record, frozen=True, omit_defaults=True, tag="splat"):
    """The kernel noticed: WARN_ON, VM_BUG_ON_PAGE, Bad page state …."""

    title: str
    """First line in the kernel's shape, e.g. `BUG: Bad page state in process p0  pfn:00005`."""
    lines: tuple[str, ...] = ()
    fatal: bool = False
    """An oops: the task dies here."""
    trace: tuple[str, ...] = ()
    """The simulated call trace, innermost first; the engine fills it in."""


class Access(Record, frozen=True, omit_defaults=True, tag="access"):
    """A byte was loaded or stored, by a CPU or by a device."""

    pfn: int
    write: bool
    value: int
    process: str = ""
    vpn: int = 0
    """For a CPU access through a page table: whose and where."""
    reference: str = ""
    page: int = 0
    """For an access through a reference: which one and which page of it."""
    device: str = ""
    counted: bool = False
    """A CPU access of the kernel to a page that it has a reference on: the very page that was mapped there."""


class FreedTableRead(Record, frozen=True, omit_defaults=True, tag="freed_table_read"):
    """A walk without locks has read an entry in a table page that was freed under it, or given up to somebody else."""

    pfn: int
    """The page, whatever it is by now."""
    process: str = ""
    vpn: int = 0
    """What it was translating."""


class Printk(Record, frozen=True, omit_defaults=True, tag="printk"):
    """A remark worth a line in the log."""

    text: str


class Refusal(Record, frozen=True, omit_defaults=True, tag="refusal"):
    """Which check made a call fail, where one errno stands for several: the program is not told."""

    reason: str


class Copied(Record, frozen=True, tag="copied"):
    """Whole pages were copied: what the frames hold, they hold as a copy."""

    frames: tuple[Pfn, ...]
    sources: tuple[Pfn, ...]
    """Of each, the frame that it was copied from."""


Event = Splat | Access | FreedTableRead | Printk | Refusal | Copied
