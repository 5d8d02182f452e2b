"""One session of `ptescope serve`: a program of its own with a folder of its own, and limits on what it may take."""

import contextlib
import os
import signal
import sys
import threading
import time
from pathlib import Path

from tui.cli import main

MIB = 1 << 20
LOOK = 1.0
"""Seconds between two looks whether the server is still there …"""
GRACE = 5.0
"""… and from its end until the session is ended in any case."""


def limit(memory: int) -> None:
    """No process of this session takes more than so many MiB; the search's processes inherit that."""
    with contextlib.suppress(ImportError, ValueError, OSError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (memory * MIB, memory * MIB))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_FSIZE, (64 * MIB, 64 * MIB))


def end_with(parent: int) -> None:
    """End, with everything kept, when the server is gone: a killed one cannot end its sessions itself."""
    while os.getppid() == parent:
        time.sleep(LOOK)
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(GRACE)
    os._exit(1)


if __name__ == "__main__":
    folder = Path(os.environ["PTESCOPE_SESSION"])
    for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR", "XDG_STATE_HOME", "XDG_CONFIG_HOME"):
        os.environ[name] = str(folder)
    if os.name == "posix":
        threading.Thread(target=end_with, args=(os.getppid(),), daemon=True).start()
        os.nice(5)
        limit(int(os.environ.get("PTESCOPE_SESSION_MEMORY", "1024")))
    sys.exit(main(sys.argv[1:]))
