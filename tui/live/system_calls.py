"""System calls that Python does not offer, through the C library: no compiler, no other package.

The worker processes import this file alone, by its path and isolated, so it needs nothing but the standard library.
A call that fails raises OSError with the kernel's errno.
"""

import ctypes
import os
import platform
from typing import Any, Final

PAGE: Final = 4096
"""Bytes of a page."""
LIBC: Final = ctypes.CDLL(None, use_errno=True)

NUMBERS: Final = {
    "x86_64": {"mseal": 462, "memfd_secret": 447, "move_pages": 279, "userfaultfd": 323, "bpf": 321},
    "aarch64": {"mseal": 462, "memfd_secret": 447, "move_pages": 239, "userfaultfd": 282, "bpf": 280},
}
"""System calls by number, for those that have no wrapper in older C libraries (arch/*/entry/syscalls, 6.12)."""
COMMON_NUMBERS: Final = {"io_uring_setup": 425, "io_uring_enter": 426, "io_uring_register": 427, "pidfd_getfd": 438}
"""The same on every architecture since 5.1."""

MAP_SHARED, MAP_PRIVATE, MAP_FIXED, MAP_ANONYMOUS = 0x01, 0x02, 0x10, 0x20
MAP_LOCKED, MAP_NORESERVE, MAP_POPULATE, MAP_FIXED_NOREPLACE = 0x2000, 0x4000, 0x8000, 0x100000
MAP_HUGETLB = 0x40000
MREMAP_MAYMOVE, MREMAP_FIXED, MREMAP_DONTUNMAP = 1, 2, 4
MS_SYNC: Final = 4
ADVICE: Final = {
    "normal": 0,
    "random": 1,
    "sequential": 2,
    "willneed": 3,
    "dontneed": 4,
    "free": 8,
    "remove": 9,
    "dontfork": 10,
    "dofork": 11,
    "mergeable": 12,
    "unmergeable": 13,
    "hugepage": 14,
    "nohugepage": 15,
    "dontdump": 16,
    "dodump": 17,
    "wipeonfork": 18,
    "keeponfork": 19,
    "cold": 20,
    "pageout": 21,
    "populate_read": 22,
    "populate_write": 23,
    "dontneed_locked": 24,
    "collapse": 25,
    "guard_install": 102,
    "guard_remove": 103,
}
"""MADV_* by name, as in include/uapi/asm-generic/mman-common.h (6.12, and 6.13 for the guards)."""

UFFD_API: Final = 0xAA
UFFD_FEATURES: Final = {"sigbus": 1 << 7, "wp_unpopulated": 1 << 13, "move": 1 << 16, "wp_async": 1 << 15}
UFFD_MODES: Final = {"missing": 1, "wp": 2, "minor": 4}
UFFDIO: Final = {
    name: direction << 30 | 8 * words << 16 | UFFD_API << 8 | number
    for name, (direction, words, number) in {
        "api": (3, 3, 0x3F),
        "register": (3, 4, 0),
        "unregister": (2, 2, 1),
        "wake": (2, 2, 2),
        "copy": (3, 5, 3),
        "zeropage": (3, 4, 4),
        "move": (3, 5, 5),
        "writeprotect": (3, 3, 6),
        "continue": (3, 4, 7),
        "poison": (3, 4, 8),
    }.items()
}
"""UFFDIO_* as _IOR (2) or _IOWR (3) of a structure of so many 64-bit words (include/uapi/linux/userfaultfd.h, 6.12)."""

PR_SET_THP_DISABLE: Final = 41
RING_ENTRIES: Final = 4


class IoVec(ctypes.Structure):
    """struct iovec."""

    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


def _declare(name: str, *arguments: Any, result: Any = ctypes.c_int) -> Any:
    function = getattr(LIBC, name)
    function.argtypes, function.restype = arguments, result
    return function


