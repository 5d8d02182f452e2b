"""madvise(2): what a program tells the kernel about its memory.

Some advice changes VMA flags, some takes pages away at once, some brings pages in. Holes in the range do not stop it:
the rest is done and the result is ENOMEM.
"""

from typing import ClassVar, Final

from model.engine.config import fact
from model.engine.lock import down_read, down_write, up_read, up_write
from model.engine.procedure import Outcome, Procedure, call, done, fail, goto, step, tail
from model.kernel.arch.boot import HUGETLB_NR
from model.kernel.fs.vfs import fallocate_punch
from model.kernel.mm.break_ksm import break_ksm
from model.kernel.mm.filemap import fput, get_file, page_cache_ra_unbounded
from model.kernel.mm.hugetlb_pool import is_vm_hugetlb_page
from model.kernel.mm.hugetlb_share import split_waits
from model.kernel.mm.khugepaged import madvise_collapse
from model.kernel.mm.ksm import ksm_compatible, ksm_enter
from model.kernel.mm.madvise_guard import madvise_guard_install, madvise_guard_remove
from model.kernel.mm.madvise_pages import madvise_cold_or_pageout, madvise_free_single_vma, madvise_willneed_swap
from model.kernel.mm.populate import faultin_page_range
from model.kernel.mm.unmap import zap_page_range_single
from model.kernel.mm.vma import find_vma, rmap_write_lock, vma_is_anonymous, vma_is_sealed, vma_lookup
from model.kernel.mm.vma_merge import vma_modify_flags
from model.memory.errno import EACCES, EAGAIN, EINVAL, ENOMEM, EPERM
from model.memory.flags import (
    VM_DONTCOPY,
    VM_DONTDUMP,
    VM_HUGEPAGE,
    VM_HUGETLB,
    VM_IO,
    VM_LOCKED,
    VM_MAYWRITE,
    VM_MERGEABLE,
    VM_NOHUGEPAGE,
    VM_PFNMAP,
    VM_RAND_READ,
    VM_SEQ_READ,
    VM_SHARED,
    VM_SPECIAL,
    VM_WIPEONFORK,
    VM_WRITE,
)
from model.memory.records import Vma
from model.memory.state import Memory, Transaction
from model.memory.units import Word

FLAGS_ADVICE: Final[dict[str, tuple[int, int]]] = {
    "normal": (0, VM_RAND_READ | VM_SEQ_READ),
    "sequential": (VM_SEQ_READ, VM_RAND_READ),
    "random": (VM_RAND_READ, VM_SEQ_READ),
    "dontfork": (VM_DONTCOPY, 0),
    "dofork": (0, VM_DONTCOPY),
    "wipeonfork": (VM_WIPEONFORK, 0),
    "keeponfork": (0, VM_WIPEONFORK),
    "dontdump": (VM_DONTDUMP, 0),
    "dodump": (0, VM_DONTDUMP),
    "hugepage": (VM_HUGEPAGE, VM_NOHUGEPAGE),
    "nohugepage": (VM_NOHUGEPAGE, VM_HUGEPAGE),
    "mergeable": (VM_MERGEABLE, 0),
    "unmergeable": (0, VM_MERGEABLE),
}
"""Advice that only changes VMA flags: which it sets and which it clears. It needs mmap_lock for writing."""

PAGES_ADVICE: Final = (
    "dontneed",
    "dontneed_locked",
    "free",
    "cold",
    "pageout",
    "remove",
    "willneed",
    "collapse",
    "guard_install",
    "guard_remove",
)
"""Advice about the pages: mmap_lock for reading is enough, so it runs beside page faults and get_user_pages()."""

DISCARDS: Final = ("free", "dontneed", "dontneed_locked", "remove", "dontfork", "wipeonfork", "guard_install")
"""Advice after which the process, or its child, finds other content than before."""

POPULATE_ADVICE: Final = ("populate_read", "populate_write")

ADVICE: Final = frozenset((*FLAGS_ADVICE, *PAGES_ADVICE, *POPULATE_ADVICE))
"""All that madvise() knows."""


