"""A driver as a form: its fields, its operations as text, and beside them what the checker says of it."""

from pathlib import Path
from textwrap import wrap
from typing import ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.screen import ModalScreen
from textual.timer import Timer
from textual.widgets import Input, Static, TextArea

from lessons.i18n.language import ntr, tr
from lessons.learner.own_file import create_file, reason, replace_file
from model.driver_files.findings import DriverFault
from model.driver_files.form_fields import OPERATIONS, PROPOSED, DriverField, driver_fields, written
from model.driver_files.library import SUFFIX
from model.driver_files.line_forms import HEADS, STEPS
from model.driver_files.parser import parse
from model.script.driver_findings import checked
from model.script.fields import Field
from model.text.problems import ScriptError
from tui.screens.form import FieldInput
from tui.screens.leaves_once import LeavesOnce
from tui.session.reviewed import row_of_text
from tui.session.terminal import is_served
from tui.session.user_files import UnreadableError
from tui.views.bars import keys
from tui.views.glyphs import Glyphs
from tui.views.row import Row, Span, cut, row
from tui.widgets.bar import Bar
from tui.widgets.line_pane import LinePane

LABEL_WIDTH: Final = 22
"""Columns before a field, as the style sheet has them."""
PAUSE: Final = 0.2
"""Seconds without a key after which the file is checked."""


class DriverDraft:
    """What has been filled in: it outlives the screen, so that closing it loses nothing."""

    def __init__(self) -> None:
        self.given = dict(PROPOSED)
        self.operations = OPERATIONS
        self.saved: Path | None = None
        """The file that this form has written."""

    @property
    def text(self) -> str:
        """The driver file."""
        return written(self.given, self.operations)


def _shown(field: DriverField) -> Field:
    """A field as the form's inputs know it."""
    words = (field.slot.name,) if field.flag else () if field.slot.many else field.slot.words
    return Field(field.key, field.help, words, PROPOSED.get(field.key, ""), field.required, flag=field.flag)


def _label(field: DriverField) -> str:
    """What stands before a field; of a key that is too long the last word, below the line that it belongs to."""
    sign, key = "*" if field.required else " ", field.key
    return f"{sign} {key}" if len(key) + 2 <= LABEL_WIDTH else f"{sign}   {key.split()[-1]}"


