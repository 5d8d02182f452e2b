"""A lesson that is being written, on the stage: read again whenever its file, or a world of it, is saved."""

from pathlib import Path
from typing import ClassVar, Final

import msgspec

from lessons.file.loader import load
from lessons.file.problems import LessonError, LessonProblem
from lessons.file.schema import Do, Item, Lesson
from lessons.i18n.language import tr
from lessons.i18n.lesson_folders import WORLDS
from lessons.learner.progress import LessonProgress, Store
from lessons.play.player import Player
from model.driver_files.library import SUFFIX
from tui.drivers.history_view import Log
from tui.drivers.lesson import LessonDriver


class AuthorDriver(LessonDriver):
    """Stands, after each reading, at the step where it stood; what is wrong with the file changes nothing."""

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
        folder = self.path.parent
        others = (
            found for kind in (f"{WORLDS}/*.pte", f"{WORLDS}/*{SUFFIX}", f"*{SUFFIX}") for found in folder.glob(kind)
        )
        files = (self.path, *sorted(others))
        return tuple((str(file), file.stat().st_mtime_ns) for file in files if file.exists())

    def reload(self) -> str | None:
        """Read the lesson again if a file was saved: what to say then; None if nothing was."""
        stamp = self._stamp()
        if stamp == self.stamp:
            return None
        self.stamp = stamp
        before = self.player
        try:
            lesson = load(self.path)
            self._show(Player(lesson, _in_the_same_place(before, lesson)))
        except LessonError as error:
            self._show(before)
            self.damaged = True
            return str(error)
        self.damaged = False
        return tr("read again")

    def problems(self) -> list[LessonProblem]:
        """What `lesson check` says of the lesson as it was saved last."""
        from lessons.author.check import check_lesson

        return check_lesson(self.player.lesson, draft=True)

    def _show(self, player: Player) -> None:
        """Play this one from now on. Raises LessonError where it cannot be shown."""
        player.folds = self.folds
        self.player = player
        self.log = Log(player.timeline, player.place.scene)
        self.picture()

    def keep(self) -> str:
        """An author's place is not a learner's progress."""
        return ""


def _in_the_same_place(before: Player, lesson: Lesson) -> LessonProgress:
    """The progress that leads to the step where the author was, although the text is another now."""
    progress = before.progress()
    here = _key(before.item)
    same = [number for number, item in enumerate(lesson.items) if _key(item) == here]
    item = min(same, key=lambda number: abs(number - progress.item), default=progress.item)
    return msgspec.structs.replace(progress, item=item, revision=lesson.revision)


def _key(item: Item) -> object:
    """What an item is known by after its neighbours have changed: what is done in it, or what it says."""
    action = item.action
    if isinstance(action, Do):
        return tuple(command.text for command in action.commands)
    return item.text if action is None else action.id
