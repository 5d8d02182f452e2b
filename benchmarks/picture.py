"""What the picture costs at 76 columns: the fullest lesson, 60 rows with 20 pins, and the dearest step of any lesson.

CPU time of one drawing: what changes from step to step is drawn anew, as on the screen.
"""

import time
from itertools import pairwise
from statistics import median
from typing import Final, NamedTuple

from lessons.file.library import entries, find
from lessons.play.auto_player import play_next
from lessons.play.player import Player
from model.script.parser import parse
from model.session.session import Session
from model.session.timeline import Node, Timeline
from tui.views.picture.draw import picture
from tui.views.picture.history import History
from tui.views.picture.picture_state import PictureState
from tui.views.shown_state import ShownState, marks

FULLEST: Final = "each-mapping-each-grab"
WIDTH: Final = 76
PINS: Final = 20


def lesson_ms() -> float:
    """Milliseconds of CPU for one drawing in the fullest lesson, played to its end."""
    player = Player(find(FULLEST))
    while play_next(player):
        pass
    return drawing_ms(player.timeline)


class Dearest(NamedTuple):
    """The step whose drawing costs most."""

    ms: float
    lesson: str
    command: str


def dearest() -> Dearest:
    """Of every micro-step of every lesson; of one step the fastest of three, so that a busy machine does not count."""
    found = Dearest(0.0, "", "")
    for entry in entries():
        player = Player(find(entry.path.stem))
        while play_next(player):
            pass
        history = History(player.timeline)
        for node in player.timeline.path_to(player.timeline.here)[1:]:
            ms = min(one_ms(history, node) for _ in range(3))
            found = max(found, Dearest(ms, entry.path.stem, node.command))
    return found


def pins_ms() -> float:
    """The same for a process with 20 pinned pages, its child, and what both have written since."""
    session = Session()
    lines = ["process p0", "device nic", f"mmap p0 buf anon private rw {PINS}"]
    for page in range(PINS):
        lines += [f"write p0 buf+{page} {page + 1}", f"gup p0 buf+{page} as=r{page} write pin by=nic"]
    lines += ["fork p0 p1", *(f"write p1 buf+{page} {page + 100}" for page in range(0, PINS, 2))]
    for command in parse("\n".join(lines)):
        session.perform(command)
    return drawing_ms(session.timeline, last=200)


def drawing_ms(timeline: Timeline, last: int | None = None) -> float:
    """The median over the last nodes of a way."""
    history = History(timeline)
    way = timeline.path_to(timeline.here)
    return median(one_ms(history, node) for _, node in list(pairwise(way))[-(last or len(way)) :])


def one_ms(history: History, node: Node) -> float:
    """Milliseconds of CPU for one drawing of a node."""
    drawn = state_of(history, node)
    began = time.process_time()
    picture(drawn, WIDTH)
    return 1000 * (time.process_time() - began)


def state_of(history: History, node: Node) -> PictureState:
    """What is to be drawn at a node."""
    scene = ShownState(node.state, node.changes, marks(node.changes))
    return PictureState(scene, node.checker.scene.holding, history.at(node), history.last_step(node))
