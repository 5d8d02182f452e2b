"""What an episode of the soak begins with, beside the backings of the sweep: huge pages, userfaultfd, every driver."""

from typing import Final

from model.compare.ordinary_calls import BACKINGS, Backing
from model.driver_files import library

TOUCH: Final = ("write p0 buf+0 65",)
THP: Final = ("set thp always",)
HUGE: Final = "mmap p0 buf anon private rw 512 at=512"
SOURCE: Final = "mmap p0 from anon private rw 2 at=32"
"""Pages to bring others from."""
OWN_DRIVER: Final = (
    "driver early; vma PFNMAP DONTEXPAND DONTDUMP; map at=fault insert=pfn; lock resv blocking; backing pages; "
    "op shrink:;   lock resv;   free -- early.c: shrink -- Too early.;   zap;   unlock resv; op fill:;   insert"
)


def _watched(name: str, mapping: str, modes: str, *made: str, features: str = "") -> Backing:
    """A mapping whose faults are a userfaultfd's. The first write waits for an answer, so it is begun."""
    lines = (*made, SOURCE, f"userfaultfd p0 u{features}", mapping, f"uffdio-register p0 buf u {modes}")
    return Backing(name, lines, "file" if made else "", touch=("write p0 from+0 65", "write p0 from+1 66"))


def _of_driver(driver: str) -> Backing:
    """A buffer of a driver that comes along."""
    pages, at = (512, 512) if driver == "ttm-huge" else (2, 16)
    made = f"bo b {pages} in=gtt exporter={driver}"
    memfd = ("memfd lent 2", "seal lent shrink") if driver == "udmabuf" else ()
    buffer = f"{made} memfd=lent" if memfd else made
    lines = (*memfd, buffer, "export b as=d", f"mmap p0 buf bo:b shared rw {pages} at={at}")
    return Backing(f"driver {driver}", lines, "buffer", at=at, pages=pages)


