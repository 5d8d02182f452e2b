"""One session of `ptescope serve`: a program of its own with a progress folder of its own, which goes with it."""

import os
import sys
import tempfile

from tui.cli import main

if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="ptescope-session-") as folder:
        for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR", "XDG_STATE_HOME"):
            os.environ[name] = folder
        sys.exit(main(sys.argv[1:]))
