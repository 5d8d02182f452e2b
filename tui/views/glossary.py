"""The glossary: each term of the field that program and lessons use, its meaning in the kernel, and where it stands."""

from typing import Final, NamedTuple

from lessons.i18n.language import tr
from tui.views.markdown import wrap
from tui.views.row import BLANK, Row, Span, row

KERNEL: Final = "6.12"
"""The kernel in which every place was looked up."""


class Term(NamedTuple):
    """A term, what it means, and where the kernel has it; `where` is empty for words of this program."""

    name: str
    meaning: str
    where: str = ""


GLOSSARY: Final = (
    Term(
        "address_space",
        "The pages of one file or device (i_pages), and every VMA that maps it (i_mmap).",
        "include/linux/fs.h: struct address_space",
    ),
    Term(
        "anon_vma",
        "Finds every VMA that may map a given anonymous page, across fork().",
        "include/linux/rmap.h: struct anon_vma",
    ),
    Term(
        "copy-on-write",
        "A write to a shared private page gets a copy of its own; the PTE is read-only until then.",
        "mm/memory.c: do_wp_page",
    ),
    Term(
        "corruption",
        "Bytes reached somebody they do not belong to, or never reached their reader. The kernel notices nothing.",
    ),
    Term(
        "DAX",
        "A file's pages are the storage itself, mapped directly, with no copy in the page cache.",
        "fs/dax.c: dax_iomap_fault",
    ),
    Term(
        "dma-buf",
        "A buffer that one driver exports and others import; its file descriptor keeps it alive.",
        "include/linux/dma-buf.h: struct dma_buf",
    ),
    Term(
        "exclusive",
        "PG_anon_exclusive: only one process maps this anonymous page, so it may be written without a copy.",
        "include/linux/page-flags.h: PG_anon_exclusive",
    ),
    Term(
        "exporter",
        "The driver that owns a dma-buf's memory and decides where it is.",
        "include/linux/dma-buf.h: struct dma_buf_ops",
    ),
    Term(
        "fault",
        "The CPU found no PTE that allows the access; the kernel makes one, or sends a signal.",
        "mm/memory.c: handle_mm_fault",
    ),
    Term(
        "folio",
        "One page, or several that belong together and have one count.",
        "include/linux/mm_types.h: struct folio",
    ),
    Term(
        "FOLL_LONGTERM",
        "A pin that may last for ever: the page must not be where it might have to move.",
        "include/linux/mm_types.h: FOLL_LONGTERM",
    ),
    Term("frame", "4 KiB of physical memory, with its struct page.", "include/linux/mm_types.h: struct page"),
    Term(
        "get",
        "A reference taken with FOLL_GET: one on the count. It says nothing about who reads or writes.",
        "include/linux/mm_types.h: FOLL_GET",
    ),
    Term(
        "GUP",
        "get_user_pages(): how the kernel takes references to the pages of a process.",
        "mm/gup.c: get_user_pages",
    ),
    Term(
        "GUP-fast",
        "The same without mmap_lock: it walks the table with interrupts off and checks the PTE again.",
        "mm/gup.c: gup_fast_pte_range",
    ),
    Term(
        "hazard",
        "Nothing is lost yet, but a belief is already false.",
    ),
    Term(
        "HMM",
        "A driver copies a process's page table for its device and is told when to forget it.",
        "mm/hmm.c: hmm_range_fault",
    ),
    Term(
        "importer",
        "A device attached to a dma-buf; a dynamic one is told of moves, for a static one the buffer is pinned.",
        "drivers/dma-buf/dma-buf.c: dma_buf_dynamic_attach",
    ),
    Term(
        "IPI",
        "An interrupt that one CPU sends to others, here to make them flush their TLBs.",
        "arch/x86/mm/tlb.c: flush_tlb_multi",
    ),
    Term(
        "KSM",
        "Kernel samepage merging: ksmd replaces several pages of the same content with one write-protected page.",
        "mm/ksm.c: cmp_and_merge_page",
    ),
    Term(
        "mapcount",
        "How many page-table entries map the page, as the reverse map counts them.",
        "include/linux/mm.h: folio_mapcount",
    ),
    Term(
        "micro-step",
        "The smallest thing the model does at once: one PTE read, one atomic, one critical section.",
    ),
    Term(
        "mmap_lock",
        "Protects the VMAs of an address space: readers may fault, only a writer may map and unmap.",
        "include/linux/mmap_lock.h: mmap_read_lock",
    ),
    Term(
        "MMU notifier",
        "A callback before PTEs change, for anyone who keeps a copy of them: KVM, HMM, drivers.",
        "include/linux/mmu_notifier.h: struct mmu_notifier_ops",
    ),
    Term(
        "page cache",
        "The pages of a file that are in memory, by their index.",
        "mm/filemap.c: filemap_get_folio",
    ),
    Term(
        "PFN",
        "The number of a page frame: its physical address divided by 4096.",
        "include/linux/pfn.h: PFN_PHYS",
    ),
    Term(
        "PGD, PUD, PMD",
        "The levels of the page table above the PTE; a PMD entry may map 2 MiB itself.",
        "include/linux/pgtable.h: pmd_offset",
    ),
    Term(
        "pin",
        "A reference taken with FOLL_PIN: 1024 on the count of a small page. Its holder may read and write by DMA.",
        "include/linux/mm_types.h: FOLL_PIN",
    ),
    Term(
        "PTE",
        "Page-table entry: where a virtual page leads, and what may be done there.",
        "arch/x86/include/asm/pgtable_types.h: pte_t",
    ),
    Term(
        "RCU",
        "Frees what others may still be reading once each CPU has been seen outside; interrupts off count as reading.",
        "mm/mmu_gather.c: tlb_remove_table_free",
    ),
    Term(
        "refcount",
        "How many references keep the frame from being freed; a pin counts 1024.",
        "include/linux/mm.h: GUP_PIN_COUNTING_BIAS",
    ),
    Term(
        "special PTE",
        "Core mm looks for no struct page behind it: GUP refuses it (but not the zero page), and nothing is counted.",
        "mm/memory.c: vm_normal_page",
    ),
    Term("splat", "The kernel itself notices and complains in its log."),
    Term(
        "table page",
        "The page frame that holds the 512 entries of a page table. It is allocated and freed like any other.",
        "mm/memory.c: __pte_alloc",
    ),
    Term(
        "TLB",
        "The CPU's cache of translations; an entry stays until it is flushed, whatever the page table says.",
        "arch/x86/mm/tlb.c: flush_tlb_mm_range",
    ),
    Term(
        "truncate",
        "Cuts pages off a file: out of every page table, then out of the page cache. Pins are not asked.",
        "mm/truncate.c: truncate_pagecache",
    ),
    Term(
        "TTM",
        "The manager of graphics memory: a buffer moves between VRAM and system pages.",
        "drivers/gpu/drm/ttm/ttm_bo.c: ttm_bo_validate",
    ),
    Term(
        "VM_IO",
        "A VMA with side effects on access: GUP refuses it.",
        "include/linux/mm.h: VM_IO",
    ),
    Term(
        "VM_MIXEDMAP",
        "A VMA that may have both: pages with a struct page, and bare PFNs.",
        "include/linux/mm.h: VM_MIXEDMAP",
    ),
    Term(
        "VM_PFNMAP",
        "A VMA of bare PFNs: no struct page is looked for, and nothing is counted.",
        "include/linux/mm.h: VM_PFNMAP",
    ),
    Term(
        "VMA",
        "A range of virtual pages with one backing and one set of rights.",
        "include/linux/mm_types.h: struct vm_area_struct",
    ),
    Term(
        "zap",
        "Clears the PTEs of a range and gives back what they held; the VMA may stay.",
        "mm/memory.c: zap_page_range_single",
    ),
    Term(
        "zero page",
        "One frame full of zeros. Reading anonymous memory that was never written maps it; nobody counts it.",
        "mm/memory.c: do_anonymous_page",
    ),
)


def glossary(width: int) -> list[Row]:
    """Term, meaning, place; in alphabetical order."""
    rows: list[Row] = []
    for term in GLOSSARY:
        if rows:
            rows.append(BLANK)
        rows.append(row(Span(term.name, "strong"), Span(f"  {term.where}" if term.where else "", "dim")))
        rows += [Row((Span("  "), *line.spans)) for line in wrap([Span(tr(term.meaning))], width - 2)]
    return rows
