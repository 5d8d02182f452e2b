"""The sandbox beyond single steps: tasks, ready scenes, settings, forms, the palette."""

from lessons.file.scene_library import ready_scenes
from lessons.learner.progress import Store
from tests.tui.sandboxes import SIZES, STALE, driver_of, overlay
from tests.tui.user import KEYS, at
from tui.drivers.sandbox import SandboxDriver
from tui.screens.form import Form
from tui.screens.overlay import Overlay
from tui.screens.settings import Settings
from tui.screens.stage import Stage
from tui.session.preferences import NAME, PreferencesFile


@SIZES
async def test_tasks_are_scheduled_by_number_and_say_who_is_in_the_way(store: Store, size: tuple[int, int]) -> None:
    driver = driver_of(*STALE[:3])
    async with at(store, driver, size) as user:
        await user.command("begin a mprotect p0 buf r")
        await user.press("r")
        for _ in range(10):
            if any(lock.writer == "a" for lock in driver.session.state.locks.values()):
                break
            await user.press("1")
        await user.press("q")
        await user.command("munmap p0 buf")
        await user.press("r", "2", "f")
        shown = user.seen()
        assert "mmap_lock of p0" in shown
        assert "a is at" in shown
        await user.press("q")
        await user.command("read p0 buf")
        assert "waits" in user.pane("foot"), "a command that waits is not given up silently"
        await user.command("finish a")
        await user.press("c")
        assert not len(driver.session.state.vmas)


@SIZES
async def test_a_ready_scene_is_loaded_by_its_number(store: Store, size: tuple[int, int]) -> None:
    driver = driver_of("memfd f 2")
    async with at(store, driver, size) as user:
        await user.press("L", "2", "3")
        assert "stale-pin-punch" in driver.session.timeline.bookmarks.values()
        about = next(scene.about for scene in ready_scenes() if scene.name == "stale-pin-punch")
        assert driver.session.node.depth == 0, "it opens at its start"
        assert about.split()[-1] in user.pane("story"), "and says what it is about, whole"
        await user.press("end")
        assert "lost-write" in user.seen() or "stale-reference" in user.seen()
        assert "W why" in user.lines()[-1]
        assert any(node.command == "memfd f 2" for node in driver.session.timeline.nodes), "nothing is lost"


@SIZES
async def test_another_kernel_side_by_side(store: Store, size: tuple[int, int]) -> None:
    driver = SandboxDriver()
    async with at(store, driver, size) as user:
        await user.command("scene kvm-read-only")
        await user.press("comma")
        assert isinstance(user.screen, Settings)
        await user.press("left")
        shown = overlay(user)
        assert "6.1 → 6.18" in shown or "6.1 → 7.3" in shown
        first = user.screen.pairs[user.screen.first]
        assert first.command.startswith("follow p0 buf")
        await user.press("d")
        assert user.screen.chosen == f"pair:{user.screen.first}"
        await user.press("a")
        assert user.is_on(Stage)
        assert driver.session.state.settings.get("kernel") != "6.1"


@SIZES
async def test_a_form_makes_a_command_of_what_is_valid_here(store: Store, size: tuple[int, int]) -> None:
    driver = driver_of(*STALE[:3], "device nic")
    async with at(store, driver, size) as user:
        await user.command("form gup")
        assert isinstance(user.screen, Form)
        form = user.screen
        assert form.line == "gup p0 buf as=r0"
        await user.press(*["tab"] * 7, "space")
        assert form.line.endswith(" pin")
        await user.press("enter")
        assert user.is_on(Stage)
        assert "gup p0 buf as=r0 pin" in user.pane("foot")
        await user.press("c")
        await user.command("form dma")
        assert isinstance(user.screen, Form)
        form = user.screen
        assert form.line == "dma r0 write 65"
        await user.press("tab", "down")
        assert form.line == "dma r0 read"
        await user.press("escape")
        assert user.is_on(Stage)


async def test_the_palette_has_a_form_for_every_verb_and_the_words_of_the_session(store: Store) -> None:
    async with at(store, driver_of(*STALE[:2])) as user:
        for typed, screen in (("command madvise", Form), ("session history", Overlay)):
            await user.press("ctrl+p")
            await user.press(*(KEYS.get(char, char) for char in typed))
            await user.press("enter")
            assert isinstance(user.screen, screen)
            await user.press("escape")


async def test_a_step_forward_goes_on_to_one_that_shows_until_that_is_switched_off(store: Store) -> None:
    driver = driver_of("process p0", "mmap p0 a anon private rw 1")
    async with at(store, driver) as user:
        await user.command("write p0 a 7")
        begun = driver.session.node.depth
        await user.press("n")
        folded = driver.session.node
        assert folded.changes, "something in sight is another"
        assert folded.depth > begun + 1, "walking down took no press of its own"
        await user.press("p")
        assert driver.session.node.depth == begun, "back undoes the press"
        await user.press("i")
        assert driver.session.node.depth == begun + 1, "i still goes into each"
        await user.press("F", "n")
        assert driver.session.node.depth == begun + 2
    assert not PreferencesFile(store.path.with_name(NAME)).read().folds, "it is remembered"


async def test_after_a_fault_that_maps_neighbours_the_walk_is_that_of_the_page_that_was_read(store: Store) -> None:
    lines = ("process p0", "diskfile f 4", *(f"pwrite f {page} 7" for page in range(4)), "mmap p0 a file:f shared r 4")
    async with at(store, driver_of(*lines)) as user:
        await user.press("v")
        await user.command("read p0 a")
        await user.press("c")
        assert "19→" in user.pane("spaces"), "its neighbours are mapped too"
        assert "p0:16" in user.pane("walk") or "page 16" in user.pane("walk")
        assert "page 19" not in user.pane("walk")


async def test_the_colon_that_opens_the_prompt_may_be_typed_again(store: Store) -> None:
    """Documents write `:save FILE`; whoever copies that after pressing the key is understood."""
    async with at(store, driver_of("process p0")) as user:
        await user.command(":mmap p0 a anon private rw 1")
        assert "unknown command" not in user.seen()
        assert "mmap p0 a anon private rw 1" in user.seen()
