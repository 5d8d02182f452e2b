"""The verbs of the script language, declared once: parser, messages, help and completion all read this table.

What a verb runs stands in `model.script.dispatch`, so that reading a script does not load the kernel.
"""

from collections.abc import Iterator
from functools import cache
from typing import Final, Literal

import msgspec

from model.engine.config import SETTINGS
from model.engine.mends import ALSO_CALLED, AS_IT_WAS
from model.script.conditions import CONDITION, Asked
from model.script.operands import (
    TOP_PAGE,
    Branch,
    BufferWithOp,
    Choice,
    Count,
    CpuNumber,
    DriverName,
    MappingOf,
    Name,
    Nested,
    NewLabel,
    NewName,
    Number,
    Operand,
    Option,
    PageNumbers,
    Prot,
    Rest,
    SettingValue,
    Signature,
)
from model.script.page_operands import ReferencePage, Where

Role = Literal["kernel", "machine", "task", "word"]
"""Who carries a command out: a kernel procedure; the machine itself (`set`, `device`); the scheduler (`begin`,
`step`, `finish`); nobody, since it is said to the reader, the search or the checker."""


Yields = Literal["", "byte", "page"]
"""A byte, or the number of a virtual page."""


class Verb(msgspec.Struct, frozen=True, kw_only=True):
    """A verb of the language."""

    name: str
    help: str
    """What it stands for, in one line."""
    form: Signature
    role: Role = "kernel"
    yields: Yields = ""
    """What the value of its result is; empty: there is none worth showing."""
    cpu_of: str = "P"
    """The operand that names the process on whose CPU it runs, or the reference of one; a device runs on none."""
    gives_up: tuple[str, ...] = ()
    """Operands whose names are free to be taken again afterwards."""

    @property
    def usage(self) -> str:
        """Its syntax in one line, as in docs/script-contract.md."""
        return " ".join((self.name, *_usage(self.form)))


def _usage(form: Signature) -> Iterator[str]:
    options = form.options
    for operand in form.operands:
        if isinstance(operand, Nested):
            yield from options_usage(options)
            options = ()
        if isinstance(operand, Branch) and not isinstance(operand, Asked):
            yield "|".join(" ".join((word, *_usage(branch))) for word, branch in operand.forms.items())
        else:
            shown = f"{operand.name}…" if isinstance(operand, Rest | Nested) else operand.name
            yield f"[{shown}]" if operand.optional else shown
    yield from options_usage(options)


def options_usage(options: tuple[Option, ...]) -> Iterator[str]:
    """Each option as the usage line has it; flags that exclude each other together."""
    shown: set[str] = set()
    for option in options:
        if option.instead in shown:
            continue
        words = [option.key]
        if option.instead:
            shown.add(option.instead)
            words = [other.key for other in options if other.instead == option.instead]
        elif option.value is not None:
            words = [f"{option.key}={option.value.name}"]
        text = "|".join(words)
        yield text if option.required else f"[{text}]"


def _verb(
    name: str,
    text: str,
    *form: Operand | Option,
    role: Role = "kernel",
    yields: Yields = "",
    cpu_of: str = "P",
    gives_up: tuple[str, ...] = (),
) -> Verb:
    """A line of the table: operands and options as they follow the verb."""
    return Verb(
        name=name,
        help=text,
        form=_form(*form),
        role=role,
        yields=yields,
        cpu_of=cpu_of,
        gives_up=gives_up,
    )


def _form(*form: Operand | Option) -> Signature:
    operands = tuple(part for part in form if isinstance(part, Operand))
    return Signature(operands, tuple(part for part in form if isinstance(part, Option)))


def _flag(key: str, instead: str = "") -> Option:
    return Option(key, instead=instead)


# -- operands that several verbs have ----------------------------------------------------------

