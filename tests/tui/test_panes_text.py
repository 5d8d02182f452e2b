"""Panes of words: story, step, timeline, verdict, rules, bars, help."""

from hypothesis import given, settings
from hypothesis import strategies as st

from model.kernel.arch.boot import boot
from tui.views.bars import header, keys, named, relations, tabs
from tui.views.glyphs import ASCII, UNICODE, choose
from tui.views.history import timeline
from tui.views.home import ENTRIES, LessonLine, home
from tui.views.lesson_text import in_short, pressing, steps, story, worst
from tui.views.manual import manual
from tui.views.markdown import markdown, wrap
from tui.views.row import Row, Span, cut, flow, row, stops
from tui.views.verdict import rules, severities, verdict
from tui.views.view_model import (
    LessonText,
    Picture,
    Rule,
    ShownCheck,
    ShownGuess,
    ShownHistory,
    ShownNode,
    ShownOption,
    ShownQuestion,
    ShownStep,
    ShownViolation,
)
from tui.widgets.drawing import difference
from tui.widgets.role_styles import roles

STATE = boot()
WIDTH = 44
LOST = ShownViolation(
    "lost-write", "corruption", ("ref:r0", "frame:5"), "nic wrote `0x09` " * 9, "nothing", "step 7", 7, fresh=True
)
STALE = ShownViolation("stale-reference", "hazard", ("ref:r0",), "r0 holds frame 5.", "", "step 3", 3, fresh=False)

words = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=200)


def text(rows: list[Row] | tuple[Row, ...]) -> str:
    return "\n".join(line.text.rstrip() for line in rows)


def picture(**more: object) -> Picture:
    return Picture("Title", "section 1 of 2", STATE, **more)  # type: ignore[arg-type]


# -- Markdown --------------------------------------------------------------------------------------


def test_markdown_keeps_its_structure() -> None:
    source = """# Head
A **strong** word, `code_here()` and *emphasis*:
the same paragraph. snake_case and 2*3*4 stay.

- one item that needs more than one line
  of the pane
- two
  1. inner

> said by
> somebody

```
raw   code
```
"""
    rows = markdown(source, 36)
    assert text(rows).splitlines() == [
        "Head",
        "",
        "A strong word, code_here() and",
        "emphasis: the same paragraph.",
        "snake_case and 2*3*4 stay.",
        "",
        "- one item that needs more than one",
        "  line of the pane",
        "- two",
        "  1. inner",
        "",
        "> said by somebody",
        "",
        "  raw   code",
    ]
    roles_of = {span.text: span.role for line in rows for span in line.spans}
    assert roles_of["strong"] == "strong"
    assert roles_of["code_here()"] == "code"
    assert roles_of["Head"] == "title"


def test_what_is_emphasised_may_be_a_name_of_the_kernel() -> None:
    (line,) = markdown("the flag *VM_PFNMAP*, and _so * on_.", 60)
    assert line.text == "the flag VM_PFNMAP, and so * on."
    assert [span.text for span in line.spans if span.role == "emph"] == ["VM_PFNMAP", "so * on"]


def test_long_code_goes_on_in_the_next_row() -> None:
    rows = markdown("```\ngup p0 buf as=dma1 write pin longterm\nput dma1\n```", 30)
    assert text(rows).splitlines() == ["  gup p0 buf as=dma1 write", "    pin longterm", "  put dma1"]


@given(words, st.integers(12, 60))
@settings(max_examples=150, deadline=None)
def test_no_text_is_wider_than_the_pane(source: str, width: int) -> None:
    for line in wrap([Span(source)], width):
        assert len(line.text) <= width


@given(words)
@settings(max_examples=100, deadline=None)
def test_wrapping_loses_nothing_but_blanks(source: str) -> None:
    wrapped = "".join(line.text for line in wrap([Span(source)], 20))
    assert "".join(wrapped.split()) == "".join(source.split())


@given(st.text(st.sampled_from("ab *_`[]()#->1.\n\\"), max_size=80))
@settings(max_examples=200, deadline=None)
def test_any_text_is_some_markdown(source: str) -> None:
    for line in markdown(source, 30):
        assert "\n" not in line.text


