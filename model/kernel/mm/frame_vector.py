"""V4L2_MEMORY_USERPTR: a camera writes into memory of the process that it has been given by address."""

from typing import ClassVar

from model.engine.lock import down_read, up_read
from model.engine.mends import mended
from model.engine.procedure import Outcome, Procedure, call, done, fail, goto, step
from model.kernel.arch.pgtable import pte_lock
from model.kernel.drivers.buffer import buffer_under
from model.kernel.mm.follow_pte import pfn_at
from model.kernel.mm.gup_fast import get_user_pages_fast
from model.kernel.mm.pin import gup_put
from model.kernel.mm.reference import note
from model.kernel.mm.vma import vma_lookup
from model.memory.errno import EEXIST, EFAULT
from model.memory.flags import FOLL_LONGTERM, FOLL_PIN, FOLL_WRITE, VM_IO, VM_PFNMAP
from model.memory.records import Reference
from model.memory.state import Transaction
from model.memory.units import Pfn


class get_vaddr_frames(Procedure):
    """Pin the pages of a range, for writing and for long. Returns their number, or an errno; all or none."""

    source: ClassVar[str] = "mm/frame_vector.c, drivers/media/common/videobuf2/frame_vector.c: get_vaddr_frames"
    name: str
    mm: str
    start: int
    pages: int
    by: str
    frames: tuple[Pfn, ...] = ()
    """As it was before 6647e76ab623: frame numbers that were read out of the page table."""

    @step
    def pin_user_pages_fast(self, tx: Transaction) -> Outcome:
        """Pin the pages, as for any transfer that lasts: FOLL_WRITE and FOLL_LONGTERM."""
        foll = FOLL_PIN | FOLL_WRITE | FOLL_LONGTERM
        return call(get_user_pages_fast(mm=self.mm, vpn=self.start, pages=self.pages, foll=foll))

    @step
    def keep(self, tx: Transaction) -> Outcome:
        """The camera gets the pages. What cannot be pinned it does not get: EFAULT.

        As it was before 6647e76ab623, it is tried in another way where nothing could be pinned: follow_pfn().
        """
        pins, self.pins = self.pins, ()
        if len(pins) == self.pages:
            return note(tx, self.name, Reference("pin", self.mm, self.start, pins, self.by, True, True))
        if pins or mended(tx, "v4l2-pins-only"):
            self.pins = pins
            return goto(get_vaddr_frames.give_back)
        return down_read(tx, "mmap_lock", self.mm)

    @step
    def follow_pfn(self, tx: Transaction) -> Outcome:
        """Read the frame number out of the page table. Nobody is told, nothing is counted.

        The number is used for as long as the buffer is queued. By then the frame may belong to anybody.
        """
        vpn = self.start + len(self.frames)
        vma = vma_lookup(tx, self.mm, vpn)
        if (wait := pte_lock(tx, self.mm, vpn)) is not None:
            return wait
        pfn = pfn_at(tx, self.mm, vpn) if vma is not None and vma.flags & (VM_IO | VM_PFNMAP) else None
        if pfn is None:
            up_read(tx, "mmap_lock", self.mm)
            return fail(EFAULT)
        self.frames += (pfn,)
        if len(self.frames) < self.pages:
            return goto(get_vaddr_frames.follow_pfn)
        up_read(tx, "mmap_lock", self.mm)
        if self.name in tx.references:  # another task was faster with this name
            return fail(EEXIST)
        tx.references[self.name] = Reference(
            "grab",
            self.mm,
            self.start,
            self.frames,
            self.by,
            write=True,
            longterm=True,
            counted=False,
            buffer=buffer_under(tx, self.frames),
        )
        return done(self.pages)

    @step
    def give_back(self, tx: Transaction) -> Outcome:
        """Unpin what was pinned: the camera gets all pages or none."""
        gup_put(tx, self.pins, pinned=True)
        self.pins = ()
        return fail(EFAULT)
