"""The help begins with what goes on here: the question, the goal, who is stuck, on whom, and what to do."""

from lessons.file.library import find
from lessons.learner.progress import Store
from tests.tui.user import User, at
from tui.drivers.opening import lesson_driver
from tui.drivers.sandbox import SandboxDriver


async def helped(user: User) -> str:
    await user.press("question_mark")
    shown = " ".join(user.seen().split())
    await user.press("escape")
    return shown


async def test_help_at_a_question_says_how_to_answer(store: Store) -> None:
    async with at(store, lesson_driver(find("a-reference-is-not-a-mapping"), store)) as user:
        assert "The lesson waits for your guess: type a number, then Enter" in await helped(user)
        await user.press("n")
        assert "refused Answer first." in await helped(user), "why the last key was not obeyed"


async def test_help_names_who_waits_and_who_is_in_the_way(store: Store) -> None:
    async with at(store, SandboxDriver()) as user:
        for line in (
            "process p0",
            "mmap p0 buf anon private rw 2",
            "begin zap munmap p0 buf",
            "step zap 2",
            "begin map mmap p0 more anon private rw 1",
            "step map 2",
        ):
            await user.command(line)
            await user.press("c")
        shown = await helped(user)
        assert "task map It waits: mmap_lock of p0, held by zap" in shown
        assert "Let zap go on (step zap, finish zap), and map can follow." in shown.replace("`", "")


async def test_help_names_the_reference_that_a_truncate_waits_for(store: Store) -> None:
    async with at(store, SandboxDriver()) as user:
        for line in (
            "process p0",
            "device nic",
            "dax x 1",
            "mmap p0 buf dax:x shared rw 1",
            "write p0 buf 65",
            "gup p0 buf as=r0 write by=nic",
            "begin cut truncate x 0",
            "step cut 60",
        ):
            await user.command(line)
            await user.press("c")
        assert "r0 holds that frame: give it back with put r0." in (await helped(user)).replace("`", "")


async def test_help_says_what_is_broken(store: Store) -> None:
    async with at(store, SandboxDriver()) as user:
        for line in (
            "process p0",
            "mmap p0 buf anon private rw 1",
            "gup p0 buf as=r write pin",
            "madvise p0 buf dontneed",
        ):
            await user.command(line)
            await user.press("c")
        assert "hazard stale-reference Since step" in await helped(user)
