"""The explorer and the map as whole screens."""

import pytest

from lessons.learner.progress import Store
from tests.tui.test_app_snapshots import compare
from tests.tui.test_explorer import PINNED, explorer, sandbox, searched, until
from tests.tui.user import NORMAL, SMALL, at
from tui.screens.state_graph import Map

SIZES = {"small": SMALL, "normal": NORMAL}


@pytest.mark.parametrize("size", SIZES)
async def test_what_may_happen_and_the_map_of_it(store: Store, size: str) -> None:
    async with at(store, sandbox(PINNED), SIZES[size]) as user:
        await user.press("x")
        compare(user, f"explorer-{size}")
        screen = explorer(user)
        wanted = {"dma r0 write 99", "madvise p0 buf dontneed"}
        screen.choices = [choice._replace(on=choice.line in wanted) for choice in screen.choices]
        await user.press("x")
        await searched(user)
        await user.press("X")
        await until(user, lambda: user.is_on(Map))
        await user.press("e")
        compare(user, f"map-{size}")
