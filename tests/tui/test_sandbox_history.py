"""The history of a sandbox: its tree, bookmarks, differences between places, watched expressions."""

from lessons.learner.progress import Store
from tests.tui.sandboxes import SIZES, STALE, driver_of, overlay
from tests.tui.user import SMALL, at
from tui.drivers.sandbox import SandboxDriver
from tui.screens.stage import Stage


@SIZES
async def test_the_tree_shows_every_way_and_leads_anywhere(store: Store, size: tuple[int, int]) -> None:
    driver = driver_of(*STALE)
    async with at(store, driver, size) as user:
        await user.press("B")
        await user.enter("stale")
        await user.press("home")
        await user.command("memfd f 2")
        await user.press("c", "T")
        shown = overlay(user)
        assert "[stale] madvise p0 buf dontneed" in shown
        assert "memfd f 2" in shown
        assert shown.index("memfd f 2") < shown.index("mmap p0 buf"), "a side branch stands before the trunk goes on"
        await user.press("right_square_bracket", "enter")
        assert user.is_on(Stage)
        timeline = driver.session.timeline
        assert timeline.bookmarks[timeline.here.number] == "stale"
        await user.press("T", "end", "up", "d")
        assert "step " in overlay(user)
        await user.press("q")
        await user.command("goto 0")
        assert timeline.here.number == 0
        await user.command("goto stael")
        assert "did you mean `stale`" in user.pane("foot")


@SIZES
async def test_what_differs_names_old_and_new(store: Store, size: tuple[int, int]) -> None:
    async with at(store, driver_of(*STALE[:3]), size) as user:
        await user.press("B")
        await user.enter("before")
        await user.command(STALE[3])
        await user.press("c")
        await user.command("diff before")
        shown = overlay(user)
        assert "~ frame 5: refcount 1 → 1025" in shown
        assert "+ reference r: kind pin" in shown
        assert "free" not in shown
        await user.press("2")
        await user.press("q")
        await user.press("D", "3")
        assert "+ process p0" in overlay(user)


async def test_only_neighbours_are_told_as_one(store: Store) -> None:
    """Frames 5, 8 and 6 change alike: 5 and 6 share a row, 8 has its own; and no row of numbers is invented."""
    written = tuple(f"write p0 buf+{page} 1" for page in (0, 2, 3, 1))
    driver = driver_of("device nic", "process p0", "mmap p0 buf anon private rw 4", *written)
    async with at(store, driver) as user:
        await user.press("B")
        await user.enter("before")
        await user.command("gup p0 buf[0:3] as=r by=nic")
        await user.press("c")
        await user.command("diff before")
        shown = " ".join(overlay(user).split())
        assert "~ frames 5 to 6: refcount 1 → 2" in shown
        assert "~ frame 8: refcount 1 → 2" in shown
        assert "frames 5 8 6" in shown


async def test_a_block_of_2_mib_is_one_difference(store: Store) -> None:
    async with at(store, SandboxDriver(), SMALL) as user:
        await user.command("scene huge-page-hole")
        await user.press("D", "3")
        shown = overlay(user)
        assert "frames 513 to 1023: buffer, refcount 0, mapcount 0" in shown
        assert len(shown.splitlines()) < 70


async def test_watched_expressions_say_when_they_changed(store: Store) -> None:
    async with at(store, driver_of(*STALE[:3]), SMALL) as user:
        await user.press("w")
        await user.enter("refcount p0 buf")
        await user.command("watch present p0 buf")
        await user.command("watch refcuont p0 buf")
        assert "refcount" in user.pane("foot"), "the nearest word is named"
        await user.command(STALE[3])
        await user.press("c")
        step = user.stage.picture.position
        assert "refcount p0 buf = 1025  (was 1 until " in user.pane("story")
        await user.command(STALE[4])
        await user.press("c")
        assert "refcount p0 buf = no page" in user.pane("story")
        assert "present p0 buf = no  (was yes until" in user.pane("story")
        assert user.stage.picture.position != step
        await user.command("watch present p0 buf")
        assert "present p0 buf" not in user.pane("story")


async def test_bookmarks_stand_on_the_strip_and_are_a_key_away(store: Store) -> None:
    driver = driver_of(*STALE)
    async with at(store, driver) as user:
        end = driver.session.node.number
        await user.press("home", "n", "n", "B")
        await user.enter("here")
        marked = driver.session.node.number
        await user.press("home")
        assert "◆" in user.seen(), "it stands on the strip"
        await user.press("end")
        assert driver.session.node.number == end
        await user.press("left_curly_bracket")
        assert driver.session.node.number == marked
        assert "here" in user.seen()
        await user.press("left_curly_bracket")
        assert driver.session.node.number == marked
        assert "There is no bookmark that way" in " ".join(user.seen().split())
        await user.press("home", "right_curly_bracket")
        assert driver.session.node.number == marked


@SIZES
async def test_any_two_places_can_be_compared(store: Store, size: tuple[int, int]) -> None:
    driver = driver_of(*STALE)
    async with at(store, driver, size) as user:
        await user.command("bookmark end")
        await user.press("home")
        await user.command("memfd f 2")
        await user.press("c")
        await user.command("bookmark aside")
        await user.command("diff end aside")
        shown = overlay(user)
        assert "process p0" in shown, "what is only on the other way"
        assert "file f" in shown, "and what is only on this one"
        await user.press("q", "T", "m")
        await user.press("left_square_bracket", "d")
        backwards = overlay(user)
        assert "process p0" in backwards
        assert backwards != shown
        await user.press("q")
        await user.command("diff end asied")
        assert "did you mean `aside`?" in user.seen()
        await user.command("diff nowhere")
        assert "There is no place `nowhere`" in user.seen()
        await user.command("bookmark over there")
        await user.command("diff over there end")
        assert "reference r" in overlay(user), "a name may have blanks"
        await user.press("q", "T", "m")
        (marked,) = (line for line in overlay(user).splitlines() if "<marked>" in line)
        assert "over there" in marked
        await user.press("m")
        assert "<marked>" not in overlay(user)
