"""State codes: a state, with the schedule that led to it, as a short printable text.

    pte1.KyzWSK0oyi9WKEgtSkxRSErNyUzMSy9RKMlXKMlXMAQA….k5v2

What is in it is a record of moves (`model.session.move_log`), compressed and written in letters, digits, `-` and `_`,
so that it survives chats, slides and exams. The check at its end tells a damaged code. Nothing in it is code that
could be run, and reading one is bounded in size and in micro-steps: it may come from anybody.
"""

import zlib
from base64 import b64encode, urlsafe_b64decode, urlsafe_b64encode
from typing import Final, NamedTuple

from model.session.move_log import Bounds, RecordError, can_be_recorded, record_way, replay
from model.session.session import Session
from model.session.timeline import Node, Timeline

PREFIX: Final = "pte"
VERSION: Final = 1
MOST_CHARACTERS: Final = 20_000
"""Of a code. Some thousand commands fit."""
MOST_TEXT: Final = 400_000
"""Bytes that a code may unfold to."""
MOST_STEPS: Final = 50_000
"""Micro-steps that opening one may take: a few seconds."""
BOUNDS: Final = Bounds(lines=20_000, steps=MOST_STEPS, leaps=False)

DICTIONARY: Final = (
    b"\n>set kernel 6.12\n>set dma-buf-check refuse\n>expect violation stale-reference\n>note \n>memfd f 4"
    b"\n>diskfile f 4\n>truncate f 0\n>punch f 0 1\n>fork p0 p1\n>exit p1\n>export b as=d"
    b"\n>attach d nic dynamic\n>map d nic as=r\n>bo b 1 in=gtt exporter=qxl caching=cached\n>move b vram"
    b"\n>evict b\n>destroy b\n>mprotect p0 buf r\n>mremap p0 buf pages=8 maymove\n>migrate p0 buf"
    b"\n>reclaim p0 buf\n>mirror p0 buf as=m by=nic\n>grab p0 buf as=g\n>follow p0 buf as=k\n>finish t1"
    b"\n>step T 2\n>begin T munmap p0 buf\n>madvise p0 buf dontneed\n>put r\n>peek r\n>dma r write 65"
    b"\n>device nic\n>mmap p0 buf bo:b shared rw 1\n>mmap p0 buf memfd:f shared rw 4"
    b"\n>gup p0 buf as=r write pin longterm fast-only by=nic\n>read p0 buf+1\n>write p0 buf 65\n>process p1"
    b"\n>process p0\n>mmap p0 buf anon private rw 4\n"
)
"""What most scripts have. Part of version 1: another text is another version."""


class CodeError(ValueError):
    """A text that is no state code, or one that cannot be followed; says which."""


class Opened(NamedTuple):
    """What a code holds."""

    moves: str
    """A record."""
    fingerprint: int
    """Of the state that it led to where it was made."""


def encode(timeline: Timeline, node: Node) -> str:
    """The code of a place in the history. Raises CodeError where there can be none."""
    if not can_be_recorded(timeline):
        raise CodeError("this machine did not begin empty: no code can say how it came to be")
    moves = record_way(timeline, node)
    if "\n&" in moves or moves.startswith("&"):
        raise CodeError("the way here has a command with so many micro-steps that a code cannot follow it")
    code = pack(Opened(moves, node.state.fingerprint))
    if len(code) > MOST_CHARACTERS:
        raise CodeError(f"the code would have {len(code)} characters, and {MOST_CHARACTERS} is the most: save a file")
    return code


def pack(what: Opened) -> str:
    """The text of a code."""
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15, zdict=DICTIONARY)
    body = compressor.compress(what.moves.encode()) + compressor.flush()
    letters = urlsafe_b64encode(what.fingerprint.to_bytes(8) + body).decode().rstrip("=")
    return f"{PREFIX}{VERSION}.{letters}.{_check(letters)}"


def _check(letters: str) -> str:
    """Four letters that nearly every damage changes."""
    return b64encode(zlib.crc32(letters.encode()).to_bytes(4), b"-_").decode()[:4]


def unpack(text: str, most: int = MOST_CHARACTERS, most_text: int = MOST_TEXT) -> Opened:
    """What a code holds; blanks and line ends in it do not matter. `most`: characters, and what it may unfold to.

    Raises CodeError.
    """
    if len(text) > 2 * most:
        raise CodeError(f"it has {len(text)} characters; a state code has at most {most}")
    code = "".join(text.split())
    head, dot, rest = code.partition(".")
    letters, dot2, check = rest.partition(".")
    if not head.startswith(PREFIX) or not dot or not head[len(PREFIX) :].isdigit():
        raise CodeError(f"this is no state code: one begins with `{PREFIX}{VERSION}.`")
    if head != f"{PREFIX}{VERSION}":
        raise CodeError(f"this code is of version {head[len(PREFIX) :]}; this program reads version {VERSION}")
    if len(code) > most:
        raise CodeError(f"it has {len(code)} characters; a state code has at most {most}")
    if not dot2 or check != _check(letters):
        raise CodeError("the code is damaged: its check does not fit. Was all of it copied?")
    try:
        raw = urlsafe_b64decode(letters + "=" * (-len(letters) % 4))
        unfolding = zlib.decompressobj(-15, zdict=DICTIONARY)
        moves = unfolding.decompress(raw[8:], most_text)
        if unfolding.unconsumed_tail or not unfolding.eof or len(raw) < 8:
            raise CodeError(f"the code is damaged, or unfolds to more than {most_text} bytes")
        return Opened(moves.decode(), int.from_bytes(raw[:8]))
    except (ValueError, zlib.error) as error:
        if isinstance(error, CodeError):
            raise
        raise CodeError("the code is damaged: what is in it cannot be read") from None


def follow(session: Session, text: str) -> bool:
    """Grow the way that a code tells in a session's history, from its root, and go to its end.

    Returns whether the machine is there what it was where the code was made: another version of the model may come to
    another state by the same moves. Raises CodeError.
    """
    opened = unpack(text)
    if not can_be_recorded(session.timeline):
        raise CodeError("this machine did not begin empty: a code can be opened only where that is so")
    before = session.node
    try:
        replay(session, opened.moves, BOUNDS)
    except RecordError as error:
        session.goto(before.number)
        raise CodeError(f"the code is whole, but its moves are not possible here: {error}") from None
    return session.state.fingerprint == opened.fingerprint
