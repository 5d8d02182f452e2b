"""A command typed where no prompt is open: it opens one, and what its letters did as keys is taken back."""

import pytest
from textual.events import Key

from lessons.file.library import find
from lessons.learner.progress import Store
from tests.tui.user import User, at
from tui.app.typed_command import PACE, TypedCommand
from tui.drivers.opening import lesson_driver, sandbox_driver
from tui.screens.prompt import Prompt
from tui.screens.stage import Stage

NAMED = {" ": "space", "=": "equals_sign", "-": "minus"}


async def type_in(user: User, text: str) -> None:
    await user.press(*(NAMED.get(letter, letter) for letter in text))


async def test_a_command_that_is_just_typed_stands_in_the_prompt_whole(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tui.app.typed_command.PACE", 60.0)  # a busy machine types slowly
    driver = sandbox_driver(store)
    for setting in ("process p0", "mmap p0 buf anon private rw 1"):
        driver.command(setting)
        driver.step("command")
    async with at(store, driver) as user:
        stage, where, theme = user.app.stage_in_front, driver.past().here.number, user.app.theme
        for line in ("process p1", "madvise p0", "gup p0", "write p0", "truncate f", "bo b"):
            await type_in(user, line)
            assert isinstance(user.app.screen, Prompt), line
            assert user.app.screen.line.value == line
            assert (driver.past().here.number, user.app.theme) == (where, theme)
            await user.press("escape")
            assert user.app.stage_in_front is stage


async def test_letters_that_answer_a_question_open_no_prompt(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tui.app.typed_command.PACE", 60.0)
    async with at(store, lesson_driver(find("each-mapping-each-grab"), store)) as user:
        await type_in(user, "bo b")
        assert isinstance(user.app.screen, Stage)


async def test_keys_pressed_one_by_one_are_no_word(store: Store) -> None:
    async with at(store, sandbox_driver(store)) as user:
        stage = user.app.stage_in_front
        typed = TypedCommand(lambda: stage, lambda: user.app.theme)
        apart = []
        for number, letter in enumerate("pun"):
            apart.append(Key(letter, letter))
            apart[-1].time = number * PACE * 1.1
        assert [typed.takes(key) for key in apart] == [None] * 3
        for key in apart:
            key.time = 0.0
        begun = [typed.takes(key) for key in apart][-1]
        assert begun is not None
        assert begun[0] == "pun"