# -- rows ------------------------------------------------------------------------------------------

spans = st.lists(
    st.builds(Span, st.text("abc ", min_size=1, max_size=4), st.sampled_from(["plain", "dim"])), max_size=6
)


@given(spans, spans)
@settings(max_examples=200, deadline=None)
def test_outside_the_difference_two_rows_look_the_same(one: list[Span], other: list[Span]) -> None:
    old, new = Row(tuple(one)), Row(tuple(other))
    left, right = difference(old, new)

    def look(line: Row) -> list[tuple[str, str]]:
        cells = [(char, span.role) for span in line.spans for char in span.text]
        return cells + [(" ", "")] * (40 - len(cells))

    before, after = look(old), look(new)
    assert before[:left] == after[:left]
    assert before[right:] == after[right:]


def test_neighbours_of_one_subject_are_one_place_for_the_cursor() -> None:
    line = row(Span("a", "dim", "x"), Span("b", "plain", "x"), Span(" "), Span("c", "plain", "y"))
    assert [(stop.left, stop.right, stop.subject) for stop in stops([line])] == [(0, 2, "x"), (3, 4, "y")]


def test_items_flow_into_the_next_row() -> None:
    rows = flow([Span("label ")], [[Span("one")], [Span("two")], [Span("three")]], 14, 2)
    assert text(rows) == "label one  two\n  three"


def test_what_is_cut_says_so() -> None:
    assert cut("abcdef", 4) == "abc~"
    assert cut("abc", 4) == "abc"


# -- story -----------------------------------------------------------------------------------------


def test_a_question_with_answers_to_choose_from() -> None:
    tale = LessonText("Look.", ShownQuestion("What **now**?", (ShownOption("a", "yes"), ShownOption("b", "no"))))
    rows = story(picture(tale=tale), WIDTH, UNICODE)
    assert text(rows) == "Look.\n\n Predict\nWhat now?\n\n a  yes\n b  no\nup/down or the letter chooses, Enter answers"
    assert {stop.subject for stop in stops(rows)} == {"answer:a", "answer:b"}


def test_a_guess_stays_beside_the_truth() -> None:
    judged = (ShownGuess(right=False, guess="2", truth="1025", reply="A pin is **heavy**."),)
    shown = text(story(picture(tale=LessonText("", judged=judged)), WIDTH, ASCII))
    assert shown == "X No. You said 2; it is 1025.\nA pin is heavy."
    assert "Now see" in text(story(picture(tale=LessonText("", kept="2")), WIDTH, ASCII))


def test_goals_hints_and_asides() -> None:
    tale = LessonText(
        "T", goal=(ShownCheck(met=True, text="done"), ShownCheck(met=False, text="open")), hints=(("where", "there"),)
    )
    shown = text(story(picture(tale=tale), WIDTH, UNICODE))
    assert "✓ done\n○ open" in shown
    assert "hint, where:\n  there" in shown


def test_a_goal_that_is_reached_comes_first_and_says_how_to_go_on() -> None:
    goal = (ShownCheck(met=True, text="done"), ShownCheck(met=True, text="too"))
    rows = story(picture(tale=LessonText("T", goal=goal)), WIDTH, UNICODE)
    assert text(rows).startswith(" ✓ Goal reached")
    assert len(rows[0].text) == WIDTH, "a bar across the story"
    assert "✓ done\n✓ too\nEnter goes on" in text(rows)


def test_the_step_tells_what_was_and_what_comes() -> None:
    last = ShownStep("zap_pte_range.clear", "mm/memory.c", "Clear it.", "t1", "Mark this.", "", "ok", ("lock",))
    following = ShownStep("zap_pte_range.flush", "mm/memory.c", "Flush.", "main")
    shown = text(steps(picture(last=last, next=following, broken=(LOST, STALE)), WIDTH, UNICODE))
    first = "just now zap_pte_range.clear (task t1)\nThe call ends: ok\nmm/memory.c\nClear it.\nafter lock"
    assert shown.startswith(first)
    assert "lost-write" not in shown, "an alarm stands in one place: with the rules"
    assert shown.endswith("next zap_pte_range.flush\nmm/memory.c\nFlush.")


