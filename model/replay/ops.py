"""The ops of recorded scenarios as types: what a program did to its memory, one class an op.

Pages, offsets and lengths are counted in pages. A page number is relative to the recordings' arena.
"""

from typing import Annotated, Any, Final, Literal

import msgspec

Pages = Annotated[int, msgspec.Meta(ge=0, le=1 << 52)]
"""A page number, or a number of pages."""
Byte = Annotated[int, msgspec.Meta(ge=0, le=255)]
Prot = Annotated[str, msgspec.Meta(pattern="^(none|r?w?x?)$")]
Times = Annotated[int, msgspec.Meta(ge=0, le=100_000)]
"""How often something is done: more would only take long."""


class Op(msgspec.Struct, frozen=True, tag_field="op"):
    """One op of a scenario."""


class Fork(Op, frozen=True, tag="fork"):
    """fork(2)."""

    proc: str
    child: str


class Exit(Op, frozen=True, tag="exit"):
    """exit(2)."""

    proc: str


class RangeOp(Op, frozen=True):
    """An op on the pages [at, at + pages) of a process."""

    proc: str
    at: Pages
    pages: Pages


class Mmap(RangeOp, frozen=True, tag="mmap"):
    """mmap(2)."""

    prot: Prot
    kind: str = "anon"
    share: Literal["private", "shared"] = "private"
    file: str = ""
    offset: Pages = 0
    flags: tuple[str, ...] = ()


class Munmap(RangeOp, frozen=True, tag="munmap"):
    """munmap(2)."""


class Mprotect(RangeOp, frozen=True, tag="mprotect"):
    """mprotect(2)."""

    prot: Prot


class Mremap(RangeOp, frozen=True, tag="mremap"):
    """mremap(2); what the kernel moved out of the arena is moved back to `to_if_moved`."""

    new_pages: Pages
    flags: tuple[str, ...] = ()
    to: int = -1
    to_if_moved: int = -1


class Madvise(RangeOp, frozen=True, tag="madvise"):
    """madvise(2), the advice without MADV_."""

    advice: str


class Mlock(RangeOp, frozen=True, tag="mlock"):
    """mlock(2), or mlock2(2) with MLOCK_ONFAULT."""

    onfault: bool = False


class Munlock(RangeOp, frozen=True, tag="munlock"):
    """munlock(2)."""


class Mseal(RangeOp, frozen=True, tag="mseal"):
    """mseal(2)."""


class Msync(RangeOp, frozen=True, tag="msync"):
    """msync(2) with MS_SYNC."""


class PlaceSpecial(Op, frozen=True, tag="place"):
    """Bring the process's [vvar] or [vdso] into the arena."""

    proc: str
    what: str
    at: Pages


class Read(Op, frozen=True, tag="read"):
    """The CPU loads the first byte of a page."""

    proc: str
    page: Pages


class Write(Op, frozen=True, tag="write"):
    """The CPU stores the first byte of a page."""

    proc: str
    page: Pages
    value: Byte


class CreateFile(Op, frozen=True, tag="file"):
    """A sparse file whose first pages are then written through the descriptor."""

    name: str
    pages: Pages
    type: str = "memfd"
    fill: tuple[Byte, ...] = ()


class Truncate(Op, frozen=True, tag="truncate"):
    """ftruncate(2)."""

    file: str
    pages: Pages


class Punch(Op, frozen=True, tag="punch"):
    """fallocate(2) with FALLOC_FL_PUNCH_HOLE."""

    file: str
    offset: Pages
    pages: Pages


class FileWrite(Op, frozen=True, tag="file_write"):
    """pwrite(2) of one byte."""

    file: str
    page: Pages
    value: Byte


class FileRead(Op, frozen=True, tag="file_read"):
    """pread(2) of one byte."""

    file: str
    page: Pages


class FileClose(Op, frozen=True, tag="fclose"):
    """close(2)."""

    file: str


class Fsync(Op, frozen=True, tag="fsync"):
    """fsync(2)."""

    file: str


class Seal(Op, frozen=True, tag="seal"):
    """fcntl(F_ADD_SEALS)."""

    file: str
    seals: tuple[str, ...]


class Take(Op, frozen=True):
    """An op that takes references to the pages [page, page + pages)."""

    proc: str
    page: Pages
    id: str
    pages: Pages = 1


class Pin(Take, frozen=True, tag="pin"):
    """io_uring registers a fixed buffer: FOLL_PIN | FOLL_WRITE | FOLL_LONGTERM."""


class Get(Take, frozen=True, tag="get"):
    """vmsplice(2) into a pipe: FOLL_GET, and fewer pages where one cannot be had."""


class GetMany(Take, frozen=True, tag="get_many"):
    """`count` times `get` of one page."""

    count: Times = 0


class Unpin(Op, frozen=True, tag="unpin"):
    """The fixed buffer is unregistered."""

    id: str


class Put(Op, frozen=True, tag="put"):
    """The pipe is emptied."""

    id: str


class DmaWrite(Op, frozen=True, tag="dma_write"):
    """Data is read from a file into page `page` of the fixed buffer."""

    id: str
    page: Pages
    value: Byte


