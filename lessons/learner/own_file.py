"""Files that the program keeps: replaced whole, so that a crash leaves the old or the new one."""

import contextlib
import os
import tempfile
from pathlib import Path


def replace_file(path: Path, content: bytes, *, private: bool = True) -> None:
    """Put `content` into `path` so that any reader, and a crash, sees the old or the new file, whole.

    A private file is for its owner alone; others get what the umask leaves.
    Raises OSError that names `path`, and then leaves the old file and no temporary one.
    """
    try:
        _replace(path, content, private=private)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def create_file(path: Path, content: bytes) -> None:
    """Make `path`, whole or not at all; what has that name already is left alone, even if it came a moment ago.

    Raises OSError that names `path`: FileExistsError where there is one.
    """
    try:
        with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder:
            whole = Path(folder) / path.name
            _replace(whole, content, private=False)
            os.link(whole, path)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def reason(error: OSError) -> str:
    """What went wrong with which file, for people.

    >>> reason(FileNotFoundError(2, "No such file or directory", "notes/a.md"))
    'notes/a.md: No such file or directory'
    """
    why = error.strerror or str(error)
    return f"{error.filename}: {why}" if error.filename else why


def _replace(path: Path, content: bytes, *, private: bool) -> None:
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            if not private and os.name == "posix":
                mask = os.umask(0)
                os.umask(mask)
                os.fchmod(file.fileno(), 0o666 & ~mask)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            Path(name).unlink()
        raise
    if os.name == "posix":
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
