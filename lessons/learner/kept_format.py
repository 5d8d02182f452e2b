"""The version of the form in which a file is written, as far as a file of any version says it."""

import msgspec


class KeptFormat(msgspec.Struct, frozen=True):
    """What files of every version have."""

    format: int


def newer_format(raw: bytes, ours: int) -> int | None:
    """The format of a file that a newer program has written; None: it is none such.

    Asked where the file makes no sense: what else stands in it may have another shape by then.

    >>> newer_format(b'{"format": 2, "lessons": []}', 1), newer_format(b'{"format": 1}', 1), newer_format(b"[", 1)
    (2, None, None)
    """
    try:
        found = msgspec.json.decode(raw, type=KeptFormat).format
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    return found if found > ours else None
