"""What an invariant looks at: a State together with the index of who holds what in it."""

from collections.abc import Collection, Iterator
from typing import Final

import msgspec

from model.invariants.holder_index import Index, head_among
from model.invariants.holders import ENTRY_KINDS, Holder, members, some
from model.kernel.drivers.buffer import buffer_of, own_file
from model.memory.folio import filemap_get_entry, folio_of, large_orders, page_frame
from model.memory.leaf import PTRS_PER_TABLE, TABLE_SHIFT, leaf_entry
from model.memory.ordered import floor
from model.memory.records import Frame, Pte, Vma
from model.memory.state import State

FREE = Frame()
"""A frame that the allocator owns is not stored."""

SWAPPED = -1
"""`sees` cannot name a frame: the page is in swap, and not in the swap cache."""

PLACED: Final = ("pte", "huge", "shared-huge")
"""Entries that say at which virtual page a process has a frame."""


class MachineView(msgspec.Struct, frozen=True):
    """One State and who holds what in it."""

    state: State
    holding: Index

    def frame(self, pfn: int) -> Frame:
        """The struct page of a frame; of a page of a large folio as it would be alone (page_frame)."""
        return page_frame(self.state, pfn)

    def folio(self, pfn: int) -> Frame:
        """The struct folio that a frame is a part of: what it is used for, and whose it is."""
        return folio_of(self.state, pfn)

    def head(self, pfn: int) -> int | None:
        """The head of the large folio that a page belongs to; None for a small page."""
        return head_among(self.holding.large, pfn, large_orders(self.state))

    def byte(self, pfn: int) -> int:
        """The byte that stands for the frame's content."""
        return self.state.content.get(pfn) or 0

    def vma_at(self, process: str, vpn: int) -> Vma | None:
        """The VMA that contains a virtual page, or None."""
        start = floor(self.state.vma_index, process, vpn)
        vma = None if start is None else self.state.vmas[process, start]
        return vma if vma and vpn < vma.end else None

    def entry(self, process: str, vpn: int) -> Pte | None:
        """The entry that maps a virtual page, taken for this one page where it maps a block of 2 MiB."""
        return leaf_entry(self.state, process, vpn)

    def sees(self, process: str, vpn: int) -> int | None:
        """The frame that an access of `process` at `vpn` would reach, or None if nothing that exists yet.

        An empty entry of a file mapping leads to the file's cached page, or to where the buffer is now: the next access
        maps it again.
        """
        entry = self.entry(process, vpn)
        if entry is not None and entry.kind in {"page", "migration"}:
            return entry.pfn
        if entry is not None and entry.kind == "swap":
            return self.cached_in(entry.pfn)
        return self.sees_next(process, vpn)

    def sees_next(self, process: str, vpn: int) -> int | None:
        """The frame that the next access would reach if there were no entry; None if a new one, or none at all."""
        vma = self.vma_at(process, vpn)
        return self.page_of(vma.file, vma.pgoff + vpn - vma.start) if vma is not None and vma.file else None

    def page_of(self, file: str, index: int) -> int | None:
        """Where a page of a file, or of a buffer's file, is now: its frame, SWAPPED, or None if there is none."""
        found = self.shmem_page(file, index)
        return self.buffer_page(buffer_of(file), index) if found is None else found

    def shmem_page(self, file: str, index: int) -> int | None:
        """Where a page of a file is: in the page cache, or in the swap cache, or SWAPPED; None if it has none."""
        cached = filemap_get_entry(self.state, file, index)
        if cached is not None:
            return cached
        slot = self.state.swapped.get((file, index))
        return None if slot is None else self.cached_in(slot)

    def cached_in(self, slot: int) -> int:
        """The page that caches a swap slot, or SWAPPED."""
        record = self.state.swap_slots.get(slot)
        return record.pfn if record is not None and record.pfn >= 0 else SWAPPED

    def buffer_page(self, name: str, page: int) -> int | None:
        """Where a page of a buffer is now, as for `page_of`: in its driver's memory, or in its shmem file (i915)."""
        buffer = self.state.buffers.get(name) if name else None
        if buffer is None or page < 0:
            return None
        if page < len(buffer.frames):
            return buffer.frames[page]
        return self.shmem_page(buffer.memfd if buffer.memfd == own_file(name) else buffer.file, page)

    def mappers(self, pfn: int, *kinds: str) -> set[str]:
        """The processes that have the frame in their page tables; only through entries of these kinds where given."""
        return {holder.owner for holder in self.every_holder(pfn, kinds or ENTRY_KINDS)}

    def every_holder(self, pfn: int, kinds: Collection[str] = ()) -> Iterator[Holder]:
        """Whoever holds the frame, and those that hold the folio around it as a whole; TLBs hold nothing.

        Only of some kinds where any are given.
        """
        yield from members(self.holding.held.get(pfn, ()), kinds)
        head = self.head(pfn)
        if head is not None and head != pfn:
            for holder in members(self.holding.held.get(head, ()), kinds):
                if holder.kind == "cache":
                    yield holder._replace(number=holder.number + pfn - head)
                elif holder.kind in {"huge", "shared-huge"}:
                    yield holder

    def mapped_at(self, pfn: int, process: str) -> int | None:
        """The lowest virtual page at which `process` has the frame mapped, or None."""
        places = (self.place_of(h, pfn) for h in self.every_holder(pfn, PLACED) if h.owner == process)
        return min((vpn for vpn in places if vpn is not None), default=None)

    def place_of(self, holder: Holder, pfn: int) -> int | None:
        """The virtual page at which an entry maps a frame; None for a special entry, or whoever is none."""
        match holder.kind:
            case "pte":
                return holder.number
            case "huge" | "shared-huge":
                return (holder.number << TABLE_SHIFT) + pfn % PTRS_PER_TABLE
            case _:
                return None

    def holders(self, pfn: int, *kinds: str) -> list[Holder]:
        """Some holders of the frame, in order; only of these kinds where any are given."""
        pointing = self.holding.held.get(pfn, ()) if kinds and "tlb" not in kinds else self.holding.holders(pfn)
        if self.head(pfn) not in {None, pfn}:
            pointing = tuple(sorted({*self.every_holder(pfn, kinds), *members(pointing, kinds)}))
        return some(pointing, kinds)

    def undecided(self, pfn: int, process: str, vpn: int) -> bool:
        """Whether a call has cleared the entry of a virtual page under its lock, and counts the frame as mapped still.

        It may give the mapping up, or put the entry back, as ksmd does with a page that somebody holds.
        """
        lock = self.state.locks.get(("ptl", f"{process}:{vpn >> TABLE_SHIFT}"))
        return lock is not None and any(holder.owner == lock.writer for holder in self.holders(pfn, "rmap"))

    def forking(self, process: str) -> bool:
        """Whether a process is still being made by fork(), so that nothing has happened to its memory yet."""
        found = self.state.processes.get(process)
        return found is not None and found.forking

    def living(self, process: str) -> bool:
        """Whether there is such a process, and it is not on its way out: nobody else will look at its memory again."""
        found = self.state.processes.get(process)
        return found is not None and not found.exiting
