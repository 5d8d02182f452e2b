"""The museum as rows: the list of bugs in three orders, and one bug with its verdicts and what its fix changed."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final, Literal, NamedTuple, get_args

from lessons.file.museum_schema import CULPRITS, MECHANISMS, Exhibit, ExhibitHeader, Fix
from lessons.i18n.language import ntr, tr
from lessons.play.exhibit import ExhibitVerdict, SceneVerdict
from model.memory.state import State
from model.search.as_mended import StepLine, TaskDifference
from tui.views.change_text import HIDDEN, change_line
from tui.views.glyphs import Glyphs
from tui.views.markdown import markdown, wrap
from tui.views.row import BLANK, Row, Span, cut, row

Order = Literal["year", "mechanism", "culprit"]
ORDERS: Final[tuple[Order, ...]] = get_args(Order)

LEAD: Final = 8
"""Columns before a title: sign and year."""
NAMES: Final = 16
"""Columns for a CVE."""
LABEL: Final = 10
"""Columns for what a fact is about."""
MOST_CHANGES: Final = 3
"""Changes that one step of a difference shows."""


class Group(NamedTuple):
    """Some bugs under a heading."""

    heading: str
    members: tuple[Exhibit, ...]


def grouped(exhibits: Sequence[Exhibit], order: Order) -> list[Group]:
    """The bugs by year, by mechanism or by culprit; inside a group the oldest first."""
    ways: dict[Order, tuple[Sequence[str], Callable[[ExhibitHeader], str]]] = {
        "year": (sorted({str(one.header.year) for one in exhibits}), lambda header: str(header.year)),
        "mechanism": (MECHANISMS, lambda header: header.mechanism),
        "culprit": (CULPRITS, lambda header: header.culprit),
    }
    names, of = ways[order]
    groups = [Group(name, tuple(one for one in exhibits if of(one.header) == name)) for name in names]
    return [group for group in groups if group.members]


def museum(exhibits: Sequence[Exhibit], order: Order, width: int, glyphs: Glyphs) -> list[Row]:
    """The list; every bug is a place for the cursor."""
    rows: list[Row] = []
    for group in grouped(exhibits, order):
        heading = group.heading if order == "year" else tr(group.heading)
        rows += [BLANK, row(Span(f" {heading}", "title"), Span(f"  {len(group.members)}", "dim"))]
        for exhibit in group.members:
            rows += _offer(exhibit, order, width, glyphs)
    return rows


def _offer(exhibit: Exhibit, order: Order, width: int, glyphs: Glyphs) -> Iterator[Row]:
    """Two lines: sign, title, names; then the rule that it teaches."""
    header, subject = exhibit.header, f"exhibit:{exhibit.id}"
    sign = {"both": glyphs.named, "before": glyphs.node, "none": glyphs.ahead}[exhibit.shown]
    year = "" if order == "year" else str(header.year)
    room = max(width - LEAD - NAMES - 1, 10)
    yield row(
        Span(f" {sign} ", "ok" if exhibit.shown == "both" else "dim", subject),
        Span(f"{year:4} ", "dim", subject),
        Span(cut(header.title, room).ljust(room), "strong", subject),
        Span(header.cve[0] if header.cve else "", "dim", subject),
    )
    beside = [tr(header.mechanism), tr(header.culprit)]
    beside = [word for word, key in zip(beside, ("mechanism", "culprit"), strict=True) if key != order]
    yield from _indented(f"{', '.join(beside)}: {header.rule}", LEAD, width)


def legend(exhibits: Sequence[Exhibit], glyphs: Glyphs) -> str:
    """What the signs say, and how many there are of each."""
    counts = {shown: sum(one.shown == shown for one in exhibits) for shown in ("both", "before", "none")}
    said = (
        (glyphs.named, "both", tr("as it was and as mended")),
        (glyphs.node, "before", tr("as it was only")),
        (glyphs.ahead, "none", tr("not to be played here")),
    )
    return "   ".join(f"{sign} {counts[shown]} {words}" for sign, shown, words in said)


# -- one bug -----------------------------------------------------------------------------------


def facts(exhibit: Exhibit, width: int) -> list[Row]:
    """What happened, and the facts around it."""
    header = exhibit.header
    rows = list(markdown(exhibit.story, width))
    rows.append(BLANK)
    rows += _fact(tr("versions"), header.affected, width)
    for fix in header.fix:
        rows += _fact(tr("mended by"), fix_text(fix), width)
    if not header.fix:
        rows += _fact(tr("mended by"), tr("nobody, so far"), width)
    rows += _fact(tr("found by"), header.found, width)
    rows += _fact(tr("symptom"), header.symptom, width)
    rows += _fact(tr("mechanism"), f"{tr(header.mechanism)}; {tr(header.culprit)}", width)
    rows += _fact(tr("rule"), header.rule, width)
    if header.lacks:
        rows += _fact(tr("lacking"), header.lacks, width)
    return rows


def fix_text(fix: Fix) -> str:
    """A fix in a line: commit, title, first release."""
    version = f" ({fix.version})" if fix.version else ""
    return f"{fix.commit + ' ' if fix.commit else ''}{fix.title}{version}"


def _fact(about: str, text: str, width: int) -> list[Row]:
    """A label, and a text that is wrapped beside it."""
    first, *others = wrap([Span(text)], max(width - LABEL - 1, 10))
    rows = [Row((Span(f"{about:{LABEL}} ", "dim"), *first.spans))]
    return [*rows, *(Row((Span(" " * (LABEL + 1)), *line.spans)) for line in others)]


def verdicts(exhibit: Exhibit, found: ExhibitVerdict, width: int, glyphs: Glyphs) -> list[Row]:
    """What the search says of the scene as it was and as mended."""
    rule = exhibit.header.breaks
    share = (
        f", {tr('in {share} of all schedules').format(share=percent(found.before.share))}" if found.before.share else ""
    )
    steps = ntr("{n} micro-step", "{n} micro-steps", found.before.shortest).format(n=found.before.shortest)
    said = tr("{rule} is broken in {steps} at least{share}; {states} states").format(
        rule=rule, steps=steps, share=share, states=found.before.states
    )
    rows = [*_labelled(f"{glyphs.broken} ", tr("as it was"), said, "wrong", width), *_ended(found.before, width)]
    if found.after is not None:
        never = tr("{rule} is never broken, in no order of {states} states").format(
            rule=rule, states=found.after.states
        )
        rows += [*_labelled(f"{glyphs.ok} ", tr("as mended"), never, "ok", width), *_ended(found.after, width)]
    return rows


def percent(share: float | None) -> str:
    """A share of schedules.

    >>> percent(0.179), percent(1e-9)
    ('17.9%', 'less than 0.1%')
    """
    least = 0.001
    return f"{share:.1%}" if share is not None and share >= least else tr("less than 0.1%")


def _labelled(sign: str, about: str, text: str, role: str, width: int) -> list[Row]:
    first, *others = wrap([Span(f"{about}: ", "strong"), Span(text)], max(width - 2, 10))
    return [Row((Span(sign, role), *first.spans)), *(Row((Span("  "), *line.spans)) for line in others)]


def _indented(text: str, indent: int, width: int) -> Iterator[Row]:
    """A text of less weight, wrapped, its lines set in by some columns."""
    for line in wrap([Span(text, "dim")], max(width - indent - 1, 10)):
        yield Row((Span(" " * indent), *line.spans))


def _ended(scene: SceneVerdict, width: int) -> Iterator[Row]:
    for command, outcomes in scene.ended:
        how = ", ".join(outcomes) or tr("never begun: what it names was not made")
        yield from _indented(f"{command}  ({how})", 4, width)


def differences(state: State, found: Sequence[TaskDifference], width: int, glyphs: Glyphs) -> list[Row]:
    """What the fix changed: the micro-steps that differ, task by task, as a diff."""
    rows: list[Row] = []
    for task in found:
        rows.append(row(Span(f"  {task.task}", "title")))
        for line in task.lines:
            rows += _difference(state, line, width, glyphs)
    return rows


def _difference(state: State, line: StepLine, width: int, glyphs: Glyphs) -> Iterator[Row]:
    """One step, and on a line that differs what it changed and broke."""
    role = {" ": "dim", "-": "gone", "+": "new"}[line.sign]
    ends = f"  = {line.answer}" if line.answer else ""
    yield row(Span(cut(f"{line.sign} {line.step}{ends}", width), role))
    if line.sign == " ":
        return
    shown = [change for change in line.changes if change.table not in HIDDEN]
    for change in shown[:MOST_CHANGES]:
        sign, subject, description = change_line(state, change, glyphs.arrow)
        text = f"    {sign} {subject}" + (f": {description}" if description else "")
        yield row(Span(cut(text, width), "dim"))
    if len(shown) > MOST_CHANGES:
        more = tr("and {count} more changes").format(count=len(shown) - MOST_CHANGES)
        yield row(Span(cut(f"    {glyphs.bullet} {more}", width), "dim"))
    for broken in line.violations:
        yield row(Span(cut(f"    ! {broken.severity} {broken.invariant}", width), broken.severity))


def scenes(exhibit: Exhibit, width: int) -> list[Row]:
    """Both scripts; where they are the same but for the mends that are undone, one."""
    rows: list[Row] = []
    for said, scene in ((tr("as it was"), exhibit.before), (tr("as mended"), exhibit.after)):
        if scene is not None:
            rows.append(row(Span(said, "title")))
            rows += [row(Span(cut(f"  {line}", width), "code")) for line in scene.text.splitlines()]
            rows.append(BLANK)
    return rows
