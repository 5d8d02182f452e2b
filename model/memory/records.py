"""The nouns of memory management: frames, entries, VMAs, processes, files, locks and references, as a State holds them.

A record is frozen; `replaced` makes the changed one. Sizes, offsets and addresses are counted
in pages of 4 KiB (virtual page number = vpn, page frame number = pfn), never in bytes.
"""

from typing import Annotated, Literal

from model.memory.flags import (
    PAGE_DIRTY,
    PAGE_PRESENT,
    PAGE_PROTNONE,
    PAGE_PSE,
    PAGE_RW,
    PAGE_SPECIAL,
    PG_ANON_EXCLUSIVE,
    PG_HEAD,
)
from model.memory.record_base import Record
from model.memory.runs import Runs
from model.memory.units import MAPPING, ORDERED, AnonVmaNumber, CpuNumber, Pfn, Pid, Word

FrameKind = Literal["free", "anon", "file", "pgtable", "zero", "reserved", "buffer", "vram", "dax", "kernel"]
"""What a frame is used for. `file` is page cache (shmem too), `pgtable` a page-table page, `zero` the shared
zero page, `reserved` memory outside the allocator (vdso, vvar, BARs), `buffer` a driver's buffer page,
`vram` a page of video memory (no struct page: only the owner is noted), `dax` storage that is memory,
`kernel` pages a kernel subsystem owns and maps into user space (rings, BPF maps)."""


class Frame(Record, frozen=True, omit_defaults=True):
    """struct page of one 4 KiB page frame, or of the head of a large folio."""

    kind: FrameKind = "free"
    refcount: int = 0
    """_refcount, what page_count() returns. Each FOLL_PIN of a small page is 1024 of it."""
    mapcount: int = 0
    """folio_mapcount(): how many page-table entries map it, or any page of its folio. The kernel stores it minus 1."""
    pins: int = 0
    """How many FOLL_PINs are inside the refcount: what the kernel cannot know for a small page, but we can.

    Of a large folio the kernel knows: folio->_pincount. There each of them is 1 of the refcount, not 1024.
    """
    flags: int = 0
    """PG_* bits."""
    order: int = 0
    """2^order pages: of a driver's block without __GFP_COMP, or, with PG_head, of a folio."""
    mapping: Annotated[str, MAPPING] = ""
    """Page cache: the file's name. Anonymous: `anon_vma:N`. Empty: none (a driver's page, or truncated)."""
    swap: int = -1
    """PG_swapcache: the swap slot that the page is the cache of (folio->swap)."""
    mlock_count: int = 0
    """How many VM_LOCKED mappings keep an unevictable page so (folio->mlock_count)."""
    index: int = 0
    """page->index: offset in the file, or linear page index of an anonymous page."""

    @property
    def exclusive(self) -> bool:
        """PageAnonExclusive: this anonymous page belongs to one process alone."""
        return bool(self.flags & PG_ANON_EXCLUSIVE)

    @property
    def large(self) -> bool:
        """folio_test_large(): the head of a folio of several pages. Its tails have no record of their own."""
        return bool(self.flags & PG_HEAD)

    @property
    def pages(self) -> int:
        """folio_nr_pages()."""
        return 1 << self.order if self.flags & PG_HEAD else 1


class Folio(Record, frozen=True, omit_defaults=True):
    """What struct folio of a large folio has beyond the struct page of its head: the words of the tail pages."""

    entire: int = 0
    """_entire_mapcount: how many PMD entries map it as a whole."""
    mapcounts: Runs = ()
    """_mapcount of each page: how many PTEs map it, besides the entries that map the folio as a whole."""
    exclusive: Runs = ()
    """PageAnonExclusive of the tail pages, 1 or 0; that of the head is in its flags."""
    partially_mapped: bool = False
    """PG_partially_mapped: a page of it has lost its last mapping while others have theirs: it waits for its split."""
    mms: tuple[str, ...] = ()
    """_mm_id: up to two processes whose mappings of it are counted apart; empty: a slot that is free."""
    mm_mapcounts: tuple[int, ...] = ()
    """_mm_id_mapcount: how many entries of each of them."""
    shared: bool = False
    """FOLIO_MM_IDS_SHARED: another process may map it as well."""


