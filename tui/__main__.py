"""`ptescope` and `python -m tui`: the command line, loaded with the garbage collector off.

What is loaded stays, and while it grows the collector looks through it again and again: a twentieth of the time.
The command line lets the collector go as soon as a command begins. Until then Ctrl+C ends the program at once and
without a traceback, as there is nothing to end in order yet; before this module is run it is Python that answers.
"""

import _signal  # type: ignore[import-not-found]  # in the interpreter, while `signal` has to be read and compiled

if _signal.getsignal(_signal.SIGINT) is _signal.default_int_handler:
    _signal.signal(_signal.SIGINT, _signal.SIG_DFL)

import gc
import sys

from tui.session.start_archive import START


def main() -> int:
    """Run ptescope; returns the exit status."""
    gc.disable()
    START.install()
    from tui.cli import main as command_line

    return command_line()


if __name__ == "__main__":
    sys.exit(main())
