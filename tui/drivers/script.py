"""A script on the stage: the story is the script itself, with the command that was carried out last marked."""

from collections.abc import Iterable

from model.script.command import Command
from tui.drivers.sandbox import SandboxDriver
from tui.views.view_model import LessonText


class ScriptDriver(SandboxDriver):
    """A session in which a script was carried out, to be shown and exported."""

    AROUND = 14
    """Lines of the script that are shown at once."""

    def __init__(self, script: Iterable[Command], title: str) -> None:
        self.lines = tuple(script)
        super().__init__(self.lines, title)

    def _tale(self) -> LessonText:
        """The script around the present command."""
        tale = super()._tale()
        done = self._done()
        first = max(0, min(done - self.AROUND // 2, len(self.lines) - self.AROUND))
        shown = [
            f"{'->' if number == done else '  '} {number:>2} {command.shown}"
            for number, command in enumerate(self.lines, 1)
            if first < number <= first + self.AROUND
        ]
        text = "```\n" + "\n".join(shown) + "\n```"
        return tale._replace(text=text if self.session.running is None else f"{tale.text}\n\n{text}")

    def _done(self) -> int:
        """How many commands of the script have begun."""
        begun, before = 0, None
        for node in self.session.timeline.path_to(self.session.node)[1:]:
            new = before is None or before.command != node.command or before.outcome is not None
            begun += new and begun < len(self.lines) and node.command == self.lines[begun].text
            before = node
        return begun
