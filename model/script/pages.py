"""From a place in an address space to its pages, and from a page to the entry that maps it."""

from model.memory.leaf import leaf_entry
from model.memory.records import Pte
from model.memory.state import Memory
from model.script.command import Place


class Missing(Exception):  # noqa: N818 -- an answer (ENOENT), not an accident
    """A name that a command uses does not exist in this State."""

    def __init__(self, kind: str, name: str) -> None:
        self.kind = kind
        self.name = name
        super().__init__(f"there is no {kind} {name} now")


def pages_at(state: Memory, process: str, place: Place) -> tuple[int, int]:
    """The pages of a place, as `resolve` finds them."""
    if not place.label:
        return place.first, place.pages
    label = state.labels.get((process, place.label))
    if label is None:
        raise Missing("label", f"{place.label} of {process}")
    return label.start + place.first, place.pages or label.pages


def page_entry(state: Memory, process: str, vpn: int) -> tuple[Pte, int] | None:
    """The entry that maps a virtual page, and which of its frames: (PTE, pfn). None where it is empty.

    Under a 2 MiB leaf the pfn is that of the small page inside it.
    """
    entry = leaf_entry(state, process, vpn)
    return None if entry is None else (entry, entry.pfn)
