"""What the stage is made of and driven by: its panes, its keys, the hints of its key line, its sizes."""

from typing import Final

from textual.binding import Binding, BindingType

from tui.screens.panes import PANES
from tui.screens.picture_panes import LEAST

HINTS: Final = (
    ("forward", "n ->", "forward", "step('forward')"),
    ("back", "p", "back", "back"),
    ("alarm", "W", "why", "app.why"),
    ("steps", "i", "into", "step('into')"),
    ("steps", "o", "over", "step('over')"),
    ("steps", "u", "out", "step('out')"),
    ("steps", "c", "to its end", "step('command')"),
    ("command", ":", "command", "prompt"),
    ("hint", "h", "hint", "hint"),
)
"""What must be possible for a hint on the key line; the key, what it does, and the action behind it."""
VIEW_HINTS: Final = {
    True: (("v", "lists", "lists"), ("l", "legend", "app.open('legend.Legend')")),
    False: (("v", "picture", "lists"),),
}
"""Whether the machine is drawn → the hints of how else it can be seen."""
HOMES: Final = {
    "pte": "spaces",
    "vma": "spaces",
    "process": "spaces",
    "table": "walk",
    "frame": "memory",
}
"""Kind of thing → the pane where it lives; all others are in the holders' pane."""
JUMPS: Final = frozenset({"node", "moment", "answer"})
"""Subjects that are no things of the machine: Enter or a click on one is a move."""
KEEP_AFTER: Final = 2.0
"""Seconds after a move until what it changed is kept in the learner's file."""
STORY_WIDTHS: Final = {"normal": 43, "wide": 48}
"""Columns of the story beside a picture, as the style sheet has them."""
NARROW: Final = STORY_WIDTHS["normal"] + 1 + LEAST
"""On a screen with fewer columns the story stands above the picture: beside it there would be no room to draw."""
WIDE: Final = 190
STORY: Final = 9
"""Lines of the story on a narrow screen, at least …"""
MACHINE_LEAST: Final = 10
"""… and those that head, foot and machine keep there when a question is long."""
MOST_RULES: Final = 13
"""Lines that the rules take at most."""
HEAD_AND_FOOT: Final = 6
"""Lines above and below story and machine on a screen with few of them; one more where there are many."""
LOW: Final = 32
"""Terminals smaller than this show one pane at a time beside the story."""

OTHER_DIGITS: Final = sorted(set("0123456789") - {number for number, _, _ in PANES})
"""Digits that show no pane; they answer where a number is asked for."""

KEYS: Final[list[BindingType]] = [
    Binding("right,n,space", "step('forward')", "Forward", id="stage.forward"),
    Binding("left,p,backspace", "back", "Back", id="stage.back"),
    Binding("enter", "act", "Act or answer", id="stage.act"),
    Binding("i", "step('into')", "Step into", id="stage.into"),
    Binding(
        "F", "app.fold_steps", "Pass over steps that change nothing in sight, or stop at each", id="stage.fold-steps"
    ),
    Binding("o", "step('over')", "Step over", id="stage.over"),
    Binding("u", "step('out')", "Step out", id="stage.out"),
    Binding("c", "step('command')", "To the command's end", id="stage.command-end"),
    Binding("home", "end(False)", "To the start", id="stage.first"),
    Binding("end,G", "end(True)", "To the end", id="stage.last"),
    Binding("right_square_bracket,shift+down", "branch(1)", "Next branch", id="stage.next-branch"),
    Binding("left_square_bracket,shift+up", "branch(-1)", "Previous branch", id="stage.previous-branch"),
    Binding("h", "hint", "Hint", id="stage.hint"),
    Binding("s", "app.sandbox_from_lesson", "This very state in the sandbox, and back", id="stage.sandbox"),
    Binding("y", "app.code", "State code: opens this very state in any sandbox", id="stage.code"),
    Binding("colon", "prompt", "Type a command", key_display=":", id="stage.prompt"),
    Binding("f", "follow", "Let the walk follow what changes", id="stage.follow"),
    Binding("P", "app.present", "Present to a room", id="stage.present"),
    Binding("A", "app.autoplay", "Autoplay, or stop it", id="stage.autoplay"),
    Binding("W", "app.why", "Why is it so?", id="stage.why"),
    Binding(
        "S",
        "app.open('time_space.TimeSpace')",
        "Time and space: who did what when, and whom it touched",
        id="stage.time-space",
    ),
    Binding(
        "K",
        "app.open('beside_kernel.BesideKernel')",
        "Your own kernel: the same commands there, beside the model",
        id="stage.live",
    ),
    Binding("x", "app.explore", "Search every schedule from here", id="stage.explore"),
    Binding("X", "app.explore(True)", "Map of every state that can be reached from here", id="stage.map"),
    Binding("v", "lists", "The machine as a picture, or as lists", id="stage.lists"),
    Binding("z", "fold", "Fold or unfold the pages at the cursor", id="stage.fold"),
    Binding("l", "app.open('legend.Legend')", "Legend of the picture", id="stage.legend"),
    Binding("g", "app.open('glossary.Glossary')", "Glossary: each term in a line", id="stage.glossary"),
    Binding("m", "maximize_pane", "One pane large, or all", id="stage.maximize"),
    *(Binding(number, f"pane('{number}')", title, id=f"stage.pane-{name}") for number, title, name in PANES),
    *(
        Binding(f"f{number}", f"show('{number}')", title, show=False, id=f"stage.show-{name}")
        for number, title, name in PANES[1:]
    ),
    *(
        Binding(letter, f"choose('{letter}')", f"Answer {letter}", show=False, id=f"stage.answer-{letter}")
        for letter in "abcde"
    ),
    *(
        Binding(digit, f"pane('{digit}')", f"Answer {digit}", show=False, id=f"stage.digit-{digit}")
        for digit in OTHER_DIGITS
    ),
    Binding("tab", "app.focus_next", "Next pane", id="stage.next-pane"),
    Binding("shift+tab", "app.focus_previous", "Previous pane", id="stage.previous-pane"),
    Binding("escape", "nothing", "Point at nothing", show=False, id="stage.nothing"),
    Binding("q", "leave", "Leave", id="stage.leave"),
]
