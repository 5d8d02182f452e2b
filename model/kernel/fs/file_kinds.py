"""Kinds of files by what is behind them, and how a read says that one has ended."""

from typing import Final

EOF: Final = -1000
"""What kernel_read() returns where the file ends: read(2) would return 0."""

SHMEM: Final = ("memfd", "shmem")
"""Kinds of files that live in the page cache alone."""

HUGETLB_FILES: Final = ("hugetlb", "anon_hugepage")
"""Kinds of files: a memfd, and what mmap(MAP_HUGETLB) brings along."""

NO_DISK: Final = (*SHMEM, *HUGETLB_FILES, "dax")
"""Kinds of files of which there is nothing behind memory."""
