"""Fresh environments with a package installed: which interpreters are at hand, and which versions are permitted."""

import contextlib
import os
import shutil
import stat
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

from packaging.requirements import Requirement

ROOT: Final = Path(__file__).parent.parent.parent
PROJECT: Final = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
OLDEST: Final = (3, 11)
NEWEST_TRIED: Final = (3, 16)
EXTRAS: Final = ("web", "mcp")


WRITING: Final = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH


class InstallError(Exception):
    """Something could not be built or installed; the message is what the tool said last."""


class Interpreter(NamedTuple):
    """A Python to install into."""

    path: str
    version: str


def at_hand() -> list[Interpreter]:
    """One interpreter of each minor version that the project supports: on the PATH, or where pyenv keeps them."""
    found: dict[str, Interpreter] = {}
    for minor in range(OLDEST[1], NEWEST_TRIED[1]):
        named = f"python3.{minor}"
        kept = sorted(Path(os.environ.get("PYENV_ROOT", "/nowhere")).glob(f"versions/*/bin/{named}"), reverse=True)
        for path in (shutil.which(named), *map(str, kept), sys.executable):
            version = version_of(path) if path else ""
            if version.startswith(f"3.{minor}."):
                found.setdefault(f"3.{minor}", Interpreter(str(path), version))
    return list(found.values())


def version_of(path: str) -> str:
    """The version that an interpreter says it is; empty if it cannot be run."""
    asked = [path, "-c", "import platform; print(platform.python_version())"]
    try:
        return subprocess.run(asked, capture_output=True, text=True, check=False, timeout=30).stdout.strip()
    except OSError:
        return ""


def requirements(extras: Iterable[str]) -> list[Requirement]:
    """What pyproject.toml asks for, with some extras."""
    optional = PROJECT["project"]["optional-dependencies"]
    lines = [*PROJECT["project"]["dependencies"], *(line for extra in extras for line in optional[extra])]
    return [Requirement(line) for line in lines]


def lowest(extras: Iterable[str]) -> list[str]:
    """Each of them in the lowest version that is permitted.

    >>> [line for line in lowest(()) if line.startswith("networkx")]
    ['networkx==3.4']
    """
    return [f"{asked.name}=={_lower_bound(asked)}" for asked in requirements(extras)]


def _lower_bound(asked: Requirement) -> str:
    (bound,) = (part.version for part in asked.specifier if part.operator == ">=")
    return bound


def build(kind: str, folder: Path, source: Path = ROOT) -> Path:
    """Build a wheel or an sdist with the hatchling that runs this. Raises InstallError."""
    _run([sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(folder)], cwd=source)
    (made,) = folder.glob("*.whl" if kind == "wheel" else "*.tar.gz")
    return made


class Environment(NamedTuple):
    """A virtual environment and what stands in it."""

    folder: Path

    @staticmethod
    def make(folder: Path, interpreter: str) -> "Environment":
        """An empty one. Raises InstallError."""
        _run([interpreter, "-m", "venv", "--without-pip", str(folder)])
        return Environment(folder)

    @property
    def python(self) -> str:
        """Its interpreter."""
        return str(self.folder / "bin" / "python")

    @property
    def program(self) -> str:
        """The installed command."""
        return str(self.folder / "bin" / "ptescope")

    def install(self, *what: str) -> None:
        """Install packages with this interpreter's pip; nothing is built but ptescope. Raises InstallError."""
        pip = [
            sys.executable,
            "-m",
            "pip",
            "--disable-pip-version-check",
            "--python",
            self.python,
            "install",
            "--quiet",
        ]
        _run([*pip, *what])

    @property
    def site_packages(self) -> Path:
        """Where it is installed."""
        (found,) = self.folder.glob("lib/python*/site-packages")
        return found

    @contextlib.contextmanager
    def read_only(self) -> Iterator[tuple[str, ...]]:
        """Nobody may write where it is installed; yields the words before a program that not even root may then.

        Root writes anywhere by CAP_DAC_OVERRIDE: without it (capabilities(7)) modes hold for root too. InstallError
        where that cannot be given up.
        """
        words: tuple[str, ...] = ()
        if os.geteuid() == 0:
            if shutil.which("setpriv") is None:
                raise InstallError("root needs setpriv(1) to be kept from writing")
            words = ("setpriv", "--bounding-set=-dac_override,-dac_read_search")
        places = [self.site_packages, *self.site_packages.rglob("*")]
        modes = {path: path.stat().st_mode for path in places if not path.is_symlink()}
        for path, mode in modes.items():
            path.chmod(mode & ~WRITING)
        try:
            yield words
        finally:
            for path, mode in modes.items():
                path.chmod(mode)

    def written(self) -> dict[str, bytes]:
        """Every installed file but bytecode."""
        files = (path for path in self.site_packages.rglob("*") if path.is_file() and path.suffix != ".pyc")
        return {str(path.relative_to(self.site_packages)): path.read_bytes() for path in files}


def _run(words: list[str], cwd: Path | None = None) -> None:
    done = subprocess.run(words, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode:
        said = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()]
        raise InstallError(said[-1] if said else f"{words[0]} ended with status {done.returncode}")
