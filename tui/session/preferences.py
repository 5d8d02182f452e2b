"""What a reader has set for good: the theme, the pace. One small JSON file beside the progress, replaced atomically."""

import contextlib
from pathlib import Path
from typing import Final

import msgspec

from lessons.learner.own_file import free_name, read_own, replace_file

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
            return self._kept()[0]
        except OSError:
            return Preferences()

    def change(self, **preferences: object) -> None:
        """Keep what is set now beside what was set before. Where it cannot be written, it holds for this session."""
        from lessons.learner.file_lock import locked

        with contextlib.suppress(OSError):
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with locked(self.path.with_name(f".{self.path.name}.lock")):
                before, of_newer_versions = self._kept()
                now = msgspec.to_builtins(msgspec.structs.replace(before, **preferences))
                replace_file(self.path, msgspec.json.encode(of_newer_versions | now))

    def _kept(self) -> tuple[Preferences, dict[str, object]]:
        """The settings, and what stands beside them and is not known here.

        Raises OSError where a damaged file cannot be set aside: it is not replaced then.
        """
        try:
            raw = read_own(self.path)
        except OSError:  # none, or something else in its place
            return Preferences(), {}
        try:
            known = msgspec.json.decode(raw, type=Preferences)
            found = msgspec.json.decode(raw, type=dict[str, object])
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            self.path.rename(free_name(self.path, "damaged"))
            return Preferences(), {}
        return known, {name: value for name, value in found.items() if name not in Preferences.__struct_fields__}
