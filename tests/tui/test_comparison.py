"""The comparison on the screen: cells as they are searched, one table a defence, Enter opens the trace."""

from pathlib import Path

import pytest
from textual.widgets import Input

from lessons.i18n.language import ENGLISH, use
from lessons.learner.progress import Store
from model.compare.cells import MOST_STATES, Cell, Judge
from model.compare.scenes import DriverRow, rows
from model.compare.table import questions, review_questions
from model.driver_files.resolve import whole
from tests.tui.user import NORMAL, SMALL, User, at
from tui.jobs.compare_cache import Cache
from tui.screens.comparison import Comparison
from tui.screens.driver_form import DriverForm
from tui.screens.driver_review import OWN_KERNEL, DriverReview
from tui.screens.home import Home
from tui.screens.stage import Stage
from tui.screens.time_space import TimeSpace
from tui.views.glyphs import UNICODE

FEW = questions("6.1", ("insert-page", "qxl"), ("cpu", "gup-fast"), ("none", "dma-buf-check=refuse"))


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


async def opened(user: User) -> Comparison:
    """The screen, with every answer in."""
    screen = Comparison(UNICODE, asked=FEW)
    await user.app.push_screen(screen)
    assert screen.computing is not None
    await screen.computing
    await user.pilot.pause()
    return screen


@pytest.mark.parametrize("size", [SMALL, NORMAL])
async def test_cells_are_searched_and_enter_opens_the_trace(store: Store, size: tuple[int, int]) -> None:
    async with at(store, size=size) as user:
        await opened(user)
        assert "Compare, kernel 6.1, defence: none" in user.lines()[0]
        assert "✗ corrupts in" in user.seen()
        await user.press("down", "right", "enter")
        assert user.is_on(Stage)
        assert "gup-fast: corrupts in" in user.lines()[0]
        assert any(broken.severity == "corruption" for broken in user.stage.picture.broken)
        await user.press("p", "q")
        assert user.is_on(Comparison)
        await user.press("tab")
        assert "dma-buf-check=refuse" in user.lines()[0]
        assert "refused EINVAL at mmap" in user.seen()
        await user.press("q")
        assert user.is_on(Home)


