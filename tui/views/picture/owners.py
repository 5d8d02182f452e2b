"""Whose colour a thing has: severity is a sign, never a colour."""

from typing import Final

from model.memory.folio import folio_of
from model.memory.records import Reference
from tui.views.picture.history import Past, owner_of
from tui.views.picture.layout_line import HolderKey
from tui.views.picture.picture_state import PictureState
from tui.views.shown_state import gone

HUES: Final = 6
"""Colours of owners."""


def hue(past: Past, owner: str) -> str:
    """The role of an owner's colour; what several own has none."""
    number = past.hues.get(owner.partition("[")[0])
    return "plain" if number is None else f"owner{number % HUES}"


def owner_now(drawn: PictureState, pfn: int) -> tuple[str, bool]:
    """Whose frame it is, and True; or whose it was last, and False."""
    owner = owner_of(drawn.state, drawn.index, pfn)
    if owner:
        return owner, True
    frame = folio_of(drawn.state, pfn)
    if frame.kind == "buffer" and frame.mapping:
        return "pool", True
    return drawn.past.owners.get(pfn, ""), False


def reference_of(drawn: PictureState, name: str) -> Reference:
    """A reference, or the one that has just been given back."""
    found = drawn.state.references.get(name) or gone(drawn.scene.changes, "references").get(name)
    assert isinstance(found, Reference)
    return found


def holder_hue(drawn: PictureState, key: HolderKey) -> str:
    """The colour of the owner from whom a holder took what it has."""
    kind, name = key
    if kind == "ref":
        reference = reference_of(drawn, name)
        return hue(drawn.past, reference.buffer or reference.process or reference.by)
    return hue(drawn.past, drawn.state.tasks[name].process if kind == "task" else name)
