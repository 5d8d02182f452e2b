"""The looking again after a step: the incremental half of the checker. Everything here costs O(changes).

What must be looked at again is found by `concerns`.
"""

from __future__ import annotations

from typing import Final

from rpds import HashTrieMap, HashTrieSet

from model.invariants.case import Case
from model.invariants.concerns import RecheckScope
from model.invariants.holders import REFERENCE_KINDS, tally
from model.invariants.registry import FRAME_RULES, REFERENCE_RULE, TRANSLATION_RULE
from model.invariants.rules.buffers import at_rest
from model.invariants.rules.translations import tlb_entry
from model.memory.units import CpuNumber

Translation = tuple[CpuNumber, str, int]
"""What a TLB remembers: CPU, process, vpn."""

BREAKS: Final = tuple((name, rule.broken) for name, rule in FRAME_RULES.items())

BREAKS_AT_REST: Final = tuple((name, rule.broken) for name, rule in FRAME_RULES.items() if not rule.holds_at_rest)
"""The rules that must be asked about every page."""


def _known(broken: HashTrieSet[tuple[str, int]], pfn: int) -> bool:
    """Whether the frame broke any rule before. A search keeps that frame by frame, and can be asked for the frame."""
    about = getattr(broken, "get", None)
    if about is not None:
        return about(pfn) is not None
    return bool(len(broken)) and any((name, pfn) in broken for name, _ in BREAKS)


class Recheck(RecheckScope):
    """What must be looked at again after some changes, and the looking."""

    __slots__ = ()

    def frames(self, broken: HashTrieSet[tuple[str, int]]) -> HashTrieSet[tuple[str, int]]:
        """The frames that break a rule, given those that did before."""
        scene = self.scene
        for pfn in self.pfns:
            frame, held = scene.frame(pfn), scene.holding.holders(pfn)
            names: list[str] = []
            if rules := BREAKS_AT_REST if at_rest(scene, pfn, frame, held) else BREAKS:
                case = Case(scene, pfn, frame, tally(held), held)
                names = [name for name, breaks in rules if breaks(case)]
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
                bits[name] = known | bit if REFERENCE_RULE.broken(self.scene, reference, page) else known & ~bit
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
        return entry is not None and TRANSLATION_RULE.outdated(entry.pte, self.scene.entry(process, vpn))
