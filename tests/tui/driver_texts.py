"""Driver files that tests review."""

from typing import Final

EARLY_FREE: Final = """driver mine
about it frees before it zaps
vma PFNMAP DONTEXPAND
map at=fault insert=pfn
lock resv blocking
backing pages
op purge:
  lock resv
  free
  zap
  unlock resv
"""
