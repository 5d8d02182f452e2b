"""The reader's language: an English text in, the same text in that language out.

The English texts stand where they are used. What has no translation stays English, and so does what the simulated
kernel says: its words are those of the field. Where translations are kept: `lessons.i18n.catalog`.
"""

import gettext
import os
from collections.abc import Mapping
from functools import lru_cache
from typing import Final, NamedTuple

from lessons.i18n.catalog import interface_files, languages, lesson_files, plain, translations, usable
from model.text.wording import Pattern, Wording, filled

ENGLISH: Final = "en"
UNTRANSLATED: Final = frozenset({ENGLISH, "c", "posix"})
"""What asks for the texts as they are."""
VARIABLES: Final = ("PTESCOPE_LANGUAGE", "LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG")
"""What says which language is wanted, the first that is set; all but our own as gettext has them."""


class ReaderLanguage(NamedTuple):
    """A language, and what gettext knows of it."""

    code: str
    texts: gettext.NullTranslations


_chosen: list[ReaderLanguage] = []
"""At most one; chosen when the first text is needed."""


def wanted(environment: Mapping[str, str]) -> str:
    """The code of the first wanted language that there is; `en` if there is none.

    >>> wanted({"LANG": "de_AT.UTF-8"}), wanted({"LANG": "de_DE", "PTESCOPE_LANGUAGE": "en"}), wanted({"LANG": "C"})
    ('de', 'en', 'en')
    """
    named = next((environment[name] for name in VARIABLES if environment.get(name)), "")
    for name in filter(None, named.split(":")):
        code = name.partition(".")[0].partition("_")[0].lower()
        if code in UNTRANSLATED:  # before the folders of translations are looked through: that takes time
            return ENGLISH
        if code in languages():
            return code
    return ENGLISH


def use(code: str) -> None:
    """Speak this language from now on. Raises FileNotFoundError where there is no such translation."""
    if code != ENGLISH and code not in languages():
        raise FileNotFoundError(f"there is no translation `{code}`; there are: {', '.join(languages())}")
    files = [] if code == ENGLISH else interface_files(code)
    _chosen[:] = [ReaderLanguage(code, translations(files))]
    tr.cache_clear()


def chosen() -> ReaderLanguage:
    """The language that is localized."""
    if not _chosen:
        use(wanted(os.environ))
    return _chosen[0]


@lru_cache(maxsize=4096)
def tr(text: str) -> str:
    """A text of the interface in the reader's language."""
    return _found(chosen().texts, text) or text


def ptr(context: str, text: str) -> str:
    """A text whose meaning depends on its place: gettext's `pgettext`, as in `ptr("page table", "Walk")`."""
    if chosen().code == ENGLISH:
        return text
    found = chosen().texts.pgettext(context, plain(text))
    return text if found == plain(text) else found


def ntr(one: str, many: str, count: int) -> str:
    """The form for this count: gettext's `ngettext`, e.g. `ntr("{n} page", "{n} pages", n).format(n=n)`."""
    return chosen().texts.ngettext(one, many, count)


def localized(text: str) -> str:
    """What the model says, in the reader's language: its patterns translated, with the same names and numbers in them.

    A text that is no phrase is a name, or is not translated, and stays as it is.
    """
    return text if chosen().code == ENGLISH else _localized(text)


def _localized(text: str) -> str:
    if not isinstance(text, Wording):
        return text
    pattern, facts, many = text.pattern.text, text.pattern.facts, text.pattern.many
    said = {name: _localized(fact) if isinstance(fact, str) else fact for name, fact in facts.items()}
    if not pattern:
        return Wording("".join(map(str, said.values())), Pattern("", said))
    count = said.get("n")
    other = ntr(pattern, many, count) if many and isinstance(count, int) else tr(pattern)
    try:
        return Wording(filled(other, said), Pattern(other, said))
    except (KeyError, IndexError, ValueError):  # a translation of the reader's own that asks for what there is not
        return text


def lesson_texts(name: str) -> Mapping[str, str]:
    """The translated texts of a lesson, by what `plain` makes of the English ones; empty: it stays English."""
    code = chosen().code
    files = lesson_files(code, name) if code != ENGLISH else []
    return {english: other for path in reversed(files) for english, other in usable(path)}


def _found(texts: gettext.NullTranslations, text: str) -> str:
    """The translation of a text whatever its blanks; empty if there is none."""
    if chosen().code == ENGLISH or not text.strip():
        return ""  # gettext answers an empty text with the header of the file
    english = plain(text)
    other = texts.gettext(english)
    return "" if other == english else other
