"""The stage: cursor, sizes, help, palette, themes, and what a step costs."""

from collections.abc import Callable

import pytest
from textual.binding import Binding, BindingType
from textual.geometry import Region, Size
from textual.screen import Screen
from textual.selection import SELECT_ALL

from lessons.learner.progress import Store
from model.script.parser import parse
from tests.tui.user import KEYS, LARGE, NORMAL, SMALL, at
from tui.drivers.sandbox import SandboxDriver
from tui.screens.panes import PANES
from tui.screens.sandbox_keys import HINTS as SANDBOX_HINTS
from tui.screens.sandbox_keys import SANDBOX_KEYS
from tui.screens.stage import Stage
from tui.screens.stage_keys import HINTS, VIEW_HINTS
from tui.screens.stage_keys import KEYS as KEYS_OF_STAGE
from tui.widgets.line_pane import LinePane

# -- the cursor ----------------------------------------------------------------------------------------


async def test_the_cursor_lights_up_what_is_related_everywhere(store: Store, made: SandboxDriver) -> None:
    async with at(store, made) as user:
        await user.press("v")
        await user.press("4")
        stage = user.stage
        for _ in range(30):
            await user.press("full_stop")
            if stage.focus_subject == "frame:20":
                break
        assert stage.focus_subject == "frame:20"
        assert set(stage.panes["spaces"].lit) >= {"pte:p0:16", "ref:r0"}
        assert stage.panes["holders"].lit == stage.panes["spaces"].lit
        assert "frame f20" in user.seen()
        assert "ref r0" in user.pane("foot")
        await user.press("f")
        assert not stage.panes["spaces"].lit


async def test_a_click_moves_the_cursor_and_the_walk_follows(store: Store, made: SandboxDriver) -> None:
    async with at(store, made) as user:
        await user.press("v")
        spaces = user.stage.panes["spaces"]
        row, line = next((number, line) for number, line in enumerate(spaces.rows) if "33→" in line.text)
        await user.pilot.click(spaces, offset=(line.text.index("33→"), row + spaces.head))
        await user.pilot.pause()
        assert user.stage.focus_subject == "pte:p0:33"
        assert "page 33 = 0x21000" in user.pane("walk")


async def test_the_mouse_lights_up_the_line_that_it_is_over_and_lets_it_go(store: Store, made: SandboxDriver) -> None:
    async with at(store, made) as user:
        stage, picture = user.stage, user.stage.panes["picture"]
        row, line = next((number, line) for number, line in enumerate(picture.rows) if "r0 pin" in line.text)
        await user.pilot.hover(picture, offset=(line.text.index("r0 pin"), row + picture.head))
        await user.pilot.pause()
        assert set(picture.lit) >= {"ref:r0", "frame:20", "pte:p0:16"}
        assert "ref:r0" in stage.panes["ledger"].lit
        assert not stage.focus_subject, "the cursor stands where it stood"
        await user.pilot.hover(stage.panes["log"])
        await user.pilot.pause()
        assert not picture.lit


@pytest.mark.parametrize("bound", [KEYS_OF_STAGE, SANDBOX_KEYS])
def test_a_click_on_the_key_line_does_what_the_key_does(bound: list[BindingType]) -> None:
    bindings = [each for each in bound if isinstance(each, Binding)]
    does = {key: each.action for each in reversed(bindings) for key in each.key.split(",")}  # the first one acts
    hints = SANDBOX_HINTS if bound is SANDBOX_KEYS else [hint[-3:] for hint in (*HINTS, *VIEW_HINTS[True])]
    assert hints
    for key, _, action in hints:
        assert does[{":": "colon"}.get(key[0], key[0])] == action


async def test_the_cursor_stays_on_its_thing_while_the_machine_changes(store: Store, made: SandboxDriver) -> None:
    async with at(store, made) as user:
        await user.press("v")
        user.stage.point("pte:p0:33")
        await user.pilot.pause()
        await user.command("munmap p0 buf")
        await user.press("c")
        cursor = user.stage.panes["spaces"].cursor
        assert cursor is not None
        assert cursor.subject == "pte:p0:33"


async def test_a_row_can_be_copied(store: Store, made: SandboxDriver, monkeypatch: pytest.MonkeyPatch) -> None:
    copied: list[str] = []
    async with at(store, made) as user:
        await user.press("v")
        monkeypatch.setattr(user.app, "copy_to_clipboard", copied.append)
        await user.press("2", "down", "Y")
        assert copied == ["p0  cpu0 · pgd f1"]


