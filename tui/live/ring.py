"""An io_uring with one fixed buffer, used as a device: it reads and writes memory that it has pinned.

Layouts are those of include/uapi/linux/io_uring.h (6.12). The ring was made by the process whose memory it pins;
whoever has its descriptor can submit. Offsets are bytes.
"""

import ctypes
import mmap
import os
from contextlib import suppress
from functools import cache
from typing import Final, NamedTuple

from tui.live import system_calls as kernel

OP_READ_FIXED, OP_WRITE_FIXED = 4, 5
ENTER_GETEVENTS: Final = 1
SQ_RING, SQES = 0, 0x1000_0000
"""IORING_OFF_*: what mmap(2) of a ring shows."""
RING_BYTES: Final = 4096


class SubmissionEntry(ctypes.Structure):
    """struct io_uring_sqe, 64 bytes."""

    _fields_ = (
        ("opcode", ctypes.c_uint8),
        ("flags", ctypes.c_uint8),
        ("priority", ctypes.c_uint16),
        ("descriptor", ctypes.c_int32),
        ("offset", ctypes.c_uint64),
        ("address", ctypes.c_uint64),
        ("length", ctypes.c_uint32),
        ("rw_flags", ctypes.c_uint32),
        ("user_data", ctypes.c_uint64),
        ("buffer", ctypes.c_uint16),
        ("rest", ctypes.c_uint8 * 22),
    )


class RingLayout(NamedTuple):
    """Where the words of a ring stand: bytes from its start."""

    sq_tail: int
    sq_mask: int
    sq_array: int
    cq_head: int
    cq_tail: int
    cq_mask: int
    cqes: int


@cache
def layout() -> RingLayout:
    """The kernel says it when a ring is made; every ring of the same size has the same. Raises OSError."""
    parameters = (ctypes.c_uint32 * 30)()
    os.close(kernel.system_call("io_uring_setup", kernel.RING_ENTRIES, parameters))
    words = list(parameters)
    sq, cq = words[10:20], words[20:30]
    return RingLayout(sq[1], sq[2], sq[6], cq[0], cq[1], cq[2], cq[5])


class FixedBuffer:
    """A ring that has pinned the bytes [start, start + length) of a process."""

    def __init__(self, descriptor: int, start: int, length: int) -> None:
        self.descriptor, self.start, self.length = descriptor, start, length
        self.words = mmap.mmap(descriptor, RING_BYTES, offset=SQ_RING)
        self.entries = mmap.mmap(descriptor, RING_BYTES, offset=SQES)
        self.scratch = os.memfd_create("dma", os.MFD_CLOEXEC)
        os.ftruncate(self.scratch, kernel.PAGE)

    def transfer(self, offset: int, value: int | None) -> int:
        """Write a byte at `offset` of the buffer, or without a value read it. Returns the byte. Raises OSError."""
        if value is not None:
            os.pwrite(self.scratch, bytes([value]), 0)
        self._submit(OP_WRITE_FIXED if value is None else OP_READ_FIXED, self.start + offset)
        return os.pread(self.scratch, 1, 0)[0]

    def _submit(self, opcode: int, address: int) -> None:
        at = layout()
        tail = self._word(at.sq_tail)
        slot = tail & self._word(at.sq_mask)
        entry = SubmissionEntry(opcode=opcode, descriptor=self.scratch, address=address, length=1)
        size = ctypes.sizeof(entry)
        self.entries[slot * size : (slot + 1) * size] = bytes(entry)
        self._put(at.sq_array + 4 * slot, slot)
        self._put(at.sq_tail, tail + 1)
        kernel.system_call("io_uring_enter", self.descriptor, 1, 1, ENTER_GETEVENTS, 0, 0)
        head = self._word(at.cq_head)
        done = at.cqes + 16 * (head & self._word(at.cq_mask))
        result = int.from_bytes(self.words[done + 8 : done + 12], "little", signed=True)
        self._put(at.cq_head, head + 1)
        if result < 0:
            raise OSError(-result, os.strerror(-result))

    def _word(self, offset: int) -> int:
        return int.from_bytes(self.words[offset : offset + 4], "little")

    def _put(self, offset: int, value: int) -> None:
        self.words[offset : offset + 4] = (value & 0xFFFF_FFFF).to_bytes(4, "little")

    def close(self) -> None:
        """Unregister the buffer at once, so that its pages are unpinned before this returns, and close the ring."""
        self.words.close()
        self.entries.close()
        with suppress(OSError):
            kernel.system_call("io_uring_register", self.descriptor, 1, 0, 0)  # IORING_UNREGISTER_BUFFERS
        os.close(self.descriptor)
        os.close(self.scratch)
