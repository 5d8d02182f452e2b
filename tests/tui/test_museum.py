"""The museum as it is used: as text, on the screen, and a bug that is walked through on both machines."""

import re
from functools import cache
from html import escape
from pathlib import Path

import pytest

from lessons.file.museum import exhibits, find
from lessons.learner.progress import Store
from lessons.play.exhibit import ExhibitVerdict, play, verdict_of
from tests.tui.test_explorer import until
from tests.tui.user import User, at
from tui.cli import main
from tui.drivers.exhibit import ExhibitDriver
from tui.export.museum_page import museum_page
from tui.screens.exhibit_stage import ExhibitStage
from tui.screens.explorer import Explorer
from tui.screens.museum import Museum
from tui.screens.sandbox_stage import SandboxStage


@cache
def verdict(name: str) -> ExhibitVerdict:
    return verdict_of(play(find(name)))


def shown(name: str) -> ExhibitDriver:
    return ExhibitDriver(find(name), verdict(name))


def story(driver: ExhibitDriver) -> str:
    return driver.picture().tale.text


# -- as text -----------------------------------------------------------------------------------


@pytest.mark.parametrize("order", ["year", "mechanism", "culprit"])
def test_the_list_has_every_bug_once_in_each_order(order: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["museum", "--by", order]) == 0
    said = capsys.readouterr().out
    for header in (exhibit.header for exhibit in exhibits()):
        assert len(re.findall(rf"^ . [0-9 ]{{4}} {re.escape(header.title)}( {{2}}|$)", said, re.MULTILINE)) == 1


def test_a_bug_as_text_has_facts_verdicts_and_what_the_fix_changed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["museum", "CVE-2016-5195"]) == 0
    said = capsys.readouterr().out
    for words in (
        "Dirty COW (2016, CVE-2016-5195)",
        "19be0eaffa3a mm: remove gup_flags FOLL_WRITE games",
        "as it was: read-only-write is broken in ",
        "as mended: read-only-write is never broken",
        "\n- do_read_fault.do_fault_around",
        "\n+ do_cow_fault.finish_fault",
        "Looked up in:",
    ):
        assert words in said


def test_a_story_tells_the_way_step_by_step(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["museum", "lazyfree-read", "--story"]) == 0
    assert "point of no return" in capsys.readouterr().out


def test_a_bug_that_is_not_there_is_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["museum", "dirty-cov"]) == 2
    assert "did you mean `dirty-cow`?" in capsys.readouterr().err


def test_check_says_what_is_not_as_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = Path(find("dirty-cow").file).read_text(encoding="utf-8")
    file = tmp_path / "dirty-cow.md"
    file.write_text(text.replace("may 1 madvise p0 buf dontneed", "may 1 read p0 buf"), encoding="utf-8")
    assert main(["museum", str(file), "--check"]) == 1
    told = capsys.readouterr()
    assert "`read-only-write` is never broken" in told.err
    assert told.out == "1 bug checked, 1 problem\n"


# -- on the stage ------------------------------------------------------------------------------


def test_the_way_begins_with_what_happened_and_ends_where_the_rule_is_broken() -> None:
    driver = shown("dirty-cow")
    assert "A write through /proc/self/mem" in story(driver)
    assert "**As it was:** `read-only-write` is broken in " in story(driver)
    driver.end(last=True)
    assert "Here the rule is broken." in story(driver)
    assert "the page of file f itself" in story(driver)


def test_forward_stops_where_something_shows_and_where_the_machines_part() -> None:
    driver = shown("dirty-cow")
    parted = said = 0
    for _ in range(40):
        driver.step("forward")
        parted += "Here the two machines part" in story(driver)
        last = driver.picture().last
        said += last is not None and bool(last.remark)
        if driver.session.node.number == driver.before.end:
            break
    assert driver.session.node.number == driver.before.end
    assert parted == 1
    assert said


def test_b_turns_to_the_same_place_on_the_machine_that_is_mended_and_back() -> None:
    driver = shown("dirty-cow")
    driver.end(last=True)
    before = driver.session.node.number
    assert driver.turn() == ""
    assert driver.mended
    assert driver.session.state.settings.get("as-it-was") is None
    driver.end(last=True)
    assert "Nothing is broken." in story(driver)
    assert not driver.picture().broken
    driver.turn()
    assert driver.session.node.number == before


def test_whoever_leaves_the_way_plays_on() -> None:
    driver = shown("dirty-cow")
    assert driver.command("read p0 buf") == ""
    driver.step("command")
    assert driver.session.node.outcome is not None
    assert story(driver)


# -- on the screen -----------------------------------------------------------------------------


async def to_the_museum(user: User) -> None:
    await user.press("m")
    assert isinstance(user.screen, Museum)


async def test_enter_searches_both_scenes_and_opens_the_stage(store: Store) -> None:
    async with at(store) as user:
        await to_the_museum(user)
        museum = user.screen
        assert isinstance(museum, Museum)
        museum.pane.point_at("exhibit:lazyfree-read")
        await user.press("enter")
        await until(user, lambda: user.is_on(ExhibitStage))
        await user.pilot.pause()
        assert "A disk read into pages" in user.seen()
        assert "lost-write is broken" in user.seen()
        await user.press("b")
        assert "As mended: lost-write is never" in " ".join(user.seen().split())
        await user.press("q")
        assert isinstance(user.screen, Museum)


