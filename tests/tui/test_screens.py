"""Every screen at three sizes and in two themes, compared with files; `PTESCOPE_SNAPSHOTS=write pytest` renews them.

A file names the class of its screen. Then it has the text at each size and, for each theme, how many characters have
which style: what a theme must never do is to change the text.
"""

import importlib
import os
import pkgutil
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple
from unittest.mock import patch

import pytest
from rich.style import Style
from textual.screen import Screen

import tui.screens
from lessons.file.museum import find
from lessons.learner.progress import LessonProgress, Store
from lessons.play.exhibit import ExhibitVerdict, play, verdict_of
from model.compare.cells import MOST_STATES, Cell
from model.compare.scenes import DriverRow
from model.compare.table import questions, review_questions
from model.script.parser import parse
from tests.lessons.small_lesson import TEXT, WORLDS
from tests.tui.test_explorer import PINNED, until
from tests.tui.user import LARGE, NORMAL, SMALL, User, at
from tui.drivers import sandbox as sandbox_driver
from tui.drivers.author import AuthorDriver
from tui.drivers.drill import DrillDriver
from tui.drivers.driver import Driver
from tui.drivers.exhibit import ExhibitDriver
from tui.drivers.sandbox import SandboxDriver
from tui.jobs.compare_cache import Cache
from tui.screens import museum as museum_screen
from tui.screens.comparison import Comparison
from tui.screens.driver_review import DriverReview
from tui.screens.exhibit_stage import ExhibitStage
from tui.screens.leaves_once import LeavesOnce
from tui.screens.overlay import Overlay
from tui.screens.state_graph import Map
from tui.views.glyphs import UNICODE
from tui.views.view_model import Rule
from tui.widgets.role_styles import HIGH_CONTRAST, PTESCOPE

FOLDER = Path(__file__).parent / "snapshots" / "screens"
SIZES = {"80x24": SMALL, "120x40": NORMAL, "200x60": LARGE}
THEMES = (PTESCOPE, HIGH_CONTRAST)
RULES = (Rule("stale-reference", "A reference and its page agree."), Rule("lost-write", "A write reaches its reader."))
"""The list of rules grows with the model; these screens shall not change with it."""


class Visit(NamedTuple):
    """How one comes to a screen."""

    begin: Callable[[Store, Path], Driver | None]
    go: Callable[[User], Awaitable[None]]


def pinned(*lines: str) -> Callable[[Store, Path], Driver]:
    """A sandbox in which a card has pinned a page and the process has thrown it away, and some more."""

    def begin(_store: Store, _folder: Path) -> Driver:
        driver = SandboxDriver(parse(PINNED))
        for line in ("madvise p0 buf dontneed", *lines):
            driver.command(line)
            driver.step("command")
        return driver

    return begin


def lesson(_store: Store, folder: Path) -> AuthorDriver:
    """A small lesson, as its author sees it."""
    (folder / "worlds").mkdir()
    (folder / "worlds" / "page.pte").write_text(WORLDS["page"])
    (folder / "small.md").write_text(TEXT)
    return AuthorDriver(folder / "small.md", Store(folder / "p.json"))


def begun(store: Store, _folder: Path) -> None:
    """Home, with a lesson that was begun."""
    store.save("a-mapping-costs-no-memory", LessonProgress(item=1))


def drilled(store: Store, _folder: Path) -> None:
    """Home, with some exercises done."""
    store.answered("pte", right=True)
    store.answered("walk", right=False)


def nowhere(_store: Store, _folder: Path) -> None:
    """Home."""


def keys(*pressed: str) -> Callable[[User], Awaitable[None]]:
    """By the keyboard."""

    async def go(user: User) -> None:
        await user.press(*pressed)

    return go


async def to_the_form(user: User) -> None:
    await user.command("form gup")


async def to_the_map(user: User) -> None:
    await user.press("X")
    await until(user, lambda: user.is_on(Map))


async def to_a_kernel_that_is_none(user: User) -> None:
    """What a real kernel does is not the same everywhere; what is said without one is."""
    with patch("tui.screens.beside_kernel.sys.platform", "plan9"):
        await user.press("K")


async def to_the_comparison(user: User) -> None:
    few = questions("6.1", ("insert-page", "qxl"), ("cpu", "gup-fast"), ("none", "dma-buf-check=refuse"))
    screen = Comparison(UNICODE, asked=few)
    await user.app.push_screen(screen)
    assert screen.computing is not None
    await screen.computing


async def to_a_review(user: User) -> None:
    """What stands in the cells is not searched here."""
    row = DriverRow(("qxl",))
    asked = review_questions(row, "6.18")
    found = [Cell("refused", "EFAULT"), Cell("corrupts", invariant="foreign-dma", steps=24), Cell("safe", states=54)]
    Cache(MOST_STATES).write({one.text: found[number % 3] for number, one in enumerate(asked)})
    screen = DriverReview(UNICODE, row, "6.18")
    await user.app.push_screen(screen)
    assert screen.computing is not None
    await screen.computing


EXHIBITS = ("dirty-cow", "late-mremap-flush", "lazyfree-read")
"""The museum grows; these screens shall not change with it."""


@cache
def verdict(name: str) -> ExhibitVerdict:
    return verdict_of(play(find(name)))


def to_the_bug(*pressed: str) -> Callable[[User], Awaitable[None]]:
    """Dirty COW on its stage."""

    async def go(user: User) -> None:
        driver = ExhibitDriver(find("dirty-cow"), verdict("dirty-cow"))
        await user.app.push_screen(ExhibitStage(driver, UNICODE))
        await user.press(*pressed)

    return go


