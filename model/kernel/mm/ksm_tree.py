"""What ksmd remembers: one rmap_item for each address that it has looked at, and its two trees, sorted by content.

The stable tree holds the KSM pages. They are write-protected, so their content, and with it the tree, stays as it is.
The unstable tree holds pages that might get a partner during one scan: anybody may write to them meanwhile.
"""

from typing import Final

from model.engine.config import fact
from model.engine.procedure import Blocked, blocked
from model.memory.flags import PG_KSM
from model.memory.record_base import replaced
from model.memory.records import KsmRmapItem, KsmStableNode
from model.memory.state import Memory, Transaction

MAX_PAGE_SHARING: Final = 256
"""ksm_max_page_sharing: a KSM page that so many addresses share takes no more of them; the next page gets a new one."""
KSM_MAPPING: Final = "ksm:"
"""folio->mapping of a KSM page: its stable node, which knows it by its pfn."""
AGE_MAX: Final = 255
"""U8_MAX, where the age of an rmap_item stops."""


def ksm_get_folio(tx: Transaction, pfn: int) -> bool:
    """Whether the page of a stable node is still its KSM page. The node holds no reference; if not, it is removed."""
    if tx.frames[pfn].flags & PG_KSM and tx.frames[pfn].refcount > 0:
        return True
    remove_node_from_stable_tree(tx, pfn)
    return False


def remove_node_from_stable_tree(tx: Transaction, pfn: int) -> None:
    """Take a page out of the stable tree, if it is there: its addresses are ordinary ones again."""
    node = tx.ksm_stable_nodes.get(pfn)
    if node is None:
        return
    for place in node.rmap_items:
        left_stable_tree(tx, *place)
    dups = tuple(dup for dup in tx.ksm_stable_tree[node.content] if dup != pfn)
    if dups:
        tx.ksm_stable_tree[node.content] = dups
    else:
        del tx.ksm_stable_tree[node.content]
    del tx.ksm_stable_nodes[pfn]


def left_stable_tree(tx: Transaction, mm: str, vpn: int) -> None:
    """An rmap_item is in no tree any more. Where its words overlay each other, checksum and age are lost as well."""
    if fact(tx, "ksmd forgets an address that leaves the stable tree"):
        tx.ksm_rmap_items[mm, vpn] = KsmRmapItem()
    else:
        tx.ksm_rmap_items.update((mm, vpn), head=-1, anon_vma=0)


def remove_rmap_item_from_tree(tx: Transaction, mm: str, vpn: int) -> Blocked | None:
    """Take an address out of the tree that it stands in, whichever that is.

    A KSM page that somebody has locked is waited for (KSM_GET_FOLIO_LOCK): it may be on the move, and through the
    addresses of its node remove_migration_ptes finds its entries, those of a fork's child included.
    """
    item = tx.ksm_rmap_items[mm, vpn]
    if item.head >= 0:
        if ksm_get_folio(tx, item.head):
            lock = tx.locks.get(("folio", str(item.head)))
            if lock is not None and lock.writer != tx.task_name:
                return blocked(f"the lock of frame {item.head}, held by {lock.writer}")
            node = tx.ksm_stable_nodes[item.head]
            rest = tuple(place for place in node.rmap_items if place != (mm, vpn))
            tx.ksm_stable_nodes[item.head] = replaced(node, rmap_items=rest)
            left_stable_tree(tx, mm, vpn)
    elif tx.ksm_unstable_tree.get(item.oldchecksum) == (mm, vpn):
        del tx.ksm_unstable_tree[item.oldchecksum]
    return None


def free_rmap_item(tx: Transaction, mm: str, vpn: int) -> Blocked | None:
    """There is no mergeable page at this address any more."""
    if (wait := remove_rmap_item_from_tree(tx, mm, vpn)) is not None:
        return wait
    del tx.ksm_rmap_items[mm, vpn]
    return None


def is_page_sharing_candidate(mem: Memory, pfn: int) -> bool:
    """Whether one more address may be merged into a KSM page."""
    node = mem.ksm_stable_nodes.get(pfn)
    return node is not None and len(node.rmap_items) < MAX_PAGE_SHARING


def stable_tree_search(tx: Transaction, content: int) -> int | None:
    """A KSM page of this content that may be shared once more, or None. What is stale is pruned on the way."""
    for dup in tx.ksm_stable_tree.get(content) or ():
        if ksm_get_folio(tx, dup) and is_page_sharing_candidate(tx, dup):
            return dup
    return None


def stable_tree_insert(tx: Transaction, pfn: int) -> None:
    """A new KSM page enters the stable tree, before those that have the same content and are full."""
    content = tx.content.get(pfn) or 0
    tx.ksm_stable_tree[content] = (pfn, *(tx.ksm_stable_tree.get(content) or ()))
    tx.ksm_stable_nodes[pfn] = KsmStableNode(content)


def stable_tree_append(tx: Transaction, mm: str, vpn: int, pfn: int) -> None:
    """One more address whose page is this KSM page: through it the reverse map finds the entry."""
    node = tx.ksm_stable_nodes[pfn]
    tx.ksm_stable_nodes[pfn] = replaced(node, rmap_items=((mm, vpn), *node.rmap_items))
    tx.ksm_rmap_items.update((mm, vpn), head=pfn)


def folio_migrate_ksm(tx: Transaction, old: int, new: int) -> None:
    """The stable node of a page that has been migrated knows the new page from now on."""
    node = tx.ksm_stable_nodes.get(old)
    if node is None:
        return
    del tx.ksm_stable_nodes[old]
    tx.ksm_stable_nodes[new] = node
    tx.ksm_stable_tree[node.content] = tuple(new if dup == old else dup for dup in tx.ksm_stable_tree[node.content])
    for place in node.rmap_items:
        tx.ksm_rmap_items.update(place, head=new)


def should_skip_rmap_item(tx: Transaction, mm: str, vpn: int, pfn: int) -> bool:
    """smart_scan: whether this address is passed over in this scan, because it has been looked at in vain so often.

    The older it is, the longer it is left alone. So two equal pages find each other only in a scan that skips neither.
    """
    item = tx.ksm_rmap_items[mm, vpn]
    flags = tx.frames[pfn].flags if pfn in tx.frames else 0
    if not fact(tx, "ksmd skips pages that never merge") or flags & PG_KSM or item.head >= 0:
        return False
    tx.ksm_rmap_items[mm, vpn] = replaced(item, age=min(item.age + 1, AGE_MAX))
    if item.age < 3:
        return False
    if not item.remaining_skips:
        tx.ksm_rmap_items.update((mm, vpn), remaining_skips=skip_age(item.age))
        return False
    tx.ksm_rmap_items.update((mm, vpn), remaining_skips=item.remaining_skips - 1)
    remove_rmap_item_from_tree(tx, mm, vpn)
    return True


def skip_age(age: int) -> int:
    """How many scans an address of this age is left alone.

    >>> [skip_age(age) for age in (3, 5, 8, 9)]
    [1, 2, 4, 8]
    """
    return next((skips for most, skips in ((3, 1), (5, 2), (8, 4)) if age <= most), 8)
