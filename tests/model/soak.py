"""Long random play: `make soak` goes on where it stopped.

    python -m tests.model.soak                     # until it is interrupted
    python -m tests.model.soak --first 7000 --episodes 500

Each episode follows from its number. A find is printed as the shortest script that still shows it. The last number is
kept under the platform's cache folder, so the next run goes on from there.
"""

import argparse
import contextlib
import sys
import time
from collections.abc import Iterator
from typing import Final

import platformdirs

from tests.model.soak_episodes import Episode, as_script, shortest

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


def main() -> int:
    """Play until interrupted; print every find of a new kind. Exit status: 1 if there was one."""
    parser = argparse.ArgumentParser(prog="soak", description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--first", type=int, help="the number of the first episode (default: go on)")
    parser.add_argument("--episodes", type=int, default=0, help="how many; 0: until interrupted")
    args = parser.parse_args()
    known: set[str] = set()
    began = time.monotonic()
    number = 0
    try:
        for number in numbers(args.first, args.episodes):
            episode = Episode(number)
            find = episode.run()
            if find is not None and find.what not in known:
                known.add(find.what)
                sys.stdout.write(f"episode {number}\n{as_script(shortest(find, ordinary=episode.ordinary))}\n")
                sys.stdout.flush()
    except KeyboardInterrupt:
        pass
    sys.stdout.write(f"up to episode {number} in {time.monotonic() - began:.0f} s: {len(known)} kinds of finds\n")
    return bool(known)


if __name__ == "__main__":
    sys.exit(main())
