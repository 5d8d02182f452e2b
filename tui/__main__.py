"""`ptescope` and `python -m tui`: the command line, loaded with the garbage collector off.

What is loaded stays, and while it grows the collector looks through it again and again: a twentieth of the time.
The command line lets the collector go as soon as a command begins.
"""

import gc
import sys


def main() -> int:
    """Run ptescope; returns the exit status."""
    gc.disable()
    from tui.cli import main as command_line

    return command_line()


if __name__ == "__main__":
    sys.exit(main())
