"""Phrases that the explanations share: places, frames, holders and lists of them, in plain words."""

from collections.abc import Sequence
from typing import Final

from model.invariants.holders import WEIGHTS, Holder, large_weight
from model.invariants.machine_view import MachineView
from model.kernel.mm.physical import BAR_BASE, PMEM_BASE, VRAM_BASE, pfn_valid
from model.memory.events import Access
from model.text.wording import Wording, phrase, together

MOST_NAMED: Final = 4
"""A sentence names so many things and counts the rest."""


def place(scene: MachineView, process: str, vpn: int) -> str:
    """A virtual page as the learner knows it: `p0 buf+1 (page 17)`, or `p0 page 17` where no label covers it."""
    for (owner, name), label in sorted(scene.state.labels.items()):
        if owner == process and label.start <= vpn < label.start + label.pages:
            offset = vpn - label.start
            page = f"{name}+{offset}" if offset else name
            return phrase("{process} {page} (page {vpn})", process=process, page=page, vpn=vpn)
    return phrase("{process} page {vpn}", process=process, vpn=vpn)


def frame(scene: MachineView, pfn: int) -> str:
    """A frame by its number, and by its name where it has one."""
    if pfn >= BAR_BASE:
        return phrase("page {page} of the device memory", page=pfn - BAR_BASE)
    if not pfn_valid(pfn):
        return phrase("page {page} of the video memory", page=pfn - VRAM_BASE)
    if pfn >= PMEM_BASE:
        return phrase("block {block} of the storage", block=pfn - PMEM_BASE)
    found, head = scene.frame(pfn), scene.head(pfn)
    if found.kind == "zero":
        return phrase("the shared zero page") if head is None else phrase("the huge zero page")
    return phrase("frame {pfn}", pfn=pfn) if head is None else _page_of_folio(head, pfn - head)


def _page_of_folio(head: int, page: int) -> str:
    return phrase("page {page} of folio {folio}", page=page, folio=head)


def user(access: Access) -> str:
    """Who made an access that went through no page table: a device, the holder of a reference, or the kernel."""
    if access.device:
        return access.device
    return phrase("whoever uses {name}", name=access.reference) if access.reference else phrase("the kernel")


def accessed(scene: MachineView, access: Access, at: str = "") -> Wording:
    """Who read or wrote which byte through which reference, `at` which place and in which frame: half a sentence."""
    facts = {"user": user(access), "value": access.value}
    done = (
        phrase("{user:capital} wrote {value}", **facts)
        if access.write
        else phrase("{user:capital} read {value}", **facts)
    )
    through = phrase("through {name}", name=access.reference) if access.reference else ""
    where = {"frame": frame(scene, access.pfn)}
    which = phrase("to {frame}", **where) if access.write else phrase("from {frame}", **where)
    return together((done, through, phrase("at {place}", place=at) if at else "", which))


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
            return phrase("the entry of {place}", place=place(scene, holder.owner, holder.number))
        case "special":
            return phrase("the special entry of {place}", place=place(scene, holder.owner, holder.number))
        case "huge" | "huge-special" | "shared-huge":
            return phrase("the 2 MiB entry of {place}", place=place(scene, holder.owner, holder.number << 9))
        case "table" | "shared-table":
            return phrase("the page tables of {process}", process=holder.owner)
        case "deposit":
            here = place(scene, holder.owner, holder.number << 9)
            return phrase("the table kept for the split of the 2 MiB entry of {place}", place=here)
        case "cache":
            return phrase("page {page} of file {file}", page=holder.number, file=holder.owner)
        case "buffer" | "borrowed" | "borrowed-pin":
            return phrase("page {page} of buffer {buffer}", page=holder.number, buffer=holder.owner)
        case "pin" | "covered":
            return phrase("the pin {name}", name=holder.owner)
        case "get":
            return phrase("the reference {name}", name=holder.owner)
        case "loose":
            return phrase("{name} (which takes no page reference)", name=holder.owner)
        case "task" | "task-pin" | "rmap":
            return phrase("the call that task {task} is in", task=holder.owner)
        case "rcu":
            return phrase("RCU, which waits for cpu{cpu}", cpu=holder.number)
        case "tlb":
            here = place(scene, holder.owner, holder.number)
            return phrase("the TLB of cpu{cpu} for {place}", cpu=holder.level, place=here)


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
        named.append(phrase("{n} more", n=len(phrases) - MOST_NAMED))
    if len(named) < 2:
        return named[0] if named else ""
    return phrase("{some} and {last}", some=together(named[:-1], ", "), last=named[-1])


def plural(number: int, noun: str) -> str:
    """A number with its noun.

    >>> plural(1, "entry"), plural(2, "entry"), plural(3, "reference")
    ('1 entry', '2 entries', '3 references')
    """
    if number == 1:
        return f"1 {noun}"
    return f"{number} {noun[:-1]}ies" if noun.endswith("y") else f"{number} {noun}s"