class DriverForm(ModalScreen[str], LeavesOnce[str]):
    """Ends with the text of a driver that is to be tried, or with None."""

    DEFAULT_CSS = """
    DriverForm { background: $background; }
    DriverForm #about { height: 1; text-style: bold; background: $panel; padding-left: 1; }
    DriverForm #body { height: 1fr; }
    DriverForm #left { width: 46%; }
    DriverForm #form { height: 1fr; }
    DriverForm #operations { height: 40%; max-height: 14; border: none; padding: 0; }
    DriverForm #heading { height: 1; background: $panel; padding-left: 1; }
    DriverForm .line { height: 1; }
    DriverForm .label { width: 22; }
    DriverForm .field { width: 1fr; background: $panel; }
    DriverForm .field:focus { background: $primary 30%; }
    DriverForm #help { height: 3; }
    DriverForm #keys { height: 1; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Close", id="driver-form.close"),
        Binding("tab", "app.focus_next", "Next field", show=False, priority=True, id="driver-form.next"),
        Binding("shift+tab", "app.focus_previous", "Previous field", show=False, id="driver-form.previous"),
        Binding("ctrl+s", "save", "Save the driver file", id="driver-form.save"),
        Binding("ctrl+r", "review", "Review it: every grabber against each operation", id="driver-form.review"),
        Binding("ctrl+t", "try", "Step through its operation", id="driver-form.try"),
    ]

    def __init__(self, draft: DriverDraft, glyphs: Glyphs) -> None:
        super().__init__()
        self.draft = draft
        self.glyphs = glyphs
        self.said = ""
        """What became of the last deed."""
        self.pending: Timer | None = None

    def compose(self) -> ComposeResult:
        """Fields and operations on the left, the findings on the right, help and keys below."""
        yield Static(tr("Describe a driver"), id="about", markup=False)
        with Horizontal(id="body"):
            with Vertical(id="left"):
                with VerticalScroll(id="form", can_focus=False):
                    for field in driver_fields():
                        label = Static(_label(field), classes="label", markup=False)
                        yield Horizontal(
                            label, FieldInput(_shown(field), self.draft.given.get(field.key, "")), classes="line"
                        )
                yield Static(tr("Operations"), id="heading", markup=False)
                yield TextArea(self.draft.operations, id="operations", tab_behavior="focus")
            self.pane = LinePane(tr("What the checker says"), "findings", "", self.glyphs)
            self.pane.build = self._findings
            yield self.pane
        self.help = LinePane("", "help", "", self.glyphs)
        self.help.can_focus = False
        self.help.build = self._help
        self.bar = Bar(pane_id="keys")
        self.bar.build = self._keys
        yield self.help
        yield self.bar

    def on_mount(self) -> None:
        """The driver's name has the cursor."""
        self.query(FieldInput).first().focus()

    # -- showing ------------------------------------------------------------------------------------

    def _findings(self, width: int) -> list[Row]:
        """What is wrong, worst first; then the file with its line numbers."""
        rows: list[Row] = []
        try:
            found = checked(self.draft.text)
        except ScriptError as error:
            for problem in error.problems:
                told = f"{problem.line}:{problem.column} {tr('cannot be read')}: {problem.message}"
                rows += [row(Span(line, "corruption")) for line in wrap(told, max(width, 20))]
        else:
            for finding in sorted(found, key=lambda one: (one.severity, one.line)):
                rows += self._complaint(finding, width)
            if not found:
                told = f"{self.glyphs.ok} {tr('reading it shows nothing wrong')}"
                rows += [row(Span(line, "ok")) for line in wrap(told, max(width, 20))]
        rows.append(row(Span("")))
        for number, line in enumerate(self.draft.text.rstrip("\n").split("\n"), 1):
            rows.append(row(Span(f"{number:3}  ", "dim"), Span(cut(line, max(width - 5, 8)), "code")))
        return rows

    def _complaint(self, fault: DriverFault, width: int) -> list[Row]:
        """One complaint: how bad and where, then what."""
        grave = fault.severity == "error"
        sign, word = (self.glyphs.broken, tr("error")) if grave else (self.glyphs.caution, tr("warning"))
        head = f"{sign} {fault.line}:{fault.column} {word}:"
        first, *rest = wrap(f"{head} {fault.text}", max(width - 2, 20))
        style = "corruption" if grave else "hazard"
        return [row(Span(head, style), Span(first.removeprefix(head))), *(row(Span(f"  {line}")) for line in rest)]

    def _help(self, width: int) -> list[Row]:
        """What belongs into the field, or what the step under the cursor means; and what has been done."""
        inside = self.focused
        if isinstance(inside, FieldInput):
            about = inside.field.expected
            about += f" ({' '.join(inside.field.choices)})" if inside.field.choices else ""
        else:
            about = self._step_help()
        lines = wrap(about, max(width, 20))[:2]
        return [*(row(Span(line, "dim")) for line in lines), row(Span(cut(self.said, width), "ok"))]

    def _step_help(self) -> str:
        """The form of the step in whose line the cursor is."""
        area = self.query_one(TextArea)
        words = area.document.get_line(area.cursor_location[0]).split()
        form = next((STEPS.get(word) or HEADS.get(word) for word in words if word in STEPS or word in HEADS), None)
        return f"{form.usage}: {form.help}" if form is not None else f"{tr('Steps')}: {' '.join(STEPS)}"

    def _keys(self, width: int) -> list[Row]:
        hints = [("^s", tr("save"), "save"), ("^t", tr("step through it"), "try"), ("^r", tr("review"), "review")]
        hints += [("Tab", tr("next field"), "app.focus_next"), ("Esc", tr("close"), "dismiss(None)")]
        return [keys(hints, width)]

    def _renew_soon(self) -> None:
        """Check the file when nobody has typed for a moment."""
        if self.pending is not None:
            self.pending.stop()
        self.pending = self.set_timer(PAUSE, self.pane.renew)
        self.help.renew()

    # -- filling in ---------------------------------------------------------------------------------

    def on_field_input_turned(self, message: FieldInput.Turned) -> None:
        """Show the help of the field that has the cursor now."""
        message.stop()
        self.help.renew()

    def on_input_changed(self, event: Input.Changed) -> None:
        """A field has another text."""
        if isinstance(event.input, FieldInput):
            self.draft.given[event.input.field.key] = event.value
            self.said = ""
            self._renew_soon()

    def on_text_area_changed(self, event: TextArea.Changed) -> None:
        """The operations have another text."""
        self.draft.operations = event.text_area.text
        self.said = ""
        self._renew_soon()

    def on_text_area_selection_changed(self, _event: TextArea.SelectionChanged) -> None:
        """The cursor is in another line."""
        self.help.renew()

    # -- deeds --------------------------------------------------------------------------------------

    def action_save(self) -> None:
        """Write the file, whole or not at all. What this form has not written is never replaced."""
        if is_served():
            self._say(tr("In a browser there are no files."))
            return
        try:
            parse(self.draft.text)
        except ScriptError as error:
            self._say_unreadable(error)
            return
        path = Path(f"{self.draft.given['driver NAME'].strip()}{SUFFIX}")
        content = self.draft.text.encode()
        try:
            if self.draft.saved == path:
                replace_file(path, content, private=False)
            else:
                create_file(path, content)
        except FileExistsError:
            self._say(tr("{file} exists: choose another name.").format(file=path))
            return
        except OSError as error:
            self._say(reason(error))
            return
        self.draft.saved = path
        self._say(tr("Saved as {file}.").format(file=path))

    def action_try(self) -> None:
        """End with the text, if it can be read."""
        try:
            checked(self.draft.text)
        except ScriptError as error:
            self._say_unreadable(error)
            return
        self.dismiss(self.draft.text)

    def action_review(self) -> None:
        """Put every grabber against each operation of the driver, if it can be read."""
        from tui.screens.driver_review import OWN_KERNEL, DriverReview

        try:
            row = row_of_text(tr("Describe a driver"), self.draft.text)
            screen = DriverReview(self.glyphs, row, OWN_KERNEL)
        except UnreadableError as error:
            self._say(str(error))
        except ScriptError as error:
            self._say_unreadable(error)
        else:
            self.app.push_screen(screen)

    def _say_unreadable(self, error: ScriptError) -> None:
        """How many lines are wrong; what is wrong with each stands in the findings, which are renewed at once."""
        count = len({problem.line for problem in error.problems})
        self.pane.renew()
        self._say(ntr("{n} line cannot be read", "{n} lines cannot be read", count).format(n=count))

    def _say(self, word: str) -> None:
        self.said = word
        self.help.renew()

    def on_line_pane_pointed(self, message: LinePane.Pointed) -> None:
        """A click on the key line."""
        message.stop()
        kind, _, rest = message.subject.partition(":")
        if kind == "action":
            self.call_later(self.run_action, rest)
