"""The one-line bars: header, tabs, what the cursor points at, keys."""

from collections.abc import Iterable

from lessons.i18n.language import tr
from tui.views.glyphs import Glyphs
from tui.views.row import Row, Span, cut
from tui.views.view_model import Picture

MOST_RELATED = 12
HELP = "app.help"
"""Whoever knows no other key needs this one."""


def header(picture: Picture, width: int) -> Row:
    """Title on the left, place on the right."""
    right = f"{picture.position} "
    left = cut(f" ptescope  {picture.title}", max(width - len(right) - 1, 0))
    return Row((Span(left.ljust(width - len(right)), "title"), Span(right, "strong")), "bar")


def tabs(panes: Iterable[tuple[str, str, bool]], width: int, *, by_function_key: bool = False) -> Row:
    """One tab a pane, with its number or function key (the first has none: F1 is help); the shown one in reverse."""
    spans: list[Span] = []
    room = width
    for number, title, shown in panes:
        key = number if not by_function_key else f"F{number}" if number != "1" else ""
        text = f" {f'{key} {tr(title)}'.lstrip()} "
        if len(text) > room:
            break
        spans.append(Span(text, "here" if shown else "dim", f"action:show('{number}')"))
        room -= len(text)
    return Row(tuple(spans), "bar")


def keys(hints: Iterable[tuple[str, str, str]], width: int) -> Row:
    """The key line: as many hints (key, what it does, action) as fit, the first ones first; help always."""
    spans: list[Span] = []
    said = [(key, tr(does), action) for key, does, action in hints]
    kept = sum(_columns(key, does) for key, does, action in said if action == HELP)
    room = width - kept
    for key, does, action in said:
        size = 0 if action == HELP else _columns(key, does)
        if size > room:
            room = 0
            continue
        subject = f"action:{action}"
        spans += [Span(f" {key} ", "key", subject), Span(f"{does} ", "plain", subject)]
        room -= size
    return Row(tuple(spans), "bar")


def _columns(key: str, does: str) -> int:
    """What a hint takes of the line."""
    return len(key) + len(does) + 3


def relations(subject: str, to: frozenset[str], of: frozenset[str], width: int, glyphs: Glyphs) -> Row:
    """What is under the cursor, what it refers to and what refers to it."""
    spans = [Span(f" {named(subject)} ", "here", subject)]
    for word, others in ((tr("refers to"), to), (tr("referred to by"), of)):
        if not others:
            continue
        spans.append(Span(f"  {word} ", "dim"))
        for other in sorted(others)[:MOST_RELATED]:
            spans += [Span(named(other), "key", other), Span(" ")]
        if len(others) > MOST_RELATED:
            spans.append(Span(tr("and {count} more").format(count=len(others) - MOST_RELATED), "dim"))
    if not to and not of:
        spans.append(Span(f"  {glyphs.dot} {tr('nothing refers to it, and it refers to nothing')}", "dim"))
    return _fitting(spans, width)


def _fitting(spans: list[Span], width: int) -> Row:
    """As many spans as fit."""
    kept: list[Span] = []
    room = width
    for span in spans:
        if len(span.text) > room:
            kept.append(Span("~"[:room], "dim"))
            break
        kept.append(span)
        room -= len(span.text)
    return Row(tuple(kept))


def named(subject: str) -> str:
    """A subject as one reads it.

    >>> named("pte:p0:17"), named("frame:5"), named("table:p0:1:0")
    ('page p0:17', 'frame f5', 'PMD p0[0]')
    """
    kind, _, rest = subject.partition(":")
    parts = rest.split(":")
    match kind, parts:
        case "frame", [pfn]:
            return f"frame f{pfn}"
        case "pte", [process, vpn]:
            return f"{tr('page')} {process}:{vpn}"
        case "table", [process, level, index]:
            return f"{ {'1': 'PMD', '2': 'PUD', '3': 'PGD'}.get(level, level) } {process}[{index}]"
        case "tlb", [cpu, process, vpn]:
            return f"TLB cpu{cpu} {process}:{vpn}"
        case "cache", [file, index]:
            return f"{tr('page cache')} {file}[{index}]"
        case _:
            return f"{kind} {rest}"