class DmaRead(Op, frozen=True, tag="dma_read"):
    """Page `page` of the fixed buffer is written to a file."""

    id: str
    page: Pages


class Peek(Op, frozen=True, tag="peek"):
    """What the page in the pipe holds now."""

    id: str
    page: Pages


class RemoteRead(Op, frozen=True, tag="remote_read"):
    """process_vm_readv(2) of one byte."""

    proc: str
    target: str
    page: Pages


class RemoteWrite(Op, frozen=True, tag="remote_write"):
    """process_vm_writev(2) of one byte."""

    proc: str
    target: str
    page: Pages
    value: Byte


class ForceRead(Op, frozen=True, tag="force_read"):
    """A read of /proc/TARGET/mem."""

    target: str
    page: Pages


class ForceWrite(Op, frozen=True, tag="force_write"):
    """A write to /proc/TARGET/mem."""

    target: str
    page: Pages
    value: Byte


class DirectOut(Op, frozen=True, tag="odirect_out"):
    """O_DIRECT pwrite(2) of a page; the result is the byte that reached the disk."""

    proc: str
    page: Pages


class DirectIn(Op, frozen=True, tag="odirect_in"):
    """O_DIRECT pread(2) into a page."""

    proc: str
    page: Pages
    value: Byte


class UffdOp(Op, frozen=True):
    """An op of a process on a userfaultfd: the one called `id`, or without one that which it has opened last."""

    proc: str
    id: str = ""


class UffdOpen(UffdOp, frozen=True, tag="uffd_open"):
    """userfaultfd(2) and UFFDIO_API."""

    features: tuple[str, ...] = ("sigbus",)


class UffdClose(UffdOp, frozen=True, tag="uffd_close"):
    """close(2)."""


class UffdRange(UffdOp, frozen=True, kw_only=True):
    """An op on the pages [at, at + pages)."""

    at: Pages
    pages: Pages = 1


class UffdRegister(UffdRange, frozen=True, kw_only=True, tag="uffd_register"):
    """UFFDIO_REGISTER."""

    mode: tuple[Literal["missing", "wp", "minor"], ...]


class UffdUnregister(UffdRange, frozen=True, tag="uffd_unregister"):
    """UFFDIO_UNREGISTER."""


class UffdWake(UffdRange, frozen=True, tag="uffd_wake"):
    """UFFDIO_WAKE."""


class UffdWp(UffdRange, frozen=True, tag="uffd_wp"):
    """UFFDIO_WRITEPROTECT, with UFFDIO_WRITEPROTECT_MODE_WP if `protect`."""

    protect: bool = True


class UffdCopy(UffdRange, frozen=True, tag="uffd_copy"):
    """UFFDIO_COPY from `src`, with UFFDIO_COPY_MODE_WP if `wp`."""

    src: Pages = 0
    wp: bool = False


class UffdZeropage(UffdRange, frozen=True, tag="uffd_zeropage"):
    """UFFDIO_ZEROPAGE."""


class UffdPoison(UffdRange, frozen=True, tag="uffd_poison"):
    """UFFDIO_POISON."""


class UffdMove(UffdRange, frozen=True, tag="uffd_move"):
    """UFFDIO_MOVE from `src`."""

    src: Pages = 0


class UffdContinue(UffdRange, frozen=True, tag="uffd_continue"):
    """UFFDIO_CONTINUE, with UFFDIO_CONTINUE_MODE_WP if `wp`."""

    wp: bool = False


class KsmScan(Op, frozen=True, tag="ksm_scan"):
    """So many full scans of ksmd, which is stopped then."""

    use_zero_pages: bool = False
    scans: int = 20


class UnknownOp(msgspec.Struct, frozen=True):
    """An op that no type stands for: the model does not know it."""

    op: str


KINDS: Final[dict[str, type[Op]]] = {
    str(kind.__struct_config__.tag): kind
    for kind in (
        Fork,
        Exit,
        Mmap,
        Munmap,
        Mprotect,
        Mremap,
        Madvise,
        Mlock,
        Munlock,
        Mseal,
        Msync,
        PlaceSpecial,
        Read,
        Write,
        CreateFile,
        Truncate,
        Punch,
        FileWrite,
        FileRead,
        FileClose,
        Fsync,
        Seal,
        Pin,
        Get,
        GetMany,
        Unpin,
        Put,
        DmaWrite,
        DmaRead,
        Peek,
        RemoteRead,
        RemoteWrite,
        ForceRead,
        ForceWrite,
        DirectOut,
        DirectIn,
        UffdOpen,
        UffdClose,
        UffdRegister,
        UffdUnregister,
        UffdWake,
        UffdWp,
        UffdCopy,
        UffdZeropage,
        UffdMove,
        UffdContinue,
        KsmScan,
    )
}
"""The types of ops by the ops' names."""


def operation(fields: dict[str, Any]) -> Op | UnknownOp:
    """The op that these JSON fields describe; raises msgspec.ValidationError where one is missing or wrong."""
    kind: type[Op | UnknownOp] = KINDS.get(str(fields.get("op")), UnknownOp)
    return msgspec.convert(fields, kind)
