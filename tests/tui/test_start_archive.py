"""The archive of byte code: the same modules as without it, whatever has happened to them or to it since."""

import importlib
import inspect
import os
import subprocess
import sys
from collections.abc import Iterator
from importlib.util import cache_from_source
from pathlib import Path
from types import ModuleType
from typing import Final

import pytest

from benchmarks.terminal import Program
from tui.session import start_archive
from tui.session.start_archive import LEAST, START, ArchivedLoader, StartArchive

NAME: Final = "archived_for_a_test"


class Package:
    """A package of modules m0, m1, … that say their number, and the archive beside it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / NAME
        self.folder.mkdir()
        (self.folder / "__init__.py").touch()
        for number in range(LEAST):
            (self.folder / f"m{number}.py").write_text(f'"""The number {number}."""\n\nNUMBER = {number}\n')
        self.archive = str(folder / "archive")

    def started(self) -> StartArchive:
        """What a program has at its beginning."""
        for name in [name for name in sys.modules if name.startswith(NAME)]:
            del sys.modules[name]
        sys.meta_path[:] = [finder for finder in sys.meta_path if not isinstance(finder, StartArchive)]
        importlib.invalidate_caches()
        archive = StartArchive(self.archive)
        archive.install()
        return archive

    def modules(self) -> list[ModuleType]:
        """All of them, imported."""
        return [importlib.import_module(f"{NAME}.m{number}") for number in range(LEAST)]

    def keep(self) -> None:
        """A whole start."""
        archive = self.started()
        self.modules()
        archive.started()
        archive.keep()

    def archived(self) -> list[str]:
        """Which modules the next start has from the archive; all of them say what they should."""
        self.started()
        modules = self.modules()
        assert [module.NUMBER for module in modules[1:]] == list(range(1, LEAST))
        return [module.__name__ for module in modules if isinstance(module.__loader__, ArchivedLoader)]


@pytest.fixture(name="package")
def package_fixture(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Package]:
    """A package that nobody has loaded."""
    monkeypatch.setattr(sys, "meta_path", list(sys.meta_path))
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    monkeypatch.syspath_prepend(tmp_path)
    package = Package(tmp_path)
    yield package
    package.started()


def test_a_second_start_has_everything_from_the_archive(package: Package) -> None:
    package.keep()
    assert len(package.archived()) == LEAST


def test_a_module_from_the_archive_is_like_any_other(package: Package) -> None:
    package.keep()
    package.started()
    module = package.modules()[3]
    source = str(package.folder / "m3.py")
    assert (module.__file__, module.__cached__, module.__doc__) == (source, cache_from_source(source), "The number 3.")
    assert "NUMBER = 3" in inspect.getsource(module)
    kept = sys.modules[NAME]
    assert list(kept.__path__) == [str(package.folder)]
    assert kept.__file__ == str(package.folder / "__init__.py")


def test_a_changed_source_counts(package: Package) -> None:
    package.keep()
    (package.folder / "m0.py").write_text("NUMBER = 'new'\n")
    assert len(package.archived()) == LEAST - 1
    assert sys.modules[f"{NAME}.m0"].NUMBER == "new"


def test_a_source_of_another_time_counts(package: Package) -> None:
    package.keep()
    source = package.folder / "m0.py"
    source.write_text(source.read_text().replace("NUMBER = 0", "NUMBER = 9"))
    os.utime(source, (1, 1))
    package.archived()
    assert sys.modules[f"{NAME}.m0"].NUMBER == 9


def test_a_file_that_comes_first_in_a_search_counts(package: Package) -> None:
    package.keep()
    (package.folder / "m0").mkdir()
    (package.folder / "m0" / "__init__.py").write_text("NUMBER = 'first'\n")
    os.utime(package.folder, (1, 1))
    assert not package.archived()
    assert sys.modules[f"{NAME}.m0"].NUMBER == "first"


def test_a_source_that_has_gone_is_missed(package: Package) -> None:
    package.keep()
    (package.folder / "m0.py").unlink()
    package.started()
    with pytest.raises(ModuleNotFoundError):
        package.modules()


@pytest.mark.parametrize("left", [0, 3, 11, 40, -1])
def test_a_damaged_archive_is_none_and_is_made_anew(package: Package, left: int) -> None:
    package.keep()
    archive = Path(package.archive)
    archive.write_bytes(archive.read_bytes()[:left])
    assert not package.archived()
    package.keep()
    assert len(package.archived()) == LEAST


def test_an_archive_of_another_python_is_none(package: Package, monkeypatch: pytest.MonkeyPatch) -> None:
    package.keep()
    monkeypatch.setattr(start_archive, "MAGIC_NUMBER", b"\0\0\r\n")
    assert not package.archived()


def test_what_was_archived_stays_when_more_comes(package: Package) -> None:
    package.keep()
    for number in range(LEAST):
        (package.folder / f"more{number}.py").touch()
    os.utime(package.folder, (1, 1))
    archive = package.started()
    for number in range(LEAST):
        importlib.import_module(f"{NAME}.more{number}")
    archive.started()
    archive.keep()
    assert len(package.archived()) == LEAST


def test_for_a_few_modules_nothing_is_written(package: Package) -> None:
    archive = package.started()
    importlib.import_module(f"{NAME}.m0")
    archive._loaded = (f"{NAME}.m0",)
    archive.keep()
    assert not Path(package.archive).exists()


def test_nothing_is_written_where_python_writes_no_byte_code(package: Package) -> None:
    sys.dont_write_bytecode = True
    package.keep()
    assert not Path(package.archive).exists()


def test_a_place_where_nothing_can_be_written_is_no_harm(package: Package) -> None:
    package.archive = str(Path(package.archive) / "nowhere")
    package.keep()
    assert not package.archived()


def test_without_assertions_there_is_another_archive() -> None:
    asked = "from tui.session.start_archive import START; print(START.path)"
    paths = [
        subprocess.run([sys.executable, *options, "-c", asked], capture_output=True, text=True, check=True).stdout
        for options in ((), ("-O",), ("-OO",))
    ]
    assert len(set(paths)) == 3


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="pseudo-terminals and /proc")
def test_the_app_leaves_an_archive_for_the_next_start() -> None:
    Path(START.path).unlink(missing_ok=True)
    with Program((sys.executable, "-m", "tui", "learn", "tour")) as program:
        program.first_frame("Picture")
    asked = (
        "from tui.session.start_archive import START, ArchivedLoader; START.install(); import sys, tui.app.app\n"
        "print(sum(isinstance(getattr(one, '__loader__', None), ArchivedLoader) for one in sys.modules.values()))"
    )
    told = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True).stdout
    assert int(told) > 200
