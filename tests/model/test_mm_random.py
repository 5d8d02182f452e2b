"""Random system calls on the model and on a naive address space that knows only pages: both must agree.

The naive one has no VMAs, page tables or references. What merging, splitting, copy-on-write and moving entries do
must not be visible in it.
"""

from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from model.kernel.mm.exit import do_exit
from model.kernel.mm.fork import kernel_clone
from model.kernel.mm.madvise import FLAGS_ADVICE, do_madvise
from model.kernel.mm.memfd import memfd_create
from model.kernel.mm.mlock import do_mlock, do_munlock
from model.kernel.mm.mmap import MAP_FIXED, MAP_PRIVATE, MAP_SHARED, do_mmap
from model.kernel.mm.mprotect import do_mprotect
from model.kernel.mm.mremap import MREMAP_FIXED, MREMAP_MAYMOVE, do_mremap
from model.kernel.mm.munmap import do_munmap
from model.memory.errno import EFAULT, EINVAL, ENOMEM
from model.memory.flags import (
    VM_DONTCOPY,
    VM_EXEC,
    VM_LOCKED,
    VM_MAYEXEC,
    VM_MAYREAD,
    VM_MAYSHARE,
    VM_MAYWRITE,
    VM_READ,
    VM_SHARED,
    VM_WIPEONFORK,
    VM_WRITE,
)
from tests.model.address_space import BASE, Page, as_pages, assert_consistent
from tests.model.machine import Machine

PAGES = 24
FILE_PAGES = 40
RWX = VM_READ | VM_WRITE | VM_EXEC
MAY = VM_MAYREAD | VM_MAYWRITE | VM_MAYEXEC


class Naive:
    """Processes as dictionaries of pages; files as dictionaries of bytes."""

    def __init__(self) -> None:
        self.spaces: dict[str, dict[int, Page]] = {"p0": {}}
        self.files: dict[str, dict[int, int]] = {"f": {}}

    def byte(self, page: Page) -> int:
        """What a load sees."""
        if page.own >= 0:
            return page.own
        return self.files[page.file].get(page.offset, 0) if page.file else 0

    def mmap(self, mm: str, at: int, pages: int, prot: int, kind: str, offset: int) -> int:
        shared = VM_SHARED | VM_MAYSHARE if kind == "shared file" else 0
        for n in range(pages):
            file = "" if kind == "anon" else "f"
            self.spaces[mm][at + n] = Page(prot | MAY | shared, file, offset + n if file else 0)
        return at

    def munmap(self, mm: str, at: int, pages: int) -> int:
        for page in range(at, at + pages):
            self.spaces[mm].pop(page, None)
        return 0

    def update(self, mm: str, at: int, pages: int, change: Callable[[Page], Page], *, past_holes: bool) -> int:
        space, result = self.spaces[mm], 0
        for page in range(at, at + pages):
            if page in space:
                space[page] = change(space[page])
            elif past_holes:
                result = -ENOMEM
            else:
                return -ENOMEM
        return result

    def mprotect(self, mm: str, at: int, pages: int, prot: int) -> int:
        def changed(page: Page) -> Page:
            new = page._replace(flags=page.flags & ~RWX | prot)
            return self.populated(new) if page.flags & (VM_LOCKED | VM_WRITE) == VM_LOCKED else new

        return self.update(mm, at, pages, changed, past_holes=False)

    def populated(self, page: Page) -> Page:
        """A private writable page is copied at once."""
        private = page.flags & (VM_WRITE | VM_SHARED) == VM_WRITE
        return page._replace(own=self.byte(page)) if private else page

    def mlock(self, mm: str, at: int, pages: int) -> int:
        result = self.update(mm, at, pages, lambda page: page._replace(flags=page.flags | VM_LOCKED), past_holes=False)
        if result:
            return result
        for page in range(at, at + pages):
            if not self.spaces[mm][page].flags & RWX:
                return -ENOMEM
            self.spaces[mm][page] = self.populated(self.spaces[mm][page])
        return 0

    def munlock(self, mm: str, at: int, pages: int) -> int:
        return self.update(mm, at, pages, lambda page: page._replace(flags=page.flags & ~VM_LOCKED), past_holes=False)

    def advise(self, mm: str, at: int, pages: int, advice: str) -> int:
        sets, clears = FLAGS_ADVICE[advice]
        space, result = self.spaces[mm], 0
        for page in range(at, at + pages):
            if page not in space:
                result = -ENOMEM
            elif advice == "wipeonfork" and space[page].file:
                return -EINVAL
            else:
                space[page] = space[page]._replace(flags=space[page].flags & ~clears | sets)
        return result

    def dontneed(self, mm: str, at: int, pages: int) -> int:
        space, result = self.spaces[mm], 0
        for page in range(at, at + pages):
            if page not in space:
                result = -ENOMEM
            elif space[page].flags & VM_LOCKED:
                return -EINVAL
            else:
                space[page] = space[page]._replace(own=-1)
        return result

    def mremap(self, mm: str, at: int, pages: int, to: int) -> int:
        if at < to + pages and to < at + pages:
            return -EINVAL
        space = self.spaces[mm]
        if at not in space:
            return -EFAULT
        for n in range(pages):
            if at + n in space:
                space[to + n] = space.pop(at + n)
        return to

    def fork(self, mm: str, child: str) -> int:
        def inherited(page: Page) -> Page:
            own = -1 if page.flags & VM_WIPEONFORK else page.own
            return page._replace(flags=page.flags & ~VM_LOCKED, own=own)

        space = self.spaces[mm]
        self.spaces[child] = {at: inherited(page) for at, page in space.items() if not page.flags & VM_DONTCOPY}
        return 0

    def exit(self, mm: str) -> int:
        del self.spaces[mm]
        return 0

    def read(self, mm: str, at: int) -> int | str:
        page = self.spaces[mm].get(at)
        return self.byte(page) if page is not None and page.flags & RWX else "SIGSEGV"

    def write(self, mm: str, at: int, value: int) -> str:
        page = self.spaces[mm].get(at)
        if page is None or not page.flags & VM_WRITE:
            return "SIGSEGV"
        if page.flags & VM_SHARED:
            self.files[page.file][page.offset] = value
        else:
            self.spaces[mm][at] = page._replace(own=value)
        return ""


