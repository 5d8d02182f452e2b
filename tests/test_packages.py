"""The packages: what is in them, and that an installed one works; `make packages` tries every interpreter at hand."""

import platform
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
from hatchling.builders.sdist import SdistBuilder

from lessons.learner import file_lock
from tests.packages.__main__ import WITHOUT
from tests.packages.environments import ROOT, Environment, InstallError, build, lowest, requirements, version_of
from tests.packages.journeys import STALE, environment
from tests.test_project import FORBIDDEN
from tui.session.platform_modules import missing_module
from tui.session.terminal import no_terminal

DOCUMENTS = ("authoring", "script", "drivers", "teaching", "serving", "mcp")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("wheel", tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    """The wheel in an environment of its own, which borrows the dependencies of this one, and needs no index."""
    made = Environment.make(tmp_path_factory.mktemp("Umgebung é") / "hier drin", sys.executable)
    try:
        made.install("--no-index", "--no-deps", "--no-compile", str(wheel))
    except InstallError as error:
        pytest.skip(f"nothing can be installed here: {error}")
    (made.site_packages / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return made


def of_the_project() -> set[str]:
    """Every file that is committed, or would be with the next commit."""
    if not (ROOT / ".git").exists():
        pytest.skip("no repository to compare with")
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True)
    return {name for name in listed.stdout.split("\0") if (ROOT / name).is_file()}


def called(program: list[str], folder: Path, text: str, **more: str) -> subprocess.CompletedProcess[str]:
    """Call a program in a folder, as a user of that folder."""
    return subprocess.run(
        program, cwd=folder, env=environment(folder, more), input=text, capture_output=True, text=True, check=False
    )


def test_the_wheel_carries_all_that_is_in_the_packages_and_nothing_else(wheel: Path) -> None:
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    sources = of_the_project()
    documents = {f"tui/documents/{name}.txt" for name in DOCUMENTS}
    ours = {name for name in sources if name.startswith(("model/", "lessons/", "tui/"))} | documents
    moved = {"tui/launcher.py": "ptescope/__main__.py", "tui/ptescope.pth": "ptescope.pth"}
    laid = {moved.get(name, f"ptescope/packages/{name}") for name in ours}
    assert laid == packed


def test_the_sdist_carries_all_that_there_is() -> None:
    packed = {file.distribution_path for file in SdistBuilder(str(ROOT)).recurse_included_files()}
    assert of_the_project() <= packed


def test_nothing_of_this_machine_is_in_what_the_wheel_adds(wheel: Path) -> None:
    sources = of_the_project()
    with zipfile.ZipFile(wheel) as packed:
        made = [name for name in packed.namelist() if name.removeprefix("ptescope/packages/") not in sources]
        assert made
        assert not [name for name in made if FORBIDDEN.search(packed.read(name).decode())]


def test_an_installed_program_runs_in_a_folder_with_spaces_and_from_there(installed: Environment) -> None:
    folder = installed.folder.parent / "meine Skripte ü"
    folder.mkdir()
    (folder / "mit Wagenrücklauf.pte").write_bytes(STALE.replace("\n", "\r\n").encode())
    (folder / "model.py").write_text("raise SystemExit('the current folder was imported')")
    ran = called([installed.program, "run", "-q", "mit Wagenrücklauf.pte"], folder, "")
    assert "corruption lost-write" in ran.stdout, ran.stderr


def test_it_hides_nobodys_packages_and_is_hidden_by_none(installed: Environment) -> None:
    """Somebody's own `model`, `lessons` and `tui`, where PYTHONPATH looks and where Python's empty part of it does."""
    mine, here = installed.folder.parent / "eigenes", installed.folder.parent / "fremdes"
    for folder, names in ((mine, ("model", "lessons", "tui")), (here, ("model", "tui", "msgspec", "struct"))):
        folder.mkdir()
        for name in names:
            (folder / f"{name}.py").write_text(f"open('trap', 'a').write('{name} ')\n")
    (here / "stale.pte").write_text(STALE)
    run = [installed.program, "run", "-q", "stale.pte"]
    review = [installed.program, "review", "vgem", "--grabber", "pin", "--jobs", "2", "--fresh"]
    for program, path in ((run, str(mine)), (review, f"./:{mine}:")):
        ran = called(program, here, "", PYTHONPATH=path)
        assert (ran.returncode in {0, 1}, ran.stderr) == (True, "")
    assert not (here / "trap").exists(), (here / "trap").read_text()
    found = {path.name.partition("-")[0] for path in installed.site_packages.iterdir()}
    assert found == {"ptescope", "ptescope.pth", "borrowed.pth"}


def test_its_packages_can_be_imported_where_nobody_has_others_of_that_name(installed: Environment) -> None:
    asked = [installed.python, "-c", "import model, lessons, tui; print(model.__file__, tui.__file__)"]
    mine, here = installed.folder.parent / "own", installed.folder.parent / "elsewhere"
    for folder in (mine, here):
        folder.mkdir()
    (mine / "model.py").touch()
    assert called(asked, here, "").stdout.count(str(installed.site_packages / "ptescope" / "packages")) == 2
    assert called(asked, mine, "").stdout.startswith(str(mine / "model.py"))


def test_without_modules_that_some_platforms_lack_it_plays_as_text_and_says_what_it_cannot(
    installed: Environment,
) -> None:
    lacking = installed.folder.parent / "ohne posix"
    lacking.mkdir()
    (lacking / "sitecustomize.py").write_text(WITHOUT)
    program = [installed.program, "learn", "how-the-walk-works", "--plain"]
    played = called(program, lacking, "510\nq\n", PYTHONPATH=str(lacking))
    assert (played.returncode, played.stderr) == (0, "")
    assert "PTE index" in played.stdout
    drawn = called(
        [installed.program, "export", "-o", "a.svg", "how-the-walk-works"], lacking, "", PYTHONPATH=str(lacking)
    )
    assert (drawn.returncode, drawn.stderr) == (0, "")
    live = called([installed.program, "live", "-"], lacking, STALE, PYTHONPATH=str(lacking))
    assert live.returncode == 3
    assert live.stderr == "ptescope live needs the module fcntl, and this Python has none\n"


def test_it_runs_where_nobody_can_write_what_is_installed(installed: Environment) -> None:
    mine = installed.folder.parent / "schreibgeschützt"
    mine.mkdir()
    write = [installed.python, "-c", f"open({str(installed.site_packages / 'ptescope' / 'a')!r}, 'w')"]
    try:
        with installed.read_only() as words:
            refused = called([*words, *write], mine, "")
            ran = called([*words, installed.program, "run", "-q", "-"], mine, STALE)
    except InstallError as error:
        pytest.skip(str(error))
    assert "PermissionError" in refused.stderr
    assert "corruption lost-write" in ran.stdout, ran.stderr
    assert called(write, mine, "").returncode == 0, "it can be written again afterwards"


def test_the_app_says_that_it_needs_termios(monkeypatch: pytest.MonkeyPatch) -> None:
    assert not missing_module("termios", "tty", "fcntl", "resource")
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    monkeypatch.setenv("TERM", "xterm")
    assert not no_terminal()
    monkeypatch.setitem(sys.modules, "termios", None)
    assert no_terminal() == "the app needs the module termios, and this Python has none"


def test_a_lock_is_taken_where_there_is_one(tmp_path: Path) -> None:
    with file_lock.locked(tmp_path / "lock"), pytest.raises(TimeoutError), file_lock.locked(tmp_path / "lock", 0.0):
        pass


def test_every_requirement_has_a_lowest_version_and_an_end() -> None:
    asked = requirements(("web", "mcp"))
    for one in asked:
        assert {part.operator for part in one.specifier} == {">=", "<"}, one
    assert len(lowest(("web", "mcp"))) == len(asked)


def test_what_is_no_interpreter_is_none() -> None:
    assert version_of(sys.executable) == platform.python_version()
    assert version_of("/nowhere/python") == ""
