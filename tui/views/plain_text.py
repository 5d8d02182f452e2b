"""Text for a terminal, a pipe or a screen reader: what `ptescope run` prints, made by rich.

Nothing is said by colour alone, nothing is cut off, and where the output is no terminal there is not one escape code.
"""

import os
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Final, TextIO, TypeVar

from rich.console import Console
from rich.segment import Segment
from rich.text import Text

from lessons.i18n.language import localized, ntr, tr
from model.engine.splat import kernel_log
from model.memory.events import Printk, Refusal, Splat
from model.script.verbs import PROPERTIES
from tui.views.change_text import HIDDEN, change_line
from tui.views.glyphs import Glyphs, choose
from tui.views.visible import CARRIED_OUT, raw, visible

PIPE_WIDTH: Final = 100
"""Columns where nobody says how many there are."""
MOST_LINES: Final = 40
"""Steps, and changes, that a block shows unless everything is asked for."""
LONGEST_LOOP: Final = 16
"""Lines of a loop that is still recognised as one."""

if TYPE_CHECKING:
    from rich.console import ConsoleOptions, RenderableType

    from model.script.context import Outcome
    from model.script.properties import BrokenProperty
    from model.script.runner import Account, StepNote
    from model.script.verbs import Verb

QUIET: Final = 0
NORMAL: Final = 1
VERBOSE: Final = 2

SIGN_STYLES: Final = {"+": "green", "~": "yellow", "-": "red"}
JUDGED: Final = PROPERTIES | {"expect"}
"""The verbs that are answered with whether something holds."""
STATUS_STYLES: Final = {"ok": "green", "error": "yellow", "signal": "yellow", "blocked": "cyan", "failed": "bold red"}
SEVERITY_STYLES: Final = {"hazard": "yellow", "corruption": "bold red", "splat": "bold red"}

T = TypeVar("T")


class Printer(Console):
    """Shows control characters that are in a text. Where nobody reads on, the command line ends as SIGPIPE has it."""

    def render(self, renderable: "RenderableType", options: "ConsoleOptions | None" = None) -> "Iterable[Segment]":
        """What is to be written, piece by piece."""
        for segment in super().render(renderable, options):
            if segment.control or not re.search(CARRIED_OUT, segment.text):
                yield segment
            else:
                yield Segment(visible(segment.text), segment.style)

    def on_broken_pipe(self) -> None:
        """Rich would end with its own status, 1."""
        raise BrokenPipeError


def console(file: TextIO | None = None) -> Console:
    """Where to print. NO_COLOR and anything but a terminal get plain characters."""
    target = raw(file or sys.stdout)
    terminal = target.isatty()
    columns = os.environ.get("COLUMNS", "")
    sensible = columns.isascii() and columns.isdigit() and len(columns) < 5 and int(columns) > 0
    width = None if terminal else int(columns) if sensible else PIPE_WIDTH
    if not terminal or "NO_COLOR" in os.environ:
        return Printer(file=target, width=width, color_system=None, force_terminal=False, highlight=False, markup=False)
    return Printer(file=target, highlight=False, markup=False)


