"""The worked scenarios P1 to P27 of the kernel facts, every number of them, on a 6.1 kernel unless said."""

from msgspec.structs import replace

from model.kernel.arch.pgtable import PMD
from model.kernel.mm.page import put_page
from model.memory.events import Splat
from model.memory.flags import PG_CMA, VM_IO, VM_PFNMAP
from model.memory.records import Frame, Pte
from model.memory.state import Transaction
from model.script.parser import parse
from model.script.runner import Account, Runner

HEAD = "set kernel 6.1\nset vram 1024\ndevice nic\nprocess p0\nprocess p1\n"
ANON = "mmap p0 buf anon private rw 4\n"
TTM = "bo b 4 in=gtt caching=wc\nmmap p0 buf bo:b shared rw 4\n"
STRANGER = "mmap p1 own anon private rw 2\nwrite p1 own+1 1\n"
"""Another process, whose page tables are there already: the next frame that it gets is for data."""
HUGE = "bo b 512 in=gtt exporter=ttm-huge\nmmap p0 buf bo:b shared rw 512 at=512\nwrite p0 buf 65\n"


class Play:
    """A script that is written and run piece by piece."""

    def __init__(self, text: str, head: str = HEAD) -> None:
        self.text = head
        self.runner = Runner()
        self.accounts: list[Account] = []
        self.do(text, already=head)

    def do(self, text: str, already: str = "") -> str:
        """Run some more lines; returns the answer of the last one."""
        self.text = (already or self.text) + text.strip() + "\n"
        for command in parse(self.text)[len(self.accounts) :]:
            self.accounts.append(self.runner.perform(command))
        return str(self.accounts[-1].outcome)

    def pte(self, page: int = 0, process: str = "p0") -> Pte | None:
        """The entry of a page of the mapping `buf`."""
        state = self.runner.context.state
        vpn = state.labels[process, "buf"].start + page
        pmd = state.tables.get((process, PMD, vpn >> 9))
        return pmd if pmd is not None and pmd.huge else state.ptes.get((process, vpn))

    def pfn(self, page: int = 0, process: str = "p0") -> int:
        """The frame that it maps."""
        pte = self.pte(page, process)
        assert pte is not None
        return pte.pfn

    def pfn_at(self, process: str, label: str) -> int:
        """The frame behind the first page of another mapping."""
        state = self.runner.context.state
        return state.ptes[process, state.labels[process, label].start].pfn

    def frame(self, pfn: int) -> Frame:
        """struct page of a frame; a free one has nothing in it."""
        return self.runner.context.state.frames.get(pfn) or Frame()

    def counts(self, pfn: int) -> tuple[int, int]:
        """refcount and mapcount."""
        frame = self.frame(pfn)
        return frame.refcount, frame.mapcount

    def held(self, reference: str, page: int = 0) -> int:
        """The frame behind a page of a reference."""
        return self.runner.context.state.references[reference].frames[page]

    def splats(self) -> list[str]:
        """Everything the kernel has complained of so far."""
        return [event.title for account in self.accounts for event in account.events if isinstance(event, Splat)]


def test_p1_anonymous_read_then_write() -> None:
    play = Play(ANON + "read p0 buf")
    pte = play.pte()
    assert pte is not None
    assert (pte.pfn, pte.special, pte.writable) == (0, True, False)
    play.do("write p0 buf 1")
    assert play.counts(play.pfn()) == (1, 1)
    assert play.frame(play.pfn()).exclusive


def test_p2_fork_without_pins() -> None:
    play = Play(ANON + "write p0 buf 1\nfork p0 c")
    shared = play.pfn()
    assert play.counts(shared) == (2, 2)
    assert not play.frame(shared).exclusive
    assert not any(pte.writable for pte in (play.pte(), play.pte(0, "c")) if pte)
    play.do("write c buf 2")
    assert play.pfn(0, "c") != shared
    assert play.counts(shared) == (1, 1)
    play.do("write p0 buf 3")
    assert play.pfn() == shared
    assert play.frame(shared).exclusive