def test_steps_that_one_press_has_made_are_told_in_short() -> None:
    assert in_short(["a"], UNICODE) == "a"
    assert in_short(["a", "b", "c", "d", "e", "f"], UNICODE) == "a → 4 steps → f"


def test_the_remark_and_the_verdict_come_first_and_the_kernel_below_them() -> None:
    last = ShownStep("a.b", "mm/memory.c", "A long account.", "main", "Mark this.", "", "ok 0")
    tale = LessonText("Story.", judged=(ShownGuess(right=False, guess="7", truth="0", reply="Look again."),))
    now = picture(tale=tale, last=last)
    lines = text(story(now, WIDTH, UNICODE)).split("\n")
    order = ["Look again.", "│ Mark this.", "just now a.b", "The call ends: ok 0", "A long account.", "Story."]
    assert [line for line in lines if line in order] == order
    assert lines.index("│ Mark this.") < pressing(now, WIDTH, UNICODE) <= lines.index("just now a.b")
    assert text(story(picture(tale=LessonText("Story.")), WIDTH, UNICODE)) == "Story."


def test_an_alarm_is_told_with_the_story_only_where_the_rules_have_no_room() -> None:
    last = ShownStep("a.b", "", "Done.", "main")
    now = picture(tale=LessonText("Story."), last=last, broken=(LOST, STALE))
    assert "lost-write" not in text(story(now, WIDTH, UNICODE))
    told = text(story(now, WIDTH, UNICODE, alarms=True))
    assert told.index("CORRUPTION  lost-write") < told.index("just now a.b")
    assert "stale-reference" not in told, "it was broken before"


def test_no_alarm_answers_an_open_question() -> None:
    ask = ShownQuestion("What will p0 read?", (), "a number")
    now = picture(tale=LessonText("Story.", ask), broken=(LOST, STALE))
    for rows in (rules(now, WIDTH, UNICODE), verdict(now, WIDTH, UNICODE), story(now, WIDTH, UNICODE, alarms=True)):
        assert "lost-write" not in text(rows)


# -- verdict ---------------------------------------------------------------------------------------


def test_the_bar_names_the_worst_since_when_and_why_over_the_whole_width() -> None:
    head, body = verdict(picture(broken=(STALE, LOST)), 80, UNICODE)
    assert head.text.startswith(" ✗ CORRUPTION  lost-write  since step 7  and 1 more")
    assert (len(head.text), len(body.text)) == (80, 80)
    assert body.text.rstrip().endswith(" ...")
    assert {span.role for span in (*head.spans, *body.spans)} == {"corruption"}


def test_the_bar_says_when_all_is_well() -> None:
    assert verdict(picture(rules=(Rule("a", "A."), Rule("b", "B."))), 80, UNICODE)[0].text == " ✓ all 2 rules hold"


def test_the_worst_comes_first_and_marks_its_subjects() -> None:
    assert [one.severity for one in worst((STALE, LOST))] == ["corruption", "hazard"]
    assert severities((STALE, LOST)) == {"ref:r0": "corruption", "frame:5": "corruption"}


def test_rules_with_their_sentences_where_there_is_room() -> None:
    known = (Rule("stale-reference", "A reference and its page agree."), Rule("underflow", "No count below 0."))
    wide = text(rules(picture(broken=(STALE,), rules=known), 80, UNICODE))
    assert "▲ HAZARD  stale-reference\nr0 holds frame 5.\nsince step 3  see ref r0" in wide
    assert "✓ underflow  No count below 0." in wide
    narrow = text(rules(picture(rules=known), WIDTH, UNICODE))
    assert narrow == "✓ stale-reference  ✓ underflow"


# -- timeline and bars -------------------------------------------------------------------------------


