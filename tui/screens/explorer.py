"""The explorer: from the machine on the screen, what may happen, the search over every schedule, and what it found."""

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container

from lessons.i18n.language import tr
from model.script.command import Command
from model.script.context import Context
from model.script.parser import parse_permissions
from model.script.scope import Scope
from model.script.verbs import PROPERTIES
from model.search.enabled import drawable, enabled_commands, proposed
from model.search.problem import Permission, permissions
from model.search.result import SearchResult
from model.session.timeline import Timeline
from model.text.problems import ScriptError
from tui.drivers.counterexample import CounterexampleDriver
from tui.jobs.search import SearchFailed, SearchRequest, SearchStatus, search
from tui.screens.leaves_once import LeavesOnce
from tui.session.completion import help_for
from tui.session.prompt_history import PromptHistory
from tui.views.bars import keys
from tui.views.explorer import CommandChoice, ShownSearch, Terms, choices, outcome
from tui.views.glyphs import Glyphs
from tui.views.row import Row, Span, cut
from tui.widgets.bar import Bar
from tui.widgets.line_pane import LinePane

if TYPE_CHECKING:
    from model.script.complete import Completion

BOUNDS: Final = (20_000, 100_000, 300_000, 1_000_000)
MOST_TIMES: Final = 3
"""How often a command may happen before the next press means any number of times."""
NARROW: Final = 100


