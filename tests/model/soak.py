"""Long random play: `make soak` goes on where it stopped.

    python -m tests.model.soak                     # until it is interrupted
    python -m tests.model.soak --first 7000 --episodes 500
    python -m tests.model.soak --only scenes --first 0 --episodes 2000

All follows from numbers: of each there are melees and an episode; of every fifth calls are struck; of every tenth a
scene is searched, and a session carried through every round trip. A find is printed as a script, as short as can be.
The last number is kept under the platform's cache folder, so the next run goes on
from there. At the end stands which micro-steps never ran in melees and episodes.
"""

import argparse
import contextlib
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from itertools import groupby
from pathlib import Path
from typing import Final

import platformdirs

from tests.model.soak_coverage import Coverage
from tests.model.soak_episodes import Episode, Find, as_script, shortest
from tests.model.soak_melees import melee
from tests.model.soak_scenes import search_scene
from tests.model.soak_strikes import strike
from tests.model.soak_trips import trip

EVERY: Final = {"melees": 1, "episodes": 1, "strikes": 5, "scenes": 10, "trips": 10}
"""Kind of play → of which numbers it is played."""
TOLD_EVERY: Final = 500
FILE: Final = platformdirs.user_cache_path("ptescope") / "soak.txt"


def numbers(first: int | None, episodes: int) -> Iterator[int]:
    """The numbers of the episodes; without a first one they go on where the last run has stopped."""
    start = first
    if start is None:
        with contextlib.suppress(OSError, ValueError):
            start = int(FILE.read_text())
    at = start or 0
    while episodes <= 0 or at < (start or 0) + episodes:
        yield at
        at += 1
        if first is None and at % 100 == 0:
            with contextlib.suppress(OSError):
                FILE.parent.mkdir(parents=True, exist_ok=True)
                FILE.write_text(str(at))


class Soak:
    """A run: what it has played, and the kinds of finds so far."""

    def __init__(self, folder: Path, only: str = "") -> None:
        self.only: Final = only
        self.coverage: Final = Coverage()
        self.known: Final = set[str]()
        self.played: Final = dict.fromkeys(EVERY, 0)
        self.plays: Final[dict[str, Callable[[int], Find | None]]] = {
            "melees": lambda number: melee(number, self.coverage),
            "episodes": self._episode,
            "strikes": strike,
            "scenes": search_scene,
            "trips": lambda number: trip(number, folder),
        }

    def play(self, number: int) -> None:
        """All that is played of a number; a find of a new kind is printed."""
        for kind, play in self.plays.items():
            if kind != self.only and (self.only or number % EVERY[kind]):
                continue
            find = play(number)
            self.played[kind] += 1
            if find is not None and find.what not in self.known:
                if kind in ("melees", "strikes"):
                    find = shortest(find, ordinary=False)
                self.known.add(find.what)
                sys.stdout.write(f"{kind}, number {number}\n{as_script(find)}\n")
                sys.stdout.flush()

    def _episode(self, number: int) -> Find | None:
        episode = Episode(number)
        find = episode.run(self.coverage)
        return find if find is None or find.what in self.known else shortest(find, ordinary=episode.ordinary)

    def summary(self) -> str:
        """What was played, what was found, what never ran."""
        played = ", ".join(f"{count} {kind}" for kind, count in self.played.items() if count)
        missing = self.coverage.missing
        lines = [f"{played or 'nothing'}: {len(self.known)} kinds of finds"]
        if self.coverage.ran:
            lines.append(f"{self.coverage}, and never:")
            for procedure, steps in groupby(missing, key=lambda place: place.partition(".")[0]):
                lines.append(f"  {procedure}: {', '.join(place.partition('.')[2] for place in steps)}")
        return "\n".join(lines) + "\n"


def main() -> int:
    """Play until interrupted; print every find of a new kind. Exit status: 1 if there was one."""
    parser = argparse.ArgumentParser(prog="soak", description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--first", type=int, help="the number of the first episode (default: go on)")
    parser.add_argument("--episodes", type=int, default=0, help="how many numbers; 0: until interrupted")
    parser.add_argument("--only", choices=tuple(EVERY), default="", help="this kind alone, of every number")
    args = parser.parse_args()
    began = time.monotonic()
    at = None
    with tempfile.TemporaryDirectory() as folder:
        soak = Soak(Path(folder), args.only)
        try:
            for number in numbers(args.first, args.episodes):
                if at is None:
                    sys.stdout.write(f"from number {number} on\n")
                    sys.stdout.flush()
                at = number
                soak.play(number)
                if number % TOLD_EVERY == TOLD_EVERY - 1:
                    sys.stdout.write(f"number {number}: {soak.coverage}\n")
                    sys.stdout.flush()
        except KeyboardInterrupt:
            pass
    sys.stdout.write(f"up to number {at} in {time.monotonic() - began:.0f} s: {soak.summary()}")
    return bool(soak.known)


if __name__ == "__main__":
    sys.exit(main())
