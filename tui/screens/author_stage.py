"""The stage of a lesson that is being written: it follows the file."""

from tui.drivers.author import AuthorDriver
from tui.screens.stage import Stage
from tui.views.glyphs import Glyphs


class AuthorStage(Stage):
    """Shows the lesson as it was saved last; what is wrong with it is said, and the last good one stays."""

    def __init__(self, driver: AuthorDriver, glyphs: Glyphs) -> None:
        super().__init__(driver, glyphs)
        self.author = driver

    def on_mount(self) -> None:
        """Look at the files from time to time."""
        self.set_interval(AuthorDriver.every, self.look)

    def look(self) -> None:
        """Show the file as it was saved last."""
        word = self.author.reload()
        if word is None:
            return
        self.word = word.splitlines()[0]
        self.app.clear_notifications()  # what was wrong before is not what is wrong now
        if self.author.damaged:
            self.notify(word, title=self.author.path.name, severity="error", markup=False, timeout=20)
        self.picture = self.driver.picture()
        self.show_picture()
