"""The calls that bring an episode of the soak to the micro-steps that random operands seldom reach."""

from collections.abc import Collection
from functools import cache
from typing import Final, NamedTuple

from model.compare.ordinary_calls import BACKINGS, Backing
from model.compare.sweep import calls_for, placed
from tests.model.soak_backings import AS_IT_WAS, DRIVERS, SHARED_TABLE, SOAK_BACKINGS, WATCHED


class Meeting(NamedTuple):
    """Calls that belong to some of the beginnings."""

    backings: Collection[Backing]
    lines: tuple[str, ...]
    """`{at}`, `{end}` … as in the sweep's calls."""


def _named(*words: str) -> tuple[Backing, ...]:
    """Beginnings whose names have one of these words in them."""
    return tuple(backing for backing in SOAK_BACKINGS if any(word in backing.name for word in words))


WITH_2_MIB: Final = tuple(backing for backing in SOAK_BACKINGS if backing.pages >= 512)
PRIVATE: Final = tuple(backing for backing in SOAK_BACKINGS if "buf anon private" in " ".join(backing.lines))

MEETINGS: Final = (
    Meeting(
        SOAK_BACKINGS,
        (
            *("read p0 @{at}", "write p0 @{at} 66", "write p1 @{at} 67", "fork p0 c", "read c @{at}", "exit c"),
            *("gup p0 @{at} as=r write pin", "gup p0 @{at} as=r fast-only by=dev", "put r dirty", "dma r write 9"),
            *("dma r read", "peek r", "userptr p0 @[{at}:{few}] as=u1 by=dev", "io-register p0 @[{at}:{few}] as=i1"),
            *("follow p0 @{at} as=v vcpu-map", "follow p0 @[{at}:{few}] as=v by=dev", "set-gpte p0 @{at} 1"),
            *("mirror p0 @[{at}:{few}] as=m by=dev", "dma m write 5", "put m", "grab p0 @{at} as=g by=dev"),
            *(
                "remote-read p1 p0 @{at}",
                "force-write p1 p0 @{at} 5",
                "vmsplice p0 @{at} as=s",
                "direct-read p0 @{at} 7",
            ),
            *("mlock p0 @[{at}:{few}]", "mremap p0 @[{at}:{few}] pages=4 maymove", "mremap p0 @[{at}:{end}] pages=1"),
            *("munmap p0 @[{at}:{few}]", "mprotect p0 @[{at}:{few}] r", "mprotect p0 @[{at}:{few}] rw"),
            *("madvise p0 @[{at}:{few}] dontneed", "madvise p0 @[{at}:{few}] pageout", "madvise p0 @[{at}:{few}] free"),
            *("migrate p0 @{at}", "reclaim p0 @{at}"),
        ),
    ),
    Meeting(
        PRIVATE,
        (
            *("madvise p0 buf mergeable", "ksm-scan 2", "ksm-scan 2 use-zero-pages", "madvise p0 buf unmergeable"),
            *("write p0 buf+0 65", "write p0 buf+1 65", "write p0 buf+0 0", "write p0 buf+1 0", "write p0 buf+1 66"),
        ),
    ),
    Meeting(
        WITH_2_MIB,
        (
            *("madvise p0 buf collapse", "munmap p0 @[{at}:{few}]", "madvise p0 buf+511 pageout", "write p0 buf+511 3"),
            *("mprotect p0 buf+3 r", "mprotect p0 buf r", "mprotect p0 buf rw", "madvise p0 buf nohugepage"),
            *(
                "mremap p0 buf pages=512 to=2048 maymove",
                "mremap p0 buf pages=512 to=2049 maymove",
                "gup p0 buf as=r pin",
            ),
            *("truncate f 100", "punch f 1 3", "punch f 0 512", "truncate f 512", "pwrite f 3 9", "write p0 buf+1 66"),
            *(
                "mmap p1 also memfd:f shared rw 512 at=1024",
                "write p1 also+2 7",
                "madvise p1 also collapse",
                "fork p0 c",
            ),
        ),
    ),
    Meeting(
        WATCHED,
        (
            *("uffdio-copy p0 buf u from+0", "uffdio-copy p0 buf+0 u from+0", "uffdio-copy p0 buf u from+0 wp"),
            *("uffdio-zeropage p0 buf+0 u", "uffdio-zeropage p0 buf u", "uffdio-move p0 buf+0 u from+0"),
            *("uffdio-move p0 buf u from", "uffdio-continue p0 buf+0 u", "uffdio-continue p0 buf u wp"),
            *("uffdio-poison p0 buf+0 u", "uffdio-wake p0 buf u", "uffdio-writeprotect p0 buf u wp"),
            *("uffdio-writeprotect p0 buf u", "uffdio-unregister p0 buf u", "uffdio-register p0 buf u missing wp"),
            *(
                "uffd-close p0 u",
                "madvise p0 from pageout",
                "write p0 from+0 4",
                "madvise p0 buf dontneed",
                "fork p0 c",
                "uffd-read p0 u",
            ),
            *("madvise p0 from collapse", "read p0 from+0", "punch f 0 1", "mremap p0 buf pages=2 to=64 maymove"),
        ),
    ),
    Meeting(
        _named("to be moved"),
        (
            *("uffdio-move p0 buf+0 u from+0", "uffdio-move p0 buf u from", "madvise p0 from pageout"),
            *("write p0 from+0 4", "madvise p0 from collapse", "madvise p0 buf dontneed", "reclaim p0 from+0"),
        ),
    ),
    Meeting(
        _named("hugetlb, missing"),
        ("uffdio-copy p0 buf u from", "madvise p0 from dontneed", "write p0 from+0 6", "uffd-close p0 u"),
    ),
    Meeting(
        _named("memfd, to be collapsed"),
        (
            *("madvise p0 buf collapse", "mmap p1 also memfd:f shared rw 512 at=1024", "write p1 also+2 7"),
            *("madvise p1 also nohugepage", "madvise p1 also hugepage", "madvise p1 also collapse", "read p1 also+1"),
        ),
    ),
    Meeting(
        _named("video memory, full"),
        ("bo n 4 in=vram", "bo n 2 in=vram", "destroy n", "move b gtt", "evict b", "write p0 @{at} 5"),
    ),
    Meeting(
        AS_IT_WAS,
        (
            *("set-gpte p0 @{at} 1", "userptr p0 @[{at}:{few}] as=u1 by=dev", "put u1", "gup p0 @{at} as=r fast-only"),
            *("mremap p0 buf pages=2 to=64 maymove", "mremap p0 @64 pages=2 to=16 maymove", "truncate f 0"),
            *("madvise p0 buf dontneed", "write p0 @64 3", "punch f 0 1", "write p0 @{at} 4"),
        ),
    ),
    Meeting(
        _named("hugetlb"),
        (
            *("gup p0 buf+0 as=r write pin", "fork p0 c", "write c buf+0 5", "write p0 buf+0 6", "exit c", "put r"),
            *(
                "mmap p1 more hugetlb private rw 512 at=512",
                "write p1 more 5",
                "madvise p0 buf dontneed",
                "migrate p0 buf+0",
            ),
            *(
                "punch f 0 512",
                "truncate f 0",
                "truncate f 512",
                "munmap p0 buf",
                "mremap p0 buf pages=512 to=2048 maymove",
            ),
            *(
                "mmap p1 also memfd:f shared rw 512 at=512",
                "write p1 also+0 7",
                "mmap p1 mine memfd:f private rw 512 at=1024",
            ),
            "write p1 mine+0 8",
        ),
    ),
    Meeting(
        (SHARED_TABLE,),
        (
            *(
                "read p1 also",
                "write p1 also 5",
                "write p1 also+512 5",
                "write p0 buf+512 6",
                "madvise p0 @[{at}:262656] dontneed",
            ),
            *(
                "munmap p1 also",
                "mprotect p1 also r",
                "gup p0 buf+0 as=r write fast-only",
                "punch f 0 512",
                "truncate f 0",
            ),
            *("mremap p1 also pages=262144 to=1048576 maymove", "exit p1", "fork p1 c"),
        ),
    ),
    Meeting(
        (*DRIVERS, *(backing for backing in BACKINGS if backing.owner in ("buffer", "borrowed"))),
        (
            *("evict b", "move b vram", "move b gtt", "invalidate b", "destroy b", "export b as=d", "attach d dev"),
            *("attach d dev dynamic", "map d dev as=i", "dma i write 75", "dma i read", "unmap i", "detach d dev"),
            *("gpu-map b dev as=gm", "dma gm write 3", "gpu-unmap gm", "bo n 4 in=vram", "bo n 1 in=gtt exporter=vgem"),
            *(
                "mmap p1 other dmabuf:d shared rw 1",
                "write p1 other 3",
                "munmap p0 buf",
                "mmap p0 again bo:b shared rw 1 at=64",
            ),
            "destroy n",
        ),
    ),
    Meeting(
        _named("memfd", "ext4", "DAX"),
        (
            *("truncate f 0", "truncate f 2", "punch f 0 1", "pwrite f 0 9", "pread f 0", "fsync f", "msync p0 buf"),
            *(
                "pipe q",
                "pipe-write q 3",
                "splice f 0 q",
                "pipe-read q",
                "put q",
                "mmap p1 also memfd:f shared rw 1 at=16",
            ),
            *(
                "mmap p1 also file:f private rw 1 at=16",
                "mmap p1 also dax:f shared rw 1 at=16",
                "madvise p0 buf remove",
            ),
        ),
    ),
)


@cache
def calls_on(backing: Backing, kernel: str) -> tuple[tuple[str, ...], ...]:
    """The commands of the calls that such a mapping can meet: of the sweep, set-up included, and of each meeting.

    They come in groups, so that the few that belong to a beginning alone are drawn as often as the many of every one.
    """
    ordinary = [line for call in calls_for(backing, kernel) for line in (*call.setup, *call.lines)]
    groups = [ordinary, *(meeting.lines for meeting in MEETINGS if backing in meeting.backings)]
    return tuple(tuple(dict.fromkeys(placed(backing, lines))) for lines in groups)