PteKind = Literal["page", "swap", "migration", "marker"]


class Pte(Record, frozen=True, omit_defaults=True):
    """One page-table entry at any level. An empty entry is not stored at all.

    A `page` entry points at a frame (or, at an upper level without PAGE_PSE, at the next table page).
    The other kinds are not present: `swap` (pfn = swap slot), `migration` (pfn = source frame), `marker`.
    """

    pfn: Pfn
    bits: int = 0
    kind: PteKind = "page"

    @property
    def present(self) -> bool:
        """pte_present(): PRESENT, or PROT_NONE."""
        return self.kind == "page" and bool(self.bits & (PAGE_PRESENT | PAGE_PROTNONE))

    @property
    def writable(self) -> bool:
        """pte_write()."""
        return bool(self.bits & PAGE_RW)

    @property
    def dirty(self) -> bool:
        """pte_dirty()."""
        return bool(self.bits & PAGE_DIRTY)

    @property
    def special(self) -> bool:
        """pte_special(): core mm must not touch the struct page behind this entry."""
        return bool(self.bits & PAGE_SPECIAL)

    @property
    def protnone(self) -> bool:
        """pte_protnone(): mapped PROT_NONE; the hardware sees it as not present."""
        return self.bits & (PAGE_PRESENT | PAGE_PROTNONE) == PAGE_PROTNONE

    @property
    def huge(self) -> bool:
        """A leaf above the lowest level (PSE)."""
        return bool(self.bits & PAGE_PSE)

    def with_bits(self, bits: int) -> "Pte":
        """The entry with `bits` set as well."""
        return Pte(self.pfn, self.bits | bits, self.kind)

    def without(self, bits: int) -> "Pte":
        """The entry with `bits` cleared."""
        return Pte(self.pfn, self.bits & ~bits, self.kind)


class Vma(Record, frozen=True, omit_defaults=True):
    """struct vm_area_struct: virtual pages [start, end) of one process."""

    start: int
    end: int
    flags: int = 0
    """vm_flags: VM_* bits."""
    ops: Word = ""
    """vm_ops, by the name of the subject that defines them: empty = anonymous, `shmem`, `ext4`, `vvar` …"""
    file: str = ""
    """vm_file: the name of the mapped file, empty if none."""
    pgoff: int = 0
    """vm_pgoff: offset of `start` in the file; for anonymous memory the page number where it was first mapped."""
    anon_vma: AnonVmaNumber = 0
    """The anon_vma that new anonymous pages of this VMA belong to; 0 = none yet."""
    chain: tuple[AnonVmaNumber, ...] = ()
    """anon_vma_chain: all anon_vmas whose pages may be mapped here, own one last."""
    uffd: str = ""
    """vm_userfaultfd_ctx: the userfaultfd that it is registered with; empty = none."""
    resv: int = 0
    """Private mapping of hugetlb: HPAGE_RESV_* bits."""
    consumed: Runs = ()
    """The resv_map of an owner: 1 for each huge page of its file's range whose reservation has been used up."""

    @property
    def pages(self) -> int:
        """Length in pages."""
        return self.end - self.start


