"""The lines of a driver file, declared once: parser, messages, help, form and reference read these tables.

A line is a word, its operands in order, then options in any order; behind ` -- ` the kernel function that it stands
for, and behind a second ` -- ` what it does in words.
"""

from collections.abc import Iterator
from typing import Final, Literal

import msgspec

from model.memory import flags
from model.memory.errno import ERRNO_NAMES

SlotKind = Literal["word", "name", "number", "text"]
"""`word`: one of the words listed. `name`: a letter, then letters, digits, `_` or `-`. `number`: pages. `text`: the
rest of the line."""


class Slot(msgspec.Struct, frozen=True):
    """One operand of a line, or one of its options."""

    name: str
    """What the usage line calls it; of an option its key."""
    words: tuple[str, ...] = ()
    """What may stand there; empty: see `kind`."""
    kind: SlotKind = "word"
    optional: bool = False
    many: bool = False
    """One or more of the words."""
    meaning: str = ""

    @property
    def expected(self) -> str:
        """What may stand here, for messages and help."""
        match self.kind:
            case "name":
                return "a name: a letter, then letters, digits, `_` or `-`"
            case "number":
                return f"a number of pages (0 to {MOST_PAGES})"
            case "text":
                return "a text"
            case _:
                return f"one of {', '.join(self.words)}"


class LineForm(msgspec.Struct, frozen=True):
    """How a line is written."""

    name: str
    help: str
    slots: tuple[Slot, ...] = ()
    flags: tuple[Slot, ...] = ()
    """Bare words that may follow."""
    options: tuple[Slot, ...] = ()
    """`key=value`."""
    colon: bool = False
    """It heads a list of steps and ends with a colon."""
    source: str = ""
    """What a step does in the kernel, where the file does not say it."""

    @property
    def usage(self) -> str:
        """Its syntax in one line."""
        return " ".join((self.name, *self._usage())) + (":" if self.colon else "")

    def _usage(self) -> Iterator[str]:
        for slot in self.slots:
            listed = slot.words and not slot.many and len(slot.words) <= MOST_LISTED
            shown = "|".join(slot.words) if listed else f"{slot.name}{'…' if slot.many else ''}"
            yield f"[{shown}]" if slot.optional else shown
        for option in self.options:
            shown = "" if option.many else "|".join(option.words)
            shown = shown or f"{option.name.upper()}{',…' if option.many else ''}"
            text = f"{option.name}={shown}"
            yield f"[{text}]" if option.optional else text
        for flag in self.flags:
            yield f"[{flag.name}]"


MOST_PAGES: Final = 1 << 20
MOST_LISTED: Final = 8
"""Words that a usage line lists; of more it says only what they are."""

VMA_FLAGS: Final = {
    word: int(getattr(flags, f"VM_{word}"))
    for word in ("PFNMAP", "MIXEDMAP", "IO", "DONTEXPAND", "DONTDUMP", "DONTCOPY")
}
"""What a driver's ->mmap may set."""
SIGNALS: Final = {
    "SIGBUS": flags.VM_FAULT_SIGBUS,
    "SIGSEGV": flags.VM_FAULT_SIGSEGV,
    "SIGKILL": flags.VM_FAULT_OOM,
}
"""What the process gets → what the handler returns."""
PLACES: Final = ("vram", "gtt", "system")
SEALS: Final = ("seal", "shrink", "grow", "write", "future_write")
CONDITIONS: Final = {
    "vram": "it is in video memory",
    "gtt": "it is in system memory that the GPU reaches",
    "system": "it is in system memory",
    "swapped": "it is swapped out",
    "none": "it has no memory, and is not swapped out",
    "pinned": "a static importer has the exporter's pin on the buffer",
    "imported": "some device imports a dma-buf of it",
    "exported": "there is a dma-buf of it",
    "mapped": "some VMA shows it",
}
"""What a step may ask of the buffer besides the driver's own states."""

