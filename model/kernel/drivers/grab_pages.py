"""What a careless driver does: it takes whatever the page table points at."""

from typing import ClassVar

from model.engine.procedure import Outcome, Procedure, done, fail, goto, step
from model.kernel.drivers.buffer import buffer_under
from model.kernel.mm.follow_pte import pfn_at
from model.kernel.mm.page import get_page, put_page
from model.kernel.mm.physical import pfn_valid
from model.memory.errno import EEXIST, EFAULT
from model.memory.records import Reference
from model.memory.state import Transaction
from model.memory.units import Pfn


class grab_pages(Procedure):
    """A driver takes what the PTEs point at: pfn_to_page() and get_page(). Returns the number of pages."""

    source: ClassVar[str] = "an out-of-tree driver"
    name: str
    mm: str
    start: int
    pages: int
    by: str = ""
    raw: bool = False
    """Only the frame numbers are kept: no reference, and no notifier that would tell of changes."""
    pfn: int = 0
    frames: tuple[Pfn, ...] = ()
    """The numbers, where they are all that is kept."""

    @step
    def read_pte(self, tx: Transaction) -> Outcome:
        """Look at the next entry, without a lock. No VMA is asked, no special bit, no write permission."""
        got = len(self.frames if self.raw else self.holds)
        if got == self.pages:
            return goto(grab_pages.keep)
        pfn = pfn_at(tx, self.mm, self.start + got)
        if pfn is None or not pfn_valid(pfn):
            for held in self.holds:
                put_page(tx, held)
            return fail(EFAULT)
        self.pfn = pfn
        if self.raw:
            self.frames += (pfn,)
            return goto(grab_pages.read_pte)
        return None

    @step
    def get_page(self, tx: Transaction) -> Outcome:
        """One more on the count of whatever that frame is by now, even if the count was 0."""
        get_page(tx, self.pfn)
        self.holds += (self.pfn,)
        return goto(grab_pages.read_pte)

    @step
    def keep(self, tx: Transaction) -> Outcome:
        """The driver believes that the buffer cannot go away now, because it holds its pages."""
        held, self.holds = self.holds, ()
        frames = self.frames if self.raw else held
        if self.name in tx.references:  # another task was faster with this name
            for pfn in held:
                put_page(tx, pfn)
            return fail(EEXIST)
        tx.references[self.name] = Reference(
            "grab",
            process=self.mm,
            vpn=self.start,
            frames=frames,
            by=self.by,
            write=True,
            counted=not self.raw,
            buffer=buffer_under(tx, frames),
        )
        return done(len(frames))
