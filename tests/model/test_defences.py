"""Every defence of the discussion as a setting: what it does at alloc, get, try-get, put, free, and whom it breaks."""

from collections.abc import Mapping
from typing import Final

import pytest

from model.engine.config import SETTINGS
from model.engine.procedure import Procedure, begin
from model.kernel.arch.boot import boot
from model.kernel.drivers.ttm_pool import free_frames, ttm_pool_alloc
from model.kernel.mm.page import get_page, put_page, try_get_page
from model.memory.events import Splat
from model.memory.state import State, Transaction
from model.script.parser import parse
from model.script.runner import Runner

DEFENCES: Final = ("dma-buf-check", "ttm-refcount", "page-noref", "gfp-refcount", "frozen-pages", "debug-vm",
                   "pte-special", "pmd-special", "dax-break-layouts")  # fmt: skip


def ran(text: str) -> tuple[list[str], list[str]]:
    """What each command of a script answers, and what the kernel prints."""
    runner = Runner()
    accounts = [runner.perform(command) for command in parse(text)]
    splats = [event.title for account in accounts for event in account.events if isinstance(event, Splat)]
    return [str(account.outcome) for account in accounts], splats


def last(text: str) -> str:
    """What the last command of a script answers."""
    return ran(text)[0][-1]


NONE: Final[Mapping[str, str]] = {}
DEBUG: Final[Mapping[str, str]] = {"debug-vm": "on"}


class Page:
    """One page of a driver, on a machine with some defence."""

    def __init__(self, settings: Mapping[str, str] = NONE, caching: str = "wc", pages: int = 1) -> None:
        self.state: State = boot(settings={"kernel": "6.1", **settings})
        self.caching = caching
        self.splats: list[str] = []
        tx = self.transaction()
        frames = ttm_pool_alloc(tx, "b", pages, caching)
        assert frames is not None
        self.frames = frames
        self.commit(tx)

    def transaction(self) -> Transaction:
        state = begin(self.state, "T", Procedure(), "", 0)
        return Transaction(state, state.tasks["T"], "T")

    def commit(self, tx: Transaction) -> None:
        self.splats += [event.title.split(" at ")[0] for event in tx.events if isinstance(event, Splat)]
        self.state = tx.commit()[0]

    @property
    def counts(self) -> list[int]:
        """The refcount of each page; free ones have 0."""
        return [frame.refcount if (frame := self.state.frames.get(pfn)) else 0 for pfn in self.frames]

    def get(self) -> int:
        tx = self.transaction()
        get_page(tx, self.frames[0])
        self.commit(tx)
        return self.counts[0]

    def try_get(self) -> bool:
        tx = self.transaction()
        got = try_get_page(tx, self.frames[0])
        self.commit(tx)
        return got

    def put(self) -> int:
        tx = self.transaction()
        put_page(tx, self.frames[0])
        self.commit(tx)
        return self.counts[0]

    def free(self) -> None:
        tx = self.transaction()
        free_frames(tx, self.frames, self.caching)
        self.commit(tx)

    @property
    def is_free(self) -> bool:
        """The page allocator has the first page."""
        return self.frames[0] not in self.state.frames


TTM: Final[Mapping[str, str]] = {"ttm-refcount": "zero"}
GFP: Final[Mapping[str, str]] = {"gfp-refcount": "zero"}
FROZEN: Final[Mapping[str, str]] = {"frozen-pages": "on"}
NOREF: Final[Mapping[str, str]] = {"page-noref": "on"}


def test_without_a_defence_anybody_may_count() -> None:
    page = Page(pages=4)
    assert page.counts == [1, 0, 0, 0]
    assert page.get() == 2
    assert page.try_get()
    assert page.put() == 2
    assert page.splats == []


@pytest.mark.parametrize("defence", [TTM, GFP, FROZEN])
def test_pages_live_with_a_count_of_zero(defence: Mapping[str, str]) -> None:
    page = Page(defence, pages=4)
    assert page.counts == [0, 0, 0, 0]
    assert not page.try_get()
    page.free()
    assert page.splats == []


@pytest.mark.parametrize("defence", [TTM, GFP])
def test_a_blind_get_and_put_frees_the_page_under_its_owner(defence: Mapping[str, str]) -> None:
    page = Page(defence)
    assert page.get() == 1
    page.put()
    assert page.is_free
    assert page.splats == []


