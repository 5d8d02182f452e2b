"""Brings the .po files of the interface up to date with the source: `python -m docs.translations [LANG…]`.

What the source gives to `tr`, `ptr`, `ntr` and `Binding` is found, and what its tables say is added. A new text gets an
empty translation in interface.po, whose place a translator may change. Nothing is taken out: some texts come from data
that no extraction sees. With `--check` nothing is written: it says what is missing.
"""

import argparse
import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple, get_args

from babel.messages.pofile import write_po

from docs.parts import ROOT
from lessons.drills.book import KINDS as DRILLS
from lessons.drills.danger import ANSWERS as DANGERS
from lessons.drills.entries import LEFT_BY
from lessons.drills.folios_and_tables import FOLIO, HUGETLB
from lessons.drills.folios_and_tables import TABLES as TABLE_PAGES
from lessons.drills.grabs import ERRNOS, FAST_ONLY, GETS_IT, GRABS, MAPPINGS, NOTHING, TOUCHES
from lessons.drills.hints import WHERE as DRILL_HINTS
from lessons.drills.operations import SEEN as DRILLED_TABLES
from lessons.drills.userfaults import ANSWERS as COMES_TO
from lessons.drills.userfaults import MEANS as COMES_FROM
from lessons.file.museum_schema import CULPRITS, MECHANISMS
from lessons.file.schema import PARTS
from lessons.i18n.catalog import BUILT_IN, plain, read_catalog
from model.compare.owner_acts import PROCESS_ACTS, PUNCHED
from model.compare.scenes import GRABBERS, NOBODY
from model.driver_files import library
from model.driver_files.parser import parse as parse_driver
from model.driver_files.records import NO_WORDS
from model.invariants.next_access import FILLINGS
from model.invariants.registry import INVARIANTS
from model.kernel.mm.collapse_scan import REFUSALS
from model.search.verdicts import MEMORY_ORDER, Verdict
from tui.cli import SUBCOMMANDS
from tui.commands.export import FORMATS
from tui.commands.export_drawing import PICTURES, TIME_SPACES
from tui.drivers.history_view import all_rules
from tui.drivers.sandbox import GUIDE
from tui.drivers.session_commands import WORDS as SESSION_COMMANDS
from tui.live.possible import NO_SCAN, NOT_HERE, NOWHERE
from tui.plain.home import WHAT as PLAIN_HOME
from tui.plain.lesson import KEYS as PLAIN_LESSON_KEYS
from tui.plain.panes import CODES as SPOKEN_FLAGS
from tui.plain.sandbox import KEYS as PLAIN_KEYS
from tui.plain.sandbox import LAST_KEYS as LAST_PLAIN_KEYS
from tui.screens.help import RENAMED
from tui.screens.museum import Museum
from tui.screens.panes import PANES, PICTURED
from tui.screens.presenter_machine import MACHINE as PRESENTED
from tui.screens.stage_keys import HINTS, VIEW_HINTS
from tui.views.comparison_table import LEGEND as CELL_WORDS
from tui.views.glossary import GLOSSARY
from tui.views.home import ABOUT, ENTRIES
from tui.views.manual import SIGNS, WORDS
from tui.views.museum import ORDERS
from tui.views.picture.legend import EXAMPLES
from tui.views.picture.legend import SIGNS as PICTURE_SIGNS
from tui.views.sweep_table import HEADINGS as SWEEP_HEADINGS

INTERFACE: Final = "interface.po"
"""Where texts go that no other file of a language has."""


class Said(NamedTuple):
    """One text of the interface."""

    text: str | tuple[str, str]
    context: str | None = None


def said() -> Iterator[Said]:
    """Every text of the interface, from the source and from its tables."""
    for folder in ("tui", "lessons"):
        for path in sorted((ROOT / folder).rglob("*.py")):
            yield from calls(ast.parse(path.read_text(encoding="utf-8")))
    for path in (*sorted((ROOT / "model/invariants").rglob("*.py")), ROOT / "model/session/change_sentences.py"):
        yield from patterns(ast.parse(path.read_text(encoding="utf-8")))
    yield from (Said(plain(text)) for text in (*key_bindings(), *help_texts(), *tables()))


def calls(source: ast.AST) -> Iterator[Said]:
    """What a module gives to `tr`, `ptr` and `ntr`, inside f-strings as well: Babel does not look into those."""
    for node in ast.walk(source):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
            continue
        given = [plain(one.value) for one in node.args if isinstance(one, ast.Constant) and isinstance(one.value, str)]
        match node.func.id, given:
            case "tr", [text] if text:
                yield Said(text)
            case "ptr", [context, text]:
                yield Said(text, context)
            case "ntr", [one, many]:
                yield Said((one, many))


