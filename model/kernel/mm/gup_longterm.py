"""Long-term pins: a page that must be able to move - in a CMA area - is moved *before* it is pinned for long.

Whoever needs that memory later (a camera, a video codec) can empty the area only as long as nobody holds its pages.
"""

from typing import ClassVar

from model.engine.procedure import Outcome, Procedure, call, done, goto, hand_over, step
from model.kernel.mm.gup import get_user_pages_unlocked
from model.kernel.mm.migrate import migrate_pages
from model.kernel.mm.pin import gup_put
from model.memory.errno import ENOMEM
from model.memory.flags import FOLL_LONGTERM, PG_CMA
from model.memory.folio import folio_of
from model.memory.state import Transaction
from model.memory.units import Pfn


def gup_slow(mm: str, vpn: int, pages: int, foll: int) -> Procedure:
    """The slow path for what was asked for: FOLL_LONGTERM looks at the pages once more."""
    if foll & FOLL_LONGTERM:
        return gup_longterm_locked(mm=mm, vpn=vpn, pages=pages, foll=foll)
    return get_user_pages_unlocked(mm=mm, vpn=vpn, pages=pages, foll=foll)


class gup_longterm_locked(Procedure):
    """Pin pages for long. Returns the number of pages, handed over, or an errno."""

    source: ClassVar[str] = "mm/gup.c: __gup_longterm_locked, check_and_migrate_movable_pages"
    mm: str
    vpn: int
    pages: int
    foll: int
    movable: tuple[Pfn, ...] = ()
    """The virtual pages whose frames must move first."""

    @step
    def pin(self, tx: Transaction) -> Outcome:
        """Pin the range the normal way, so that all checks and faults are done."""
        return call(get_user_pages_unlocked(mm=self.mm, vpn=self.vpn, pages=self.pages, foll=self.foll))

    @step
    def collect_longterm_unpinnable_pages(self, tx: Transaction) -> Outcome:
        """Does any of the pages lie in a CMA area? Then give all pins back: what is pinned cannot be moved."""
        if self.ret <= 0:
            return done(self.ret)
        pages, self.pins = self.pins, ()
        self.movable = tuple(self.vpn + at for at, pfn in enumerate(pages) if folio_of(tx, pfn).flags & PG_CMA)
        if not self.movable:
            return hand_over(self.ret, pages, pinned=True)
        gup_put(tx, pages, pinned=True)
        return None

    @step
    def migrate_longterm_unpinnable_pages(self, tx: Transaction) -> Outcome:
        """Move the next of them out of the area (MR_LONGTERM_PIN); when all are out, pin the range from scratch."""
        if not self.movable:
            return goto(gup_longterm_locked.pin)
        vpn, self.movable = self.movable[0], self.movable[1:]
        return call(migrate_pages(mm=self.mm, vpn=vpn, to_cma=False))

    @step
    def migrated(self, tx: Transaction) -> Outcome:
        """If somebody else holds the page it cannot be moved, and so cannot be pinned for long: ENOMEM."""
        return done(-ENOMEM) if self.ret < 0 else goto(gup_longterm_locked.migrate_longterm_unpinnable_pages)