class Model:
    """The same calls on the model."""

    def __init__(self) -> None:
        self.machine = Machine()
        assert self.machine.run(memfd_create(file="f", pages=FILE_PAGES)).ok

    def mmap(self, mm: str, at: int, pages: int, prot: int, kind: str, offset: int) -> int:
        flags = MAP_FIXED | (MAP_SHARED if kind == "shared file" else MAP_PRIVATE)
        backing, file = ("anon", "") if kind == "anon" else ("memfd", "f")
        call = do_mmap(mm=mm, at=at, pages=pages, prot=prot, flags=flags, backing=backing, file=file, offset=offset)
        return self.machine.run(call, mm).value

    def munmap(self, mm: str, at: int, pages: int) -> int:
        return self.machine.run(do_munmap(mm=mm, start=at, pages=pages), mm).value

    def mprotect(self, mm: str, at: int, pages: int, prot: int) -> int:
        return self.machine.run(do_mprotect(mm=mm, start=at, pages=pages, prot=prot), mm).value

    def mlock(self, mm: str, at: int, pages: int) -> int:
        return self.machine.run(do_mlock(mm=mm, start=at, pages=pages), mm).value

    def munlock(self, mm: str, at: int, pages: int) -> int:
        return self.machine.run(do_munlock(mm=mm, start=at, pages=pages), mm).value

    def advise(self, mm: str, at: int, pages: int, advice: str) -> int:
        return self.machine.run(do_madvise(mm=mm, start=at, pages=pages, advice=advice), mm).value

    def dontneed(self, mm: str, at: int, pages: int) -> int:
        return self.advise(mm, at, pages, "dontneed")

    def mremap(self, mm: str, at: int, pages: int, to: int) -> int:
        flags = MREMAP_FIXED | MREMAP_MAYMOVE
        call = do_mremap(mm=mm, start=at, pages=pages, new_pages=pages, flags=flags, to=to)
        return self.machine.run(call, mm).value

    def fork(self, mm: str, child: str) -> int:
        return self.machine.run(kernel_clone(mm=mm, child=child), mm).value

    def exit(self, mm: str) -> int:
        return self.machine.run(do_exit(mm=mm), mm).value

    def read(self, mm: str, at: int) -> int | str:
        return self.machine.read(at, mm)

    def write(self, mm: str, at: int, value: int) -> str:
        return self.machine.write(at, value, mm)


places = st.integers(BASE, BASE + PAGES - 1)
sizes = st.integers(1, 8)
prots = st.sampled_from([0, VM_READ, VM_READ | VM_WRITE, VM_READ | VM_WRITE, VM_READ | VM_EXEC])
advices = st.sampled_from(["dontfork", "dofork", "wipeonfork", "keeponfork", "sequential", "normal"])
calls = st.one_of(
    st.tuples(
        st.just("mmap"), places, sizes, prots, st.sampled_from(["anon", "file", "shared file"]), st.integers(0, 9)
    ),
    st.tuples(st.sampled_from(["munmap", "mlock", "munlock", "dontneed"]), places, sizes),
    st.tuples(st.just("mprotect"), places, sizes, prots),
    st.tuples(st.just("advise"), places, sizes, advices),
    st.tuples(st.just("mremap"), places, sizes, places),
    st.tuples(st.just("fork"), st.sampled_from(["p1", "p2"])),
    st.tuples(st.just("exit")),
    st.tuples(st.just("read"), places),
    st.tuples(st.just("write"), places, st.integers(1, 255)),
    st.tuples(st.just("write"), places, st.integers(1, 255)),
)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(["p0", "p0", "p1", "p2"]), calls), max_size=40))
def test_the_model_agrees_with_an_address_space_that_knows_only_pages(
    program: list[tuple[str, tuple[Any, ...]]],
) -> None:
    naive, model = Naive(), Model()
    for mm, (name, *arguments) in program:
        new = arguments[0] if name == "fork" else ""
        if mm not in naive.spaces or new in naive.spaces:
            continue
        expected = getattr(naive, name)(mm, *arguments)
        assert getattr(model, name)(mm, *arguments) == expected
        state = model.machine.state
        assert_consistent(state)
        assert set(state.processes) == set(naive.spaces)
        for process, space in naive.spaces.items():
            assert as_pages(state, process) == {at: (page.flags, page.file, page.offset) for at, page in space.items()}