_P: Final = Name(name="P", kind="process")
_TARGET: Final = Name(name="TARGET", kind="process")
_F: Final = Name(name="F", kind="file")
_DEV: Final = Name(name="DEV", kind="device")
_R: Final = Name(name="R", kind="reference")
_B: Final = Name(name="B", kind="buffer")
_D: Final = Name(name="D", kind="dma-buf")
_T: Final = Name(name="T", kind="task")
_PAGE_OF: Final = ReferencePage(name="R[+N]", kind="reference")
_ONE: Final = Where(name="WHERE")
_RANGE: Final = Where(name="WHERE", many=True)
_IN_TARGET: Final = Where(name="WHERE", of="TARGET")
_BYTE: Final = Number(name="BYTE", high=255, what="a byte")
_PAGES: Final = Number(name="PAGES", what="a number of pages")
_PAGE: Final = Number(name="PAGE", what="a page of the file")
_U: Final = Name(name="U", kind="userfaultfd")
_FROM: Final = Where(name="FROM")
_AS: Final = Option("as", NewName(name="R", kind="reference"), required=True)
_BY: Final = Option("by", _DEV)
_COMMAND: Final = Nested(name="COMMAND")

BACKINGS: Final[dict[str, Name | None]] = {
    "anon": None,
    "memfd": Name(name="F", kind="file", made_by=("memfd",)),
    "file": Name(name="F", kind="file", made_by=("diskfile",)),
    "devzero": None,
    "hugetlb": None,
    "secretmem": None,
    "dax": Name(name="X", kind="file", made_by=("dax",)),
    "vvar": None,
    "vdso": None,
    "perf": None,
    "packet": None,
    "io_uring": None,
    "kvm_vcpu": None,
    "guest_memfd": None,
    "btf": None,
    "bpf_map": None,
    "bar": _DEV,
    "devmem": None,
    "bo": _B,
    "dmabuf": _D,
}
"""What a mapping can show, each with what it must name."""

ADVICE: Final = (
    *("dontneed", "free", "remove", "dontfork", "dofork", "wipeonfork", "keeponfork", "hugepage", "nohugepage"),
    *("collapse", "populate_read", "populate_write", "cold", "pageout", "mergeable", "unmergeable"),
)
PLACEMENTS: Final = ("vram", "gtt", "system")