def test_p3_fork_with_a_pin() -> None:
    play = Play(ANON + "write p0 buf 1\ngup p0 buf+0 as=r pin write by=nic")
    pinned = play.pfn()
    assert play.counts(pinned) == (1025, 1)
    play.do("fork p0 c")
    assert play.pfn(0, "c") != pinned
    pte = play.pte()
    assert pte is not None
    assert pte.writable
    assert play.frame(pinned).exclusive
    play.do("dma r write 9")
    assert play.do("read p0 buf") == "ok 9"


def test_p4_fork_with_a_get() -> None:
    play = Play(ANON + "write p0 buf 1\ngup p0 buf+0 as=r write by=nic")
    got = play.pfn()
    assert play.counts(got) == (2, 1)
    play.do("fork p0 c")
    assert play.counts(got) == (3, 2)
    play.do("write p0 buf 2")
    assert play.pfn() != got
    assert play.pfn(0, "c") == play.held("r") == got


def test_p5_pin_then_dontneed() -> None:
    play = Play(ANON + "write p0 buf 1\ngup p0 buf+0 as=r pin write by=nic")
    pinned = play.pfn()
    play.do("madvise p0 buf dontneed")
    assert play.pte() is None
    assert play.counts(pinned) == (1024, 0)
    play.do("read p0 buf\nwrite p0 buf 2\ndma r write 9")
    assert play.pfn() != pinned
    assert play.do("read p0 buf") == "ok 2"


def test_p6_pin_then_unmap_then_unpin() -> None:
    play = Play(ANON + "write p0 buf 1\ngup p0 buf+0 as=r pin write by=nic")
    pinned = play.pfn()
    play.do("munmap p0 buf")
    assert play.counts(pinned) == (1024, 0)
    play.do("put r")
    assert play.frame(pinned).kind == "free"


def test_p7_and_p8_gup_on_a_ttm_mapping() -> None:
    play = Play(TTM + "write p0 buf 1")
    before = play.runner.context.state
    assert play.do("gup p0 buf as=r slow") == "error EFAULT"
    pte = play.pte()
    assert pte is not None
    assert pte.special
    assert play.do("gup p0 buf as=fast_only fast-only") == "error EFAULT"
    assert play.do("gup p0 buf as=fast") == "error EFAULT"
    assert play.runner.context.state == before


def test_p9_and_p10_the_huge_page_hole() -> None:
    play = Play(HUGE + "gup p0 buf+0 as=r write by=nic")
    block = play.pfn()
    assert play.counts(block) == (2, 0)
    assert play.do("gup p0 buf+1 as=tail write") == "error EFAULT"
    play.do("move b vram\nbo c 512 in=gtt exporter=ttm-huge\nmmap p1 buf bo:c shared rw 512 at=1024\nwrite p1 buf 83")
    assert play.pfn(0, "p1") == block
    assert play.counts(block) == (2, 0)
    play.do("dma r write 99")
    assert play.do("read p1 buf") == "ok 99"
    play.do("put r")
    assert play.counts(block) == (1, 0)
    assert play.splats() == []


def test_p11_a_cached_block_is_really_freed() -> None:
    play = Play(HUGE.replace("ttm-huge", "ttm-huge caching=cached") + "gup p0 buf+0 as=r write by=nic")
    block = play.pfn()
    play.do("move b vram")
    assert play.counts(block) == (1, 0)
    assert play.frame(block + 1).kind == play.frame(block + 511).kind == "free"
    play.do("put r")
    assert play.frame(block).kind == "free"