HUGE_PAGES: Final = (
    Backing("anonymous, huge", (HUGE,), at=512, pages=512, touch=TOUCH, settings=THP),
    Backing("anonymous, huge zero page", (HUGE,), at=512, pages=512, touch=("read p0 buf+0",), settings=THP),
    Backing("anonymous, huge and forked", (HUGE,), at=512, pages=512, touch=(*TOUCH, "fork p0 k"), settings=THP),
    Backing("anonymous, to be collapsed", (HUGE,), at=512, pages=512, touch=(*TOUCH, "write p0 buf+1 66")),
    Backing(
        "anonymous, huge and mergeable",
        (HUGE, "madvise p0 buf mergeable"),
        at=512,
        pages=512,
        touch=(*TOUCH, "write p0 buf+1 65"),
        settings=THP,
    ),
    Backing(
        "memfd, to be collapsed",
        ("memfd f 512", "mmap p0 buf memfd:f shared rw 512 at=512"),
        "file",
        at=512,
        pages=512,
        touch=(*TOUCH, "write p0 buf+1 66"),
    ),
)
WATCHED: Final = (
    _watched("anonymous, missing", "mmap p0 buf anon private rw 2 at=16", "missing wp"),
    _watched("anonymous, to be moved", "mmap p0 buf anon private rw 2 at=16", "missing", features=" move"),
    _watched("memfd, missing", "mmap p0 buf memfd:f shared rw 2 at=16", "missing wp", "memfd f 2"),
    _watched("memfd, minor", "mmap p0 buf memfd:f shared rw 2 at=16", "minor", "memfd f 2", "pwrite f 0 7"),
    Backing(
        "anonymous, huge, to be moved",
        (
            *("mmap p0 from anon private rw 512 at=1024", "userfaultfd p0 u move"),
            *("mmap p0 buf anon private rw 512 at=512", "uffdio-register p0 buf u missing"),
        ),
        at=512,
        pages=512,
        touch=("write p0 from+0 65",),
        settings=THP,
    ),
    Backing(
        "hugetlb, missing",
        (
            *("mmap p0 from hugetlb private rw 512 at=1024", "userfaultfd p0 u"),
            *("mmap p0 buf hugetlb private rw 512 at=512", "uffdio-register p0 buf u missing"),
        ),
        at=512,
        pages=512,
        touch=("write p0 from+0 65",),
        settings=("set hugetlb 4",),
    ),
    Backing(
        "anonymous, write-protected",
        (SOURCE, "userfaultfd p0 u wp_unpopulated", "mmap p0 buf anon private rw 2 at=16"),
        touch=(*TOUCH, "uffdio-register p0 buf u wp", "uffdio-writeprotect p0 buf u wp"),
    ),
)
"""p0 waits in a fault until a task of its own answers through `u`."""
DRIVERS: Final = (
    *map(_of_driver, library.bundled()),
    Backing(
        "a driver of one's own",
        ("bo b 2 exporter=early", "mmap p0 buf bo:b shared rw 2 at=16"),
        "buffer",
        settings=(OWN_DRIVER,),
    ),
)
"""Right ones and wrong ones: what they do to the machine is theirs, but no step of it misses its object."""
SHARED_TABLE: Final = Backing(
    "hugetlb, shared table",
    (
        "memfd f 262144 hugetlb",
        "mmap p0 buf memfd:f shared rw 262144 at=262144 noreserve",
        "mmap p1 also memfd:f shared rw 262144 at=524288 noreserve",
    ),
    "file",
    at=262144,
    pages=262144,
    touch=TOUCH,
    settings=("set hugetlb 4",),
)
"""Whoever maps the same GiB of a file may hang in one table of huge entries."""
SCARCE: Final = (
    Backing(
        "hugetlb, no page left",
        ("mmap p0 buf hugetlb private rw 512 at=512",),
        at=512,
        pages=512,
        touch=TOUCH,
        settings=("set hugetlb 1",),
    ),
    Backing(
        "video memory, full",
        ("bo b 4 in=vram", "mmap p0 buf bo:b shared rw 4 at=16"),
        "buffer",
        pages=4,
        moves=True,
        settings=("set vram 4",),
    ),
)
"""Whoever wants one more has to take it from somebody, or to go without."""
ALIKE: Final = Backing(
    "anonymous, three alike",
    ("mmap p0 buf anon private rw 3 at=16", "madvise p0 buf mergeable"),
    pages=3,
    touch=("write p0 buf+0 65", "write p0 buf+1 65", "write p0 buf+2 0"),
)
"""Pages that ksmd merges with each other, and with the zero page."""
VDSO: Final = Backing("vdso", ("mmap p0 buf vdso private rx 2 at=16",), pages=2, touch=("read p0 buf+0",))

AS_IT_WAS: Final = (
    Backing(
        "devmem, as KVM once wrote to it",
        ("mmap p0 buf devmem shared rw 1 at=16",),
        touch=TOUCH,
        settings=("set as-it-was kvm-gpte-user",),
    ),
    Backing(
        "devmem, as cameras once got it",
        ("mmap p0 buf devmem shared rw 1 at=16",),
        touch=TOUCH,
        settings=("set as-it-was v4l2-pins-only",),
    ),
    Backing(
        "anonymous, as mremap once flushed it",
        ("mmap p0 buf anon private rw 2 at=16",),
        pages=2,
        touch=TOUCH,
        settings=("set as-it-was mremap-flush",),
    ),
    Backing(
        "memfd, as mremap once locked it",
        ("memfd f 2", "mmap p0 buf memfd:f shared rw 2 at=16"),
        "file",
        pages=2,
        touch=TOUCH,
        settings=("set as-it-was mremap-rmap-lock",),
    ),
)
"""Steps that only a kernel with an old bug makes."""

SOAK_BACKINGS: Final = (*BACKINGS, *HUGE_PAGES, *WATCHED, *DRIVERS, SHARED_TABLE, *SCARCE, ALIKE, VDSO, *AS_IT_WAS)
"""An episode begins with one of these."""
HUGE_ENTRY: Final = next(backing for backing in BACKINGS if backing.name == "ttm-huge")
"""A driver's huge entry: before 6.12 nothing in it keeps GUP-fast away, which takes its pages for those of a folio."""
ANY_HARM: Final = frozenset(backing.name for backing in (*WATCHED, *DRIVERS, *AS_IT_WAS))
"""Where ordinary calls may do harm: drivers and old kernels may be wrong, and who waits for an answer may wait long."""
