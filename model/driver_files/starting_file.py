"""A driver file to begin with: it is right as it stands, and each line says what else it could be."""

from typing import Final

from model.driver_files.line_forms import FIELDS, STEPS

COMMENT_WIDTH: Final = 110
"""Columns of a comment."""


def starting_file(name: str) -> str:
    """The text of a driver of that name: pages that move, mapped with special entries, in the order of TTM."""
    steps = ", ".join(STEPS)
    return f"""\
# {name}: how this driver maps its pages and what it does with them.
# `ptescope driver check {name}.driver` reads it and says what is wrong. Every line form: docs/drivers.md.
# In a script:  use {name}.driver
#               bo b 1 exporter={name}
# Behind ` -- ` stands the kernel function that a line is about, and behind a second one what it does in words.
driver {name}
about what it is, in one line
source which files of which kernel you read

# The VM_* flags that ->mmap sets. None of them: just `vma`.
vma PFNMAP IO DONTEXPAND DONTDUMP -- mydrv.c: mydrv_mmap
# When entries are made (mmap, fault, op) and how (pfn, page, mixed, remap, return-page, huge-pfn, file).
map at=fault insert=pfn range=one -- mydrv.c: mydrv_fault
# Private mappings that could be written and so copied: refuse, allow, or shared-only.
private refuse
# A lock, and how ->fault takes it: blocking, trylock-retry, read, or ops (not at all). `resv` is the dma_resv.
lock resv blocking
# Where the pages come from: {", ".join(FIELDS["backing"].slots[0].words)}.
backing pages
# A state in which ->fault ends with a signal.
fail-when purged SIGBUS

# Each operation is a verb of scripts: `move b vram`. Its steps, one micro-step each, in the order of the code:
# {_wrapped(steps)}
op move: -- mydrv.c: mydrv_move -- The buffer gets other memory.
  refuse-when pinned EBUSY
  lock resv
  notify -- mydrv.c: dma_buf_move_notify
  zap -- mydrv.c: unmap_mapping_range
  alloc
  copy
  switch
  free
  unlock resv

op purge: -- mydrv.c: mydrv_purge -- Its content is not needed any more.
  refuse-when exported EBUSY
  lock resv
  set purged
  zap
  free
  unlock resv
"""


def _wrapped(words: str) -> str:
    """A long list over several lines of comment."""
    lines, line = [], ""
    for word in words.split():
        if len(line) + len(word) > COMMENT_WIDTH:
            lines.append(line.rstrip())
            line = ""
        line += f"{word} "
    return "\n# ".join((*lines, line.rstrip()))
