"""Lessons of one's own: a folder beside the course, known everywhere; and what an author may not write."""

import re
from pathlib import Path

import pytest

from lessons.author import scaffold
from lessons.author.check import check_lesson
from lessons.drills.book import ON_WORLDS, chosen, exercise, unknown_kind
from lessons.drills.hints import hints
from lessons.file.library import entries, find, next_in_course
from lessons.file.loader import load
from lessons.i18n import lesson_folders
from lessons.i18n.lesson_folders import VARIABLE, name_folders
from lessons.learner.progress import DrillAnswer, Store
from lessons.teach import assignment as assignments
from lessons.teach.assignment import assign, drill_set, open_assignment
from lessons.teach.replayed import WorkError, replay_exercise
from tests.tui.user import at
from tui import cli
from tui.drivers.author import AuthorDriver
from tui.screens.home import Home

QUESTION = "has refcount {refcount p0 buf}."


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with two lessons, which the program is told of."""
    monkeypatch.setattr(lesson_folders, "data_folder", lambda: tmp_path / "none")
    monkeypatch.setenv(VARIABLE, "")
    own = tmp_path / "own"
    for number, name in enumerate(("first-of-mine", "second-of-mine")):
        draft = scaffold.empty(name, name.replace("-", " ").capitalize())
        (own / "worlds").mkdir(parents=True, exist_ok=True)
        (own / "worlds" / f"{name}.pte").write_text(draft.world)
        (own / f"{name}.md").write_text(draft.lesson.replace("order = 99", f"order = {90 + number}"))
    name_folders([own])
    return own


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "progress.json")


def called(capsys: pytest.CaptureFixture[str], *words: str, status: int = 0) -> str:
    assert cli.main(list(words)) == status
    said = capsys.readouterr()
    return said.out + said.err


async def test_they_are_in_the_list_at_home_and_follow_each_other(folder: Path, store: Store) -> None:
    async with at(store, None, (120, 200)) as user:
        assert f"Lessons in {folder}" in user.seen()
        assert "Second of mine" in user.seen()
        (folder / "worlds" / "empty.pte").write_text("process a\n")
        assert isinstance(user.screen, Home)
        user.screen.pane.point_at("action:app.drill('@')")
        await user.press("enter")
        assert re.search(r"@(first|second)-of-mine \d+", user.seen()), "nothing can be asked on an empty machine"
        for world in (folder / "worlds").glob("*.pte"):
            world.write_text("process a\n")
        await user.press("1", "enter", "enter")
        assert "nothing is mapped" in user.told() + user.seen(), "the author is at work on it"
    following = next_in_course("first-of-mine")
    assert following is not None
    assert following.id == "second-of-mine"
    assert next_in_course("second-of-mine") is None
    last = [entry.name for entry in entries() if entry.folder is None and entry.lesson is not None][-1]
    assert next_in_course(last) is None, "the course ends where it ends"


def test_every_command_that_knows_lessons_knows_them(
    folder: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(VARIABLE, "")
    option = ("--lessons", str(folder))
    assert "first-of-mine: First of mine" in called(capsys, "lessons", *option)
    assert "2 lessons checked, 0 problems" in called(capsys, "lesson", *option, "check", "--draft")
    assert "1 lesson checked" in called(capsys, "lesson", "check", "--draft", "first-of-mine")
    words = ("class", "--out", "pack", "--minutes", "20", "first-of-mine")
    monkeypatch.chdir(tmp_path)
    assert "pack/worksheet" in called(capsys, *option, *words), "the folder's name is no deed"
    assert "x.md" in called(capsys, "export", "first-of-mine", "-o", str(tmp_path / "x.md"))
    with pytest.raises(SystemExit):
        cli.main(["lessons", "--lessons", str(tmp_path / "nowhere")])
    assert "there is no folder" in capsys.readouterr().err


def test_they_are_translated_beside_themselves(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from lessons.i18n.language import use

    place = folder / "translations" / "de" / "lessons"
    assert str(place / "first-of-mine.po") in called(capsys, "lesson", "translate", "first-of-mine", "de")
    (place / "first-of-mine.po").write_text('msgid "Say why."\nmsgstr "Sag, warum."\n')
    use("de")
    try:
        assert "Sag, warum." in str(find("first-of-mine"))
    finally:
        use("en")


SCENE = """# a buffer and a child
process a
device nic
mmap a heap anon private rw 2
write a heap 5
gup a heap as=hold write pin by=nic
fork a kid
"""


@pytest.mark.parametrize("kind", ON_WORLDS)
def test_exercises_are_asked_on_ones_own_worlds(folder: Path, kind: str) -> None:
    (folder / "worlds" / "child.pte").write_text(SCENE)
    for seed in range(4):
        made = exercise(f"{kind}@child", seed)
        assert made == exercise(f"{kind}@child", seed)
        assert made.scene == tuple(SCENE.splitlines()[1:]), "the author's machine, without the author's remarks"
        assert len({answer.text for answer in made.answers}) == len(made.answers)
        assert any(name in made.ask for name in ("heap", "One command", "Frame f"))
        assert all(hints(made))


def test_all_that_fits_a_world_is_asked_on_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "worlds" / "child.pte").write_text(SCENE)
    kinds = {chosen("@child", {}, seed) for seed in range(12)}
    assert kinds == {f"{kind}@child" for kind in ON_WORLDS}
    assert chosen("@child", {}, 3) == chosen("@child", {}, 3)
    (folder / "worlds" / "empty.pte").write_text("process a\n")
    assert "nothing is mapped" in called(capsys, "drill", "--plain", "@empty", status=2)
    assert "no folder of your own has the world chidl" in called(capsys, "drill", "@chidl", status=2)
    with pytest.raises(WorkError, match="nothing is mapped"):
        replay_exercise("pte@empty 3", DrillAnswer(0, 1))


def test_a_world_goes_along_with_what_is_assigned_on_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "worlds" / "child.pte").write_text(SCENE)
    week = assign("Week", [], [drill_set("refcount@child:2", 3)], 0)
    made = exercise("refcount@child", 3)
    monkeypatch.setenv(VARIABLE, "")
    data = tmp_path / "data"
    data.mkdir()
    for module in (lesson_folders, assignments):
        monkeypatch.setattr(module, "data_folder", lambda: data)
    monkeypatch.setattr(assignments, "assignments_folder", lambda: data / "assignments")
    assert "no folder of your own has the world child" in called(capsys, "drill", "refcount@child", status=2)
    open_assignment(week)
    assert exercise("refcount@child", 3) == made, "asks a student the same"
    assert "did you mean `refcount`?" in called(capsys, "drill", "refcout@child", status=2)
    (data / "worlds" / "child.pte").write_text("munmap p0 nothing\n")
    assert "child.pte: there is no process `p0`" in unknown_kind("pte@child")
    (data / "worlds" / "child.pte").write_text("process p0\nmmap p0 b secretmem private r 1\n")
    assert "child.pte: this command sets no scene: mmap" in unknown_kind("pte@child")


def test_a_name_of_the_course_cannot_be_taken(folder: Path) -> None:
    text = (folder / "first-of-mine.md").read_text()
    (folder / "gup-fast.md").write_text(text.replace('id = "first-of-mine"', 'id = "gup-fast"'))
    taken = next(entry for entry in entries() if entry.folder == folder and entry.name == "gup-fast")
    assert "there is a lesson of that name already" in str(taken.error)
    assert find("gup-fast").file.endswith("course/gup-fast.md")


WRONG = (
    (QUESTION, "has refcount {refcount p0 buf. ", "is never closed"),
    (QUESTION, "has refcount {refcount p0 buf:zz}.", "`zz` is no way to write a number"),
    (QUESTION, "has refcount {refcont p0 buf}.", "`refcont` is no quantity; did you mean `refcount`?"),
    ('right = "Say why."', 'right = "Say why."', "the template's own text: `Say why.`"),
    ("minutes = 5", 'minutes = 5\nneeds = ["first-of-mine"]', "it needs itself: `first-of-mine`"),
    (
        "minutes = 5",
        'minutes = 5\nneeds = ["second-of-mine"]',
        "it needs itself: `first-of-mine` needs `second-of-mine`",
    ),
)


@pytest.mark.parametrize(("old", "new", "said"), WRONG)
def test_what_an_author_may_not_write_is_named_with_its_place(folder: Path, old: str, new: str, said: str) -> None:
    path, other = folder / "first-of-mine.md", folder / "second-of-mine.md"
    path.write_text(path.read_text().replace(old, new))
    other.write_text(other.read_text().replace("minutes = 5", 'minutes = 5\nneeds = ["first-of-mine"]'))
    lines = path.read_text().split("\n")
    found = next(problem for problem in check_lesson(load(path)) if said in problem.text)
    assert new.rsplit("\n", maxsplit=1)[-1][:12] in lines[found.line - 1]
    assert 1 <= found.column <= len(lines[found.line - 1])


SLIPS = (
    ("title = ", f'title = "{"long " * 20}"', "letters: it is cut off in lists"),
    ("minutes = ", 'minutes = 5\nneeds = ["gup-fats", "gup-fast", "gup-fast"]', "did you mean `gup-fast`?"),
    ("read = ", 'read = ["nothing"]', "`nothing` is no place to read"),
    ("rule = ", 'rule = "TODO"', "`TODO`: this is not finished"),
    ("summary = ", 'summary = "{}"', "`{}` names no quantity"),
    ("Now you: bring", "Now you: bring `it about once more.", "code that begins with ` and does not end"),
    ("where: The picture", f"where: {'*' * 2000}", "a line of 2007 letters"),
    ("what: Their order", "what: refcount} p0 buf", "`}` closes nothing"),
    ("madvise p0 buf dontneed", "expect held q\nmadvise p0 buf dontneed", "`expect held q` does not hold here"),
)
"""The line that begins so, what stands there instead, and what is said to it."""


def test_slips_of_an_author_are_each_named_where_they_stand(folder: Path) -> None:
    path = folder / "first-of-mine.md"
    lines = path.read_text().split("\n")
    for old, new, _ in SLIPS:
        at = next(number for number, line in enumerate(lines) if line.startswith(old))
        lines[at] = new
    path.write_text("\n".join(lines))
    lines = path.read_text().split("\n")
    problems = check_lesson(load(path), draft=False)
    for _, new, said in SLIPS:
        found = next((problem for problem in problems if said in str(problem)), None)
        assert found is not None, said
        assert lines[found.line - 1] in new.split("\n"), said
        assert 1 <= found.column <= len(lines[found.line - 1])
    assert any("it needs `gup-fast` more than once" in str(problem) for problem in problems)


def test_a_world_sets_a_scene_and_a_lesson_has_an_end(folder: Path) -> None:
    world = folder / "worlds" / "first-of-mine.pte"
    world.write_text(f"{world.read_text()}may 1 read p0 buf\n")
    path = folder / "first-of-mine.md"
    head, rest = path.read_text().split("~~~do by=command", 1)
    path.write_text(head + "~~~do by=command\nread p0 buf\n~~~\n" * 60 + "~~~do by=command" + rest)
    problems = [str(problem) for problem in check_lesson(load(path), draft=True)]
    assert any(f"{world}:5:1: `may` has no meaning in a world" in problem for problem in problems)
    assert any("items in 5 minutes: nobody can read them" in problem for problem in problems)


def test_no_text_is_longer_than_anybody_reads(folder: Path) -> None:
    path = folder / "first-of-mine.md"
    text = path.read_text()
    long = "word " * 2000
    text = text.replace('ask = "The page', f'ask = "{long} The page').replace("where: The picture", f"where: {long}", 1)
    text = text.replace("~~~do by=command\ngup", "~~~do by=command\n" + "read p0 buf\n" * 100 + "gup")
    text = text.replace('title = "First of mine"', f'title = "{long}"')
    path.write_text(text.replace("**", "w" * 5000))
    problems = [str(problem) for problem in check_lesson(load(path), draft=True)]
    places = [
        problem.split(": ")[0].rpartition("first-of-mine.md:")[2] for problem in problems if " lines; " in problem
    ]
    assert len(places) == 3, "title, question, hint"
    assert any("101 commands in one block; 24 are the most" in problem for problem in problems)
    assert max(map(len, problems)) < 400, "the message is none of them"


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('title = "First of mine"', 'title = "First \\u200b"', ":4:16: an escape here makes the control character"),
        ('title = "First of mine"', 'title = ""', "title: expected a text: it is empty"),
        ('id = "first-of-mine"\ntitle', 'id = "First"\ntitle', "id: expected small letters, digits and -"),
        ("minutes = 5", "minutes = 500", "minutes: expected a number from 1 to 60"),
        ('title = "First of mine"', "title = First of mine", 'a text needs quotes: title = "First of mine"'),
        ('title = "First of mine"', 'title = "First of mine', "a quote is missing"),
        ('title = "First of mine"', "title = " + "[" * 5000, "too many brackets inside each other"),
        ("~~~do by=command\ngup p0 buf as=r", "~~~do until=x\ndevice d\n~~~\n~~~do\ngup p0 buf as=r", "no micro-steps"),
    ],
)
def test_what_is_wrong_is_said_as_an_author_would(
    folder: Path, old: str, new: str, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    path = folder / "first-of-mine.md"
    path.write_text(path.read_text().replace(old, new, 1))
    assert said in called(capsys, "lesson", "check", "--draft", str(path), status=1)


async def test_playing_keeps_the_step_after_a_save_and_says_what_check_would(folder: Path, store: Store) -> None:
    path = folder / "first-of-mine.md"
    text = path.read_text()
    driver = AuthorDriver(path, store)
    driver.player.answer("2")
    driver.step("forward")
    driver.step("into")
    driver.step("into")
    step = driver.player.step
    async with at(store, driver, (120, 40)) as user:
        before = "~~~world first-of-mine\n~~~\n\nA new part comes first.\n\n~~~world first-of-mine\n~~~"
        path.write_text(text.replace("~~~world first-of-mine\n~~~", before, 1).replace("show: 2.", "show: 3."))
        user.stage.look()  # type: ignore[attr-defined]
        await user.app.workers.wait_for_complete()
        await user.pilot.pause()
        assert driver.player.step == step
        assert driver.player.place.item == 2
        assert "the hint `show` says `3.`" in user.told()
