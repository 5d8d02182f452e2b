"""A picture: all that the screen shows at one place of a lesson or of a session."""

from typing import Self

import msgspec

from model.memory.state import Change, State


class Shown(msgspec.Struct, frozen=True, gc=False):
    """What all of them share. Records, not tuples: as classes they are made five times as fast, at every start."""

    def _replace(self, **fields: object) -> Self:
        """The same with these fields changed."""
        return msgspec.structs.replace(self, **fields)


class ShownViolation(Shown, frozen=True):
    """One invariant that does not hold now."""

    invariant: str
    severity: str
    """hazard, corruption or splat."""
    subjects: tuple[str, ...]
    message: str
    """This case, in words."""
    symptom: str
    """What a real kernel would print, or why it prints nothing."""
    since: str
    """Where in the history it broke, e.g. `step 12`."""
    node: int
    """That place, to go to."""
    fresh: bool
    """The last move broke it."""


class Rule(Shown, frozen=True):
    """An invariant, as the list of rules shows it."""

    name: str
    rule: str


class ShownStep(Shown, frozen=True):
    """A micro-step in words."""

    name: str
    """`procedure.step`."""
    source: str
    doc: str
    task: str
    remark: str = ""
    """What the lesson's author adds to it."""
    waits: str = ""
    """Not empty: it could not be done, and this is what it waits for."""
    outcome: str = ""
    """Not empty: how the command ended with it."""
    before: tuple[str, ...] = ()
    """The steps that the same move made before it."""


class ShownNode(Shown, frozen=True):
    """A state in the history."""

    number: int
    """What to go to."""
    severity: str = ""
    """The worst that is wrong in it."""
    branches: int = 0
    """Other ways that lead on from it."""
    command: str = ""
    """Not empty: this command begins after it."""
    name: str = ""
    """Its bookmark."""


class ShownHistory(Shown, frozen=True):
    """The way that leads through the present state, past and future."""

    nodes: tuple[ShownNode, ...] = ()
    here: int = 0
    """Index of the present one in `nodes`."""
    captions: tuple[str, ...] = ()
    """Where we are, in words; the longest that has room is shown."""


class LogLine(Shown, frozen=True):
    """A line of the log."""

    text: str
    role: str = "plain"
    subject: str = ""
    alarm: bool = False
    """It names a broken rule: not to be seen while a question is open."""


class ShownOption(Shown, frozen=True):
    """One answer to choose."""

    key: str
    """What to type for it."""
    text: str


class ShownQuestion(Shown, frozen=True):
    """A question that waits for an answer before anything is shown."""

    text: str
    options: tuple[ShownOption, ...] = ()
    """Empty: any number may be typed."""
    wants: str = ""
    """What is to be typed where there are no options."""
    numbered: bool = False
    """Digits choose among the options too; the panes have their F-keys then."""


class ShownGuess(Shown, frozen=True):
    """A guess beside the truth."""

    right: bool
    guess: str
    truth: str
    reply: str


class ShownCheck(Shown, frozen=True):
    """One line of a goal."""

    met: bool
    text: str


class WatchedValue(Shown, frozen=True):
    """A watched expression."""

    text: str
    value: str
    was: str
    """What it was before, and until when; empty if it has not changed."""
    fresh: bool
    """The last micro-step changed it."""


class LessonText(Shown, frozen=True):
    """The story pane: what to read, what to answer, what to reach."""

    text: str = ""
    """Markdown."""
    ask: ShownQuestion | None = None
    kept: str = ""
    """A guess that has been made and is not judged yet."""
    judged: tuple[ShownGuess, ...] = ()
    goal: tuple[ShownCheck, ...] = ()
    hints: tuple[tuple[str, str], ...] = ()
    """(kind, text) of each hint taken."""
    notes: tuple[str, ...] = ()
    do: str = ""
    """What to do now, in one line: what the forward key is about to start."""
    watched: tuple[WatchedValue, ...] = ()


class Picture(Shown, frozen=True):
    """Everything, made anew after each move; panes compare what they show with what they showed."""

    title: str
    position: str
    state: State
    tale: LessonText = LessonText()
    last: ShownStep | None = None
    next: ShownStep | None = None
    changes: tuple[Change, ...] = ()
    broken: tuple[ShownViolation, ...] = ()
    rules: tuple[Rule, ...] = ()
    history: ShownHistory = ShownHistory()
    log: tuple[LogLine, ...] = ()
    can: frozenset[str] = frozenset()
    """What is possible here: forward, back, steps, command, hint."""
    hint: str = ""
    """What the key line promises for Enter, e.g. `answer` …"""
    enter: str = "step('forward')"
    """… and the action behind it, where nothing is asked."""
    start: int = 0
    """The step of the history at which the scene began: steps are counted from there."""
