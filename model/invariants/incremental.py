"""The looking again after a step: the incremental half of the checker. Everything here costs O(changes).

What must be looked at again is found by `concerns`.
"""

from __future__ import annotations

from typing import Final, TypeAlias

from rpds import HashTrieMap, HashTrieSet

from model.invariants.case import Case
from model.invariants.concerns import RecheckScope
from model.invariants.holder_index import LockKey
from model.invariants.holders import REFERENCE_KINDS, tally
from model.invariants.registry import FRAME_RULES, LOCK_RULE, REFERENCE_RULE, TRANSLATION_RULE
from model.invariants.rules.buffers import at_rest
from model.invariants.rules.translations import tlb_entry
from model.memory.units import CpuNumber

Translation = tuple[CpuNumber, str, int]
"""What a TLB remembers: CPU, process, vpn."""

Translations: TypeAlias = "HashTrieMap[str, frozenset[Translation]]"
"""Process → some translations of its pages. None is not kept as an empty set."""

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
            frame, held = scene.frame(pfn), scene.holding.held.get(pfn, ())
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

    def translations(self, outdated: Translations, dangerous: Translations) -> tuple[Translations, Translations]:
        """The cached translations that are outdated, and the dangerous ones of them, given those that were before."""
        again: dict[str, set[Translation]] = {}
        places: dict[str, set[int]] = {}
        for process, vpn in self.places:
            places.setdefault(process, set()).add(vpn)
            for holder in self.scene.holding.watched.get((process, vpn), ()):
                if holder.kind == "tlb" and self._outdated(holder.level, process, vpn):
                    again.setdefault(process, set()).add((holder.level, process, vpn))
        for process, vpns in places.items():
            known = outdated.get(process, NONE)
            kept = frozenset([one for one in known if one[2] not in vpns]) if known else NONE
            outdated = _among(outdated, process, kept.union(again.get(process, NONE)))
            again.setdefault(process, set()).update(known - kept)
        for process in self.draft.owed:
            again.setdefault(process, set()).update(outdated.get(process, NONE))
        for pfn in self.owners:
            for holder in self.scene.holding.cached.get(pfn, ()):
                if (one := (holder.level, holder.owner, holder.number)) in outdated.get(holder.owner, NONE):
                    again.setdefault(holder.owner, set()).add(one)
        for process, ones in again.items():
            if ones:
                wrong = frozenset([one for one in ones if one in outdated.get(process, NONE) and self._dangerous(one)])
                dangerous = _among(dangerous, process, dangerous.get(process, NONE) - ones | wrong)
        return outdated, dangerous

    def locks(self, left_held: HashTrieSet[LockKey]) -> HashTrieSet[LockKey]:
        """The locks whose holder is gone, given those that were left held before."""
        tasks, draft = self.scene.state.tasks, self.draft
        again = {lock for lock, came in draft.locks.items() if lock in left_held or any(t not in tasks for t in came)}
        for task in draft.came_or_went:
            again.update(self.scene.holding.kept.get(task, ()))
        for lock in again:
            if LOCK_RULE.broken(self.scene, *lock):
                left_held = left_held.insert(lock)
            elif lock in left_held:
                left_held = left_held.remove(lock)
        return left_held

    def _outdated(self, cpu: int, process: str, vpn: int) -> bool:
        entry = tlb_entry(self.scene, cpu, process, vpn)
        return entry is not None and TRANSLATION_RULE.outdated(entry.pte, self.scene.entry(process, vpn))

    def _dangerous(self, translation: Translation) -> bool:
        entry = tlb_entry(self.scene, *translation)
        return entry is not None and TRANSLATION_RULE.dangerous(self.scene, entry)


NONE: Final[frozenset[Translation]] = frozenset()


def _among(known: Translations, process: str, ones: frozenset[Translation]) -> Translations:
    """With these translations of a process."""
    if ones == known.get(process, NONE):
        return known
    return known.insert(process, ones) if ones else known.discard(process)
