"""Pictures as one page of HTML: a step at a time, with the arrow keys or all below each other, without a network.

The page is one file. Its few lines of script only choose which step is shown: without them, and on paper, all are.
"""

from collections.abc import Sequence
from functools import lru_cache
from html import escape
from typing import Final

from markdown_it import MarkdownIt
from textual.theme import Theme

from lessons.i18n.language import chosen, tr
from tui.export.picture_steps import PictureStep
from tui.export.picture_svg import Drawing, fragment, size, stylesheet, used
from tui.views.glyphs import UNICODE
from tui.views.picture.draw import picture
from tui.views.view_model import ShownViolation
from tui.widgets.role_styles import LIGHT, PTESCOPE

POLICY: Final = "default-src 'none'; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
"""The browser itself sees to it that nothing is fetched."""

STYLE: Final = """
:root{color-scheme:light dark}
body{font:1rem/1.5 system-ui,sans-serif;max-width:62rem;margin:0 auto;padding:0 1rem 5rem}
section{border-top:1px solid;padding:.5rem 0 1.5rem}
section:focus{outline:none}
h2{font-size:1.1rem;margin-bottom:0}
.told{margin:0;min-height:1.5em}
svg{width:100%;height:auto;display:block;margin:.5rem 0}
code,pre{font-family:ui-monospace,'DejaVu Sans Mono',Menlo,Consolas,monospace;font-size:.95em}
pre{overflow-x:auto}
nav{position:fixed;bottom:0;left:0;right:0;display:none;gap:1rem;padding:.6rem 1rem;justify-content:center}
nav button{font:inherit;min-width:6rem}
nav input{flex:0 1 30rem}
.paged nav{display:flex}
.paged section:not(.shown){display:none}
@media print{nav,.paged nav{display:none}.paged section:not(.shown){display:block}section{break-inside:avoid}}
"""

SCRIPT: Final = """
const steps = [...document.querySelectorAll("section")], slider = document.querySelector("nav input");
const where = document.querySelector("nav output");
let here = 0;
function show(number, focus) {
  here = Math.max(0, Math.min(number, steps.length - 1));
  steps.forEach((step, at) => step.classList.toggle("shown", at === here));
  slider.value = here;
  where.textContent = `${here + 1} / ${steps.length}`;
  history.replaceState(null, "", `#${steps[here].id}`);
  if (focus) steps[here].focus({ preventScroll: true });
  scrollTo(0, 0);
}
const byHash = () => show(Math.max(0, steps.findIndex((step) => `#${step.id}` === location.hash)), false);
slider.max = steps.length - 1;
slider.addEventListener("input", () => show(Number(slider.value), false));
document.getElementById("back").addEventListener("click", () => show(here - 1, false));
document.getElementById("on").addEventListener("click", () => show(here + 1, false));
addEventListener("keydown", (key) => {
  const to = { ArrowLeft: here - 1, ArrowRight: here + 1, Home: 0, End: steps.length - 1 }[key.key];
  if (to === undefined || key.ctrlKey || key.altKey || key.metaKey || key.target === slider) return;
  key.preventDefault();
  show(to, true);
});
addEventListener("hashchange", byHash);
document.documentElement.classList.add("paged");
byHash();
"""


def page(steps: Sequence[PictureStep], title: str, width: int) -> str:
    """The whole page; `width` of a picture in columns. Raises ValueError if there is nothing to show."""
    if not steps:
        raise ValueError("there is nothing to draw")
    drawings = [Drawing(step.title, picture(step.drawn, width)) for step in steps]
    room = size(drawings)[0]
    severities = {alarm.severity for step in steps for alarm in step.alarms}
    sections = "".join(_section(step, drawing, room) for step, drawing in zip(steps, drawings, strict=True))
    style = stylesheet(used(drawings) | severities) + STYLE + _ground(LIGHT)
    return (
        f'<!DOCTYPE html>\n<html lang="{chosen().code}">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width">\n'
        f"<title>{escape(title)}</title>\n<style>{style}@media(prefers-color-scheme:dark){{{_ground(PTESCOPE)}}}</style>\n"
        f"</head>\n<body>\n<header><h1>{escape(title)}</h1></header>\n<main>\n{sections}</main>\n{keys()}"
        f"<script>{SCRIPT}</script>\n</body>\n</html>\n"
    )


def _ground(theme: Theme) -> str:
    """The colours of the page."""
    return f"body{{background:{theme.background};color:{theme.foreground}}}nav{{background:{theme.panel}}}"


def keys() -> str:
    """The buttons and the slider that lead from picture to picture."""
    return (
        f'<nav aria-label="{escape(tr("steps"))}"><button id="back" type="button">← {escape(tr("back"))}</button>'
        f'<input type="range" min="0" value="0" aria-label="{escape(tr("step"))}"><output></output>'
        f'<button id="on" type="button">{escape(tr("forward"))} →</button></nav>\n'
    )


def _section(step: PictureStep, drawing: Drawing, room: int) -> str:
    """One step: its command, the picture, what it broke, what the lesson says."""
    head = f"{step.number}. <code>{escape(step.command)}</code>" if step.command else escape(step.title)
    told = [part for part in (step.name and f"<code>{escape(step.name)}</code>", escape(step.outcome)) if part]
    line = f'<p class="told">{" → ".join(told)}</p>\n'
    shown = fragment(drawing, room, size([drawing])[1]) if drawing.rows else ""
    text = _reader().render(step.text)
    alarms = "".join(map(_alarm, step.alarms))
    return (
        f'<section id="step-{step.number}" tabindex="-1">\n<h2>{head}</h2>\n{line}{shown}\n{alarms}{text}</section>\n'
    )


@lru_cache(maxsize=1)
def _reader() -> MarkdownIt:
    """Reads what lessons are written in. The name of another lesson leads nowhere from here: it is only set apart."""
    reader = MarkdownIt("commonmark", {"html": False})
    reader.add_render_rule("link_open", lambda *_: "<em>")
    reader.add_render_rule("link_close", lambda *_: "</em>")
    return reader


def _alarm(broken: ShownViolation) -> str:
    """What was broken, with a sign and a word besides the colour."""
    sign = UNICODE.caution if broken.severity == "hazard" else UNICODE.broken
    head = f"{sign} {broken.severity} {broken.invariant}:"
    return f'<p><span class="{broken.severity}">{escape(head)}</span> {escape(broken.message)}</p>\n'
