"""The byte code of the packages that a start loads, in one file: to find it in hundreds took a tenth of a start.

What Python checks is checked here, too: a module comes from the archive if the folder that its package names as its
place has not changed since, so that a search would find the same file, and if the file's time and size are those that
its `.pyc` file was made of. All else, and every module that is in no package, is found as ever. The archive lies beside
the `.pyc` files of this package, so that nobody can change it who could not change them. The app makes it when it ends.
It has some megabytes; pip leaves it behind when it removes ptescope, as it leaves the byte code of `python -O`.
"""

import marshal
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import MAGIC_NUMBER, cache_from_source, spec_from_file_location
from types import CodeType, ModuleType
from typing import Final, cast

FORMAT: Final = "start1"
"""Part of the archive's name. With another format it gets another number, so that no program reads an older one's."""
LEAST: Final = 20
"""So few modules are found as ever sooner than an archive is made for them."""
STAMP: Final = slice(4, 16)
"""What a `.pyc` file says of its source after the magic number: flags, time, size; four bytes each."""
CODE: Final = 16
"""Where the code begins in a `.pyc` file."""
HEAD: Final = 12
"""Bytes of an archive before its index."""

Entry = tuple[bool, str, bytes, int, int]
"""Of a module: is it a package, path and stamp of its `.pyc` file, where its code begins, counted from the first, and
its length."""
Folder = tuple[int, dict[str, Entry]]
"""Of a folder: when it changed last, in nanoseconds, and the last names of the modules in it."""


class StartArchive:
    """One file, and one of `sys.meta_path`: the magic number of `.pyc` files, the lengths of index and code, both.

    A length has four bytes, the lowest first.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._file = -1
        self._begins = 0
        """Where the first code begins."""
        self._folders: dict[str, Folder] = {}
        self._looked_at: dict[str, dict[str, Entry]] = {}
        """The folders that were asked for, without modules if they have changed."""
        self._loaded: tuple[str, ...] = ()

    def install(self) -> None:
        """From now on modules are loaded from here as far as possible. A damaged archive is none: it is made anew."""
        if not hasattr(os, "pread"):
            return
        with suppress(OSError, EOFError, ValueError):
            self._open()
            sys.meta_path.insert(0, self)

    def _open(self) -> None:
        self._file = os.open(self.path, os.O_RDONLY)
        head = os.read(self._file, HEAD)
        index, codes = int.from_bytes(head[4:8], "little"), int.from_bytes(head[8:], "little")
        if head[:4] != MAGIC_NUMBER or os.fstat(self._file).st_size != HEAD + index + codes:
            raise ValueError(head)
        self._begins = HEAD + index
        self._folders = marshal.loads(os.pread(self._file, index, HEAD))  # noqa: S302 - as trusted as the .pyc beside it

    def invalidate_caches(self) -> None:
        """Look at folders again: importlib says so."""
        self._looked_at.clear()

    def find_spec(self, name: str, path: Sequence[str] | None, _target: ModuleType | None = None) -> ModuleSpec | None:
        """Where a module comes from, or None if it is not here as it is now."""
        if path is None or len(path) != 1:
            return None
        (folder,) = path
        modules = self._looked_at.get(folder)
        if modules is None:
            modules = self._looked_at[folder] = self._unchanged(folder)
        last = name[name.rfind(".") + 1 :]
        entry = modules.get(last)
        if entry is None:
            return None
        is_package, pyc, stamp, begins, length = entry
        source = _source(folder, last, is_package=is_package)
        if stamp != _stamp(source):
            return None
        loader = ArchivedLoader(name, source)
        loader.place = (self._file, length, self._begins + begins)
        places = [f"{folder}{os.sep}{last}"] if is_package else None
        spec = spec_from_file_location(name, source, loader=loader, submodule_search_locations=places)
        if spec is not None:
            spec.cached = pyc
        return spec

    def _unchanged(self, folder: str) -> dict[str, Entry]:
        """The modules of a folder, none if it has changed."""
        changed, modules = self._folders.get(folder, (0, {}))
        return modules if modules and _changed(folder) == changed else {}

    def started(self) -> None:
        """The first frame is out: what was loaded until now is what a start loads."""
        self._loaded = tuple(sys.modules)

    def keep(self) -> None:
        """Make the archive anew, of what it has and what the start found elsewhere, if that was much.

        Where nothing may be written all goes on as ever.
        """
        found = {} if sys.dont_write_bytecode else dict(found_elsewhere(self._loaded))
        if len(found) < LEAST:
            return
        from pathlib import Path

        from lessons.learner.own_file import replace_file

        for folder, (_, modules) in self._folders.items():
            found |= {(folder, last): entry[:2] for last, entry in modules.items()}
        folders: dict[str, Folder] = {}
        codes = bytearray()
        for (folder, last), (is_package, pyc) in found.items():
            with suppress(OSError):  # gone with its package
                content = Path(pyc).read_bytes()
                stamp = _stamp(_source(folder, last, is_package=is_package))
                if content[STAMP] == stamp:
                    modules = folders.setdefault(folder, (_changed(folder), {}))[1]
                    modules[last] = (is_package, pyc, stamp, len(codes), len(content) - CODE)
                    codes += content[CODE:]
        index = marshal.dumps(folders)
        lengths = len(index).to_bytes(4, "little") + len(codes).to_bytes(4, "little")
        with suppress(OSError):
            replace_file(Path(self.path), MAGIC_NUMBER + lengths + index + codes, private=False)


class ArchivedLoader(SourceFileLoader):
    """Loads a module as ever, only that its code is at hand."""

    place: tuple[int, int, int]
    """Where its code is: file, length, offset."""

    def get_code(self, _fullname: str) -> CodeType:
        """The module, compiled."""
        return cast("CodeType", marshal.loads(os.pread(*self.place)))  # noqa: S302


def found_elsewhere(names: Sequence[str]) -> Iterator[tuple[tuple[str, str], tuple[bool, str]]]:
    """Folder and last name of the modules in packages that Python has loaded: is it a package, and its `.pyc` file."""
    for name in names:
        spec = getattr(sys.modules.get(name), "__spec__", None)
        package, _, last = name.rpartition(".")
        path = getattr(sys.modules.get(package), "__path__", None)
        if spec is None or path is None or len(path) != 1 or type(spec.loader) is not SourceFileLoader:
            continue
        folder = path[0]
        is_package = spec.submodule_search_locations is not None
        if spec.cached and spec.origin == _source(folder, last, is_package=is_package):
            yield (folder, last), (is_package, spec.cached)


def _source(folder: str, last: str, *, is_package: bool) -> str:
    """Where a module of a folder stands."""
    return f"{folder}{os.sep}{last}{os.sep}__init__.py" if is_package else f"{folder}{os.sep}{last}.py"


def _stamp(source: str) -> bytes:
    """What the `.pyc` file of a source says of it, empty if there is none."""
    try:
        now = os.stat(source)  # noqa: PTH116 - hundreds of them, and a Path takes longer than the file
    except OSError:
        return b""
    time, size = int(now.st_mtime) & 0xFFFFFFFF, now.st_size & 0xFFFFFFFF
    return bytes(4) + time.to_bytes(4, "little") + size.to_bytes(4, "little")


def _changed(folder: str) -> int:
    """When a folder changed last, in nanoseconds; -1 if there is none."""
    try:
        return os.stat(folder).st_mtime_ns  # noqa: PTH116
    except OSError:
        return -1


START: Final = StartArchive(cache_from_source(__file__, optimization=f"{FORMAT}{'o' * sys.flags.optimize}"))
"""That of this program. Until it is installed nothing is loaded from it."""
