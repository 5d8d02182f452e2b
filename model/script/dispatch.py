"""What a verb runs: Command + State → the kernel procedure that carries it out.

A verb that is not in `CALLS`, and a backing that is not in `SIMULATED_BACKINGS`, can be written but not run yet.
"""

from collections.abc import Callable
from functools import partial
from typing import Final, cast

from model.engine.procedure import Procedure
from model.kernel.arch.access import cpu_load, cpu_store
from model.kernel.drivers.dma import device_access, peek_reference
from model.kernel.drivers.dma_buf import (
    dma_buf_attach,
    dma_buf_detach,
    dma_buf_export,
    dma_buf_map_attachment,
    dma_buf_unmap_attachment,
)
from model.kernel.drivers.driver import driver_of
from model.kernel.drivers.driver_steps import operation
from model.kernel.drivers.gem import gem_create, gem_destroy
from model.kernel.drivers.gpu import i915_vma_bind, i915_vma_unbind
from model.kernel.drivers.udmabuf import udmabuf_create
from model.kernel.fs.dax import dax_create
from model.kernel.fs.pipe import alloc_pipe_info, pipe_read, pipe_write, splice_file_to_pipe
from model.kernel.fs.vfs import create_file, do_truncate, fallocate_punch, kernel_read, kernel_write, vfs_fsync
from model.kernel.mm.exit import do_exit
from model.kernel.mm.fork import kernel_clone, mm_alloc
from model.kernel.mm.frame_vector import get_vaddr_frames
from model.kernel.mm.hmm import mirror_range
from model.kernel.mm.ksmd import ksm_do_scan
from model.kernel.mm.madvise import do_madvise
from model.kernel.mm.memfd import SEALS, memfd_add_seals, memfd_create
from model.kernel.mm.migrate import migrate_pages
from model.kernel.mm.mlock import do_mlock, do_munlock
from model.kernel.mm.mmap import (
    MAP_FIXED,
    MAP_FIXED_NOREPLACE,
    MAP_GROWSDOWN,
    MAP_LOCKED,
    MAP_NORESERVE,
    MAP_POPULATE,
    MAP_PRIVATE,
    MAP_SHARED,
    do_mmap,
)
from model.kernel.mm.mprotect import do_mprotect
from model.kernel.mm.mremap import MREMAP_DONTUNMAP, MREMAP_FIXED, MREMAP_MAYMOVE, do_mremap
from model.kernel.mm.mseal import do_mseal
from model.kernel.mm.msync import do_msync
from model.kernel.mm.munmap import do_munmap
from model.kernel.mm.reclaim import reclaim_page
from model.kernel.mm.reference import put_reference, take_reference, vmsplice_get
from model.kernel.mm.remote import (
    direct_read_in,
    direct_write_out,
    mem_write,
    process_vm_readv,
    process_vm_writev,
)
from model.kernel.mm.userfaultfd import FEATURES, MODES, userfaultfd_open, userfaultfd_wake
from model.kernel.mm.userfaultfd_fill import userfaultfd_continue, userfaultfd_copy, userfaultfd_zeropage
from model.kernel.mm.userfaultfd_move import userfaultfd_move
from model.kernel.mm.userfaultfd_register import userfaultfd_register, userfaultfd_release, userfaultfd_unregister
from model.kernel.mm.userfaultfd_wp import userfaultfd_writeprotect
from model.kernel.virt.kvm import grab_pages, kvm_cmpxchg_gpte, kvm_follow, kvm_vcpu_map
from model.memory.buffer_records import Place
from model.memory.flags import FOLL_FORCE, FOLL_GET, FOLL_LONGTERM, FOLL_PIN, FOLL_WRITE
from model.memory.state import State
from model.script.command import BackingSpec, Command, RefPage
from model.script.places import resolve
from model.script.verbs import VERBS


