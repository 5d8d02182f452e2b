"""`make packages`: build wheel and sdist, install them into fresh environments, and use each as somebody would.

Every interpreter at hand, each with the lowest and the newest dependencies that are permitted, in a folder with spaces
and letters outside ASCII. What the installed program prints and writes must be what the sources print and write.
"""

import argparse
import contextlib
import os
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from tests.packages.environments import (
    EXTRAS,
    ROOT,
    Environment,
    InstallError,
    Interpreter,
    at_hand,
    build,
    lowest,
    version_of,
)
from tests.packages.extras import trouble_with_mcp, trouble_with_serve
from tests.packages.journeys import JOURNEYS, WITHOUT_EXTRAS, Came, Journey, furnish, go, play_app
from tests.tui.browser import free_port

UNPOSIX: Final = ("fcntl", "pty", "resource", "termios", "tty")
"""Modules that not every platform has."""
WITHOUT: Final = f'''
import sys

class Absent:
    """A platform that has no such modules."""

    def find_spec(self, name, path=None, target=None):
        if name in {UNPOSIX}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

for name in {UNPOSIX}:
    sys.modules.pop(name, None)
sys.meta_path.insert(0, Absent())
'''
TESTS_OF_SDIST: Final = ("tests/test_project.py", "tests/model/test_replay.py", "tests/lessons/test_loading.py")
SOURCES: Final = (sys.executable, "-P", "-m", "tui")


class Variant(NamedTuple):
    """A way to run the installed program."""

    name: str
    environment: dict[str, str]
    screen: bool = True
    """The app can be opened."""
    locked: bool = False
    """Nothing can be written where it is installed."""


def variants(folder: Path) -> tuple[Variant, ...]:
    """The ways in which the newest dependencies are tried."""
    without = folder / "ohne posix"
    without.mkdir()
    (without / "sitecustomize.py").write_text(WITHOUT, encoding="utf-8")
    return (
        Variant("plain", {}),
        Variant("-O", {"PYTHONOPTIMIZE": "1"}),
        Variant("-OO", {"PYTHONOPTIMIZE": "2"}),
        Variant("read-only", {}, locked=True),
        Variant("without " + ", ".join(UNPOSIX), {"PYTHONPATH": str(without)}, screen=False),
    )


