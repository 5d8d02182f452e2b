"""A lesson file is understood, or every mistake in it is reported at its place with a hint."""

from contextlib import suppress
from pathlib import Path

import pytest

from lessons.file.library import entries, find
from lessons.file.loader import load, parse
from lessons.file.problems import LessonError
from lessons.file.schema import ChoiceQuestion, Do, Goal, NumberQuestion
from tests.lessons.small_lesson import TEXT, WORLDS, line_of, small


def test_a_lesson_is_a_row_of_items_each_with_its_text_and_one_thing_to_do() -> None:
    lesson = small()
    assert [type(item.action) for item in lesson.items] == [NumberQuestion, Do, ChoiceQuestion, Goal, type(None)]
    first, played, _, goal, last = lesson.items
    assert first.world == "page"
    assert first.text == "Process `p0` has a page."
    assert [hint.kind for hint in first.hints] == ["where", "what", "next", "show"]
    assert isinstance(played.action, Do)
    assert [command.text for command in played.action.commands] == ["write p0 buf+1 66", "read p0 buf+1"]
    assert played.action.commands[0].remarks[0].step == "store_byte"
    assert isinstance(goal.action, Goal)
    assert [check.text for check in goal.action.checks] == ["the first page is gone", "the second is there"]
    assert last.last


def test_the_revision_changes_with_the_text() -> None:
    assert small("That was all.", "That was it.").revision != small().revision == small().revision


MISTAKES = {
    "no front matter": ("+++\nformat", "format", 1, 1, "a lesson starts with front matter"),
    "a block never closed": ("That was all.\n~~~", "That was all.", line_of("~~~after"), 1, "`after` is never closed"),
    "a block without a kind": ("~~~after", "~~~", line_of("~~~after"), 1, "a block without a kind"),
    "an unknown block": ("~~~predict", "~~~predit", line_of("~~~predict"), 4, "did you mean `predict`?"),
    "an unknown key": ('summary = "', 'sumary = "', line_of("summary"), 1, "did you mean `summary`?"),
    "a missing key": ('title = "A small lesson"\n', "", 2, 1, "the key `title` is missing"),
    "a wrong type": ("minutes = 5", 'minutes = "5"', line_of("minutes"), 1, 'minutes: expected a number, not a "text"'),
    "an unknown part": (
        "What is mapped",
        "What is",
        line_of("part"),
        1,
        "`What is` cannot stand here (did you mean",
    ),
    "a future format": ("format = 1", "format = 2", 2, 1, "format: `2` cannot stand here (expected one of: 1)"),
    "no TOML": ('id = "small"', "id = small", 3, 6, "not TOML"),
    "a list that never ends": ('zap_pte_range"]', 'zap_pte_range"', line_of("read ="), 37, "it ends too early"),
    "a list that the next key ends": ("minutes = 5", "minutes = [", line_of("summary"), 1, "Unexpected character"),
    "an unknown kind of prediction": (
        '"number"',
        '"numbr"',
        line_of('kind = "number"'),
        1,
        "`numbr` cannot stand here",
    ),
    "a wrong answer without a reply": (
        'is = 2\nreply = "That is another page."',
        "is = 2",
        line_of("[[wrong]]"),
        1,
        "the key `reply` is missing",
    ),
    "a key in the wrong place": (
        "[[option]]\n",
        '[[option]]\nask = "?"\n',
        line_of("[[option]]") + 1,
        1,
        "it belongs to another part",
    ),
    "a wrong type below a text that looks like its key": (
        'ask = "Its refcount is {refcount p0 buf}. After another page is written?"\nanswer = "refcount p0 buf"',
        'ask = """\nIts refcount?\nanswer = 3\nis what some say."""\nanswer = 3',
        line_of("answer =") + 3,
        1,
        'answer: expected a "text", not a number',
    ),
    "a wrong type in a second table": (
        'reply = "That is another page."\n',
        'reply = "That is another page."\n[[wrong]]\nis = 3\n  reply = 4\n',
        line_of("reply =") + 3,
        3,
        'reply: expected a "text", not a number',
    ),
    "an id used twice": ('id = "where"', 'id = "count"', line_of('id = "where"') - 1, 1, "`count` is used twice"),
    "an unknown pace": ("by=procedure", "by=procedur", line_of("~~~do"), 10, "did you mean `procedure`?"),
    "an unknown option": ("by=procedure", "pace=micro", line_of("~~~do"), 7, "no option `pace`"),
    "a remark that names no step": (
        "  store_byte: The",
        "  The",
        line_of("  store_byte"),
        1,
        "a remark names its step",
    ),
    "a goal's line without words": ("  # the second is there", "", line_of("expect present"), 1, "is not `expect"),
    "a goal's line with an unknown condition": (
        "expect present",
        "expect ok and presnt",
        line_of("expect present"),
        15,
        "did you mean `present`?",
    ),
    "a goal without an id": ("~~~goal id=gone", "~~~goal", line_of("~~~goal"), 1, "a goal needs an id"),
    "an unknown hint": ("what: Take", "wat: Take", line_of("what: Take"), 1, "did you mean `what`?"),
    "hints out of order": (
        "where: The PTE.\nwhat: Take it away.",
        "what: Take it away.\nwhere: The PTE.",
        line_of("~~~hint\nwhere: The PTE"),
        1,
        "not in the order",
    ),
    "a hint that belongs to nothing": (
        "Now you.",
        "Now you.\n\n~~~hint\nwhere: x\n~~~",
        line_of("Now you.") + 2,
        1,
        "stands directly after the block it belongs to",
    ),
    "a solution after a prediction": (
        "~~~hint\nwhere: The first",
        "~~~solution\n~~~\n~~~hint\nwhere: The first",
        line_of("~~~hint\nwhere: The first"),
        1,
        "a solution belongs after a goal",
    ),
    "no end": ("~~~after\nThat was all.\n~~~\n", "", line_of("Now you."), 1, "does not end with an `after` block"),
    "something after the end": ("all.\n~~~\n", "all.\n~~~\nMore.\n", line_of("all.\n~~~") + 2, 1, "nothing may follow"),
    "an unknown world": ("~~~world page", "~~~world pag", line_of("~~~world"), 10, "did you mean `page`?"),
    "a world that is not there": (
        "~~~world page",
        "~~~world quite-other",
        line_of("~~~world"),
        10,
        "it belongs into worlds/quite-other.pte",
    ),
    "a par that nobody can reach": ("id=gone", "id=gone par=0", line_of("~~~goal"), 1, "`par` is a number of commands"),
    "a block that swallows the next one": (
        "show: 1.\n~~~\n",
        "show: 1.\n",
        line_of("~~~hint"),
        1,
        "`hint` is never closed",
    ),
    "a world without a name": ("~~~world page", "~~~world", line_of("~~~world"), 1, "names one world"),
}


