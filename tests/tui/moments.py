"""The decisive moments of the course, and their pictures step by step."""

from collections.abc import Iterator
from typing import Final, NamedTuple

from docs.pictures import FOLDER
from model.script.command import Command
from model.script.parser import parse
from model.session.session import Session
from model.session.timeline import Node, Timeline
from tui.drivers.history_view import broken
from tui.views.glyphs import UNICODE, Glyphs
from tui.views.picture.history import History, Page
from tui.views.picture.picture_state import PictureState
from tui.views.shown_state import ShownState, marks, net
from tui.views.verdict import severities

GALLERY: Final = {path.stem: path.read_text(encoding="utf-8") for path in sorted(FOLDER.glob("*.pte"))}
MOMENTS: Final = GALLERY | {
    "fork-cow-under-pin": """
        process p0
        device nic
        mmap p0 buf anon private rw 2
        write p0 buf 1
        write p0 buf+1 2
        gup p0 buf as=r write pin by=nic
        fork p0 p1
        write p0 buf 65
        dma r write 66
    """,
    "kvm-walk": """
        set kernel 7.3
        process p0
        device guest
        bo b 1 in=gtt
        mmap p0 buf bo:b shared rw 1
        write p0 buf 65
        follow p0 buf as=k by=guest
        move b vram
        dma k write 99
    """,
    "kvm-walk-6-1": """
        set kernel 6.1
        process p0
        device guest
        bo b 1 in=gtt
        mmap p0 buf bo:b shared rw 1
        write p0 buf 65
        follow p0 buf as=k by=guest
        move b vram
        dma k write 99
        read p0 buf
    """,
    "kvm-read-only": """
        set kernel 6.1
        process p0
        device guest
        bo b 1 in=gtt
        mmap p0 buf bo:b shared rw 1
        write p0 buf 65
        follow p0 buf as=k by=guest
        mprotect p0 buf r
        dma k write 99
        read p0 buf
    """,
    "one-count-for-512-pages": """
        process p0
        device nic
        mmap p0 buf anon private rw 512 at=512
        madvise p0 buf hugepage
        write p0 buf+0 65
        gup p0 buf+3 as=r by=nic
        fork p0 p1
        madvise p0 buf[5:9] dontneed
        exit p1
    """,
    "ksm": """
        process p0
        process p1
        mmap p0 a anon private rw 2
        mmap p1 b anon private rw 2
        madvise p0 a mergeable
        madvise p1 b mergeable
        write p0 a 5
        write p1 b 5
        ksm-scan 2
        write p0 a 6
    """,
    "dax-mistake": """
        set kernel 6.1
        set dax-break-layouts off
        process p0
        process p1
        device nic
        dax x 1
        mmap p0 buf dax:x shared rw 1
        write p0 buf 65
        gup p0 buf as=r write by=nic
        truncate x 0
        dax y 1
        mmap p1 other dax:y shared rw 1
        write p1 other 83
        dma r write 99
    """,
    "dax-truncate": """
        set kernel 6.1
        process p0
        device nic
        dax x 1
        mmap p0 buf dax:x shared rw 1
        write p0 buf 65
        gup p0 buf as=r write by=nic
        begin T truncate x 0
        finish T
        read p0 buf
        dma r write 66
        put r
        finish T
    """,
}
"""Name → script: those that the gallery shows, and some more."""


class Seen(NamedTuple):
    """One command, and the picture after it."""

    command: Command
    drawn: PictureState


def commands(script: str) -> list[Command]:
    """The commands of a script."""
    return list(parse("\n".join(line.strip() for line in script.strip().splitlines())))


def seen(
    timeline: Timeline,
    history: History,
    node: Node,
    depth: int,
    glyphs: Glyphs = UNICODE,
    opened: frozenset[Page] = frozenset(),
) -> PictureState:
    """The picture of a node, with what has changed since the way was `depth` long."""
    changes = net(change for one in timeline.path_to(node)[depth + 1 :] for change in one.changes)
    scene = ShownState(node.state, changes, marks(changes), severities(broken(timeline)), "", glyphs)
    return PictureState(scene, node.checker.scene.holding, history.at(node), history.last_step(node), opened)


def played(script: str, glyphs: Glyphs = UNICODE, opened: frozenset[Page] = frozenset()) -> Iterator[Seen]:
    """Each command of a script carried out, and what is to be drawn then."""
    session = Session()
    history = History(session.timeline)
    for command in commands(script):
        depth = session.node.depth
        node = session.perform(command)
        if session.state.processes:
            yield Seen(command, seen(session.timeline, history, node, depth, glyphs, opened))