async def test_what_was_searched_is_not_searched_again(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    async with at(store) as user:
        await opened(user)
        before = user.seen()
        await user.press("q")
        monkeypatch.setattr("tui.jobs.compare.run_in_process", None)
        await opened(user)
        assert user.seen() == before


async def test_a_driver_is_reviewed_and_a_cell_opened(store: Store) -> None:
    """What is known already is shown at once; the rest of the driver's cells are searched."""
    row = next(row for row in rows("6.1") if "qxl" in row.kinds)
    judge = Judge(MOST_STATES)
    asked = review_questions(row, "6.1")
    known = [one for one in asked if (one.row, one.column) in {("raw", "evict"), ("gup-fast", "move")}]
    others = {one.text: Cell("safe", states=1) for one in asked if one not in known}
    Cache(MOST_STATES).write({**others, **{one.text: judge.cell(one.scene) for one in known}})
    async with at(store) as user:
        await opened(user)
        await user.press("r")
        assert user.is_on(DriverReview)
        screen = user.app.screen
        assert isinstance(screen, DriverReview)
        assert screen.computing is not None
        await screen.computing
        await user.pilot.pause()
        assert "Review of qxl, bochs, kernel 6.1" in user.lines()[0]
        assert [(one.row, one.column) for one in screen.listed] == [("raw", "evict")]
        assert "1 corrupts, " in user.seen()
        await user.press("enter")
        assert isinstance(user.screen, TimeSpace)
        await user.press("escape", "q")
        raw = [question.row for question in asked if question.column == "move"].index("raw")
        await user.press("v", *["down"] * raw, "right")
        assert "raw: a driver that keeps the bare frame number. evict:" in user.seen()
        assert "corrupts in 24" in user.seen()
        await user.press("enter")
        assert isinstance(user.screen, TimeSpace)
        assert "corruption" in user.seen()
        await user.press("escape")
        assert user.is_on(Stage)
        assert "raw / evict: corrupts in 24" in user.lines()[0]


def test_what_a_cell_is_about_is_said_in_the_readers_language() -> None:
    use("de")
    try:
        review = DriverReview(UNICODE, DriverRow(("cirrus",)), "6.1")
        fork = next(one for one in review.asked if (one.row, one.column) == ("raw", "fork"))
        said = (review.about(fork), Comparison(UNICODE, asked=FEW).about(FEW[1]))
    finally:
        use(ENGLISH)
    assert said[0] == (
        "raw: ein Treiber, der nur die Frame-Nummer behält. fork: fork(2), und der Elternprozess schreibt weiter."
    )
    assert said[1] == "gup-fast: get_user_pages_fast(), FOLL_GET: direct I/O in 6.1."


async def test_a_file_of_ones_own_is_reviewed(store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    text = "driver mine\nlike vgem\n"
    (tmp_path / "mine.driver").write_bytes(text.encode())
    asked = review_questions(DriverRow(("mine",), text=text), OWN_KERNEL)
    Cache(MOST_STATES).write({one.text: Cell("safe", states=1) for one in asked})
    async with at(store) as user:
        await user.press("ctrl+y", "m")
        assert "mine.driver  a file here" in user.seen()
        await user.press("tab", "enter")
        assert user.is_on(DriverReview)
        assert f"Review of mine, kernel {OWN_KERNEL}" in user.lines()[0]


async def test_what_cannot_be_reviewed_stays_in_the_prompt_with_the_reason(store: Store, tmp_path: Path) -> None:
    wrong = tmp_path / "w.driver"
    wrong.write_bytes(b"driver w\nvma PFNMPA\n")
    async with at(store, size=NORMAL) as user:
        await user.press("ctrl+y", *"vgme", "enter")
        assert "did you mean `vgem`?" in user.seen()
        assert user.lines()[-1].startswith("vgme ")
        line = user.app.focused
        assert isinstance(line, Input)
        line.value = str(wrong)
        await user.press("enter")
        assert "w.driver:2:5: `PFNMPA` is not one of" in "".join(user.lines())
        assert line.value == str(wrong)
        await user.press("escape")
        assert user.is_on(Home)


async def test_harm_is_listed_as_it_is_found_and_the_cursor_stays_on_its_row(store: Store) -> None:
    row = DriverRow(("qxl",))
    asked = review_questions(row, OWN_KERNEL)
    Cache(MOST_STATES).write({one.text: Cell("safe", states=1) for one in asked})
    async with at(store) as user:
        screen = DriverReview(UNICODE, row, OWN_KERNEL)
        await user.app.push_screen(screen)
        assert screen.computing is not None
        await screen.computing
        assert not screen.lists, "nothing does harm, so the table says what was looked at"
        await user.press("v")
        assert "Nothing harmful so far" in user.seen()
        for at_, cell in enumerate((Cell("hazard", steps=4), Cell("corrupts", steps=9), Cell("corrupts", steps=7))):
            screen.answers[asked[at_].text] = cell
            screen.came([asked[at_]])
            if at_ == 1:
                await user.press("down")
        await user.pilot.pause()
        assert screen.listed == [asked[2], asked[1], asked[0]]
        assert screen.question() == asked[0]
        assert "2 corrupts, 1 hazard, " in user.seen()


async def test_what_the_form_describes_is_reviewed(store: Store) -> None:
    async with at(store) as user:
        await user.press("ctrl+n")
        form = user.screen
        assert isinstance(form, DriverForm)
        text = form.draft.text
        asked = review_questions(DriverRow((whole(text).name,), text=text), OWN_KERNEL)
        Cache(MOST_STATES).write({one.text: Cell("safe", states=1) for one in asked})
        await user.press("ctrl+r")
        assert user.is_on(DriverReview)
        await user.press("escape")
        assert user.screen is form
