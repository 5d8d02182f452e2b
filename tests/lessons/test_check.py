"""`lesson check` finds each kind of mistake in a lesson that loads, and nothing in one that is sound."""

from pathlib import Path

import pytest

from lessons.author.check import check_lesson, check_paths
from lessons.file.loader import parse
from tests.lessons.small_lesson import TEXT, WORLDS, line_of, small


def complaints(old: str = "", new: str = "", worlds: dict[str, str] = WORLDS) -> list[str]:
    return [str(problem) for problem in check_lesson(small(old, new, worlds=worlds))]


def test_nothing_is_wrong_with_a_sound_lesson() -> None:
    assert complaints() == []


LONG = "word " * 120
MISTAKES = {
    "the goal is met at the start": (
        "expect absent p0 buf     #",
        "expect present p0 buf    #",
        line_of("~~~goal"),
        "met before anything is done",
    ),
    "the solution does not solve": (
        "madvise p0 buf+0 dontneed",
        "madvise p0 buf dontneed",
        line_of("expect present"),
        "does not reach `present p0 buf+1`",
    ),
    "the solution cannot be played": (
        "madvise p0 buf+0 dontneed",
        "madvise p0 buf+0 dontned",
        line_of("madvise p0"),
        "did you mean `dontneed`",
    ),
    "a goal asks for what never exists": (
        "expect absent p0 buf ",
        "expect absent p0 bof ",
        line_of("expect absent"),
        "there is no label bof",
    ),
    "a goal without a solution": (
        "~~~solution\nmadvise p0 buf+0 dontneed\n~~~\n",
        "",
        line_of("~~~goal"),
        "without a solution",
    ),
    "a goal that is reached with less": (
        "madvise p0 buf+0 dontneed",
        "read p0 buf+1\nmadvise p0 buf+0 dontneed",
        line_of("~~~goal"),
        "the solution has 2 commands, but 1 will do: madvise p0 buf+0 dontneed",
    ),
    "an answer that has no value": (
        'answer = "refcount p0 buf"',
        'answer = "refcount p0 bof"',
        line_of("~~~predict"),
        "there is no label bof",
    ),
    "an answer that is typed in": ('answer = "refcount p0 buf"', 'answer = "1"', line_of("~~~predict"), "typed in"),
    "an answer that is no quantity": (
        'answer = "refcount p0 buf"',
        'answer = "refcont p0 buf"',
        line_of("~~~predict"),
        "did you mean `refcount`",
    ),
    "a hint that shows another number": ("show: 1.", "show: One for r1: 3.", line_of("show: 1."), "answer is 1"),
    "a wrong answer that is right": ("is = 2", "is = 1", line_of("~~~predict"), "the wrong answer 1 is right"),
    "a wrong answer that the model makes right": (
        "is = 2",
        'is = "refcount p0 buf+1"',
        line_of("~~~predict"),
        "is right",
    ),
    "no likely wrong answer": (
        '\n[[wrong]]\nis = 2\nreply = "That is another page."\n',
        "wrong = []\n",
        line_of("~~~predict"),
        "no likely wrong answer",
    ),
    "two options are true": (
        'when = "content p0 buf 66"',
        'when = "present p0 buf"',
        line_of('~~~predict\nid = "where"'),
        "2 options are true",
    ),
    "no option is true": (
        'when = "content p0 buf 65"',
        'when = "content p0 buf 64"',
        line_of('~~~predict\nid = "where"'),
        "no option is true",
    ),
    "a wrong option without a reply": (
        'reply = "That is in the other page."\n',
        "",
        line_of('~~~predict\nid = "where"'),
        "no reply to the wrong answer `66`",
    ),
    "a reply to the right option": (
        'when = "content p0 buf 65"',
        'when = "content p0 buf 65"\nreply = "No."',
        line_of('~~~predict\nid = "where"'),
        "a reply to the right answer",
    ),
    "a prediction that nothing reveals": (
        'reveal = "now"\n',
        "",
        line_of('~~~predict\nid = "where"'),
        "no `do` block reveals",
    ),
    "a step of revelation that is not made": (
        'answer = "refcount p0 buf"\n',
        'answer = "refcount p0 buf"\nat = "store_bite"\n',
        line_of("~~~predict"),
        "did you mean `store_byte`",
    ),
    "a question that asks for a number that is not there": (
        "{refcount p0 buf}.",
        "{refcount p0 buf+9}.",
        line_of("~~~predict"),
        "no page mapped there",
    ),
    "a reply with a number that is not there": (
        "It stays as it is.",
        "{refcount r1}",
        line_of("~~~predict"),
        "there is no reference r1 now",
    ),
    "a remark on a step that is not made": (
        "  store_byte:",
        "  stor_byte:",
        line_of("  store_byte"),
        "did you mean `store_byte`",
    ),
    "until a step that is not made": (
        "by=procedure",
        "by=micro until=load_bite",
        line_of("~~~do"),
        "did you mean `load_byte`",
    ),
    "a command that cannot be played": (
        "read p0 buf+1\n~~~",
        "read p0 bof+1\n~~~",
        line_of("read p0 buf+1"),
        "bof",
    ),
    "a word wider than the pane": (
        "Process `p0` has",
        f"Process {'x' * 45} has",
        line_of("Process"),
        "wider than the pane",
    ),
    "a line of code wider than the pane": (
        "Process `p0` has",
        f"    {'x ' * 22}\n\nProcess has",
        line_of("Process"),
        "wider than the pane",
    ),
    "an option wider than the pane": (
        'text = "66"',
        f'text = "{"6" * 45}"',
        line_of('~~~predict\nid = "where"'),
        "wider than the pane",
    ),
    "a link that leads nowhere": (
        "Process `p0` has",
        "Process\n[p0](how-the-walk) has",
        line_of("Process") + 1,
        "did you mean `how-the-walk-works`",
    ),
    "too much to read": ("Now you.", LONG, line_of("Now you."), "lines of prose before something to do; 12"),
    "hints missing": ("next: Look at the world.\n", "", line_of('~~~predict\nid = "where"'), "lack: next"),
    "hints of a goal that are computed": (
        "what: Take it away.",
        "what: Take it away.\nshow: It.",
        line_of("what: Take it away.") + 1,
        "are computed",
    ),
    "no function to read": (
        '["mm/memory.c: zap_pte_range"]',
        "[]",
        1,
        "no kernel function to read",
    ),
    "a function without its file": ('"mm/memory.c: zap_pte_range"', '"zap_pte_range"', 1, "is no place to read"),
    "a lesson that is needed and missing": (
        "order = 1",
        'order = 1\nneeds = ["how-the-walk-work"]',
        1,
        "did you mean `how-the-walk-works`",
    ),
    "a name that is not the file's": ('id = "small"', 'id = "tiny"', 1, "belongs into a file tiny.md"),
    "a goal in the middle of a scene": (
        "~~~after",
        "More.\n\n~~~do\nread p0 buf+1\n~~~\n\n~~~after",
        line_of("~~~goal"),
        "a world must follow",
    ),
}


