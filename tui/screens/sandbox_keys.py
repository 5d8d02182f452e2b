"""The keys that the stage has besides its own while one plays freely."""

from typing import Final

from textual.binding import Binding, BindingType

SANDBOX_KEYS: Final[list[BindingType]] = [
    Binding("r", "tasks", "Run tasks: who makes the next micro-step", id="sandbox.tasks"),
    Binding("B", "bookmark", "Bookmark this place", id="sandbox.bookmark"),
    Binding("right_curly_bracket", "named(1)", "Next bookmark on this way", key_display="}", id="sandbox.next-named"),
    Binding("left_curly_bracket", "named(-1)", "Bookmark before", key_display="{", id="sandbox.named-before"),
    Binding("T", "tree", "Tree of the history", id="sandbox.tree"),
    Binding("D", "difference", "What differs from another state", id="sandbox.difference"),
    Binding("w", "watch", "Watch an expression", id="sandbox.watch"),
    Binding("L", "scenes", "Load a ready scene", id="sandbox.scenes"),
    Binding("y", "code", "State code", id="sandbox.code"),
    Binding("comma", "settings", "Settings, side by side", id="sandbox.settings"),
    Binding("s", "back_to_lesson", "Back to the lesson that this was opened from", id="sandbox.back"),
    Binding("ctrl+s", "save", "Save the session", id="sandbox.save"),
    Binding("ctrl+o", "load", "Load a script or a session", id="sandbox.load"),
]
HINTS: Final = (
    ("T", "history", "tree"),
    ("r", "tasks", "tasks"),
    ("L", "scenes", "scenes"),
    ("w", "watch", "watch"),
    ("D", "diff", "difference"),
)
"""What the key line says of them where it has room."""
