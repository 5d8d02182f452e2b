"""The stage of a lesson that is being written: it follows the file."""

from typing import TYPE_CHECKING, Final

from lessons.i18n.language import ntr, tr
from tui.drivers.author import AuthorDriver
from tui.screens.stage import Stage
from tui.views.glyphs import Glyphs

if TYPE_CHECKING:
    from lessons.file.problems import LessonProblem

MOST_SHOWN: Final = 4
"""Problems that are shown at once."""


class AuthorStage(Stage):
    """Shows the lesson as it was saved last; what is wrong with it is said, and the last good one stays."""

    def __init__(self, driver: AuthorDriver, glyphs: Glyphs) -> None:
        super().__init__(driver, glyphs)
        self.author = driver

    def on_mount(self) -> None:
        """Look at the files from time to time."""
        self.set_interval(AuthorDriver.every, self.look)
        self.run_worker(self._check, thread=True, exclusive=True, group="check")

    def look(self) -> None:
        """Show the file as it was saved last."""
        word = self.author.reload()
        if word is None:
            return
        self.word = word.splitlines()[0]
        self.app.clear_notifications()  # what was wrong before is not what is wrong now
        if self.author.damaged:
            self.notify(word, title=self.author.path.name, severity="error", markup=False, timeout=20)
        else:
            self.run_worker(self._check, thread=True, exclusive=True, group="check")
        self.picture = self.driver.picture()
        self.show_picture()

    def _check(self) -> None:
        """Say what `lesson check` would say; in a thread of its own, because it plays the whole lesson."""
        problems = self.author.problems()
        self.app.call_from_thread(self._complain, problems)

    def _complain(self, problems: "list[LessonProblem]") -> None:
        """The first few problems, and how many there are."""
        if not problems or not self.is_attached:
            return
        lines = [str(problem) for problem in problems[:MOST_SHOWN]]
        more = len(problems) - len(lines)
        lines += [ntr("and {n} more", "and {n} more", more).format(n=more)] if more else []
        title = tr("`lesson check` says")
        self.notify("\n".join(lines), title=title, severity="warning", markup=False, timeout=20)
