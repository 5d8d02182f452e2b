"""Pages for print: one file of HTML, without a network and without fonts from elsewhere, and the drawings on it."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from html import escape
from typing import Final

from markdown_it import MarkdownIt

from lessons.i18n.language import chosen, tr
from model.session.timeline import Timeline
from tui.export.picture_html import POLICY
from tui.export.picture_svg import RULES, Drawing, fragment, size, used
from tui.export.picture_svg import colours as role_colours
from tui.views.glyphs import UNICODE
from tui.views.picture.draw import LEAST, picture
from tui.views.picture.history import History
from tui.views.picture.picture_state import PictureState
from tui.views.row import Row
from tui.views.shown_state import ShownState
from tui.widgets.role_styles import LIGHT

STYLE: Final = """
@page{size:A4;margin:16mm}
body{font:11pt/1.45 'DejaVu Sans',system-ui,sans-serif;max-width:178mm;margin:0 auto;padding:4mm}
body{color:#000;background:#fff}
h1{font-size:17pt;margin:0 0 2mm}h2{font-size:13pt;margin:6mm 0 2mm;break-after:avoid}
h3{font-size:11pt;margin:4mm 0 1mm;break-after:avoid}
.page{break-before:page}.page:first-of-type{break-before:auto}
.who{display:flex;gap:6mm;margin:0 0 5mm}.who span{flex:1;border-bottom:.3mm solid;padding-bottom:6mm}
.ask{break-inside:avoid;margin:3mm 0 5mm}.ask ol,.ask ul{list-style:none;padding-left:5mm;margin:1mm 0}
li .tick{display:inline-block;width:3.5mm;height:3.5mm;border:.3mm solid;margin-right:2mm;vertical-align:-.5mm}
.line{border-bottom:.3mm solid #777;height:8mm}
table{border-collapse:collapse;width:100%;break-inside:avoid;margin:2mm 0}
th,td{border:.3mm solid #777;padding:1.5mm 2mm;text-align:left;font-weight:normal}thead th{font-weight:bold}
td.fill{min-width:16mm;height:7mm}
code,pre{font-family:ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace;font-size:.92em}
svg{max-width:100%;height:auto;display:block;margin:2mm 0;break-inside:avoid}
.true{font-weight:bold}.why{margin:1mm 0 1mm 5mm}
"""


def document(title: str, body: Iterable[str], drawings: Sequence[Drawing], style: str = STYLE) -> str:
    """The whole page; `drawings`: those that stand in it, for their colours."""
    colours = role_colours(LIGHT, used(drawings)) + RULES if drawings else ""
    return (
        f'<!DOCTYPE html>\n<html lang="{chosen().code}">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        f'<meta name="viewport" content="width=device-width">\n<title>{escape(title)}</title>\n'
        f"<style>{colours}{style}</style>\n</head>\n<body>\n{''.join(body)}</body>\n</html>\n"
    )


def drawn(timeline: Timeline, node: int, title: str, width: int = LEAST) -> Drawing:
    """The picture of a node of a history, without any sign of what has just changed."""
    return Drawing(title, picture(picture_state(timeline, node), width))


def picture_state(timeline: Timeline, number: int) -> PictureState:
    """What is to be drawn at a node."""
    node = timeline.nodes[number]
    scene = ShownState(node.state, (), {}, {}, "", UNICODE)
    history = History(timeline)
    return PictureState(scene, node.checker.scene.holding, history.at(node), history.last_step(node))


def shown(drawing: Drawing) -> str:
    """A drawing on the page; nothing where there is nothing to draw."""
    rows = list(drawing.rows)
    while rows and not rows[-1].text.strip():
        rows.pop()
    if not rows:
        return ""
    whole = Drawing(drawing.title, rows)
    return fragment(whole, *size([whole]))


def plain_rows(rows: Sequence[Row]) -> str:
    """A drawing as text."""
    return "\n".join(row.text.rstrip() for row in rows).rstrip()


@lru_cache(maxsize=1)
def _reader() -> MarkdownIt:
    """Reads what lessons are written in; the name of another lesson is only set apart."""
    reader = MarkdownIt("commonmark", {"html": False}).enable("table")
    reader.add_render_rule("link_open", lambda *_: "<em>")
    reader.add_render_rule("link_close", lambda *_: "</em>")
    return reader


def prose(text: str) -> str:
    """Markdown of a lesson as HTML."""
    return str(_reader().render(text))


def words(text: str) -> str:
    """One paragraph of a lesson as HTML, without the paragraph around it."""
    return str(_reader().renderInline(" ".join(text.split())))


def who() -> str:
    """Where a student writes name and date."""
    fields = (tr("Name"), tr("Group"), tr("Date"))
    return f'<p class="who">{"".join(f"<span>{escape(field)}:</span>" for field in fields)}</p>\n'


def boxes(answers: Sequence[str]) -> str:
    """Answers to tick."""
    return "<ul>" + "".join(f'<li><span class="tick"></span>{words(answer)}</li>' for answer in answers) + "</ul>\n"


def lines(count: int) -> str:
    """Lines to write on."""
    return '<div class="line"></div>' * count + "\n"
