"""The prompt: a line to type, with what belongs there and what could be meant."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Container
from textual.events import Key, Paste
from textual.screen import ModalScreen
from textual.widgets import Input, Static

from lessons.i18n.language import tr
from tui.screens.leaves_once import LeavesOnce
from tui.session.prompt_history import PromptHistory, TakesEarlyKeys
from tui.views.row import Row, Span, cut, row
from tui.widgets.line_pane import LinePane

if TYPE_CHECKING:
    from model.script.complete import Completion

MOST_SHOWN: Final = 6
"""Suggestions in sight."""


def pasted(text: str) -> list[str]:
    r"""The lines of what was pasted that say something; a state code that was broken over several lines is one.

    >>> pasted("process p0\n\n# a comment\n  exit p0\n")
    ['process p0', 'exit p0']
    """
    if text.lstrip().startswith("pte"):
        return ["".join(text.split())]
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return [line for line in lines if line]


class PromptInput(Input):
    """The text field of the prompt."""

    def _on_paste(self, event: Paste) -> None:
        """Several lines are carried out one after the other, where that is possible; a state code is put together."""
        lines = ["".join(event.text.split())] if self.value.startswith("code ") else pasted(event.text)
        if len(lines) == 1 and "\n" in event.text.strip():
            self.insert_text_at_cursor(lines[0])
        elif len(lines) > 1 and isinstance(self.screen, Prompt) and self.screen.many:
            self.screen.take([f"{self.value}{lines[0]}", *lines[1:]])
        else:
            return
        event.prevent_default()
        event.stop()


class Suggestions(LinePane, can_focus=False):
    """What belongs where the cursor is, and the words that could stand there."""


class Prompt(TakesEarlyKeys, ModalScreen[str], LeavesOnce[str]):
    """Ends with the line that was typed, or with None. `typed` is the history; it grows."""

    DEFAULT_CSS = """
    Prompt { align: left bottom; background: $background 0%; }
    Prompt #prompt { height: auto; width: 100%; background: $panel; border-top: solid $primary; }
    Prompt #suggestions { height: 9; }
    Prompt #refusal { height: auto; max-height: 8; padding: 0 1; display: none; }
    Prompt #line { height: 1; width: 100%; background: $panel; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Close", id="prompt.close"),
        Binding("tab", "complete", "Complete", priority=True, id="prompt.complete"),
        Binding("up", "recall(-1)", "Line before", id="prompt.before"),
        Binding("down", "recall(1)", "Line after", id="prompt.after"),
        Binding("ctrl+r", "search", "Earlier line with what is typed", priority=True, id="prompt.search"),
    ]

    def __init__(
        self,
        wants: str,
        history: PromptHistory | None = None,
        assist: Callable[[str], "Completion"] | None = None,
        begin: str = "",
        *,
        many: bool = False,
        refuses: Callable[[str], str] = lambda _line: "",
    ) -> None:
        super().__init__()
        self.begin = begin
        self.many = many
        """Several lines can be pasted at once; it ends with all of them then."""
        self.refuses = refuses
        """Why a line cannot be taken: it stays then, and can be mended; empty: it can."""
        self.wants = wants
        self.prompt_history = history or PromptHistory()
        self.assist = assist
        self.at = len(self.prompt_history.lines)
        self.sought = ""
        """What an earlier line is searched for."""
        self.found = ""
        """The line that the search has put here."""
        self.suggested: Sequence[str] = ()
        self.waiting: list[Key] | None = []
        """Keys that came before the line did; None: it is here."""

    def compose(self) -> ComposeResult:
        """The words above, the line below."""
        self.pane = Suggestions(pane_id="suggestions")
        self.line = PromptInput(self.begin, placeholder=self.wants, id="line", compact=True, select_on_focus=False)
        self.line.cursor_blink = False  # nothing moves, and nothing is written, while nobody types
        box = Container(id="prompt")
        box.border_title = f"{self.wants} ({tr('Enter: done, Esc: close')})"
        with box:
            if self.assist is not None:
                yield self.pane
            yield Static(id="refusal", markup=False)
            yield self.line

    def on_mount(self) -> None:
        """Put the cursor into the field."""
        self.pane.build = lambda width: self._rows(self.line.value, width)
        self.line.focus()
        self.line.cursor_position = len(self.begin)
        waiting, self.waiting = self.waiting or [], None
        for event in waiting:
            if event.key == "enter":
                self.take([self.line.value.strip()])
                break
            self.take_early(event)

    def take_early(self, event: Key) -> bool:
        """Type a character that the stage got because it came right after the key that opens this."""
        if self.waiting is not None and (event.is_printable or event.key == "enter"):
            self.waiting.append(event)
            return True
        if event.is_printable and event.character is not None:
            self.line.insert_text_at_cursor(event.character)
            return True
        return False

    def on_input_changed(self, _event: Input.Changed) -> None:
        """Help follows what is typed."""
        self.pane.renew()

    def on_input_submitted(self, event: Input.Submitted) -> None:
        """Done; an empty line closes. The `:` that opens the prompt may be typed once more, as documents write it."""
        self.take([event.value.strip().removeprefix(":")])

    def take(self, lines: Sequence[str]) -> None:
        """Close the prompt with these lines as its result, unless one is refused."""
        for line in lines:
            self.prompt_history.add(line)
        refusal = next(filter(None, map(self.refuses, filter(None, lines))), "")
        if refusal:
            shown = self.query_one("#refusal", Static)
            shown.update(refusal)
            shown.display = True
            return
        self.dismiss("\n".join(lines) or None)

    def _rows(self, line: str, width: int) -> list[Row]:
        """The syntax, what is expected, and the suggestions with their help."""
        if self.assist is None:
            return []
        found = self.assist(line)
        self.suggested = [suggestion.word for suggestion in found.suggestions]
        expected = f"{tr('here')}: {found.expected}" if found.expected else tr("nothing more is needed: Enter")
        rows = [
            row(Span(f" {cut(found.usage or tr('a command'), width - 2)}", "strong")),
            row(Span(f" {expected}", "dim")),
        ]
        for number, suggestion in enumerate(found.suggestions[:MOST_SHOWN]):
            lead = " Tab " if number == 0 else "     "
            text = cut(suggestion.help, max(width - len(suggestion.word) - 8, 0))
            rows.append(row(Span(lead, "key"), Span(f"{suggestion.word}  ", "name"), Span(text, "dim")))
        if len(found.suggestions) > MOST_SHOWN:
            others = " ".join(self.suggested[MOST_SHOWN:])
            rows.append(row(Span(cut(f"     {tr('and')} {others}", width), "dim")))
        return rows

    def action_complete(self) -> None:
        """Take the first suggestion in place of the word that is being typed."""
        line = self.line.value
        if not self.suggested:
            return
        start = len(line) if line[-1:].isspace() else len(line) - len(line.split()[-1]) if line else 0
        word = self.suggested[0]
        self._put(f"{line[:start]}{word}{'' if word.endswith('=') else ' '}")

    def action_recall(self, by: int) -> None:
        """A line that was typed before."""
        lines = self.prompt_history.lines
        self.at = max(0, min(len(lines), self.at + by))
        self._put(lines[self.at] if self.at < len(lines) else "")

    def action_search(self) -> None:
        """The last line before that contains what was typed; again: the one before it."""
        lines = self.prompt_history.lines
        if self.line.value != self.found or not self.found:
            self.sought, self.at = self.line.value, len(lines)
        found = self.prompt_history.search(self.sought, self.at)
        if found >= 0:
            self.at, self.found = found, lines[found]
            self._put(self.found)

    def _put(self, line: str) -> None:
        self.line.value = line
        self.line.cursor_position = len(line)
