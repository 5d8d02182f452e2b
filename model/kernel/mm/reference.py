"""Users of GUP: a named reference on some pages of a process, taken and given back."""

from typing import ClassVar

from model.engine.mends import mended
from model.engine.procedure import Outcome, Procedure, call, done, fail, goto, step
from model.engine.splat import warn_on_once
from model.kernel.drivers.buffer import buffer_under
from model.kernel.mm.filemap import folio_lock, folio_unlock
from model.kernel.mm.gup_fast import get_user_pages_fast
from model.kernel.mm.gup_longterm import gup_slow
from model.kernel.mm.mmu_notifier import follows_invalidations
from model.kernel.mm.page import set_page_flags
from model.kernel.mm.physical import pfn_valid
from model.kernel.mm.pin import gup_put, unpin_user_page
from model.kernel.virt.hva_to_pfn import is_reserved
from model.memory.errno import EEXIST, EFAULT, EINVAL, ENOENT
from model.memory.flags import (
    FOLL_FAST_ONLY,
    FOLL_GET,
    FOLL_LONGTERM,
    FOLL_PIN,
    FOLL_TOUCH,
    FOLL_WRITE,
    PG_DIRTY,
    PG_PRIVATE,
)
from model.memory.folio import folio_of, page_folio
from model.memory.record_base import replaced
from model.memory.records import Reference, RefKind
from model.memory.state import Transaction
from model.memory.units import Word


class take_reference(Procedure):
    """A driver takes references on all pages of a range, or on none. Returns the number of pages."""

    source: ClassVar[str] = "a driver, e.g. io_uring/rsrc.c: io_pin_pages"
    name: str
    mm: str
    start: int
    pages: int
    foll: int
    how: Word = "fast"
    """`fast`: get_user_pages_fast; `slow`: get_user_pages; `fast-only`: no fallback."""
    by: str = ""
    """The device that will use the pages."""

    @step
    def get_the_pages(self, tx: Transaction) -> Outcome:
        """Call get_user_pages (FOLL_GET) or pin_user_pages (FOLL_PIN)."""
        if self.foll & FOLL_LONGTERM and not self.foll & FOLL_PIN:
            return fail(EINVAL)
        if self.how == "slow":
            foll = self.foll | FOLL_TOUCH
            return call(gup_slow(self.mm, self.start, self.pages, foll))
        foll = self.foll | (FOLL_FAST_ONLY if self.how == "fast-only" else 0)
        return call(get_user_pages_fast(mm=self.mm, vpn=self.start, pages=self.pages, foll=foll))

    @step
    def keep_or_give_back(self, tx: Transaction) -> Outcome:
        """If some page is missing, give the others back and fail. Otherwise note what we hold: frames, not addresses.

        Nobody tells us when the mapping changes.
        """
        pinned = bool(self.foll & FOLL_PIN)
        pages = self.pins if pinned else self.holds
        self.holds = self.pins = ()
        if len(pages) < self.pages:
            gup_put(tx, pages, pinned=pinned)
            return done(self.ret) if self.ret < 0 else fail(EFAULT)
        write, longterm = bool(self.foll & FOLL_WRITE), bool(self.foll & FOLL_LONGTERM)
        kind: RefKind = "pin" if pinned else "get"
        return note(tx, self.name, Reference(kind, self.mm, self.start, pages, self.by, write, longterm))


class io_sqe_buffer_register(take_reference):
    """io_uring registers a fixed buffer: a long-term pin for writing; one pin a folio is kept, not one a page."""

    source: ClassVar[str] = "io_uring/rsrc.c: io_sqe_buffer_register, io_check_coalesce_buffer, io_coalesce_buffer"
    foll: int = FOLL_PIN | FOLL_WRITE | FOLL_LONGTERM

    @step
    def keep_or_give_back(self, tx: Transaction) -> Outcome:
        """If some page is missing, give the others back and fail. Otherwise note what we hold: frames, not addresses.

        Pages side by side in large folios of one size need one pin a folio, which keeps all of it. The others are
        dropped at once.

        As it was before 776617db78c6, it was enough that all pages belonged to one folio: the buffer was noted as the
        first page and a length, wherever the others were.
        """
        taken, others = self.pins, self.name in tx.references
        outcome = take_reference.keep_or_give_back(self, tx)
        if not others and self.name in tx.references:
            heads = coalescible(tx, taken)
            if not mended(tx, "io-uring-consecutive") and len({page_folio(tx, pfn) for pfn in taken}) == 1:
                heads = taken[:1]
                tx.references.update(self.name, frames=tuple(range(taken[0], taken[0] + len(taken))))
                for pfn in taken[1:]:
                    unpin_user_page(tx, pfn)
                taken = ()
            for pfn in taken if heads else ():
                if pfn not in heads:
                    unpin_user_page(tx, pfn)
            tx.references.update(self.name, heads=heads)
        return outcome


