"""The command palette: every action, every lesson, everything in the machine."""

from collections.abc import Iterator
from functools import partial
from typing import NamedTuple

from textual.command import DiscoveryHit, Hit, Hits, Provider
from textual.types import IgnoreReturnCallbackType

from lessons.language import tr
from tui.rows.bars import named
from tui.rows.glyphs import choose
from tui.screens.help import RENAMED, key_name
from tui.screens.stage import Stage


class Entry(NamedTuple):
    """Something to choose."""

    text: str
    run: IgnoreReturnCallbackType
    help: str


class Actions(Provider):
    """What the keys do, with the keys."""

    def _entries(self) -> Iterator[Entry]:
        """Every action that is bound here, once: the screen's first, then the app's, then the panes'."""
        glyphs = choose()
        seen = {"app.command_palette", "command_palette"}
        order = {id(self.screen): 0, id(self.app): 1}
        for active in sorted(self.screen.active_bindings.values(), key=lambda one: order.get(id(one.node), 2)):
            binding = active.binding
            if not binding.description or binding.action in seen:
                continue
            seen.add(binding.action)
            text = tr(RENAMED.get(binding.description, binding.description))
            run = partial(self.app.run_action, binding.action, active.node)
            yield Entry(text, run, f"{tr('key')} {key_name(binding.key, glyphs)}")
        for command in self.app.get_system_commands(self.screen):
            yield Entry(command.title, command.callback, command.help)

    async def discover(self) -> Hits:
        """All of them, before anything is typed."""
        for entry in self._entries():
            yield DiscoveryHit(entry.text, entry.run, help=entry.help)

    async def search(self, query: str) -> Hits:
        """Those that match."""
        matcher = self.matcher(query)
        for entry in self._entries():
            if (score := matcher.match(entry.text)) > 0:
                yield Hit(score, matcher.highlight(entry.text), entry.run, help=entry.help)


class Lessons(Provider):
    """Lessons by title."""

    async def search(self, query: str) -> Hits:
        """Those that match."""
        from lessons.library import entries  # noqa: PLC0415 - read when somebody searches

        matcher = self.matcher(query)
        for entry in entries():
            if entry.lesson is None:
                continue
            text = tr("Lesson: {title}").format(title=entry.lesson.header.title)
            if (score := matcher.match(text)) > 0:
                run = partial(self.app.run_action, f"app.lesson('{entry.name}')")
                yield Hit(score, matcher.highlight(text), run, help=entry.lesson.header.summary)


class Things(Provider):
    """Everything in the machine: choosing one points at it."""

    async def search(self, query: str) -> Hits:
        """Those that match."""
        stage = self.screen
        if not isinstance(stage, Stage):
            return
        from model.session.graph import subjects  # noqa: PLC0415 - needed when somebody searches

        matcher = self.matcher(query)
        for subject in subjects(stage.picture.state):
            text = tr("Point at {thing}").format(thing=named(subject))
            if (score := matcher.match(text)) > 0:
                yield Hit(score, matcher.highlight(text), partial(stage.point, subject))
