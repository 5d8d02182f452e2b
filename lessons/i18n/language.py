"""The reader's language: an English text in, the same text in that language out.

The English texts stand where they are used. A translation is a folder of `languages`, named by its code, with `*.toml`
files that give for an English text another one, either as `"English" = "Deutsch"`, or, where a text is long, as

    [[text]]
    en = "…"
    to = "…"

Blanks and line ends do not matter for finding a text. A lesson's texts are in `lessons/ID.toml` of that folder. What
has no translation stays English, and so does what the simulated kernel says: its words are those of the field.
"""

import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Final, NamedTuple

LANGUAGES: Final = Path(__file__).parent
ENGLISH: Final = "en"
VARIABLES: Final = ("PTESCOPE_LANGUAGE", "LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG")
"""What says which language is wanted, the first that is set; all but our own as gettext has them."""


def wanted(environment: Mapping[str, str]) -> str:
    """The code of the first wanted language that there is; `en` if there is none.

    >>> wanted({"LANG": "de_AT.UTF-8"}), wanted({"LANG": "de_DE", "PTESCOPE_LANGUAGE": "en"}), wanted({"LANG": "C"})
    ('de', 'en', 'en')
    """
    named = next((environment[name] for name in VARIABLES if environment.get(name)), "")
    codes = (name.partition(".")[0].partition("_")[0].lower() for name in named.split(":"))
    known = {ENGLISH, *languages()}
    return next((code for code in codes if code in known), ENGLISH)


def languages() -> list[str]:
    """The codes of the languages that there is a translation into."""
    return sorted(path.name for path in LANGUAGES.iterdir() if path.is_dir() and not path.name.startswith("__"))


class Spoken(NamedTuple):
    """A language that is spoken."""

    code: str
    texts: Mapping[str, str]


_spoken: list[Spoken] = []
"""At most one; chosen when the first text is needed."""


def use(code: str) -> None:
    """Speak this language from now on. Raises FileNotFoundError where there is no such translation."""
    _spoken[:] = [Spoken(code, {} if code == ENGLISH else catalogue(code))]


def chosen() -> Spoken:
    """The language that is spoken."""
    if not _spoken:
        use(wanted(os.environ))
    return _spoken[0]


def tr(text: str) -> str:
    """A text of the interface in the reader's language."""
    texts = chosen().texts
    return (texts.get(text) or texts.get(plain(text)) or text) if texts else text


def lesson_texts(name: str) -> Mapping[str, str]:
    """The translated texts of a lesson, by what `plain` makes of the English ones; empty: it stays English."""
    code = chosen().code
    path = LANGUAGES / code / "lessons" / f"{name}.toml"
    return _read(path) if code != ENGLISH and path.is_file() else {}


def plain(text: str) -> str:
    """A text with every run of blanks and line ends as one blank: what a translation is found by."""
    return " ".join(text.split())


def catalogue(code: str) -> dict[str, str]:
    """Every text of the interface in a language. Raises FileNotFoundError where there is no such translation."""
    folder = LANGUAGES / code
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no translation `{code}`; there are: {', '.join(languages())}")
    texts: dict[str, str] = {}
    for path in sorted(folder.glob("*.toml")):
        texts |= _read(path)
    return texts


@lru_cache(maxsize=64)
def _read(path: Path) -> dict[str, str]:
    """The texts of one file."""
    import tomllib  # noqa: PLC0415 - only those who do not read English need it

    with path.open("rb") as file:
        table = tomllib.load(file)
    long = {plain(entry["en"]): entry["to"].strip() for entry in table.pop("text", [])}
    return {plain(english): other for english, other in table.items()} | {**table, **long}