class Call:
    """A command over the State that it starts in: its operands, with places turned into page numbers."""

    def __init__(self, state: State, command: Command) -> None:
        self.state = state
        self.command = command

    def name(self, key: str) -> str:
        """A name or word; empty where an option was not given."""
        return cast("str", self.command.get(key, ""))

    def number(self, key: str, default: int = -1) -> int:
        """A number, or `default` where the option was not given."""
        return cast("int", self.command.get(key, default))

    def bits(self, flags: dict[str, int]) -> int:
        """The bits of those flags that were given."""
        return sum(bit for key, bit in flags.items() if key in self.command.options)

    def pages(self, of: str = "P") -> tuple[int, int]:
        """The range WHERE in the address space of operand `of`: (first page, number of pages)."""
        return resolve(self.state, self.name(of), self.command, "WHERE")

    def page(self, of: str = "P") -> int:
        """The first page of WHERE."""
        return self.pages(of)[0]

    @property
    def held(self) -> RefPage:
        """Operand R[+N]."""
        return cast("RefPage", self.command.operands["R[+N]"])


Builder = Callable[[Call], Procedure]

MMAP_FLAGS: Final = {
    "populate": MAP_POPULATE,
    "locked": MAP_LOCKED,
    "noreserve": MAP_NORESERVE,
    "growsdown": MAP_GROWSDOWN,
}
MREMAP_FLAGS: Final = {"to": MREMAP_FIXED, "maymove": MREMAP_MAYMOVE, "dontunmap": MREMAP_DONTUNMAP}
FOLL: Final = {"write": FOLL_WRITE, "longterm": FOLL_LONGTERM, "force": FOLL_FORCE}


def _mmap(call: Call) -> Procedure:
    """Without `fixed`, a place that is asked for must be free: MAP_FIXED_NOREPLACE."""
    backing = cast("BackingSpec", call.command.operands["BACKING"])
    flags = call.bits(MMAP_FLAGS) | (MAP_SHARED if call.name("SHARE") == "shared" else MAP_PRIVATE)
    at = call.number("at")
    if "fixed" in call.command.options:
        flags |= MAP_FIXED
    elif at >= 0:
        flags |= MAP_FIXED_NOREPLACE
    return do_mmap(
        mm=call.name("P"),
        pages=call.number("PAGES"),
        prot=call.number("PROT"),
        flags=flags,
        backing=backing.kind,
        file=backing.of,
        offset=call.number("offset", 0),
        at=at,
        label=call.name("LABEL"),
    )


def _mremap(call: Call) -> Procedure:
    start, pages = call.pages()
    flags = call.bits(MREMAP_FLAGS)
    new_pages = call.number("pages")
    return do_mremap(
        mm=call.name("P"), start=start, pages=pages, new_pages=new_pages, flags=flags, to=call.number("to")
    )


def _mprotect(call: Call) -> Procedure:
    start, pages = call.pages()
    return do_mprotect(mm=call.name("P"), start=start, pages=pages, prot=call.number("PROT"))


def _madvise(call: Call) -> Procedure:
    start, pages = call.pages()
    return do_madvise(mm=call.name("P"), start=start, pages=pages, advice=call.name("ADVICE"))


def _ranged(procedure: type[do_munmap | do_mlock | do_munlock | do_mseal | do_msync]) -> Builder:
    """The calls that take a range and nothing else."""

    def build(call: Call) -> Procedure:
        start, pages = call.pages()
        return procedure(mm=call.name("P"), start=start, pages=pages)

    return build


def _gup(call: Call) -> Procedure:
    start, pages = call.pages()
    foll = call.bits(FOLL) | (FOLL_PIN if "pin" in call.command.options else FOLL_GET)
    how = next((how for how in ("slow", "fast-only") if how in call.command.options), "fast")
    return take_reference(
        name=call.name("as"),
        mm=call.name("P"),
        start=start,
        pages=pages,
        foll=foll,
        how=how,
        by=call.name("by"),
    )


def _taken(procedure: type[kvm_follow | kvm_vcpu_map | mirror_range | get_vaddr_frames], call: Call) -> Procedure:
    """The ways to pages that a driver of its own has."""
    start, pages = call.pages()
    return procedure(name=call.name("as"), mm=call.name("P"), start=start, pages=pages, by=call.name("by"))


def _grab(call: Call) -> Procedure:
    start, pages = call.pages()
    raw = "raw" in call.command.options
    return grab_pages(name=call.name("as"), mm=call.name("P"), start=start, pages=pages, by=call.name("by"), raw=raw)