_TABLE: Final = (
    _verb(
        "set",
        "choose the kernel or a defence, before anything touches memory",
        Choice(name="KEY", choices=tuple(SETTINGS)),
        SettingValue(
            name="VALUE",
            values={key: setting.values for key, setting in SETTINGS.items()},
            also={AS_IT_WAS: ALSO_CALLED},
        ),
        role="machine",
    ),
    _verb(
        "use",
        "bring a driver along: FILE describes it, next to the script; its operations are verbs from here on",
        Rest(name="FILE"),
        role="machine",
    ),
    _verb(
        "driver",
        "the same, written out: NAME and the lines of the file, with `;` between them",
        Rest(name="NAME; LINE; LINE"),
        role="machine",
    ),
    _verb(
        "process",
        "a new process with an empty address space, bound to a CPU (default: the next one)",
        NewName(name="P", kind="process"),
        Option("cpu", CpuNumber(name="N", what="a CPU", high=7)),
    ),
    _verb(
        "mmap",
        "mmap(2): map something new, at= a page or in the lowest gap that is wide enough",
        *(_P, NewLabel(name="LABEL"), MappingOf(name="BACKING", kinds=BACKINGS)),
        *(Choice(name="SHARE", choices=("private", "shared")), Prot(name="PROT"), _PAGES),
        Option("at", Number(name="N", high=TOP_PAGE - 1, what="a virtual page number")),
        Option("offset", Number(name="N", what="an offset in pages")),
        *(_flag("populate"), _flag("locked"), _flag("noreserve"), _flag("growsdown"), _flag("fixed")),
        yields="page",
    ),
    _verb("munmap", "munmap(2): take the mappings away", _P, _RANGE, gives_up=("WHERE",)),
    _verb("mprotect", "mprotect(2): change what the CPU may do there", _P, _RANGE, Prot(name="PROT")),
    _verb(
        "mremap",
        "mremap(2): grow, shrink or move a mapping; to= means MREMAP_FIXED",
        *(_P, _RANGE, Option("pages", Number(name="N", what="a number of pages"), required=True)),
        Option("to", Number(name="N", high=TOP_PAGE - 1, what="a virtual page number")),
        *(_flag("maymove"), _flag("dontunmap")),
        yields="page",
    ),
    _verb(
        "madvise",
        "madvise(2): tell the kernel what will happen to these pages",
        *(_P, _RANGE, Choice(name="ADVICE", choices=ADVICE)),
    ),
    _verb("mlock", "mlock(2): fault the pages in and keep them in memory", _P, _RANGE),
    _verb("munlock", "munlock(2): they may be reclaimed again", _P, _RANGE),
    _verb("mseal", "mseal(2): no call can unmap, move or change these mappings", _P, _RANGE),
    _verb("msync", "msync(2) with MS_SYNC: write back what the mappings show of their files", _P, _RANGE),
    _verb("fork", "fork(2): CHILD gets a copy of P's address space", _P, NewName(name="CHILD", kind="process")),
    _verb("exit", "P ends: its address space is torn down", _P, gives_up=("P",)),
    _verb("read", "the CPU loads the byte at the start of a page", _P, _ONE, yields="byte"),
    _verb("write", "the CPU stores a byte at the start of a page", _P, _ONE, _BYTE),
    _verb(
        "memfd",
        "memfd_create(2) and ftruncate(2); `hugetlb`: MFD_HUGETLB, of pages of 2 MiB from the pool",
        *(NewName(name="F", kind="file"), _PAGES, _flag("hugetlb")),
    ),
    _verb("diskfile", "a file on ext4", NewName(name="F", kind="file"), _PAGES),
    _verb(
        "seal",
        "fcntl(F_ADD_SEALS) on a memfd: F_SEAL_SHRINK, …",
        _F,
        *(_flag("seal"), _flag("shrink"), _flag("grow"), _flag("write"), _flag("future_write")),
        cpu_of="",
    ),
    _verb("truncate", "ftruncate(2): the file has PAGES pages from now on", _F, _PAGES),
    _verb(
        "punch",
        "fallocate(2) with FALLOC_FL_PUNCH_HOLE",
        *(_F, Number(name="OFFSET", what="an offset in pages"), _PAGES),
    ),
    _verb("fsync", "fsync(2): write the file's dirty pages to disk", _F),
    _verb("pread", "pread(2): read the first byte of a page of the file", _F, _PAGE, yields="byte"),
    _verb("pwrite", "pwrite(2): write it", _F, _PAGE, _BYTE),
    _verb("pipe", "pipe(2): a pipe of one buffer, O_NONBLOCK", NewName(name="R", kind="reference"), cpu_of=""),
    _verb("pipe-write", "write(2) to the pipe", _R, _BYTE, cpu_of=""),
    _verb("pipe-read", "read(2) of all that the pipe has", _R, yields="byte", cpu_of=""),
    _verb("splice", "splice(2): a page of the file goes into the pipe, uncopied", _F, _PAGE, _R, cpu_of=""),
    _verb("device", "a device that can do DMA", NewName(name="DEV", kind="device"), role="machine"),
    _verb(
        "gup",
        "get_user_pages: take a reference on each page, or with `pin` a FOLL_PIN",
        *(_P, _RANGE, _AS, _flag("fast", "how"), _flag("slow", "how"), _flag("fast-only", "how")),
        *(_flag("write"), _flag("pin"), _flag("longterm"), _flag("force"), _BY),
    ),
    _verb(
        "follow",
        "KVM's hva_to_pfn() for a guest that writes; `vcpu-map`: kvm_vcpu_map(), for KVM itself",
        *(_P, _RANGE, _AS, _flag("vcpu-map"), _BY),
    ),
    _verb(
        "grab",
        "a driver's pfn_to_page() and get_page() on what the PTE points at; `raw`: it keeps the bare frame number",
        *(_P, _RANGE, _AS, _flag("raw"), _BY),
    ),
    _verb(
        "set-gpte",
        "KVM writes to an entry of its guest's page table, in memory of P: the accessed bit, here BYTE",
        *(_P, _ONE, _BYTE),
    ),
    _verb(
        "userptr",
        "V4L2_MEMORY_USERPTR: a camera gets the pages for writing and for long",
        *(_P, _RANGE, _AS, Option("by", _DEV, required=True)),
    ),
    _verb(
        "io-register",
        "io_uring registers a fixed buffer: a long-term pin for writing, one a folio where that will do",
        *(_P, _RANGE, _AS, _BY),
    ),
    _verb("vmsplice", "vmsplice(2) puts the pages into a pipe, to be read out of it", _P, _RANGE, _AS),
    _verb("direct-read", "pread(2) with O_DIRECT: the disk writes BYTE to the page", _P, _ONE, _BYTE),
    _verb("direct-write", "pwrite(2) with O_DIRECT: the disk reads the page", _P, _ONE, yields="byte"),
    _verb(
        "mirror",
        "hmm_range_fault() under an mmu_interval_notifier: no reference, follows invalidations",
        *(_P, _RANGE, _AS, Option("by", _DEV, required=True)),
    ),
    _verb(
        "put",
        "put_page() or unpin_user_page() on each page, or drop the mirror; `dirty`: mark the pages dirty first",
        *(_R, _flag("dirty")),
        cpu_of="R",
        gives_up=("R",),
    ),
    _verb(
        "dma",
        "the device behind R accesses the page, whatever the page tables say now",
        *(_PAGE_OF, Branch.of("ACCESS", {"write": _form(_BYTE), "read": _form()})),
        yields="byte",
        cpu_of="R[+N]",
    ),
    _verb("peek", "what the referenced page holds now", _PAGE_OF, yields="byte", cpu_of=""),
    _verb(
        "remote-read",
        "process_vm_readv(2) by P on TARGET",
        *(_P, _TARGET, _IN_TARGET),
        yields="byte",
    ),
    _verb("remote-write", "process_vm_writev(2) by P on TARGET", _P, _TARGET, _IN_TARGET, _BYTE),
    _verb("force-write", "P writes through /proc/TARGET/mem: FOLL_FORCE", _P, _TARGET, _IN_TARGET, _BYTE),
    _verb(
        "bo",
        "a buffer object of a driver, its backing store allocated at once",
        *(NewName(name="B", kind="buffer"), _PAGES),
        *(Option("in", Choice(name="vram|gtt|system", choices=PLACEMENTS)),),
        Option("exporter", DriverName(name="KIND")),
        Option("caching", Choice(name="wc|cached", choices=("wc", "cached"))),
        Option("memfd", Name(name="F", kind="file", made_by=("memfd",)), of_driver="borrow:memfd"),
    ),
    _verb(
        "export",
        "dma_buf_export() and a file descriptor",
        *(_B, Option("as", NewName(name="D", kind="dma-buf"), required=True)),
    ),
    _verb("attach", "dma_buf_attach(), or dma_buf_dynamic_attach()", _D, _DEV, _flag("dynamic")),
    _verb("map", "dma_buf_map_attachment()", _D, _DEV, _AS),
    _verb("unmap", "dma_buf_unmap_attachment()", _R, cpu_of="R", gives_up=("R",)),
    _verb("detach", "dma_buf_detach()", _D, _DEV),
    _verb("gpu-map", "a GPU binds an i915-shmem buffer into its own page table", _B, _DEV, _AS),
    _verb("gpu-unmap", "the GPU's entries are cleared, its TLB is flushed, the pages are put", _R, cpu_of=""),
    _verb("move", "move the backing store of a buffer", _B, Choice(name="PLACE", choices=PLACEMENTS)),
    _verb("evict", "the memory manager moves the buffer out of its place", _B),
    _verb("invalidate", "only unmap_mapping_range() on the buffer's mappings", _B),
    _verb(
        "destroy",
        "close its handle and dma-bufs: the memory goes with the last mapping and importer",
        _B,
        gives_up=("B",),
    ),
    _verb("dax", "a file on a DAX filesystem", NewName(name="X", kind="file"), _PAGES),
    _verb("migrate", "the mm moves one page itself (compaction)", _P, _ONE),
    _verb("reclaim", "the mm swaps one page out", _P, _ONE),
    _verb(
        "userfaultfd",
        "userfaultfd(2) and UFFDIO_API: a descriptor through which page faults of P are handled",
        *(_P, NewName(name="U", kind="userfaultfd")),
        *(_flag("sigbus"), _flag("wp_unpopulated"), _flag("move"), _flag("wp_async"), _flag("event_fork")),
    ),
    _verb("uffd-read", "read(2): the next event of U; what has caused it has waited for that, and goes on", _P, _U),
    _verb(
        "uffdio-register",
        "UFFDIO_REGISTER: from now on these faults on the pages are U's: missing, wp (writes), minor",
        *(_P, _RANGE, _U, _flag("missing"), _flag("wp"), _flag("minor")),
    ),
    _verb("uffdio-unregister", "UFFDIO_UNREGISTER: the kernel handles them itself again", _P, _RANGE, _U),
    _verb(
        "uffdio-copy",
        "UFFDIO_COPY: bring the pages, with the content of those at FROM",
        _P,
        _RANGE,
        _U,
        _FROM,
        _flag("wp"),
    ),
    _verb("uffdio-zeropage", "UFFDIO_ZEROPAGE: bring pages of zeros", _P, _RANGE, _U),
    _verb("uffdio-move", "UFFDIO_MOVE: bring the very pages that are at FROM", _P, _RANGE, _U, _FROM),
    _verb("uffdio-continue", "UFFDIO_CONTINUE: map what the file has there already", _P, _RANGE, _U, _flag("wp")),
    _verb("uffdio-poison", "UFFDIO_POISON: they will not come, who touches them gets SIGBUS", _P, _RANGE, _U),
    _verb(
        "uffdio-writeprotect",
        "UFFDIO_WRITEPROTECT: with `wp` the next write to each page is a fault for U; without, no longer",
        *(_P, _RANGE, _U, _flag("wp")),
    ),
    _verb(
        "uffdio-wake", "UFFDIO_WAKE: whoever waits there tries again, whether or not the page has come", _P, _RANGE, _U
    ),
    _verb("uffd-close", "close(2): nothing is registered any more, and whoever waits goes on", _P, _U, gives_up=("U",)),
    _verb(
        "ksm-scan",
        "ksmd scans all mergeable memory N times (default 1); a page is merged in its second scan at the earliest",
        Number(name="N", low=1, high=1_000, what="a number of full scans", optional=True),
        _flag("use-zero-pages"),
        cpu_of="",
    ),
    _verb(
        "begin",
        "start COMMAND as task T and stop before its first micro-step; cpu=: as another thread, there",
        *(NewName(name="T", kind="task", reserved=("main",)), _COMMAND),
        Option("cpu", CpuNumber(name="N", what="a CPU", high=7)),
        role="task",
    ),
    _verb(
        "step",
        "run N micro-steps of task T (default 1); taking=: what its allocations get, with `set allocator any`",
        *(_T, Number(name="N", low=1, high=1_000_000, what="a number of micro-steps", optional=True)),
        Option("taking", PageNumbers(name="PFN,…")),
        role="task",
        gives_up=("T",),
    ),
    _verb("finish", "run task T to its end", _T, role="task", gives_up=("T",)),
    _verb(
        "may",
        "for the search: from here on it may start COMMAND up to N times (`*`: no limit); cpu=: by a thread there",
        *(Count(name="N", low=1, high=1_000_000), _COMMAND),
        Option("cpu", CpuNumber(name="N", what="a CPU", high=7)),
        role="word",
    ),
    _verb("note", "a remark for the reader", Rest(name="TEXT"), role="word"),
    _verb("expect", "an assertion about the last command or the state", CONDITION, role="word"),
    _verb(
        "always",
        "a property: from here on CONDITION holds in every state, after each micro-step",
        CONDITION,
        role="word",
    ),
    _verb("never", "a property: from here on CONDITION holds in no state", CONDITION, role="word"),
    _verb("final", "a property: CONDITION holds where nothing more happens", CONDITION, role="word"),
)

PROPERTIES: Final = frozenset({"always", "never", "final"})
"""The verbs that state a property of the machine."""

VERBS: Final[dict[str, Verb]] = {verb.name: verb for verb in _TABLE}
"""Every verb, in the order of docs/script-contract.md."""


@cache
def op_verb(name: str) -> Verb:
    """The verb that an operation of a driver is."""
    return _verb(name, "an operation of the buffer's driver", BufferWithOp(name="B", kind="buffer", op=name))


def verb_of(name: str) -> Verb:
    """The verb of a command that has been read: one of the language, or an operation of a driver."""
    return VERBS.get(name) or op_verb(name)
