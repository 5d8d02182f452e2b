"""The help screen, made from the keys that are really bound."""

from collections.abc import Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.screen import ModalScreen, Screen

from lessons.i18n.language import tr
from tui.screens.leaves_once import LeavesOnce
from tui.screens.overlay import EXPORT
from tui.screens.stage import Stage
from tui.views.context import context
from tui.views.glyphs import Glyphs
from tui.views.manual import manual
from tui.views.row import Row
from tui.widgets.line_pane import LinePane

NAMES = {
    "right": "→",
    "left": "←",
    "up": "↑",
    "down": "↓",
    "colon": ":",
    "question_mark": "?",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "full_stop": ".",
    "comma": ",",
    "pagedown": "PgDn",
    "pageup": "PgUp",
    "ctrl+p": "^p",
    "ctrl+q": "^q",
    "ctrl+c": "^c",
    "ctrl+z": "^z",
    "enter": "Enter",
    "home": "Home",
    "end": "End",
    "escape": "Esc",
    "tab": "Tab",
    **{f"f{number}": f"F{number}" for number in range(1, 13)},
    "space": "Space",
    "plus": "+",
    "minus": "-",
    "equals_sign": "=",
    "less_than_sign": "<",
    "greater_than_sign": ">",
}
RENAMED = {
    "palette": "Command palette: every action, lesson and thing",
    "Focus Next": "Next pane",
    "Focus Previous": "Previous pane",
    "Copy selected text": "Copy the text selected with the mouse",
}
"""Textual's own descriptions, in our words."""
ASCII_NAMES = {"right": "Right", "left": "Left", "up": "Up", "down": "Down"}


class Help(ModalScreen[None], LeavesOnce[None]):
    """What every key does on the screen below, signs, words. Any of its keys closes it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        EXPORT,
        Binding("q,question_mark,escape,enter,f1", "dismiss", "Close", id="help.close"),
    ]

    def __init__(self, below: Screen[object], glyphs: Glyphs) -> None:
        super().__init__()
        self.groups = groups(below, glyphs)
        if isinstance(below, Stage):
            self.groups.insert(0, ("Here and now", context(below.picture, below.word)))
        self.glyphs = glyphs

    def compose(self) -> ComposeResult:
        """One pane with all of it, to scroll."""
        pane = LinePane(tr("Help: q closes, arrows and wheel scroll"), "help", "", self.glyphs)
        pane.build = self._rows
        yield pane

    def _rows(self, width: int) -> list[Row]:
        return manual(self.groups, width, self.glyphs)


def groups(below: Screen[object], glyphs: Glyphs) -> list[tuple[str, Sequence[tuple[str, str]]]]:
    """The bindings of a screen, of its panes and of the app: (keys, description), those of one thing together."""
    found: dict[str, dict[str, list[str]]] = {"Screen": {}, "Panes": {}, "App": {}}
    for active in below.active_bindings.values():
        node, binding = active.node, active.binding
        if not binding.description or binding.description.startswith("Answer "):
            continue
        description = RENAMED.get(binding.description, binding.description)
        group = "Screen" if node is below else "Panes" if isinstance(node, LinePane) else "App"
        found[group].setdefault(description, []).append(key_name(binding.key, glyphs))
    titles = {"Screen": "On this screen", "Panes": "In a pane", "App": "Everywhere"}
    return [
        (titles[group], [("  ".join(keys), description) for description, keys in actions.items()])
        for group, actions in found.items()
    ]


def key_name(key: str, glyphs: Glyphs) -> str:
    """A key as it is written on a keyboard.

    >>> from tui.views.glyphs import UNICODE
    >>> key_name("shift+down", UNICODE), key_name("G", UNICODE)
    ('Shift ↓', 'G')
    """
    modifier, _, last = key.rpartition("+")
    names = NAMES if glyphs.arrow == "→" else NAMES | ASCII_NAMES
    if key in names:
        return names[key]
    return f"{modifier.capitalize()} {names.get(last, last)}" if modifier else last