def test_the_strip_shows_past_present_future_branches_and_harm() -> None:
    nodes = (
        ShownNode(0, command="x"),
        ShownNode(1),
        ShownNode(2, "hazard", 1),
        ShownNode(3),
        ShownNode(4, "corruption"),
    )
    strip, caption = timeline(
        ShownHistory(nodes, 3, ("at the end of a very long way, here we are", "here we are")), 40, UNICODE
    )
    assert strip.text.strip() == "●|●─▲+◉─✗"
    assert caption.text == "here we are"
    assert [stop.subject for stop in stops([strip])] == [f"node:{number}" for number in range(5)]
    assert timeline(ShownHistory(nodes, 3), 40, ASCII)[0].text.isascii()


def test_a_long_way_is_shown_around_the_present() -> None:
    nodes = tuple(ShownNode(number) for number in range(500))
    strip = timeline(ShownHistory(nodes, 250), 80, UNICODE)[0]
    assert len(strip.text) <= 80
    assert (strip.text[0], strip.text[-1]) == ("<", ">")
    assert "◉" in strip.text


def test_bars_fit_and_can_be_clicked() -> None:
    assert len(header(picture(), 60).text) == 60
    line = keys([("n", "forward", "step"), ("p", "back", "back"), ("x" * 40, "no room", "none")], 30)
    assert line.text == " n forward  p back "
    assert {stop.subject for stop in stops([line])} == {"action:step", "action:back"}
    assert tabs([("1", "One", True), ("2", "Two", False)], 80).text == " 1 One  2 Two "


def test_relations_in_words() -> None:
    line = relations("frame:5", frozenset(), frozenset({"pte:p0:16", "ref:r0"}), 80, UNICODE)
    assert line.text.strip() == "frame f5   referred to by page p0:16 ref r0"
    assert len(relations("frame:5", frozenset(), frozenset(f"ref:r{n}" for n in range(99)), 60, UNICODE).text) <= 60
    assert [named(one) for one in ("tlb:0:p0:1", "table:p0:3:0", "cache:f:2", "device:nic")] == [
        "TLB cpu0 p0:1",
        "PGD p0[0]",
        "page cache f[2]",
        "device nic",
    ]


def test_home_shows_how_far_one_is() -> None:
    offers = [
        LessonLine("a", "First", "Part", "Sum.", 5, 9, 9, finished=True),
        LessonLine("b", "Second", "Part", "Sum.", 5, 9, 3, finished=False),
        LessonLine("c", "", "Damaged lessons", "", 0, 0, 0, finished=False, damaged="c.md:3:1: what"),
    ]
    rows = home(offers, 80, UNICODE)
    shown = text(rows)
    assert "✓  First" in shown
    assert "done" in shown
    assert "section 4 of 9" in shown
    assert "c.md:3:1: what" in shown
    assert [stop.subject for stop in stops(rows)] == [*(subject for *_, subject in ENTRIES), "lesson:a", "lesson:b"]


def test_help_lists_keys_signs_and_words() -> None:
    shown = text(manual([("Here", [("n", "Forward")])], 80, ASCII))
    assert shown.startswith(" Here\n  n                        Forward")
    assert shown.isascii()
    assert "17>f5 w =65" in shown


# -- looks -----------------------------------------------------------------------------------------


def test_signs_are_ascii_where_the_terminal_asks_for_it() -> None:
    assert choose({"LANG": "C.UTF-8"}) is UNICODE
    assert choose({"LANG": "de_DE.ISO-8859-1"}) is ASCII
    assert choose({"LANG": "C.UTF-8", "TERM": "linux"}) is ASCII
    assert choose({"LANG": "C.UTF-8", "PTESCOPE_ASCII": "1"}) is ASCII


def test_nothing_is_told_by_colour_alone() -> None:
    variables = {"foreground": "#fff", "background": "#000", "panel": "#111"} | dict.fromkeys(
        ("primary", "accent", "warning", "error", "success"), "#fff"
    )
    styles = roles(variables)
    assert styles["corruption"].reverse
    assert styles["here"].reverse
    assert styles["cursor"].reverse
    assert styles["lit"].underline
    assert styles["gone"].strike
