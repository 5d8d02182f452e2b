"""Settings: another kernel or another defence, with the present script replayed under it, side by side."""

from collections.abc import Sequence
from typing import ClassVar, Final

from textual.binding import Binding, BindingType

from lessons.i18n.language import tr
from model.engine.config import SETTINGS
from model.session.session import Session
from model.session.side_by_side import Pair, apart, side_by_side
from model.session.to_script import script_of, with_setting
from model.text.problems import ScriptError
from tui.screens.overlay import Overlay
from tui.views.difference import difference
from tui.views.glyphs import Glyphs
from tui.views.markdown import wrap
from tui.views.row import BLANK, Row, Span, cut, padded, row

BESIDE: Final = 100
"""Columns from which both runs stand side by side; below, one at a time."""

KEY_WIDTH: Final = max(map(len, SETTINGS)) + 1
"""Columns of a setting's name."""


class Settings(Overlay):
    """Ends with the script on the other machine, to go on there."""

    title_text = "Settings: the same script on another machine"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("right,plus", "turn(1)", "Next value", id="settings.next"),
        Binding("left,minus", "turn(-1)", "Previous value", id="settings.previous"),
        Binding("v", "other", "The other run (where both have no room)", id="settings.other"),
        Binding("d", "first", "To the first difference", id="settings.first"),
        Binding("a", "adopt", "Go on with the other machine", id="settings.adopt"),
    ]

    def __init__(self, session: Session, glyphs: Glyphs) -> None:
        super().__init__(glyphs)
        self.lines = script_of(session.timeline, session.node).lines
        self.now = {key: session.state.settings.get(key) or setting.values[0] for key, setting in SETTINGS.items()}
        self.other = dict(self.now)
        self.right_shown = True
        self.pairs: tuple[Pair, ...] = ()
        self.problem = ""

    def on_mount(self) -> None:
        """The cursor begins at the kernel."""
        super().on_mount()
        self.pane.point_at("setting:kernel")

    # -- showing ------------------------------------------------------------------------------------

    def rows(self, width: int) -> list[Row]:
        """The settings, what the chosen one means, and both runs."""
        rows = [self._setting(key, width) for key in SETTINGS]
        kind, _, key = self.chosen.partition(":")
        setting = SETTINGS.get(key if kind == "setting" else "kernel")
        if setting is not None:
            about = f"{setting.meaning}. {setting.breaks}".strip()
            rows += [BLANK, *wrap([Span(about, "dim")], width), *wrap([Span(" ".join(setting.values), "key")], width)]
        rows.append(BLANK)
        if self.other == self.now:
            return [*rows, row(Span(tr("Right and left choose another value; the script is then replayed."), "now"))]
        if self.problem:
            return [*rows, *wrap([Span(self.problem, "hazard")], width)]
        return [*rows, *(self._both(width) if width >= BESIDE else self._one(width)), BLANK, *self._machines(width)]

    def _setting(self, key: str, width: int) -> Row:
        """A setting, its value now, and the other one."""
        subject = f"setting:{key}"
        changed = self.other[key] != self.now[key]
        value = f"{self.now[key]} {self.glyphs.arrow} {self.other[key]}" if changed else self.now[key]
        sign = Span("~ " if changed else "  ", "changed", subject)
        head = [
            sign,
            Span(f"{key:{KEY_WIDTH}}", "name", subject),
            Span(f"{value:16} ", "changed" if changed else "plain", subject),
        ]
        return row(*head, Span(as_many(SETTINGS[key].values, width - KEY_WIDTH - 20), "dim", subject))

    @property
    def first(self) -> int:
        """The first command that a user could tell apart; -1: none."""
        return next((number for number, pair in enumerate(self.pairs) if pair.differ), -1)

    def _both(self, width: int) -> list[Row]:
        """The two runs beside each other, in two columns."""
        half = (width - 3) // 2
        left, right = self._machine(self.now), self._machine(self.other)
        rows = [
            row(*padded([Span(left, "title")], half), Span(f" {self.glyphs.bar} "), Span(cut(right, half), "title"))
        ]
        for number, pair in enumerate(self.pairs):
            sign = self._mark(number, pair)
            one = [*self._command(number, pair, sign), *self._answer(pair, pair.left.outcome)]
            other = [*self._command(number, pair, sign), *self._answer(pair, pair.right.outcome)]
            bar = Span(f" {self.glyphs.bar} ", "now" if pair.differ else "dim")
            rows.append(Row((*padded(one, half), bar, *padded(other, half))))
            names = [[v.invariant for v in account.violations] for account in (pair.left, pair.right)]
            for at in range(max(map(len, names))):
                sides = [f"     ! {each[at]}" if at < len(each) else "" for each in names]
                rows.append(
                    Row((*padded([Span(sides[0], "wrong")], half), bar, *padded([Span(sides[1], "wrong")], half)))
                )
        return rows

    def _one(self, width: int) -> list[Row]:
        """One run; the other on a key."""
        settings = self.other if self.right_shown else self.now
        rows = [row(Span(cut(f"{self._machine(settings)} ({tr('v: the other run')})", width), "title"))]
        for number, pair in enumerate(self.pairs):
            account = pair.right if self.right_shown else pair.left
            sign = self._mark(number, pair)
            rows.append(row(*padded([*self._command(number, pair, sign), *self._answer(pair, account.outcome)], width)))
            rows += [row(Span(cut(f"     ! {broken.invariant}", width), "wrong")) for broken in account.violations]
        return rows

    def _machine(self, settings: dict[str, str]) -> str:
        """A machine by what is special about it."""
        keys = [key for key in SETTINGS if self.now[key] != self.other[key]]
        return ", ".join(f"{key} {settings[key]}" for key in keys)

    def _mark(self, number: int, pair: Pair) -> Span:
        """`>` the first difference, `!` a later one, `.` the same answer by another way."""
        if number == self.first:
            return Span(f"{self.glyphs.pointer} ", "now", f"pair:{number}")
        return Span("! " if pair.differ else ". " if pair.other_way else "  ", "hazard", f"pair:{number}")

    def _command(self, number: int, pair: Pair, sign: Span) -> list[Span]:
        subject = f"pair:{number}"
        return [sign, Span(pair.command, "strong" if pair.differ else "plain", subject)]

    def _answer(self, pair: Pair, outcome: object) -> list[Span]:
        return [Span(f"  = {outcome}", "changed" if pair.differ else "dim")]

    def _machines(self, width: int) -> list[Row]:
        """What differs between the two machines at their ends."""
        left, right = self.pairs[-1].left.state, self.pairs[-1].right.state
        found = difference(right, apart(left, right), width, self.glyphs)
        head = tr("At the end the machines differ in:") if found else tr("At the end both machines are the same.")
        return [row(Span(head, "title")), *found]

    def hints(self) -> list[tuple[str, str, str]]:
        """The keys."""
        found = [("left/right", tr("another value"), "turn(1)")]
        if self.other != self.now:
            found += [("d", tr("first difference"), "first"), ("a", tr("go on with it"), "adopt")]
        return [*found, ("v", tr("other run"), "other")]

    # -- moves --------------------------------------------------------------------------------------

    def moved(self) -> None:
        """Explain the setting under the cursor."""
        self.pane.renew()

    def choose(self, subject: str) -> None:
        """Enter turns a setting on."""
        if subject.startswith("setting:"):
            self.action_turn(1)

    def action_turn(self, by: int) -> None:
        """Take the next value of the setting under the cursor."""
        kind, _, key = self.chosen.partition(":")
        if kind != "setting":
            return
        values = (*dict.fromkeys((*SETTINGS[key].values, self.now[key])),)  # of as-it-was several may be set
        self.other[key] = values[(values.index(self.other[key]) + by) % len(values)]
        self._replay()
        self.renew()

    def script(self) -> tuple[str, ...]:
        """The script on the other machine."""
        lines = self.lines
        for key in reversed(SETTINGS):
            if self.other[key] != self.now[key]:
                lines = with_setting(lines, key, self.other[key])
        return lines

    def _replay(self) -> None:
        """Run the script on both machines."""
        self.pairs, self.problem = (), ""
        try:
            self.pairs = side_by_side(self.lines, self.script())
        except ScriptError as error:
            self.problem = f"{tr('The script cannot be replayed there')}: {error.problems[0].message}"
        if not self.pairs and not self.problem:
            self.problem = tr("There is no command yet to replay; `a` goes on with this machine.")

    def action_other(self) -> None:
        """Look at the other run."""
        self.right_shown = not self.right_shown
        self.renew()

    def action_first(self) -> None:
        """To the first difference."""
        if self.first >= 0:
            self.pane.point_at(f"pair:{self.first}")

    def action_adopt(self) -> None:
        """Go on with the other machine."""
        if self.other != self.now:
            self.dismiss("\n".join(self.script()))


def as_many(values: Sequence[str], room: int) -> str:
    """As many values as have room, and how many more there are; those of the setting at the cursor stand below, all.

    >>> as_many(["off", "on"], 6), as_many(["64", "128", "256"], 9)
    ('off on', '64 128 +1')
    """
    for number in range(len(values), -1, -1):
        more = [f"+{len(values) - number}"] if number < len(values) else []
        text = " ".join([*values[:number], *more])
        if len(text) <= room:
            return text
    return ""