@pytest.mark.parametrize("defence", [TTM, GFP])
def test_with_debug_vm_the_blind_get_dies(defence: Mapping[str, str]) -> None:
    page = Page({**DEBUG, **defence})
    assert page.get() == 0
    assert page.splats == ["kernel BUG"]


@pytest.mark.parametrize("defence", [NONE, TTM, GFP])
def test_a_put_too_many(defence: Mapping[str, str]) -> None:
    """Below zero nothing happens, and nothing is said, unless CONFIG_DEBUG_VM is on."""
    silent = Page(defence, pages=2)
    silent.frames = silent.frames[::-1]
    assert silent.put() == -1
    assert silent.splats == []
    loud = Page({**DEBUG, **defence}, pages=2)
    loud.frames = loud.frames[::-1]
    assert loud.put() == 0
    assert loud.splats == ["kernel BUG"]


@pytest.mark.parametrize("defence", [NOREF, FROZEN])
@pytest.mark.parametrize("debug", ["off", "on"])
def test_pages_that_refuse_references(defence: Mapping[str, str], debug: str) -> None:
    page = Page({"debug-vm": debug, **defence})
    before = page.counts
    page.get()
    page.get()
    assert page.splats == ["WARNING: CPU: 0 PID: 7"]  # once
    assert not page.try_get()
    page.put()
    assert page.counts == before
    assert not page.is_free


def test_ttm_warns_when_somebody_holds_a_page_that_is_really_freed() -> None:
    held = Page(TTM, "cached")
    held.get()
    held.free()
    assert held.splats == ["WARNING: CPU: 0 PID: 7"]
    assert held.is_free
    recycled = Page(TTM, "wc")
    recycled.get()
    recycled.free()
    assert recycled.splats == []
    assert recycled.counts == [1]


def test_ttm_sets_the_count_back_so_that_the_block_is_freed_whole() -> None:
    page = Page(TTM, "cached", 4)
    page.free()
    assert not any(pfn in page.state.frames for pfn in page.frames)


@pytest.mark.parametrize(("kernel", "noticed"), [("6.1", True), ("6.12", False)])
def test_a_page_from_the_gfp_flag_is_checked_at_free_where_the_kernel_checks(kernel: str, noticed: bool) -> None:
    page = Page({**GFP, "kernel": kernel}, "cached")
    page.get()
    page.free()
    assert page.splats == (["BUG: Bad page state in process kworker  pfn:00001"] if noticed else [])
    assert page.is_free != noticed


def test_defences_can_be_combined() -> None:
    page = Page({**TTM, **GFP, **FROZEN, **NOREF, **DEBUG}, pages=4)
    assert page.counts == [0, 0, 0, 0]
    page.get()
    assert page.splats == ["WARNING: CPU: 0 PID: 7"]
    page.free()
    assert page.splats == ["WARNING: CPU: 0 PID: 7"]


# -- whom they break ---------------------------------------------------------------------------


@pytest.mark.parametrize("defence", DEFENCES)
def test_each_says_whom_it_breaks(defence: str) -> None:
    assert SETTINGS[defence].breaks.endswith(".")


INSERT_PAGE: Final = "process p0\nbo b 1 exporter=insert-page\nmmap p0 m bo:b shared rw 1\nwrite p0 m 1"
GUEST: Final = "process p0\ndevice guest\nbo b 1\nmmap p0 m bo:b shared rw 1\nwrite p0 m 1\nfollow p0 m as=k by=guest"


@pytest.mark.parametrize("defence", ["ttm-refcount zero", "gfp-refcount zero", "frozen-pages on", "page-noref on"])
def test_vm_insert_page_and_kvm_are_the_victims_of_refused_references(defence: str) -> None:
    kernel = "set kernel 6.1\n"
    assert last(kernel + INSERT_PAGE) == "ok"
    assert last(f"{kernel}set {defence}\n{INSERT_PAGE}") == "signal SIGBUS"
    assert last(kernel + GUEST) == "ok"
    assert last(f"{kernel}set {defence}\n{GUEST}") == "error EFAULT"
    assert last(f"set kernel 7.3\nset {defence}\n{GUEST}") == "ok"  # it takes no references there


SHARED: Final = "process p0\n{made}\nexport b as=d\nmmap p0 m dmabuf:d shared rw 1\nmmap p0 n dmabuf:d shared rw 1"