_LONG, _ADDRESS, _SIZE, _INT = ctypes.c_long, ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int
_MMAP: Final = _declare("mmap", _ADDRESS, _SIZE, _INT, _INT, _INT, _LONG, result=ctypes.c_ssize_t)
_MREMAP: Final = _declare("mremap", _ADDRESS, _SIZE, _SIZE, _INT, _ADDRESS, result=ctypes.c_ssize_t)
_MUNMAP: Final = _declare("munmap", _ADDRESS, _SIZE)
_MPROTECT: Final = _declare("mprotect", _ADDRESS, _SIZE, _INT)
_MADVISE: Final = _declare("madvise", _ADDRESS, _SIZE, _INT)
_MLOCK: Final = _declare("mlock", _ADDRESS, _SIZE)
_MUNLOCK: Final = _declare("munlock", _ADDRESS, _SIZE)
_MSYNC: Final = _declare("msync", _ADDRESS, _SIZE, _INT)
_READ: Final = _declare("read", _INT, _ADDRESS, _SIZE, result=ctypes.c_ssize_t)
_WRITE: Final = _declare("write", _INT, _ADDRESS, _SIZE, result=ctypes.c_ssize_t)
_TEE: Final = _declare("tee", _INT, _INT, _SIZE, ctypes.c_uint, result=ctypes.c_ssize_t)
_VMSPLICE: Final = _declare("vmsplice", _INT, ctypes.POINTER(IoVec), ctypes.c_ulong, ctypes.c_uint, result=_LONG)
_PREAD: Final = _declare("pread", _INT, _ADDRESS, _SIZE, _LONG, result=ctypes.c_ssize_t)
_PWRITE: Final = _declare("pwrite", _INT, _ADDRESS, _SIZE, _LONG, result=ctypes.c_ssize_t)
_MLOCK2: Final = _declare("mlock2", _ADDRESS, _SIZE, ctypes.c_uint)
_FALLOCATE: Final = _declare("fallocate", _INT, _INT, _LONG, _LONG)
_MINCORE: Final = _declare("mincore", _ADDRESS, _SIZE, ctypes.POINTER(ctypes.c_ubyte))
_PRCTL: Final = _declare("prctl", _INT, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong, ctypes.c_ulong)
_READV: Final = _declare(
    "process_vm_readv", _INT, ctypes.POINTER(IoVec), ctypes.c_ulong, ctypes.POINTER(IoVec), ctypes.c_ulong,
    ctypes.c_ulong, result=ctypes.c_ssize_t,
)  # fmt: skip
_WRITEV: Final = _declare(
    "process_vm_writev", _INT, ctypes.POINTER(IoVec), ctypes.c_ulong, ctypes.POINTER(IoVec), ctypes.c_ulong,
    ctypes.c_ulong, result=ctypes.c_ssize_t,
)  # fmt: skip


def checked(result: int) -> int:
    """`result`, or OSError if it says that the call failed."""
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result


def system_call(name: str, *arguments: int | object) -> int:
    """A call by its number. Raises OSError; ENOSYS where this machine's number is not known."""
    number = COMMON_NUMBERS.get(name) or NUMBERS.get(platform.machine(), {}).get(name)
    if number is None:
        raise OSError(38, f"{name} has no number here")
    words = [ctypes.c_long(word) if isinstance(word, int) else word for word in arguments]
    return checked(LIBC.syscall(ctypes.c_long(number), *words))


def mmap(address: int, length: int, prot: int, flags: int, descriptor: int = -1, offset: int = 0) -> int:
    """System call mmap, bytes; returns the address."""
    return checked(_MMAP(address, length, prot, flags, descriptor, offset))


def munmap(address: int, length: int) -> int:
    """System call munmap, bytes."""
    return checked(_MUNMAP(address, length))


def mprotect(address: int, length: int, prot: int) -> int:
    """System call mprotect, bytes."""
    return checked(_MPROTECT(address, length, prot))


def mremap(address: int, length: int, new_length: int, flags: int, to: int = 0) -> int:
    """System call mremap, bytes; returns the address."""
    return checked(_MREMAP(address, length, new_length, flags, to))


def madvise(address: int, length: int, advice: int) -> int:
    """System call madvise, bytes."""
    return checked(_MADVISE(address, length, advice))


def mlock(address: int, length: int) -> int:
    """System call mlock, bytes."""
    return checked(_MLOCK(address, length))


def mlock_on_fault(address: int, length: int) -> int:
    """System call mlock2 with MLOCK_ONFAULT, bytes."""
    return checked(_MLOCK2(address, length, 1))


def munlock(address: int, length: int) -> int:
    """System call munlock, bytes."""
    return checked(_MUNLOCK(address, length))


def msync(address: int, length: int) -> int:
    """System call msync with MS_SYNC, bytes."""
    return checked(_MSYNC(address, length, MS_SYNC))


def mseal(address: int, length: int) -> int:
    """System call mseal, bytes; since 6.10."""
    return system_call("mseal", address, length, 0)