def patterns(source: ast.AST) -> Iterator[Said]:
    """What a module of the model makes phrases of."""
    for node in ast.walk(source):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            given = [one.value for one in node.args if isinstance(one, ast.Constant) and isinstance(one.value, str)]
            match node.func.id, given:
                case "phrase", [text]:
                    yield Said(plain(text))
                case "counted", [one, many]:
                    yield Said((plain(one), plain(many)))


def key_bindings() -> Iterator[str]:
    """What every key is said to do."""
    for path in sorted((ROOT / "tui").rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Binding":
                does = node.args[2] if len(node.args) > 2 else None
                if isinstance(does, ast.Constant) and isinstance(does.value, str) and does.value.strip():
                    yield does.value


def help_texts() -> Iterator[str]:
    """What the help of the command line says: `help=`, `description=`, `epilog=`, and `parser.description = …`."""
    for path in (ROOT / "tui/cli.py", *sorted((ROOT / "tui/commands").glob("*.py"))):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            said: list[ast.expr] = []
            if isinstance(node, ast.Call):
                said = [one.value for one in node.keywords if one.arg in {"help", "description", "epilog"}]
            elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Attribute):
                said = [node.value] if node.targets[0].attr == "description" else []
            yield from (one.value for one in said if isinstance(one, ast.Constant) and isinstance(one.value, str))


def tables() -> Iterator[str]:
    """What the interface shows from tables, where no call names the text."""
    yield from (*PARTS, ABOUT, GUIDE, *RENAMED.values())
    yield from (text for title, summary, _ in ENTRIES for text in (title, summary))
    yield from (title for _, title, _ in (*PANES, *PICTURED, *PRESENTED))
    yield from (does for _, _, does, _ in HINTS)
    yield from (does for hints in VIEW_HINTS.values() for _, does, _ in hints)
    yield from (text for table in (SIGNS, WORDS) for _, text in table)
    yield from (term.meaning for term in GLOSSARY)
    yield from (*SWEEP_HEADINGS, MEMORY_ORDER, *(meaning for _, meaning in CELL_WORDS))
    yield from (grabber.meaning for grabber in (NOBODY, *GRABBERS))
    yield from (PUNCHED, *PROCESS_ACTS.values(), NO_WORDS)
    operations = (one for name in library.bundled() for one in parse_driver(library.text_of(name)).lists)
    yield from (one.head.words for one in operations if one.head.word == "op" and one.head.words)
    yield from (meaning for _, meaning in EXAMPLES)
    yield from (one.meaning for one in PICTURE_SIGNS.values() if one.meaning)
    yield from (word for word in FILLINGS if word)
    yield from (rule.rule for rule in all_rules())
    yield from (invariant.symptom for invariant in INVARIANTS.values())
    yield from (command.help for command in (*SUBCOMMANDS, *SESSION_COMMANDS))
    yield from (asks for asks, _ in DRILLS.values())
    yield from (*DRILL_HINTS.values(), *DANGERS, *DRILLED_TABLES.values())
    yield from (call for calls in LEFT_BY.values() for call in calls.values())
    yield from (GETS_IT, NOTHING, FAST_ONLY, *ERRNOS.values())
    yield from (number.asked for number in (*FOLIO, *HUGETLB, TABLE_PAGES))
    yield from (*COMES_TO.values(), *COMES_FROM.values())
    yield from (said for said, _ in (*MAPPINGS, *TOUCHES, *GRABS))
    yield from (form.what for form in FORMATS.values())
    yield from (form.what for forms in (PICTURES, TIME_SPACES) for form in forms.values())
    yield from (does for _, does in (*PLAIN_LESSON_KEYS, *PLAIN_KEYS, *LAST_PLAIN_KEYS))
    yield from (PLAIN_HOME, *SPOKEN_FLAGS.values())
    yield from get_args(Verdict)
    yield from REFUSALS
    yield from (NOWHERE, *NOT_HERE.values(), *NO_SCAN.values())
    yield from (*MECHANISMS, *CULPRITS, *ORDERS, Museum.title_text)


def missing(code: str) -> list[str]:
    """The texts that a language has no translation for."""
    known = {
        (message.id, message.context)
        for path in files(code)
        for message in read_catalog(path)
        if message.string and all(message.string)
    }
    return [str(one.text) for one in dict.fromkeys(said()) if (one.text, one.context) not in known]


def files(code: str) -> list[Path]:
    """The files of the interface in a language."""
    return sorted((BUILT_IN / code).glob("*.po"))


def renew(code: str) -> None:
    """Add what a language lacks to its interface.po, to be filled in."""
    path = BUILT_IN / code / INTERFACE
    catalog = read_catalog(path)
    known = {(message.id, message.context) for one in files(code) for message in read_catalog(one)}
    new = [one for one in dict.fromkeys(said()) if (one.text, one.context) not in known]
    for one in new:
        catalog.add(one.text, context=one.context)
    if new:
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
