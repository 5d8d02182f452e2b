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
    collapses: bool = False
    """It covers 2 MiB, and MADV_COLLAPSE makes one huge page of what is there."""
    at: int = 16
    """The page where `buf` begins."""
    pages: int = 1
    touch: tuple[str, ...] = ("write p0 buf+0 65",)
    """What brings the pages in, and where they are then."""
    settings: tuple[str, ...] = ()
    device: bool = False
    """It belongs to the device `dev`."""
    needs: str = ""
    """A fact: kernels on which it does not hold have no such mapping."""
    handled: bool = False
    """It is registered with userfaultfd `u`, which answers by SIGBUS. Each pair that is tried has one of its calls."""
    lends_pages: bool = False
    """get_user_pages() gets its pages, and its driver gives them away all the same when it moves the buffer. What uses
    GUP is not tried there: the fault is the driver's, and the subject of `ptescope compare`.
    """

    @property
    def private(self) -> bool:
        """It is mapped MAP_PRIVATE."""
        return any("private" in line.split() for line in self.lines if line.startswith("mmap p0 buf "))


class OrdinaryCall(NamedTuple):
    """Something that a process, the mm or an owner does with `buf`, under the name that tables show.

    `{at}`, `{end}`, `{few}`, `{pages}` and `{to}` stand for the mapping's first page, the page behind it, the end of
    its first two pages, its length, and free address space.
    """

    name: str
    lines: tuple[str, ...]
    """The call, and what somebody does with its result afterwards."""
    owner: tuple[Owner, ...] | None = None
    """The owners who can do it; None: it is done through the process, whatever is mapped."""
    setup: tuple[str, ...] = ()
    """What must have been done before."""
    only_moving: bool = False
    only_collapsing: bool = False
    handler: bool = False
    """Whoever handles the page faults does it, through userfaultfd."""
    child: bool = False
    """A child `k` that was forked before does it."""
    device: bool = False
    stranger: bool = False
    """A second process does it."""
    gup: bool = False
    """It gets references through get_user_pages()."""
    keeps: bool = False
    """It keeps what it gets. Whoever unmaps the page, or takes it out of its file, parts the two: only calls that a pin
    must survive are tried beside it."""
    survived: bool = False
    """A pin survives it."""
    once: bool = False
    """It can happen once: it does not meet itself."""
    entangled: bool = False
    """It does so much at once that it is tried in threes as well."""
    unless: str = ""
    """A fact: where it holds for a kernel the call is another one, with other promises."""


def _buffer(exporter: str, *, moves: bool = False, lends_pages: bool = False) -> Backing:
    lines = (f"bo b 1 in=gtt exporter={exporter}", "mmap p0 buf bo:b shared rw 1 at=16")
    return Backing(exporter, lines, "buffer", moves, lends_pages=lends_pages)


def _file(name: str, made: str, backing: str, share: str = "shared", touch: tuple[str, ...] = ()) -> Backing:
    lines = (made, f"mmap p0 buf {backing}:f {share} rw 1 at=16")
    return Backing(name, lines, "file", touch=touch or (TOUCH,))


def _private(name: str, *touch: str, settings: tuple[str, ...] = ()) -> Backing:
    return Backing(name, (ANONYMOUS,), touch=(TOUCH, *touch), settings=settings)


def _special(kind: str, share: str = "shared", prot: str = "rw", touch: str = "") -> Backing:
    return Backing(kind, (f"mmap p0 buf {kind} {share} {prot} 1 at=16",), touch=(touch or TOUCH,))


def _hugetlb(name: str, *lines: str, owner: Owner = "", touch: tuple[str, ...] = ()) -> Backing:
    """A page of 2 MiB from a pool of four."""
    touched = (TOUCH, *touch)
    return Backing(name, lines, owner, at=512, pages=512, touch=touched, settings=("set hugetlb 4",))