class do_madvise(Procedure):
    """madvise(2), with the advice in lower case and without MADV_."""

    source: ClassVar[str] = "mm/madvise.c: do_madvise, madvise_walk_vmas"
    mm: str
    start: int
    """The part before it is done."""
    pages: int
    advice: Word
    end: int = 0
    stop: int = 0
    """End of the part that is being done."""
    unmapped: int = 0
    """-ENOMEM once a hole has been seen."""
    file: str = ""
    """The file that is held while mmap_lock is not."""

    @step
    def check_arguments(self, tx: Transaction) -> Outcome:
        """Unknown advice is EINVAL; advice about no page at all is fine."""
        if self.advice not in ADVICE or (self.advice.startswith("guard") and not fact(tx, "guard regions")):
            return fail(EINVAL)
        if not self.pages:
            return done()
        self.end = self.start + self.pages
        if self.advice in POPULATE_ADVICE:
            write = self.advice == "populate_write"
            return tail(faultin_page_range(mm=self.mm, start=self.start, pages=self.pages, write=write))
        return None

    @step
    def mmap_lock(self, tx: Transaction) -> Outcome:
        """Lock the address space: for writing where VMAs change, else for reading."""
        lock = down_write if self.advice in FLAGS_ADVICE else down_read
        return lock(tx, "mmap_lock", self.mm)

    @step
    def madvise_vma_behavior(self, tx: Transaction) -> Outcome:
        """Take the next VMA's part of the range, skip a hole before it, and do what the advice says.

        A VMA that the advice does not suit ends the call with EINVAL; what has been done before stays done.
        """
        vma = find_vma(tx, self.mm, self.start)
        if vma is None or vma.start >= self.end:
            self.ret = -ENOMEM if self.start < self.end else self.unmapped
            return goto(do_madvise.mmap_unlock)
        if self.start < vma.start:
            self.start, self.unmapped = vma.start, -ENOMEM
        self.stop = min(vma.end, self.end)
        error = refusal(tx, vma, self.advice, self.start)
        if error:
            self.ret = -error
            return goto(do_madvise.mmap_unlock)
        if self.advice == "unmergeable" and vma.flags & VM_MERGEABLE and vma.anon_vma:
            return call(break_ksm(mm=self.mm, start=self.start, end=self.stop), do_madvise.unmerged)
        if self.advice in FLAGS_ADVICE:
            return self.update_vma(tx, vma)
        return self.act(tx, vma)

    def update_vma(self, tx: Transaction, vma: Vma) -> Outcome:
        """Change the flags of the part; this may split the VMA or merge it (madvise_update_vma)."""
        if (wait := rmap_write_lock(tx, vma)) is not None:
            return wait
        if (wait := split_waits(tx, self.mm, vma, self.start, self.stop)) is not None:
            return wait
        flags = advised_flags(tx, vma, self.advice)
        if self.advice == "mergeable" and flags != vma.flags:
            ksm_enter(tx, self.mm)
        if flags != vma.flags:
            changed = vma_modify_flags(tx, self.mm, vma, self.start, self.stop, flags)
            if isinstance(changed, int):
                self.ret = -EAGAIN if changed == -ENOMEM else changed
                return goto(do_madvise.mmap_unlock)
            self.stop = max(self.stop, changed.end)
        self.ret = 0
        return goto(do_madvise.next_vma)

    def act(self, tx: Transaction, vma: Vma) -> Outcome:
        """Call what takes the pages of the part away, or notes that they can go."""
        mm, start, end = self.mm, self.start, self.stop
        reclaim = fact(tx, "MADV_DONTNEED frees empty page tables")
        self.ret = 0
        match self.advice:
            case "dontneed" | "dontneed_locked":
                if is_vm_hugetlb_page(vma):
                    end -= end % HUGETLB_NR
                if start == end:
                    return None
                return call(zap_page_range_single(mm=mm, vmas=(vma,), start=start, end=end, reclaim_pt=reclaim))
            case "free":
                return call(madvise_free_single_vma(mm=mm, vma=vma, start=start, end=end))
            case "cold" | "pageout":
                pageout = self.advice == "pageout"
                return call(madvise_cold_or_pageout(mm=mm, vma=vma, start=start, end=end, pageout=pageout))
            case "guard_install":
                return call(madvise_guard_install(mm=mm, start=start, end=end))
            case "guard_remove":
                return call(madvise_guard_remove(mm=mm, start=start, end=end))
            case "collapse":
                return call(madvise_collapse(mm=mm, start=start, end=end))
            case "remove":
                return goto(do_madvise.unlock_for_punch)
            case "willneed" if vma.ops in ("", "shmem"):
                return call(madvise_willneed_swap(mm=mm, vma=vma, start=start, end=end))
            case "willneed" if vma.file:
                return goto(do_madvise.unlock_for_readahead)
            case _:
                return None

    @step
    def next_vma(self, tx: Transaction) -> Outcome:
        """On to the next VMA, if there is more of the range."""
        self.start = self.stop
        if self.ret < 0 or self.start >= self.end:
            self.ret = self.ret or self.unmapped
            return goto(do_madvise.mmap_unlock)
        return goto(do_madvise.madvise_vma_behavior)

    @step
    def unmerged(self, tx: Transaction) -> Outcome:
        """Nothing is merged there any more: now the flag can go. Without memory for the copies it stays."""
        vma = vma_lookup(tx, self.mm, self.start)
        assert vma is not None
        return self.update_vma(tx, vma) if self.ret >= 0 else goto(do_madvise.mmap_unlock)

    @step
    def unlock_for_punch(self, tx: Transaction) -> Outcome:
        """MADV_REMOVE punches a hole into the file. File locks come before mmap_lock, so that is given up meanwhile.

        The mapping may go then; the file is held.
        """
        vma = vma_lookup(tx, self.mm, self.start)
        assert vma is not None
        self.file = vma.file
        get_file(tx, vma.file)
        up_read(tx, "mmap_lock", self.mm)
        offset = vma.pgoff + self.start - vma.start
        return call(fallocate_punch(file=vma.file, offset=offset, pages=self.stop - self.start))

    @step
    def lock_after_punch(self, tx: Transaction) -> Outcome:
        """Let go of the file, and lock the address space again: it may have changed."""
        return self.lock_again(tx)

    @step
    def unlock_for_readahead(self, tx: Transaction) -> Outcome:
        """MADV_WILLNEED starts to read what the range maps of a file on disk, again without mmap_lock.

        Nobody waits for it, and whether it works is not reported. Other memory has nothing to read.
        """
        vma = vma_lookup(tx, self.mm, self.start)
        assert vma is not None
        if tx.files[vma.file].kind != "ext4":
            return goto(do_madvise.next_vma)
        self.file = vma.file
        get_file(tx, vma.file)
        up_read(tx, "mmap_lock", self.mm)
        first, last = (vma.pgoff + vpn - vma.start for vpn in (self.start, self.stop - 1))
        return call(page_cache_ra_unbounded(file=vma.file, first=first, last=last))

    @step
    def lock_after_readahead(self, tx: Transaction) -> Outcome:
        """Let go of the file, and lock the address space again: it may have changed."""
        self.ret = 0
        return self.lock_again(tx)

    def lock_again(self, tx: Transaction) -> Outcome:
        """Go on with the next VMA, if there is one still."""
        wait = down_read(tx, "mmap_lock", self.mm)
        if wait is None:
            fput(tx, self.file)
        return wait if wait is not None else goto(do_madvise.next_vma)

    @step
    def mmap_unlock(self, tx: Transaction) -> Outcome:
        """Drop mmap_lock."""
        unlock = up_write if self.advice in FLAGS_ADVICE else up_read
        unlock(tx, "mmap_lock", self.mm)
        return done(self.ret)


