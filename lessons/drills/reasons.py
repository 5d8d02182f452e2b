"""Why a grab gets a page or not: read off the steps that the model made, and off the VMA and the entry they met."""

from typing import Final

from lessons.drills.entries import said
from lessons.i18n.language import tr
from model.kernel.mm.gup import check_vma_flags, long_term_write_allowed
from model.kernel.mm.vma import vma_lookup
from model.memory.flags import (
    FOLL_FORCE,
    FOLL_GET,
    FOLL_LONGTERM,
    FOLL_PIN,
    FOLL_WRITE,
    VM_IO,
    VM_PFNMAP,
    VM_READ,
    VM_WRITE,
)
from model.memory.records import Pte, Vma
from model.memory.state import State
from model.script.runner import Account

FAST: Final = "gup_fast"
SLOW: Final = "get_user_pages"
WALK: Final = "hva_to_pfn"
MIRROR: Final = "hmm_range_fault"
BLIND: Final = "grab_pages"


def reason(before: State, account: Account) -> str:
    """Why the answer of a grab of `p0 buf` is what it is."""
    vpn = before.labels["p0", "buf"].start
    entry, vma = before.ptes.get(("p0", vpn)), vma_lookup(before, "p0", vpn)
    assert vma is not None
    made = [(note.procedure, note.step) for note in account.steps]
    foll = _flags(account.command.text)
    if account.outcome.status == "ok":
        return _granted(made, vma, foll, (entry, account.state.ptes.get(("p0", vpn))))
    last = dict(made)
    if BLIND in last:
        if entry is None or not entry.present:
            blind = tr("This driver asks no VMA, but it makes no fault either, and the entry is {entry}.")
            return blind.format(entry=said(entry))
        return tr("The entry names a frame of device memory, which has no struct page: there is no count to raise.")
    if WALK in last:
        return f"{_by_gup(last[SLOW], before, vma, FOLL_GET | FOLL_WRITE)} {_by_kvm(vma, entry)}"
    if MIRROR in last:
        return _by_hmm(last[MIRROR], vma)
    if SLOW in last:
        return _by_gup(last[SLOW], before, vma, foll)
    return _by_gup_fast(made, entry, foll)


def _flags(command: str) -> int:
    """The FOLL_* flags that a `gup` command asks for."""
    words = command.split()
    named = {"write": FOLL_WRITE, "longterm": FOLL_LONGTERM, "force": FOLL_FORCE}
    return (FOLL_PIN if "pin" in words else FOLL_GET) | sum(flag for word, flag in named.items() if word in words)


def _granted(made: list[tuple[str, str]], vma: Vma, foll: int, entry: tuple[Pte | None, Pte | None]) -> str:
    """Which way the page was got; the entry before and after."""
    old, new = entry
    forced = foll & FOLL_WRITE and foll & FOLL_FORCE and not vma.flags & VM_WRITE
    forces, allows = tr("FOLL_FORCE overrules the VMA, which allows no writing."), tr("The VMA allows it.")
    may = forces if forced else allows
    shared = old is not None and old.present and not foll & FOLL_WRITE
    if (BLIND, "get_page") in made:
        return tr("The driver takes whatever frame the entry names. It asks neither the VMA nor the special bit.")
    if (WALK, "hva_to_pfn_remapped") in made:
        return tr("GUP refuses this VMA, so KVM looks the entry up itself, special or not, and takes the frame in it.")
    if (MIRROR, "look_again") in made:
        told = tr("A fault makes the entry {entry}, and the driver is told which frame is in it.")
        return f"{allows} {told.format(entry=said(new))}"
    if (MIRROR, "hmm_vma_handle_pte") in made:
        told = tr("The entry is {entry}: the driver takes the frame's number, and no reference.")
        return f"{allows} {told.format(entry=said(old))}"
    if (SLOW, "faultin_page") in made:
        late = (
            tr("The entry ({entry}) leads to a page that others share, and a pin wants its own.")
            if shared
            else tr("The entry ({entry}) is not good enough.")
        )
        fault = tr("So GUP first makes a fault, which makes the entry {entry}, and takes the page.")
        return f"{may} {late.format(entry=said(old))} {fault.format(entry=said(new))}"
    if (SLOW, "follow_page_pte") in made:
        good = tr("The entry is good enough ({entry}): GUP takes the page without a fault.")
        return f"{may} {good.format(entry=said(old))}"
    fast = tr("The entry ({entry}) allows the access, and GUP-fast takes the page without looking at any VMA.")
    return fast.format(entry=said(old))


