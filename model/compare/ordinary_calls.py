"""What `ptescope sweep` tries: every ordinary call and every backing, each declared once.

None of these calls is a mistake, and none of these mappings is made by a driver with a bug. So whatever corrupts
memory when two of them meet is a fault of the kernel, or of this model of it.
"""

from typing import Final, Literal, NamedTuple

Owner = Literal["", "file", "buffer", "borrowed"]
"""Who can take the pages away besides the mm: nobody, whoever has the file open, the buffer's driver, or both (the
pages of a memfd that a udmabuf lends)."""


class Backing(NamedTuple):
    """A mapping `buf` in p0, and what lies behind it: file `f` or buffer `b`."""

    name: str
    lines: tuple[str, ...]
    """What sets it up."""
    owner: Owner = ""
    moves: bool = False
    """The driver can move the buffer to video memory."""
    at: int = 16
    """The page where `buf` begins."""
    pages: int = 1
    touch: tuple[str, ...] = ("write p0 buf+0 65",)
    """What brings the pages in."""
    settings: tuple[str, ...] = ()
    lends_pages: bool = False
    """get_user_pages() gets its pages, and its driver gives them away all the same when it moves the buffer. What uses
    GUP is not tried there: the fault is the driver's, and the subject of `ptescope compare`.
    """


class OrdinaryCall(NamedTuple):
    """Something that a process, the mm or an owner does with `buf`, under the name that tables show.

    `{at}`, `{end}`, `{pages}` and `{to}` stand for the mapping's first page, the page behind it, its length, and free
    address space.
    """

    name: str
    lines: tuple[str, ...]
    """The call, and what somebody does with its result afterwards."""
    owner: tuple[Owner, ...] | None = None
    """The owners who can do it; None: it is done through the process, whatever is mapped."""
    only_moving: bool = False
    device: bool = False
    stranger: bool = False
    """A second process does it."""
    gup: bool = False
    """It gets references through get_user_pages()."""
    once: bool = False
    """It can happen once: it does not meet itself."""
    entangled: bool = False
    """It does so much at once that it is tried in threes as well."""


def _buffer(exporter: str, *, moves: bool = False, lends_pages: bool = False) -> Backing:
    lines = (f"bo b 1 in=gtt exporter={exporter}", "mmap p0 buf bo:b shared rw 1 at=16")
    return Backing(exporter, lines, "buffer", moves, lends_pages=lends_pages)


def _file(name: str, made: str, backing: str, share: str = "shared", touch: tuple[str, ...] = ()) -> Backing:
    lines = (made, f"mmap p0 buf {backing}:f {share} rw 1 at=16")
    return Backing(name, lines, "file", touch=touch or ("write p0 buf+0 65",))


READ: Final = ("pwrite f 0 65", "read p0 buf+0")

BACKINGS: Final = (
    Backing("anonymous", ("mmap p0 buf anon private rw 1 at=16",)),
    Backing("shared anonymous", ("mmap p0 buf devzero shared rw 1 at=16",)),
    Backing("secretmem", ("mmap p0 buf secretmem shared rw 1 at=16",)),
    _file("memfd", "memfd f 1", "memfd"),
    _file("memfd, private", "memfd f 1", "memfd", "private"),
    _file("ext4", "diskfile f 1", "file"),
    _file("ext4, clean", "diskfile f 1", "file", touch=READ),
    _file("ext4, private", "diskfile f 1", "file", "private"),
    _file("ext4, private and clean", "diskfile f 1", "file", "private", READ),
    _file("DAX", "dax f 1", "dax"),
    _file("DAX, private", "dax f 1", "dax", "private"),
    _buffer("qxl", moves=True),
    _buffer("vgem"),
    _buffer("system-heap"),
    _buffer("i915-shmem"),
    _buffer("insert-page", moves=True, lends_pages=True),
    _buffer("mixed", moves=True),
    Backing(
        "ttm-huge",
        ("bo b 512 in=gtt exporter=ttm-huge", "mmap p0 buf bo:b shared rw 512 at=512"),
        "buffer",
        moves=True,
        at=512,
        pages=512,
        settings=("set vram 1024",),
    ),
    Backing(
        "udmabuf",
        ("memfd f 1", "seal f shrink", "bo b 1 exporter=udmabuf memfd=f", "mmap p0 buf bo:b shared rw 1 at=16"),
        "borrowed",
    ),
)

CALLS: Final = (
    # by the process
    OrdinaryCall("munmap", ("munmap p0 @[{at}:{end}]",), entangled=True),
    OrdinaryCall("mmap fixed", ("mmap p0 over anon private rw {pages} at={at} fixed",)),
    OrdinaryCall(
        "mremap", ("mremap p0 @[{at}:{end}] pages={pages} to={to} maymove", "write p0 @{to} 67"), entangled=True
    ),
    OrdinaryCall("mprotect r", ("mprotect p0 @[{at}:{end}] r",)),
    OrdinaryCall("mprotect none", ("mprotect p0 @[{at}:{end}] none",)),
    OrdinaryCall("madvise dontneed", ("madvise p0 @[{at}:{end}] dontneed",), entangled=True),
    OrdinaryCall("madvise free", ("madvise p0 @[{at}:{end}] free",)),
    OrdinaryCall("madvise remove", ("madvise p0 @[{at}:{end}] remove",)),
    OrdinaryCall("madvise cold", ("madvise p0 @[{at}:{end}] cold",)),
    OrdinaryCall("madvise pageout", ("madvise p0 @[{at}:{end}] pageout",)),
    OrdinaryCall("madvise populate_write", ("madvise p0 @[{at}:{end}] populate_write",)),
    OrdinaryCall("mlock", ("mlock p0 @[{at}:{end}]",)),
    OrdinaryCall("msync", ("msync p0 @[{at}:{end}]",)),
    OrdinaryCall("fork", ("fork p0 c", "write c @{at} 68"), entangled=True),
    OrdinaryCall("exit", ("exit p0",), once=True, entangled=True),
    # by others, to the process
    OrdinaryCall("remote-read", ("remote-read p1 p0 @{at}",), stranger=True, gup=True),
    OrdinaryCall("remote-write", ("remote-write p1 p0 @{at} 69",), stranger=True, gup=True),
    OrdinaryCall("force-write", ("force-write p1 p0 @{at} 70",), stranger=True, gup=True),
    OrdinaryCall("migrate", ("migrate p0 @{at}",), entangled=True),
    OrdinaryCall("reclaim", ("reclaim p0 @{at}",), entangled=True),
    OrdinaryCall("mirror", ("mirror p0 @{at} as=r by=dev", "dma r write 71"), device=True),
    # by the owner of what is mapped
    OrdinaryCall("truncate", ("truncate f 0",), ("file", "borrowed"), entangled=True),
    OrdinaryCall("punch", ("punch f 0 1",), ("file", "borrowed")),
    OrdinaryCall("pwrite", ("pwrite f 0 72",), ("file", "borrowed")),
    OrdinaryCall("pread", ("pread f 0",), ("file", "borrowed")),
    OrdinaryCall("fsync", ("fsync f",), ("file", "borrowed")),
    OrdinaryCall("move", ("move b vram", "move b gtt"), ("buffer",), only_moving=True, entangled=True),
    OrdinaryCall("evict", ("evict b",), ("buffer",)),
    OrdinaryCall("invalidate", ("invalidate b",), ("buffer", "borrowed")),
    OrdinaryCall("destroy", ("destroy b",), ("buffer", "borrowed")),
)
"""GUP and what keeps its pages are left out: what they do to mappings is the subject of `ptescope compare`."""
