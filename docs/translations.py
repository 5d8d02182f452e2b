"""Brings the .po files of the interface up to date with the source: `python docs/translations.py [LANG…]`.

Babel finds what the source gives to `tr`, `ptr`, `ntr` and `Binding`; what its tables say is added. A new text gets an
empty translation, one that is gone is marked `#~`, and where a text was changed a little the old translation is kept
and marked fuzzy until somebody has read it. With `--check` nothing is written: it says what is missing.
"""

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from babel.messages.catalog import Catalog
from babel.messages.extract import extract_from_dir
from babel.messages.pofile import write_po

from docs.parts import ROOT
from lessons.file.schema import PARTS
from lessons.i18n.catalog import BUILT_IN, plain, read_catalog
from tui.drivers.history_view import all_rules
from tui.drivers.sandbox import GUIDE
from tui.screens.help import RENAMED
from tui.screens.stage_keys import HINTS, PANES
from tui.views.home import ABOUT, WAYS
from tui.views.manual import SIGNS, WORDS

KEYWORDS: Final = {"tr": None, "ntr": (1, 2), "ptr": ((1, "c"), 2), "Binding": (3,)}
INTERFACE: Final = "interface.po"
"""Where texts go that no other file of a language has."""
LOOSE: Final = ("steps.po",)
"""Files whose texts are not found by extraction: the docstrings of micro-steps, translated as far as lessons need."""


class Said(NamedTuple):
    """One text of the interface."""

    text: str | tuple[str, str]
    context: str | None = None


def said() -> Iterator[Said]:
    """Every text of the interface, from the source and from its tables."""
    for folder in ("tui", "lessons"):
        for _, _, message, _, context in extract_from_dir(ROOT / folder, [("**.py", "python")], keywords=KEYWORDS):
            if isinstance(message, tuple):
                yield Said((plain(message[0]), plain(message[1])), context)
            elif message.strip():
                yield Said(plain(message), context)
    yield from (Said(plain(text)) for text in tables())


def tables() -> Iterator[str]:
    """What the interface shows from tables, where no call names the text."""
    yield from (*PARTS, ABOUT, GUIDE, *RENAMED.values())
    yield from (text for title, summary, _ in WAYS for text in (title, summary))
    yield from (title for _, title, _ in PANES)
    yield from (does for _, _, does, _ in HINTS)
    yield from (text for table in (SIGNS, WORDS) for _, text in table)
    yield from (rule.rule for rule in all_rules())


def missing(code: str) -> list[str]:
    """The texts that a language has no translation for."""
    known = {(message.id, message.context) for path in files(code) for message in read_catalog(path) if message.string}
    return [str(one.text) for one in dict.fromkeys(said()) if (one.text, one.context) not in known]


def files(code: str) -> list[Path]:
    """The files of the interface in a language."""
    return sorted((BUILT_IN / code).glob("*.po"))


def renew(code: str) -> None:
    """Write a language's files anew: every text once, in the file that has it already, new ones in interface.po."""
    texts = list(dict.fromkeys(said()))
    catalogs = {path: read_catalog(path) for path in files(code) if path.name not in LOOSE}
    place = {(message.id, message.context): path for path, catalog in catalogs.items() for message in catalog}
    for path, catalog in catalogs.items():
        template = Catalog(fuzzy=False)
        for one in texts:
            if place.get((one.text, one.context), BUILT_IN / code / INTERFACE) == path:
                template.add(one.text, context=one.context)
        catalog.update(template, keep_user_comments=True)
        with path.open("wb") as stream:
            write_po(stream, catalog, width=100)


def main() -> int:
    """Renew or check the languages that are named; by default all."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing, say what is missing")
    parser.add_argument("codes", nargs="*", metavar="LANG")
    args = parser.parse_args()
    lacking = 0
    for code in args.codes or sorted(path.name for path in BUILT_IN.iterdir() if (path / INTERFACE).is_file()):
        if not args.check:
            renew(code)
        left = missing(code)
        lacking += len(left)
        for text in left:
            print(f"{code}: not translated: {text}")
    return 1 if lacking else 0


if __name__ == "__main__":
    sys.exit(main())
