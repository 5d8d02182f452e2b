"""Every kind of exporter: its VMA flags, its entries, what every system call does to them, how it moves.

Beyond what the recorded matrix and the recorded moves show (test_dma_buf_truth, test_moves): exporters that are not in
it, placements, eviction, swap, and what the pool does with the pages.
"""

from typing import Final, NamedTuple

import pytest

from model.kernel.arch.pgtable import PMD
from model.memory.buffer_records import Buffer
from model.memory.events import Splat
from model.memory.flags import smaps_codes
from model.memory.records import Pte
from model.text.problems import ScriptError
from tests.model.play import Play


class Buffers(Play):
    """A machine with a device and two processes, for buffers in system memory and VRAM."""

    def __init__(self, text: str, kernel: str = "6.12", vram: int = 16, pmd_special: str = "kernel") -> None:
        settings = f"set kernel {kernel}\nset vram {vram}\nset pmd-special {pmd_special}"
        super().__init__(f"{settings}\ndevice dev\nprocess p0\nprocess p9", text)

    def tried(self, text: str) -> str:
        """What a command would answer, on a machine of its own."""
        return str(self.try_out(text))

    def entry(self, process: str = "p0", label: str = "m", page: int = 0) -> Pte | None:
        """The entry of a page of a mapping."""
        vpn = self.state.labels[process, label].start + page
        pmd = self.state.tables.get((process, PMD, vpn >> 9))
        return pmd if pmd is not None and pmd.huge else self.state.ptes.get((process, vpn))

    def pfn(self, process: str = "p0", label: str = "m") -> int:
        """The frame that the first page of a mapping leads to."""
        entry = self.entry(process, label)
        assert entry is not None
        return entry.pfn

    def buffer(self, name: str = "b") -> Buffer:
        """A buffer object."""
        return self.state.buffers[name]


class Kind(NamedTuple):
    """What is expected of an exporter's mapping in system memory (kernel-facts B, J.3, K; thread)."""

    codes: str
    special: bool
    counts: tuple[int, int]
    """refcount and mapcount of the page when it is mapped once."""
    fast: str
    slow: str
    private: tuple[str, str]
    """mmap of one page and of two pages, MAP_PRIVATE."""
    mem: str
    """A write through /proc/PID/mem."""
    grow: str = "error EFAULT"
    dontneed: str = "error EINVAL"
    child: bool = True
    """A child of fork has the entry at once."""


NO: Final = ("error EINVAL", "error EINVAL")
TTM: Final = Kind("pf io de dd", True, (1, 0), "error EFAULT", "error EFAULT", NO, "ok")
GEM: Final = Kind("pf de dd", True, (1, 0), "error EFAULT", "error EFAULT", NO, "error EIO")
ORDINARY: Final = Kind("", False, (2, 1), "ok", "ok", NO, "ok", "ok", "ok", child=False)

KINDS: Final[dict[tuple[str, str], Kind]] = {
    **{("6.1", kind): TTM for kind in ("qxl", "bochs", "no-zap", "no-flush")},
    **{("7.3", kind): TTM for kind in ("qxl", "no-zap", "no-flush")},
    **{("6.1", kind): GEM for kind in ("vgem", "virtio-gpu", "cirrus")},
    **{("7.3", kind): GEM for kind in ("vgem", "virtio-gpu", "cirrus", "bochs")},
    ("6.12", "bochs"): TTM,
    ("6.12", "system-heap"): TTM._replace(private=("ok", "error EINVAL"), mem="error EIO"),
    ("6.1", "udmabuf"): ORDINARY._replace(counts=(3, 1)),
    ("6.12", "udmabuf"): GEM._replace(counts=(1025, 0)),
    ("7.3", "udmabuf"): GEM._replace(counts=(1025, 0)),
    ("6.1", "i915-shmem"): ORDINARY._replace(private=("ok", "ok")),
    ("7.3", "i915-shmem"): ORDINARY._replace(private=("ok", "ok")),
    ("6.12", "insert-page"): Kind("de dd mm", False, (2, 1), "ok", "ok", NO, "ok", grow="error EFAULT", dontneed="ok"),
    ("6.12", "mixed"): Kind("de dd mm", True, (1, 0), "error EEXIST", "error EEXIST", NO, "error EIO", dontneed="ok"),
}