def _collapsing(name: str, made: str, mapped: str, *touch: str, owner: Owner = "") -> Backing:
    """2 MiB of small pages, or what is made of them."""
    lines = (made, mapped) if made else (mapped,)
    return Backing(name, lines, owner, collapses=True, at=512, pages=512, touch=(TOUCH, *touch))


def _handled(name: str, *lines: str, modes: str, owner: Owner = "", protected: bool = False) -> Backing:
    """A page that is registered, another one to fill it from, and a registered one that is empty."""
    setup = (*lines, "mmap p0 src anon private rw 1 at=48", "mmap p0 dst anon private rw 1 at=52")
    registered = (f"uffdio-register p0 buf u {modes}", "uffdio-register p0 dst u missing")
    protect = ("uffdio-writeprotect p0 buf u wp",) if protected else ()
    touch = (TOUCH, "write p0 src 90", "userfaultfd p0 u sigbus", *registered, *protect)
    return Backing(name, setup, owner, touch=touch, handled=True)


TOUCH: Final = "write p0 buf+0 65"
LOOK: Final = "read p0 buf+0"
ANONYMOUS: Final = "mmap p0 buf anon private rw 1 at=16"
FORK: Final = "fork p0 k"
LARGE: Final = "mmap p0 buf anon private rw 512 at=512"
COLLAPSE: Final = "madvise p0 buf collapse"
HUGETLB: Final = "mmap p0 buf hugetlb private rw 512 at=512"
READ: Final = ("pwrite f 0 65", LOOK)
EMPTIED: Final = "madvise p0 @[{at}:{end}] dontneed"

