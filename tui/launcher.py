"""`ptescope` as it is installed: the wheel has this file as `ptescope/__main__.py`, and the packages below it.

`model`, `lessons` and `tui` lie in `ptescope/packages`. This program looks there before anywhere else, so nobody's
package of that name hides them; Python looks there last (ptescope.pth), so they hide nobody's. Nothing is imported from
the current folder either, where an empty or relative part of PYTHONPATH asks Python for that, often by accident:
somebody else may have written what lies there. In a checkout Python finds the packages by itself.
"""

# Nothing that the interpreter has not loaded by now may be imported before the path is in order: no pathlib.
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))  # noqa: PTH100, PTH120
PACKAGES = os.path.join(HERE, "packages")  # noqa: PTH118


def main() -> int:
    """Run ptescope; returns the exit status."""
    if os.path.exists(os.path.join(PACKAGES, "tui", "cli.py")):  # noqa: PTH110, PTH118
        leave_current_folder()
        sys.path.insert(0, PACKAGES)
    from tui.__main__ import main as program

    return program()


def leave_current_folder() -> None:
    """Take relative parts of PYTHONPATH away, here and for the interpreters that this one starts."""
    asked = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    stay = [part for part in asked if os.path.isabs(part)]  # noqa: PTH117
    gone = {os.path.abspath(part) for part in asked if part not in stay}  # noqa: PTH100
    gone -= {os.path.dirname(HERE), *map(os.path.abspath, stay)}  # noqa: PTH120
    sys.path[:] = [part for part in sys.path if os.path.abspath(part) not in gone]  # noqa: PTH100
    if len(stay) < len(asked):
        os.environ["PYTHONPATH"] = os.pathsep.join(stay)


if __name__ == "__main__":
    sys.exit(main())