class Narrator:
    """Prints accounts of commands."""

    def __init__(self, output: Console, detail: int = NORMAL, signs: Glyphs | None = None) -> None:
        """`signs`: by default those that the terminal has."""
        self.output = output
        self.detail = detail
        self.signs: Glyphs = signs or choose()

    def tell(self, account: "Account") -> None:
        """One block: the command and its answer, then what happened."""
        if account.command.verb == "note":
            self.line(0, Text(f"{account.command.line:4}  # {account.command.operands['TEXT']}", "italic"))
            return
        self.head(account)
        if self.detail > QUIET:
            self.steps(account.steps)
            self.changes(account)
        self.log(account)
        self.violations(account)
        for broken in account.properties:
            self.line(6, Text(f"{self.signs.broken} {located(broken)}", STATUS_STYLES["failed"]))

    def partly(self, account: "Account", closely: "Narrator", *, over: bool) -> None:
        """Some micro-steps of a command, told by `closely`; its answer if it is over."""
        closely.steps(account.steps)
        self.changes(account)
        self.log(account)
        self.violations(account)
        if over:
            self.head(account)

    def head(self, account: "Account") -> None:
        """Line number, command, answer."""
        outcome = account.outcome
        text = Text(f"{account.command.line:4}  ").append(account.command.shown, "bold")
        if account.command.verb in JUDGED:
            sign, answer = (
                (self.signs.broken, outcome.message) if outcome.status == "failed" else (self.signs.ok, tr("holds"))
            )
            text.append(f"  {sign} {answer}", STATUS_STYLES[outcome.status])
        elif account.command.verb != "may":
            text.append(f"  {self.signs.answer} ").append(_answer(outcome), STATUS_STYLES[outcome.status])
        self.line(0, text)

    def steps(self, steps: "Sequence[StepNote]") -> None:
        """Which kernel functions ran, indented by call depth, with their micro-steps."""
        if self.detail >= VERBOSE:
            self._every_step(steps)
            return
        shown = 0
        for block, times in collapse(_by_function(steps), LONGEST_LOOP):
            if shown >= MOST_LINES:
                more = tr("and more: {count} micro-steps in all").format(count=len(steps))
                self.line(6, Text(f"{self.signs.bullet} {more}", "dim"))
                return
            extra = 2 if times > 1 else 0
            if times > 1:
                self.line(6 + 2 * block[0][0], Text(tr("{count} times:").format(count=times), "dim"))
            for depth, function, names in block:
                text = Text(function, "cyan").append(f": {_loops(names)}", "none")
                self.line(6 + 2 * depth + extra, text)
            shown += len(block)

    def _every_step(self, steps: "Sequence[StepNote]") -> None:
        """Each micro-step on a line of its own, with what it means."""
        for note in steps:
            text = Text(f"{note.procedure}.{note.step}", "cyan")
            self.line(6 + 2 * note.depth, text.append(f"  ({note.source})" if note.source else "", "dim"))
            self.line(8 + 2 * note.depth, Text(" ".join(tr(note.doc).split())))

    def changes(self, account: "Account") -> None:
        """What is different now."""
        visible = [change for change in account.changes if self.detail >= VERBOSE or change.table not in HIDDEN]
        most = len(visible) if self.detail >= VERBOSE else MOST_LINES
        for change in visible[:most]:
            sign, subject, description = change_line(account.state, change, self.signs.arrow.strip())
            text = Text(f"{sign_of(self.signs, sign)} ", SIGN_STYLES[sign]).append(subject, "none")
            self.line(6, text.append(f": {description}" if description else "", "none"), hanging=2)
        if len(visible) > most:
            more = tr("and {count} more changes").format(count=len(visible) - most)
            self.line(6, Text(f"{self.signs.bullet} {more}", "dim"))

    def log(self, account: "Account") -> None:
        """What the kernel printed, and why it refused."""
        for event in account.events:
            if isinstance(event, Splat):
                for text in kernel_log(event):
                    self.line(6, Text(f"{self.signs.bar} {text}", "red"))
            elif isinstance(event, Printk):
                self.line(6, Text(f"{self.signs.bar} {event.text}"))
            elif isinstance(event, Refusal):
                self.line(6, Text(f"{tr('why')}: {tr(event.reason)}"))

    def violations(self, account: "Account") -> None:
        """What is wrong from here on, and why."""
        for violation in account.violations:
            style = SEVERITY_STYLES[violation.severity]
            head = Text(f"{self.signs.alarm} {violation.severity} {violation.invariant}: ", style)
            self.line(6, head.append(localized(violation.message), "none"), hanging=2)
            if self.detail >= VERBOSE and violation.symptom:
                self.line(8, Text(f"{tr('On a real kernel')}: {tr(violation.symptom)}"))

    def verbs(self, verbs: "Iterable[Verb]") -> None:
        """The syntax of verbs, and what each stands for."""
        for verb in verbs:
            self.line(2, Text(verb.usage, "bold"), hanging=2)
            self.line(6, Text(tr(verb.help)))

    def sum_up(
        self, commands: int, expected: int, failed: int, violations: int, properties: tuple[int, int] = (0, 0)
    ) -> None:
        """The last line; `properties`: how many were stated, and how many of them broken."""
        parts = [
            ntr("{n} command", "{n} commands", commands).format(n=commands),
            ntr("{n} violation", "{n} violations", violations).format(n=violations),
        ]
        if expected:
            held = ntr("{held} of {n} expectation held", "{held} of {n} expectations held", expected)
            parts.append(held.format(held=expected - failed, n=expected))
        stated, broken = properties
        if stated:
            held = ntr("{held} of {n} property held", "{held} of {n} properties held", stated)
            parts.append(held.format(held=stated - broken, n=stated))
        self.line(0, Text(", ".join(parts), STATUS_STYLES["failed" if failed or broken else "ok"]))

    def line(self, indent: int, text: Text, hanging: int = 6) -> None:
        """One line; where it does not fit it goes on below, further in."""
        width = max(20, self.output.width - indent)
        first, *rest = text.wrap(self.output, width) or [Text()]
        self._put(indent, first)
        if rest:
            for part in rest:
                part.rstrip()
            for part in Text(" ").join(rest).wrap(self.output, max(20, width - hanging)):
                self._put(indent + hanging, part)

    def _put(self, indent: int, text: Text) -> None:
        text.rstrip()
        self.output.print(Text(" " * indent).append_text(text), soft_wrap=True)


