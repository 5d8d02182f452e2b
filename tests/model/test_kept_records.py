"""A micro-step that looks a record up by what it has remembered: who keeps that record meanwhile?

Between two micro-steps other tasks move. What a call remembers in its fields (a process, a VMA, a buffer) may be
gone at the next one, unless somebody keeps it. A step asks first (`.get()`, `in`), or it says here who keeps it. What a
step has found in another record of the same micro-step is there for as long as that record is.
"""

import ast
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from model import kernel

VANISHING: Final = frozenset(
    {
        *("processes", "vmas", "detached_vmas", "files", "references", "userfaultfds", "tasks"),
        *("buffers", "dma_bufs", "attachments"),
    }
)
"""Tables out of which another task can take what a call has remembered."""

MM_USERS: Final = "do_exit() waits for each task in the process, and for whoever counts in its mm_users"
MMAP_LOCK: Final = "mmap_lock is held: no VMA goes, and exit_mmap() waits"
DESCRIPTOR: Final = "the caller's descriptor: the language has no close(2)"
BUFFER_HELD: Final = "the operation holds the buffer (get_buffer), or a VMA does, under mmap_lock"
DMA_RESV: Final = "the reservation lock is held: destroy and detach wait for it"
ITS_OWN: Final = "it was found, or held on to, in the same micro-step"

KEPT: Final = {
    **{
        (name, "processes"): MM_USERS
        for name in (
            *("copy_hugetlb_page_range", "do_exit", "do_mmap", "do_mremap", "do_vmi_munmap", "do_wp_page"),
            *("get_user_pages_fast", "get_user_pages_unlocked", "gup_fast", "hugetlb_no_page", "kernel_clone"),
            "move_vma",
        )
    },
    ("tlb_finish_mmu", "processes"): "ours, or i_mmap's lock is held: exit_mmap() waits in unlink_vma()",
    ("try_to_merge_one_page", "processes"): MMAP_LOCK,
    **{(name, "vmas"): MMAP_LOCK for name in ("copy_page_range", "copy_hugetlb_page_range", "vm_fault")},
    **{
        (name, "files"): DESCRIPTOR
        for name in (
            *("dax_truncate", "do_truncate", "ext4_setattr", "fallocate_punch", "filp_close", "hugetlb_vmdelete_list"),
            *("hugetlbfs_punch_hole", "hugetlbfs_setattr", "kernel_read", "kernel_write", "memfd_add_seals"),
            *("page_cache_ra_unbounded", "shmem_fallocate", "shmem_setattr", "splice_file_to_pipe"),
        )
    },
    ("shmem_get_folio", "files"): "a VMA under mmap_lock, a descriptor, or the driver's buffer names the file",
    ("unmap_ref_private", "files"): MMAP_LOCK,
    ("hugetlb_unmap_file_folio", "files"): DESCRIPTOR,
    ("insert_mappings", "files"): BUFFER_HELD,
    ("wrprotect_mappings", "files"): BUFFER_HELD,
    **{
        (name, "buffers"): BUFFER_HELD for name in ("driver_fault", "driver_huge_fault", "driver_op", "insert_mappings")
    },
    **{(name, "buffers"): ITS_OWN for name in ("dma_buf_export", "gem_destroy")},
    ("dma_buf_attach", "dma_bufs"): DMA_RESV,
    ("dma_buf_detach", "dma_bufs"): "its attachment, which was asked for in the same micro-step, holds it",
    ("i915_gem_object_unset_pages", "references"): ITS_OWN,
    **{(name, "references"): ITS_OWN for name in ("kvm_tdp_mmu_page_fault", "mirror_range")},
    ("userfaultfd_read", "userfaultfds"): "the context is found in the same step, and the event keeps the child's",
    ("userfaultfd_release", "userfaultfds"): "the last descriptor is ours: nobody else finds it any more",
}
"""(procedure, table) → who keeps what it looks up there without asking."""


def looked_up_without_asking(source: str) -> Iterator[tuple[str, str]]:
    """(class, table) of each look-up by a field of the class, in a method that does not ask whether it is there."""
    for one in ast.walk(ast.parse(source)):
        if not isinstance(one, ast.ClassDef):
            continue
        for method in one.body:
            if isinstance(method, ast.FunctionDef):
                nodes = list(ast.walk(method))
                asked = {table for node in nodes for table in _asks(node)}
                found = {table for node in nodes if (table := _takes(node)) and table not in asked}
                yield from ((one.name, table) for table in sorted(found))


def _table(node: ast.AST) -> str:
    """The vanishing table that an expression is: `tx.buffers`, `mem.buffers`; empty if it is none."""
    named = isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in ("tx", "mem")
    return node.attr if named and isinstance(node, ast.Attribute) and node.attr in VANISHING else ""


def _asks(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Call(func=ast.Attribute(attr="get", value=table)):
            yield _table(table)
        case ast.Compare(ops=[ast.In() | ast.NotIn()], comparators=[table]):
            yield _table(table)


def _takes(node: ast.AST) -> str:
    match node:
        case ast.Subscript(value=table, slice=key, ctx=ast.Load()):
            return _table(table) if _remembered(key) else ""
        case ast.Call(func=ast.Attribute(attr="update", value=table), args=[key, *_]):
            return _table(table) if _remembered(key) else ""
    return ""


def _remembered(key: ast.AST) -> bool:
    """Whether a key is made of a field of the procedure."""
    return any(
        isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self"
        for node in ast.walk(key)
    )


def test_whatever_is_looked_up_without_asking_is_kept_by_somebody() -> None:
    found = {
        each
        for path in Path(kernel.__path__[0]).rglob("*.py")
        for each in looked_up_without_asking(path.read_text(encoding="utf-8"))
    }
    assert found - KEPT.keys() == set(), "ask with .get() or `in`, or say in KEPT who keeps it meanwhile"
    assert KEPT.keys() - found == set(), "these ask by now, or are gone"


def test_a_look_up_by_what_was_remembered_is_seen_unless_it_asks() -> None:
    step = "class f:\n    def a(self, tx):\n        {}\n        return tx.buffers[self.name]\n"
    assert list(looked_up_without_asking(step.format("pass"))) == [("f", "buffers")]
    assert list(looked_up_without_asking(step.format("bo = tx.buffers.get(self.name)"))) == []
    assert list(looked_up_without_asking(step.format("if self.name not in tx.buffers: return None"))) == []
    told = "class f:\n    def a(self, tx):\n        tx.files.update(self.file, size=1)\n        tx.vmas[0]\n"
    assert list(looked_up_without_asking(told)) == [("f", "files")]