def mapped(kernel: str, exporter: str) -> Buffers:
    """A buffer of two pages of that driver, mapped, written and read."""
    udmabuf = exporter == "udmabuf"
    memfd = ("memfd f 2\nseal f shrink\n", " memfd=f") if udmabuf else ("", "")
    text = f"{memfd[0]}bo b 2 exporter={exporter}{memfd[1]}\nmmap p0 m bo:b shared rw 2\nwrite p0 m 65\nread p0 m"
    return Buffers(text, kernel)


@pytest.mark.parametrize(("kernel", "exporter"), sorted(KINDS))
def test_the_mapping_of_every_exporter(kernel: str, exporter: str) -> None:
    wanted = KINDS[kernel, exporter]
    play = mapped(kernel, exporter)
    vma = play.state.vmas["p0", play.state.labels["p0", "m"].start]
    codes = " ".join(code for code in smaps_codes(vma.flags) if code in {"pf", "io", "mm", "de", "dd"})
    entry = play.entry()
    assert entry is not None
    assert (codes, entry.special) == (wanted.codes, wanted.special)
    frame = play.frame(entry.pfn)
    assert (frame.refcount, frame.mapcount) == wanted.counts
    assert play.tried("gup p0 m+0 as=r write") == wanted.fast
    assert play.tried("gup p0 m+0 as=r write slow") == wanted.slow
    private = tuple(play.tried(f"mmap p9 x bo:b private rw {pages}").partition(" 1")[0] for pages in (1, 2))
    assert private == wanted.private
    assert play.tried("force-write p9 p0 m 66") == wanted.mem
    assert play.tried("mremap p0 m pages=4 maymove").split(" 1")[0].split(" 2")[0] == wanted.grow
    assert play.tried("mremap p0 m pages=2 maymove to=900") == "ok 900"
    assert play.tried("madvise p0 m dontneed") == wanted.dontneed
    play.do("fork p0 c")
    assert (play.entry("c") is not None) == wanted.child
    assert play.do("write c m 7") == "ok"
    assert play.do("read p0 m") == "ok 7"
    assert play.do("munmap p0 m\nexit c\ndestroy b") == "ok"
    assert "b" not in play.state.buffers
    assert play.broken() <= {"unguarded-reference"}


# -- moves -------------------------------------------------------------------------------------


@pytest.mark.parametrize("exporter", ["qxl", "bochs", "mixed", "ttm-huge"])
def test_a_move_takes_the_entries_away_and_keeps_the_content(exporter: str) -> None:
    play = mapped("6.12", exporter)
    old = play.pfn()
    assert play.do("move b vram") == "ok"
    assert play.entry() is None
    assert play.do("read p0 m") == "ok 65"
    assert play.pfn() != old
    assert play.do("move b gtt") == "ok"
    assert play.do("read p0 m") == "ok 65"
    assert play.broken() == set()


def test_ordinary_entries_give_their_counts_back_when_the_buffer_moves() -> None:
    play = mapped("6.12", "insert-page")
    old = play.pfn()
    play.do("fork p0 c\nread c m")
    assert (play.frame(old).refcount, play.frame(old).mapcount) == (3, 2)
    play.do("invalidate b")
    assert play.entry() is None
    assert (play.frame(old).refcount, play.frame(old).mapcount) == (1, 0)
    play.do("move b vram")
    assert play.do("read p0 m") == "signal SIGBUS"  # no struct page to insert
    assert play.do("move b system\nread p0 m") == "ok 65"
    assert play.broken() == set()


def test_between_system_and_gtt_the_pages_stay() -> None:
    play = mapped("6.12", "qxl")
    frames = play.buffer().frames
    assert play.do("move b gtt") == "ok"
    assert play.buffer().frames == frames
    assert play.buffer().place == "gtt"