class Process(Record, frozen=True, omit_defaults=True):
    """A process and its mm_struct."""

    cpu: CpuNumber
    """The CPU its tasks run on."""
    pid: Pid = 0
    """Processes are numbered in the order of their creation."""
    pgd: Pfn = 0
    """pfn of the top-level table page."""
    parent: str = ""
    has_pinned: bool = False
    """MMF_HAS_PINNED: some FOLL_PIN was ever tried on this mm."""
    write_protect_seq: int = 0
    """Odd while fork write-protects this mm; GUP-fast pins check it."""
    notifier_seq: int = 0
    """mmu_notifier_subscriptions->invalidate_seq: odd while a range of this mm is being invalidated. Here it counts to
    7 and begins anew: whom an invalidation has met stands in `Reference.looking`."""
    notifier_active: int = 0
    """active_invalidate_ranges: how many invalidations run now."""
    def_flags: int = 0
    """mm->def_flags: VM_* bits that every new mapping gets (mlockall)."""
    map_count: int = 0
    """How many VMAs it has; insert_vma() and detach_vma() count."""
    exiting: bool = False
    """All its threads have ended, its address space is being torn down: no call of it can begin any more."""
    forking: bool = False
    """The fork() that makes it has not returned yet: no thread of it runs, and no call of it can begin."""
    mm_slot: int = 0
    """MMF_VM_MERGEABLE: its place in the list of address spaces that ksmd goes through; 0: not in the list."""
    tlb_flush_pending: int = 0
    """How many unmaps of this mm have cleared entries, or are about to, and have not flushed yet."""


class Label(Record, frozen=True, omit_defaults=True):
    """A name for virtual pages [start, start + pages) of a process, as they were mapped."""

    start: int
    pages: int


class Cpu(Record, frozen=True, omit_defaults=True):
    """One processor."""

    irqs_off_by: str = ""
    """The task that has interrupts disabled on this CPU; empty = interrupts are on."""


class TlbEntry(Record, frozen=True, omit_defaults=True):
    """One translation that a CPU has cached; the page table may say something else by now."""

    process: str
    vpn: int
    pte: Pte


class File(Record, frozen=True, omit_defaults=True):
    """struct inode + address_space of one file."""

    kind: Word
    """`memfd`, `ext4`, `shmem` (behind MAP_SHARED|MAP_ANONYMOUS), `secretmem`, `devzero`, `dax`, `hugetlb` (a memfd of
    huge pages), `anon_hugepage` (behind MAP_HUGETLB), or a special one."""
    size: int = 0
    """i_size in pages."""
    seals: tuple[Word, ...] = ()
    open: bool = True
    """A descriptor is still open; when it is closed and no VMA is left, the file's pages are freed."""
    nr_thps: int = 0
    """How many large folios it has: each has one entry in the page cache, at its first page."""
    reserved: Runs = ()
    """The resv_map of a hugetlb file: 1 for each huge page that is reserved, or was and is in the page cache now."""
    i_mmap: tuple[tuple[str, int], ...] = ()
    """The VMAs that map it: (process, start), by offset, then as they came. What unmap_mapping_range() walks."""
    users: int = 0
    """Calls that hold it while they work on it without mmap_lock (get_file): it outlives its last mapping for them."""


class Userfaultfd(Record, frozen=True, omit_defaults=True):
    """struct userfaultfd_ctx: a file descriptor through which a program handles page faults of a process."""

    process: str
    """ctx->mm: whose faults."""
    features: tuple[Word, ...] = ()
    """UFFD_FEATURE_* that UFFDIO_API has chosen, in lower case."""
    open_in: Annotated[tuple[str, ...], ORDERED] = ()
    """The processes that have the descriptor: fork hands it on. With the last one it is closed."""
    waiting: Annotated[tuple[tuple[str, int], ...], ORDERED] = ()
    """fault_pending_wqh: (task, virtual page) of each fault that waits for an answer."""
    events: tuple[tuple[str, Word, str], ...] = ()
    """event_wqh: (task, what it has done, the child that it has made) of each call that waits to be read."""
    changing: int = 0
    """mmap_changing: calls under way whose event has not been read."""

    @staticmethod
    def of_child(uffd: str, child: str) -> str:
        """The name of the one that a child gets beside its parent's `uffd`, with UFFD_FEATURE_EVENT_FORK."""
        return f"{uffd}-{child}"


