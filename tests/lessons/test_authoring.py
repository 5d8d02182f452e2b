"""For authors: new, promote, play with live reload, diff, par, mutants; and the lessons of the guide."""

import os
import re
from pathlib import Path

import pytest

from lessons.author.check import check_paths
from lessons.author.mutation import MUTANTS, baseline, mutated, noticed
from lessons.file.library import COURSE, find
from lessons.file.loader import load
from lessons.learner.progress import Store
from tests.tui.user import at
from tui import cli
from tui.drivers.author import AuthorDriver

GUIDE = Path(__file__).parents[2] / "docs" / "authoring.md"
SCENE = (
    "process p0\nmmap p0 buf anon private rw 1\nwrite p0 buf 1\ngup p0 buf as=r write pin\nmadvise p0 buf dontneed\n"
)


def called(capsys: pytest.CaptureFixture[str], *words: object, status: int = 0) -> str:
    assert cli.main([str(word) for word in words]) == status
    said = capsys.readouterr()
    return said.out + said.err


def test_the_lessons_of_the_guide_are_in_order(tmp_path: Path) -> None:
    text = GUIDE.read_text(encoding="utf-8")
    (tmp_path / "worlds").mkdir()
    for name, body in re.findall(r"^```pte (\S+)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
        (tmp_path / name).write_text(body)
    found = re.findall(r"^````lesson (\S+)\n(.*?)^````$", text, re.MULTILINE | re.DOTALL)
    for name, body in found:
        (tmp_path / name).write_text(body)
    lessons, problems = check_paths([tmp_path])
    assert len(lessons) == len(found) == 3
    assert problems == []


def test_a_new_lesson_passes_its_check_and_nothing_is_overwritten(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    called(capsys, "lesson", "new", "who-am-i", "--folder", tmp_path)
    assert "1 lesson checked, 0 problems" in called(capsys, "lesson", "check", "--draft", tmp_path)
    assert load(tmp_path / "who-am-i.md").header.title == "Who am i"
    assert "exists" in called(capsys, "lesson", "new", "who-am-i", "--folder", tmp_path, status=2)


def test_a_title_may_have_any_sign(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    title = 'The "old" \\ way'
    called(capsys, "lesson", "new", "old-way", "--title", title, "--folder", tmp_path)
    assert load(tmp_path / "old-way.md").header.title == title


@pytest.mark.parametrize("scene", ["secret-leaks", "kvm-read-only", "stale-pin-truncate", "frozen-pages"])
def test_a_script_becomes_a_lesson(scene: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = COURSE.parent / "scenes" / f"{scene}.pte"
    called(capsys, "lesson", "promote", script, "--folder", tmp_path)
    assert "1 lesson checked, 0 problems" in called(capsys, "lesson", "check", "--draft", tmp_path)


def test_a_script_that_only_sets_a_scene_is_no_lesson(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = tmp_path / "s.pte"
    script.write_text("process p0\n")
    assert "only sets a scene" in called(capsys, "lesson", "promote", script, status=2)


def promoted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    script = tmp_path / "one.pte"
    script.write_text(SCENE)
    called(capsys, "lesson", "promote", script, "--folder", tmp_path)
    return tmp_path / "one.md"


def test_diff_says_what_a_learner_would_notice(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = promoted(tmp_path, capsys)
    assert called(capsys, "lesson", "diff", old, old) == ""
    new = tmp_path / "newer" / "one.md"
    new.parent.mkdir()
    (new.parent / "worlds").mkdir()
    (new.parent / "worlds" / "one.pte").write_text((tmp_path / "worlds" / "one.pte").read_text())
    new.write_text(old.read_text().replace("as=r write pin", "as=r write").replace('title = "One"', 'title = "Two"'))
    said = called(capsys, "lesson", "diff", old, new, status=1)
    assert "~ title: One -> Two" in said
    assert "the answer was 1025, and is 2" in said
    assert "~ goal one-again: solution 1 text: gup p0 buf as=r write pin -> gup p0 buf as=r write" in said


def test_par_must_be_the_fewest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = promoted(tmp_path, capsys)
    text = path.read_text()
    again = text.index("~~~goal id=one-again")
    longer = text[again:].replace("as=r write pin\n", "as=r write pin\nmadvise p0 buf dontneed\n")
    text = text[:again] + longer
    path.write_text(text)
    assert "the solution has 2 commands, but 1 will do" in called(capsys, "lesson", "check", path, status=1)
    path.write_text(text.replace("~~~goal id=one-again", "~~~goal id=one-again par=2"))
    assert "but 1 will do: gup p0 buf as=r write pin" in called(capsys, "lesson", "check", path, status=1)
    path.write_text(text.replace("~~~goal id=one-again", "~~~goal id=one-again par=1"))
    assert "par=1, but the solution has 2 commands" in called(capsys, "lesson", "check", path, status=1)
    path.write_text(text.replace("~~~goal id=one-again", "~~~goal id=one-again par=x"))
    assert "`par` is a number" in called(capsys, "lesson", "check", path, status=1)


async def test_a_saved_lesson_is_read_again_where_one_stands(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = promoted(tmp_path, capsys)
    async with at(Store(tmp_path / "p.json"), AuthorDriver(path, Store(tmp_path / "p.json"))) as user:
        await user.press("9")
        await user.press("enter", "n")
        place = user.stage.picture.position
        text = path.read_text()
        path.write_text(text.replace('title = "One"', 'title = "Another"'))
        os.utime(path, ns=(1, 1))
        user.stage.look()  # type: ignore[attr-defined]
        await user.pilot.pause()
        assert "Another" in user.lines()[0]
        assert user.stage.picture.position == place
        path.write_text(text.replace("~~~predict", "~~~predicted"))
        os.utime(path, ns=(2, 2))
        user.stage.look()  # type: ignore[attr-defined]
        await user.pilot.pause()
        assert "one.md:" in user.seen(), "what is wrong stands on the screen"
        assert "Another" in user.lines()[0], "the last good one stays"
        path.write_text(text)
        os.utime(path, ns=(3, 3))
        user.stage.look()  # type: ignore[attr-defined]
        assert not user.told(), "what is mended is not complained about any more"


@pytest.mark.parametrize("name", ["no-recheck", "no-copy", "irqs-on", "no-read-protect", "no-tables-freed"])
def test_a_broken_model_is_noticed_by_a_lesson(name: str) -> None:
    """The whole list: `ptescope lesson mutate`."""
    mutant = next(mutant for mutant in MUTANTS if mutant.name == name)
    asked = {
        "no-recheck": "gup-fast",
        "no-copy": "the-secret-of-a-stranger",
        "irqs-on": "gup-fast",
        "no-read-protect": "faults-and-the-zero-page",
        "no-tables-freed": "unmapping-in-order",
    }
    lesson = baseline(find(asked[name]))
    assert list(noticed(mutant, [lesson]))
    with mutated(mutant):
        pass
    assert baseline(find(asked[name])) == lesson, "the model is whole again"


def test_mutants_are_tried_on_a_folder_of_ones_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = promoted(tmp_path, capsys)
    told = called(capsys, "lesson", "mutate", "--among", tmp_path, "no-pin-count", status=2)
    assert "there is no mutant `no-pin-count`" in told
    told = called(capsys, "lesson", "mutate", "--among", tmp_path, "no-copy", "no-recheck", status=1)
    assert "not met: no lesson makes the step ttm_bo_move.copy" in told
    assert "1 lesson, 2 mutants: 1 unnoticed, 1 not met" in told
    path.write_text(path.read_text().replace("~~~world", "~~~wrld"))
    assert "one.md:" in called(capsys, "lesson", "mutate", "--among", tmp_path, status=2)


KERNEL_LACKS = {
    "6.1": ("no `follow_pte`", "no `zap_one`"),
    "6.6": ("no `zap_one`",),
    "6.12": ("no `pmd_special`", "no `zap_one`", "no `zap_two`", "no mm/vma.c"),
    "7.3": ("no `pmd_special`", "no mm/vma.c"),
}
"""Version → what the test's sources lack of what that kernel should have."""


def test_what_is_to_be_read_must_stand_in_the_kernel(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lesson, tree = promoted(tmp_path, capsys), tmp_path / "linux"
    check = ("lesson", "check", "--draft", lesson, "--kernel", tree)
    assert "no folder with kernel sources" in called(capsys, *check, status=2)
    (tree / "mm").mkdir(parents=True)
    assert f"read: there is no mm/memory.c in {tree}" in called(capsys, *check, status=1)
    (tree / "mm" / "memory.c").write_text("static int zap_pte_range(void)\n{\n}\nstruct zap_details;\n")
    assert "0 problems" in called(capsys, *check)
    places = [
        "mm/memory.c: zap_pte_range, zap_pte_rang",
        "mm/memory.c: follow_pte (until 6.1), pmd_special (since 6.12), zap_one (6.1 to 6.12), zap_two (6.12)",
        "mm/memory.c: struct zap_details, struct zap",
        "mm/vma.c: vma_merge (since 6.12)",
    ]
    lesson.write_text(lesson.read_text().replace('read = ["mm/memory.c: zap_pte_range"]', f"read = {places}"))
    said = called(capsys, *check, status=1)
    assert "2 problems" in said, "which kernel this is nobody says, so only what every kernel has is asked for"
    assert "has no `zap_pte_rang` (did you mean `zap_pte_range`?)" in said
    assert "has no `zap`" in said
    for version, missing in KERNEL_LACKS.items():
        major, minor = version.split(".")
        (tree / "Makefile").write_text(f"VERSION = {major}\nPATCHLEVEL = {minor}\nSUBLEVEL = 5\n")
        said = called(capsys, *check, status=1)
        assert f"{2 + len(missing)} problems" in said
        assert all(each in said for each in missing)
