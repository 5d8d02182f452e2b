"""What the first frame waits for: no module that it does not show. A module is imported by who first needs it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

OPEN: Final = """
from tui.app.launch import import_asyncio
import_asyncio()
import asyncio, json, sys
from pathlib import Path

async def first_frame(app):
    async with app.run_test(size=(120, 40)) as pilot:
        await pilot.pause()
        print(json.dumps(sorted(sys.modules)))

from lessons.learner.progress import Store
from tui.app.app import PtescopeApp
from tui.drivers.opening import lesson_driver
store = Store(Path("progress.json"))
asyncio.run(first_frame(PtescopeApp(store)))
from lessons.file.library import find
asyncio.run(first_frame(PtescopeApp(store, lesson_driver(find("how-the-walk-works"), store))))
import ssl  # whoever needs it has it
"""

NEVER: Final = (
    *("aiohttp", "babel", "hypothesis", "networkx", "segno", "ssl", "tomlkit"),
    *("model.compare", "model.kernel.all_procedures", "model.replay", "model.script.complete", "model.search"),
    "model.driver_files.check",
    *("lessons.author", "lessons.drills.book", "lessons.file.museum", "lessons.teach"),
    *(
        "lessons.file.toml_mistakes",
        "lessons.file.translation",
        "lessons.learner.file_lock",
        "lessons.play.step_size",
        "tui.session.completion",
    ),
    *("tui.commands", "tui.export", "tui.jobs", "tui.live", "tui.plain", "tui.tools", "tui.web"),
    *("tui.app.palette", "tui.app.recording", "tui.screens.comparison", "tui.screens.explorer", "tui.screens.help"),
    *("tui.screens.legend", "tui.screens.museum", "tui.screens.presenter", "tui.screens.why"),
)
"""Neither home nor a lesson shows any of it; a package stands for all that is in it."""
AT_HOME: Final = (
    *("model.driver_files", "model.engine", "model.invariants", "model.kernel", "model.script", "model.session"),
    *("lessons.play", "tui.drivers.lesson", "tui.screens.panes", "tui.screens.stage", "tui.views.picture"),
)
"""Home shows no machine."""
IN_A_LESSON: Final = (
    *("tui.screens.home", "tui.screens.sandbox_stage"),
    *(f"model.kernel.mm.{name}" for name in ("fork", "ksmd", "madvise", "migrate", "mremap", "reclaim", "remote")),
    *("model.kernel.drivers.dma_buf", "model.kernel.drivers.gem", "model.kernel.fs.pipe", "model.kernel.virt"),
    *("model.kernel.mm.gup_fast", "model.kernel.mm.userfaultfd_fill"),
    *("model.kernel.arch.table_walk", "model.kernel.drivers.driver_op", "model.kernel.mm.hugetlb_share"),
    *(f"model.kernel.mm.{name}" for name in ("gup", "huge_fault", "hugetlb", "munmap", "populate")),
    *(f"model.kernel.mm.{name}" for name in ("split_folio", "swap", "swap_fault", "truncate", "unmap", "wp_fault")),
    *("model.kernel.drivers.driver_steps", "tui.views.spaces", "tui.views.walk"),
)
"""Kernel functions whose verb the lesson's first scene does not use, and screens that are not open."""


@pytest.fixture(name="modules", scope="module")
def modules_fixture(tmp_path_factory: pytest.TempPathFactory) -> tuple[frozenset[str], frozenset[str]]:
    """What has been imported when home is shown, and what when a lesson is shown after it."""
    home = tmp_path_factory.mktemp("start")
    environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "PTESCOPE_LANGUAGE": "en"}
    told = subprocess.run(
        [sys.executable, "-c", OPEN], cwd=home, env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    at_home, in_lesson = (frozenset(json.loads(line)) for line in told.stdout.splitlines())
    return at_home, in_lesson


def loaded(modules: frozenset[str], unwanted: tuple[str, ...]) -> list[str]:
    """What is there of some modules and packages."""
    return sorted(name for name in modules if any(f"{name}.".startswith(f"{one}.") for one in unwanted))


def test_home_waits_for_nothing_that_it_does_not_show(modules: tuple[frozenset[str], frozenset[str]]) -> None:
    assert "tui.screens.home" in modules[0]
    assert not loaded(modules[0], NEVER + AT_HOME)


def test_a_lesson_waits_for_nothing_that_it_does_not_show(modules: tuple[frozenset[str], frozenset[str]]) -> None:
    assert "model.kernel.mm.mmap" in modules[1]
    came_with_home = frozenset({"tui.screens.home"})
    assert not loaded(modules[1] - came_with_home, NEVER + IN_A_LESSON)


@pytest.mark.parametrize("option", ["--version", "--help"])
def test_what_is_told_at_once_loads_no_library(option: str) -> None:
    asked = (
        "import contextlib, sys; from tui import cli\n"
        f"with contextlib.suppress(SystemExit): cli.main([{option!r}])\n"
        "print(*({'msgspec', 'rich', 'rpds', 'textual'} & set(sys.modules)), file=sys.stderr)"
    )
    told = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True, timeout=60)
    assert "ptescope" in told.stdout
    assert not told.stderr.strip()


def test_every_name_is_one_of_a_module() -> None:
    root = Path(__file__).parents[2]
    ours = [name for name in NEVER + AT_HOME + IN_A_LESSON if "." in name]
    paths = [root / name.replace(".", "/") for name in ours]
    assert all(path.is_dir() or path.with_suffix(".py").is_file() for path in paths)