@pytest.mark.parametrize(("old", "new", "line", "message"), MISTAKES.values(), ids=MISTAKES.keys())
def test_a_mistake_is_found_at_its_line(old: str, new: str, line: int, message: str) -> None:
    found = complaints(old, new)
    assert any(text.startswith(f"small.md:{line}:") and message in text for text in found), found


@pytest.mark.parametrize("most", [4, 7])
def test_a_detour_is_found_in_a_solution_too_long_for_the_search(most: int) -> None:
    old = TEXT[TEXT.index("~~~goal") : TEXT.index("~~~hint\nwhere: The PTE.")]
    names = "abcdefgh"[:most]
    checks = "\n".join(f"expect held {name}  # {name} is held" for name in names)
    takes = [f"gup p0 buf as={name}" for name in names]
    goal = f"~~~goal id=gone\n{checks}\n~~~\n~~~solution\n{{}}\n~~~\n"
    assert complaints(old, goal.format("\n".join(takes))) == []
    longer = "\n".join([*takes[:2], "read p0 buf+1", *takes[2:]])
    (found,) = complaints(old, goal.format(longer))
    assert f"the solution has {most + 1} commands, but {most} will do: {'; '.join(takes)}" in found


def test_nothing_to_do_at_the_beginning_is_a_mistake() -> None:
    walk = "One.\n\n~~~do\nread p0 buf\n~~~\n\n" * 3
    found = complaints("Process `p0` has a page.", walk)
    assert any("nothing to answer or to reach in the first 3 items" in text for text in found)


