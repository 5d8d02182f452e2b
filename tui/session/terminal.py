"""Whether this terminal can show the app."""

import os
import re
import sys
from typing import Final

from lessons.i18n.language import tr
from tui.session.platform_modules import TERMINAL_MODULES, missing_module

EXIT_NO_TERMINAL: Final = 2
"""The exit status of a command that needs a screen and has none."""


LARGEST: Final = (1000, 400)
"""Columns and lines of the largest screen that is drawn. A terminal may call itself larger; it would take gigabytes."""


def sensible_size() -> None:
    """Forget what the environment says of the terminal's size where no number stands: Rich reads it and would end."""
    for name in ("COLUMNS", "LINES"):
        if not re.fullmatch("0*[1-9][0-9]{0,5}", os.environ.get(name, "1")):
            del os.environ[name]


def heed_terminal_size() -> None:
    """For the screen: ask a terminal that knows its size. The environment never hears that a window was resized."""
    try:
        known = not is_served() and min(os.get_terminal_size(sys.__stdout__.fileno())) > 0  # type: ignore[union-attr]
    except (AttributeError, ValueError, OSError):
        return
    for name in ("COLUMNS", "LINES") if known else ():
        os.environ.pop(name, None)


def is_served() -> bool:
    """The screen is a browser's (`ptescope serve`): the files of this machine are not the learner's."""
    return bool(os.environ.get("TEXTUAL_DRIVER"))


def no_terminal() -> str:
    """Why no screen can be opened here; empty if one can."""
    if is_served():
        return ""
    if not sys.stdin or not sys.stdin.isatty():
        return tr("the app needs a terminal, and standard input is none")
    if not sys.stdout.isatty():
        return tr("the app needs a terminal, and standard output is none")
    if is_dumb():
        return tr("the app needs a terminal that can move its cursor, and TERM=dumb cannot")
    if os.name == "posix" and (module := missing_module(*TERMINAL_MODULES)):
        return tr("the app needs the module {module}, and this Python has none").format(module=module)
    return ""


def is_dumb() -> bool:
    """The terminal says of itself that it only prints, as an editor's shell does."""
    return os.environ.get("TERM") == "dumb"
