"""What `ptescope compare` has computed before: one file, which holds as long as the model's source does not change."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Final

import msgspec
import platformdirs

import model
from lessons.i18n.language import tr
from lessons.learner.file_lock import locked
from lessons.learner.own_file import read_own, reason, replace_file
from model.compare.cells import Cell, Trial
from model.driver_files.library import SUFFIX

Answer = Cell | Trial


class Stored(msgspec.Struct, frozen=True):
    """The content of the cache file."""

    model: str
    """Digest of the model's source."""
    cells: dict[int, dict[str, Cell]]
    """By the bound of states, then by the text of the scene."""
    trials: dict[str, Trial]


class Cache:
    """The file, under the platform's cache folder. Whoever deletes it loses nothing but a minute."""

    def __init__(self, most_states: int, path: Path | None = None) -> None:
        self.path: Final = path or platformdirs.user_cache_path("ptescope") / "compare.json"
        self.most_states: Final = most_states
        self.model: Final = model_digest()

    def read(self) -> dict[str, Answer]:
        """Scene text → answer; nothing if the file was made by another model, or is damaged."""
        stored = self._stored()
        return {**stored.cells.get(self.most_states, {}), **stored.trials}

    def _stored(self) -> Stored:
        try:
            stored = msgspec.json.decode(read_own(self.path, is_believed=True), type=Stored)
        except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return Stored(self.model, {}, {})
        return stored if stored.model == self.model else Stored(self.model, {}, {})

    def write(self, answers: dict[str, Answer]) -> str:
        """Add answers to the file; says why where that is not possible: the next run computes anew.

        What depends on how much memory there was is not kept.
        """
        return keep(self.path, lambda: self._with(answers))

    def _with(self, answers: dict[str, Answer]) -> bytes:
        """What the file has, and these answers."""
        stored = self._stored()
        cells = {text: answer for text, answer in answers.items() if isinstance(answer, Cell) and not answer.ended}
        trials = {text: answer for text, answer in answers.items() if isinstance(answer, Trial)}
        here = stored.cells.get(self.most_states, {}) | cells
        now = Stored(self.model, stored.cells | {self.most_states: here}, stored.trials | trials)
        return msgspec.json.encode(now)


def keep(path: Path, content: Callable[[], bytes]) -> str:
    """Replace a file with what `content` makes of it, while no other program does; says why that is not possible."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with locked(path.with_name(f".{path.name}.lock")):
            replace_file(path, content())
    except OSError as error:
        return tr("what was computed cannot be kept: {why}").format(why=reason(error))
    return ""


def model_digest() -> str:
    """A digest of every source file of the model and every driver file that comes along, by name and content."""
    root = Path(next(iter(model.__path__)))
    digest = hashlib.sha256()
    for path in sorted(path for path in root.rglob("*") if path.suffix in {".py", SUFFIX}):
        digest.update(path.relative_to(root).as_posix().encode() + b"\0")
        digest.update(path.read_bytes() + b"\0")
    return digest.hexdigest()