def _by_gup(last: str, before: State, vma: Vma, foll: int) -> str:
    """Why get_user_pages() ends at the step where it ended last."""
    if last == "look_again":
        return tr("The VMA allows it, but the fault for the page fails, as it would for the process itself.")
    if last == "follow_page_pte":
        return tr("The VMA does not refuse, but the entry is special: there is no page behind it to hand out.")
    return _by_the_vma(before, vma, foll)


def _by_the_vma(before: State, vma: Vma, foll: int) -> str:
    """Why check_vma_flags() refuses, in its own order."""
    assert check_vma_flags(before, vma, foll)
    if vma.flags & (VM_IO | VM_PFNMAP):
        return tr("check_vma_flags() refuses a VMA with VM_IO or VM_PFNMAP, before GUP reads any entry.")
    if vma.ops == "secretmem":
        return tr("check_vma_flags() refuses secretmem: only the process itself may reach these pages.")
    if foll & FOLL_LONGTERM and vma.ops == "dax":
        return tr("A page of a DAX file is the storage itself: a long-term pin would keep truncate waiting.")
    if foll & FOLL_WRITE and vma.ops and not long_term_write_allowed(before, vma, foll):
        return tr("This filesystem must hear of each write, and a long-term pin could write at any time, unnoticed.")
    if foll & FOLL_WRITE:
        force = tr("FOLL_FORCE helps only where a write would make a private copy.") if foll & FOLL_FORCE else ""
        refused = tr("The VMA does not allow writing (no VM_WRITE), and GUP asks it before it reads any entry.")
        return f"{refused} {force}".rstrip()
    return tr("The VMA does not allow reading (no VM_READ), and GUP asks it before it reads any entry.")


def _by_kvm(vma: Vma, entry: Pte | None) -> str:
    """Why KVM's own look at the page table does not help either."""
    if not vma.flags & (VM_IO | VM_PFNMAP):
        return tr("KVM looks at the page table itself only if the VMA has VM_IO or VM_PFNMAP. This one has neither.")
    if entry is None or not entry.present:
        return tr("KVM's own look finds no entry, and faulting one in for writing fails.")
    return tr("KVM's own look finds an entry ({entry}), but not a writable one.").format(entry=said(entry))


def _by_hmm(last: str, vma: Vma) -> str:
    """Why hmm_range_fault() ends at the step where it ended last."""
    if last == "look_again":
        return tr("The VMA allows it, but the fault for the page fails, as it would for the process itself.")
    if last == "hmm_vma_handle_pte":
        return tr("The VMA does not refuse, but the entry is special: there is no page behind it for a device.")
    if vma.flags & (VM_IO | VM_PFNMAP):
        return tr("hmm_vma_walk_test() refuses a VMA with VM_IO or VM_PFNMAP, before it reads any entry.")
    lacks = "VM_READ" if not vma.flags & VM_READ else "VM_WRITE"
    return tr("The device wants to write, and the VMA does not allow that (no {lacks}).").format(lacks=lacks)


def _by_gup_fast(made: list[tuple[str, str]], entry: Pte | None, foll: int) -> str:
    """Why the lockless walk gave up; where it is alone, nobody faults and nobody asks the VMA after it."""
    alone = tr("GUP-fast alone makes no fault and asks no VMA.")
    if (FAST, "recheck_pte") in made or (FAST, "try_grab_folio_fast") in made:
        return f"{alone} {tr('The entry is good enough, but it must leave this kind of page to the slow path.')}"
    if (FAST, "read_pte") not in made or entry is None or not entry.present:
        return f"{alone} {tr('There is no present entry for it to take.')}"
    if foll & FOLL_WRITE and not entry.writable:
        return f"{alone} {tr('The entry ({entry}) does not allow writing.').format(entry=said(entry))}"
    special = tr("The entry ({entry}) is special: only the VMA can tell whether there is a page to take.")
    return f"{alone} {special.format(entry=said(entry))}"
