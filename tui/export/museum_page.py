"""The museum as one page: every bug with facts, both verdicts, pictures of both machines, and what the fix changed.

The page is one file, without a network and without a script.
"""

from collections.abc import Iterator, Sequence
from html import escape
from typing import Final

from lessons.file.museum_schema import Exhibit
from lessons.i18n.language import tr
from lessons.play.exhibit import play, verdict_of
from tui.drivers.exhibit import ExhibitDriver
from tui.export.picture_svg import Drawing
from tui.export.print_page import STYLE, document, drawn, plain_rows, prose, shown
from tui.views.glyphs import UNICODE
from tui.views.museum import differences, fix_text, legend, verdicts

WIDTH: Final = 90
"""Columns of a picture and of a text that keeps its lines."""
PAGE_STYLE: Final = (
    STYLE + "dl{display:grid;grid-template-columns:max-content 1fr;gap:1mm 4mm}dd{margin:0}pre{overflow-x:auto}"
    "body{max-width:220mm}article{border-top:.3mm solid #777;margin-top:8mm}figure{margin:3mm 0}"
)


def museum_page(exhibits: Sequence[Exhibit]) -> str:
    """All bugs on one page, the list of them first, by year."""
    ordered = sorted(exhibits, key=lambda one: (one.header.year, one.header.title))
    drawings: list[Drawing] = []
    articles = ["".join(_article(exhibit, drawings)) for exhibit in ordered]
    title = tr("Museum")
    head = f"<h1>{escape(title)}</h1>\n<p>{escape(legend(ordered, UNICODE))}</p>\n"
    return document(title, [head, _contents(ordered), *articles], drawings, PAGE_STYLE)


def _contents(exhibits: Sequence[Exhibit]) -> str:
    entries = "".join(
        f'<li>{one.header.year} <a href="#{one.header.id}">{escape(one.header.title)}</a> '
        f"{escape(', '.join(one.header.cve))}</li>\n"
        for one in exhibits
    )
    return f"<ul>\n{entries}</ul>\n"


def _article(exhibit: Exhibit, drawings: list[Drawing]) -> Iterator[str]:
    """One bug; its drawings are added to those of the page."""
    header = exhibit.header
    names = ", ".join((str(header.year), *header.cve))
    yield f'<article id="{header.id}">\n<h2>{escape(header.title)} ({escape(names)})</h2>\n{prose(exhibit.story)}'
    yield _facts(exhibit)
    if exhibit.before is not None:
        yield from _played(exhibit, drawings)
    yield f"<p>{escape(tr('Looked up in'))}: {escape('; '.join(header.sources))}</p>\n</article>\n"


def _facts(exhibit: Exhibit) -> str:
    header = exhibit.header
    pairs = [(tr("versions"), header.affected)]
    pairs += [(tr("mended by"), fix_text(fix)) for fix in header.fix] or [(tr("mended by"), tr("nobody, so far"))]
    pairs += [(tr("found by"), header.found), (tr("symptom"), header.symptom)]
    pairs += [(tr("mechanism"), f"{tr(header.mechanism)}; {tr(header.culprit)}"), (tr("rule"), header.rule)]
    if header.lacks:
        pairs.append((tr("lacking"), header.lacks))
    return "<dl>" + "".join(f"<dt>{escape(about)}</dt><dd>{escape(text)}</dd>\n" for about, text in pairs) + "</dl>\n"


def _played(exhibit: Exhibit, drawings: list[Drawing]) -> Iterator[str]:
    """What the search says, where both machines stand in the end, and the difference of their steps."""
    found = verdict_of(played := play(exhibit))
    yield f"<pre>{escape(plain_rows(verdicts(exhibit, found, WIDTH, UNICODE)))}</pre>\n"
    driver = ExhibitDriver(exhibit, found)
    places = [(tr("before the calls"), driver.before.start), (tr("as it was"), driver.before.end)]
    if driver.after is not None:
        places.append((tr("as mended"), driver.after.end))
    for said, node in places:
        driver.session.goto(node)
        drawing = drawn(driver.session.timeline, node, f"{exhibit.header.title}, {said}", WIDTH)
        drawings.append(drawing)
        yield f"<figure><figcaption>{escape(said)}</figcaption>{shown(drawing)}</figure>\n"
    if found.differences:
        rows = differences(played.way.moves[-1].state, found.differences, WIDTH, UNICODE)
        yield f"<h3>{escape(tr('The same schedule on both machines, task by task; - as it was, + as mended'))}</h3>\n"
        yield f"<pre>{escape(plain_rows(rows))}</pre>\n"