_NAME: Final = Slot("NAME", kind="name")
_STATE: Final = Slot("STATE", kind="name")
_LOCK: Final = Slot("LOCK", kind="name")
_FIRST: Final = Slot("FIRST", kind="number", optional=True, meaning="the first page of it; by default all pages")
_COUNT: Final = Slot("COUNT", kind="number", optional=True, meaning="how many pages; by default to the end")
_PLACE: Final = Slot("PLACE", PLACES, optional=True, meaning="by default where `move B PLACE` says, or where it is")

_HEADS: Final = (
    LineForm("driver", "the driver's name: the first line", (_NAME,)),
    LineForm("like", "as that driver, a bundled one, in everything that is not said here", (_NAME,)),
    LineForm("op", "an operation: a verb of scripts, and the list of its steps", (_NAME,), colon=True),
    LineForm("function", "a list of steps that others call, under its kernel name", (_NAME,), colon=True),
)

_FIELDS: Final = (
    LineForm("about", "what it is, in one line", (Slot("TEXT", kind="text"),)),
    LineForm("source", "where it was read: files and version", (Slot("TEXT", kind="text"),)),
    LineForm(
        "vma",
        "the VM_* flags that ->mmap sets",
        (Slot("FLAGS", tuple(VMA_FLAGS), optional=True, many=True),),
    ),
    LineForm(
        "map",
        "when entries are made, and by which function",
        options=(
            Slot("at", ("mmap", "fault", "op"), meaning="by ->mmap, by ->fault, or by an operation's step `insert`"),
            Slot(
                "insert",
                ("pfn", "page", "mixed", "remap", "return-page", "huge-pfn", "file"),
                meaning="vmf_insert_pfn, vm_insert_page, vmf_insert_mixed, remap_pfn_range, a ->fault that returns the "
                "page, vmf_insert_pfn_pmd, or the shmem file behind the buffer is mapped itself",
            ),
            Slot(
                "range",
                ("one", "around", "vma"),
                optional=True,
                meaning="the page of the fault alone, up to 16 from there on, or the whole VMA",
            ),
        ),
        flags=(
            Slot(
                "gets-pages",
                meaning="where an operation has given the memory away, ->fault gets it anew (msm_gem_fault: get_pages)",
            ),
            Slot(
                "no-bounds",
                meaning="neither ->mmap nor ->fault looks where the buffer ends, a bug: what stands behind its array "
                "of pages is taken for a page, of memory in one piece the frame behind it",
            ),
        ),
    ),
    LineForm(
        "private",
        "MAP_PRIVATE mappings",
        (
            Slot(
                "WHETHER",
                ("refuse", "allow", "shared-only"),
                meaning="those that could be written, and so copied, are refused; none is; all are",
            ),
        ),
        options=(Slot("most", kind="number", optional=True, meaning="pages; longer ones are refused"),),
    ),
    LineForm(
        "writable",
        "mappings that may be written: whether ->mmap permits them, or looks at VM_WRITE and refuses",
        (
            Slot("WHETHER", ("refuse", "allow")),
            Slot("ERRNO", tuple(sorted(ERRNO_NAMES.values())), optional=True, meaning="by default EPERM"),
        ),
        flags=(Slot("keeps-maywrite", meaning="and leaves VM_MAYWRITE set, a bug: mprotect() makes it writable"),),
    ),
    LineForm(
        "lock",
        "a lock of the buffer, and how ->fault takes it (several: in the order of the lines); `resv` is its dma_resv",
        (
            _LOCK,
            Slot(
                "HOW",
                ("blocking", "trylock-retry", "read", "ops"),
                meaning="it waits with mmap_lock held; it gives mmap_lock up and the fault starts anew; it waits as "
                "one of several readers; ->fault leaves it alone",
            ),
        ),
        flags=(Slot("mmap", meaning="->mmap waits for it, too, and makes the mapping under it"),),
    ),
    LineForm("fail-when", "->fault ends with a signal in that state", (_STATE, Slot("SIGNAL", tuple(SIGNALS)))),
    LineForm(
        "backing",
        "where the pages come from",
        (
            Slot(
                "KIND",
                ("pool", "pages", "cma", "vram", "shmem", "borrow:memfd"),
                meaning="the TTM pool (or video memory, as `bo … in=` says), alloc_page() and put_page(), the same in "
                "one block, memory of a device without struct pages, a shmem file of the buffer's own, a memfd",
            ),
        ),
        options=(
            Slot("require", SEALS, optional=True, many=True, meaning="seals that the memfd must have"),
            Slot("forbid", SEALS, optional=True, many=True, meaning="seals that it must not have"),
        ),
    ),
    LineForm(
        "counts",
        "what the driver holds on the pages",
        (
            Slot(
                "WHO",
                ("none", "get", "pin", "per-mapping"),
                meaning="nothing, a reference on each, a FOLL_PIN on each, or a reference on each as long as some "
                "mapping shows the buffer: the first takes them, the last ->close puts them",
            ),
        ),
    ),
    LineForm(
        "open",
        "vm_ops->open counts another mapping, which keeps the buffer",
        (Slot("WHAT", ("get", "forgets"), meaning="it does, or forgets to, a bug: ->close puts what is another's"),),
    ),
    LineForm(
        "close",
        "vm_ops->close counts one mapping less",
        (Slot("WHAT", ("put", "forgets"), meaning="it does, or forgets to, a bug: the buffer is kept for ever"),),
    ),
    LineForm("copy-on-fork", "whether fork() copies the mapping; no: VM_DONTCOPY", (Slot("WHETHER", ("yes", "no")),)),
    LineForm(
        "mkwrite",
        "vm_ops->page_mkwrite or ->pfn_mkwrite: entries start read-only, the first write to each asks the driver",
        (Slot("WHAT", ("refuse", "allow")), Slot("STATE", kind="name", optional=True, meaning="which it notes")),
    ),
    LineForm(
        "access",
        "vm_ops->access: whom /proc/PID/mem and debuggers ask where get_user_pages() refuses",
        (Slot("WHAT", ("none", "system", "phys"), meaning="nobody, pages in system memory, whatever the entry says"),),
    ),
    LineForm(
        "pin",
        "a static importer, which cannot follow a move, has the buffer pinned",
        (
            Slot("PLACE", PLACES, meaning="where the buffer is taken first, if it is in video memory"),
            Slot("NAME", kind="name", optional=True, meaning="the function that takes it there"),
        ),
        flags=(
            Slot("every", meaning="for a dynamic importer as well: the exporter has no ->pin, and pins in ->attach"),
        ),
    ),
    LineForm(
        "export",
        "whether a dma-buf can be made of the buffer",
        (
            Slot("WHETHER", ("allow", "refuse")),
            Slot("ERRNO", tuple(sorted(ERRNO_NAMES.values())), optional=True, meaning="by default ENOTTY"),
        ),
    ),
    LineForm("split", "vm_ops->may_split: whether munmap() may cut a mapping", (Slot("WHETHER", ("allow", "refuse")),)),
)