@pytest.mark.parametrize(
    ("kernel", "made", "pfn_mapped"),
    [
        ("6.1", "memfd f 1\nseal f shrink\nbo b 1 exporter=udmabuf memfd=f", False),
        ("6.12", "memfd f 1\nseal f shrink\nbo b 1 exporter=udmabuf memfd=f", True),
        ("7.3", "bo b 1 exporter=i915-shmem", False),
        ("7.3", "bo b 1 exporter=insert-page", False),
        ("7.3", "bo b 1 exporter=mixed", False),
        ("7.3", "bo b 1 exporter=system-heap", True),
        ("7.3", "bo b 1 exporter=vgem", True),
        ("7.3", "bo b 1", True),
    ],
)
def test_the_pfnmap_check_of_dma_bufs(kernel: str, made: str, pfn_mapped: bool) -> None:
    text = SHARED.format(made=made)
    answers, splats = ran(f"set kernel {kernel}\n{text}")
    assert answers[-1].startswith("ok")
    assert splats == []
    answers, splats = ran(f"set kernel {kernel}\nset dma-buf-check warn\n{text}")
    assert answers[-1].startswith("ok")
    assert len(splats) == (0 if pfn_mapped else 1)  # WARN_ON_ONCE: the second mmap says nothing
    answers, splats = ran(f"set kernel {kernel}\nset dma-buf-check refuse\n{text}")
    assert answers[-1].startswith("ok") if pfn_mapped else answers[-1] == "error EINVAL"
    assert splats == []


def test_the_special_bit_of_ptes() -> None:
    mixed = "process p0\nbo b 1 exporter=mixed\nmmap p0 m bo:b shared rw 1\nwrite p0 m 1\ngup p0 m as=r write"
    assert last(mixed) == "error EEXIST"
    assert last("set pte-special off\n" + mixed) == "ok"
    anon = "process p0\nmmap p0 m anon private rw 1\nwrite p0 m 1\ngup p0 m as=r write {how}"
    assert last(anon.format(how="fast-only")) == "ok"
    assert last("set pte-special off\n" + anon.format(how="fast-only")) == "error EFAULT"
    assert last("set pte-special off\n" + anon.format(how="fast")) == "ok"
    private = "process p0\nbo b 1 exporter=system-heap\nmmap p0 m bo:b private rw 1\nwrite p0 m 1\nread p0 m"
    assert last("set pte-special off\n" + private) == "ok 1"


HUGE: Final = (
    "set vram 1024\nprocess p0\nbo b 512 in=gtt exporter=ttm-huge\nmmap p0 m bo:b shared rw 512 at=512\n"
    "write p0 m 1\ngup p0 m+0 as=r write fast-only"
)


@pytest.mark.parametrize(("bit", "outcome"), [("off", "ok"), ("on", "error EFAULT")])
def test_without_a_bit_in_ptes_gup_fast_still_takes_huge_entries(bit: str, outcome: str) -> None:
    """gup_pte_range() is a stub there, gup_huge_pmd() is not; kernel-facts on HAVE_FAST_GUP."""
    assert last(f"set kernel 6.1\nset pte-special off\nset pmd-special {bit}\n{HUGE}") == outcome


@pytest.mark.parametrize("kernel", ["6.1", "6.12", "7.3"])
@pytest.mark.parametrize("bit", ["kernel", "on", "off"])
def test_the_special_bit_of_pmds(kernel: str, bit: str) -> None:
    text = (
        f"set kernel {kernel}\nset pmd-special {bit}\nset vram 1024\nprocess p0\nbo b 512 in=gtt exporter=ttm-huge\n"
        "mmap p0 m bo:b shared rw 512 at=512\nwrite p0 m 1\ngup p0 m+0 as=r write"
    )
    closed = bit == "on" or (bit == "kernel" and kernel != "6.1")
    assert last(text) == ("error EFAULT" if closed else "ok")


def test_break_layouts() -> None:
    text = "process p0\ndax x 1\nmmap p0 m dax:x shared rw 1\nwrite p0 m 1\ngup p0 m as=r write\n"
    assert last(f"set kernel 6.1\n{text}truncate x 0").startswith("blocked on the last reference")
    assert last(f"set kernel 6.1\nset dax-break-layouts off\n{text}truncate x 0") == "ok"
    assert last(f"{text}gup p0 m as=q write pin longterm") == "error EOPNOTSUPP"
