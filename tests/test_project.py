"""The project as a whole: what importing costs, what is installed, what is committed."""

import importlib
import importlib.metadata
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from model.engine.procedure import Procedure
from model.kernel.all_procedures import all_procedures
from tui.version import __version__

ROOT = Path(__file__).parent.parent

IMPORTS_OF_MODEL = """
import importlib, pkgutil, sys
import model
for module in pkgutil.walk_packages(model.__path__, "model."):
    importlib.import_module(module.name)
"""

MODULES_OF = """
import json
print(json.dumps(sorted({name.partition(".")[0] for name in sys.modules})))
"""

COMMAND = """
import sys
sys.argv = {argv!r}
from tui.cli import main
try:
    main()
except SystemExit:
    pass
sys.stdout.flush()
"""


def imported_by(program: str, text: str = "") -> set[str]:
    """The top-level modules that a fresh interpreter has loaded after `program`."""
    done = subprocess.run(
        [sys.executable, "-c", program + MODULES_OF], cwd=ROOT, input=text, capture_output=True, text=True, check=True
    )
    return set(json.loads(done.stdout.splitlines()[-1]))


def tracked() -> list[Path]:
    if not (ROOT / ".git").exists():
        pytest.skip("what is committed only a repository knows")
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True)
    return [ROOT / name for name in listed.stdout.split("\0") if name]


def test_the_model_loads_no_screen_and_no_event_loop() -> None:
    loaded = imported_by(IMPORTS_OF_MODEL)
    assert "msgspec" in loaded
    assert not loaded & {"textual", "rich", "asyncio", "networkx", "random", "socket"}


@pytest.mark.parametrize(
    ("argv", "text"),
    [
        pytest.param(["ptescope", "--version"], "", id="version"),
        pytest.param(["ptescope", "run", "-"], "process p0\n", id="run"),
        pytest.param(["ptescope", "run", "--json", "-"], "process p0\n", id="run --json"),
        pytest.param(["ptescope", "replay", "no-such-file.json"], "", id="replay"),
    ],
)
def test_a_command_without_a_screen_starts_without_textual(argv: list[str], text: str) -> None:
    assert not imported_by("import sys\n" + COMMAND.format(argv=argv), text) & {"textual", "networkx"}


def test_the_version_stands_in_one_place() -> None:
    assert importlib.metadata.version("ptescope") == __version__
    said = subprocess.run(
        [sys.executable, "-m", "tui", "--version"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert said.stdout.split()[-1] == __version__
    assert re.search(
        rf"^## \[(Unreleased|{re.escape(__version__)})\]", (ROOT / "CHANGELOG.md").read_text(), re.MULTILINE
    )


def test_the_constraints_are_versions_and_nothing_else() -> None:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if not line.startswith("#")]
    assert pins
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][A-Za-z0-9.]*", pin) for pin in pins), pins


def test_the_constraints_cover_what_the_project_asks_for() -> None:
    pinned = {line.partition("==")[0].lower() for line in (ROOT / "constraints.txt").read_text().splitlines()}
    asked = {
        re.split(r"[^A-Za-z0-9_-]", requirement)[0].lower()
        for requirement in importlib.metadata.requires("ptescope") or []
    }
    assert asked <= pinned


# Written so that this file does not contain what it looks for.
FORBIDDEN = re.compile(
    "|".join(["/" + "root/", "/" + "home/[a-z]", "/" + "work/", "/" + "Users/[A-Za-z]", "/" + "opt/(?:wheels|pypi)"])
    + "|(?:https?://)?(?:"
    + "|".join(["files[.]python" + "hosted[.]org", "pypi[.]org/simple", "registry[.]npm" + "js[.]org"])
    + ")"
)


def test_no_machine_and_no_registry_in_what_is_committed() -> None:
    found = []
    for path in tracked():
        if path.is_file() and b"\0" not in (data := path.read_bytes())[:1024]:
            found += [
                f"{path.relative_to(ROOT)}: {hit[0]}" for hit in FORBIDDEN.finditer(data.decode(errors="replace"))
            ]
    assert not found


def test_every_micro_step_says_what_it_does_and_where_the_kernel_does_it() -> None:
    procedures = [kind for kind in all_procedures().values() if kind.__module__.startswith("model.kernel.")]
    assert procedures
    silent = [f"{kind.__module__}.{kind.__name__}: {what}" for kind in procedures for what in _unsaid(kind)]
    assert not silent


def _unsaid(kind: type[Procedure]) -> list[str]:
    """What a procedure keeps from its reader. A base of other procedures has neither steps nor a place of its own."""
    missing = [] if kind.__doc__ else ["no docstring"]
    if kind.__subclasses__():
        return missing
    missing += [] if kind.source else ["no source"]
    missing += [] if kind.steps else ["no steps"]
    return missing + [f"{micro.name}: no docstring" for micro in kind.steps if not micro.doc]