def coalescible(mem: Transaction, pages: tuple[int, ...]) -> tuple[int, ...]:
    """The first page of each folio, if the pages are those of large folios of one size, in order; else nothing."""
    heads = [page_folio(mem, pfn) for pfn in pages]
    size = folio_of(mem, pages[0]).pages
    firsts = [pages[0]]
    for before, pfn, head_before, head in zip(pages, pages[1:], heads, heads[1:], strict=False):
        if head == head_before and pfn == before + 1:
            continue
        if before != head_before + size - 1 or pfn != head or folio_of(mem, pfn).pages != size:
            return ()
        firsts.append(pfn)
    return tuple(firsts) if size > 1 and len(pages) > 1 else ()


def note(tx: Transaction, name: str, reference: Reference) -> Outcome:
    """Enter what was taken under its name; the value is the number of pages.

    If another task was faster with this name the pages are given back.
    """
    pages = reference.frames
    if name in tx.references:
        gup_put(tx, pages, pinned=reference.kind == "pin")
        return fail(EEXIST)
    had = tuple([tx.content.get(pfn) or 0 for pfn in pages])
    tx.references[name] = replaced(reference, buffer=buffer_under(tx, pages), had=had)
    return done(len(pages))


class vmsplice_get(Procedure):
    """vmsplice(2) puts pages of the process into a pipe: FOLL_GET for reading; a short count is a success."""

    source: ClassVar[str] = "fs/splice.c: vmsplice_to_pipe, iter_to_pipe; lib/iov_iter.c: iov_iter_get_pages2"
    name: str
    mm: str
    start: int
    pages: int

    @step
    def iov_iter_get_pages(self, tx: Transaction) -> Outcome:
        """get_user_pages_fast without FOLL_WRITE: the pipe only wants to read the pages later."""
        got = len(self.holds)
        return call(get_user_pages_fast(mm=self.mm, vpn=self.start + got, pages=self.pages - got, foll=FOLL_GET))

    @step
    def add_to_pipe(self, tx: Transaction) -> Outcome:
        """If some pages came, ask for the rest. An error ends it, and only matters if there are no pages at all.

        Each time the fast path starts anew, and so gets past a page that the slow one refused by its VMA.
        """
        if self.ret > 0 and len(self.holds) < self.pages:
            return goto(vmsplice_get.iov_iter_get_pages)
        pages, self.holds = self.holds, ()
        if not pages:
            return done(self.ret)
        return note(tx, self.name, Reference("get", self.mm, self.start, pages))


def folio_mark_dirty(tx: Transaction, pfn: int) -> None:
    """PG_dirty, by way of the filesystem (mm/page-writeback.c); what has left its file is only marked."""
    frame = tx.frames.get(pfn)
    if frame is None or frame.kind not in ("anon", "file"):
        return
    file = tx.files.get(frame.mapping) if frame.kind == "file" else None
    if file is not None and file.kind == "ext4" and not frame.flags & PG_PRIVATE:
        warn_on_once(tx, "fs/ext4/inode.c:3664 ext4_dirty_folio", "WARN_ON_ONCE(!folio_buffers(folio))")
    set_page_flags(tx, pfn, PG_DIRTY)


class put_reference(Procedure):
    """Give all pages of a named reference back: put_page() or unpin_user_page() for each."""

    source: ClassVar[str] = "mm/gup.c: unpin_user_pages, unpin_user_pages_dirty_lock; mm/swap.c: put_page"
    name: str
    dirty: bool = False
    """The holder has written to the pages, and says so."""
    pinned: bool = False
    told: int = 0
    """How many pages have been marked dirty."""

    @step
    def forget(self, tx: Transaction) -> Outcome:
        """The holder will not use the pages any more."""
        reference = tx.references.get(self.name)
        if reference is None:
            return fail(ENOENT)
        if not reference.counted:
            if follows_invalidations(reference):
                tx.counters["mirrors"] = tx.counters["mirrors"] - 1
            del tx.references[self.name]
            return done()
        self.pinned = reference.kind == "pin"
        if self.pinned:
            self.pins = reference.heads or reference.frames
        else:
            by_kvm = reference.kind == "follow"
            self.holds = tuple(
                pfn for pfn in reference.frames if pfn_valid(pfn) and not (by_kvm and is_reserved(tx, pfn))
            )
        del tx.references[self.name]
        return None if self.dirty else goto(put_reference.put_pages)

    @step
    def set_page_dirty_lock(self, tx: Transaction) -> Outcome:
        """Whoever has written says so, page by page, under the page's lock. A driver that forgets it loses the bytes.

        For a disk file the filesystem should have been asked before the write. If it has cleaned the page since and
        taken its buffers off, it does not expect this: ext4 warns.
        """
        pages = self.pins if self.pinned else self.holds
        while self.told < len(pages):
            pfn = pages[self.told]
            if (wait := folio_lock(tx, pfn)) is not None:
                return wait
            folio_mark_dirty(tx, pfn)
            folio_unlock(tx, pfn)
            self.told += 1
        return None

    @step
    def put_pages(self, tx: Transaction) -> Outcome:
        """An unpin subtracts 1024, a put 1. At zero the frame is freed."""
        gup_put(tx, self.pins if self.pinned else self.holds, pinned=self.pinned)
        self.holds = self.pins = ()
        return done()