@pytest.mark.parametrize(("old", "new", "line", "column", "message"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_is_reported_at_its_place(old: str, new: str, line: int, column: int, message: str) -> None:
    with pytest.raises(LessonError) as caught:
        small(old, new)
    found = [str(problem) for problem in caught.value.problems]
    assert any(text.startswith(f"small.md:{line}:{column}: ") and message in text for text in found), found


def test_all_mistakes_are_reported_together_in_the_order_of_the_file() -> None:
    text = TEXT.replace("minutes = 5", "minutes = 0").replace("by=procedure", "by=x").replace("wat", "w")
    with pytest.raises(LessonError) as caught:
        parse(text.replace("id=gone", ""), "small.md", WORLDS)
    lines = [problem.line for problem in caught.value.problems]
    assert lines == [line_of("minutes"), line_of("~~~do"), line_of("~~~goal")]


def test_a_mistake_in_a_prediction_does_not_bring_up_others() -> None:
    with pytest.raises(LessonError) as caught:
        small('kind = "number"', 'kind = "nothing"')
    assert len(caught.value.problems) == 1


def test_a_lesson_that_is_no_text_is_refused_at_its_place(tmp_path: Path) -> None:
    path = tmp_path / "broken.md"
    path.write_bytes(b"+++\n\xc3\xa9\xff\n+++\n")
    with pytest.raises(LessonError, match=r"broken.md:2:2: not UTF-8 text"):
        load(path)


def test_a_lesson_is_found_by_its_name_or_by_its_file(tmp_path: Path) -> None:
    assert find("how-the-walk-works").id == "how-the-walk-works"
    path = tmp_path / "small.md"
    (tmp_path / "worlds").mkdir()
    (tmp_path / "worlds" / "page.pte").write_text(WORLDS["page"])
    path.write_text(TEXT)
    assert find(str(path)).header.title == "A small lesson"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("how-the-walk-work", "how-the-walk-work: no such lesson (did you mean `how-the-walk-works`?)"),
        ("xyz", "xyz: no such lesson (`ptescope lessons` lists them)"),
        ("x.md", "x.md:1:1: cannot be read: No such file or directory"),
        ("./", ".:1:1: cannot be read: Is a directory"),
    ],
)
def test_an_unknown_lesson_is_answered_with_the_nearest_name_or_with_what_is_wrong_with_the_file(
    name: str, message: str
) -> None:
    with pytest.raises(LessonError) as caught:
        find(name)
    assert str(caught.value) == message


