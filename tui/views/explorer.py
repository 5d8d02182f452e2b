"""The explorer's two panes: what may happen, and what the search says."""

import textwrap
from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from lessons.i18n.language import tr
from model.script.verbs import PROPERTIES
from model.search.result import PropertyVerdict, SearchResult
from tui.jobs.search import SearchStatus
from tui.views.glyphs import Glyphs
from tui.views.row import BLANK, Row, Span, cut, row
from tui.views.search_counts import number_of

RULE: Final = 23
"""Columns for the name of a rule."""
VERDICT: Final = 10
SHARE: Final = 9
SIGNS: Final = {"hazard": "caution", "corruption": "broken", "splat": "broken"}
"""Severity → which glyph stands for it; the word stands beside it."""
ENDED: Final = {
    "bound": "ended at the bound of {bound} states: nothing is proved",
    "first": "ended at the first corruption or splat",
}
BAR: Final = 20


class CommandChoice(NamedTuple):
    """A command that may happen."""

    line: str
    about: str
    on: bool
    times: int = 1
    """How often; 0: any number of times, one at a time."""
    own: bool = False
    """Typed in by the learner."""

    @property
    def states(self) -> bool:
        """It says what must hold, not what may happen: `always`, `never` or `final`."""
        return self.line.partition(" ")[0] in PROPERTIES

    @property
    def text(self) -> str:
        """The line of a script."""
        return self.line if self.states else f"may {self.often} {self.line}"

    @property
    def often(self) -> str:
        """The number as `may` lines have it."""
        return str(self.times) if self.times else "*"


class Terms(NamedTuple):
    """What else the learner decides."""

    bound: int
    first: bool


class ShownSearch(NamedTuple):
    """What there is to show of a search; at most one of these."""

    running: bool = False
    reached: SearchStatus | None = None
    found: SearchResult | None = None
    failed: str = ""


def choices(offered: Sequence[CommandChoice], terms: Terms, width: int, in_flight: Sequence[str] = ()) -> list[Row]:
    """The tasks that go on in any case, then every line with a box to tick, by whose doing it is."""
    rows: list[Row] = []
    if in_flight:
        rows.append(row(Span(f" {tr('in flight')}: ", "dim"), Span(cut(" ".join(in_flight), width - 16), "strong")))
    about = ""
    for number, choice in enumerate(offered):
        if choice.about != about:
            about = choice.about
            rows.append(row(Span(f" {about}", "name")))
        subject = f"may:{number}"
        box = "[x]" if choice.on else "[ ]"
        often = f"{choice.often} {'x'} " if choice.on and not choice.states else "    "
        role = "strong" if choice.on else "plain"
        rows.append(
            row(
                Span(f"  {box} ", "ok" if choice.on else "dim", subject),
                Span(often, "key", subject),
                Span(cut(choice.line, width - 10), role, subject),
            )
        )
    if not offered:
        rows.append(row(Span(f" {tr('Nothing here: type a line of your own with `:`.')}", "dim")))
    how = tr("until the first corruption or splat") if terms.first else tr("everything")
    most = tr("at most {states} states").format(states=f"{terms.bound:,}")
    return [row(Span(f" {tr('search')}: ", "dim"), Span(f"{how}, {most}", "key")), *rows]


def outcome(shown: ShownSearch, terms: Terms, at: str, width: int, glyphs: Glyphs) -> list[Row]:
    """The search under way, or what it has come to. `at`: the subject under the cursor."""
    if shown.failed:
        return [row(Span(part, "hazard")) for part in _wrapped(shown.failed, width)]
    if shown.found is not None:
        return [*_result(shown.found, terms, at, width, glyphs)]
    if shown.running:
        return _progress(shown.reached, terms, width)
    words = tr(
        "Choose what may happen from here on, then search: every order of every micro-step is tried. Each rule then "
        "reads Never, Sometimes or Always broken; Enter on a broken one walks you into it."
    )
    return [row(Span(part, "dim")) for part in _wrapped(words, width)]


def _progress(reached: SearchStatus | None, terms: Terms, width: int) -> list[Row]:
    """How far the search is."""
    if reached is None:
        return [row(Span(f" {tr('starting')} ...", "now"))]
    far = reached.progress
    part = min(far.states / terms.bound, 1)
    full = round(part * BAR)
    rate = far.states / max(reached.seconds, 0.001)
    facts = (
        (tr("states"), f"{far.states:,}"),
        (tr("depth"), tr("{depth} micro-steps").format(depth=far.depth)),
        (tr("frontier"), f"{far.frontier:,}"),
        (tr("rate"), tr("{rate} states/s").format(rate=f"{rate:,.0f}")),
        (tr("elapsed"), f"{reached.seconds:.1f} s"),
    )
    bar = f" {'#' * full}{'.' * (BAR - full)} "
    rows = [row(Span(bar, "now"), Span(tr("{part} of the bound").format(part=f"{part:.0%}"), "dim")), BLANK]
    rows += [row(Span(f" {name.ljust(10)} ", "dim"), Span(cut(value, width - 12), "strong")) for name, value in facts]
    return [*rows, BLANK, row(Span(f" {tr('Esc ends the search.')}", "dim"))]


