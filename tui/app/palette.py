"""The command palette: every action, every lesson, everything in the machine."""

from collections.abc import Iterator
from contextlib import suppress
from functools import cached_property, partial
from typing import TYPE_CHECKING, Any, NamedTuple

from rich.markup import escape
from textual import work
from textual.command import CommandList, CommandPalette, DiscoveryHit, Hit, Hits, Provider
from textual.css.query import NoMatches
from textual.events import Click
from textual.types import IgnoreReturnCallbackType

from lessons.i18n.language import tr
from tui.screens.help import RENAMED, key_name
from tui.screens.leaves_once import LeavesOnce
from tui.screens.stage import Stage
from tui.views.bars import named
from tui.views.glyphs import choose

if TYPE_CHECKING:
    from lessons.file.library import LessonEntry


class PaletteEntry(NamedTuple):
    """Something to choose in the command palette."""

    text: str
    run: IgnoreReturnCallbackType
    help: str


class Actions(Provider):
    """What the keys do, with the keys."""

    def _entries(self) -> Iterator[PaletteEntry]:
        """Every action that is bound here, once: the screen's first, then the app's, then the panes'."""
        glyphs = choose()
        seen = {"app.command_palette", "command_palette"}
        order = {id(self.screen): 0, id(self.app): 1}
        for active in sorted(self.screen.active_bindings.values(), key=lambda one: order.get(id(one.node), 2)):
            binding = active.binding
            if not binding.description or {binding.action, binding.description} & seen:
                continue
            seen |= {binding.action, binding.description}
            text = tr(RENAMED.get(binding.description, binding.description))
            run = partial(self.app.run_action, binding.action, active.node)
            yield PaletteEntry(text, run, f"{tr('key')} {key_name(binding.key, glyphs)}")
        for command in self.app.get_system_commands(self.screen):
            yield PaletteEntry(command.title, command.callback, command.help)

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
    """Finds lessons by title. Their files are read once, at the first letter that is typed."""

    @cached_property
    def _entries(self) -> "list[LessonEntry]":
        from lessons.file.library import entries

        return entries()

    async def search(self, query: str) -> Hits:
        """Those that match."""
        matcher = self.matcher(query)
        for entry in self._entries:
            if entry.header is None:
                continue
            text = tr("Lesson: {title}").format(title=entry.header.title)
            if (score := matcher.match(text)) > 0:
                run = partial(self.app.run_action, f"app.lesson('{entry.name}')")
                yield Hit(score, matcher.highlight(text), run, help=entry.header.summary)


class Things(Provider):
    """Everything in the machine: choosing one points at it."""

    async def search(self, query: str) -> Hits:
        """Those that match."""
        stage = self.screen
        if not isinstance(stage, Stage):
            return
        from model.session.relations import subjects

        matcher = self.matcher(query)
        for subject in subjects(stage.picture.state):
            text = tr("Point at {thing}").format(thing=named(subject))
            if (score := matcher.match(text)) > 0:
                yield Hit(score, matcher.highlight(text), partial(stage.point, subject))


class Forms(Provider):
    """A form for each command of the script language, and what can be done with the session, in free play."""

    def _entries(self) -> Iterator[PaletteEntry]:
        from model.script.verbs import VERBS
        from tui.drivers.session_commands import WORDS
        from tui.screens.sandbox_stage import SandboxStage

        stage = self.screen
        if not isinstance(stage, SandboxStage):
            return
        for verb in VERBS.values():
            text = tr("Command {name}: {what}").format(name=verb.name, what=verb.help)
            yield PaletteEntry(text, partial(stage.open_form, verb.name), escape(verb.usage))
        for word in WORDS:
            text = tr("Session {name}: {what}").format(name=word.name, what=tr(word.help))
            yield PaletteEntry(text, partial(stage.use_word, word.name), escape(word.usage))

    async def discover(self) -> Hits:
        """One entry that leads to all of the commands, before anything is typed."""
        if isinstance(self.screen, Stage) and self.screen.driver.free:
            from tui.screens.sandbox_stage import SandboxStage

            assert isinstance(self.screen, SandboxStage)
            text = tr("Fill in a command: choose a verb, then its fields")
            yield DiscoveryHit(text, partial(self.screen.open_form, ""))

    async def search(self, query: str) -> Hits:
        """Those that match."""
        matcher = self.matcher(query)
        for entry in self._entries():
            if (score := matcher.match(entry.text)) > 0:
                yield Hit(score, matcher.highlight(entry.text), entry.run, help=entry.help)


class Palette(CommandPalette, LeavesOnce[None]):
    """Textual's command palette; a double click beside it closes it once."""

    def _action_command_list(self, action: str) -> None:
        """Keys that go to the list of commands do nothing while there is no room to show any.

        Textual 8 pages through lines that it has not laid out then, and fails.
        """
        if self.query_one(CommandList).scrollable_content_region.area:
            super()._action_command_list(action)

    @work(exclusive=True, group=CommandPalette._GATHER_COMMANDS_GROUP)  # noqa: SLF001
    async def _gather_commands(self, search_value: str) -> None:
        """What is typed while the palette closes finds its list gone, and nothing has to be looked for any more."""
        gather: Any = CommandPalette._gather_commands  # noqa: SLF001
        with suppress(NoMatches):
            await gather.__wrapped__(self, search_value)

    def on_click(self, event: Click) -> None:
        """A click that a terminal reports from outside of the window, as after a change of its size, is none."""
        if not self.region.contains(event.screen_x, event.screen_y):
            event.prevent_default()
