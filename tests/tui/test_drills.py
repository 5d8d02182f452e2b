"""Drills as they are used: on the stage with the keyboard, and as text; scores are kept."""

import io
from pathlib import Path

import pytest

from lessons.drills.book import KINDS, exercise
from lessons.drills.hints import hints
from lessons.learner.progress import Store
from tests.tui.user import NORMAL, SMALL, at
from tui import cli
from tui.drivers.drill import DrillDriver
from tui.plain.panes import unfilled


@pytest.mark.parametrize("size", [SMALL, NORMAL])
async def test_answer_account_next(store: Store, size: tuple[int, int]) -> None:
    made = exercise("refcount", 4)
    async with at(store, DrillDriver(store, "refcount", 4), size) as user:
        assert "refcount 4" in user.lines()[0]
        before = user.stage.picture
        await user.press("n")
        assert user.stage.picture.state is before.state, "nothing is shown before the answer"
        await user.press("abcd"[made.right], "enter")
        assert "Right: " in user.pane("story")
        await user.press("n", "n")
        assert user.stage.picture.last is not None
        await user.press("end")
        assert not user.stage.picture.can & {"forward"}, "the account's end, and still this exercise"
        await user.press("home")
        await user.press("enter")
        assert "refcount 5" in user.lines()[0]
        assert "1 of 1 right" in user.lines()[0]
    assert store.read().drills["refcount"].right == 1


@pytest.mark.parametrize("size", [SMALL, NORMAL])
@pytest.mark.parametrize("number", [1, 2, 3])
async def test_a_digit_answers_and_function_keys_show_the_panes(
    store: Store, size: tuple[int, int], number: int
) -> None:
    made = exercise("refcount", 4)
    async with at(store, DrillDriver(store, "refcount", 4), size) as user:
        assert "its number" in user.pane("story")
        assert "F2-F8" in user.lines()[-1] or "F4 Ledger" in user.seen()
        assert "F1 Story" not in user.seen(), "F1 is help"
        await user.press("f4")
        assert user.stage.picture.tale.ask is not None, "looking at a pane is no answer"
        assert user.stage.focused is user.stage.panes["ledger"]
        await user.press(str(number), "enter")
        assert user.stage.picture.tale.judged[0].guess == made.answers[number - 1].text
        await user.press("4")
        assert user.stage.focused is user.stage.panes["ledger"], "after the answer digits are panes again"


async def test_a_digit_beyond_the_answers_shows_its_pane(store: Store) -> None:
    async with at(store, DrillDriver(store, "refcount", 4)) as user:
        await user.press("9", "0", "7")
        assert user.stage.picture.tale.ask is not None
        assert user.stage.focused is user.stage.panes["rules"]


async def test_before_and_after_can_be_compared(store: Store) -> None:
    async with at(store, DrillDriver(store, "which-op", 1)) as user:
        assert "before" in user.lines()[0]
        before = user.stage.picture.state
        await user.press("n")
        assert "after" in user.lines()[0]
        assert user.stage.picture.state != before
        assert user.stage.picture.changes, "what is different is marked"
        assert not user.stage.picture.log, "but not what did it"
        await user.press("p")
        assert user.stage.picture.state == before


async def test_hints_are_given_one_by_one_until_there_is_an_answer(store: Store) -> None:
    made = exercise("refcount", 4)
    async with at(store, DrillDriver(store, "refcount", 4)) as user:
        await user.press("h")
        assert "hint, where:" in user.seen()
        assert "hint, what:" not in user.seen()
        await user.press("h", "h")
        assert "hint, what:" in user.seen()
        assert "Those were all the hints" in user.seen()
        await user.press(str(made.right + 1), "enter")
        assert "hint, where:" not in user.seen()


@pytest.mark.parametrize("kind", KINDS)
def test_no_hint_is_the_answer(kind: str) -> None:
    """The kinds ask with four words what the model then says; a hint that says it too would be none."""
    for seed in range(3):
        made = exercise(kind, seed)
        told = [hint.replace("`", "") for hint in hints(made)]
        assert len(set(told)) == 2
        truth = made.answers[made.right].text
        assert not any(len(truth) > 3 and truth in hint for hint in told)


def plain(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], typed: str, *words: str) -> str:
    monkeypatch.setattr("sys.stdin", io.StringIO(typed))
    assert cli.main(["drill", "--plain", *words]) == 0
    return capsys.readouterr().out


def test_as_text(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    made = exercise("pte", 9)
    right = "abcd"[made.right]
    out = plain(monkeypatch, capsys, f"x\n{right}\nw\n", "pte", "--seed", "9", "--count", "1")
    assert "Drill pte, number 9." in out
    assert "Choose one of the answers by its letter" in out
    assert f"Right: {unfilled(made.answers[made.right].text)}." in out
    assert made.account[0] in out.rpartition("w shows how")[2], "the worked account"
    assert "Right so far: 1 of 1." in out
    assert Store(tmp_path / "ptescope" / "progress.json").read().drills["pte"].asked == 1


def test_the_same_number_asks_everybody_the_same(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    assert plain(monkeypatch, capsys, "q\n", "corrupts", "--seed", "7") == plain(
        monkeypatch, capsys, "q\n", "corrupts", "--seed", "7"
    )


def test_a_number_without_a_kind_asks_everybody_the_same(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    asked = []
    for who in ("new", "old"):
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / who))
        store = Store(tmp_path / who / "ptescope" / "progress.json")
        for kind in KINDS:
            for _ in range(9 if who == "old" else 0):
                store.answered(kind, right=kind != "walk")
        out = "".join(plain(monkeypatch, capsys, "a\n\n" * 3, "--seed", str(n), "--count", "3") for n in (5, 50, 500))
        asked.append([line for line in out.splitlines() if line.startswith("Drill ")])
    assert asked[0] == asked[1]
    assert len({line.split()[1] for line in asked[0]}) > 2, "of several kinds"


async def test_on_the_screen_a_number_without_a_kind_asks_everybody_the_same(store: Store, tmp_path: Path) -> None:
    other = Store(tmp_path / "other.json")
    for _ in range(9):
        for kind in list(KINDS)[1:]:
            other.answered(kind, right=True)
    for number in range(40, 52):
        assert (
            DrillDriver(store, "", number, fixed=True).exercise == DrillDriver(other, "", number, fixed=True).exercise
        )


@pytest.mark.parametrize("seed", [17, 31, 138, 293])
def test_before_and_after_are_never_the_same_picture(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path, seed: int
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    out = plain(monkeypatch, capsys, "q\n", "which-op", "--seed", str(seed))
    before, after = out.split("before:")[1].split("Something was done")[0].split("after:")
    assert before.split() != after.split()


def test_an_unknown_kind_is_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["drill", "refcuont"]) == 2
    assert "did you mean `refcount`?" in capsys.readouterr().err
