"""Signals that end a program and would leave the terminal as the app has it.

Until the app listens to them they are held back: neither asyncio nor Textual stands an exception at any moment of a
start, and one that comes between the terminal's other screen and the first frame would leave it behind. That is a third
of a second. Threads inherit what is held back, so there is none that a signal could reach in the meantime.
"""

import os
import signal
from typing import Final

ENDINGS: Final = tuple(
    getattr(signal, f"SIG{name}")
    for name in ["INT", "TERM", "HUP", "QUIT", "USR1", "USR2", "ALRM", "VTALRM", "PROF", "XCPU", "IO", "PWR"]
    if hasattr(signal, f"SIG{name}")
)
"""Those of a fault are not among them: after one no Python code can be relied on."""


def hold_signals() -> None:
    """Let whoever wants the program to end wait."""
    if os.name == "posix":
        signal.pthread_sigmask(signal.SIG_BLOCK, ENDINGS)


def heed_signals() -> None:
    """Whoever wants it to end is heard from now on, and whoever has wanted it."""
    if os.name == "posix":
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ENDINGS)