def _vmsplice(call: Call) -> Procedure:
    start, pages = call.pages()
    return vmsplice_get(name=call.name("as"), mm=call.name("P"), start=start, pages=pages)


def _uffd(procedure: Callable[..., Procedure], wp: str = "") -> Builder:
    """A call on a range through a userfaultfd; `wp`: what its flag `wp` is called in the procedure."""

    def build(call: Call) -> Procedure:
        start, pages = call.pages()
        fields: dict[str, object] = {"caller": call.name("P"), "uffd": call.name("U"), "start": start, "pages": pages}
        if wp:
            fields[wp] = "wp" in call.command.options
        if "FROM" in call.command.operands:
            fields["source_start"] = resolve(call.state, call.name("P"), call.command, "FROM")[0]
        return procedure(**fields)

    return build


def _uffd_register(call: Call) -> Procedure:
    modes = call.bits(MODES)
    return _uffd(partial(userfaultfd_register, modes=modes))(call)


def _bo(call: Call) -> Procedure:
    """A buffer of its driver's own pages, or, a udmabuf, of those of a memfd."""
    kind = call.name("exporter") or "qxl"
    if driver_of(call.state, kind).backing == "borrow:memfd":
        memfd = call.name("memfd")
        return udmabuf_create(name=call.name("B"), pages=call.number("PAGES"), memfd=memfd, exporter=kind)
    return gem_create(
        name=call.name("B"),
        pages=call.number("PAGES"),
        place=cast("Place", call.name("in") or "system"),
        exporter=kind,
        caching=call.name("caching") or "wc",
    )


def _operation(call: Call, op: str, place: str = "") -> Procedure:
    """What the driver of a buffer does with it."""
    return operation(call.state, call.name("B"), op, place)


def _dma(call: Call) -> Procedure:
    held, write = call.held, call.name("ACCESS") == "write"
    return device_access(reference=held.reference, page=held.page, write=write, value=call.number("BYTE", 0))


