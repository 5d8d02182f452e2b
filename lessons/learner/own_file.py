"""Files that the program keeps: read and replaced whole, and never where somebody else's link leads.

A file is replaced by a temporary one that is synced and renamed: a kill at any moment leaves the old or the new one.
In a folder that others may write to, as the system's for temporary files, a link may lead anywhere; only links that
the reader or the system's administrator has placed are followed. (Linux does the same where `fs.protected_symlinks` is
on, but only in folders with the sticky bit.)
"""

import contextlib
import errno
import os
import stat
import tempfile
import time
from pathlib import Path
from typing import Final

from lessons.i18n.language import tr

MOST_BYTES: Final = 64_000_000
"""No file that the program writes comes near."""
ABANDONED: Final = 3600.0
"""Seconds after which a temporary file is no program's any more: the one that made it was killed."""
_tidied: Final[set[Path]] = set()
"""Folders in which this program has looked for abandoned files."""


class ForeignLinkError(OSError):
    """The way to a file leads over somebody else's link."""


def read_own(path: Path, most: int = MOST_BYTES) -> bytes:
    """The content of an ordinary file. Raises OSError; nothing else that may lie there keeps anybody waiting."""
    follow_own_links(path)
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, tr("no ordinary file"), str(path))
        raw = file.read(most + 1)
    if len(raw) > most:
        raise OSError(errno.EFBIG, tr("longer than {most} bytes").format(most=most), str(path))
    return raw


def append_own(path: Path, content: bytes) -> None:
    """Add to the end of a file; a link in its place is not followed. Raises OSError."""
    follow_own_links(path.parent)
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    descriptor = os.open(path, flags, 0o600)
    try:
        os.write(descriptor, content)
    finally:
        os.close(descriptor)


def follow_own_links(path: Path) -> None:
    """Raise OSError where the way to a file leads over a link that somebody else has placed."""
    if os.name != "posix":
        return
    for part in (path, *path.absolute().parents):
        try:
            found = part.lstat()
        except OSError:
            continue
        if stat.S_ISLNK(found.st_mode) and found.st_uid not in trusted():
            raise ForeignLinkError(errno.ELOOP, tr("a link that somebody else has placed is not followed"), str(part))


def trusted() -> tuple[int, ...]:
    """Whose links are followed: those of whoever runs the program, and of the administrator."""
    return (os.geteuid(), 0)


def replace_file(path: Path, content: bytes, *, private: bool = True) -> None:
    """Put `content` into `path` so that any reader, and a crash, sees the old or the new file, whole.

    A private file is the program's own, for its owner alone; others are where the user wants them, and get what the
    umask leaves. Raises OSError that names `path`, and then leaves the old file and no temporary one.
    """
    if private:
        follow_own_links(path.parent)
    try:
        _tidy(path.parent)
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


SUFFIX: Final = ".part"


def _replace(path: Path, content: bytes, *, private: bool) -> None:
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name[:80]}.", suffix=SUFFIX, dir=path.parent)
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


def _tidy(folder: Path) -> None:
    """Remove, once a program, what killed programs have left in a folder."""
    if folder in _tidied:
        return
    _tidied.add(folder)
    before = time.time() - ABANDONED
    for path in folder.glob(f".*{SUFFIX}"):
        with contextlib.suppress(OSError):
            if path.lstat().st_mtime < before:
                path.unlink()