BACKINGS: Final = (
    _private("anonymous"),
    Backing("anonymous, zero page", (ANONYMOUS,), touch=(LOOK,)),
    _private("anonymous, forked", FORK),
    _private("anonymous, swapped out", "madvise p0 buf pageout"),
    _private("anonymous, swapped to a file", "madvise p0 buf pageout", settings=("set swap file",)),
    _private("anonymous, swapped and forked", "madvise p0 buf pageout", FORK),
    _private("anonymous, given up", "madvise p0 buf free"),
    Backing(
        "anonymous, merged",
        ("mmap p0 buf anon private rw 2 at=16", "madvise p0 buf mergeable"),
        pages=2,
        touch=("write p0 buf+0 65", "write p0 buf+1 65", "ksm-scan 2"),
    ),
    Backing("shared anonymous", ("mmap p0 buf devzero shared rw 1 at=16",)),
    Backing("secretmem", ("mmap p0 buf secretmem shared rw 1 at=16",)),
    _file("memfd", "memfd f 1", "memfd"),
    _file("memfd, forked", "memfd f 1", "memfd", touch=(TOUCH, FORK)),
    _file("memfd, private", "memfd f 1", "memfd", "private"),
    _file("memfd, private and forked", "memfd f 1", "memfd", "private", (TOUCH, FORK)),
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
    _collapsing("anonymous, 2 MiB", "", LARGE),
    _collapsing("anonymous, 2 MiB, forked", "", LARGE, FORK),
    _collapsing("anonymous, huge", "", LARGE, COLLAPSE),
    _collapsing("anonymous, huge and forked", "", LARGE, COLLAPSE, FORK),
    _collapsing("memfd, 2 MiB", "memfd f 512", "mmap p0 buf memfd:f shared rw 512 at=512", owner="file"),
    _collapsing("memfd, huge", "memfd f 512", "mmap p0 buf memfd:f shared rw 512 at=512", COLLAPSE, owner="file"),
    _hugetlb("hugetlb", HUGETLB),
    _hugetlb("hugetlb, forked", HUGETLB, touch=(FORK,)),
    _hugetlb("hugetlb, memfd", "memfd f 512 hugetlb", "mmap p0 buf memfd:f shared rw 512 at=512", owner="file"),
    _hugetlb(
        "hugetlb, memfd and private",
        "memfd f 512 hugetlb",
        "mmap p0 buf memfd:f private rw 512 at=512",
        owner="file",
    ),
    _handled("anonymous, registered", ANONYMOUS, modes="missing wp"),
    _handled("anonymous, write-protected", ANONYMOUS, modes="wp", protected=True),
    _handled("memfd, registered", "memfd f 1", "mmap p0 buf memfd:f shared rw 1 at=16", modes="minor wp", owner="file"),
    _special("perf"),
    _special("packet"),
    Backing("io_uring", ("mmap p0 buf io_uring shared rw 1",)),
    _special("kvm_vcpu"),
    _special("guest_memfd")._replace(needs="guest_memfd can be mapped"),
    _special("vvar", "private", "r", LOOK),
    _special("devmem"),
    Backing("bar", ("mmap p0 buf bar:dev shared rw 1 at=16",), device=True),
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
    OrdinaryCall(
        "mremap dontunmap", ("mremap p0 @[{at}:{end}] pages={pages} to={to} maymove dontunmap", "write p0 @{to} 67")
    ),
    OrdinaryCall("mprotect r", ("mprotect p0 @[{at}:{end}] r",), survived=True),
    OrdinaryCall("mprotect none", ("mprotect p0 @[{at}:{end}] none",), survived=True),
    OrdinaryCall("mprotect rw", ("mprotect p0 @[{at}:{end}] rw",), survived=True),
    OrdinaryCall("madvise dontneed", ("madvise p0 @[{at}:{end}] dontneed",), entangled=True),
    OrdinaryCall("madvise free", ("madvise p0 @[{at}:{end}] free",), survived=True),
    OrdinaryCall("madvise remove", ("madvise p0 @[{at}:{end}] remove",)),
    OrdinaryCall("madvise cold", ("madvise p0 @[{at}:{few}] cold",), survived=True),
    OrdinaryCall("madvise pageout", ("madvise p0 @[{at}:{few}] pageout",), survived=True),
    OrdinaryCall("madvise populate_write", ("madvise p0 @[{at}:{few}] populate_write",), survived=True),
    OrdinaryCall("madvise mergeable", ("madvise p0 @[{at}:{end}] mergeable", "ksm-scan"), survived=True),
    OrdinaryCall("madvise unmergeable", ("madvise p0 @[{at}:{end}] unmergeable",), survived=True),
    OrdinaryCall(
        "madvise collapse", ("madvise p0 @[{at}:{end}] collapse",), only_collapsing=True, entangled=True, survived=True
    ),
    OrdinaryCall("mlock", ("mlock p0 @[{at}:{few}]",), survived=True),
    OrdinaryCall("munlock", ("munlock p0 @[{at}:{few}]",), survived=True),
    OrdinaryCall("msync", ("msync p0 @[{at}:{end}]",), survived=True),
    OrdinaryCall("fork", ("fork p0 c", "write c @{at} 68"), entangled=True, survived=True),
    OrdinaryCall("wipeonfork, fork", ("madvise p0 @[{at}:{end}] wipeonfork", "fork p0 d", "write d @{at} 77")),
    OrdinaryCall("exit", ("exit p0",), once=True, entangled=True),
    # by its child
    OrdinaryCall("child writes", ("write k @{at} 80",), child=True, survived=True),
    OrdinaryCall("child unmaps", ("munmap k @[{at}:{end}]",), child=True, survived=True),
    OrdinaryCall("child exits", ("exit k",), child=True, once=True, survived=True),
    # by whoever handles its page faults
    OrdinaryCall("uffd copy", (EMPTIED, "uffdio-copy p0 @[{at}:{end}] u @48"), handler=True),
    OrdinaryCall("uffd zeropage", (EMPTIED, "uffdio-zeropage p0 @[{at}:{end}] u"), handler=True),
    OrdinaryCall("uffd move in", (EMPTIED, "uffdio-move p0 @[{at}:{end}] u @48"), handler=True),
    OrdinaryCall("uffd move out", ("uffdio-move p0 @52 u @{at}",), handler=True),
    OrdinaryCall("uffd continue", (EMPTIED, "uffdio-continue p0 @[{at}:{end}] u"), ("file",), handler=True),
    OrdinaryCall("uffd protect", ("uffdio-writeprotect p0 @[{at}:{end}] u wp",), handler=True, survived=True),
    OrdinaryCall("uffd lift", ("uffdio-writeprotect p0 @[{at}:{end}] u",), handler=True, survived=True),
    OrdinaryCall("uffd unregister", ("uffdio-unregister p0 @[{at}:{end}] u",), handler=True, survived=True),
    # by others, to the process
    OrdinaryCall("remote-read", ("remote-read p1 p0 @{at}",), stranger=True, gup=True, survived=True),
    OrdinaryCall("remote-write", ("remote-write p1 p0 @{at} 69",), stranger=True, gup=True, survived=True),
    OrdinaryCall("force-write", ("force-write p1 p0 @{at} 70",), stranger=True, gup=True, survived=True),
    OrdinaryCall("migrate", ("migrate p0 @{at}",), entangled=True, survived=True),
    OrdinaryCall("reclaim", ("reclaim p0 @{at}",), entangled=True, survived=True),
    OrdinaryCall("ksm-scan", ("ksm-scan 2",), entangled=True, survived=True),
    OrdinaryCall("mirror", ("mirror p0 @{at} as=r by=dev", "dma r write 71"), device=True, survived=True),
    OrdinaryCall(
        "guest",
        ("follow p0 @{at} as=v by=dev", "dma v write 74"),
        device=True,
        gup=True,
        survived=True,
        unless="KVM takes references on PFN mappings",
    ),
    OrdinaryCall("pin", ("gup p0 @{at} as=q write pin by=dev", "dma q write 73"), device=True, gup=True, keeps=True),
    OrdinaryCall("direct-read", ("direct-read p0 @{at} 78",), gup=True, keeps=True),
    OrdinaryCall("direct-write", ("direct-write p0 @{at}",), gup=True, keeps=True),
    # What a pipe has may be older than what the program has written since (vmsplice(2)): nobody reads it here.
    OrdinaryCall("vmsplice", ("vmsplice p0 @{at} as=s", "put s"), gup=True, keeps=True),
    # by the owner of what is mapped
    OrdinaryCall("truncate", ("truncate f 0",), ("file", "borrowed"), entangled=True),
    OrdinaryCall("truncate, grow", ("truncate f 0", "truncate f {pages}"), ("file", "borrowed")),
    OrdinaryCall("punch", ("punch f 0 {pages}",), ("file", "borrowed")),
    OrdinaryCall("pwrite", ("pwrite f 0 72",), ("file", "borrowed"), survived=True),
    OrdinaryCall("pread", ("pread f 0",), ("file", "borrowed"), survived=True),
    OrdinaryCall("fsync", ("fsync f",), ("file", "borrowed"), survived=True),
    OrdinaryCall("move", ("move b vram", "move b gtt"), ("buffer",), only_moving=True, entangled=True),
    OrdinaryCall("evict", ("evict b",), ("buffer",)),
    OrdinaryCall("invalidate", ("invalidate b",), ("buffer", "borrowed")),
    OrdinaryCall("destroy", ("destroy b",), ("buffer", "borrowed")),
    OrdinaryCall(
        "import",
        ("map d dev as=i", "dma i write 75", "unmap i"),
        ("buffer", "borrowed"),
        ("export b as=d", "attach d dev"),
        device=True,
    ),
    OrdinaryCall(
        "import, dynamic",
        ("map d dev as=i", "dma i write 76", "unmap i"),
        ("buffer", "borrowed"),
        ("export b as=d", "attach d dev dynamic"),
        device=True,
    ),
)
"""GUP with what may part a page from its mapping is left out: that is the subject of `ptescope compare`."""