def test_a_page_to_point_at_must_be_the_only_one() -> None:
    pick = 'kind = "page"\namong = ["p0 buf", "p0 buf+1"]\nanswer = "{}"\notherwise = "No."\n{}'
    old = TEXT[TEXT.index('kind = "choice"') : TEXT.index("~~~hint\nwhere: The first")]

    def found(answer: str, wrong: str = "") -> str:
        ask = 'ask = "Which?"\nreveal = "now"\n'
        return "\n".join(complaints(old, pick.format(answer, ask + wrong) + "~~~\n"))

    assert found("content * 65") == ""
    assert "2 pages answer" in found("present *")
    assert "0 pages answer" in found("absent *")
    assert "the wrong answer p0 buf is right" in found("content * 65", '[[wrong]]\nis = "p0 buf"\nreply = "x"\n')
    assert "not among the answers" in found("content * 65", '[[wrong]]\nis = "p0 x"\nreply = "x"\n')


def test_a_world_that_does_not_stand_is_a_mistake() -> None:
    refused = WORLDS | {"page": WORLDS["page"] + "munmap p0 @16\nread p0 @16\n"}
    assert any("worlds/page.pte:5:1:" in text and "signal SIGSEGV" in text for text in complaints(worlds=refused))
    malformed = WORLDS | {"page": "proces p0\n"}
    assert any(
        "worlds/page.pte:1:1:" in text and "did you mean `process`" in text for text in complaints(worlds=malformed)
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "worlds").mkdir()
    for name, text in WORLDS.items():
        (tmp_path / "worlds" / f"{name}.pte").write_text(text)
    (tmp_path / "small.md").write_text(TEXT)
    return tmp_path


def test_a_folder_is_checked_with_its_worlds(folder: Path) -> None:
    lessons, problems = check_paths([folder])
    assert [lesson.id for lesson in lessons] == ["small"]
    assert [str(problem) for problem in problems] == [
        f"{folder}/worlds/empty.pte:1:1: no lesson of {folder} uses this world"
    ]


def test_one_file_is_checked_alone(folder: Path) -> None:
    lessons, problems = check_paths([folder / "small.md"])
    assert (len(lessons), problems) == (1, [])


def test_what_cannot_be_loaded_is_reported_too(folder: Path, tmp_path: Path) -> None:
    (folder / "worlds" / "page.pte").unlink()
    _, problems = check_paths([folder / "small.md", folder / "nothing.md", tmp_path / "worlds"])
    texts = "\n".join(map(str, problems))
    assert "no world is called `page`" in texts
    assert "nothing.md:1:1: cannot be read: No such file" in texts
    assert "no lesson in this folder" in texts


def test_a_hint_that_shows_no_where_the_model_says_yes_is_found() -> None:
    yes_no = 'kind = "yes/no"\nask = "Is it there?"\nanswer = "present p0 buf"\notherwise = "It is."\n'
    question = TEXT[TEXT.index('kind = "number"') : TEXT.index("~~~\n~~~hint\nwhere: Look")]
    text = TEXT.replace(question, yes_no.replace("kind", 'id = "count"\nkind') if "id =" in question else yes_no)
    for show, found in (("No: it is gone.", True), ("Yes, it is.", False), ("The entry.", False)):
        problems = check_lesson(parse(text.replace("show: 1.", f"show: {show}"), "small.md", WORLDS))
        assert any("the model's answer is yes" in problem.text for problem in problems) == found


@pytest.mark.parametrize("show", ["One.", "1", "0 + 1.", "0x1: the entry.", "The PTE, and no r3."])
def test_a_hint_may_show_the_number_in_many_ways(show: str) -> None:
    assert complaints("show: 1.", f"show: {show}") == []
