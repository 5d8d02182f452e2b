"""One frame with everything that the rules about frames need."""

from functools import cached_property
from itertools import chain
from typing import Final

from model.invariants.holders import LARGE_WEIGHTS, Held, Holder, Tally, members, some, tally
from model.invariants.machine_view import MachineView
from model.invariants.phrases import frame as name_of
from model.invariants.subjects import subject
from model.memory.records import Frame
from model.text.wording import phrase

NOBODY: Final[Held] = ()


class Case:
    """One frame, or one large folio, who holds it, and what that adds up to. Who holds it is looked at when asked."""

    is_folio = False
    """It is about the folio, not about its first page alone."""

    def __init__(self, scene: MachineView, pfn: int, frame: Frame) -> None:
        self.scene = scene
        self.pfn = pfn
        self.frame = frame

    @cached_property
    def held(self) -> Held:
        """Everybody who holds it; TLBs hold nothing."""
        return self.scene.holding.held.get(self.pfn, ())

    @cached_property
    def tally(self) -> Tally:
        """What the holders add up to."""
        return tally(self.held)

    def holders(self, *kinds: str) -> list[Holder]:
        """Some holders, in order; only of these kinds where any are given."""
        return some(self.held, kinds)

    @property
    def subject(self) -> str:
        """The frame as a subject."""
        return subject("frame", self.pfn)

    @property
    def name(self) -> str:
        """The frame, or the folio, as a phrase."""
        return phrase("folio {folio}", folio=self.pfn) if self.is_folio else name_of(self.scene, self.pfn)

    @property
    def reachable(self) -> bool:
        """Somebody points at it, with or without a reference."""
        return any(holder.kind != "loose" for holder in self.holders())


class PageCase(Case):
    """One page of a large folio: an entry that maps the whole folio maps it as well."""

    @cached_property
    def held(self) -> Held:
        """Everybody who holds the page, or the folio as a whole."""
        return tuple(sorted(self.scene.every_holder(self.pfn)))

    @cached_property
    def tally(self) -> Tally:
        """What they are to the page."""
        total = Tally()
        for holder in members(self.held):
            total = total.plus(LARGE_WEIGHTS[holder.kind])
        return total


class FolioCase(Case):
    """A large folio as a whole, by its head."""

    is_folio = True

    @cached_property
    def held(self) -> Held:
        """Everybody who holds a page of it. O(its pages): for who explains, not for who looks."""
        pages = range(self.pfn, self.pfn + self.frame.pages)
        everybody = [members(self.scene.holding.held.get(pfn, NOBODY)) for pfn in pages]
        return tuple(sorted(chain.from_iterable(everybody)))

    @cached_property
    def tally(self) -> Tally:
        """What the holders of all its pages add up to."""
        return self.scene.holding.large[self.pfn].tally


def case_of(scene: MachineView, pfn: int, *, of_folio: bool = False) -> Case:
    """The case of a frame; `of_folio`: of the large folio of which it is the head."""
    head = scene.head(pfn)
    if head is None:
        return Case(scene, pfn, scene.frame(pfn))
    if of_folio:
        return FolioCase(scene, head, scene.state.frames[head])
    return PageCase(scene, pfn, scene.frame(pfn))