class Explorer(LeavesOnce[None]):
    """Choose, search, walk into what was found. `timeline` is that of the stage below and is only read."""

    DEFAULT_CSS = """
    Explorer #explorer { layout: horizontal; height: 1fr; }
    Explorer #may { width: 5fr; height: 1fr; }
    Explorer #result { width: 6fr; height: 1fr; margin: 0 0 0 1; }
    Explorer.-narrow #explorer { layout: vertical; }
    Explorer.-narrow #may { width: 1fr; }
    Explorer.-narrow #result { width: 1fr; margin: 0; }
    """
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (NARROW, "-normal")]  # noqa: RUF012 - Textual's own
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "go", "Search, or walk into what was found", id="explorer.go"),
        Binding("x", "search", "Search", id="explorer.search"),
        Binding("space", "tick", "May happen, or not", id="explorer.tick"),
        Binding("plus,equals_sign", "often(1)", "May happen more often", id="explorer.more"),
        Binding("minus", "often(-1)", "May happen less often", id="explorer.less"),
        Binding("colon", "own", "A line of your own", key_display=":", id="explorer.own"),
        Binding("f", "first", "Everything, or until the first corruption", id="explorer.first"),
        Binding("b", "bound", "The most states to search", id="explorer.bound"),
        Binding("X", "map", "Map of the state space", id="explorer.map"),
        Binding("S", "draw", "What was found in time and space, with the nearest safe schedule", id="explorer.draw"),
        Binding("tab", "app.focus_next", "Next pane", id="explorer.next-pane"),
        Binding("shift+tab", "app.focus_previous", "Previous pane", id="explorer.previous-pane"),
        Binding("escape", "stop", "End the search, or go back", id="explorer.stop"),
        Binding("q", "leave", "Back", id="explorer.leave"),
    ]

    def __init__(
        self, timeline: Timeline, title: str, glyphs: Glyphs, *, draw: bool = False, permitted: Sequence[str] = ()
    ) -> None:
        """`permitted`: the `may` lines that are ticked at first, instead of those that are proposed."""
        super().__init__()
        self.draw = draw
        """Search at once, and show the map."""
        self.timeline = timeline
        self.origin: Final = timeline.here
        """Where the search sets out from, whatever the stage below does meanwhile."""
        self.name_of_it = title
        self.glyphs = glyphs
        found = enabled_commands(self.origin.state)
        wanted = drawable(found) if draw else proposed(found, len(self.origin.state.tasks))
        self.choices = [
            CommandChoice(offer.line, offer.about, offer.line in wanted and not permitted) for offer in found
        ]
        self.choices += [own_line(line) for line in permitted]
        self.terms = Terms(BOUNDS[1], first=False)
        self.shown = ShownSearch()
        self.searched: tuple[Permission, ...] = ()
        """What was permitted in the search whose result is shown."""
        self.prompt_history = PromptHistory()
        self.under_way: asyncio.Task[None] | None = None
        """The search under way."""

    # -- showing ------------------------------------------------------------------------------------

    def compose(self) -> ComposeResult:
        """Two panes between a title and the keys."""
        self.head = Bar(pane_id="head")
        self.may = LinePane(tr("What may happen"), "may", "", self.glyphs)
        self.result = LinePane(tr("What the search says"), "result", "", self.glyphs)
        self.foot = Bar(pane_id="foot")
        self.head.build = self._head
        self.may.build = lambda width: choices(self.choices, self.terms, width, tuple(self.origin.state.tasks))
        self.result.build = lambda width: outcome(self.shown, self.terms, self._at(), width, self.glyphs)
        self.foot.build = self._keys
        yield self.head
        with Container(id="explorer"):
            yield self.may
            yield self.result
        yield self.foot

    def on_mount(self) -> None:
        """The first proposed line has the cursor."""
        first = next((number for number, choice in enumerate(self.choices) if choice.on), 0)
        self.may.point_at(f"may:{first}")
        self.may.focus()
        if self.draw:
            self.action_search()

    def renew(self) -> None:
        """Bring everything up to date."""
        for pane in (self.head, self.may, self.result, self.foot):
            pane.renew()

    def _head(self, width: int) -> list[Row]:
        where = tr("explore from step {step} of {title}").format(step=self.origin.depth, title=self.name_of_it)
        return [Row((Span(" ptescope", "title"), Span(cut(f"  {where}", width - 10))), "bar")]

    def _keys(self, width: int) -> list[Row]:
        """The rows of the key line."""
        if self.searching:
            hints = [("Esc", "end the search", "stop")]
        elif self.focused is self.result and self.shown.found is not None:
            hints = [
                ("Enter", "walk into it", "go"),
                ("S", "draw it", "draw"),
                ("X", "map", "map"),
                ("x", "search again", "search"),
            ]
        else:
            hints = [
                ("Enter", "search", "search"),
                ("Space", "tick", "tick"),
                ("+/-", "often", "often(1)"),
                (":", "own line", "own"),
                ("q", "back", "leave"),
                ("f", "first/all", "first"),
                ("b", "bound", "bound"),
            ]
        if ("q", "back", "leave") not in hints:
            hints.append(("q", "back", "leave"))
        return [keys([*hints, ("?", "help", "app.help")], width)]

    def _at(self) -> str:
        """The subject under the cursor of the result."""
        return self.result.cursor.subject if self.result.cursor is not None else ""

    def on_descendant_focus(self) -> None:
        """The keys depend on which pane has the cursor."""
        self.foot.renew()

    def on_line_pane_pointed(self, message: LinePane.Pointed) -> None:
        """A click ticks a line, or walks into what was found; the keys can be clicked."""
        message.stop()
        kind, _, rest = message.subject.partition(":")
        if kind == "action":
            self.call_later(self.run_action, rest)
        elif message.clicked and kind == "may":
            self.action_tick()
        elif message.clicked and kind == "found":
            self.action_go()
        elif kind == "found":
            self.result.renew()

    # -- choosing -----------------------------------------------------------------------------------

    def _change(self, change: Callable[[CommandChoice], CommandChoice]) -> None:
        """Replace the choice under the cursor by another."""
        cursor = self.may.cursor
        if cursor is None or self.searching:
            return
        number = int(cursor.subject.partition(":")[2])
        self.choices[number] = change(self.choices[number])
        self.renew()

    def action_tick(self) -> None:
        """Permit the command under the cursor, or forbid it."""
        self._change(lambda choice: choice._replace(on=not choice.on))

    def action_often(self, by: int) -> None:
        """Permit the command under the cursor once, twice, three times, or without limit."""
        self._change(lambda choice: choice._replace(on=True, times=next_number(choice.times, by)))

    def action_first(self) -> None:
        """Search everything, or until something bad is found."""
        self.terms = self.terms._replace(first=not self.terms.first)
        self.renew()

    def action_bound(self) -> None:
        """The next larger bound; after the largest the smallest."""
        self.terms = self.terms._replace(bound=BOUNDS[(BOUNDS.index(self.terms.bound) + 1) % len(BOUNDS)])
        self.renew()

    def action_own(self) -> None:
        """Open the prompt for a line of one's own."""
        from tui.screens.prompt import Prompt

        self.app.push_screen(Prompt(tr("what may happen"), self.prompt_history, self._assist), self._typed)

    def _assist(self, line: str) -> "Completion":
        """Help for a `may` line: what stands before the command is understood."""
        whole = line.partition(" ")[0] in {"may", *PROPERTIES}
        return help_for(self.origin.state, line if whole else f"may 1 {line}")

    def _typed(self, line: str | None) -> None:
        """Add a line, if it can be understood: what may happen, `may N` before it or not, or what must hold."""
        if not line:
            return
        words = line.split(maxsplit=2)
        times, command = (words[1], words[2]) if words[0] == "may" and len(words) == 3 else ("1", line)
        try:
            self._understood([*self.choices, CommandChoice(command, "", on=True)], times)
        except ScriptError as error:
            self.notify(error.problems[0].message, severity="warning", markup=False)
            return
        self.choices.append(own_line(line if words[0] in PROPERTIES else f"may {times} {command}"))
        self.may.renew()
        self.may.point_at(f"may:{len(self.choices) - 1}")

    def _understood(self, lines: list[CommandChoice], times: str = "") -> tuple[Command, ...]:
        """The commands of the lines, each of which may use what another would create. Raises ScriptError.

        `times`: how often the last one may happen, as typed.
        """
        texts = [choice.text for choice in lines]
        if times and not lines[-1].states:
            texts[-1] = f"may {times} {lines[-1].line}"
        return parse_permissions(texts, Scope.of(self.origin.state))

    # -- searching ----------------------------------------------------------------------------------

    @property
    def searching(self) -> bool:
        """A search is under way."""
        return self.under_way is not None

    def action_go(self) -> None:
        """Walk into what the cursor stands on, else search."""
        kind, _, rest = self._at().partition(":") if self.focused is self.result else ("", "", "")
        if kind == "found":
            self._walk_into(rest.partition(":")[2])
        else:
            self.action_search()

    def action_search(self) -> None:
        """Search what is chosen."""
        if self.searching:
            return
        try:
            understood = zip(self.choices, self._understood(self.choices), strict=True)
        except ScriptError as error:
            self.notify(error.problems[0].message, severity="error", markup=False)
            return
        chosen = [command for choice, command in understood if choice.on]
        allowed = tuple(command for command in chosen if command.verb not in PROPERTIES)
        stated = tuple(command for command in chosen if command.verb in PROPERTIES)
        state, running = self.origin.state, self.origin.running
        if not allowed and not len(state.tasks):
            self.notify(tr("Choose at least one line that may happen."), severity="warning", markup=False)
            return
        begun = self.origin.context.begun if running is None else running.before.begun
        self.searched = permissions(allowed, state)
        request = SearchRequest(
            Context(state, begun), self.origin.checker, allowed, stated, self.terms.bound, self.terms.first
        )
        self.show(ShownSearch(running=True))
        self.under_way = asyncio.create_task(self._search(request))

    async def _search(self, request: SearchRequest) -> None:
        """Ask another process, and show what comes."""
        try:
            async with aclosing(search(request)) as words:
                async for word in words:
                    match word:
                        case SearchStatus():
                            self.show(ShownSearch(running=True, reached=word))
                        case SearchFailed():
                            self.show(ShownSearch(failed=word.why))
                        case SearchResult():
                            self.show(ShownSearch(found=word))
        except asyncio.CancelledError:
            reached = self.shown.reached
            states = f"{reached.progress.states:,}" if reached is not None else "0"
            self.show(ShownSearch(failed=tr("You ended the search after {states} states.").format(states=states)))
        finally:
            self.under_way = None
            self.foot.renew()
        if self.shown.found is not None and self.is_current:
            self._arrive()

    def _arrive(self) -> None:
        """The cursor goes to the worst that was found, or the map is shown if that was asked for."""
        self.result.focus()
        self.result.action_move(1)
        if self.draw:
            self.draw = False
            self.action_map()

    def show(self, shown: ShownSearch) -> None:
        """Show a search, or its result."""
        self.shown = shown
        self.result.renew()
        self.foot.renew()

    def action_stop(self) -> None:
        """End the search; where none is under way go back."""
        if self.under_way is not None:
            self.under_way.cancel()
        else:
            self.action_leave()

    # -- what was found -----------------------------------------------------------------------------

    def _walk_into(self, invariant: str) -> None:
        """A stage on which the way into a violation lies ahead."""
        from tui.screens.sandbox_stage import SandboxStage

        driver = self._laid(invariant)
        if driver is not None:
            self.app.push_screen(SandboxStage(driver, self.glyphs))

    def _laid(self, invariant: str) -> CounterexampleDriver | None:
        """The way into a violation, laid out; None where there is none."""
        found = self.shown.found
        judged = next(judged for judged in found.judgements if judged.invariant == invariant) if found else None
        if judged is None or judged.counterexample is None:
            return None
        driver = self.driver(f"{invariant}: {self.name_of_it}")
        driver.lay(judged)
        return driver

    def action_draw(self) -> None:
        """The way into the violation under the cursor, else into the worst, in time and space."""
        from tui.screens.time_space import TimeSpace

        kind, _, rest = self._at().partition(":")
        found = self.shown.found
        worst = next((one.invariant for one in found.judgements if one.counterexample is not None), "") if found else ""
        driver = self._laid(rest.partition(":")[2] if kind == "found" else worst)
        if driver is None:
            self.notify(tr("Nothing that was found breaks a rule: search first, with `x`."), markup=False)
            return
        self.app.push_screen(TimeSpace(driver.past(), self.glyphs, driver.schedules()), lambda _: None)

    def driver(self, title: str) -> CounterexampleDriver:
        """Play on a copy of where the search set out from."""
        return CounterexampleDriver(self.timeline, self.origin, self.searched, title)

    def action_map(self) -> None:
        """The state space of what was searched."""
        if self.shown.found is None:
            self.notify(tr("Search first: the map shows what the search has found."), severity="warning", markup=False)
            return
        from tui.screens.state_graph import Map

        self.app.push_screen(Map(self.shown.found, self.driver, self.name_of_it, self.glyphs))

    def action_leave(self) -> None:
        """Go back to the stage."""
        self.dismiss()

    def on_unmount(self) -> None:
        """End the search: nobody sees its result any more."""
        if self.under_way is not None:
            self.under_way.cancel()


def own_line(may: str) -> CommandChoice:
    """A `may` line, or one that says what must hold, as a choice that is ticked."""
    if may.partition(" ")[0] in PROPERTIES:
        return CommandChoice(may, tr("must hold"), on=True, own=True)
    _, times, command = may.split(maxsplit=2)
    return CommandChoice(command, tr("your own lines"), on=True, times=0 if times == "*" else int(times), own=True)


def next_number(times: int, by: int) -> int:
    """One time more or less; after the largest number any number, which is 0.

    >>> next_number(1, 1), next_number(3, 1), next_number(0, 1), next_number(1, -1)
    (2, 0, 0, 1)
    """
    ways: list[int] = [*range(1, MOST_TIMES + 1), 0]
    at: int = ways.index(times) if times in ways else MOST_TIMES
    return ways[max(0, min(at + by, len(ways) - 1))]
