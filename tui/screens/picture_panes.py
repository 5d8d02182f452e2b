"""What the picture and the ledger show of a driver's history, and what is unfolded in them."""

from typing import Final

from msgspec.structs import replace

from model.memory.state import TABLES
from tui.drivers.driver import Driver
from tui.views.picture.draw import LEAST, picture
from tui.views.picture.fold import LEAST as WORTH_FOLDING
from tui.views.picture.history import History, Page
from tui.views.picture.layout import layout
from tui.views.picture.layout_line import Layout
from tui.views.picture.ledger import frame_in_question, ledger
from tui.views.picture.picture_state import PictureState
from tui.views.row import Row
from tui.views.shown_state import ShownState

__all__ = ["LEAST", "PicturePanes"]

NOT_DRAWN: Final = frozenset({"tasks", "locks", "cpus", "counters", "anon_vmas", "disk", "devices"})
"""Tables of which the picture shows nothing, or, of tasks and counters, only what it looks up."""
DRAWN: Final = tuple(number for number, table in enumerate(TABLES) if table.name not in NOT_DRAWN)


class PicturePanes:
    """The drawing of where a driver stands; kept from step to step, so that only what changed is made anew."""

    def __init__(self, driver: Driver) -> None:
        self.driver = driver
        self.opened: frozenset[Page] = frozenset()
        """Pages that are not folded."""
        self.start = 0
        """The step at which the scene began."""
        self._history = History(driver.past())
        self._layout = Layout([], {}, {}, {}, {})

    def take(self, scene: ShownState, start: int = 0, *, silent: bool = False) -> None:
        """This is the machine now; steps are counted from `start`. `silent`: say nothing of what comes next."""
        self.start = start
        timeline = self.driver.past()
        if self._history.timeline is not timeline:
            self._history = History(timeline)
            self.opened = frozenset()
        node = timeline.here
        self.state = PictureState(
            replace(scene, state=node.state),
            node.checker.scene.holding,
            self._history.at(node),
            self._history.last_step(node),
            self.opened,
            silent=silent,
        )

    @property
    def made_of(self) -> tuple[tuple[object, ...], tuple[object, ...]]:
        """What the picture depends on: objects that must be the very same, and values that must be equal.

        Most micro-steps change nothing but their task and a lock; a task is drawn only by what it holds and waits for.
        """
        drawn = self.state
        maps = (drawn.state.maps[number] for number in DRAWN)
        waiting = tuple((name, task.blocked) for name, task in sorted(drawn.state.tasks.items()) if task.blocked)
        changes = tuple(change for change in drawn.scene.changes if change.table not in NOT_DRAWN)
        free = drawn.state.counters.get("free_head")
        values = (waiting, changes, drawn.scene.broken, drawn.opened, drawn.last, drawn.silent, free)
        return (drawn.index, drawn.past, *maps), values

    @property
    def command(self) -> str:
        """The command that led here since the scene began: of a task that is stepped, the one that it began with."""
        timeline = self.driver.past()
        node = timeline.here
        if node.depth <= self.start:
            return ""
        verb, _, rest = node.command.partition(" ")
        if verb not in {"step", "finish"} or not rest:
            return node.command
        task = rest.split()[0]
        while node.parent >= 0:
            if node.command.startswith(f"begin {task} "):
                command = node.command.removeprefix(f"begin {task} ")
                return command if command.startswith(f"{task} ") else f"{task}: {command}"
            node = timeline.nodes[node.parent]
        return timeline.here.command

    def picture(self, width: int) -> list[Row]:
        """The rows of the drawing."""
        self._layout = layout(self.state)
        return picture(self.state, width, self._layout)

    @property
    def touched(self) -> str:
        """The box with the frame that a move was about, as a subject: a fold goes by its first frame; empty: none."""
        pfn = self.state.in_question
        if pfn is None:
            return ""
        boxes = (line.frames for line in self._layout.lines)
        return f"frame:{next((frames[0] for frames in boxes if pfn in frames), pfn)}"

    def ledger(self, width: int) -> list[Row]:
        """The rows of the ledger: of the frame pointed at, else of the one that a move last touched."""
        return ledger(self.state, frame_in_question(self.state, self.state.scene.focus), width, self.start)

    def chain(self, subject: str) -> frozenset[str]:
        """What hangs together with a subject: the frames that it leads to, who holds one, what was believed of it."""
        to, of = self.driver.refers(subject)
        frames = {name for name in (subject, *to) if name.startswith("frame:")}
        kind, _, rest = subject.partition(":")
        process, _, vpn = rest.rpartition(":")
        believed = self.state.believed.get((process, int(vpn)), ()) if kind == "pte" else ()
        found = {subject, *to, *of, *(f"frame:{belief.pfn}" for belief in believed)}
        for frame in frames:
            found |= self.driver.refers(frame)[1]
        return frozenset(found)

    def fold(self, subject: str) -> bool:
        """Unfold the pages around a subject, or fold them again; False if it is no page."""
        kind, _, rest = subject.partition(":")
        process, _, vpn = rest.rpartition(":")
        if kind != "pte" or not vpn.isdigit():
            return False
        page = (process, int(vpn))
        around = self._around(page)
        self.opened = self.opened - around if page in self.opened else self.opened | around
        return True

    def _around(self, page: Page) -> frozenset[Page]:
        """The pages of the VMA around a page, not more than fit on a screen."""
        process, vpn = page
        most = 32 * WORTH_FOLDING
        return frozenset(
            (process, near) for near in range(max(vpn - most, 0), vpn + most) if self.state.covered((process, near))
        )
