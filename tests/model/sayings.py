"""Scripts, and States made by hand, in which rules say what they rarely say: so that each clause is said somewhere."""

from pathlib import Path
from typing import Final

from model.memory.buffer_records import Buffer, Device, DmaBuf
from model.memory.events import Access
from model.memory.flags import PAGE_SPECIAL, PG_ANON_EXCLUSIVE, VM_READ, VM_SHARED, VM_WRITE
from model.memory.records import Cpu, File, Frame, Lock, Process, Pte, Reference, Vma
from model.memory.state import Transaction
from model.memory.tasks import Locals, Task
from tests.model.broken_machines import RW, Scenery, anon, process

WORLDS: Final = Path("lessons/course/worlds")
WRITTEN: Final = "process p0\ndevice n\nmmap p0 m anon private rw 1\nwrite p0 m 1\n"
AGAIN: Final = f"{WRITTEN}gup p0 m as=r\nmadvise p0 m dontneed\n"
DISK: Final = """process p0
    diskfile f 1
    pwrite f 0 9
    fsync f
    mmap p0 m file:f private rw 1
    write p0 m 1
    gup p0 m as=r
    madvise p0 m dontneed
"""
SHMEM: Final = DISK.replace("diskfile", "memfd").replace("fsync f\n", "").replace("file:f", "memfd:f")
WALKER: Final = "begin G gup p0 m+0 as=r fast-only by=nic\nstep G 5\nbegin C cpu=1 madvise p0 m collapse\nfinish C\n"


def world(name: str) -> str:
    """The script of a lesson's world."""
    return (WORLDS / f"{name}.pte").read_text()


