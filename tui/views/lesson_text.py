"""The story: what to read, what to predict, what to reach, and the micro-step in words."""

from collections.abc import Iterator

from lessons.i18n.language import tr
from tui.views.glyphs import Glyphs
from tui.views.markdown import markdown, wrap
from tui.views.row import BLANK, Row, Span, row
from tui.views.view_model import LessonText, Picture, ShownStep, ShownViolation


def story(picture: Picture, width: int, glyphs: Glyphs) -> list[Row]:
    """The tale: the last guess judged, the text, the question, the goal, hints and asides."""
    tale = picture.tale
    rows: list[Row] = []
    for section in (
        list(_watched(tale, width)),
        list(_judged(tale, width, glyphs)),
        list(markdown(tale.text, width)),
        list(_question(tale, width)),
        list(_goal(tale, width, glyphs)),
        [line for rung, text in tale.hints for line in _labelled(f"{tr('hint')}, {tr(rung)}: ", text, width)],
        [line for text in tale.notes for line in _labelled(f"{tr('aside')}: ", text, width)],
        wrap([Span(f"{tr('command')}: ", "dim"), Span(tale.do, "code")], width) if tale.do else [],
    ):
        if section and rows:
            rows.append(BLANK)
        rows += section
    return rows


def combined(picture: Picture, width: int, glyphs: Glyphs) -> list[Row]:
    """Story and step in one pane, for a small screen: first what is new, and of that what the lesson says to it."""
    if picture.last is None or picture.tale.ask is not None:
        parts = [story(picture, width, glyphs), steps(picture, width, glyphs)]
    else:
        judged = [*_watched(picture.tale, width), *_judged(picture.tale._replace(kept=""), width, glyphs)]
        rest = picture._replace(tale=picture.tale._replace(judged=(), watched=()))
        parts = [judged, steps(picture, width, glyphs, lesson_first=True), story(rest, width, glyphs)]
    rows: list[Row] = []
    for part in parts:
        rows += [BLANK, *part] if rows and part else part
    return rows


def _labelled(label: str, text: str, width: int) -> list[Row]:
    """A paragraph that begins with a bold word."""
    rows = list(markdown(text, width - 2))
    first = row(Span(label, "now"))
    return [first, *(Row((Span("  "), *line.spans)) for line in rows)]


def _judged(tale: LessonText, width: int, glyphs: Glyphs) -> Iterator[Row]:
    """Guesses beside the truth, each with its reply; or the guess that waits for it."""
    for number, (right, guess, truth, reply) in enumerate(tale.judged):
        if number:
            yield BLANK
        sign, role, word = (glyphs.ok, "ok", tr("Right")) if right else (glyphs.broken, "hazard", tr("Not so"))
        yield from wrap(
            [Span(f"{sign} {word}.", role), Span(f" {tr('You said')} "), Span(f"{guess}", "strong"), Span(".")], width
        )
        if not right:
            yield from wrap([Span(f"{tr('The model says')} "), Span(truth, "strong"), Span(".")], width)
        yield from markdown(reply, width)
    if tale.kept:
        yield from wrap(
            [Span(f"{tr('Your guess')}: ", "now"), Span(tale.kept, "strong"), Span(f". {tr('Now see.')}")], width
        )


def _question(tale: LessonText, width: int) -> Iterator[Row]:
    """The question, and the answers to choose from."""
    ask = tale.ask
    if ask is None:
        return
    yield row(Span(f" {tr('Predict')} ", "here"))
    yield from markdown(ask.text, width)
    yield BLANK
    for option in ask.options:
        subject = f"answer:{option.key}"
        lead = Span(f" {option.key}  ", "key", subject)
        for at, line in enumerate(wrap([Span(option.text, "plain", subject)], width - len(lead.text))):
            yield Row((lead if at == 0 else Span(" " * len(lead.text)), *line.spans))
    if ask.options:
        yield row(Span(how_to_answer()[0 if ask.numbered else 1], "dim"))
    else:
        yield row(Span(f"{tr('Your answer')}: ", "dim"), Span(ask.wants or tr("type it"), "key", "action:act"))