def copy_from_pipe(descriptor: int, address: int, length: int = 1) -> int:
    """System call read from a pipe to an address: where the CPU may not write it says EFAULT."""
    return checked(_READ(descriptor, address, length))


def copy_to_pipe(descriptor: int, address: int, length: int = 1) -> int:
    """System call write from an address into a pipe: where the CPU may not read it says EFAULT."""
    return checked(_WRITE(descriptor, address, length))


def tee(source: int, target: int, length: int) -> int:
    """System call tee: the same pages in a second pipe, bytes."""
    return checked(_TEE(source, target, length, 0))


def vmsplice(descriptor: int, address: int, length: int) -> int:
    """System call vmsplice of one range of bytes into a pipe; returns how many bytes it took."""
    vector = IoVec(address, length)
    return checked(_VMSPLICE(descriptor, ctypes.byref(vector), 1, 0))


def page_to_file(descriptor: int, address: int) -> int:
    """System call pwrite of a page to the start of a file, bytes."""
    return checked(_PWRITE(descriptor, address, PAGE, 0))


def page_from_file(descriptor: int, address: int) -> int:
    """System call pread of the first page of a file, bytes."""
    return checked(_PREAD(descriptor, address, PAGE, 0))


def process_vm(pid: int, address: int, value: int | None) -> int:
    """One byte of another process: process_vm_readv(2), or with a value process_vm_writev(2)."""
    byte = ctypes.c_ubyte(value or 0)
    here, there = IoVec(ctypes.addressof(byte), 1), IoVec(address, 1)
    call = _READV if value is None else _WRITEV
    checked(call(pid, ctypes.byref(here), 1, ctypes.byref(there), 1, 0))
    return byte.value


def punch(descriptor: int, offset: int, length: int) -> int:
    """System call fallocate with FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, bytes."""
    return checked(_FALLOCATE(descriptor, 0x03, offset, length))


def prctl(option: int, value: int) -> int:
    """System call prctl."""
    return checked(_PRCTL(option, value, 0, 0, 0))


def io_uring_with_buffer(address: int, length: int) -> int:
    """A ring whose one fixed buffer is [address, address + length): its pages are pinned until it is closed.

    io_sqe_buffer_register() pins with FOLL_WRITE | FOLL_LONGTERM (io_uring/rsrc.c, 6.12). Returns the descriptor.
    """
    parameters = ctypes.create_string_buffer(120)
    ring = system_call("io_uring_setup", RING_ENTRIES, parameters)
    vector = IoVec(address, length)
    try:
        system_call("io_uring_register", ring, 0, ctypes.byref(vector), 1)  # IORING_REGISTER_BUFFERS
    except OSError:
        os.close(ring)
        raise
    return ring


def take_descriptor(pid: int, descriptor: int) -> int:
    """System call pidfd_getfd: another process's descriptor; a ring can be handed on in no other way since 6.7."""
    process = os.pidfd_open(pid)
    try:
        return system_call("pidfd_getfd", process, descriptor, 0)
    finally:
        os.close(process)


def userfaultfd(features: int) -> int:
    """System call userfaultfd and UFFDIO_API; returns the descriptor."""
    descriptor = system_call("userfaultfd", os.O_CLOEXEC)
    try:
        uffdio(descriptor, UFFDIO["api"], UFFD_API, features, 0)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def uffdio(descriptor: int, request: int, *words: int) -> None:
    """An ioctl of a userfaultfd: `words` are its structure."""
    structure = (ctypes.c_uint64 * len(words))(*words)
    checked(LIBC.ioctl(ctypes.c_int(descriptor), ctypes.c_ulong(request), ctypes.byref(structure)))


def mincore(address: int, length: int) -> bool:
    """System call mincore of one page: whether it is in memory."""
    answer = ctypes.c_ubyte()
    checked(_MINCORE(address, length, ctypes.byref(answer)))
    return bool(answer.value & 1)


def drain_batches() -> None:
    """Drain every CPU's batches, as lru_cache_disable() does before move_pages(2) moves a page to where it is."""
    page = ctypes.create_string_buffer(1)
    pages = (ctypes.c_void_p * 1)(ctypes.addressof(page) & ~(PAGE - 1))
    nodes, status = (ctypes.c_int * 1)(0), (ctypes.c_int * 1)()
    system_call("move_pages", 0, 1, pages, nodes, status, 2)
