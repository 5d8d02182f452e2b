"""Whether the steps of a driver's operations stand in an order that is safe, on every way through them."""

from collections.abc import Iterator
from typing import Final

from model.driver_files.check_locks import LockEdge, inversions, waits_in_fault, waits_under
from model.driver_files.check_mapping import COUNTED
from model.driver_files.check_paths import KEEPING, MAPPED, WAITED, DriverWay, Paths, TooManyWaysError
from model.driver_files.findings import DriverFault, error, warning
from model.driver_files.page_ranges import WHOLE, cover, range_of
from model.driver_files.records import DriverLine, KernelDriver, StepList

MOVE: Final = "drivers/gpu/drm/ttm/ttm_bo.c: ttm_bo_handle_move_mem calls ttm_bo_unmap_virtual first, 6.1 to 7.3"
NOTIFY: Final = "drivers/dma-buf/dma-buf.c: dma_buf_move_notify, 6.1 and 6.12; dma_buf_invalidate_mappings, 7.3"
UNMAP: Final = "mm/memory.c: unmap_mapping_range, 6.1, 6.12 and 7.3"
AFTER_ERROR: Final = "after an error"
FILLED: Final = "filled"
"""Among what is done: a buffer without memory has got some, so there was no old memory."""


class StepChecker:
    """Looks at the ways through the operations of a driver, and notes what is wrong."""

    def __init__(self, driver: KernelDriver) -> None:
        self.driver = driver
        self.found: dict[DriverFault, None] = {}
        self.partial: DriverLine | None = None
        """The last `zap` of a part."""
        self.fences = {part.word_at("NAME") for one in _lists(driver) for part in _parts(one) if part.word == "fence"}
        self.current = ""
        """The operation that is walked through."""
        self.edges: list[LockEdge] = []
        """Who waits for which lock and holds another one."""
        self.words = {part.word for one in _lists(driver) for part in _parts(one)}

    def findings(self) -> Iterator[DriverFault]:
        """Everything that is wrong with the operations."""
        for one in self.driver.ops:
            self.current = one.name
            try:
                for end in Paths(self.driver, self._visit).ends(one, DriverWay()):
                    self._end(one, end)
            except TooManyWaysError:
                self._note(
                    warning(one.head, "too-many-ways", f"`{one.name}` has too many ways: not all were looked at")
                )
        yield from (fault for fault in self.found if not self._is_told(fault))
        yield from inversions([*self.edges, *waits_in_fault(self.driver)])

    def _is_told(self, fault: DriverFault) -> bool:
        """A lock that is left held after an error is no news where it is left held in any case."""
        return AFTER_ERROR in fault.message and any(
            other.name == fault.name and (other.line, other.column) == (fault.line, fault.column)
            for other in self.found
            if AFTER_ERROR not in other.message
        )

    def _note(self, finding: DriverFault) -> None:
        self.found[finding] = None

    # -- one step ----------------------------------------------------------------------------------

    def _visit(self, walk: DriverWay, step: DriverLine) -> DriverWay:
        match step.word:
            case "lock":
                return self._lock(walk, step)
            case "unlock":
                return self._unlock(walk, step)
            case "zap":
                return self._zap(walk, step)
            case "insert":
                self._insert(walk, step)
                return walk._replace(zap="none", zapped=())
            case "free" | "put" | "truncate" | "shrink":
                self._gives_back(walk, step)
            case "alloc":
                return self._alloc(walk, step)
            case "copy" | "save" | "switch":
                return self._leaves(walk, step)
            case "notify":
                self._notify(walk, step)
            case "keep":
                self._keep(step)
            case "set":
                self._set(walk, step)
        return walk

    def _lock(self, walk: DriverWay, step: DriverLine) -> DriverWay:
        lock, read = step.word_at("LOCK"), step.has("read")
        others = [shared for name, shared in walk.held if name == lock]
        if others and not step.has("try") and not (read and all(others)):
            self._note(error(step, "self-deadlock", f"`{lock}` is held already: this waits for itself, for ever"))
        elif not others:
            self.edges += (edge for edge in waits_under(self.current, walk, step) if edge not in self.edges)
        return walk._replace(held=(*walk.held, (lock, read)))

    def _unlock(self, walk: DriverWay, step: DriverLine) -> DriverWay:
        lock = step.word_at("LOCK")
        held = list(walk.held)
        at = next((at for at in reversed(range(len(held))) if held[at][0] == lock), None)
        if at is None:
            if not walk.failed:
                where = f" {walk.states}" if walk.states else ""
                self._note(error(step, "unlock-not-held", f"`{lock}` is not held here{where}"))
            return walk
        del held[at]
        after = walk._replace(held=tuple(held))
        return after._replace(guarded=after.guarded and (after.zap == "none" or self._guards(after)))

    def _guards(self, walk: DriverWay) -> bool:
        """Whether a fault cannot make entries now."""
        if self.driver.at != "fault" or self.driver.insert == "file":
            return True
        if any(walk.knows(state) for state, _ in self.driver.fails_when):
            return True
        faults = dict(self.driver.fault_locks)
        return any(lock in faults and not read for lock, read in walk.held)

    def _zap(self, walk: DriverWay, step: DriverLine) -> DriverWay:
        if step.has("no-flush"):
            what = "the entries go, and TLBs keep them: CPUs use the old memory until something else flushes"
            self._note(error(step, "no-flush", what, "mm/mmu_gather.c: tlb_finish_mmu flushes, 6.1, 6.12 and 7.3"))
            return walk._replace(zap="no-flush", guarded=self._guards(walk))
        part = range_of(step)
        zapped = (*walk.zapped, part)
        if not part.is_whole:
            self.partial = step
        return walk._replace(zap="all" if cover(zapped, WHOLE) else "part", zapped=zapped, guarded=self._guards(walk))

    def _alloc(self, walk: DriverWay, step: DriverLine) -> DriverWay:
        part = range_of(step)
        if not part.is_whole and self.driver.backing in {"shmem", "borrow:memfd"}:
            what = f"`{step.text}` with `backing {self.driver.backing}`: a page of a file stays where it is"
            self._note(error(step, "file-page-moved", what))
        return walk._replace(moved=part, copied=())

    # -- the order ---------------------------------------------------------------------------------

    def _mapped(self, walk: DriverWay) -> str:
        """Why the old memory is still reached through entries; empty if it is not."""
        if walk.bare or walk.knows(MAPPED) is False:
            return ""
        if walk.zap == "part" and not cover(walk.zapped, walk.moved):
            if self.partial is not None:
                what = f"`{self.partial.text}` takes only a part of the entries away, and then the memory goes"
                self._note(error(self.partial, "part-zap", what, UNMAP))
            return ""
        if walk.zap == "none":
            return "the entries have not been taken away"
        if not walk.guarded:
            return "a fault may have brought the entries back since the zap: no lock that ->fault takes is held"
        return ""

    def _gives_back(self, walk: DriverWay, step: DriverLine) -> None:
        if step.word == "shrink" and self.driver.insert == "file":
            return  # reclaim looks the entries up itself
        if step.has("keep-numbers"):
            self._note(error(step, "keeps-numbers", "the frame numbers are used on after the memory was given back"))
        if step.word in walk.done - {"truncate", "shrink"} or (step.word == "put" and "free" in walk.done):
            twice = f"`{step.word}` comes a second time: "
            if KEEPING in walk.done:
                self._note(error(step, "freed-twice", f"{twice}the memory may be another's now"))
            else:
                idle = "the first has left nothing (a driver that has kept the numbers: `keep-numbers` on the first)"
                self._note(warning(step, "freed-twice", twice + idle))
        why = self._mapped(walk)
        if why and self._counted():
            if step.word != "shrink":
                what = f"{why}: they keep the pages, and show programs memory that is the buffer's no longer"
                self._note(warning(step, "stale-entries", what))
        elif why:
            lent = step.word == "put" and self.driver.backing in {"shmem", "borrow:memfd"}
            what = f"`{step.word}` before the zap is whole: {why}"
            if lent:
                what += "; until then only the file keeps the pages"
            note = warning if lent else error
            self._note(note(step, f"{step.word}-before-zap", what, MOVE if step.word == "free" else UNMAP))
        if not walk.held and self.driver.backing != "borrow:memfd":
            what = f"`{step.word}` without a lock: two callers at once give the memory back twice"
            self._note(warning(step, "unlocked", what))
        self._unfenced(walk, step)

    def _counted(self) -> bool:
        """Whether an entry keeps its page: an ordinary one, of pages that are given back by reference."""
        return self.driver.insert in COUNTED and self.driver.backing not in {"pool", "vram"}

    def _leaves(self, walk: DriverWay, step: DriverLine) -> DriverWay:
        why = self._mapped(walk)
        if why and not self._empty(walk):
            lost = "what is written to the old memory from here on is lost"
            self._note(
                error(step, f"{step.word}-before-zap", f"`{step.word}` before the zap is whole: {why}; {lost}", MOVE)
            )
        if step.word == "switch" and "alloc" not in walk.done:
            self._note(error(step, "switch-to-nothing", "there is no new memory: `alloc` has not been done"))
        if step.word == "switch" and not self._empty(walk) and not cover(walk.copied, walk.moved):
            whose = "of some pages is" if "copy" in walk.done else "is"
            self._note(warning(step, "not-copied", f"the content {whose} not copied to the new memory"))
        if step.word == "copy":
            walk = walk._replace(copied=(*walk.copied, range_of(step)))
        if step.word == "copy" and "alloc" not in walk.done:
            self._note(error(step, "copy-to-nothing", "there is no new memory: `alloc` has not been done"))
        if step.word == "switch":
            self._unfenced(walk, step)
        return walk._replace(done=walk.done | {FILLED}) if step.word == "switch" and self._empty(walk) else walk

    @staticmethod
    def _empty(walk: DriverWay) -> bool:
        """Whether there is no old content: the buffer never had memory, or has given it back without saving it."""
        without = all(walk.knows(place) is False for place in ("vram", "gtt", "system"))
        return walk.knows("none") is True or (without and not walk.knows("swapped") and "save" not in walk.done)

    def _unfenced(self, walk: DriverWay, step: DriverLine) -> None:
        waits = {word for word in walk.done if word.split()[0] == "wait-fence"}
        if "wait-fence" not in waits and (left := sorted(self.fences - {word.removeprefix(WAITED) for word in waits})):
            job = f"job `{left[0]}`" if left[0] else "a job"
            of = f" {left[0]}" if left[0] else ""
            what = f"`{step.word}` while {job} of the device may use the buffer: `wait-fence{of}` has not been done"
            self._note(error(step, "no-wait-fence", what, "drivers/gpu/drm/ttm/ttm_bo.c: ttm_bo_wait_ctx, 6.12"))

    def _insert(self, walk: DriverWay, step: DriverLine) -> None:
        waiting = {lock for lock, how in self.driver.fault_locks if how != "trylock-retry"}
        for lock, _ in walk.held:
            if lock in waiting:
                what = (
                    f"`insert` takes mmap_lock under `{lock}`, ->fault takes `{lock}` under mmap_lock: they wait for "
                    "each other"
                )
                self._note(
                    error(step, "lock-order", what, "drivers/vfio/pci/vfio_pci_core.c, 6.1: vfio_pci_zap_and_vma_lock")
                )

    def _notify(self, walk: DriverWay, step: DriverLine) -> None:
        gone = [word for word in ("free", "put", "truncate") if word in walk.done]
        if gone and not self.driver.unexported:
            what = f"importers are told after `{gone[0]}`: until then their devices use memory of somebody else"
            self._note(error(step, "late-notify", what, NOTIFY))

    def _keep(self, step: DriverLine) -> None:
        going = sorted(self.words & {"free", "put", "switch", "truncate", "shrink"})
        if going:
            what = f"the device keeps frame numbers without a reference, and `{going[0]}` gives the memory away"
            self._note(
                error(step, "raw-numbers", what, "include/linux/dma-buf.h: dma_buf_attach_ops.move_notify, 6.12")
            )

    def _set(self, walk: DriverWay, step: DriverLine) -> None:
        state = step.word_at("STATE")
        faults = {lock for lock, _ in self.driver.fault_locks}
        if any(state == one for one, _ in self.driver.fails_when) and not faults & {lock for lock, _ in walk.held}:
            which = f"no lock that ->fault takes (`{'`, `'.join(sorted(faults))}`)" if faults else "no lock"
            what = f"`{state}` is set under {which}: a fault that has just looked still makes its entry"
            self._note(warning(step, "set-unlocked", what))

    # -- the end of an operation -------------------------------------------------------------------

    def _end(self, one: StepList, walk: DriverWay) -> None:
        for lock, _ in walk.held:
            where = f" {walk.states}" if walk.states else ""
            how = f"{AFTER_ERROR}{where}" if walk.failed else where.strip()
            steps = [step for part in (one, *self.driver.functions) for step in _parts(part) if step.word == "lock"]
            taken = next((step for step in steps if step.word_at("LOCK") == lock), one.head)
            what = f"`{one.name}` ends with `{lock}` held{' ' + how if how else ''}: the next to take it waits for ever"
            self._note(error(taken, "never-unlocked", what))
        if walk.failed:
            return
        gone = [word for word in ("free", "put") if word in walk.done]
        if gone and "notify" not in walk.done and not self._nobody_imports(walk):
            what = f"`{one.name}` gives memory back, and importers are never told: add `notify` before `{gone[0]}`"
            self._note(warning(one.head, "no-notify", what, NOTIFY))
        if "switch" in walk.done and not walk.done & {"free", "put", FILLED}:
            self._note(warning(one.head, "leak", f"`{one.name}` leaves the old memory to nobody: `free` is missing"))
        if "alloc" in walk.done and "switch" not in walk.done:
            self._note(
                warning(one.head, "unused-memory", f"`{one.name}` allocates memory that the buffer never becomes")
            )

    def _nobody_imports(self, walk: DriverWay) -> bool:
        return (
            bool(self.driver.unexported)
            or self.driver.pins_every
            or walk.knows("exported") is False
            or walk.knows("imported") is False
        )


def _lists(driver: KernelDriver) -> tuple[StepList, ...]:
    return (*driver.ops, *driver.functions)


def _parts(one: StepList) -> Iterator[DriverLine]:
    for step in one.steps:
        yield step
        yield from step.joined
