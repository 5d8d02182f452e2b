"""The assignments that were opened, for home on the screen and as text."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lessons.learner.progress import Store
    from lessons.teach.assignment import Assignment


def assignments_of(store: "Store") -> "list[Assignment]":
    """Those that lie beside a progress file; what reads them is loaded only where there are any."""
    folder = store.path.parent / "assignments"
    if not folder.is_dir():
        return []
    from lessons.teach.assignment import opened

    return opened(folder)