SCRIPTS: Final = {
    "a page that has moved": f"{WRITTEN}gup p0 m as=r\nmremap p0 m pages=1 to=64 maymove",
    "a frame that is free": f"{WRITTEN}grab p0 m as=r raw by=n\nmunmap p0 m\ndma r read",
    "no permission": f"{AGAIN}mprotect p0 m none",
    "userfaultfd": f"{WRITTEN}userfaultfd p0 u sigbus\ngup p0 m as=r\nmadvise p0 m dontneed\n"
    "uffdio-register p0 m u missing",
    "a page in migration": f"{AGAIN}write p0 m 2\nbegin M migrate p0 m\nstep M 5",
    "a page in swap": f"set swap zram\n{AGAIN}write p0 m 2\nreclaim p0 m",
    "a page in the swap cache": f"set swap file\n{AGAIN}write p0 m 2\nreclaim p0 m",
    "beyond the end": "process p0\nmemfd f 1\nmmap p0 m memfd:f shared rw 1\nwrite p0 m 1\ngup p0 m as=r\ntruncate f 0",
    "a page on disk": f"{DISK}mmap p0 b file:f shared r 1\nread p0 b\nreclaim p0 b",
    "a file's page in swap": f"set swap zram\n{SHMEM}mmap p0 b memfd:f shared rw 1\nwrite p0 b 3\nreclaim p0 b",
    "a huge page that is gone": "set hugetlb 2\nprocess p0\nmmap p0 m hugetlb private rw 512\nwrite p0 m 1\n"
    "gup p0 m+0 as=r\nmadvise p0 m dontneed",
    "a table that is free": f"{world('file-in-a-guest')}{WALKER}finish G",
    "a table that is another's": f"{world('file-in-a-guest')}{WALKER}process q\nmmap q z anon private rw 1\n"
    "write q z 1\nfinish G",
    "a table that is data": f"{world('file-in-a-guest')}process q cpu=1\nmmap q z anon private rw 6\nwrite q z+0 1\n"
    f"{WALKER}write q z+1 7\nwrite q z+2 7\nwrite q z+3 7\nwrite q z+4 7\nfinish G",
    "a page in the pool": "process p0\nbo b 1 in=gtt exporter=insert-page\nmmap p0 m bo:b shared rw 1\nwrite p0 m 1\n"
    "gup p0 m as=r\nmove b vram",
    "a buffer that does not move": "process p0\nbo b 1 exporter=system-heap\nmmap p0 m bo:b shared rw 1\n"
    "grab p0 m as=g",
    "two owners": f"{world('stray-page')}follow p0 buf+1 as=g by=vcpu\nput g\nwrite p1 own 83",
    "a hole under a udmabuf": "set kernel 6.1\nprocess p0\nmemfd f 1\nmmap p0 m memfd:f shared rw 1\nwrite p0 m 1\n"
    "seal f shrink\nbo b 1 exporter=udmabuf memfd=f\npunch f 0 1",
    "a GPU's TLB": f"{world('gpu-tlb')}gpu-map b gpu as=object\ndma object write 65\nevict b\nwrite p1 own 83\n"
    "dma object write 66\ndma object read",
    "a fork under a reference": f"{WRITTEN}gup p0 m as=r write by=n\nfork p0 c\ndma r write 9",
    "a grab of what may only be read": "process p0\ndevice n\nmemfd f 1\npwrite f 0 1\nmmap p0 m memfd:f shared r 1\n"
    "read p0 m\ngrab p0 m as=g by=n\ndma g write 9",
    "a grab of what may only be copied": "process p0\ndevice n\nmemfd f 1\npwrite f 0 1\n"
    "mmap p0 m memfd:f private rw 1\nread p0 m\ngrab p0 m as=g by=n\ndma g write 9",
    "direct I/O beside fork": f"{world('direct-io-6-1')}begin io direct-read p0 buf 66\nstep io 12\nfork p0 p1\n"
    "write p0 buf 67\nfinish io",
    "Dirty COW": f"{world('dirty-cow')}begin W force-write p0 p0 buf 66\nbegin D cpu=1 madvise p0 buf dontneed\n"
    "step W 15\nfinish D\nfinish W",
    "Dirty Pipe": "set as-it-was pipe-buffer-flags\ndiskfile f 1\npwrite f 0 65\npipe p\npipe-write p 1\npipe-read p\n"
    "splice f 0 p\npipe-write p 66",
    "write-protected by userfaultfd": f"{WRITTEN}userfaultfd p0 u\nuffdio-register p0 m u wp\n"
    "gup p0 m as=r write by=n\nuffdio-writeprotect p0 m u wp\ndma r write 9",
    "a byte that comes after the copy": "process p0\nbo b 1 in=gtt exporter=late-zap\nmmap p0 buf bo:b shared rw 1\n"
    "write p0 buf 65\nbegin M move b vram\nstep M 7\nwrite p0 buf 66\nfinish M",
    "a KSM page that is written": "process p0\ndevice n\nmmap p0 a anon private rw 3\nmadvise p0 a mergeable\n"
    "write p0 a 5\nwrite p0 a+2 5\nksm-scan 2\ngrab p0 a+0 as=g raw by=n\ndma g write 9",
    "a mapping that ->close does not count": "driver d; vma PFNMAP; map at=fault insert=pfn; backing pages; "
    "close forgets\nprocess p0\nbo b 1 exporter=d\nmmap p0 m bo:b shared rw 1\nwrite p0 m 1\ndestroy b\nmunmap p0 m",
    "a move of which nobody tells": "process p0\ndevice n\nbo b 1 in=gtt exporter=late-notify\nexport b as=d\n"
    "attach d n dynamic\nmap d n as=m\nbegin M move b vram\nfinish M",
}


def _buffer_moved(tx: Transaction) -> None:
    """A dma-buf that a device has mapped at frame 5; the buffer is in frame 6 now, and frame 5 is another's."""
    tx.devices["nic"] = Device()
    tx.buffers["b"] = Buffer(1, "qxl", frames=(6,), file="bo:b")
    tx.buffers["c"] = Buffer(1, "qxl", frames=(5,), file="bo:c")
    tx.files["bo:b"], tx.files["bo:c"] = File("drm", size=1), File("drm", size=1)
    tx.frames[6], tx.frames[5] = Frame("buffer", 1, mapping="bo:b"), Frame("buffer", 1, mapping="bo:c")
    tx.dma_bufs["d"] = DmaBuf("b")
    tx.references["m"] = Reference("map", "", 0, (5,), "nic", counted=False, dmabuf="d")


def _buffer_gone(tx: Transaction) -> None:
    _buffer_moved(tx)
    tx.buffers["b"] = Buffer(1, "qxl", file="bo:b", swap=(0,))


def _noted(tx: Transaction) -> None:
    """A driver that has noted the frame of a buffer that has moved."""
    _buffer_moved(tx)
    tx.references["m"] = Reference("grab", "", 0, (5,), "nic", counted=False, buffer="b")