def how_to_answer() -> tuple[str, str]:
    """Below the options: where they have numbers, and where they have letters only."""
    return tr("up/down and Enter, letter or number"), tr("up/down or the letter chooses, Enter answers")


def _goal(tale: LessonText, width: int, glyphs: Glyphs) -> Iterator[Row]:
    """What is to be reached, and how much of it is."""
    if not tale.goal:
        return
    yield row(Span(f" {tr('Goal')} ", "here"), Span(f" {tr('type commands with')} "), Span(":", "key", "action:prompt"))
    for check in tale.goal:
        sign = Span(f"{glyphs.ok} " if check.met else f"{glyphs.ahead} ", "ok" if check.met else "plain")
        for at, line in enumerate(wrap([Span(check.text)], width - len(sign.text))):
            yield Row((sign if at == 0 else Span(" " * len(sign.text)), *line.spans))


def _watched(tale: LessonText, width: int) -> Iterator[Row]:
    """Watched expressions with what they are worth; what the last step changed has a sign."""
    for one in tale.watched:
        role = "changed" if one.fresh else "plain"
        was = f"  ({one.was})" if one.was else ""
        spans = [Span("~ " if one.fresh else "  ", role), Span(one.text, "code"), Span(" = "), Span(one.value, role)]
        yield from wrap([*spans, Span(was, "dim")], width)


def steps(picture: Picture, width: int, glyphs: Glyphs, *, lesson_first: bool = False) -> list[Row]:
    """What the last micro-step did, what that broke, and what the next one is going to do."""
    rows: list[Row] = []
    if picture.last is not None:
        rows += _told(tr("just now"), picture.last, width, "strong", glyphs, lesson_first=lesson_first)
    for broken in picture.broken:
        if broken.fresh:
            rows += case(broken, width, glyphs)
    if picture.next is not None:
        if rows:
            rows.append(BLANK)
        rows += _told(tr("next"), picture.next, width, "now", glyphs)
    return rows


def _told(
    label: str, told: ShownStep, width: int, role: str, glyphs: Glyphs, *, lesson_first: bool = False
) -> list[Row]:
    """One micro-step: its name, where it stands in the kernel, its words; what it meant here after them or before."""
    name = [Span(f"{label} ", "dim"), Span(told.name, role)]
    if told.task not in {"", "main"}:
        name.append(Span(f" ({tr('task')} {told.task})", "dim"))
    rows = wrap([Span(f"{tr('after')} ", "dim"), Span(", ".join(told.before), "dim")], width) if told.before else []
    rows += wrap(name, width)
    always = [Row((Span(told.source, "dim"),))] if told.source and len(told.source) <= width else []
    always += markdown(tr(told.doc), width)
    here: list[Row] = []
    if told.remark:
        here += [Row((Span(f"{glyphs.bar} ", "now"), *line.spans)) for line in markdown(told.remark, width - 2)]
    if told.waits:
        here += wrap([Span(f"{tr('It must wait')}: ", "hazard"), Span(told.waits)], width)
    if told.outcome:
        here += wrap([Span(f"{tr('The call ends')}: ", "now"), Span(told.outcome, "strong")], width)
    return [*rows, *here, *always] if lesson_first else [*rows, *always, *here]


def case(broken: ShownViolation, width: int, glyphs: Glyphs) -> list[Row]:
    """One broken invariant, told for this case."""
    sign = glyphs.caution if broken.severity == "hazard" else glyphs.broken
    head = [Span(f" {sign} {tr(broken.severity).upper()} ", broken.severity), Span(f" {broken.invariant}", "strong")]
    rows = wrap(head, width)
    rows += markdown(broken.message, width)
    if broken.symptom:
        rows += wrap([Span(f"{tr('In a real kernel')}: ", "dim"), Span(broken.symptom, "dim")], width)
    return rows
