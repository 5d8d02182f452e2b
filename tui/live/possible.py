"""What of a script can be carried out on a real kernel, and why not where it cannot.

A command that cannot be carried out there is carried out on neither machine.
"""

import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Final, cast

from lessons.i18n.language import tr
from model.engine.config import SETTINGS, setting
from model.kernel.mm.vma import vmas_in
from model.memory.flags import VM_HUGEPAGE, VM_HUGETLB
from model.memory.state import State
from model.script.command import BackingSpec, Command, RefPage
from model.script.pages import Missing
from model.script.places import check_names, resolve
from tui.live.actions import ACTIONS
from tui.live.ksmd import unusable
from tui.live.permitted import forbidden
from tui.live.proc_views import MOST_PAGE, tells_huge_entries
from tui.live.ring import FixedBuffer
from tui.live.workers import PAGE, Workers

MOST_PAGES: Final = 1 << 14
"""What one command may touch here, 64 MiB: the machine is somebody's."""
PLACES: Final = ("WHERE", "FROM")
"""The operands that name pages."""
FILES: Final = {"memfd": "memfd", "file": "ext4"}
MAPPABLE: Final = ("anon", "devzero", "secretmem", "hugetlb", *FILES)

HUGE_PAGE_ADVICE: Final = ("hugepage", "nohugepage", "collapse")
THP: Final = Path("/sys/kernel/mm/transparent_hugepage")

WORDS: Final = ("device", "note")
"""Said to the model alone, and the same to both."""

MAY_BE_HUGE: Final = VM_HUGEPAGE | VM_HUGETLB

NOWHERE: Final = "no program can do this on a running kernel"

NOT_HERE: Final = {
    "set": "the settings of a running machine stay as they are",
    "begin": "nobody can stop a running kernel between two micro-steps",
    "step": "nobody can stop a running kernel between two micro-steps",
    "finish": "nobody can stop a running kernel between two micro-steps",
    "may": "that is for the search",
    "expect": "`ptescope run` judges it",
    "always": "`ptescope run` judges it",
    "never": "`ptescope run` judges it",
    "final": "`ptescope run` judges it",
    "driver": "a driver described in a file exists only in the model",
    "migrate": "the kernel decides when it moves memory",
    "reclaim": "the kernel decides when it swaps memory out; `madvise … pageout` asks for it",
    "dax": "it needs persistent memory",
}
"""Why a verb cannot be carried out, where there is more to say than that it takes a driver."""


NO_SCAN: Final = {
    "running": "ksmd runs on this machine already, and merges when it likes",
    "not permitted": "/sys/kernel/mm/ksm cannot be written",
}
"""Why ksmd cannot be told to scan."""


def why_not(command: Command, state: State, workers: Workers, *, allow_system: bool = False) -> str:
    """Why this command cannot be carried out on the real kernel; empty if it can.

    `allow_system`: settings of the whole machine may be changed for a moment.
    """
    verb = command.verb
    if verb == "ksm-scan":
        if not allow_system:
            return tr("ksmd works for the whole machine: `--allow-system` lets it run, and puts its settings back")
        return tr(NO_SCAN[reason]) if (reason := unusable()) else ""
    if verb in WORDS:
        return ""
    if verb not in ACTIONS:
        return tr(NOT_HERE.get(verb, NOWHERE))
    try:
        check_names(state, command)
        where = str(command.get("TARGET") or command.get("P", ""))
        pages = max((resolve(state, where, command, key)[1] for key in PLACES if key in command.operands), default=0)
    except Missing as missing:
        return str(missing)
    largest = max(pages, *(cast("int", command.get(key, 0)) for key in ("PAGES", "pages", "PAGE", "OFFSET")))
    if largest > MOST_PAGES and verb not in ("truncate", "munmap"):
        return tr("it touches {pages} pages; here {most} at the most").format(pages=largest, most=MOST_PAGES)
    beyond = max(cast("int", command.get(key, 0)) for key in ("at", "to"))
    if beyond >= MOST_PAGE:
        return tr("page {page} is too far away; here {most} pages are looked at").format(page=beyond, most=MOST_PAGE)
    if command.get("cpu") is not None and verb != "process":
        return tr("another thread of the process")
    reason = _reason(verb, command, state, workers)
    refused = "" if reason else forbidden(_needs(command))
    return tr("this machine forbids it ({errno})").format(errno=refused) if refused else reason


