"""What FOLL_PIN adds to a page, and how it is given back: for GUP, and for whoever else pins (udmabuf)."""

from model.engine.config import fact
from model.kernel.arch.pgtable import is_zero_pfn
from model.kernel.mm.page import put_page, try_get_page
from model.memory.flags import GUP_PIN_COUNTING_BIAS
from model.memory.folio import folio_of, page_folio
from model.memory.records import Frame
from model.memory.state import Transaction


def pin_page(tx: Transaction, pfn: int) -> None:
    """FOLL_PIN on a page that has a reference already: 1024 more, which folio_maybe_dma_pinned() recognises.

    A large folio counts its pins apart, so each is one reference there (mm/gup.c: try_grab_folio).
    """
    head = page_folio(tx, pfn)
    frame = tx.frames[head]
    tx.frames.update(head, refcount=frame.refcount + pin_weight(frame), pins=frame.pins + 1)


def pin_weight(frame: Frame) -> int:
    """How much of the refcount one FOLL_PIN is."""
    return 1 if frame.large else GUP_PIN_COUNTING_BIAS


def try_pin_page(tx: Transaction, pfn: int, pages: int = 1) -> bool:
    """Pin pages of one folio unless its count is 0: for a walk without locks (mm/gup.c: try_grab_folio_fast)."""
    head = page_folio(tx, pfn)
    if not try_get_page(tx, head, pages * pin_weight(folio_of(tx, head))):
        return False
    tx.frames.update(head, pins=tx.frames[head].pins + pages)
    return True


def unpin_user_page(tx: Transaction, pfn: int) -> None:
    """Release one FOLL_PIN. On a page that was only got it takes 1024 away all the same (kernel-facts A.5)."""
    if is_zero_pfn(pfn) and fact(tx, "zero page is never pinned"):
        return
    head = page_folio(tx, pfn)
    weight = pin_weight(folio_of(tx, head))
    if head in tx.frames:
        tx.frames.update(head, pins=tx.frames[head].pins - 1)
    put_page(tx, head, weight)


def gup_put(tx: Transaction, pfns: tuple[int, ...], *, pinned: bool) -> None:
    """Give back what GUP has handed out: put_page or unpin_user_page for each."""
    for pfn in pfns:
        if pinned:
            unpin_user_page(tx, pfn)
        else:
            put_page(tx, pfn)