@pytest.mark.parametrize(("exporter", "found"), [("no-zap", {"stale-mapping"}), ("no-flush", {"stale-tlb"})])
def test_drivers_with_a_bug(exporter: str, found: set[str]) -> None:
    play = mapped("6.12", exporter)
    play.do("move b vram")
    assert (play.entry() is None) == (exporter == "no-flush")
    assert play.broken() == found
    play.do("bo c 2\nmmap p9 x bo:c shared rw 2\nwrite p9 x 83")
    assert play.do("read p0 m") == "ok 83"
    assert play.broken() == {*found, "foreign-access"}


def test_an_i915_buffer_is_swapped_out_like_shmem() -> None:
    play = mapped("6.12", "i915-shmem")
    old = play.pfn()
    assert play.do("move b vram") == "error EINVAL"
    assert play.do("evict b") == "ok"
    assert play.entry() is None
    assert play.frame(old).kind == "free"
    assert play.do("read p0 m") == "ok 65"
    # Reclaim asks for references, as the mm does everywhere: a page that is held stays.
    play.do("gup p0 m+0 as=r write by=dev")
    held = play.pfn()
    play.do("evict b")
    assert play.frame(held).kind == "file"
    assert play.do("read p0 m") == "ok 65"
    assert play.pfn() == held
    assert play.broken() == set()


def test_a_device_that_has_mapped_an_i915_buffer_keeps_its_pages() -> None:
    play = mapped("6.12", "i915-shmem")
    play.do("export b as=d\nattach d dev\nmap d dev as=i")
    held = play.state.references["i"].frames
    assert play.frame(held[0]).refcount == 3
    play.do("evict b\ndma i write 9")
    assert play.do("read p0 m") == "ok 9"
    assert play.do("unmap i\ndetach d dev\nevict b") == "ok"
    assert play.frame(held[0]).kind == "free"
    assert play.do("read p0 m") == "ok 9"
    assert play.broken() == set()


def test_the_least_recently_used_buffers_leave_vram_first() -> None:
    play = Buffers("bo a 6 in=vram\nbo b 6 in=vram\nbo c 4 in=vram\nmove a gtt\nmove a vram", vram=16)
    assert [play.buffer(name).place for name in "abc"] == ["vram", "vram", "vram"]
    play.do("bo d 8 in=vram")
    assert [play.buffer(name).place for name in "abcd"] == ["vram", "system", "system", "vram"]
    play.do("export a as=x\nattach x dev\nbo e 4 in=vram")
    assert play.buffer("a").place == "gtt"  # pinned where devices can reach it
    assert play.do("bo f 17 in=vram") == "error ENOSPC"
    assert play.broken() == set()


def test_a_buffer_is_swapped_out_and_comes_back() -> None:
    play = mapped("6.12", "qxl")
    play.do("write p0 m+1 66\nevict b")
    assert play.buffer().place == "swapped"
    assert play.buffer().frames == ()
    play.do("evict b")
    assert play.do("force-write p9 p0 m 67") == "ok"  # ->access brings it back as a fault does
    assert play.do("read p0 m") == "ok 67"
    assert play.do("read p0 m+1") == "ok 66"
    play.do("evict b\nmove b vram")
    assert play.do("read p0 m+1") == "ok 66"
    assert play.broken() == set()


# -- the pool ----------------------------------------------------------------------------------


def test_write_combined_pages_are_recycled_cleared_with_their_count_untouched() -> None:
    play = Buffers(
        "bo b 4 exporter=insert-page\nmmap p0 m bo:b shared rw 4\nwrite p0 m 65\ngup p0 m+0 as=r write by=dev"
    )
    block = play.buffer().frames
    play.do("munmap p0 m\ndestroy b")
    assert play.frame(block[0]).refcount == 2
    play.do("bo c 4")
    assert play.buffer("c").frames == block
    assert play.do("peek r") == "ok 0"
    assert play.frame(block[0]).refcount == 2


