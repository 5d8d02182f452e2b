"""A command as a form, for those who do not know the verbs: fields with what is valid now, and the line they make."""

from collections.abc import Iterable
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, VerticalScroll
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from lessons.i18n.language import tr
from model.memory.state import State
from model.script.fields import Field, fields, line_of
from model.script.parser import parse_line
from model.script.scope import Scope
from model.script.verbs import VERBS
from model.text.problems import ScriptError
from tui.screens.leaves_once import LeavesOnce
from tui.screens.overlay import Overlay
from tui.views.bars import keys
from tui.views.glyphs import Glyphs
from tui.views.row import Row, Span, cut, row
from tui.widgets.bar import Bar
from tui.widgets.line_pane import LinePane


class FormChoice(Overlay):
    """Ends with the verb to fill in."""

    title_text = "Which command?"

    def rows(self, width: int) -> list[Row]:
        """Every verb with what it stands for."""
        return [
            row(
                Span(name := f"{verb.name:13} ", "name", f"verb:{verb.name}"),
                Span(cut(verb.help, max(width - len(name) - 1, 10)), "plain", f"verb:{verb.name}"),
            )
            for verb in VERBS.values()
        ]

    def hints(self) -> list[tuple[str, str, str]]:
        """The keys."""
        return [("Enter", tr("fill it in"), "choose")]

    def on_mount(self) -> None:
        """The cursor begins at the first."""
        super().on_mount()
        self.pane.point_at(f"verb:{next(iter(VERBS))}")

    def choose(self, subject: str) -> None:
        """End with the chosen verb."""
        self.dismiss(subject.partition(":")[2])


