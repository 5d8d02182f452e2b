"""`errno`: what a grab returns on a mapping."""

from random import Random
from typing import Final

from lessons.drills.exercise import AnswerOption, Exercise, UnsuitableError, machine, tried
from lessons.drills.reasons import reason
from lessons.i18n.language import tr
from model.engine.config import KERNELS

CHOICES: Final = 4
GETS_IT: Final = "it gets the page"
NOTHING: Final = "0 pages"
"""What get_user_pages_fast_only() returns where it gets none: no errno."""
BUFFER: Final = "mmap p0 buf bo:b shared rw 1"
MAPPINGS: Final = (
    ("anonymous memory", ("mmap p0 buf anon private rw 1",)),
    ("anonymous memory, read-only", ("mmap p0 buf anon private r 1",)),
    ("anonymous memory, PROT_NONE", ("mmap p0 buf anon private none 1",)),
    ("anonymous memory, shared", ("mmap p0 buf anon shared rw 1",)),
    ("a memfd, shared", ("memfd f 1", "mmap p0 buf memfd:f shared rw 1")),
    ("a memfd, private", ("memfd f 1", "mmap p0 buf memfd:f private rw 1")),
    ("a memfd, shared, read-only", ("memfd f 1", "mmap p0 buf memfd:f shared r 1")),
    ("a memfd that ends before this page", ("memfd f 1", "mmap p0 buf memfd:f shared rw 1 offset=1")),
    ("a file on ext4, shared", ("diskfile e 1", "mmap p0 buf file:e shared rw 1")),
    ("a file on ext4, private", ("diskfile e 1", "mmap p0 buf file:e private rw 1")),
    ("a file on DAX storage", ("dax x 1", "mmap p0 buf dax:x shared rw 1")),
    ("secretmem", ("mmap p0 buf secretmem shared rw 1",)),
    ("a TTM buffer (vmf_insert_pfn)", ("bo b 1 in=gtt exporter=qxl", BUFFER)),
    ("a TTM buffer, read-only", ("bo b 1 in=gtt exporter=qxl", "mmap p0 buf bo:b shared r 1")),
    ("a TTM buffer in video memory", ("bo b 1 in=vram exporter=qxl", BUFFER)),
    ("a buffer of a dma-buf heap (remap_pfn_range)", ("bo b 1 exporter=system-heap", BUFFER)),
    ("a GEM shmem buffer (virtio-gpu)", ("bo b 1 exporter=virtio-gpu", BUFFER)),
    ("an i915 buffer in system memory", ("bo b 1 exporter=i915-shmem", BUFFER)),
    ("a udmabuf", ("memfd f 1", "seal f shrink", "bo b 1 exporter=udmabuf memfd=f", BUFFER)),
    ("a driver's page (vm_insert_page)", ("bo b 1 exporter=insert-page", BUFFER)),
    ("a driver's page (vmf_insert_mixed)", ("bo b 1 in=vram exporter=mixed", BUFFER)),
    ("a BAR of a PCI device (remap_pfn_range)", ("device gpu", "mmap p0 buf bar:gpu shared rw 1")),
    ("the vDSO's data (vvar)", ("mmap p0 buf vvar private r 1",)),
    ("an io_uring ring", ("mmap p0 buf io_uring shared rw 1",)),
    ("a perf ring", ("mmap p0 buf perf shared rw 1",)),
)
TOUCHES: Final = (
    ("not touched yet", ()),
    ("read once", ("read p0 buf",)),
    ("written once", ("write p0 buf 7",)),
    ("written, then a child was forked", ("write p0 buf 7", "fork p0 p1")),
)
GRABS: Final = (
    ("get_user_pages() for reading", "gup p0 buf as=r slow"),
    ("get_user_pages() for writing", "gup p0 buf as=r slow write"),
    ("get_user_pages() for writing with FOLL_FORCE", "gup p0 buf as=r slow write force"),
    ("GUP-fast alone for reading", "gup p0 buf as=r fast-only"),
    ("GUP-fast alone for writing", "gup p0 buf as=r fast-only write"),
    ("get_user_pages_fast() for reading", "gup p0 buf as=r"),
    ("get_user_pages_fast() for writing", "gup p0 buf as=r write"),
    ("pin_user_pages_fast() for reading", "gup p0 buf as=r pin"),
    ("pin_user_pages(FOLL_LONGTERM) for reading", "gup p0 buf as=r pin longterm"),
    ("pin_user_pages(FOLL_LONGTERM) for writing", "gup p0 buf as=r write pin longterm"),
    ("KVM's way to a guest page (hva_to_pfn)", "follow p0 buf as=r"),
    ("hmm_range_fault() for a device that writes", "mirror p0 buf as=r by=nic"),
    ("a driver that calls get_page() on what the entry names", "grab p0 buf as=r"),
)
ERRNOS: Final = {
    "": "It does not get the page.",
    NOTHING: "0 pages and no errno is all that GUP-fast alone returns when it finds nothing to take.",
    "EFAULT": "EFAULT means: nothing there, no permission, or not the mm's to hand out.",
    "EOPNOTSUPP": "EOPNOTSUPP is what a long-term pin on a DAX file gets.",
    "EINVAL": "EINVAL means that the arguments make no sense. These do.",
    "EEXIST": "EEXIST means that there is an entry, but a special one, in a VMA that GUP does not refuse.",
    "ENOMEM": "ENOMEM means that memory is short, or that the page's count is 0. Neither is true here.",
    "EAGAIN": "EAGAIN means: try again later. But what stands in the way here will not go away.",
}
"""What an answer means; `reason` says what decides in the case at hand."""
FAST_ONLY: Final = "The fast-only functions return a number of pages, never an errno."


def errno(seed: int, dice: Random) -> Exercise:
    """The answer of one grab on one mapping."""
    what, mapping = dice.choice(MAPPINGS)
    touched, touch = dice.choice(TOUCHES)
    how, grab = dice.choice(GRABS)
    kernel = dice.choice(KERNELS)
    lines = (f"set kernel {kernel}", "device nic", "process p0", *mapping, *touch)
    before = machine(lines)
    _, account = tried(before, grab)
    errno = account.outcome.errno
    if account.outcome.status not in {"ok", "error"} or errno not in ERRNOS:
        raise UnsuitableError(grab)
    fast_only = "fast-only" in grab
    truth = NOTHING if fast_only and errno else errno
    why = reason(before.context.state, account)
    always = {truth, "", NOTHING if fast_only else "EFAULT"}
    names = sorted(
        always | set(dice.sample([name for name in ERRNOS if name not in {*always, NOTHING}], CHOICES - len(always)))
    )
    answers = tuple(AnswerOption(tr(name or GETS_IT), _reply(name, truth, why, fast_only)) for name in names)
    ask = tr("Linux {kernel}. `buf` is {what}, {touched}. What does {how} return? (`{grab}`)")
    asked = ask.format(kernel=kernel, what=tr(what), touched=tr(touched), how=tr(how), grab=grab)
    return Exercise("errno", seed, lines, asked, answers, names.index(truth), (grab,))


def _reply(name: str, truth: str, why: str, fast_only: bool) -> str:
    """To one answer: what that errno means, and what decides here."""
    if name == truth:
        return why
    return f"{tr(FAST_ONLY if fast_only and name not in {'', NOTHING} else ERRNOS[name])} {why}"