def test_cached_pages_are_really_freed() -> None:
    play = Buffers("bo b 4 caching=cached\nmmap p0 m bo:b shared rw 4\nwrite p0 m 65")
    block = play.buffer().frames
    play.do("munmap p0 m\ndestroy b")
    assert all(play.frame(pfn).kind == "free" for pfn in block)


def test_pools_of_both_kinds_of_caching_do_not_mix() -> None:
    play = Buffers("bo b 4\ndestroy b\nbo c 4 caching=cached")
    recycled = play.state.pool
    assert not set(play.buffer("c").frames) & set(recycled)


@pytest.mark.parametrize(("kernel", "reported"), [("6.1", True), ("6.12", False)])
def test_references_on_several_pages_of_a_huge_entry(kernel: str, reported: bool) -> None:
    """GUP-fast counts all of them on the first page; each put then takes one from the page that it was given."""
    play = Buffers(
        "bo b 512 exporter=ttm-huge caching=cached\nmmap p0 m bo:b shared rw 512 at=512\nwrite p0 m 65\n"
        "gup p0 m[0:4] as=r write by=dev",
        kernel=kernel,
        pmd_special="off",
    )
    first = play.pfn()
    assert [play.frame(first + page).refcount for page in range(4)] == [5, 0, 0, 0]
    play.do("put r")
    assert [play.frame(first + page).refcount for page in range(4)] == [4, -1, -1, -1]
    assert "underflow" in play.broken()
    play.do("munmap p0 m\ndestroy b")
    assert play.frame(first).refcount == 3
    splats = [event.title for account in play.accounts for event in account.events if isinstance(event, Splat)]
    bad = [title for title in splats if title.startswith("BUG: Bad page state")]
    assert len(bad) == (2 if reported else 0)  # the part of one page, and that of two
    assert play.frame(first + 511).kind == "free"


# -- what is refused ---------------------------------------------------------------------------

READY: Final = "bo b 2\nexport b as=d\nmmap p0 m bo:b shared rw 2\nwrite p0 m 65\n"


@pytest.mark.parametrize(
    ("before", "command", "answer"),
    [
        ("destroy b", "move b vram", "error ENOENT"),
        ("destroy b", "evict b", "error ENOENT"),
        ("destroy b", "invalidate b", "error ENOENT"),
        ("destroy b", "destroy b", "error ENOENT"),
        ("destroy b", "export b as=e", "error ENOENT"),
        ("destroy b", "mmap p0 n bo:b shared rw 2", "error EBADF"),
        ("destroy b", "mmap p0 n dmabuf:d shared rw 2", "error ENOENT"),
        ("destroy b", "attach d dev", "error ENOENT"),
        ("", "mmap p0 n dmabuf:d shared rw 4", "error EINVAL"),
        ("", "mmap p0 n dmabuf:d shared rw 2 offset=1", "error EINVAL"),
        ("", "mmap p0 n bo:b shared rw 4", "error EINVAL"),
        ("", "mmap p0 n bo:b private rw 2", "error EINVAL"),
        ("", "bo x 0", "error EINVAL"),
        ("", "bo x 9999999", "error ENOMEM"),
        ("", "bo x 17 in=vram", "error ENOSPC"),
        ("", "map d dev as=i", "error ENOENT"),
        ("", "detach d dev", "error ENOENT"),
        ("attach d dev", "attach d dev", "error EBUSY"),
        ("attach d dev", "move b vram", "error EINVAL"),
        ("attach d dev", "evict b", "error EBUSY"),
        ("attach d dev\ndestroy b", "destroy b", "error ENOENT"),
        ("attach d dev\ndestroy b", "attach d dev", "error ENOENT"),
        ("attach d dev\ndestroy b", "mmap p0 n dmabuf:d shared rw 2", "error EBADF"),
        ("attach d dev\ndestroy b", "mmap p0 n bo:b shared rw 2", "error EBADF"),
        ("attach d dev\nmap d dev as=i", "detach d dev", "error EBUSY"),
        ("attach d dev\nmap d dev as=i\nunmap i", "unmap i", "error ENOENT"),
        ("attach d dev\nmap d dev as=i\nunmap i", "dma i write 1", "error ENOENT"),
        ("attach d dev\nmap d dev as=i", "dma i+2 write 1", "error EINVAL"),
        ("attach d dev\nmap d dev as=i\nmove b vram", "dma i read", "ok 65"),
        ("mmap p0 a anon private rw 1\nwrite p0 a 1\ngup p0 a as=r", "unmap r", "error ENOENT"),
        ("mmap p0 a anon private rw 1\nwrite p0 a 1\ngup p0 a as=r\nput r", "put r", "error ENOENT"),
        ("mmap p0 a anon private rw 1\nwrite p0 a 1\ngup p0 a as=r\nput r", "dma r read", "error ENOENT"),
        ("mmap p0 a anon private rw 1\nwrite p0 a 1\ngup p0 a as=r\nput r", "peek r", "error ENOENT"),
        ("gup p0 m as=r", "put r", "error ENOENT"),
        ("gup p0 m as=r", "dma r write 1", "error ENOENT"),
        ("munmap p0 m", "grab p0 @16 as=g", "error EFAULT"),
        ("move b vram\nread p0 m", "grab p0 m+0 as=g", "error EFAULT"),
        ("", "dax x 99999999", "error EFBIG"),
        ("memfd f 1\nseal f shrink", "bo u 2 exporter=udmabuf memfd=f", "error EINVAL"),
    ],
)
def test_bad_operands_get_the_kernels_answer(before: str, command: str, answer: str) -> None:
    play = Buffers(READY + before)
    assert play.do(command) == answer
    assert not play.broken() - {"unguarded-reference"}


