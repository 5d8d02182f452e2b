"""One frame with everything that the rules about frames need."""

from functools import cached_property

from model.invariants.holders import Held, Holder, Tally, some, tally
from model.invariants.machine_view import MachineView
from model.invariants.phrases import frame as name_of
from model.invariants.subjects import subject
from model.memory.records import Frame


class Case:
    """One frame, who holds it, and what that adds up to. Who holds it is looked at when a rule asks."""

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
        return [holder for holder in some(self.held) if not kinds or holder.kind in kinds]

    @property
    def subject(self) -> str:
        """The frame as a subject."""
        return subject("frame", self.pfn)

    @property
    def name(self) -> str:
        """The frame as a phrase."""
        return name_of(self.scene, self.pfn)

    @property
    def reachable(self) -> bool:
        """Somebody points at it, with or without a reference."""
        return any(holder.kind != "loose" for holder in self.holders())


def case_of(scene: MachineView, pfn: int) -> Case:
    """The case of a frame."""
    return Case(scene, pfn, scene.frame(pfn))
