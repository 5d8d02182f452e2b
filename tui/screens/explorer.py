"""The explorer: what may happen from the state on the stage, a search of every schedule of it, and what that found."""

import asyncio
from contextlib import aclosing
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical
from textual.screen import Screen
from textual.widgets import DataTable, Input, Static

from lessons.language import tr
from model.invariants.checker import Checker
from model.script.command import Command
from model.script.context import Context
from model.script.parser import parse_permissions
from model.script.problems import ScriptError
from model.script.scope import Scope
from model.search.atlas import MOST_STATES as MOST_DRAWN
from model.search.explore import MOST_STATES
from model.search.offers import offers
from model.search.outcome import Found, Judgement
from tui.panes.bar import Bar
from tui.panes.line_pane import LinePane
from tui.rows.bars import keys
from tui.rows.glyphs import Glyphs
from tui.rows.row import BLANK, Row, Span, row
from tui.searching import Failed, Request, Told, search
from tui.story import number_of
from tui.trail_driver import TrailDriver

HINTS: Final = (
    ("Space", "permit or not", "permit"),
    ("^r", "search", "search"),
    ("Tab", "next field", "app.focus_next"),
    ("Esc", "cancel, leave", "leave"),
)


class Explorer(Screen[None]):
    """Choose, watch, look at what was found; Enter on a broken rule lands in the way into it."""

    DEFAULT_CSS = """
    Explorer #title { height: 1; background: $panel; color: $primary; text-style: bold; }
    Explorer #asked { height: 1fr; }
    Explorer Input { height: 1; border: none; background: $panel; }
    Explorer .label { height: 1; color: $primary; text-style: bold; }
    Explorer #limits { height: 1; }
    Explorer #limits Input { width: 16; }
    Explorer #limits Static { width: auto; margin: 0 1; }
    Explorer #status { height: auto; max-height: 3; padding: 0 1; }
    Explorer DataTable { height: 1fr; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("ctrl+r", "search", "Search every schedule", priority=True, id="explorer.search"),
        Binding("space", "permit", "Permit or not", id="explorer.permit"),
        Binding("M", "map", "Map of the state space", id="explorer.map"),
        Binding("escape", "leave", "Cancel the search, or leave", id="explorer.leave"),
        Binding("question_mark", "app.help", "Help", show=False),
    ]

    def __init__(self, context: Context, checker: Checker, glyphs: Glyphs) -> None:
        super().__init__()
        self.context = context
        self.checker = checker
        self.glyphs = glyphs
        self.searching: asyncio.Task[None] | None = None
        self.found: Found | None = None
        self.offers = {offer.command: offer.usual for offer in offers(context.state)}
        """What could happen → whether it is permitted."""
        self.first = False
        """End at the first corruption."""

    def compose(self) -> ComposeResult:
        """What may happen on top, what was found below."""
        yield Static(tr(" Explore: what may happen from this state?"), id="title")
        with Vertical(id="asked"):
            yield LinePane(tr("Permitted, once each"), "permitted", "", self.glyphs)
            yield Static(tr("More, separated by `;` (a number before a command: how often):"), classes="label")
            yield Input(placeholder="2 gup p0 buf as=r1 write; fork p0 c", id="own", select_on_focus=False)
            with Horizontal(id="limits"):
                yield Static(tr("at most"))
                yield Input(str(MOST_STATES), id="states", type="integer", select_on_focus=False)
                yield Static(tr("states"))
        yield Static("", id="status")
        table: DataTable[str] = DataTable(id="verdicts", cursor_type="row", zebra_stripes=False)
        yield table
        yield Bar(pane_id="keys")

    def on_mount(self) -> None:
        """Ready to choose."""
        self.query_one("#keys", Bar).build = self._keys
        for field in self.query(Input):
            field.cursor_blink = False
        table = self.query_one(DataTable)
        table.add_columns(*map(tr, ("rule", "verdict", "worst", "share", "steps", "pre-emptions")))
        table.display = False
        pane = self.query_one("#permitted", LinePane)
        pane.build = self._choice
        pane.renew()
        pane.point_at(f"permit:{next(iter(self.offers), '')}")
        pane.focus()
        self._say(tr("^r searches every order of what is permitted, interleaved micro-step by micro-step."))

    def _choice(self, width: int) -> list[Row]:
        """A line for each command, and one for when to end."""
        rows = [self._box(permitted, command, f"permit:{command}") for command, permitted in self.offers.items()]
        end = self._box(self.first, tr("end at the first corruption"), "end:first")
        return [*rows, BLANK, end]

    @staticmethod
    def _box(ticked: bool, text: str, subject: str) -> Row:
        box = Span("[x] " if ticked else "[ ] ", "key" if ticked else "dim", subject)
        return row(box, Span(text, "plain", subject))

    def action_permit(self) -> None:
        """Permit what the cursor is on, or no more."""
        pane = self.query_one("#permitted", LinePane)
        kind, _, rest = pane.cursor.subject.partition(":") if pane.cursor else ("", "", "")
        if kind == "permit" and rest in self.offers:
            self.offers[rest] = not self.offers[rest]
        elif kind == "end":
            self.first = not self.first
        pane.renew()

    def on_line_pane_pointed(self, message: LinePane.Pointed) -> None:
        """A click ticks, or does what the key line says."""
        message.stop()
        kind, _, rest = message.subject.partition(":")
        if kind == "action":
            self.call_later(self.run_action, rest)
        elif message.clicked:
            self.action_permit()

    def _keys(self, width: int) -> list[Row]:
        enter = [("Enter", "see how", "see"), ("M", "map", "map")] if self.found else []
        return [keys([*enter, *HINTS, ("?", "help", "app.help")], width)]

    def _say(self, text: str) -> None:
        self.query_one("#status", Static).update(text)

    # -- asking ------------------------------------------------------------------------------------

    def allowed(self) -> tuple[Command, ...]:
        """The permissions as commands. Raises ScriptError."""
        chosen = [command for command, permitted in self.offers.items() if permitted]
        own = [part.strip() for part in self.query_one("#own", Input).value.split(";") if part.strip()]
        lines = [f"may 1 {command}" for command in chosen]
        lines += [f"may {line}" if line.partition(" ")[0].isdecimal() else f"may 1 {line}" for line in own]
        return parse_permissions(lines, Scope.of(self.context.state))

    def action_search(self) -> None:
        """Search, unless something is being searched already."""
        if self.searching is not None:
            return
        most = self.query_one("#states", Input).value
        if not most.isdecimal() or not int(most):
            self._say(tr("A number of states is needed, above 0."))
            return
        try:
            allowed = self.allowed()
        except ScriptError as error:
            self._say(next(iter(error.problems)).message)
            return
        self.query_one(DataTable).display = False
        request = Request(self.context, self.checker, allowed, int(most), self.first)
        self.searching = asyncio.create_task(self._search(request))

    async def _search(self, request: Request) -> None:
        """Show how far it is, and then what it has found."""
        self._say(tr("searching … Esc ends it"))
        try:
            async with aclosing(search(request)) as words:
                async for word in words:
                    if isinstance(word, Told):
                        self._say(said(word))
                    elif isinstance(word, Failed):
                        self._say(word.why)
                    else:
                        self._show(word)
        except asyncio.CancelledError:
            self._say(tr("The search was ended; nothing is known."))
        finally:
            self.searching = None

    # -- what was found ----------------------------------------------------------------------------

    def _show(self, found: Found) -> None:
        """The verdict on every rule, and the bounds."""
        self.found = found
        table = self.query_one(DataTable)
        table.clear()
        for judged in found.judgements:
            table.add_row(*cells(judged, self.glyphs))
        table.display = True
        table.focus()
        self._say(bounds(found))
        self.query_one("#keys", Bar).renew()

    def on_data_table_row_selected(self, message: DataTable.RowSelected) -> None:
        """Enter on a rule: the way into it."""
        message.stop()
        self.see(message.cursor_row)

    def action_see(self) -> None:
        """The rule under the cursor."""
        self.see(self.query_one(DataTable).cursor_row)

    def see(self, row: int) -> None:
        """Open the way into a broken rule on a stage."""
        if self.found is None:
            return
        judged = self.found.judgements[row]
        if judged.trail is None:
            self.notify(tr("{rule} is not broken in any schedule.").format(rule=judged.invariant), markup=False)
            return
        from tui.screens.sandbox_stage import SandboxStage  # noqa: PLC0415 - the stage opens this screen

        self.app.push_screen(SandboxStage(TrailDriver(self.context, self.checker, judged), self.glyphs))

    def action_map(self) -> None:
        """The map, where the space is small."""
        if self.found is None:
            self._say(tr("First search: ^r."))
        elif self.found.atlas is None:
            large = tr(
                "{states} states are too many to be looked at one by one: permit less, at most {most} can be drawn."
            )
            self._say(large.format(states=self.found.states, most=MOST_DRAWN))
        else:
            from tui.screens.atlas import Map  # noqa: PLC0415 - networkx comes with it

            self.app.push_screen(Map(self.found.atlas, self.context, self.checker, self.glyphs))

    def action_leave(self) -> None:
        """End the search, or leave where none is under way."""
        if self.searching is not None:
            self.searching.cancel()
        else:
            self.dismiss()

    def on_unmount(self) -> None:
        """Nobody is there any more to hear what is found."""
        if self.searching is not None:
            self.searching.cancel()


def said(word: Told) -> str:
    """How far a search is."""
    progress = word.progress
    text = tr(
        "searching: {states} states, depth {depth}, frontier {frontier}, {rate} states/s, {seconds} s. Esc ends it."
    )
    rate = round(progress.states / max(word.seconds, 0.001))
    return text.format(**progress._asdict(), rate=rate, seconds=f"{word.seconds:.1f}")


def bounds(found: Found) -> str:
    """What the verdicts hold for."""
    how = tr("Every schedule searched") if found.complete else tr("Ended before everything was searched")
    shown = tr("{how}: {states} states, {transitions} transitions, {depth} steps deep, {schedules} schedules.").format(
        how=how,
        states=found.states,
        transitions=found.transitions,
        depth=found.depth,
        schedules=tr("uncounted") if found.schedules is None else number_of(found.schedules),
    )
    return f"{shown} {tr('In some schedule tasks wait for each other for ever.')}" if found.stuck else shown


def cells(judged: Judgement, glyphs: Glyphs) -> tuple[str, ...]:
    """A rule's row: sign and name, verdict, the worst, share of schedules, steps and pre-emptions into it."""
    sign = glyphs.ok if not judged.severity else glyphs.caution if judged.severity == "hazard" else glyphs.broken
    verdict = tr(judged.verdict) if judged.verdict else tr("not found so far")
    trail = judged.trail
    if trail is None:
        return f"{sign} {judged.invariant}", verdict, "", "", "", ""
    share = "" if judged.share is None else "< 0.1%" if judged.share < 0.001 else f"{judged.share:.1%}"
    return (
        f"{sign} {judged.invariant}",
        verdict,
        tr(judged.severity),
        share,
        str(trail.steps),
        str(trail.preemptions),
    )