@pytest.mark.parametrize(
    "line",
    [
        *("move nobody vram", "map nothing dev as=i", "dma r read", "unmap r", "put r", "attach d dev"),
        *("bo b 2\nbo b 2", "dax x 1\ndax x 1", "bo b 2 exporter=nvidia", "bo b 2 in=disk", "begin T cpu=2 read p0 @1"),
    ],
)
def test_a_name_that_was_never_made_or_is_taken_is_a_mistake_of_the_script(line: str) -> None:
    with pytest.raises(ScriptError, match=r"\d+:\d+: "):
        Buffers(line)


def test_a_destroyed_buffer_lives_as_long_as_it_is_mapped() -> None:
    play = Buffers(READY + "destroy b")
    assert play.do("read p0 m") == "ok 65"
    frames = play.buffer().frames
    assert play.do("munmap p0 m") == "ok"
    assert "b" not in play.state.buffers
    assert play.frame(frames[0]).mapping == "ttm_pool"


def test_a_destroyed_buffer_lives_as_long_as_somebody_imports_it() -> None:
    play = Buffers(READY + "device gpu\nattach d dev\nattach d gpu dynamic\nmap d dev as=i\ndestroy b\nmunmap p0 m")
    assert play.do("dma i read") == "ok 65"
    (frame, _) = play.buffer().frames
    play.do("unmap i")
    assert play.do("detach d dev") == "ok"
    assert play.do("move b vram") == "ok", "a driver moves what is only imported as well"
    play.do("map d gpu as=j")
    assert play.do("dma j read") == "ok 65"
    play.do("unmap j")
    assert play.do("detach d gpu") == "ok"
    assert "b" not in play.state.buffers
    assert "d" not in play.state.dma_bufs
    assert play.frame(frame).mapping == "ttm_pool"
    assert play.broken() == set()


def test_a_buffer_that_is_being_evicted_when_its_last_mapping_goes() -> None:
    play = Buffers("bo b 12 in=vram\nmmap p0 m bo:b shared rw 12\nwrite p0 m 65\ndestroy b\nbegin T bo c 12 in=vram")
    while ("dma_resv", "b") not in play.state.locks:
        play.do("step T")
    assert play.do("munmap p0 m") == "ok"
    assert play.do("finish T") == "ok"
    assert "b" not in play.state.buffers
    assert play.buffer("c").place == "vram"
    assert play.broken() == set()
