"""A lesson that is being written, on the stage: read again whenever its file, or a world of it, is saved."""

from pathlib import Path
from typing import ClassVar, Final

from lessons.file.loader import load
from lessons.file.problems import LessonError
from lessons.file.schema import WORLDS
from lessons.i18n.language import tr
from lessons.learner.progress import Store
from lessons.play.player import Player
from tui.drivers.history_view import Log
from tui.drivers.lesson import LessonDriver


class AuthorDriver(LessonDriver):
    """Stands, after each reading, where it stood before; what is wrong with the file is said and changes nothing."""

    every: ClassVar[float] = 0.5
    """Seconds between two looks at the files."""

    def __init__(self, path: Path, store: Store) -> None:
        """Raises LessonError where the file cannot be played at first."""
        super().__init__(Player(load(path)), store)
        self.path: Final = path
        self.stamp = self._stamp()
        self.damaged = False
        """What was saved last cannot be played."""
        self.picture()

    def _stamp(self) -> tuple[tuple[str, int], ...]:
        """When the lesson and the worlds beside it were saved."""
        files = (self.path, *sorted((self.path.parent / WORLDS).glob("*.pte")))
        return tuple((str(file), file.stat().st_mtime_ns) for file in files if file.exists())

    def reload(self) -> str | None:
        """Read the lesson again if a file was saved: what to say then; None if nothing was."""
        stamp = self._stamp()
        if stamp == self.stamp:
            return None
        self.stamp = stamp
        before = self.player
        try:
            self._show(Player(load(self.path), before.progress()))
        except LessonError as error:
            self._show(before)
            self.damaged = True
            return str(error)
        self.damaged = False
        return tr("read again")

    def _show(self, player: Player) -> None:
        """Play this one from now on. Raises LessonError where it cannot be shown."""
        player.folds = self.folds
        self.player = player
        self.log = Log(player.timeline, player.place.scene)
        self.picture()

    def keep(self) -> str:
        """An author's place is not a learner's progress."""
        return ""
