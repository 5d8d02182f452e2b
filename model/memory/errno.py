"""Errno values by name, as x86-64 numbers them; a kernel function returns them negated."""

from typing import Final

EPERM: Final = 1
ENOENT: Final = 2
ESRCH: Final = 3
EINTR: Final = 4
EIO: Final = 5
ENXIO: Final = 6
EBADF: Final = 9
EAGAIN: Final = 11
ENOMEM: Final = 12
EACCES: Final = 13
EFAULT: Final = 14
EBUSY: Final = 16
EEXIST: Final = 17
ENODEV: Final = 19
EINVAL: Final = 22
ENOTTY: Final = 25
EFBIG: Final = 27
ENOSPC: Final = 28
ESPIPE: Final = 29
EMLINK: Final = 31
ENOSYS: Final = 38
EOVERFLOW: Final = 75
EBADFD: Final = 77
EOPNOTSUPP: Final = 95
EREMOTEIO: Final = 121
EHWPOISON: Final = 133

ERRNO_NAMES: Final[dict[int, str]] = {
    value: name
    for name, value in list(globals().items())
    if name[0] == "E" and name[1:].isalpha() and isinstance(value, int)
}

ERRNO: Final = {name: value for value, name in ERRNO_NAMES.items()}


def errno_name(value: int) -> str:
    """The name of the errno behind a negative return value.

    >>> errno_name(-14)
    'EFAULT'
    """
    return ERRNO_NAMES[-value]