def can_madvise_modify(vma: Vma, advice: str) -> bool:
    """Whether a seal permits it: advice that discards content is for who may write the memory, or for files."""
    return not vma_is_sealed(vma) or advice not in DISCARDS or not vma_is_anonymous(vma) or bool(vma.flags & VM_WRITE)


def advised_flags(mem: Memory, vma: Vma, advice: str) -> int:
    """The VMA's flags after the advice. KSM takes only private ordinary memory; other VMAs ignore it silently."""
    if advice == "mergeable" and not ksm_compatible(mem, vma):
        return vma.flags
    sets, clears = FLAGS_ADVICE[advice]
    return vma.flags & ~clears | sets


def refusal(mem: Memory, vma: Vma, advice: str, start: int = 0) -> int:
    """An errno where the advice does not suit the VMA, or 0 (kernel-facts H.2)."""
    if not can_madvise_modify(vma, advice):
        return EPERM
    match advice:
        case "dontneed" | "dontneed_locked" if is_vm_hugetlb_page(vma):
            return EINVAL if start % HUGETLB_NR else 0
        case "dontneed":
            return EINVAL if vma.flags & (VM_LOCKED | VM_PFNMAP) else 0
        case "dontneed_locked":
            return EINVAL if vma.flags & VM_PFNMAP else 0
        case "free":
            return EINVAL if vma.flags & (VM_LOCKED | VM_PFNMAP) or not vma_is_anonymous(vma) else 0
        case "cold" | "pageout":
            return EINVAL if vma.flags & (VM_LOCKED | VM_PFNMAP | VM_HUGETLB) else 0
        case "remove":
            if vma.flags & VM_LOCKED or not vma.file:
                return EINVAL
            return 0 if vma.flags & (VM_SHARED | VM_MAYWRITE) == VM_SHARED | VM_MAYWRITE else EACCES
        case "dofork":
            forbidden = VM_SPECIAL | VM_HUGETLB if fact(mem, "MADV_DOFORK refuses every special VMA") else VM_IO
            return EINVAL if vma.flags & forbidden else 0
        case "wipeonfork":
            return EINVAL if vma.file or vma.flags & VM_SHARED else 0
        case "dodump":
            return EINVAL if vma.flags & VM_SPECIAL and not vma.flags & VM_HUGETLB else 0
        case "guard_install":
            return EINVAL if vma.flags & (VM_SPECIAL | VM_HUGETLB | VM_LOCKED) else 0
        case "guard_remove":
            return EINVAL if vma.flags & (VM_SPECIAL | VM_HUGETLB) else 0
        case _:
            return 0