def _result(found: SearchResult, terms: Terms, at: str, width: int, glyphs: Glyphs) -> Iterator[Row]:
    """The verdicts as a table, and what they hold for."""
    yield row(Span(f" {tr('rule').ljust(RULE + 2)}{tr('broken').ljust(VERDICT)}{tr('schedules').ljust(SHARE)}", "dim"))
    broken = [verdict for verdict in found.judgements if verdict.severity]
    for verdict in broken:
        yield _verdict(verdict, width, glyphs)
        if at == subject_of(verdict):
            way = _shortest(verdict)
            yield row(Span(cut(f"   {verdict.severity}: {way}; {tr('Enter: walk into it')}", width), "dim"))
    for verdict in found.judgements:
        if not verdict.severity:
            yield _verdict(verdict, width, glyphs)
    yield BLANK
    yield from _bounds(found, terms, width)


def subject_of(verdict: PropertyVerdict) -> str:
    """What the cursor stands on."""
    return f"found:{verdict.severity}:{verdict.invariant}"


def _verdict(verdict: PropertyVerdict, width: int, glyphs: Glyphs) -> Row:
    """One rule of the table."""
    name = cut(verdict.invariant, RULE).ljust(RULE)
    if not verdict.severity:
        holds = verdict.verdict == "never"
        sign, role = (glyphs.ok[0], "ok") if holds else (glyphs.dot, "dim")
        said = tr("Never") if holds else tr("vacuous") if verdict.verdict == "vacuous" else tr("not broken so far")
        return row(Span(f" {sign} ", role), Span(name), Span(cut(said, width - RULE - 3), role))
    subject = subject_of(verdict)
    said = {"sometimes": tr("Sometimes"), "always": tr("Always")}.get(verdict.verdict or "", tr("Broken"))
    sign = getattr(glyphs, SIGNS[verdict.severity])
    return row(
        Span(f" {sign} ", verdict.severity, subject),
        Span(name, "strong", subject),
        Span(said.ljust(VERDICT), verdict.severity, subject),
        Span(share(verdict).ljust(SHARE), "plain", subject),
        Span(cut(_shortest(verdict), width - RULE - VERDICT - SHARE - 3), "dim"),
    )


def _shortest(verdict: PropertyVerdict) -> str:
    return tr("{steps} steps at least").format(steps=verdict.shortest)


def share(verdict: PropertyVerdict) -> str:
    """In how many of all schedules a rule is broken; empty if that was not counted.

    >>> [share(PropertyVerdict("x", "sometimes", share=part)) for part in (0.3104, 0.9999, 0.0001, None)]
    ['31.0%', '99.9%', '<0.1%', '']
    """
    if verdict.share is None:
        return ""
    most = 1.0 if verdict.verdict == "always" else 0.999
    return f"{min(verdict.share, most):.1%}" if verdict.share >= 0.001 else "<0.1%"


def _bounds(found: SearchResult, terms: Terms, width: int) -> Iterator[Row]:
    """What was searched, and how far."""
    why = "first" if terms.first and found.states <= terms.bound else "bound"
    how = tr("every schedule searched") if found.complete else tr(ENDED[why]).format(bound=f"{terms.bound:,}")
    yield row(Span(cut(f" {how}", width), "ok" if found.complete else "hazard"))
    if any(verdict.verdict == "never" for verdict in found.judgements):
        order = tr("with sequentially consistent memory: a missing barrier is not seen")
        yield from (row(Span(part, "dim")) for part in _wrapped(order, width))
    counts = tr("{states} states, {transitions} transitions, {depth} steps deep").format(
        states=f"{found.states:,}",
        transitions=f"{found.transitions:,}",
        depth=found.depth,
    )
    for part in _wrapped(counts, width):
        yield row(Span(part, "dim"))
    if found.alike:
        alike = "; ".join(", ".join(group) for group in found.alike)
        for part in _wrapped(
            tr("counted once: states that differ only in which of these is which: {names}").format(names=alike), width
        ):
            yield row(Span(part, "dim"))
    if found.schedules is not None:
        many = tr("{many} schedules").format(many=number_of(found.schedules))
        yield row(Span(cut(f" {many}", width), "dim"))
    if found.never_done:
        commands = ", ".join(f"`{command}`" for command in found.never_done)
        text = tr("Vacuous: {commands} never ran, so a rule that is not broken proves nothing.").format(
            commands=commands
        )
        for line in _wrapped(text, width):
            yield row(Span(line, "hazard"))
    if found.stuck:
        waiting = tr("in some schedule this never ends: {tasks}").format(tasks=", ".join(found.stuck))
        yield row(Span(cut(f" {waiting}", width), "hazard"))


def _wrapped(text: str, width: int) -> list[str]:
    """Text in lines, each with a blank before it."""
    return [f" {line}" for line in textwrap.wrap(text, max(width - 2, 20))]
