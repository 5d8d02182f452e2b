"""What the kernel says when it notices: WARN_ON, VM_BUG_ON_PAGE, Bad page state, Bad page map, Bad page cache.

Shapes as in 6.1 (kernel-facts M). Line numbers are about those of 6.1, or of the patch under discussion applied to it.
The engine adds the call trace; `kernel_log` puts the whole report together.
"""

from typing import Final

from model.engine.config import setting
from model.memory.events import Splat
from model.memory.flags import PAGE_FLAGS, names
from model.memory.records import Frame, Vma
from model.memory.state import Memory, Transaction

CUT: Final = "------------[ cut here ]------------"
END_TRACE: Final = "---[ end trace 0000000000000000 ]---"
FIRST_PID: Final = 100
KWORKER_PID: Final = 7
VMEMMAP: Final = 0xFFFF_EA00_0000_0000
"""Where the struct pages lie in the kernel's address space, 64 bytes each."""


def kernel_log(splat: Splat) -> list[str]:
    """The lines of a report as dmesg has them: what happened, the page, the call trace.

    >>> kernel_log(Splat("WARNING: CPU: 0 PID: 1 at mm/gup.c:138 try_grab_page", trace=("try_grab_page",)))[:2]
    ['------------[ cut here ]------------', 'WARNING: CPU: 0 PID: 1 at mm/gup.c:138 try_grab_page']
    """
    trace = ["Call Trace:", " <TASK>", *(f" {function}" for function in splat.trace), " </TASK>"]
    if splat.title.startswith("WARNING"):
        return [CUT, splat.title, *splat.lines, *trace, END_TRACE]
    if splat.title.startswith("kernel BUG"):
        return [*splat.lines, CUT, splat.title, "invalid opcode: 0000 [#1] SMP", *trace, END_TRACE]
    return [splat.title, *splat.lines, *trace]


def comm(tx: Transaction) -> str:
    """The name of whoever runs: the process, or a kernel thread that works for a driver."""
    return tx.task.process or "kworker"


def warn_on_once(tx: Transaction, where: str, condition: str) -> None:
    """WARN_ON_ONCE: a report, once per place until the next boot; execution goes on. `where`: `FILE:LINE FUNCTION`."""
    once = f"warned:{where}"
    if not tx.counters.get(once):
        tx.counters[once] = 1
        warn_on(tx, where, condition)


def warn_on(tx: Transaction, where: str, condition: str) -> None:
    """WARN_ON: a report each time. `where`: `FILE:LINE FUNCTION`."""
    process = tx.processes.get(tx.task.process)
    cpu, pid = max(tx.task.cpu, 0), FIRST_PID + process.pid if process is not None else KWORKER_PID
    tx.emit(Splat(f"WARNING: CPU: {cpu} PID: {pid} at {where}", (f"{condition}", f"Comm: {comm(tx)}")))


def vm_bug_on(tx: Transaction, where: str) -> None:
    """VM_BUG_ON: with CONFIG_DEBUG_VM the task dies, without it nothing is looked at. `where`: `FILE:LINE`."""
    if setting(tx, "debug-vm") == "on":
        tx.emit(Splat(f"kernel BUG at {where}!", fatal=True))


def bug(tx: Transaction, where: str) -> None:
    """BUG_ON, in every configuration: the task dies with the locks that it holds. `where`: `FILE:LINE`."""
    tx.emit(Splat(f"kernel BUG at {where}!", fatal=True))


def page_fault_oops(tx: Transaction, pfn: int) -> None:
    """The kernel reads a struct page that is not there: the task dies (arch/x86/mm/fault.c: page_fault_oops)."""
    lines = ("#PF: supervisor read access in kernel mode", "#PF: error_code(0x0000) - not-present page")
    tx.emit(Splat(f"BUG: unable to handle page fault for address: {VMEMMAP + 64 * pfn:x}", lines, fatal=True))


def vm_bug_on_page(tx: Transaction, pfn: int, condition: str, where: str) -> None:
    """VM_BUG_ON_PAGE: the page is dumped and the task dies (CONFIG_DEBUG_VM only). `where`: `FILE:LINE`."""
    lines = dump_page(tx, pfn, f"VM_BUG_ON_PAGE({condition})")
    tx.emit(Splat(f"kernel BUG at {where}!", lines, fatal=True))


def bad_page(tx: Transaction, pfn: int, reason: str) -> None:
    """The allocator found a page in a state in which no free page is (mm/page_alloc.c: bad_page)."""
    tx.emit(Splat(f"BUG: Bad page state in process {comm(tx)}  pfn:{pfn:05x}", dump_page(tx, pfn, reason)))


def bad_page_map(tx: Transaction, vma: Vma, pfn: int, pte: str = "") -> None:
    """An entry and the page behind it do not fit together (mm/memory.c: print_bad_pte)."""
    mapped = f"vm_flags:{vma.flags:08x} anon_vma:{vma.anon_vma or 'NULL'} file:{vma.file or 'NULL'} index:{vma.pgoff:x}"
    title = f"BUG: Bad page map in process {comm(tx)}  {pte}pfn:{pfn:05x}"
    tx.emit(Splat(title, (*dump_page(tx, pfn, "bad pte"), mapped)))


def bad_page_cache(tx: Transaction, pfn: int) -> None:
    """A page leaves its file while entries that the file knows nothing of still map it (filemap_unaccount_folio)."""
    title = f"BUG: Bad page cache in process {comm(tx)}  pfn:{pfn:05x}"
    tx.emit(Splat(title, dump_page(tx, pfn, "still mapped when deleted")))


def dump_page(mem: Memory, pfn: int, reason: str) -> tuple[str, ...]:
    """The lines that mm/debug.c: dump_page prints of a page; `mapping` by name, where the kernel prints a pointer."""
    frame = mem.frames.get(pfn) or Frame()
    flags = "|".join(names(frame.flags, PAGE_FLAGS))
    return (
        (
            f"page:{VMEMMAP + 64 * pfn:x} refcount:{frame.refcount} mapcount:{frame.mapcount} "
            f"mapping:{frame.mapping or 'NULL'} index:{frame.index:#x} pfn:{pfn:#x}"
        ),
        f"flags: {frame.flags:#x}({flags})",
        f"page dumped because: {reason}",
    )
