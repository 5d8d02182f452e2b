"""What a reader has set for good: the theme, the pace. One small JSON file beside the progress, replaced atomically."""

import contextlib
import os
from pathlib import Path
from typing import Final

import msgspec

from lessons.learner.own_file import read_own, replace_file

NAME: Final = "preferences.json"


class Preferences(msgspec.Struct, frozen=True, omit_defaults=True):
    """Every preference, with what holds where nothing was set."""

    theme: str = ""
    """The name of a theme; empty: the program's own."""
    folds: bool = True
    """Steps that change nothing in sight are part of the next one that does."""


class PreferencesFile:
    """The file. One that cannot be read is set aside under another name; without a file everything is as by default."""

    def __init__(self, path: Path) -> None:
        self.path: Final = path

    def read(self) -> Preferences:
        """The settings in the file."""
        try:
            return msgspec.json.decode(read_own(self.path), type=Preferences)
        except OSError:
            return Preferences()
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            with contextlib.suppress(OSError):
                self.path.replace(self._free_name())
            return Preferences()

    def change(self, **preferences: object) -> None:
        """Keep what is set now beside what was set before. Where it cannot be written, it holds for this session."""
        from lessons.learner.file_lock import locked

        with contextlib.suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with locked(self.path.with_name(f".{self.path.name}.lock")):
                now = msgspec.to_builtins(msgspec.structs.replace(self.read(), **preferences))
                replace_file(self.path, msgspec.json.encode(self._of_newer_versions() | now))

    def _of_newer_versions(self) -> dict[str, object]:
        """What stands in the file and is not known here."""
        try:
            found = msgspec.json.decode(read_own(self.path), type=dict[str, object])
        except OSError:  # none, or something else in its place
            return {}
        return {name: value for name, value in found.items() if name not in Preferences.__struct_fields__}

    def _free_name(self) -> Path:
        """Where a damaged file is set aside: what was set aside before stays."""
        number, aside = 1, self.path.with_suffix(".damaged")
        while os.path.lexists(aside):
            number += 1
            aside = self.path.with_suffix(f".damaged-{number}")
        return aside
