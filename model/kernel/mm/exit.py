"""exit: the address space goes, mapping by mapping; what somebody else holds stays."""

from typing import ClassVar, cast

from model.engine.lock import down_write, up_write
from model.engine.procedure import Outcome, Procedure, blocked, call, done, fail, goto, step
from model.kernel.arch.pgtable import TASK_SIZE
from model.kernel.drivers.mapping_counts import mapping_lock
from model.kernel.mm.munmap import free_vmas
from model.kernel.mm.page import put_page
from model.kernel.mm.unmap import unmap_region
from model.kernel.mm.userfaultfd_register import userfaultfd_release
from model.kernel.mm.vma import detach_vma, vmas_in
from model.memory.errno import ENOENT
from model.memory.records import Vma
from model.memory.state import Transaction
from model.memory.tasks import Task


class do_exit(Procedure):
    """The process ends: exit_mmap() unmaps everything. References that devices or pipes hold outlive it."""

    source: ClassVar[str] = "kernel/exit.c: exit_mm; mm/mmap.c: exit_mmap"
    mm: str
    vmas: tuple[Vma, ...] = ()

    @step
    def wait_for_threads(self, tx: Transaction) -> Outcome:
        """The address space lives until the last task in it is done, and whoever else counts in mm_users (mmget).

        A driver that faults a page in for its device is one of them, and so is the fork that is making the child.
        """
        if self.mm not in tx.processes:
            return fail(ENOENT)
        # One after the other, to the first: where others are does not matter then.
        for name in tx.tasks.all_keys():
            task = tx.tasks[name]
            if name != tx.task_name and (task.process == self.mm or keeps_alive(task, self.mm)):
                return blocked(f"{name} to leave {self.mm}")
        tx.processes.update(self.mm, exiting=True)
        return None

    @step
    def mmap_write_lock(self, tx: Transaction) -> Outcome:
        """Somebody else may be looking at this address space (process_vm_readv): wait for them."""
        return down_write(tx, "mmap_lock", self.mm)

    @step
    def exit_mmap(self, tx: Transaction) -> Outcome:
        """Detach all VMAs and unmap their pages, in the order of every unmap: clear, unlink, unhook, flush, free."""
        self.vmas = tuple(vmas_in(tx, self.mm, 0, TASK_SIZE))
        if not self.vmas:
            return goto(do_exit.mmdrop)
        for vma in self.vmas:
            detach_vma(tx, self.mm, vma)
        return call(unmap_region(mm=self.mm, vmas=self.vmas, start=0, end=TASK_SIZE))

    @step
    def remove_vmas(self, tx: Transaction) -> Outcome:
        """Free the VMAs, and let go of their files: a closed file whose last mapping this was goes with its pages."""
        if (wait := mapping_lock(tx, *(vma.file for vma in self.vmas))) is not None:
            return wait
        free_vmas(tx, self.mm, self.vmas)
        return None

    @step
    def mmdrop(self, tx: Transaction) -> Outcome:
        """Free the top-level table and the mm. The process is gone."""
        up_write(tx, "mmap_lock", self.mm)
        put_page(tx, tx.processes[self.mm].pgd)
        for key in [key for key, _ in tx.labels.items() if key[0] == self.mm]:
            del tx.labels[key]
        del tx.processes[self.mm]
        return None if any(self.mm in one.open_in for _, one in tx.userfaultfds.items()) else done()

    @step
    def exit_files(self, tx: Transaction) -> Outcome:
        """Its descriptors are closed. What it had registered of other address spaces may be nobody's business now."""
        uffd = next((name for name, one in sorted(tx.userfaultfds.items()) if self.mm in one.open_in), None)
        if uffd is None:
            return done()
        return call(userfaultfd_release(caller=self.mm, uffd=uffd), do_exit.exit_files)


def keeps_alive(task: Task, mm: str) -> bool:
    """Whether a task counts in the mm_users of an address space that is not its own."""
    calls = (cast("Procedure", call) for call in task.stack)
    return any(getattr(call, field) == mm for call in calls for field in call.mm_users)
