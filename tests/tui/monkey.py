"""A monkey at the keyboard: random keys, mouse, pastes, sizes, stops and hang-ups, on a real pseudo-terminal.

`python -m tests.tui.monkey --seeds 5 --events 5000` plays; every run prints its seed, and the same seed makes the same
events. What it watches: the program must not end but by a key that says so, must not show an internal error, must
answer, must not grow without bound, and must leave the terminal as it was.
"""

import argparse
import os
import random
import signal
import sys
import time
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from benchmarks.terminal import ESCAPE, KEYS, Program, ProgramEndedError

LETTERS: Final = "npiouchsyfPAWxXvzlgm,:.tTDrLSKEbq?/-+0123456789abcdefV[]"
NAMED: Final = (*KEYS, "backspace", "home", "end", "pageup", "pagedown", "f2", "f5", "delete")
CODES: Final = KEYS | {
    "backspace": b"\x7f",
    "home": b"\x1b[H",
    "end": b"\x1b[F",
    "pageup": b"\x1b[5~",
    "pagedown": b"\x1b[6~",
    "f2": b"\x1bOQ",
    "f5": b"\x1b[15~",
    "delete": b"\x1b[3~",
}
CONTROLS: Final = b"\x10\x05\x15\x0b\x17\x0e\x12"
"""^p ^e ^u ^k ^w ^n ^r; not ^q and ^c, which end the program or ask."""
PASTES: Final = (
    "mmap p0 x anon private rw 4\n",
    "\x1b]0;title\x07",
    "\x00\x01\x02",
    "ü" * 300,
    "gup p0 buf as=r\r\n" * 20,
)
SIZES: Final = ((80, 24), (120, 40), (200, 60), (300, 120), (1, 1), (20, 5), (79, 23), (100, 30))
BURST: Final = 12
"""Events after which the program is looked at."""
MOST_KIB: Final = 900_000
"""Resident memory."""
PATIENCE: Final = 30.0
"""Seconds within which the program must answer to a new size."""


class Found(NamedTuple):
    """What went wrong, and after how many events."""

    events: int
    what: str


class Played(NamedTuple):
    """A run without trouble."""

    events: int
    left: int
    """How often a key ended the program, which was then started anew."""
    most_kib: int


Event = Callable[[Program], None]


def events(chance: random.Random) -> Iterator[Event]:
    """Random events without end."""
    while True:
        yield chance.choices(
            (typed(chance), clicked(chance), pasted(chance), resized(chance), stopped), (80, 12, 2, 4, 0.3)
        )[0]


def typed(chance: random.Random) -> Event:
    """A key, sometimes held down."""
    kind = chance.random()
    if kind < 0.55:
        key = chance.choice(LETTERS).encode()
    elif kind < 0.95:
        key = CODES[chance.choice(NAMED)]
    else:
        key = bytes([chance.choice(CONTROLS)])
    times = chance.choice((1,) * 15 + (5, 30))
    return lambda program: program.send(key * times)


def clicked(chance: random.Random) -> Event:
    """A click somewhere, a drag, or the wheel."""
    x, y, button = chance.randint(1, 300), chance.randint(1, 120), chance.choice((0, 0, 0, 2, 32, 64, 65))
    report = f"\x1b[<{button};{x};{y}M\x1b[<{button & 3};{x};{y}m".encode()
    return lambda program: program.send(report)


def pasted(chance: random.Random) -> Event:
    """Something from the clipboard."""
    text = b"\x1b[200~" + chance.choice(PASTES).encode() + b"\x1b[201~"
    return lambda program: program.send(text)


def resized(chance: random.Random) -> Event:
    """The window changes."""
    columns, rows = chance.choice(SIZES)
    return lambda program: program.resize(columns, rows)


def stopped(program: Program) -> None:
    """The program is stopped and continued, as a shell does."""
    program.interrupt(signal.SIGSTOP)
    program.interrupt(signal.SIGCONT)


def play(seed: int, most: int, argv: tuple[str, ...]) -> Found | Played:
    """Play `most` events; a program that a key has ended is started again."""
    chance = random.Random(seed)
    source = events(chance)
    done = left = memory = 0
    while done < most:
        with Program(
            (sys.executable, "-m", "tui", *argv), 120, 40, {"PTESCOPE_TRACEBACK": "1"}, at_home=True
        ) as program:
            try:
                program.settle(quiet=0.3)
                while done < most:
                    for _ in range(BURST):
                        next(source)(program)
                    done += BURST
                    program.settle(quiet=0.03, timeout=2)
                    memory = max(memory, program.resident_kib)
                    if trouble := wrong(program, memory):
                        return Found(done, trouble)
            except ProgramEndedError as ended:
                if "ended with status 0" not in str(ended):
                    return Found(done, last_words(program))
                left += 1
                continue
            except (OSError, IndexError):  # it ended while it was being written to or looked at
                if "Traceback" in last_words(program):
                    return Found(done, last_words(program))
                left += 1
                continue
            if trouble := unanswered(program):
                return Found(done, trouble)
    return Played(done, left, memory)


def last_words(program: Program) -> str:
    """What the program wrote last, without what moves the cursor."""
    return ESCAPE.sub(b"", program.tail).decode(errors="replace").replace("\r", "")[-12_000:]


def wrong(program: Program, memory: int) -> str:
    """What is wrong with what can be seen; empty if nothing is."""
    shown = program.shown()
    for word in ("Traceback (most recent", "bug in ptescope", "Error:", "Exception"):
        if word in shown:
            return shown
    return f"it uses {memory} KiB" if memory > MOST_KIB else ""


def unanswered(program: Program) -> str:
    """Whether it still draws itself when the window changes; empty if it does."""
    before, end = program.bytes_written, time.monotonic() + PATIENCE
    program.resize(118, 39)
    while program.bytes_written == before and time.monotonic() < end:  # on a busy machine it may well sleep for now
        program.settle(quiet=0.2, timeout=PATIENCE)
    return "" if program.bytes_written > before else "it does not answer to a new size:\n" + program.shown()


def hang_up(argv: tuple[str, ...], number: signal.Signals) -> str:
    """End a program by a signal: what it has left of the terminal undone; empty if nothing."""
    with Program((sys.executable, "-m", "tui", *argv), 120, 40) as program:
        program.settle(quiet=0.3)
        _, left = program.end(number)
    undone = [
        name
        for name, code in (
            ("the other screen", b"\x1b[?1049l"),
            ("the cursor", b"\x1b[?25h"),
            ("the mouse", b"\x1b[?1000l"),
        )
        if code not in left
    ]
    return ", ".join(undone)


def main() -> int:
    """Play the seeds that are asked for; exit status 1 at the first trouble."""
    parser = argparse.ArgumentParser(description="random keys, mouse, pastes and sizes against the app")
    parser.add_argument("--seed", type=int, default=int.from_bytes(os.urandom(3)), help="the first seed")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--events", type=int, default=5000)
    parser.add_argument("argv", nargs="*", help="what to start: sandbox, learn LESSON; by default home")
    args = parser.parse_args()
    for seed in range(args.seed, args.seed + args.seeds):
        found = play(seed, args.events, tuple(args.argv))
        if isinstance(found, Found):
            sys.stdout.write(f"seed {seed}, after {found.events} events:\n{found.what}\n")
            return 1
        told = f"{found.events} events, left {found.left} times, at most {found.most_kib // 1024} MiB"
        sys.stdout.write(f"seed {seed}: {told}\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