def test_a_damaged_lesson_does_not_hide_the_others(tmp_path: Path) -> None:
    (tmp_path / "worlds").mkdir()
    (tmp_path / "worlds" / "page.pte").write_text(WORLDS["page"])
    (tmp_path / "small.md").write_text(TEXT)
    (tmp_path / "damaged.md").write_text("nothing")
    good, bad = entries(tmp_path)
    assert (good.name, good.error) == ("small", None)
    assert bad.name == "damaged"
    assert bad.error is not None


@pytest.mark.skipif(not Path("/dev/zero").exists(), reason="a file without end")
def test_a_file_without_end_is_refused_at_once() -> None:
    with pytest.raises(LessonError, match="longer than 1000000 bytes"):
        load(Path("/dev/zero"))


def test_a_file_written_on_windows_is_the_same_lesson(tmp_path: Path) -> None:
    (tmp_path / "worlds").mkdir()
    (tmp_path / "worlds" / "page.pte").write_text(WORLDS["page"])
    (tmp_path / "small.md").write_bytes(TEXT.replace("\n", "\r\n").encode())
    assert load(tmp_path / "small.md").items == small().items


def test_a_world_that_is_no_text_is_refused_at_its_place(tmp_path: Path) -> None:
    (tmp_path / "worlds").mkdir()
    (tmp_path / "worlds" / "page.pte").write_bytes(b"process p0\n\xff")
    (tmp_path / "small.md").write_text(TEXT)
    with pytest.raises(LessonError, match=r"page.pte:2:1: not UTF-8 text"):
        load(tmp_path / "small.md")


def test_a_lesson_cut_off_anywhere_is_refused_in_words() -> None:
    for end in range(0, len(TEXT) - len("\n~~~\n"), 7):
        with pytest.raises(LessonError) as caught:
            parse(TEXT[:end], "cut.md", WORLDS)
        assert all(problem.line >= 1 for problem in caught.value.problems)


def test_a_lesson_without_any_one_of_its_lines_loads_or_is_refused_in_words() -> None:
    lines = TEXT.split("\n")
    for number in range(len(lines)):
        text = "\n".join(lines[:number] + lines[number + 1 :])
        with suppress(LessonError):
            assert parse(text, "gap.md", WORLDS).items


def test_no_control_character_of_a_lesson_reaches_the_terminal(tmp_path: Path) -> None:
    path = tmp_path / "small.md"
    path.write_text(TEXT.replace("Process `p0` has a page.", "Process \x1b[31m`p0` has a page."))
    with pytest.raises(LessonError, match=r":16:9: the control character U\+001B"):
        load(path)
    with pytest.raises(LessonError, match=r"an escape here makes the control character U\+009B"):
        parse(TEXT.replace("That is another page.", "That is \\u009b2J another page."), "small.md", WORLDS)


def test_a_byte_order_mark_is_no_mistake(tmp_path: Path) -> None:
    path = tmp_path / "small.md"
    (tmp_path / "worlds").mkdir()
    for name, world in WORLDS.items():
        (tmp_path / "worlds" / f"{name}.pte").write_text(world)
    path.write_text(f"\ufeff{TEXT}", encoding="utf-8")
    assert load(path).id == "small"