async def test_text_can_be_selected(store: Store, made: SandboxDriver) -> None:
    async with at(store, made) as user:
        await user.press("v")
        walk = user.stage.panes["walk"]
        selected = walk.get_selection(SELECT_ALL)
        assert selected is not None
        assert "PTE f4[16]  → f20" in selected[0]
        user.stage.selections = {walk: SELECT_ALL}
        await user.pilot.pause()
        assert "PTE f4[16]" in (user.stage.get_selected_text() or "")


async def test_the_mouse_finds_the_character_it_points_at(store: Store, made: SandboxDriver) -> None:
    async with at(store, made) as user:
        walk = user.stage.panes["picture"]
        pane, place = user.stage.get_widget_and_offset_at(walk.region.x + 4, walk.region.y + 2)
        assert pane is walk
        assert place == (4, 2)


# -- sizes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [SMALL, (100, 32), NORMAL, LARGE, (250, 80), (60, 20)])
async def test_every_size_shows_story_strip_keys_and_nothing_outside(
    store: Store, made: SandboxDriver, size: tuple[int, int]
) -> None:
    async with at(store, made, size) as user:
        screen = Region.from_offset((0, 0), size)
        for pane in user.stage.panes.values():
            if pane.display and pane.region.area:
                assert screen.contains_region(pane.region)
        shown = user.lines()
        assert len(shown) == size[1]
        assert any("1 Story" in line for line in shown)
        assert any("◉" in line for line in shown)
        assert "help" in shown[-1] or "back" in shown[-1] or "command" in shown[-1]


async def test_a_small_screen_shows_one_pane_and_tabs_lead_to_the_others(store: Store, made: SandboxDriver) -> None:
    async with at(store, made, SMALL) as user:
        await user.press("v")
        assert "2 Address spaces" in user.lines()[1]
        assert "3 Walk" in user.lines()[1]
        for number, title, name in PANES:
            await user.press(number)
            pane = user.stage.panes["story" if name == "step" else name]
            assert pane.region.height > 3, title
        await user.pilot.click("#head", offset=(user.lines()[1].index("5 Holders"), 1))
        await user.pilot.pause()
        assert user.stage.panes["holders"].region.height > 3
        assert not user.stage.panes["walk"].region.height


async def test_one_pane_can_be_made_large_and_all_come_back(store: Store, made: SandboxDriver) -> None:
    async with at(store, made) as user:
        await user.press("v")
        before = {name: pane.region for name, pane in user.stage.panes.items()}
        await user.press("4", "m")
        assert user.stage.panes["memory"].region.height > 25
        await user.press("m")
        assert {name: pane.region for name, pane in user.stage.panes.items()} == before


async def test_resizing_keeps_everything_in_place(store: Store, made: SandboxDriver) -> None:
    async with at(store, made) as user:
        for size in (SMALL, LARGE, NORMAL):
            await user.pilot.resize_terminal(*size)
            await user.pilot.pause()
            assert user.stage.size == Size(*size)
            assert "1 Story" in user.seen()


# -- help, palette, themes -----------------------------------------------------------------------------


async def test_help_names_every_key_of_the_stage(store: Store, made: SandboxDriver) -> None:
    async with at(store, made, LARGE) as user:
        described = {one.binding.description for one in user.screen.active_bindings.values()}
        await user.press("question_mark")
        pane = user.screen.query_one("#help", LinePane)
        shown = "\n".join(line.text for line in pane.rows)
        for description in described - {"palette", "Focus Next", "Focus Previous", "Copy selected text", ""}:
            assert description in shown or description.startswith("Answer "), description
        assert "corruption" in shown
        await user.press("q")
        assert user.is_on(Stage)


async def test_the_palette_acts_and_points(store: Store, made: SandboxDriver) -> None:
    async with at(store, made) as user:
        await user.press("ctrl+p")
        await user.press(*(KEYS.get(char, char) for char in "page p0:33"))
        await user.press("enter")
        assert user.stage.focus_subject == "pte:p0:33"
        await user.press("ctrl+p")
        await user.press(*"large")
        await user.press("enter")
        assert user.stage.has_class("-solo")


async def test_themes_change_the_colours_and_nothing_else(store: Store, made: SandboxDriver) -> None:
    async with at(store, made) as user:
        before, style = user.lines(), user.stage.panes["story"].rich_style
        await user.press("t")
        assert user.app.theme == "ptescope-high-contrast"
        assert user.lines() == before
        assert user.stage.panes["story"].rich_style != style


# -- cost ----------------------------------------------------------------------------------------------


