"""Long random play: `make soak` goes on where it stopped.

    python -m tests.model.soak                     # until it is interrupted
    python -m tests.model.soak --first 7000 --episodes 500

Each episode follows from its number, and every tenth number is a scene for the search as well. A find is printed, that
of an episode as the shortest script that still shows it. The last number is kept under the platform's cache folder, so
the next run goes on from there.
"""

import argparse
import contextlib
import sys
import time
from collections.abc import Iterator
from typing import Final

import platformdirs

from tests.model.soak_episodes import Episode, Find, as_script, shortest
from tests.model.soak_scenes import search_scene

SCENE_EVERY: Final = 10
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


def tell(name: str, find: Find, known: set[str]) -> None:
    """Print a find of a new kind."""
    known.add(find.what)
    sys.stdout.write(f"{name}\n{as_script(find)}\n")
    sys.stdout.flush()


def main() -> int:
    """Play until interrupted; print every find of a new kind. Exit status: 1 if there was one."""
    parser = argparse.ArgumentParser(prog="soak", description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--first", type=int, help="the number of the first episode (default: go on)")
    parser.add_argument("--episodes", type=int, default=0, help="how many; 0: until interrupted")
    args = parser.parse_args()
    known: set[str] = set()
    began = time.monotonic()
    number = scenes = 0
    try:
        for number in numbers(args.first, args.episodes):
            episode = Episode(number)
            find = episode.run()
            if find is not None and find.what not in known:
                tell(f"episode {number}", shortest(find, ordinary=episode.ordinary), known)
            if number % SCENE_EVERY == 0:
                scenes += 1
                find = search_scene(number)
                if find is not None and find.what not in known:
                    tell(f"scene {number}", find, known)
    except KeyboardInterrupt:
        pass
    seconds = time.monotonic() - began
    sys.stdout.write(f"up to episode {number} in {seconds:.0f} s, {scenes} scenes: {len(known)} kinds of finds\n")
    return bool(known)


if __name__ == "__main__":
    sys.exit(main())
