"""Whether secret memory stays secret: memfd_secret() promises that only its process can read it."""

from typing import Final

from model.invariants.machine_view import MachineView
from model.invariants.phrases import accessed
from model.invariants.rule import AccessRule
from model.invariants.subjects import subject
from model.invariants.violation import Invariant, Violation, violation
from model.memory.events import Access
from model.text.wording import phrase

SECRET_ACCESS: Final = Invariant(
    "secret-access",
    "corruption",
    "No device and no reference reaches a page of secret memory (memfd_secret).",
    "Prints nothing: the page is gone from the kernel's own map, not from the device's view of memory.",
)


def secret_access(scene: MachineView, access: Access) -> Violation | None:
    """A byte of a secret page that did not go through the process's own page tables."""
    file = scene.state.files.get(scene.folio(access.pfn).mapping)
    if not (access.reference or access.device) or file is None or file.kind != "secretmem":
        return None
    message = phrase(
        "{accessed}, a page of secret memory. get_user_pages() refuses such pages; whoever walks the page tables "
        "directly must look at the VMA too.",
        accessed=accessed(scene, access),
    )
    subjects = (subject("ref", access.reference),) if access.reference else ()
    return violation(SECRET_ACCESS, (*subjects, subject("frame", access.pfn)), message)


RULES: Final = (AccessRule(SECRET_ACCESS, {"frames": ("mapping",), "files": ("kind",)}, secret_access),)
