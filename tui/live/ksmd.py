"""ksmd of the machine at hand: let it make so many scans, and leave its settings as they were.

/sys/kernel/mm/ksm is everybody's, so nothing here is touched unless the user allows it (`--allow-system`). What is
changed is put back at the end of each scan, also if the program is interrupted or told to end meanwhile.
"""

import signal
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

SETTINGS: Final = Path("/sys/kernel/mm/ksm")
CHANGED: Final = ("use_zero_pages", "pages_to_scan", "sleep_millisecs")
PAGES_TO_SCAN: Final = 1_000_000
"""In one batch: a batch ends with the full scan."""
SLEEP_MILLISECONDS: Final = 200
"""Between two scans: long enough to stop ksmd after the one that was the last."""
IDLE_SECONDS: Final = 1.0
"""ksmd makes no scan in so long a time if there is nothing to scan."""
ENDINGS: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def setting(name: str) -> int:
    """A number in /sys/kernel/mm/ksm. Raises OSError."""
    return int((SETTINGS / name).read_text(encoding="ascii"))


def change(name: str, value: int) -> None:
    """Write it. Raises OSError."""
    (SETTINGS / name).write_text(f"{value}\n", encoding="ascii")


def unusable() -> str:
    """Why ksmd cannot be told to scan here, by the name of the fact; empty if it can."""
    try:
        if setting("run"):
            return "running"
        change("run", 0)
    except (OSError, ValueError):
        return "not permitted"
    return ""


@contextmanager
def put_back() -> Iterator[None]:
    """Whatever happens in between: ksmd stands still afterwards, and its settings are those from before.

    SIGINT, SIGTERM and SIGHUP end the program only when that is done.
    """

    def ended(number: int, _frame: FrameType | None) -> None:
        sys.exit(128 + number)

    before = {name: setting(name) for name in CHANGED}
    handlers = {number: signal.signal(number, ended) for number in ENDINGS}
    try:
        yield
    finally:
        change("run", 0)
        for name, value in before.items():
            change(name, value)
        for number, handler in handlers.items():
            signal.signal(number, handler)


def scan(scans: int, *, use_zero_pages: bool) -> str:
    """Let ksmd make full scans of all mergeable memory. `ok`, or how many it made if it was not stopped in time.

    It makes fewer where one of them has found nothing mergeable any more: then it has nothing to do.
    """
    with put_back():
        change("use_zero_pages", int(use_zero_pages))
        change("pages_to_scan", PAGES_TO_SCAN)
        change("sleep_millisecs", SLEEP_MILLISECONDS)
        first = seen = setting("full_scans")
        change("run", 1)
        changed = time.monotonic()
        while seen - first < scans and time.monotonic() - changed < IDLE_SECONDS:
            time.sleep(0.001)
            if (now := setting("full_scans")) != seen:
                seen, changed = now, time.monotonic()
        change("run", 0)
        made = setting("full_scans") - first
    return "ok" if made <= scans else f"{made} scans"


def forget_the_dead() -> None:
    """Let ksmd come by once more: until then it keeps what it knows of processes that have ended."""
    scan(2, use_zero_pages=False)