def _needs(command: Command) -> str:
    """The kind of call that a machine may forbid and that this command makes; empty if it makes none."""
    match command.verb:
        case "gup":
            return "pin" if "pin" in command.options else "get"
        case "remote-read" | "remote-write":
            return "remote"
        case "force-write":
            return "force"
        case "userfaultfd":
            return "userfaultfd"
        case "mmap" if cast("BackingSpec", command.operands["BACKING"]).kind == "secretmem":
            return "secretmem"
        case _:
            return ""


def _reason(verb: str, command: Command, state: State, workers: Workers) -> str:
    match verb:
        case "memfd" if "hugetlb" in command.options:
            return why_no_huge_pages(state)
        case "mmap":
            kind = cast("BackingSpec", command.operands["BACKING"]).kind
            if kind == "hugetlb":
                return why_no_huge_pages(state)
            return "" if kind in MAPPABLE else tr("a mapping of {kind} needs a driver").format(kind=kind)
        case "madvise" if command.operands["ADVICE"] in HUGE_PAGE_ADVICE:
            return why_no_thp()
        case "diskfile" | "direct-read" | "direct-write":
            found = filesystem()
            return "" if found == "ext4" else tr("the temporary folder is on {found}, not on ext4").format(found=found)
        case "madvise" if command.operands["ADVICE"] == "mergeable" and unusable() == "running":
            return tr(NO_SCAN["running"])
        case "gup":
            return _why_no_gup(command, state)
        case "userfaultfd" if "event_fork" in command.options:
            return tr("with `event_fork` a fork would wait for a reader that there is not")
        case "userfaultfd" if "sigbus" not in command.options:
            return tr("without `sigbus` a fault would wait for an answer that nobody gives")
        case _ if "U" in command.operands and verb != "userfaultfd":
            return _why_no_uffd(command, state, workers)
        case "dma" if not isinstance(
            workers.held.get(cast("RefPage", command.operands["R[+N]"]).reference), FixedBuffer
        ):
            return tr("only what is pinned as a fixed buffer can be reached by a device here")
        case "peek" if isinstance(workers.held.get(cast("RefPage", command.operands["R[+N]"]).reference), FixedBuffer):
            return tr("a fixed buffer is looked at with `dma … read`")
        case _:
            return ""


def why_no_thp() -> str:
    """Why transparent huge pages are not here what they are in the model; empty if they are."""
    settings = {
        path.parent.name if path.name == "enabled" else path.name: chosen(path)
        for path in (THP / "enabled", THP / "shmem_enabled", *THP.glob("hugepages-*kB/enabled"))
    }
    for name, wanted in (("transparent_hugepage", ("madvise",)), ("shmem_enabled", ("never",))):
        if settings.pop(name) not in wanted:
            return tr("the model has transparent_hugepage/enabled `madvise` and shmem_enabled `never`")
    settings.pop(f"hugepages-{mthp()}", "")
    if settings.pop("hugepages-2048kB", "inherit") not in ("inherit", "madvise") or not set(settings.values()) <= {
        "never"
    }:
        return tr("the model has large folios of 2 MiB, and of one other size (transparent_hugepage/hugepages-*)")
    return "" if tells_huge_entries() else tr("this kernel does not tell which entries are of 2 MiB; 6.7 does")


def mthp() -> str:
    """The size of less than 2 MiB that folios of anonymous memory can have here, in the model's words.

    The first one that MADV_HUGEPAGE gets (`inherit` and `madvise` are the same here); `never` if there is none.
    """
    sizes = SETTINGS["mthp"].values[1:]
    wanted = ("inherit", "madvise")
    return next((size for size in sizes if chosen(THP / f"hugepages-{size}" / "enabled") in wanted), "never")


def huge_pages_missed() -> int:
    """How often this machine had no free huge page for a fault or a collapse, and how often khugepaged has collapsed.

    Both are counted for the whole machine (/proc/vmstat); where they have grown, a huge page that is missing, or there
    is one too many, says nothing about the model.
    """
    missed = 0
    with suppress(OSError):
        for line in Path("/proc/vmstat").read_text(encoding="ascii").splitlines():
            key, _, value = line.partition(" ")
            missed += int(value) if key in ("thp_fault_fallback", "thp_collapse_alloc_failed") else 0
        missed += int((THP / "khugepaged" / "pages_collapsed").read_text(encoding="ascii"))
    return missed


