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
from collections.abc import Callable
from pathlib import Path
from typing import Final

from lessons.i18n.language import tr

MOST_BYTES: Final = 64_000_000
"""No file that the program writes comes near."""
ABANDONED: Final = 3600.0
"""Seconds after which a temporary file is no program's any more: the one that made it was killed."""
WITHOUT_LINKS: Final = (errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
"""What file systems say that have no hard links."""
_tidied: Final[set[Path]] = set()
"""Folders in which this program has looked for abandoned files."""


class ForeignLinkError(OSError):
    """The way to a file leads over somebody else's link."""


def read_own(path: Path, most: int = MOST_BYTES, *, is_believed: bool = False) -> bytes:
    """The content of an ordinary file. Raises OSError; nothing else that may lie there keeps anybody waiting.

    `is_believed`: what stands there is shown as our own; a file that somebody else has made is refused.
    """
    follow_own_links(path)
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        _must_be_ordinary(path, os.fstat(descriptor), is_believed=is_believed)
    except OSError:
        os.close(descriptor)
        raise
    with os.fdopen(descriptor, "rb") as file:
        raw = file.read(most + 1)
    if len(raw) > most:
        raise OSError(errno.EFBIG, tr("longer than {most} bytes").format(most=most), str(path))
    return raw


def _must_be_ordinary(path: Path, found: os.stat_result, *, is_believed: bool) -> None:
    """Raise OSError where what was opened is not what `read_own` reads."""
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, tr("no ordinary file"), str(path))
    if is_believed and os.name == "posix" and found.st_uid not in trusted():
        raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), str(path))


def append_own(path: Path, content: bytes) -> None:
    """Add to the end of an ordinary file, all or nothing. Raises OSError.

    A link in its place, a hard one too, is not followed: what it leads to has another name elsewhere.
    """
    follow_own_links(path.parent)
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    descriptor = os.open(path, flags, 0o600)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_nlink > 1:
            raise OSError(errno.EINVAL, tr("no ordinary file"), str(path))
        if os.write(descriptor, content) < len(content):
            os.ftruncate(descriptor, found.st_size)
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))
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


def create_file(path: Path, content: bytes, *, private: bool = False) -> None:
    """Make `path`, whole or not at all; what has that name already is left alone, even if it came a moment ago.

    Raises OSError that names `path`: FileExistsError where there is one. On a file system without hard links, as on
    most USB sticks, another program may come between.
    """
    if private:
        follow_own_links(path.parent)
    try:
        _tidy(path.parent)
        _replace(path, content, private=private, place=_place_new)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from error


def _place_new(whole: Path, path: Path) -> None:
    """Give a file a name that is free."""
    try:
        os.link(whole, path)
    except OSError as error:
        if error.errno not in WITHOUT_LINKS:
            raise
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), str(path)) from None
        whole.replace(path)
    else:
        whole.unlink()


def free_name(path: Path, word: str) -> Path:
    """The first name of that kind beside a file that nothing has: what was set aside before stays."""
    number = 1
    while os.path.lexists(aside := path.with_name(f"{path.name}.{word}-{number}")):
        number += 1
    return aside


def reason(error: OSError) -> str:
    """What went wrong with which file, for people.

    >>> reason(FileNotFoundError(2, "No such file or directory", "notes/a.md"))
    'notes/a.md: No such file or directory'
    """
    why = error.strerror or str(error)
    return f"{error.filename}: {why}" if error.filename else why


SUFFIX: Final = ".part"


def _place_over(whole: Path, path: Path) -> None:
    """Give a file a name, whatever has it now."""
    whole.replace(path)


def _replace(path: Path, content: bytes, *, private: bool, place: Callable[[Path, Path], None] = _place_over) -> None:
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
        place(Path(name), path)
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