CALLS: Final[dict[str, Builder]] = {
    "process": lambda call: mm_alloc(mm=call.name("P"), cpu=call.number("cpu")),
    "mmap": _mmap,
    "munmap": _ranged(do_munmap),
    "mprotect": _mprotect,
    "mremap": _mremap,
    "madvise": _madvise,
    "mlock": _ranged(do_mlock),
    "munlock": _ranged(do_munlock),
    "mseal": _ranged(do_mseal),
    "msync": _ranged(do_msync),
    "fork": lambda call: kernel_clone(mm=call.name("P"), child=call.name("CHILD")),
    "exit": lambda call: do_exit(mm=call.name("P")),
    "read": lambda call: cpu_load(mm=call.name("P"), vpn=call.page()),
    "write": lambda call: cpu_store(mm=call.name("P"), vpn=call.page(), value=call.number("BYTE")),
    "userfaultfd": lambda call: userfaultfd_open(
        mm=call.name("P"),
        uffd=call.name("U"),
        features=tuple(feature for feature in FEATURES if feature in call.command.options),
    ),
    "uffdio-register": _uffd_register,
    "uffdio-unregister": _uffd(userfaultfd_unregister),
    "uffdio-copy": _uffd(userfaultfd_copy, wp="wp"),
    "uffdio-zeropage": _uffd(userfaultfd_zeropage),
    "uffdio-move": _uffd(userfaultfd_move),
    "uffdio-continue": _uffd(userfaultfd_continue, wp="wp"),
    "uffdio-writeprotect": _uffd(userfaultfd_writeprotect, wp="protect"),
    "uffdio-wake": _uffd(userfaultfd_wake),
    "uffd-close": lambda call: userfaultfd_release(caller=call.name("P"), uffd=call.name("U")),
    "memfd": lambda call: memfd_create(
        file=call.name("F"), pages=call.number("PAGES"), hugetlb="hugetlb" in call.command.options
    ),
    "diskfile": lambda call: create_file(file=call.name("F"), kind="ext4", pages=call.number("PAGES")),
    "seal": lambda call: memfd_add_seals(
        file=call.name("F"), seals=tuple(seal for seal in SEALS if seal in call.command.options)
    ),
    "truncate": lambda call: do_truncate(file=call.name("F"), pages=call.number("PAGES")),
    "punch": lambda call: fallocate_punch(
        file=call.name("F"), offset=call.number("OFFSET"), pages=call.number("PAGES")
    ),
    "fsync": lambda call: vfs_fsync(file=call.name("F")),
    "pread": lambda call: kernel_read(file=call.name("F"), page=call.number("PAGE")),
    "pwrite": lambda call: kernel_write(file=call.name("F"), page=call.number("PAGE"), value=call.number("BYTE")),
    "gup": _gup,
    "reclaim": lambda call: reclaim_page(mm=call.name("P"), vpn=call.page()),
    "migrate": lambda call: migrate_pages(mm=call.name("P"), vpn=call.page()),
    "ksm-scan": lambda call: ksm_do_scan(
        scans=call.number("N", 1), use_zero_pages="use-zero-pages" in call.command.options
    ),
    "dax": lambda call: dax_create(file=call.name("X"), pages=call.number("PAGES")),
    "follow": lambda call: _taken(kvm_vcpu_map if "vcpu-map" in call.command.options else kvm_follow, call),
    "grab": _grab,
    "set-gpte": lambda call: kvm_cmpxchg_gpte(mm=call.name("P"), vpn=call.page(), value=call.number("BYTE")),
    "userptr": lambda call: _taken(get_vaddr_frames, call),
    "vmsplice": _vmsplice,
    "direct-read": lambda call: direct_read_in(mm=call.name("P"), vpn=call.page(), value=call.number("BYTE")),
    "direct-write": lambda call: direct_write_out(mm=call.name("P"), vpn=call.page()),
    "pipe": lambda call: alloc_pipe_info(name=call.name("R")),
    "pipe-write": lambda call: pipe_write(name=call.name("R"), value=call.number("BYTE")),
    "pipe-read": lambda call: pipe_read(name=call.name("R")),
    "splice": lambda call: splice_file_to_pipe(file=call.name("F"), page=call.number("PAGE"), name=call.name("R")),
    "gpu-map": lambda call: i915_vma_bind(buffer=call.name("B"), device=call.name("DEV"), name=call.name("as")),
    "gpu-unmap": lambda call: i915_vma_unbind(name=call.name("R")),
    "mirror": lambda call: _taken(mirror_range, call),
    "bo": _bo,
    "export": lambda call: dma_buf_export(buffer=call.name("B"), name=call.name("as")),
    "attach": lambda call: dma_buf_attach(
        dmabuf=call.name("D"), device=call.name("DEV"), dynamic="dynamic" in call.command.options
    ),
    "map": lambda call: dma_buf_map_attachment(dmabuf=call.name("D"), device=call.name("DEV"), name=call.name("as")),
    "unmap": lambda call: dma_buf_unmap_attachment(name=call.name("R")),
    "detach": lambda call: dma_buf_detach(dmabuf=call.name("D"), device=call.name("DEV")),
    "move": lambda call: _operation(call, "move", call.name("PLACE")),
    "evict": lambda call: _operation(call, "evict"),
    "invalidate": lambda call: _operation(call, "invalidate"),
    "destroy": lambda call: gem_destroy(name=call.name("B")),
    "put": lambda call: put_reference(name=call.name("R"), dirty="dirty" in call.command.options),
    "dma": _dma,
    "peek": lambda call: peek_reference(reference=call.held.reference, page=call.held.page),
    "remote-read": lambda call: process_vm_readv(
        mm=call.name("P"), target=call.name("TARGET"), vpn=call.page("TARGET")
    ),
    "remote-write": lambda call: process_vm_writev(
        mm=call.name("P"), target=call.name("TARGET"), vpn=call.page("TARGET"), value=call.number("BYTE")
    ),
    "force-write": lambda call: mem_write(
        mm=call.name("P"), target=call.name("TARGET"), vpn=call.page("TARGET"), value=call.number("BYTE")
    ),
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
    call = Call(state, command)
    return CALLS[command.verb](call) if command.verb in VERBS else _operation(call, command.verb)
