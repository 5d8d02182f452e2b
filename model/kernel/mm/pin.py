"""What FOLL_PIN adds to a page, and how it is given back: for GUP, and for whoever else pins (udmabuf)."""

from model.engine.config import fact
from model.kernel.arch.pgtable import is_zero_pfn
from model.kernel.mm.page import put_page
from model.memory.flags import GUP_PIN_COUNTING_BIAS
from model.memory.state import Transaction


def pin_page(tx: Transaction, pfn: int) -> None:
    """FOLL_PIN on a page that has a reference already: 1024 more, which page_maybe_dma_pinned() recognises."""
    frame = tx.frames[pfn]
    tx.frames.update(pfn, refcount=frame.refcount + GUP_PIN_COUNTING_BIAS, pins=frame.pins + 1)


def unpin_user_page(tx: Transaction, pfn: int) -> None:
    """Release one FOLL_PIN. On a page that was only got it takes 1024 away all the same (kernel-facts A.5)."""
    if is_zero_pfn(pfn) and fact(tx, "zero page is never pinned"):
        return
    if pfn in tx.frames:
        tx.frames.update(pfn, pins=tx.frames[pfn].pins - 1)
    put_page(tx, pfn, GUP_PIN_COUNTING_BIAS)


def gup_put(tx: Transaction, pfns: tuple[int, ...], *, pinned: bool) -> None:
    """Give back what GUP has handed out: put_page or unpin_user_page for each."""
    for pfn in pfns:
        if pinned:
            unpin_user_page(tx, pfn)
        else:
            put_page(tx, pfn)
