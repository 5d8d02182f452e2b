"""Why: the steps that made a thing what it is, back to the commands; each can be gone to."""

from collections.abc import Iterator, Sequence

from lessons.i18n.language import localized, tr
from model.session.causes import Cause, why, why_byte, why_count, why_violation
from model.session.timeline import Timeline
from tui.views.bars import named
from tui.views.glyphs import Glyphs
from tui.views.markdown import wrap
from tui.views.row import BLANK, Row, Span, row

Account = tuple[str, Sequence[Cause]]
"""What is explained, and the chain that ends in it."""


def accounts(timeline: Timeline, subject: str) -> list[Account]:
    """Every chain that there is for a thing; for nothing in particular those of the broken rules."""
    if not subject:
        return list(_violations(timeline))
    found: list[Account] = [(named(subject), why(timeline, subject))]
    kind, _, rest = subject.partition(":")
    if kind == "pte":
        process, _, vpn = rest.partition(":")
        entry = timeline.here.state.ptes.get((process, int(vpn)))
        if entry is not None and entry.present:
            kind, rest = "frame", str(entry.pfn)
    if kind == "frame":
        pfn = int(rest)
        found.append((tr("the byte in frame f{pfn}").format(pfn=pfn), why_byte(timeline, pfn)))
        found.append((tr("the refcount of frame f{pfn}").format(pfn=pfn), why_count(timeline, pfn, "refcount")))
        found.append((tr("the mapcount of frame f{pfn}").format(pfn=pfn), why_count(timeline, pfn, "mapcount")))
    return found


def _violations(timeline: Timeline) -> Iterator[Account]:
    """The broken rules: what this very step broke, what is wrong now, and the harm done on the way here."""
    here = timeline.here
    told = set()
    suffered = (violation for _, violation in timeline.suffered())
    for violation in (*here.new, *here.checker.violations, *suffered):
        if violation.identity not in told:
            told.add(violation.identity)
            yield f"{tr(violation.severity)} {violation.invariant}", why_violation(timeline, violation)


def cause_line(cause: Cause) -> str:
    """A link of a chain in one line, in the reader's language."""
    return f"{localized(cause.text)} ({cause.made_by})"


def rows(found: Sequence[Account], width: int, glyphs: Glyphs) -> list[Row]:
    """The chains, one below the other; a link is a place for the cursor."""
    shown: list[Row] = []
    for title, causes in found:
        shown += [BLANK] if shown else []
        shown.append(row(Span(f" {title}", "title")))
        if not causes:
            shown.append(row(Span(f"   {tr('nothing in this history has made or changed it')}", "dim")))
        for cause in causes:
            subject = f"moment:{cause.node}"
            lines = wrap([Span(localized(cause.text), "plain", subject)], width - 6)
            lines += wrap([Span(cause.made_by, "dim", subject)], width - 6)
            for at, line in enumerate(lines):
                lead = f"   {glyphs.arrow} " if at == 0 else "     "
                shown.append(Row((Span(lead, "key", subject), *line.spans)))
    return shown or [row(Span(f" {tr('No rule is broken, and the cursor points at nothing.')}", "dim"))]
