"""Whether a filesystem knows of every byte that is written to its pages.

Writeback cleans a page and write-protects its entries, so that the next store faults and page_mkwrite() hears of it. A
device that was given the page before writes on without a fault (Documentation/core-api/pin_user_pages.rst, 6.12: the
reason for FOLL_PIN; fs/ext4/inode.c: ext4_page_mkwrite).
"""

from typing import Final

from model.invariants.machine_view import MachineView
from model.invariants.phrases import accessed
from model.invariants.rule import AccessRule
from model.invariants.subjects import subject
from model.invariants.violation import Invariant, Violation, violation
from model.memory.events import Access
from model.memory.flags import PG_DIRTY
from model.text.wording import phrase

CLEAN_PAGE_WRITTEN: Final = Invariant(
    "clean-page-written",
    "hazard",
    "Whenever somebody writes to a page of a file on disk, the filesystem has it down as dirty.",
    "Prints nothing at first. When the page is marked dirty behind the filesystem's back, ext4 warns in "
    "ext4_dirty_folio(); if it never is, reclaim drops the page and the byte is gone.",
)


def clean_page_written(scene: MachineView, access: Access) -> Violation | None:
    """A device, or the holder of a reference, has written to a page that writeback has cleaned."""
    if not access.write or not (access.reference or access.device):
        return None
    frame = scene.frame(access.pfn)
    file = scene.state.files.get(frame.mapping)
    if frame.kind != "file" or frame.flags & PG_DIRTY or file is None or file.kind != "ext4":
        return None
    entries = [scene.entry(holder.owner, holder.number) for holder in scene.holders(access.pfn, "pte")]
    if any(entry is not None and entry.dirty for entry in entries):
        return None
    message = phrase(
        "{wrote}, page {index} of file {file}. Writeback has cleaned the page, and no fault told the filesystem of "
        "this byte: it will not write the page again, and may drop it.",
        wrote=accessed(scene, access),
        index=frame.index,
        file=frame.mapping,
    )
    subjects = (subject("ref", access.reference),) if access.reference else ()
    cached = subject("cache", frame.mapping, frame.index)
    return violation(CLEAN_PAGE_WRITTEN, (*subjects, subject("frame", access.pfn), cached), message)


RULES: Final = (
    AccessRule(
        CLEAN_PAGE_WRITTEN,
        {"frames": ("kind", "flags", "mapping", "index"), "files": ("kind",), "ptes": None},
        clean_page_written,
    ),
)
