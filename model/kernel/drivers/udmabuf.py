"""udmabuf: a dma-buf of the pages that a memfd has when it is made. What becomes of the memfd is not its business."""

from typing import ClassVar

from model.engine.config import fact
from model.engine.lock import down_read, up_read
from model.engine.mends import mended
from model.engine.procedure import Outcome, Procedure, call, done, fail, goto, hand_over, step
from model.kernel.arch.pgtable import pte_alloc, pte_lock, table_end
from model.kernel.drivers.buffer import FILE_PREFIX, buffer_of, device_file, use
from model.kernel.drivers.shmem_pages import shmem_pages
from model.kernel.mm.insert_pfn import vmf_insert_pfn
from model.kernel.mm.page import get_page, page_ref_add
from model.kernel.mm.pin import pin_page
from model.kernel.mm.vm_fault import vm_fault
from model.memory.errno import EBADFD, EEXIST, EINVAL
from model.memory.flags import VM_FAULT_NOPAGE, VM_FAULT_SIGBUS
from model.memory.records import Buffer
from model.memory.state import Memory, Transaction


class udmabuf_create(Procedure):
    """UDMABUF_CREATE: make a buffer of the first pages of a memfd. Returns 0 or an errno."""

    source: ClassVar[str] = "drivers/dma-buf/udmabuf.c: udmabuf_create"
    name: str
    pages: int
    memfd: str

    @step
    def check_memfd_seals(self, tx: Transaction) -> Outcome:
        """Is it a memfd, sealed against shrinking (F_SEAL_SHRINK), and not against writing (F_SEAL_WRITE)?

        So nobody can truncate it under the buffer. To punch a hole into it is not forbidden by that. 6.1 asks without
        the inode's lock: a seal may come a moment later.
        """
        if self.name in tx.buffers:
            return fail(EEXIST)
        if self.pages <= 0:
            return fail(EINVAL)
        if (wait := self.inode_lock_shared(tx)) is not None:
            return wait
        error = memfd_refused(tx, self.memfd)
        return self.unlock(tx, error) if error else None

    @step
    def udmabuf_pin_folios(self, tx: Transaction) -> Outcome:
        """Take the pages, holes filled: a pin on each (memfd_pin_folios), in 6.1 a reference. Then export them."""
        memfd = tx.files.get(self.memfd)
        if memfd is None or self.name in tx.buffers:  # another task has closed the one or made the other
            return self.unlock(tx, -EBADFD if memfd is None else -EEXIST)
        frames = -EINVAL if memfd.size < self.pages else shmem_pages(tx, self.memfd, self.pages)
        if isinstance(frames, int):
            return self.unlock(tx, frames)
        pinned = fact(tx, "udmabuf pins its pages")
        for pfn in frames:
            if pinned:
                pin_page(tx, pfn)
            else:
                page_ref_add(tx, pfn, 1)
        file = FILE_PREFIX + self.name
        tx.files[file] = device_file(self.pages)
        tx.buffers[self.name] = Buffer(
            self.pages,
            "udmabuf",
            frames=frames,
            file=file,
            memfd=self.memfd,
            pinned=pinned,
            counted=not pinned,
            last_use=use(tx, self.name),
        )
        return self.unlock(tx, 0)

    def inode_lock_shared(self, tx: Transaction) -> Outcome:
        """No seal is added beside us, where the kernel takes care of that."""
        locks = fact(tx, "udmabuf checks seals under the inode's lock") and self.memfd in tx.files
        return down_read(tx, "i_rwsem", self.memfd) if locks else None

    def unlock(self, tx: Transaction, result: int) -> Outcome:
        """Give the inode's lock back and return `result`."""
        if fact(tx, "udmabuf checks seals under the inode's lock") and self.memfd in tx.files:
            up_read(tx, "i_rwsem", self.memfd)
        return done(result)


def arrays_behind(mem: Memory, name: str) -> tuple[int, ...]:
    """The pages of the udmabufs that were made after this one: whose arrays the slab may have put behind its own."""
    first = mem.buffers[name].last_use
    later = [bo for _, bo in mem.buffers.items() if bo.exporter == "udmabuf" and bo.last_use > first]
    return tuple(pfn for bo in sorted(later, key=lambda bo: bo.last_use) for pfn in bo.frames)


def memfd_refused(mem: Memory, name: str) -> int:
    """0, or why no udmabuf can be made of a file: -EBADFD if it is no memfd, -EINVAL for its seals."""
    memfd = mem.files.get(name)
    if memfd is None or not memfd.open or memfd.kind != "memfd":
        return -EBADFD
    return 0 if "shrink" in memfd.seals and "write" not in memfd.seals else -EINVAL


class udmabuf_vm_fault(vm_fault):
    """A fault on a mapped udmabuf. It takes no lock of the buffer: the buffer keeps its pages, and never moves."""

    source: ClassVar[str] = "drivers/dma-buf/udmabuf.c: udmabuf_vm_fault"
    prefaulted: int = -1
    """The virtual page up to which the rest of the VMA has been mapped."""

    @step
    def get_page(self, tx: Transaction) -> Outcome:
        """Up to 6.1 return the memfd's own page, with a reference: the entry is an ordinary one.

        Whoever punches the memfd does not reach that entry: it is in the range of another file.

        As it was before 05b252cccb2e, nobody asks whether the fault lies inside the array of pages. What stands behind
        it in the kernel's memory is taken for a page; here that is the array of the udmabuf that was made next.
        """
        frames = self.frames(tx)
        index = self.where(tx)[1]
        if not mended(tx, "udmabuf-bounds"):
            frames += arrays_behind(tx, buffer_of(self.where(tx)[0]))
        if index >= len(frames):
            return done(VM_FAULT_SIGBUS)
        if fact(tx, "udmabuf maps PFNs"):
            return None
        get_page(tx, frames[index])
        return hand_over(0, (frames[index],))

    @step
    def vmf_insert_pfn(self, tx: Transaction) -> Outcome:
        """Later kernels make the entry here, a special one: nothing is counted, and get_user_pages() refuses it."""
        if (wait := pte_lock(tx, self.mm, self.vpn)) is not None:
            return wait
        vma = self.vma(tx)
        result = vmf_insert_pfn(tx, self.mm, vma, self.vpn, self.frames(tx)[self.where(tx)[1]])
        if not fact(tx, "udmabuf maps a whole VMA at its first fault"):
            return done(result)
        self.prefaulted = vma.start
        return None

    @step
    def table_for_prefault(self, tx: Transaction) -> Outcome:
        """The first fault maps the rest of the VMA as well: make sure of the next page table."""
        if self.prefaulted >= self.vma(tx).end:
            return done(VM_FAULT_NOPAGE)
        return call(pte_alloc(mm=self.mm, vpn=self.prefaulted))

    @step
    def prefault(self, tx: Transaction) -> Outcome:
        """Fill that table's empty entries. If there is no memory for it, later faults will do it."""
        if self.ret < 0:
            return done(VM_FAULT_NOPAGE)
        if (wait := pte_lock(tx, self.mm, self.prefaulted)) is not None:
            return wait
        vma, frames = self.vma(tx), self.frames(tx)
        border = table_end(self.prefaulted, vma.end)
        for vpn in range(self.prefaulted, border):
            vmf_insert_pfn(tx, self.mm, vma, vpn, frames[vma.pgoff + vpn - vma.start])
        self.prefaulted = border
        return goto(udmabuf_vm_fault.table_for_prefault)

    def frames(self, mem: Memory) -> tuple[int, ...]:
        """The pages of the buffer."""
        return mem.buffers[buffer_of(self.where(mem)[0])].frames