class Expected:
    """What the sources say, asked once."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        furnish(folder)
        more = {"PYTHONPATH": str(ROOT)}
        self.came = [go(SOURCES, folder, journey, more) for journey in JOURNEYS]
        self.app = play_app(SOURCES, folder, more)


def differences(journey: Journey, came: Came, expected: Came) -> Iterator[str]:
    """In what an installed program differs from the sources, and from what it must say at least."""
    name = " ".join(journey.words)
    if came.status != expected.status:
        said = (came.complaint or came.output)[-300:].strip()
        yield f"{name}: status {came.status} instead of {expected.status}: {said}"
    elif came.output != expected.output:
        yield f"{name}: {first_difference(came.output, expected.output)}"
    elif came.complaint != expected.complaint:
        yield f"{name}: complains: {came.complaint[-300:].strip()}"
    if came.files != expected.files:
        changed = [mine[0] for mine, theirs in zip(came.files, expected.files, strict=False) if mine != theirs]
        yield f"{name}: writes something else: {changed or [file[0] for file in came.files]}"
    if journey.shows not in expected.output + expected.complaint or (journey.makes and not expected.files):
        yield f"{name}: the sources do not show `{journey.shows}`"


def first_difference(mine: str, theirs: str) -> str:
    """The first line that is not the same."""
    pairs = zip([*mine.splitlines(), "(end)"], [*theirs.splitlines(), "(end)"], strict=False)
    return next((f"says `{one}` instead of `{other}`" for one, other in pairs if one != other), "is longer or shorter")


def use(environment: Environment, folder: Path, variant: Variant, expected: Expected) -> Iterator[str]:
    """Make every journey with an installed program in one way; what is wrong. Raises InstallError."""
    furnish(folder)
    with environment.read_only() if variant.locked else contextlib.nullcontext(()) as words:
        program = (*words, environment.program)
        for journey, theirs in zip(JOURNEYS, expected.came, strict=True):
            yield from differences(journey, go(program, folder, journey, variant.environment), theirs)
        app = play_app(program, folder, variant.environment)
    if not variant.screen:
        if app.status != 2 or len(app.complaint.strip().splitlines()) != 1:
            yield f"the app: status {app.status}, and it says: {app.complaint[-300:].strip()}"
        return
    if app != expected.app:
        differs = first_difference(app.output, expected.app.output)
        yield f"the app: status {app.status}, {differs} {app.complaint[-300:]}"


def try_environment(folder: Path, interpreter: Interpreter, wheel: Path, deps: str, expected: Expected) -> list[str]:
    """Install into a fresh environment and use it in every way; what is wrong. Raises InstallError."""
    environment = Environment.make(folder / "Umgebung", interpreter.path)
    pinned = lowest(()) if deps == "lowest" else []
    environment.install(str(wheel), *pinned)
    before = environment.written()
    wrong = []
    ways = variants(folder) if deps == "newest" else (Variant("plain", {}),)
    for number, variant in enumerate(ways):
        try:
            found = list(use(environment, folder / f"Arbeit {number}", variant, expected))
        except InstallError as error:
            found = [f"not tried: {error}"]
        wrong += [f"{variant.name}: {what}" for what in found]
    wrong += written(environment, before)
    for journey in WITHOUT_EXTRAS:
        came = go([environment.program], folder / "Arbeit 0", journey, {})
        if came.status != journey.status or journey.shows not in came.complaint:
            wrong.append(f"{' '.join(journey.words)} without its extra: {came.status}, {came.complaint.strip()}")
    try:
        environment.install(f"{wheel}[{','.join(EXTRAS)}]", *(lowest(EXTRAS) if deps == "lowest" else ()))
    except InstallError as error:
        return [*wrong, f"the extras: {error}"]
    wrong += trouble_with_mcp(environment.program, folder / "Arbeit 0")
    wrong += trouble_with_serve(environment.program, folder / "Arbeit 0", free_port())
    return wrong


def written(environment: Environment, before: dict[str, bytes]) -> list[str]:
    """What the program has written where it is installed."""
    return [f"{name} was written in site-packages" for name in changed(before, environment.written())]


def changed(before: dict[str, bytes], after: dict[str, bytes]) -> list[str]:
    """Files that came, went or changed."""
    return sorted(name for name in before.keys() | after.keys() if before.get(name) != after.get(name))


def content(wheel: Path) -> dict[str, bytes]:
    """What a wheel has in it."""
    with zipfile.ZipFile(wheel) as packed:
        return {name: packed.read(name) for name in packed.namelist()}


def trouble_with_sdist(folder: Path, wheel: Path) -> Iterator[str]:
    """Build the wheel out of the sdist, and run a few tests there, where there is no repository; what is wrong."""
    with tarfile.open(build("sdist", folder)) as packed:
        packed.extractall(folder / "sdist", filter="data")
    (unpacked,) = (folder / "sdist").iterdir()
    if content(build("wheel", folder / "from sdist", unpacked)) != content(wheel):
        yield "the wheel that is built from it is another one"
    tests = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *TESTS_OF_SDIST]
    ran = subprocess.run(tests, cwd=unpacked, capture_output=True, text=True, check=False)
    if ran.returncode:
        yield f"its tests fail: {ran.stdout[-600:].strip()}"


def say(line: str) -> None:
    """Print at once: an environment takes a minute."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> int:
    """Build, install, use, report. Exit status: 1 where something is wrong, 2 where nothing could be tried."""
    parser = argparse.ArgumentParser(prog="packages", description=(__doc__ or "").partition(":")[2])
    parser.add_argument("--python", action="append", help="only this interpreter (repeatable)")
    options = parser.parse_args()
    chosen = [Interpreter(path, version_of(path)) for path in options.python or ()] or at_hand()
    os.nice(10)
    wrong = tried = 0
    with tempfile.TemporaryDirectory(prefix="ptescope Pakete é ") as name:
        folder = Path(name)
        wheel = build("wheel", folder)
        wrong += len(found := list(trouble_with_sdist(folder, wheel)))
        say("\n  ".join((f"sdist: {len(found) or 'nothing'} wrong", *found)))
        expected = Expected(folder / "Quellen")
        for interpreter in chosen:
            for deps in ("lowest", "newest"):
                place = folder / f"{interpreter.version} {deps}"
                place.mkdir()
                try:
                    found = try_environment(place, interpreter, wheel, deps, expected)
                except InstallError as error:
                    say(f"{interpreter.version} {deps}: not tried: {error}")
                    continue
                tried += 1
                wrong += len(found)
                say("\n  ".join((f"{interpreter.version} {deps}: {len(found) or 'nothing'} wrong", *found)))
    return 1 if wrong else 0 if tried else 2


if __name__ == "__main__":
    sys.exit(main())
