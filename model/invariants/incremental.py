"""The looking again after a step: the incremental half of the checker. Everything here costs O(changes).

What must be looked at again is found by `concerns`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from functools import cache
from typing import Final, TypeAlias

from rpds import HashTrieMap, HashTrieSet

from model.invariants.case import Case, case_of
from model.invariants.concerns import FOR_SURE, RecheckScope, RuleBits
from model.invariants.holder_index import NOTHING, LockKey, head_among
from model.invariants.holders import REFERENCE_KINDS
from model.invariants.registry import FRAME_RULES, LOCK_RULE, REFERENCE_RULE, TRANSLATION_RULE
from model.invariants.rule import FrameRule
from model.invariants.rules.buffers import BufferFacts, at_rest
from model.invariants.rules.translations import tlb_entry
from model.memory.flags import PG_FROZEN, PG_NOREF
from model.memory.folio import large_orders
from model.memory.records import Frame
from model.memory.units import CpuNumber

Translation = tuple[CpuNumber, str, int]
"""What a TLB remembers: CPU, process, vpn."""

Translations: TypeAlias = "HashTrieMap[str, frozenset[Translation]]"
"""Process → some translations of its pages. None is not kept as an empty set."""

NAMED: Final = tuple(FRAME_RULES.items())
"""The rules about frames by their numbers."""

HOLDING_AT_REST: Final = sum(1 << number for number, (_, rule) in enumerate(NAMED) if rule.holds_at_rest)
OF_SURPLUS: Final = sum(1 << number for number, (_, rule) in enumerate(NAMED) if rule.of_surplus)
OF_FOLIO: Final = sum(1 << number for number, (_, rule) in enumerate(NAMED) if rule.of_folio)

COUNTED: Final = ("refcount", "mapcount", "pins")
"""Fields of a frame that count its holders."""

UNSETTLED: Final = frozenset({"free", "dax"})
"""Kinds of frames where it matters who the holders are, however many."""


class KeptByFrame(ABC):
    """A set of (rule, frame) that is kept frame by frame: one look says that a frame breaks no rule."""

    __slots__ = ()

    @abstractmethod
    def at(self, pfn: int) -> frozenset[str]:
        """The rules that a frame breaks."""


@cache
def among(rules: RuleBits) -> tuple[tuple[int, str, FrameRule], ...]:
    """The rules that the bits stand for: number, name, rule."""
    return tuple((number, name, rule) for number, (name, rule) in enumerate(NAMED) if rules >> number & 1)


def judged(
    broken: HashTrieSet[tuple[str, int]], case: Case, rules: RuleBits, doubtful: RuleBits
) -> HashTrieSet[tuple[str, int]]:
    """What is broken after some rules were asked about a frame; of those not `doubtful` it is known that they hold."""
    broke_none = isinstance(broken, KeptByFrame) and not broken.at(case.pfn)
    if broke_none and not doubtful:
        return broken
    for number, name, rule in among(rules):
        if doubtful >> number & 1 and rule.broken(case):
            broken = broken.insert((name, case.pfn))
        elif not broke_none and (name, case.pfn) in broken:
            broken = broken.remove((name, case.pfn))
    return broken


class Recheck(RecheckScope):
    """What must be looked at again after some changes, and the looking."""

    __slots__ = ()

    def frames(self, broken: HashTrieSet[tuple[str, int]]) -> HashTrieSet[tuple[str, int]]:
        """The frames that break a rule, given those that did before."""
        folios: dict[int, RuleBits] = {}
        large, orders = self.scene.holding.large, large_orders(self.scene.state)
        facts = BufferFacts(self.scene)
        for pfn, asked in self.pfns.items():
            head = head_among(large, pfn, orders)
            if head is not None:
                folios[head] = folios.get(head, 0) | asked
                rules = asked & ~OF_FOLIO if pfn == head else asked
                broken = judged(broken, case_of(self.scene, pfn), rules, rules & ~OF_FOLIO)
                continue
            frame = self.scene.frame(pfn)
            same_surplus = asked & OF_SURPLUS and not asked & FOR_SURE and self._balanced(pfn, frame)
            rules = asked & ~OF_SURPLUS if same_surplus else asked
            if rules:
                resting = rules & HOLDING_AT_REST and at_rest(facts, pfn, frame)
                doubtful = rules & ~HOLDING_AT_REST if resting else rules
                broken = judged(broken, Case(self.scene, pfn, frame), rules, doubtful)
        for head, asked in folios.items():
            if rules := asked & OF_FOLIO:
                broken = judged(broken, case_of(self.scene, head, of_folio=True), rules, rules)
        return broken

    def _balanced(self, pfn: int, frame: Frame) -> bool:
        """Whether counts and holders of a frame have changed alike, so that rules about their difference stand."""
        changed, came = self.frames_changed.get(pfn), self.draft.tallies.get(pfn, NOTHING)
        more = dict.fromkeys(COUNTED, 0)
        if changed is not None:
            (_, _, old, new), fields = changed
            if old is None or new is None:
                return False
            for field in fields:
                if field not in COUNTED:
                    return False
                was, now = getattr(old, field), getattr(new, field)
                if was < 0 or now < 0:
                    return False
                more[field] = now - was
        if came.special or came.refs != more["refcount"] or came.maps != more["mapcount"]:
            return False
        return frame.kind not in UNSETTLED and not frame.flags & (PG_FROZEN | PG_NOREF)

    def references(self, stale: HashTrieMap[str, int]) -> HashTrieMap[str, int]:
        """The pages of references that are stale, given those that were before."""
        if not self.places and not self.pages and not self.retaken:
            return stale
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
        if not self.places and not self.owners and not self.draft.owed:
            return outdated, dangerous
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
        if not draft.locks and not draft.came_or_went:
            return left_held
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