def _gpu(tx: Transaction) -> None:
    _buffer_moved(tx)
    tx.references["m"] = Reference("gpu", "", 0, (5,), "nic", counted=False, buffer="b")


def _mapped_late(tx: Transaction) -> None:
    """An entry that leads to the old memory of a buffer."""
    tx.files["bo:b"] = File("drm", size=1, i_mmap=(("p0", 64),))
    tx.vmas["p0", 64] = Vma(64, 65, VM_READ | VM_WRITE | VM_SHARED, file="bo:b", ops="ttm")
    tx.buffers["b"] = Buffer(1, "qxl", frames=(6,), file="bo:b")
    tx.frames[6], tx.frames[5] = Frame("buffer", 1, mapping="bo:b"), Frame("buffer", 1, mapping="bo:b")
    tx.ptes["p0", 64] = Pte(5, RW | PAGE_SPECIAL)


def _mapped_kernel(tx: Transaction) -> None:
    _mapped_late(tx)
    tx.frames[5] = Frame("kernel", 1)
    tx.buffers["b"] = Buffer(1, "qxl", file="bo:b", swap=(0,))


def _listed_twice(mapping: str, kind: str = "buffer") -> Scenery:
    def build(tx: Transaction) -> None:
        tx.buffers["b"] = Buffer(1, "qxl", frames=(5,), file="bo:b")
        tx.files["bo:b"] = File("drm", size=1)
        tx.frames[5] = Frame(kind, 1, 1, mapping=mapping)  # type: ignore[arg-type]
        tx.ptes["p0", 17] = Pte(5, RW)

    return build


def _locks(tx: Transaction) -> None:
    tx.locks["mmap_lock", "p0"] = Lock("gone")
    tx.locks["i_mmap_rwsem", "f"] = Lock(readers=("gone",))
    tx.cpus[0] = Cpu("gone")


def _with_call(tx: Transaction) -> None:
    tx.processes["p1"] = Process(cpu=1)
    tx.vmas["p1", 16] = Vma(16, 32, VM_READ | VM_WRITE)
    tx.frames[5] = Frame("anon", 2, 1, flags=PG_ANON_EXCLUSIVE)
    tx.ptes["p1", 17] = Pte(5, RW)
    tx.tasks["main"] = Task("p0", 0, (Locals(holds=(5,)),))


def _guarded(tx: Transaction) -> None:
    tx.ptes["p0", 17] = Pte(2, 0, "marker")
    tx.references["r"] = Reference("get", "p0", 17, (5,))


MACHINES: Final[dict[str, tuple[Scenery, ...]]] = {
    "a guard": (process("p0"), anon(5, refs=1), _guarded),
    "a free page with a count": (lambda tx: tx.frames.__setitem__(9, Frame("free", 1)),),
    "a mapping that is not counted": (process("p0"), anon(5, ("p0", 17), maps=-1)),
    "a used page below zero": (lambda tx: tx.frames.__setitem__(9, Frame("kernel", -1)),),
    "a mapcount below zero": (lambda tx: tx.frames.__setitem__(9, Frame("kernel", 0, -1)),),
    "locks and a CPU left behind": (process("p0"), _locks),
    "a dma-buf that was moved": (_buffer_moved,),
    "a dma-buf that is not in memory": (_buffer_gone,),
    "an entry of the old place": (process("p0"), _mapped_late),
    "an entry of a buffer that is out": (process("p0"), _mapped_kernel),
    "a page in the pool and in use": (process("p0"), _listed_twice("ttm_pool")),
    "a page of two buffers": (process("p0"), _listed_twice("bo:other")),
}

ACCESSES: Final[dict[str, tuple[tuple[Scenery, ...], Access]]] = {
    "a mapping that was kept": ((_buffer_moved,), Access(5, write=True, value=0, reference="m", device="nic")),
    "a number that was noted": ((_noted,), Access(5, write=False, value=0, reference="m", device="nic")),
    "a GPU's table": ((_gpu,), Access(5, write=True, value=0, reference="m", device="nic")),
    "a reference of a call": (
        (process("p0"), _with_call),
        Access(5, write=True, value=0, process="p0", vpn=17),
    ),
    "a translation that is gone": (
        (process("p0"), anon(5, ("p1", 17)), process("p1"), anon(5, ("p1", 17))),
        Access(5, write=True, value=0, process="p0", vpn=17),
    ),
}
