"""Every order of calls of which one takes away what another has looked up: an answer each time, never a crash."""

import pytest

from model.script.parser import parse
from model.search.bfs import explore
from model.search.problem import set_up

START = "device nic\nprocess p0\n"
ANON = f"{START}mmap p0 a anon private rw 1\nwrite p0 a 1\n"
BUFFER = f"{START}bo b 1 in=gtt exporter=virtio-gpu\nmmap p0 a bo:b shared rw 1\nwrite p0 a 1\n"


@pytest.mark.parametrize(
    ("before", "permitted"),
    [
        pytest.param(
            f"{ANON}follow p0 a as=g by=nic",
            ("madvise p0 a dontneed", "dma g write 77", "exit p0"),
            id="a guest's fault and the end of its process",
        ),
        pytest.param(
            f"{ANON}mirror p0 a as=g by=nic",
            ("madvise p0 a dontneed", "dma g write 77", "exit p0"),
            id="a device's fault and the end of the process",
        ),
        pytest.param(
            BUFFER, ("mirror p0 a as=n by=nic", "grab p0 a as=n by=nic"), id="two who want one name for what they take"
        ),
        pytest.param(
            f"{ANON}mirror p0 a as=g by=nic",
            ("madvise p0 a dontneed", "dma g write 77", "put g", "munmap p0 a"),
            id="a device's fault and the end of its mirror",
        ),
        pytest.param(
            f"set ttm-refcount zero\n{BUFFER.replace('virtio-gpu', 'qxl')}grab p0 a as=g by=nic",
            ("evict b", "put g", "read p0 a"),
            id="a page that its own pool has lost to the allocator",
        ),
        pytest.param(
            f"{BUFFER.replace('virtio-gpu', 'qxl')}process p1",
            ("force-write p1 p0 a 5", "mmap p0 z anon private rw 1 at=16 fixed"),
            id="a write from outside and another mapping in that place",
        ),
        pytest.param(
            f"{START}memfd f 1\nseal f shrink",
            ("bo n 1 exporter=vgem", "bo n 1 exporter=udmabuf memfd=f", "bo n 1 in=gtt"),
            id="three who make a buffer of one name",
        ),
        pytest.param(
            f"{BUFFER.replace('virtio-gpu', 'qxl')}export b as=d",
            ("attach d nic", "detach d nic", "destroy b"),
            id="an attachment that is not made yet, and its end",
        ),
        pytest.param(
            BUFFER.replace("virtio-gpu", "i915-shmem"),
            ("evict b", "destroy b", "munmap p0 a"),
            id="a buffer that is swapped out and its end",
        ),
        pytest.param(
            f"{ANON}process p1",
            ("remote-write p1 p0 a 5", "force-write p1 p0 a 6", "exit p0"),
            id="a write from outside and the end of the process",
        ),
        pytest.param(
            f"{START}bo b 1 exporter=vgem\nexport b as=d\n",
            ("mmap p0 a dmabuf:d shared rw 1", "mmap p0 c bo:b shared rw 1", "destroy b"),
            id="a mapping that is being made, and the end of what it shows",
        ),
        pytest.param(
            f"{START}bo b 1 in=gtt exporter=insert-page\nmmap p0 a bo:b shared rw 1\ndestroy b\n",
            ("cpu=0 read p0 a", "cpu=1 read p0 a", "munmap p0 a"),
            id="a fault that waits for the lock of a buffer, and its last mapping's end",
        ),
        pytest.param(
            f"{START}bo b 1 exporter=vfio-pci\nmmap p0 a bo:b shared rw 1\nwrite p0 a 1\nmunmap p0 a\n",
            ("disable b", "reset b", "destroy b"),
            id="an operation under a lock of its driver's own, and the end of the buffer",
        ),
        pytest.param(
            f"{START}bo b 1 in=gtt exporter=late-zap\nmmap p0 a bo:b shared rw 1\n",
            ("mmap p0 c anon private rw 1 at=16 fixed", "destroy b"),
            id="a mapping in the place of a buffer's, and the end of the buffer",
        ),
    ],
)
def test_nothing_is_done_to_what_is_gone(before: str, permitted: tuple[str, ...]) -> None:
    text = "\n".join((before, *(f"may 1 {command}" for command in permitted)))
    assert explore(set_up(parse(text)), 200_000).complete
