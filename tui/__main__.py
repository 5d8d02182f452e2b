"""`ptescope` and `python -m tui`: the command line, loaded with the garbage collector off.

What is loaded stays, and while it grows the collector looks through it again and again: a twentieth of the time.
The command line lets the collector go as soon as a command begins. Ctrl+C ends it at once until then.
"""

import gc
import signal
import sys


def main() -> int:
    """Run ptescope; returns the exit status."""
    gc.disable()
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # until there is something to end in order: no traceback
    from tui.cli import main as command_line

    return command_line()


if __name__ == "__main__":
    sys.exit(main())
