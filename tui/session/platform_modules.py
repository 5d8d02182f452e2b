"""Modules of Python's library that only some platforms have: what needs one says so before it begins."""

from importlib import import_module
from typing import Final

TERMINAL_MODULES: Final = ("termios", "tty")
"""What a screen in a terminal needs, except on Windows."""


def missing_module(*names: str) -> str:
    """The first of these modules that this Python does not have; empty if it has them all."""
    for name in names:
        try:
            import_module(name)
        except ModuleNotFoundError:
            return name
    return ""