def sign_of(signs: Glyphs, sign: str) -> str:
    """The sign of a change, `+`, `~` or `-`, as these signs have it."""
    return {"+": signs.new, "~": signs.changed}.get(sign, signs.gone)


def located(broken: "BrokenProperty") -> str:
    """A property that was broken, and by which micro-step."""
    where = tr("in micro-step {step} ({at})").format(step=broken.step, at=broken.at)
    return f"{broken.message}, {where}" if broken.step else broken.message


def _answer(outcome: "Outcome") -> str:
    """An outcome as the end of a head line."""
    text = outcome.in_words()
    if outcome.message and outcome.status != "failed":
        text += f" ({outcome.message})"
    return f"{text}, {outcome.si_code}" if outcome.si_code else text


def _by_function(steps: "Sequence[StepNote]") -> list[tuple[int, str, tuple[str, ...]]]:
    """Neighbouring steps of one function together: (depth, function, its steps)."""
    groups: list[tuple[int, str, tuple[str, ...]]] = []
    names: list[str] = []
    for number, note in enumerate(steps):
        names.append(note.step)
        following = steps[number + 1] if number + 1 < len(steps) else None
        if following is None or (following.depth, following.procedure) != (note.depth, note.procedure):
            groups.append((note.depth, note.procedure, tuple(names)))
            names = []
    return groups


def _loops(names: Sequence[str]) -> str:
    """The steps of a function, a loop written once."""
    return ", ".join(
        ", ".join(block) if times == 1 else f"{times} x ({', '.join(block)})"
        for block, times in collapse(names, LONGEST_LOOP)
    )


def collapse(items: Sequence[T], longest: int) -> Iterator[tuple[Sequence[T], int]]:
    """Cut a sequence into blocks with the number of times that each is repeated.

    >>> list(collapse("xabababy", 3))
    [('x', 1), ('ab', 3), ('y', 1)]
    """
    at = 0
    while at < len(items):
        size, times = 1, 1
        for period in range(1, min(longest, (len(items) - at) // 2) + 1):
            repeats = _repeats(items, at, period)
            if repeats > 1 and repeats * period > size * times:
                size, times = period, repeats
        yield items[at : at + size], times
        at += size * times


def _repeats(items: Sequence[T], at: int, period: int) -> int:
    """How often the `period` items from `at` on stand there in a row."""
    block = items[at : at + period]
    times = 1
    while items[at + times * period : at + (times + 1) * period] == block:
        times += 1
    return times
