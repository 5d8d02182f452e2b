"""What the old bugs need: pipes, I/O past the page cache, a GPU with a TLB of its own, raw frames, narrow counts."""

import pytest

from model.memory.flags import PG_DIRTY
from tests.model.test_script_run import answers, last, run

FILE = "process p0\nmemfd f 2\npwrite f 0 65\npipe r\n"
DISK = "process p0\ndevice nic\ndiskfile f 1\npwrite f 0 65\nmmap p0 buf file:f shared rw 1\nread p0 buf\n"
GPU = "device gpu\nprocess p0\nmmap p0 own anon private rw 1\nbo b 1 exporter=i915-shmem\ngpu-map b gpu as=object\n"
ANON = "process p0\nmmap p0 buf anon private rw 2\nwrite p0 buf 65\n"


@pytest.mark.parametrize(
    ("commands", "answer"),
    [
        # A page that is spliced is the file's own; what is written to the pipe behind it goes elsewhere.
        (FILE + "splice f 0 r\npipe-read r", "ok 65"),
        (FILE + "splice f 0 r\npipe-read r\npipe-write r 66\npread f 0", "ok 65"),
        (FILE + "pipe-write r 66\npipe-read r", "ok 66"),
        (FILE + "pipe-read r", "error EAGAIN"),
        (FILE + "pwrite f 1 67\nsplice f 0 r\nsplice f 1 r", "error EAGAIN"),
        # Reading past the page cache writes to the memory that it is given; writing reads from it.
        (ANON + "direct-read p0 buf 90\nread p0 buf", "ok 90"),
        (ANON + "direct-write p0 buf", "ok 65"),
        (ANON + "direct-read p0 @5000 90", "error EFAULT"),
        # vmsplice() and userptr take references as others do, and put gives them back.
        (ANON + "vmsplice p0 buf as=v\npeek v", "ok 65"),
        (ANON + "device disk\nio-register p0 buf as=v by=disk\ndma v write 66\nput v dirty\nread p0 buf", "ok 66"),
        # A GPU reaches its buffer, and after the unmap no longer.
        (GPU + "dma object write 66\ndma object read", "ok 66"),
        (GPU + "evict b\ndma object read", "error EFAULT"),
        # A stack grows down to what is touched; other memory does not.
        ("process p0\nmmap p0 s anon private rw 1 at=40 growsdown\nwrite p0 @39 65\nread p0 @39", "ok 65"),
        ("process p0\nmmap p0 s anon private rw 1 at=40\nwrite p0 @39 65", "signal SIGSEGV"),
    ],
)
def test_what_the_old_bugs_need_works_by_itself(commands: str, answer: str) -> None:
    assert str(last(commands)) == answer


def test_a_stale_access_of_a_gpu_is_told_in_its_own_words() -> None:
    mapped = "set as-it-was i915-tlb-flush\n" + GPU + "dma object write 65\nevict b\nwrite p0 own 83\n"
    (violation,) = run(mapped + "dma object write 66")[-1].violations
    assert violation.message == (
        "gpu wrote 66 to frame 2, which the GPU knows as page 0 of buffer b. By now that frame belongs to the page "
        "tables of p0. The GPU's page table has no entry for it any more, but nobody has flushed its TLB."
    )


@pytest.mark.parametrize(("put", "dirty"), [("put r dirty", True), ("put r", False)])
def test_only_a_put_that_says_so_marks_the_pages_dirty(put: str, dirty: bool) -> None:
    after = run(DISK + f"gup p0 buf as=r pin by=nic write\nfsync f\ndma r write 90\n{put}")[-1].state
    assert bool(after.frames[after.page_cache["f", 0]].flags & PG_DIRTY) is dirty


def test_a_count_of_eight_bits_is_full_at_half_of_them() -> None:
    """A get is refused when the count reads as negative, long before it runs over."""
    takes = "".join(f"gup p0 buf as=r{number}\n" for number in range(130))
    said = answers("set refcount-bits 8\nprocess p0\nmmap p0 buf anon private rw 1\nwrite p0 buf 65\n" + takes)
    assert said[4] == "ok"
    assert said[-1] == "error ENOMEM"


@pytest.mark.parametrize(("seal", "status"), [("", "failed"), ("seal f shrink\n", "ok")])
def test_the_seals_of_a_memfd_can_be_asked_for(seal: str, status: str) -> None:
    assert last(f"memfd f 1\n{seal}expect sealed f shrink").status == status