def test_p12_a_stray_put_on_a_live_block() -> None:
    play = Play(STRANGER + "bo b 4 in=gtt caching=cached\nmmap p0 buf bo:b shared rw 4\nwrite p0 buf 65")
    block = play.pfn()
    assert [play.counts(block + page) for page in range(4)] == [(1, 0), (0, 0), (0, 0), (0, 0)]
    tx = Transaction(play.runner.context.state)
    put_page(tx, block)
    play.runner = Runner(replace(play.runner.context, state=tx.commit()[0]))
    assert play.frame(block).kind == "free"
    play.do("write p1 own 83")
    assert play.pfn_at("p1", "own") == block
    assert play.do("read p0 buf") == "ok 83"
    # TTM has lost the block's order with page->private, and does not notice that the page is not its own any more.
    play.do("munmap p0 buf\ndestroy b")
    assert [title.partition(" in ")[0] for title in play.splats()] == ["BUG: Bad page state"]
    assert [play.counts(block + page) for page in range(1, 4)] == [(-1, 0)] * 3


def test_p13_a_mangled_count_stops_gup_fast() -> None:
    play = Play(HUGE, HEAD.replace("device", "set ttm-refcount zero\ndevice"))
    assert play.counts(play.pfn()) == (0, 0)
    assert play.do("gup p0 buf+0 as=r write by=nic") == "error EFAULT"


def test_p14_a_mangled_count_and_a_blind_get() -> None:
    play = Play(STRANGER + TTM + "write p0 buf 65", HEAD.replace("device", "set ttm-refcount zero\ndevice"))
    frame = play.pfn()
    play.do("grab p0 buf+0 as=r")
    assert play.counts(frame) == (1, 0)
    play.do("put r\nwrite p1 own 83")
    # The frame went to a stranger while the buffer still maps it.
    assert play.do("read p0 buf") == "ok 83"
    assert play.splats() == []


def test_p15_the_same_with_debug_vm() -> None:
    head = HEAD.replace("device", "set ttm-refcount zero\nset debug-vm on\ndevice")
    play = Play(TTM + "write p0 buf 65\ngrab p0 buf+0 as=r", head)
    assert any(title.startswith("kernel BUG at") for title in play.splats())


def test_p16_dax_and_a_get() -> None:
    play = Play("dax x 2\nmmap p0 buf dax:x shared rw 2\nwrite p0 buf 1\ngup p0 buf+0 as=r write by=nic")
    block = play.pfn()
    assert play.counts(block) == (2, 0)
    play.do("begin T truncate x 0")
    assert play.do("finish T").startswith("blocked on the last reference")
    assert play.pte() is None
    play.do("put r")
    assert play.counts(block) == (1, 0)
    assert play.do("finish T") == "ok"


def test_p17_dax_and_a_long_term_pin() -> None:
    play = Play("dax x 2\nmmap p0 buf dax:x shared rw 2\nwrite p0 buf 1")
    assert play.do("gup p0 buf+0 as=r pin longterm write by=nic") == "error EOPNOTSUPP"


def test_p18_migration_with_a_get() -> None:
    play = Play(ANON + "write p0 buf 1\ngup p0 buf+0 as=r by=nic")
    page = play.pfn()
    assert play.do("migrate p0 buf") == "error EAGAIN"
    assert play.pfn() == page
    assert play.counts(page) == (2, 1)
    play.do("put r")
    assert play.do("migrate p0 buf") == "ok"
    assert play.pfn() != page


def test_p19_a_long_term_pin_of_a_page_in_a_cma_area() -> None:
    play = Play(ANON + "write p0 buf 65", HEAD.replace("device", "set cma on\ndevice"))
    first = play.pfn()
    assert play.frame(first).flags & PG_CMA
    play.do("begin T gup p0 buf+0 as=r pin longterm write slow by=nic")
    seen = set()
    while play.runner.context.state.tasks.get("T"):
        play.do("step T")
        seen.add(play.counts(first))
    assert (1025, 1) in seen
    assert play.frame(first).kind == "free"
    moved = play.pfn()
    assert moved == play.held("r") != first
    assert play.counts(moved) == (1025, 1)
    assert not play.frame(moved).flags & PG_CMA
    assert play.do("read p0 buf") == "ok 65"


