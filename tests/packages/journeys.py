"""What somebody does with an installed ptescope. What comes of it must be what comes of the sources, byte for byte."""

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from benchmarks.terminal import Program, ProgramEndedError

ROOT: Final = Path(__file__).parent.parent.parent
PATIENCE: Final = 180.0
"""Seconds for one journey."""

STALE: Final = """\
process p0
mmap p0 buf anon private rw 1
gup p0 buf as=r write pin
madvise p0 buf dontneed
dma r write 65
"""
MAY: Final = """\
process p0
mmap p0 buf anon private rw 1
write p0 buf 1
gup p0 buf as=r write pin
may 1 madvise p0 buf dontneed
may 1 dma r write 65
"""
USING: Final = """\
use mydrv.driver
process p0
bo b 1 exporter=mydrv
mmap p0 buf bo:b shared rw 1
write p0 buf 7
"""
RECORDINGS: Final = ("hand/001_demand_zero.json", "hand/161_uffd_missing.json", "hand/128_swap_basic_zram.json")


class Journey(NamedTuple):
    """One call of the program."""

    words: tuple[str, ...]
    shows: str
    """What its output must contain, whatever the sources say."""
    typed: str = ""
    makes: tuple[str, ...] = ()
    """Files that it writes, or names of folders with such."""
    status: int = 0
    environment: Mapping[str, str] = {}


JOURNEYS: Final = (
    Journey(("--version",), "ptescope "),
    Journey(("--help",), "SUBCOMMAND"),
    Journey(("run", "stale.pte"), "corruption lost-write"),
    Journey(("run", "-v", "stale.pte"), "Allocate the top-level page table"),
    Journey(("run", "--json", "stale.pte"), '"lost-write"'),
    Journey(("run", "-q", "mit Wagenrücklauf.pte"), "corruption lost-write"),
    Journey(("run", "-q", "-"), "1 command", typed="process p0\r\n"),
    Journey(("explore", "--json", "may.pte"), '"lost-write":"sometimes"'),
    Journey(("explore", "may.pte"), "the nearest safe schedule"),
    Journey(("learn", "how-the-walk-works", "--plain"), "PTE index", typed="512\nn\nn\ns\nq\n"),
    Journey(("--plain",), "lesson", typed="?\nq\n"),
    Journey(("sandbox", "--plain"), "corruption", typed=STALE + "why p0 buf\nq\n"),
    Journey(("drill", "--plain", "--seed", "3", "--count", "2"), "Right so far", typed="1\n\n2\n\n"),
    Journey(("lessons",), "a-reference-is-not-a-mapping"),
    Journey(("lessons",), "Eine Referenz", environment={"PTESCOPE_LANGUAGE": "de"}),
    Journey(("recap",), "#"),
    Journey(("lesson", "new", "meine-lektion"), "", makes=("meine-lektion.md",)),
    Journey(("lesson", "check", "meine-lektion.md"), "1 lesson"),
    Journey(("lesson", "check", "lektion crlf.md"), "1 lesson"),
    Journey(("lesson", "guide"), "#"),
    Journey(("driver", "list"), "amdgpu"),
    Journey(("driver", "new", "mydrv"), "", makes=("mydrv.driver",)),
    Journey(("driver", "check", "mydrv.driver"), ""),
    Journey(("driver", "check", "crlf.driver"), ""),
    Journey(("run", "-q", "using.pte"), "0 violations"),
    Journey(("review", "vgem", "--grabber", "pin", "--jobs", "2", "--fresh"), "pin"),
    Journey(("replay", "--jobs", "2", "Aufzeichnungen"), "3 agree"),
    Journey(("museum", "dirty-cow", "--check"), "0 problems"),
    Journey(("class", "pack", "how-the-walk-works", "--out", "Klasse 1"), "", makes=("Klasse 1",)),
    *(
        Journey(("export", source, "-o", f"Bild é.{suffix}"), "", makes=(f"Bild é.{suffix}",))
        for source, suffix in (("stale.pte", "svg"), ("stale.pte", "md"), ("stale.pte", "mmd"))
    ),
    Journey(("export", "stale.pte", "--picture", "-o", "Bild.html"), "", makes=("Bild.html",)),
    Journey(("export", "how-the-walk-works", "-o", "Lektion.svg"), "", makes=("Lektion.svg",)),
)
WITHOUT_EXTRAS: Final = (
    Journey(("mcp",), "pip install 'ptescope[mcp]'", status=2),
    Journey(("serve",), "the extra `web`", status=2),
)
APP_KEYS: Final = ("escape", "?", "escape", "down", "down", "enter", "n", "q")
"""Home after the tour, its help, and into the first lesson; whatever the screen shows then is compared."""
HOME: Final = r"Home|ptescope"


