"""Phrases that the explanations share: places, frames, holders and lists of them, in plain words."""

from collections.abc import Sequence
from typing import Final

from model.invariants.holders import WEIGHTS, Holder, large_weight
from model.invariants.machine_view import MachineView
from model.kernel.drivers.iomem import BAR_BASE
from model.kernel.drivers.ttm_pool import VRAM_BASE, pfn_valid
from model.kernel.fs.dax import PMEM_BASE

MOST_NAMED: Final = 4
"""A sentence names so many things and counts the rest."""


def place(scene: MachineView, process: str, vpn: int) -> str:
    """A virtual page as the learner knows it: `p0 buf+1 (page 17)`, or `p0 page 17` where no label covers it."""
    for (owner, name), label in sorted(scene.state.labels.items()):
        if owner == process and label.start <= vpn < label.start + label.pages:
            offset = vpn - label.start
            return f"{process} {name}{f'+{offset}' if offset else ''} (page {vpn})"
    return f"{process} page {vpn}"


def frame(scene: MachineView, pfn: int) -> str:
    """A frame by its number, and by its name where it has one."""
    if pfn >= BAR_BASE:
        return f"page {pfn - BAR_BASE} of the device memory"
    if not pfn_valid(pfn):
        return f"page {pfn - VRAM_BASE} of the video memory"
    if pfn >= PMEM_BASE:
        return f"block {pfn - PMEM_BASE} of the storage"
    found, head = scene.frame(pfn), scene.holding.head(pfn)
    if found.kind == "zero":
        return "the shared zero page" if head is None else "the huge zero page"
    return f"frame {pfn}" if head is None else f"page {pfn - head} of folio {head}"


def capital(phrase: str) -> str:
    """A phrase at the start of a sentence.

    >>> capital("frame 5")
    'Frame 5'
    """
    return phrase[0].upper() + phrase[1:]


def who(scene: MachineView, holder: Holder) -> str:
    """A holder, as a phrase that can stand in a list."""
    match holder.kind:
        case "pte":
            return f"the entry of {place(scene, holder.owner, holder.number)}"
        case "special":
            return f"the special entry of {place(scene, holder.owner, holder.number)}"
        case "huge" | "huge-special":
            return f"the 2 MiB entry of {place(scene, holder.owner, holder.number << 9)}"
        case "table":
            return f"the page tables of {holder.owner}"
        case "deposit":
            return (
                f"the table kept for the split of the 2 MiB entry of {place(scene, holder.owner, holder.number << 9)}"
            )
        case "cache":
            return f"page {holder.number} of file {holder.owner}"
        case "buffer" | "borrowed" | "borrowed-pin":
            return f"page {holder.number} of buffer {holder.owner}"
        case "pin" | "covered":
            return f"the pin {holder.owner}"
        case "get":
            return f"the reference {holder.owner}"
        case "loose":
            return f"{holder.owner} (which takes no page reference)"
        case "task" | "task-pin" | "rmap":
            return f"the call that task {holder.owner} is in"
        case "tlb":
            return f"the TLB of cpu{holder.level} for {place(scene, holder.owner, holder.number)}"


def weighed(scene: MachineView, holder: Holder, order: int = 0) -> str:
    """A holder with what it adds to the refcount, where that is not 1; `order` is that of a large folio."""
    refs = (large_weight(holder, order) if order else WEIGHTS[holder.kind]).refs
    return who(scene, holder) if refs == 1 else f"{who(scene, holder)} ({refs})"


def listing(phrases: Sequence[str]) -> str:
    """`a, b and c`, cut after MOST_NAMED.

    >>> listing(["a", "b", "c"]), listing(["a"]), listing(list("abcdef"))
    ('a, b and c', 'a', 'a, b, c, d and 2 more')
    """
    named = list(phrases[:MOST_NAMED])
    if len(phrases) > MOST_NAMED:
        named.append(f"{len(phrases) - MOST_NAMED} more")
    return " and ".join(filter(None, (", ".join(named[:-1]), *named[-1:])))


def plural(number: int, noun: str) -> str:
    """A number with its noun.

    >>> plural(1, "entry"), plural(2, "entry"), plural(3, "reference")
    ('1 entry', '2 entries', '3 references')
    """
    if number == 1:
        return f"1 {noun}"
    return f"{number} {noun[:-1]}ies" if noun.endswith("y") else f"{number} {noun}s"