async def test_x_searches_what_the_scene_permits_and_s_plays_on(store: Store) -> None:
    async with at(store) as user:
        await to_the_museum(user)
        museum = user.screen
        assert isinstance(museum, Museum)
        museum.pane.point_at("exhibit:dirty-cow")
        await user.press("x")
        explorer = user.screen
        assert isinstance(explorer, Explorer)
        on = [choice.line for choice in explorer.choices if choice.on]
        assert on == ["force-write p0 p0 buf 66", "madvise p0 buf dontneed"]
        await user.press("q", "s")
        assert user.is_on(SandboxStage)
        assert user.stage.picture.state.settings["as-it-was"] == "foll-cow"
        assert "may 1 force-write" in user.seen()


async def test_the_cursor_stays_on_its_bug_in_another_order(store: Store) -> None:
    async with at(store) as user:
        await to_the_museum(user)
        museum = user.screen
        assert isinstance(museum, Museum)
        museum.pane.point_at("exhibit:late-mremap-flush")
        await user.press("o", "o", "o")
        assert museum.chosen == "exhibit:late-mremap-flush"


def test_where_the_fix_is_another_call_each_machine_makes_its_own() -> None:
    driver = shown("mali-read-only")
    assert driver.after is not None
    driver.session.goto(driver.before.start)
    driver.turn()
    driver.end(last=True)
    assert "Nothing is broken" in story(driver)


# -- as a page ---------------------------------------------------------------------------------


def test_the_page_has_both_machines_and_what_the_machine_lacks() -> None:
    page = museum_page([find("mali-read-only"), find("lazy-tlb")])
    for words in (find("lazy-tlb").header.title, find("lazy-tlb").header.lacks, find("mali-read-only").header.rule):
        assert escape(words) in page
    assert re.findall(r"<figcaption>([^<]*)", page) == ["before the calls", "as it was", "as mended"]
    assert page.count("<svg") == 3
    assert not re.search(r"(src|href)=.?http", page)


def test_the_museum_is_one_page_and_nothing_else(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "museum", "-o", str(tmp_path / "museum.svg")]) == 2
    assert "the museum is one page" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


# -- one's own -----------------------------------------------------------------------------------

ANSWERS = {
    "undo": "foll-cow",
    "title": "A copy that is looked for twice",
    "year": "2016",
    "mechanism": "copy-on-write",
    "culprit": "get_user_pages",
    "affected": "2.6.22 to 4.8.2",
    "breaks": "read-only-write",
    "symptom": "A file has bytes that nobody may write.",
    "rule": "An intent must survive a retry.",
    "happened": "GUP faults a copy in. It forgets that it came to write. So it writes to the file.",
}


def written(folder: Path, **other: str) -> tuple[int, Path]:
    before = find("dirty-cow").before
    assert before is not None
    (folder / "scene.pte").write_text("\n".join(line for line in before.text.splitlines() if "as-it-was" not in line))
    options = [word for key, text in (ANSWERS | other).items() for word in (f"--{key}", text)]
    file = folder / "looked-for-twice.md"
    return main(["museum", "new", "-o", str(file), "--scene", str(folder / "scene.pte"), *options]), file


def test_a_bug_of_ones_own_is_written_if_both_scenes_show_it(tmp_path: Path) -> None:
    status, file = written(tmp_path)
    assert status == 0
    assert main(["museum", str(file), "--check"]) == 0


def test_whoever_gives_no_options_is_asked_and_asked_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = find("dirty-cow").before
    assert before is not None
    scene, file = tmp_path / "scene.pte", tmp_path / "asked.md"
    scene.write_text("\n".join(line for line in before.text.splitlines() if "as-it-was" not in line))
    said = {**ANSWERS, "scene": str(scene), "output": str(file)}
    wrong = {"mechanism": ["magic"]}
    words: list[str] = [word for key, text in said.items() for word in (*wrong.get(key, ()), text)]
    answers = iter(words)
    questions: list[str] = []

    def answer(question: str) -> str:
        questions.append(question)
        return next(answers)

    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", answer)
    assert main(["museum", "new"]) == 0
    assert questions == [f"{key}? " for key in said for _ in (*wrong.get(key, ()), key)]
    assert "`magic` is none of these" in capsys.readouterr().out
    assert main(["museum", str(file), "--check"]) == 0


def test_whoever_ends_the_input_is_told_what_is_missing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def ended(_question: str) -> str:
        raise EOFError

    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", ended)
    assert main(["museum", "new"]) == 2
    assert "--scene, --output" in capsys.readouterr().err


@pytest.mark.parametrize(("key", "text"), [("undo", "mremap-flush"), ("mechanism", "magic"), ("happened", "")])
def test_a_bug_that_does_not_show_or_is_not_whole_is_not_written(key: str, text: str, tmp_path: Path) -> None:
    status, file = written(tmp_path, **{key: text})
    assert status != 0
    assert not file.exists()
