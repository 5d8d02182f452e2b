"""What to look at again after a step, and the looking: the incremental half of the checker.

Each table has its own consequences: an entry concerns two frames and whoever remembers the translation, a VMA
concerns references to pages that have no entry, and so on. Everything here costs O(changes).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from rpds import HashTrieMap, HashTrieSet

from model.invariants.holder_index import Draft, Place
from model.invariants.holders import REFERENCE_KINDS, tally
from model.invariants.machine_view import MachineView
from model.invariants.registry import FRAME_RULES
from model.invariants.rules.buffers import at_rest
from model.invariants.rules.counts import Case
from model.invariants.rules.translations import outdated, stale_page, tlb_entry
from model.memory.flags import PG_SWAPCACHE
from model.memory.state import Change
from model.memory.units import CpuNumber

Translation = tuple[CpuNumber, str, int]
"""What a TLB remembers: CPU, process, vpn."""


BREAKS: Final = tuple((name, rule.broken) for name, rule in FRAME_RULES.items())


def _known(broken: HashTrieSet[tuple[str, int]], pfn: int) -> bool:
    """Whether the frame broke any rule before. A search keeps that frame by frame, and can be asked for the frame."""
    about = getattr(broken, "get", None)
    if about is not None:
        return about(pfn) is not None
    return bool(len(broken)) and any((name, pfn) in broken for name, _ in BREAKS)


def case_of(scene: MachineView, pfn: int) -> Case:
    """Everything that the rules about one frame need."""
    held = scene.holding.holders(pfn)
    return Case(scene, pfn, scene.frame(pfn), tally(held), held)


class Recheck:
    """What must be looked at again after some changes, and the looking."""

    def __init__(self, scene: MachineView, draft: Draft, changes: Iterable[Change]) -> None:
        self.scene = scene
        self.places: set[Place] = draft.places
        self.pfns: set[int] = set(draft.held)
        self.pages: set[tuple[str, int]] = set()
        """Pages of references: (reference, page)."""
        self.retaken: set[str] = set()
        """References that came, went or changed: what was known about them is void."""
        self.locks_changed = False
        self.draft = draft
        for change in changes:
            self._note(change)

    def _note(self, change: Change) -> None:
        """Find out what one change may have broken or repaired, beyond the holders of frames."""
        table, key, old, new = change
        match table:
            case "frames":
                self.pfns.add(key)
                if ((old.flags if old else 0) ^ (new.flags if new else 0)) & PG_SWAPCACHE:
                    self.pages |= self.draft.references_of([key])
            case "page_cache":
                self.pages |= self.draft.references_of(pfn for pfn in (old, new) if pfn is not None)
            case "tables":
                if (old and old.huge) or (new and new.huge):
                    process, _, block = key
                    self.places |= {(process, vpn) for vpn in range(block << 9, (block + 1) << 9)}
            case "vmas":
                for vma in filter(None, (old, new)):
                    self._through(key[0], vma.start, vma.end)
            case "processes":
                self._through(key, 0, 1 << 36)
            case "buffers":
                if old and new and (old.frames, old.memfd) == (new.frames, new.memfd):
                    return  # neither where it is nor whose pages it has
                frames = {*(old.frames if old else ()), *(new.frames if new else ())}
                self.pfns |= frames
                self.pages |= self.draft.references_of(frames)
            case "references":
                self.retaken.add(key)
            case "locks" | "cpus":
                self.locks_changed = True

    def _through(self, process: str, start: int, end: int) -> None:
        """Every reference that was taken in [start, end) of a process, where no entry answers for itself."""
        state = self.scene.state
        for name, reference in state.references.items():
            if reference.process == process:
                first, last = max(start, reference.vpn), min(end, reference.vpn + len(reference.frames))
                self.pages |= {(name, vpn - reference.vpn) for vpn in range(first, last)}

    def frames(self, broken: HashTrieSet[tuple[str, int]]) -> HashTrieSet[tuple[str, int]]:
        """The frames that break a rule, given those that did before."""
        scene = self.scene
        for pfn in self.pfns:
            frame, held = scene.frame(pfn), scene.holding.holders(pfn)
            names: list[str] = []
            if not at_rest(scene, pfn, frame, held):
                case = Case(scene, pfn, frame, tally(held), held)
                names = [name for name, breaks in BREAKS if breaks(case)]
            # Nearly always nothing is broken, before and after: one question answers that for all rules.
            if names or _known(broken, pfn):
                for name, _ in BREAKS:
                    if name in names:
                        broken = broken.insert((name, pfn))
                    elif (name, pfn) in broken:
                        broken = broken.remove((name, pfn))
        return broken

    def references(self, stale: HashTrieMap[str, int]) -> HashTrieMap[str, int]:
        """The pages of references that are stale, given those that were before."""
        for place in self.places:
            watchers = self.scene.holding.watched.get(place, ())
            self.pages |= {(holder.owner, holder.number) for holder in watchers if holder.kind in REFERENCE_KINDS}
        bits = dict.fromkeys(self.retaken, 0)
        for name, page in self.pages:
            reference = self.scene.state.references.get(name)
            if reference is not None:
                known = bits.get(name, stale.get(name, 0))
                bit = 1 << page
                bits[name] = known | bit if stale_page(self.scene, reference, page) else known & ~bit
        for name, pages in bits.items():
            stale = stale.insert(name, pages) if pages else stale.discard(name)
        return stale

    def translations(self, known: HashTrieSet[Translation]) -> HashTrieSet[Translation]:
        """The cached translations that are outdated, given those that were before."""
        any_known = bool(self.places) and len(known) > 0
        for process, vpn in self.places:
            if any_known:
                for cpu in self.scene.state.cpus:
                    known = known.discard((cpu, process, vpn))
            for holder in self.scene.holding.watched.get((process, vpn), ()):
                if holder.kind == "tlb" and self._outdated(holder.level, process, vpn):
                    known = known.insert((holder.level, process, vpn))
        return known

    def _outdated(self, cpu: int, process: str, vpn: int) -> bool:
        entry = tlb_entry(self.scene, cpu, process, vpn)
        return entry is not None and outdated(entry.pte, self.scene.entry(process, vpn))
