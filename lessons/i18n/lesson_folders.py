"""Where your own lessons are: folders that were named, and one under the platform's data folder.

Such a folder has `*.md` files, `worlds/*.pte` beside them, and `translations/CODE/lessons/ID.po` where there are any.
"""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Final

VARIABLE: Final = "PTESCOPE_LESSONS"
"""Names such folders, separated as in PATH; `--lessons DIR` sets it for the program and for what that starts."""
FOLDER: Final = "lessons"
"""The name of the one under the platform's data folder, which need not be named."""
TRANSLATIONS: Final = "translations"
WORLDS: Final = "worlds"
"""The folder beside a lesson that has the scripts of its scenes."""


def lesson_folders() -> tuple[Path, ...]:
    """Every folder with lessons of one's own, in the order in which they are named; some may not exist."""
    named = [Path(name) for name in os.environ.get(VARIABLE, "").split(os.pathsep) if name]
    mine = data_folder()
    return tuple(dict.fromkeys((*named, mine) if mine.is_dir() else named))


def own_worlds() -> tuple[str, ...]:
    """The names of all worlds in folders of one's own."""
    found = {path.stem for folder in lesson_folders() for path in (folder / WORLDS).glob("*.pte")}
    return tuple(sorted(found))


def data_folder() -> Path:
    """The folder that is looked into without being named, on this platform."""
    import platformdirs  # not before it is needed: every start of the program comes by here

    return platformdirs.user_data_path("ptescope") / FOLDER


def name_folders(folders: Iterable[Path]) -> None:
    """Add folders to those that are named already, first."""
    names = [str(folder.absolute()) for folder in folders]
    known = [name for name in os.environ.get(VARIABLE, "").split(os.pathsep) if name and name not in names]
    os.environ[VARIABLE] = os.pathsep.join((*names, *known))