async def test_a_step_repaints_what_changed_without_a_layout(
    store: Store, made: SandboxDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    layouts: list[object] = []
    drawn: list[int] = []

    def counted(original: Callable[..., object], into: list[int]) -> Callable[..., object]:
        def draw(self: LinePane, y: int) -> object:
            into.append(y)
            return original(self, y)

        return draw

    async with at(store, made) as user:
        await user.command("write p0 buf+3 9")
        await user.press("n")
        arrange = Screen._refresh_layout

        def spy(self: Screen[object], size: Size | None = None, scroll: bool = False) -> None:
            layouts.append(self)
            arrange(self, size, scroll)

        monkeypatch.setattr(Screen, "_refresh_layout", spy)
        monkeypatch.setattr(LinePane, "render_line", counted(LinePane.render_line, drawn))
        for _ in range(5):
            await user.press("n")
        assert not layouts
        assert len(drawn) < 5 * 40, "of the panes' hundred lines only those that changed are drawn"
        drawn.clear()
        await user.pilot.pause(0.3)
        assert not drawn, "at rest nothing is drawn"


async def test_why_names_the_steps_behind_a_violation_and_goes_there(store: Store) -> None:
    script = """
    process p0
    mmap p0 buf anon private rw 1
    gup p0 buf as=r write pin
    madvise p0 buf dontneed
    """
    async with at(store, SandboxDriver(parse(script))) as user:
        before = user.stage.picture.position
        await user.press("W")
        shown = " ".join(user.seen().split())
        assert "stale-reference" in shown
        assert "madvise p0 buf dontneed: zap_page_range_single.zap_pte_range" in shown
        await user.press("down", "enter")
        assert user.is_on(Stage)
        assert user.stage.picture.position != before


async def test_why_explains_what_the_cursor_points_at(store: Store) -> None:
    async with at(store, SandboxDriver(parse("process p0\nmmap p0 buf anon private rw 1\nwrite p0 buf 65"))) as user:
        user.stage.point("pte:p0:16")
        await user.pilot.pause()
        await user.press("W")
        shown = user.seen()
        assert "the refcount of frame" in shown
        assert "write p0 buf 65: cpu_store.store_byte" in shown
        await user.press("q")
        assert user.is_on(Stage)


# -- the picture -----------------------------------------------------------------------------------------


def many_pages() -> SandboxDriver:
    """A process with more pages than a small screen has rows; the last is written last."""
    lines = ["process p0", "mmap p0 buf anon private rw 16", *(f"write p0 buf+{page} {page}" for page in range(16))]
    return SandboxDriver(parse("\n".join(lines)))


async def test_the_frame_in_question_is_in_sight_on_a_small_screen(store: Store) -> None:
    async with at(store, many_pages(), SMALL) as user:
        await user.command("write p0 buf+15 99")
        await user.press("c")
        assert "=99▌" in user.seen()


async def test_the_cursor_follows_lines_and_all_else_is_dimmed(store: Store, made: SandboxDriver) -> None:
    async with at(store, made) as user:
        await user.press("2")
        stage, pane = user.stage, user.stage.panes["picture"]
        stage.point("pte:p0:16", pane)
        pane.point_at("pte:p0:16")
        await user.pilot.pause()
        assert set(pane.lit) >= {"pte:p0:16", "frame:20", "ref:r0"}
        reached = []
        for _ in range(len(pane.lit)):
            await user.press("full_stop")
            reached.append(stage.focus_subject)
        assert {"frame:20", "ref:r0"} <= set(reached)
        assert "pte:p0:33" not in reached, "another frame's line"
        assert "f20" in user.pane("ledger")


async def test_lists_are_one_key_away_and_the_picture_is_too(store: Store, made: SandboxDriver) -> None:
    async with at(store, made) as user:
        assert "2 Picture" in user.seen()
        await user.press("v")
        assert "2 Address spaces" in user.seen()
        assert "2 Picture" not in user.seen()
        await user.press("v", "5")
        assert "5 Holders" in user.seen(), "a pane that is a list turns to the lists"


async def test_below_76_columns_the_machine_is_listed(store: Store, made: SandboxDriver) -> None:
    async with at(store, made, (75, 24)) as user:
        assert "2 Address spaces" in user.seen()
    async with at(store, made, (76, 24)) as user:
        assert "2 Picture" in user.seen()


async def test_z_unfolds_at_the_cursor(store: Store) -> None:
    async with at(store, SandboxDriver(parse("process p0\nmmap p0 buf anon private rw 6"))) as user:
        assert "buf+0..5" in user.pane("picture")
        user.stage.point("pte:p0:16")
        await user.press("z")
        assert "buf+3" in user.pane("picture")
        await user.press("z")
        assert "buf+0..5" in user.pane("picture")


async def test_a_picture_that_was_never_in_sight_takes_the_cursor_once_it_is(store: Store, made: SandboxDriver) -> None:
    async with at(store, made, SMALL) as user:
        await user.press("f4")
        await user.settle()
        user.stage.point("process:p0")
        await user.settle()
        assert user.app.focused is user.stage.panes["picture"]
        assert user.stage.panes["picture"].cursor is not None