def test_p19_whoever_holds_the_page_keeps_it_from_being_pinned_for_long() -> None:
    play = Play(ANON + "write p0 buf 65\ngup p0 buf+0 as=other", HEAD.replace("device", "set cma on\ndevice"))
    assert play.do("gup p0 buf+0 as=r pin longterm write by=nic") == "error ENOMEM"
    assert play.counts(play.pfn()) == (2, 1)


def test_p20_fork_of_a_ttm_mapping() -> None:
    play = Play(TTM + "write p0 buf 1\nfork p0 c")
    assert play.pfn() == play.pfn(0, "c")
    assert play.counts(play.pfn()) == (1, 0)
    play.do("move b vram")
    assert play.pte() is None
    assert play.pte(0, "c") is None


def test_p21_a_private_mapping_of_a_buffer() -> None:
    assert Play("bo b 4").do("mmap p0 buf bo:b private rw 4") == "error EINVAL"


def test_p22_a_private_page_of_the_heap_is_copied_on_write() -> None:
    play = Play("bo b 1 exporter=system-heap\nexport b as=d\nmmap p0 buf dmabuf:d private rw 1")
    pte = play.pte()
    assert pte is not None
    assert pte.special
    assert play.do("gup p0 buf as=r write") == "error EFAULT"
    play.do("write p0 buf 1")
    assert play.counts(play.pfn()) == (1, 1)
    start = play.runner.context.state.labels["p0", "buf"].start
    assert play.runner.context.state.vmas["p0", start].flags & VM_PFNMAP
    assert play.do("gup p0 buf as=slow write slow") == "error EFAULT"
    assert play.do("gup p0 buf as=fast write") == "ok"


def test_p23_vm_insert_page_of_a_page_without_count() -> None:
    head = HEAD.replace("device", "set ttm-refcount zero\ndevice")
    play = Play("bo b 1 in=gtt exporter=insert-page\nmmap p0 buf bo:b shared rw 1", head)
    assert play.do("read p0 buf") == "signal SIGBUS"


def test_p24_process_vm_readv_against_proc_mem() -> None:
    play = Play(TTM + "write p0 buf 65")
    assert play.do("remote-read p1 p0 buf") == "error EFAULT"
    assert play.do("force-write p1 p0 buf 66") == "ok"
    assert play.do("read p0 buf") == "ok 66"


def test_p25_madvise_and_mremap_of_a_pfn_mapping() -> None:
    play = Play(TTM + "write p0 buf 65")
    assert play.do("madvise p0 buf dontneed") == "error EINVAL"
    assert play.do("mremap p0 buf pages=8 maymove") == "error EFAULT"
    assert play.do("mremap p0 buf pages=4 maymove dontunmap") == "error EINVAL"


def test_p26_a_move_without_unmap() -> None:
    play = Play("bo b 1 in=gtt exporter=no-zap\nmmap p0 buf bo:b shared rw 1\nwrite p0 buf 65")
    old = play.pfn()
    play.do("move b vram\nbo c 1 in=gtt\nmmap p1 buf bo:c shared rw 1\nwrite p1 buf 83")
    assert play.pfn() == play.pfn(0, "p1") == old
    play.do("write p0 buf 99")
    assert play.do("read p1 buf") == "ok 99"
    assert play.splats() == []


def test_p27_a_fault_waits_for_the_move() -> None:
    play = Play(TTM + "write p0 buf 65\nbegin M move b vram\nbegin F read p0 buf")
    while ("i_mmap_rwsem", "bo:b") in play.runner.context.state.locks or play.pte() is not None:
        play.do("step M")
    assert "dma_resv of b" in play.do("finish F")
    assert ("mmap_lock", "p0") not in play.runner.context.state.locks
    play.do("finish M")
    assert play.do("finish F") == "ok 65"
    start = play.runner.context.state.labels["p0", "buf"].start
    assert play.runner.context.state.vmas["p0", start].flags & (VM_IO | VM_PFNMAP) == VM_IO | VM_PFNMAP