_FENCE: Final = Slot("NAME", kind="name", optional=True, meaning="which job, where there are several")

_KEEP_NUMBERS: Final = Slot("keep-numbers", meaning="and go on using the frame numbers: a bug")

_STEPS: Final = (
    LineForm(
        "lock",
        "take a lock of the buffer, and wait for whoever holds it",
        (_LOCK,),
        flags=(
            Slot("read", meaning="as one of several readers"),
            Slot("try", meaning="-EBUSY instead of waiting"),
        ),
    ),
    LineForm("unlock", "give it back", (_LOCK,)),
    LineForm(
        "refuse-when", "end with an errno in that state", (_STATE, Slot("ERRNO", tuple(sorted(ERRNO_NAMES.values()))))
    ),
    LineForm(
        "refuse-unless",
        "end with an errno in any other state",
        (_STATE, Slot("ERRNO", tuple(sorted(ERRNO_NAMES.values())))),
    ),
    LineForm(
        "fence",
        "a job of the device begins, on the pages that the buffer has now; it works on them until `signal`",
        (_FENCE,),
    ),
    LineForm("signal", "the device's job is done", (_FENCE,)),
    LineForm(
        "wait-fence",
        "wait until no job of the device uses the buffer",
        (Slot("NAME", kind="name", optional=True, meaning="this job alone, whatever others there are"),),
    ),
    LineForm(
        "zap",
        "take the entries of all mappings away: unmap_mapping_range()",
        (_FIRST, _COUNT),
        flags=(Slot("no-flush", meaning="and do not flush the TLBs: a bug"),),
    ),
    LineForm("wrprotect", "make the entries of all mappings read-only, so that the next write asks ->page_mkwrite"),
    LineForm("notify", "tell the dynamic importers: dma_buf_move_notify()"),
    LineForm("room", "evict other buffers until there is room in video memory"),
    LineForm(
        "alloc",
        "get new memory for the buffer, which it does not use yet",
        (_PLACE,),
        options=(
            Slot("first", kind="number", optional=True, meaning="the first page that moves; by default all of them do"),
            Slot("count", kind="number", optional=True, meaning="how many pages move; by default to the end"),
        ),
    ),
    LineForm("copy", "copy the content to the new memory", (_FIRST, _COUNT)),
    LineForm("switch", "from here on the buffer, or the part of it that moves, is the new memory"),
    LineForm("save", "copy the content to swap"),
    LineForm("insert", "make the entries of all mappings (map at=op)"),
    LineForm("put", "drop what the driver holds on each page of the buffer, and forget them", flags=(_KEEP_NUMBERS,)),
    LineForm(
        "free",
        "give memory back: what the buffer, or the part that moves, was before `switch`, or else what it is",
        flags=(_KEEP_NUMBERS,),
    ),
    LineForm(
        "unbind", "take the buffer out of the page tables of GPUs that have it bound, and make their TLBs forget it"
    ),
    LineForm("truncate", "take the pages out of the buffer's shmem file"),
    LineForm("shrink", "have the pages of the buffer's shmem file written to swap, where nobody references them"),
    LineForm("keep", "the device notes the frame numbers, without a reference, and is never told of a change: a bug"),
    LineForm("set", "from here on the buffer is in that state", (_STATE,)),
    LineForm("clear", "and here it is so no longer", (_STATE,)),
    LineForm(
        "call",
        "the steps of a `function`",
        (_NAME, Slot("PLACE", PLACES, optional=True, meaning="where it is to take the buffer")),
    ),
)

HEADS: Final = {form.name: form for form in _HEADS}
FIELDS: Final = {form.name: form for form in _FIELDS}
STEPS: Final = {form.name: form for form in _STEPS}
VERSIONS: Final = ("since", "until")
"""What a line may begin with: `since 6.12 until 6.18`; it counts on these kernels alone."""
AS_IT_WAS: Final = ("as-it-was", "mended")
"""What a line may begin with besides: `as-it-was NAME` counts where that mend is undone (`set as-it-was NAME`), and
takes the place of the same field; `mended NAME` counts where it is not."""
WHEN: Final = ("when", "unless")
"""What a step may begin with: `when vram`; it is done in that state alone."""
KEPT: Final = "-kept"
"""`keep` notes frame numbers under the name of the buffer with this behind it: a reference of scripts."""
JOIN: Final = "+"
"""Between steps that are one micro-step: nothing comes between them."""
LONG: Final = ("zap", "unbind", "wrprotect", "insert", "room", "truncate", "shrink", "call")
"""Steps that call something of many micro-steps: others come between."""
ASKED: Final = ("refuse-when", "refuse-unless")
"""Steps that are no micro-step of their own: they are asked with the step that follows."""