class SwapSlot(Record, frozen=True, omit_defaults=True):
    """One page of swap space."""

    count: int = 0
    """swap_map: how many swap entries (or files) refer to it."""
    pfn: Pfn = -1
    """The page that is its swap cache; -1 = none."""
    content: int = 0
    """What has been written to it."""


class KsmRmapItem(Record, frozen=True, omit_defaults=True):
    """struct ksm_rmap_item: what ksmd remembers of one address at which it has found an anonymous page."""

    oldchecksum: int = -1
    """The content that it saw there last; -1: none yet. Only a page that has kept it is worth comparing."""
    age: int = 0
    """How often it has looked; smart_scan skips an address that it has looked at in vain again and again."""
    remaining_skips: int = 0
    head: Pfn = -1
    """The KSM page in whose list it stands, once merged; -1: not in the stable tree."""
    anon_vma: AnonVmaNumber = 0
    """Of the VMA at the time of the merge: through it the reverse map finds this place, and forks of it."""


class KsmStableNode(Record, frozen=True, omit_defaults=True):
    """struct ksm_stable_node: a KSM page in the stable tree. It holds no reference on the page."""

    content: int = 0
    """Where it stands in the tree."""
    rmap_items: tuple[tuple[str, int], ...] = ()
    """(process, vpn) of each address that ksmd has merged into it, the latest first."""


class AnonVma(Record, frozen=True, omit_defaults=True):
    """struct anon_vma: which VMAs may map the anonymous pages that belong to it."""

    vmas: tuple[tuple[str, int], ...] = ()
    """(process, start) of each, by offset, then as they came. The reverse map walks it."""
    parent: AnonVmaNumber = 0
    root: AnonVmaNumber = 0
    num_active_vmas: int = 0
    num_children: int = 0


class Lock(Record, frozen=True, omit_defaults=True):
    """A sleeping lock: one writer or several readers (task names)."""

    writer: str = ""
    readers: Annotated[tuple[str, ...], ORDERED] = ()


RefKind = Literal["get", "pin", "follow", "grab", "mirror", "map", "pipe", "gpu"]
"""How it came by its pages: GUP with FOLL_GET or FOLL_PIN, KVM, a look into the page table, HMM, a dma-buf, splice(2)
to a pipe, or a GPU's own page table."""


class Reference(Record, frozen=True, omit_defaults=True):
    """What a user of somebody's pages holds: page references taken by GUP or by hand, or a mapping of a buffer."""

    kind: RefKind
    process: str = ""
    """Whose address space it was taken through …"""
    vpn: int = 0
    """… and at which first virtual page."""
    frames: tuple[Pfn, ...] = ()
    """The pfns, one a page, as they were when it was taken."""
    by: str = ""
    """The device that uses it; empty = the CPU."""
    write: bool = False
    """Taken for writing. Kind `pipe`: PIPE_BUF_FLAG_CAN_MERGE of its buffer, more may be appended to the page."""
    longterm: bool = False
    counted: bool = True
    """It holds one page reference (or pin) a frame. A mapping of a dma-buf and a mirror hold none."""
    dmabuf: str = ""
    """Kind `map`: the dma-buf that is mapped for DMA."""
    seq: int = -1
    """Of who follows invalidations: the mm's sequence while one that has met its range runs; else -1."""
    looking: Annotated[tuple[str, ...], ORDERED] = ()
    """The tasks that look its pages up, and that no invalidation of its range has met since: to the kernel a sequence
    that has not moved (mmu_interval_notifier.invalidate_seq)."""
    buffer: str = ""
    """The buffer whose pages they were when it was taken, empty for other memory."""
    tlb: tuple[Pfn, ...] = ()
    """Kind `gpu`: what the GPU's TLB remembers of each page, -1 where nothing; its own entries may say otherwise."""
    heads: tuple[Pfn, ...] = ()
    """io_uring: the first page that it has of each folio, if it keeps one pin a folio; empty: one a page."""
    had: tuple[int, ...] = ()
    """The byte of each page when it was taken: what its holder knew already, for the rule `foreign-dma`."""