def chosen(path: Path) -> str:
    """The word in brackets of a setting such as `always [madvise] never`; empty where there is no such setting."""
    try:
        return path.read_text(encoding="ascii").partition("[")[2].partition("]")[0]
    except OSError:
        return ""


def _why_no_uffd(command: Command, state: State, workers: Workers) -> str:
    """A userfaultfd is used in a process that has its descriptor."""
    name, process = str(command.operands["U"]), str(command.operands["P"])
    if name not in workers.uffds or process not in state.userfaultfds[name].open_in:
        return tr("the descriptor is in another process")
    return ""


def free_huge_pages() -> int:
    """How many huge pages of this machine's pool are free and nobody's (/proc/meminfo)."""
    counts: dict[str, int] = {}
    for line in Path("/proc/meminfo").read_text(encoding="utf-8").splitlines():
        key, _, rest = line.partition(":")
        counts[key] = int(rest.split()[0])
    return counts.get("HugePages_Free", 0) - counts.get("HugePages_Rsvd", 0)


def pool() -> str:
    """The size of the model's pool of huge pages, so that both machines have the same; 0 where it cannot be had."""
    free = str(free_huge_pages())
    return free if free in SETTINGS["hugetlb"].values else "0"


def overcommit() -> str:
    """How many surplus pages that pool may have here; 0 where the model cannot have so many."""
    try:
        most = Path("/proc/sys/vm/nr_overcommit_hugepages").read_text(encoding="ascii").strip()
    except OSError:
        return "0"
    return most if most in SETTINGS["hugetlb-overcommit"].values else "0"


def why_no_huge_pages(state: State) -> str:
    """Why nothing can be mapped out of the pool of huge pages here; empty if both machines began with the same pool."""
    if setting(state, "hugetlb") != "0":
        return ""
    sizes = ", ".join(SETTINGS["hugetlb"].values[1:])
    return tr("of huge pages (vm.nr_hugepages) {free} are free here; the model can have {sizes}").format(
        free=free_huge_pages(), sizes=sizes
    )


def _why_no_gup(command: Command, state: State) -> str:
    """A program can hold two kinds of references: FOLL_GET to read, by vmsplice, and a long-term pin to write."""
    given = {key for key in ("write", "pin", "longterm", "force", "fast-only") if key in command.options}
    process = str(command.operands["P"])
    start, pages = resolve(state, process, command, "WHERE")
    if "pin" not in given and pages > most_in_a_pipe():
        return tr("a pipe holds {most} pages at the most here").format(most=most_in_a_pipe())
    if (
        "pin" in given
        and pages > 1
        and any(vma.flags & MAY_BE_HUGE for vma in vmas_in(state, process, start, start + pages))
    ):
        return tr("io_uring pins a huge page once, however many pages of it are in a buffer")
    if given & {"force", "fast-only"}:
        return tr("a program cannot choose how the kernel looks pages up")
    if not given or given == {"write", "pin", "longterm"}:
        return ""
    if given == {"write", "pin"}:
        return "" if _same_long_term(command, state) else tr("a program can only hold a pin that is FOLL_LONGTERM")
    return tr("no system call leaves such a reference with a program")


def _same_long_term(command: Command, state: State) -> bool:
    """Whether FOLL_LONGTERM makes no difference: it is refused on what a file system must clean (mm/gup.c, 6.12)."""
    process = str(command.operands["P"])
    start, pages = resolve(state, process, command, "WHERE")
    vmas = [
        vma for (mm, _), vma in state.vmas.items() if mm == process and vma.start < start + pages and vma.end > start
    ]
    return not any(vma.file and state.files[vma.file].kind == "ext4" for vma in vmas)


def most_in_a_pipe() -> int:
    """Pages that this user's pipes can hold (fs.pipe-max-size)."""
    try:
        return int(Path("/proc/sys/fs/pipe-max-size").read_text(encoding="ascii")) // PAGE
    except (OSError, ValueError):
        return 16


def filesystem() -> str:
    """The type of the file system that the temporary folder is on."""
    folder = Path(tempfile.gettempdir()).resolve()
    best, kind = "", "unknown"
    for line in Path("/proc/self/mountinfo").read_text(encoding="utf-8", errors="replace").splitlines():
        before, _, after = line.partition(" - ")
        point = before.split()[4]
        if (folder == Path(point) or Path(point) in folder.parents) and len(point) >= len(best):
            best, kind = point, after.split()[0]
    return kind