class FieldInput(Input):
    """One field. Up and down go through what is valid here; for a flag the space bar does, too."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("up", "turn(-1)", "Value before", show=False),
        Binding("down", "turn(1)", "Next value", show=False),
    ]

    class Turned(Message):
        """Sent when another field gets the cursor."""

    def __init__(self, field: Field, value: str) -> None:
        super().__init__(value, compact=True, select_on_focus=False, classes="field")
        self.field = field

    def action_turn(self, by: int) -> None:
        """The next of the values."""
        values = list(self.field.choices)
        if not self.field.required:
            values.insert(0, "")
        if not values:
            return
        at = values.index(self.value) + by if self.value in values else (0 if by > 0 else -1)
        self.value = values[at % len(values)]
        self.cursor_position = len(self.value)

    def insert_text_at_cursor(self, text: str) -> None:
        """Typing; a flag is only turned on and off."""
        if self.field.flag:
            self.action_turn(1)
        else:
            super().insert_text_at_cursor(text)

    def on_focus(self) -> None:
        """Show the values that the field can take."""
        self.post_message(self.Turned())


class Form(ModalScreen[str], LeavesOnce[str]):
    """Ends with the line to carry out, or with None."""

    DEFAULT_CSS = """
    Form { align: center middle; background: $background; }
    Form #form { width: 100%; max-width: 120; height: 1fr; }
    Form #about { height: 1; width: 100%; max-width: 120; text-style: bold; background: $panel; padding-left: 1; }
    Form .line { height: 1; }
    Form .label { width: 18; }
    Form .field { width: 26; background: $panel; }
    Form .field:focus { background: $primary 30%; }
    Form .choices { width: 1fr; padding-left: 1; }
    Form #line { height: 5; width: 100%; max-width: 120; }
    Form #keys { height: 1; width: 100%; max-width: 120; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Close", id="form.close"),
        Binding("tab", "app.focus_next", "Next field", show=False, id="form.next"),
        Binding("shift+tab", "app.focus_previous", "Previous field", show=False, id="form.previous"),
    ]

    def __init__(self, verb: str, state: State, glyphs: Glyphs) -> None:
        super().__init__()
        self.verb = verb
        self.state = state
        self.glyphs = glyphs
        self.given: dict[str, str] = {}
        self.shown = self._fields()

    def _fields(self) -> list[Field]:
        return fields(self.verb, self.given, Scope.of(self.state))

    @property
    def line(self) -> str:
        """The command as it is now."""
        return line_of(self.verb, self.shown, self.given)

    def compose(self) -> ComposeResult:
        """The fields, the line, the keys."""
        yield Static(f"{self.verb}: {VERBS[self.verb].help}", id="about", markup=False)
        with VerticalScroll(id="form", can_focus=False):
            yield from self._lines()
        self.pane = LinePane(tr("The command"), "line", "", self.glyphs)
        self.pane.can_focus = False
        self.pane.build = self._verdict_and_help
        self.bar = Bar(pane_id="keys")
        self.bar.build = self._keys
        yield self.pane
        yield self.bar

    def _lines(self) -> Iterable[Horizontal]:
        """One line for each field."""
        for field in self.shown:
            sign = "*" if field.required else " "
            label = Static(f"{sign} {field.key}", classes="label", markup=False)
            value = FieldInput(field, self.given.get(field.key, field.proposed))
            choices = Static(_choices(field), classes="choices", markup=False)
            yield Horizontal(label, value, choices, classes="line")

    def on_mount(self) -> None:
        """The first field that is to be typed has the cursor."""
        inputs = list(self.query(FieldInput))
        if inputs:
            inputs[0].focus()

    # -- showing ------------------------------------------------------------------------------------

    def _verdict_and_help(self, width: int) -> list[Row]:
        """The line, and what is wrong with it; then what belongs into the field in use."""
        problem = self.problem()
        verdict = Span(cut(f" {problem}", width), "hazard") if problem else Span(f" {tr('Enter carries it out')}", "ok")
        inside = self.focused
        about = f"{inside.field.key}: {inside.field.expected}" if isinstance(inside, FieldInput) else ""
        rows = [row(Span(cut(f" {self.line}", width), "code")), row(verdict)]
        return [*rows, row(Span(cut(f" {about}", width), "dim")), row(Span(cut(f" {VERBS[self.verb].usage}", width)))]

    def problem(self) -> str:
        """What is wrong with the line; empty if nothing is."""
        try:
            parse_line(self.line, Scope.of(self.state))
        except ScriptError as error:
            return error.problems[0].message
        return ""

    def _keys(self, width: int) -> list[Row]:
        hints = [
            ("Enter", tr("carry it out"), "submit"),
            ("Tab", tr("next field"), "app.focus_next"),
            ("up/down", tr("valid values"), "app.focus_next"),
            ("Esc", tr("close"), "dismiss(None)"),
        ]
        return [keys(hints, width)]

    # -- filling in ---------------------------------------------------------------------------------

    def on_field_input_turned(self, message: FieldInput.Turned) -> None:
        """Show the help of the field that has the cursor now."""
        message.stop()
        self.pane.renew()

    async def on_input_changed(self, event: Input.Changed) -> None:
        """A field has another text: others may have other values now, or come and go."""
        field = event.input
        if not isinstance(field, FieldInput) or self.given.get(field.field.key, field.field.proposed) == event.value:
            return
        self.given[field.field.key] = event.value
        before, self.shown = self.shown, self._fields()
        if [one.key for one in before] != [one.key for one in self.shown]:
            await self._rebuild(field.field.key)
        else:
            for known, old, now in zip(self.query(FieldInput), before, self.shown, strict=True):
                known.field = now
                if old.choices != now.choices:
                    known.parent.query_one(".choices", Static).update(_choices(now))  # type: ignore[union-attr]
                    if now.key not in self.given:
                        known.value = now.proposed
        self.pane.renew()

    async def _rebuild(self, key: str) -> None:
        """Fields have come or gone."""
        box = self.query_one("#form", VerticalScroll)
        await box.remove_children()
        await box.mount_all(self._lines())
        for known in self.query(FieldInput):
            if known.field.key == key:
                known.focus()
                known.cursor_position = len(known.value)

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Carry it out, if it is whole."""
        event.stop()
        self.action_submit()

    def action_submit(self) -> None:
        """Carry it out, if it is whole; else go to the first field that is missing."""
        if not self.problem():
            self.dismiss(self.line)
            return
        for known in self.query(FieldInput):
            if known.field.required and not known.value.strip():
                known.focus()
                return

    def on_line_pane_pointed(self, message: LinePane.Pointed) -> None:
        """A click on the key line."""
        message.stop()
        kind, _, rest = message.subject.partition(":")
        if kind == "action":
            self.call_later(self.run_action, rest)


def _choices(field: Field) -> str:
    """What a field may hold, in a line."""
    if field.flag:
        return tr("space: yes or no")
    return " ".join(field.choices) or field.expected
