"""Reading translations: gettext .po files, the program's own and a reader's.

A language is a folder named by its code (`de`) with `*.po` files for the interface and `lessons/ID.po` for a lesson.
The same layout in a folder of one's own adds to what comes with the program, text by text, and goes first. Babel reads
the files, and the standard library's gettext answers, with contexts and plurals as any translator's tool writes them.

A text is found whatever its blanks and line ends are: `msgid` is what `plain` makes of the English text.
"""

import gettext
import re
from collections.abc import Iterable, Iterator
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from lessons.i18n.lesson_folders import TRANSLATIONS, lesson_folders

if TYPE_CHECKING:
    from babel.messages.catalog import Catalog

BUILT_IN: Final = Path(__file__).parent
LESSONS: Final = "lessons"
"""The folder, inside a language's, whose files are named after lessons."""
_WRONG_LINE: Final = r'(?m)^(?![ \t]*(?:#|\r?$|(?:\w\S* +)?"(?:[^"\\\n]|\\.)*"\s*$)).*'
"""A line that is neither a comment nor empty, nor holds one whole string."""


class Damage(NamedTuple):
    """A translation file that cannot be used, and why. It is left aside; its texts stay English."""

    path: Path
    reason: str

    def __str__(self) -> str:
        """One line for a terminal."""
        return f"{self.path}: {self.reason}; left aside, its texts stay English"


damaged: Final[dict[Path, Damage]] = {}
"""Every file that could not be used since the program started."""


def own_folder() -> Path:
    """Where a reader keeps translations of his own, on this platform."""
    import platformdirs  # not before a translation is looked for: every start of the program comes by here

    return platformdirs.user_data_path("ptescope") / "translations"


def plain(text: str) -> str:
    """A text with every run of blanks and line ends as one blank: what a translation is found by."""
    return " ".join(text.split())


def folders() -> tuple[Path, ...]:
    """The folders with translations: a reader's own, those beside lessons of one's own, the program's last."""
    return own_folder(), *(folder / TRANSLATIONS for folder in lesson_folders()), BUILT_IN


def languages() -> list[str]:
    """The codes of the languages that there is a translation into."""
    found = {path.parent.name for folder in folders() for path in folder.glob("*/*.po")}
    return sorted(found | {path.parents[1].name for folder in folders() for path in folder.glob(f"*/{LESSONS}/*.po")})


def interface_files(code: str) -> list[Path]:
    """The files with the texts of the interface, those that go first at the beginning."""
    return [path for folder in folders() for path in sorted((folder / code).glob("*.po"))]


def lesson_files(code: str, name: str) -> list[Path]:
    """The files with the texts of a lesson."""
    return [path for folder in folders() if (path := folder / code / LESSONS / f"{name}.po").is_file()]


def translations(files: Iterable[Path]) -> gettext.NullTranslations:
    """What gettext answers from these files; an earlier one goes first. A damaged file is noted and left aside."""
    found = gettext.NullTranslations()
    for path in reversed(list(files)):
        one = _read(path)
        if one is not None:
            one.add_fallback(found)
            found = one
    return found


def read_catalog(path: Path) -> "Catalog":
    """The messages of a .po file. Raises OSError, or ValueError with what is wrong in words."""
    from babel.core import UnknownLocaleError
    from babel.messages.pofile import PoFileError, read_po

    try:
        content = path.read_bytes()
        catalog = read_po(BytesIO(content), ignore_obsolete=True, abort_invalid=True)
        text = content.decode(catalog.charset)
    except (PoFileError, UnknownLocaleError, UnicodeDecodeError) as error:
        raise ValueError(f"not a gettext .po file: {error}") from error
    # Babel takes the last character of a string for its quote, whatever it is.
    if wrong := re.search(_WRONG_LINE, text):
        line = text.count("\n", 0, wrong.start()) + 1
        raise ValueError(f'not a gettext .po file: line {line}: a string ends with ", and \\" is a quote inside it')
    return catalog


@lru_cache(maxsize=64)
def _compiled(path: Path) -> bytes:
    """A .po file as gettext reads it."""
    from babel.messages.mofile import write_mo

    stream = BytesIO()
    write_mo(stream, read_catalog(path))
    return stream.getvalue()


def _read(path: Path) -> gettext.GNUTranslations | None:
    """One file; none if it is damaged."""
    try:
        return gettext.GNUTranslations(BytesIO(_compiled(path)))
    except (OSError, ValueError, SyntaxError) as error:
        note_damage(path, error)
        return None


def messages(path: Path) -> Iterator[tuple[str, str]]:
    """Each English text of a file with its translation. Raises OSError or ValueError."""
    for message in read_catalog(path):
        if not message.id or message.fuzzy:
            continue
        english = message.id if isinstance(message.id, tuple | list) else (message.id,)
        other = message.string if isinstance(message.string, tuple | list) else (message.string,)
        yield from ((one, translated) for one, translated in zip(english, other, strict=False) if translated)


@lru_cache(maxsize=64)
def usable(path: Path) -> tuple[tuple[str, str], ...]:
    """The messages of a catalog; none where the file is damaged, which is noted."""
    try:
        return tuple(messages(path))
    except (OSError, ValueError) as error:
        note_damage(path, error)
        return ()


def note_damage(path: Path, error: Exception) -> None:
    """Remember that a file cannot be used."""
    damaged[path] = Damage(path, (str(error).splitlines() or [type(error).__name__])[0])