def furnish(folder: Path) -> None:
    """Put the files there that the journeys use: also with Windows line ends."""
    folder.mkdir(parents=True)
    for name, text in (("stale.pte", STALE), ("may.pte", MAY), ("using.pte", USING)):
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "mit Wagenrücklauf.pte").write_bytes(STALE.replace("\n", "\r\n").encode())
    recordings = folder / "Aufzeichnungen"
    recordings.mkdir()
    for name in RECORDINGS:
        source = ROOT / "tests" / "recordings" / name
        (recordings / source.name).write_bytes(source.read_bytes())
    vgem = (ROOT / "model" / "driver_files" / "files" / "vgem.driver").read_bytes()
    (folder / "crlf.driver").write_bytes(vgem.replace(b"driver vgem", b"driver crlf").replace(b"\n", b"\r\n"))


def environment(folder: Path, more: Mapping[str, str]) -> dict[str, str]:
    """A user of their own, in English, with a home inside the folder."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "PTESCOPE", "XDG", "LC_"))
    }
    home = {"HOME": str(folder / "Zuhause ü"), "LANG": "C.UTF-8", "PTESCOPE_LANGUAGE": "en", "TERM": "xterm-256color"}
    return kept | home | dict(more)


class Came(NamedTuple):
    """What came of a journey."""

    status: int
    output: str
    complaint: str
    files: tuple[tuple[str, bytes], ...] = ()


TIMED: Final = re.compile(r'"seconds":[0-9.e-]+|\b[0-9.,]+ (?:s|seconds|ms|states/s)\b')


def go(program: Sequence[str], folder: Path, journey: Journey, more: Mapping[str, str]) -> Came:
    """Make a journey in a folder, with a program by its words."""
    done = subprocess.run(
        [*program, *journey.words],
        cwd=folder,
        env=environment(folder, {**more, **journey.environment}),
        input=journey.typed.encode(),
        capture_output=True,
        timeout=PATIENCE,
        check=False,
    )
    if journey.makes == ("meine-lektion.md",) and done.returncode == 0:
        text = (folder / "meine-lektion.md").read_bytes()
        (folder / "lektion crlf.md").write_bytes(text.replace(b"\n", b"\r\n"))
    files = tuple((name, path.read_bytes()) for made in journey.makes for name, path in _files(folder / made))
    output = TIMED.sub("(time)", done.stdout.decode(errors="replace"))
    return Came(done.returncode, output, done.stderr.decode(errors="replace"), files)


def _files(made: Path) -> list[tuple[str, Path]]:
    found = sorted(path for path in made.rglob("*") if path.is_file()) if made.is_dir() else [made]
    return [(path.name, path) for path in found if path.exists()]


def play_app(program: Sequence[str], folder: Path, more: Mapping[str, str]) -> Came:
    """Open the app on a pseudo-terminal and press some keys; every screen, and how it ended."""
    screens: list[str] = []
    with Program(program, 120, 40, environment(folder, more), at_home=True) as running:
        try:
            running.first_frame(HOME, timeout=PATIENCE)
            for key in APP_KEYS:
                screens.append(running.shown())
                running.press(key)
            running.press("q")
            running.settle(quiet=1.0)
        except ProgramEndedError as ended:
            return Came(ended.status, "\n\n".join(screens), "" if screens else running.tail.decode(errors="replace"))
        return Came(-1, "\n\n".join(screens), "it has not ended")