TASKS = ("begin one read p0 buf", "begin two write p0 buf 7", "step two 3")
VISITS = {
    "home": Visit(nowhere, keys()),
    "confirm": Visit(begun, keys("R")),
    "recap": Visit(drilled, keys("r")),
    "lesson": Visit(lesson, keys()),
    "drill": Visit(lambda store, _: DrillDriver(store, "refcount", 4), keys()),
    "sandbox": Visit(pinned(), keys()),
    "help": Visit(pinned(), keys("question_mark")),
    "prompt": Visit(pinned(), keys("colon", "g", "u", "p")),
    "tree": Visit(pinned(), keys("T")),
    "tasks": Visit(pinned(*TASKS), keys("r")),
    "difference": Visit(pinned(), keys("D")),
    "scenes": Visit(pinned(), keys("L")),
    "legend": Visit(pinned(), keys("l")),
    "glossary": Visit(pinned(), keys("g")),
    "code": Visit(pinned(), keys("y")),
    "lesson-code": Visit(lesson, keys("y")),
    "script": Visit(pinned(), keys("colon", *"script", "enter")),
    "settings": Visit(pinned(), keys("comma")),
    "forms": Visit(pinned(), keys("colon", *"form", "enter")),
    "form": Visit(pinned(), to_the_form),
    "time-space": Visit(pinned(*TASKS), keys("S")),
    "why": Visit(pinned(), keys("W")),
    "own-kernel": Visit(pinned(), to_a_kernel_that_is_none),
    "driver-form": Visit(nowhere, keys("ctrl+n")),
    "explorer": Visit(pinned(), keys("x")),
    "map": Visit(pinned(), to_the_map),
    "comparison": Visit(nowhere, to_the_comparison),
    "review": Visit(nowhere, to_a_review),
    "museum": Visit(nowhere, keys("m")),
    "museum-by-mechanism": Visit(nowhere, keys("m", "o")),
    "museum-facts": Visit(nowhere, keys("m", "i")),
    "exhibit": Visit(nowhere, to_the_bug("end")),
    "exhibit-mended": Visit(nowhere, to_the_bug("end", "b")),
    "presenter": Visit(lesson, keys("P")),
    "leaving-a-lecture": Visit(lesson, keys("P", "escape")),
}
BASES = {LeavesOnce, Overlay}
"""What other screens are made of."""


@pytest.fixture(autouse=True)
def _the_same_everywhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(museum_screen, "exhibits", lambda: [find(name) for name in EXHIBITS])
    monkeypatch.setattr(sandbox_driver, "all_rules", lambda: RULES)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


def styles(user: User) -> list[str]:
    """How many characters have which style, the most frequent first."""
    counted: Counter[str] = Counter()
    for strip in user.screen._compositor.render_strips():
        for text, style, _ in strip:
            plain = (
                Style(color=style.color, bgcolor=style.bgcolor, bold=style.bold, dim=style.dim) if style else Style()
            )
            marks = [word for word in ("underline", "reverse", "italic") if style and getattr(style, word)]
            counted[" ".join([str(plain), *marks])] += len(text)
    return [f"{count:6} {style}" for style, count in sorted(counted.items(), key=lambda each: (-each[1], each[0]))]


async def shown(user: User, size: str) -> list[str]:
    """The screen as text, and its styles in each theme."""
    parts: list[str] = []
    text: list[str] = []
    for theme in THEMES:
        user.app.theme = theme.name
        await user.pilot.pause()
        seen = [line.rstrip() for line in user.lines()]
        assert text in ([], seen), f"{theme.name} shows another text"
        text = seen
        parts += [f"--- {size} {theme.name} ---", *styles(user)]
    return [f"=== {size} ===", *text, *parts]


@pytest.mark.parametrize("name", VISITS)
async def test_every_screen_looks_as_it_should(name: str, tmp_path: Path) -> None:
    visit = VISITS[name]
    found: list[str] = []
    kinds: set[str] = set()
    for number, (size, room) in enumerate(SIZES.items()):
        folder = tmp_path / str(number)
        folder.mkdir()
        store = Store(folder / "progress.json")
        async with at(store, visit.begin(store, folder), room) as user:
            await visit.go(user)
            await user.pilot.pause()
            found += await shown(user, size)
            kinds.add(type(user.screen).__name__)
    text = "\n".join([*kinds, *found]) + "\n"
    file = FOLDER / f"{name}.txt"
    if os.environ.get("PTESCOPE_SNAPSHOTS") == "write":
        FOLDER.mkdir(exist_ok=True, parents=True)
        file.write_text(text, encoding="utf-8")
    assert text == file.read_text(encoding="utf-8"), f"{file} differs; PTESCOPE_SNAPSHOTS=write renews it"


def test_no_screen_is_missing() -> None:
    """Each class of screens is what somebody sees on one of these visits."""
    screens = {
        value.__name__: value
        for module in pkgutil.iter_modules(tui.screens.__path__)
        for value in vars(importlib.import_module(f"tui.screens.{module.name}")).values()
        if isinstance(value, type) and issubclass(value, Screen) and value.__module__.startswith("tui.screens.")
    }
    visited = [screens[(FOLDER / f"{name}.txt").read_text(encoding="utf-8").partition("\n")[0]] for name in VISITS]
    missing = set(screens.values()) - BASES - {base for screen in visited for base in screen.__mro__}
    assert missing == set(), "give these screens a visit in VISITS of this file: which keys lead there?"
