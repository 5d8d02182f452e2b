"""Whether the kernel functions that the source and the documents cite stand in the files that they name.

    python -m docs.citations TREE…

Each TREE is a kernel's source. A citation is `mm/gup.c: gup_fast, try_grab_folio`; it is dead if no tree has the file,
or none of those that have it has the name. A name without an underscore may be prose, and is not looked for.
"""

import re
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parent.parent

FOLDERS: Final = "arch block drivers fs include io_uring ipc kernel lib mm net security sound virt"

NAME: Final = r"\w+\b(?!\.[chS]\b)(?:\(\))?"

CITED: Final = re.compile(
    rf"(?P<file>\b(?:{'|'.join(FOLDERS.split())})/[\w./+-]*\.[chS])\b(?::\s*(?P<names>{NAME}(?:,\s*{NAME})*))?"
)

OLDER: Final = frozenset(
    {
        # Bugs of kernels before 6.1.
        "mm/frame_vector.c",
        "ttm_bo_vm_insert_huge",
        "cmpxchg_gpte",
        # The reader's own driver.
        "drivers/gpu/drm/mydrv/mydrv_gem.c",
    }
)
"""Files and names that no tree need have."""

PLACES: Final = ("*.md", "docs/*.md", "model/**/*.md", "model/**/*.py", "lessons/**/*.py", "lessons/**/*.md")
DRIVERS: Final = "model/driver_files/**/*.driver"


def dead(text: str, trees: Sequence[Path]) -> Iterator[tuple[int, str]]:
    """The line of each citation that no tree bears out, and what it lacks."""
    for found in CITED.finditer(text):
        line, file = text.count("\n", 0, found.start()) + 1, found["file"]
        having = [words for tree in trees if (words := words_of(tree / file)) is not None]
        if not having and file not in OLDER:
            yield line, f"no tree has {file}"
        for name in re.findall(r"\w+", found["names"] or "") if having else ():
            if "_" in name and name not in OLDER and not any(name in words for words in having):
                yield line, f"{file} has no {name}"


@cache
def words_of(path: Path) -> frozenset[str] | None:
    """Every word of a file; None if there is none."""
    try:
        return frozenset(re.findall(r"\w+", path.read_text(encoding="utf-8", errors="replace")))
    except OSError:
        return None


def main() -> int:
    """Print each dead citation as FILE:LINE. The exit status is 1 if there is one."""
    trees = [Path(tree) for tree in sys.argv[1:]]
    if missing := [tree for tree in trees if not (tree / "mm").is_dir()]:
        print(f"no kernel source in {missing[0]}", file=sys.stderr)
        return 2
    if not trees:
        print("usage: python -m docs.citations TREE…", file=sys.stderr)
        return 2
    status = 0
    for path in sorted({path for place in (*PLACES, DRIVERS) for path in ROOT.glob(place)}):
        for line, what in dead(path.read_text(encoding="utf-8"), trees):
            print(f"{path.relative_to(ROOT)}:{line}: {what}")
            status = 1
    return status


if __name__ == "__main__":
    sys.exit(main())
