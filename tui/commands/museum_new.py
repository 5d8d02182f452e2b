"""`ptescope museum new`: asks for what makes a bug, and writes its file once both scenes show what is told."""

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Final

from lessons.file.museum_new import ASKED
from lessons.file.problems import did_you_mean
from lessons.i18n.language import tr
from model.text.words import printable

NEW: Final = "new"
"""Instead of a bug's name."""
FILES: Final = ("scene", "output")
"""What has to be answered besides: the script to read, and the file to write."""


def add_arguments(parser: ArgumentParser) -> None:
    """The options of `ptescope museum new`."""
    parser.add_argument("-o", "--output", type=Path, metavar="FILE.md", help="of `new`: where to write the bug's file")
    parser.add_argument("--scene", type=Path, metavar="SCRIPT", help="of `new`: the set-up, and what `may` happen")
    parser.add_argument("--undo", metavar="TEXT", help="of `new`: the mend that is undone: a value of `set as-it-was`")
    parser.add_argument("--title", metavar="TEXT", help="of `new`: a few words for the list")
    parser.add_argument("--year", metavar="TEXT", help="of `new`: when it was mended or made public")
    parser.add_argument("--mechanism", metavar="TEXT", help="of `new`: one of those by which the museum is sorted")
    parser.add_argument("--culprit", metavar="TEXT", help="of `new`: whose mistake it was, likewise")
    parser.add_argument("--affected", metavar="TEXT", help="of `new`: the versions that had it")
    parser.add_argument(
        "--breaks", metavar="TEXT", help="of `new`: the rule that is broken, or a property of the scene"
    )
    parser.add_argument("--symptom", metavar="TEXT", help="of `new`: what somebody saw in the field")
    parser.add_argument("--rule", metavar="TEXT", help="of `new`: what it teaches, in a sentence")
    parser.add_argument("--happened", metavar="TEXT", help="of `new`: what happened, in three sentences")


def main(args: Namespace) -> int:
    """Write the file if it is sound; returns the exit status. Raises LessonError where the answers are no exhibit."""
    from lessons.file.museum import parse
    from lessons.file.museum_new import draft
    from lessons.learner.own_file import replace_file
    from lessons.play.exhibit import misses, play
    from model.engine.mends import MENDS
    from tui.session.user_files import read_script

    given = {key: str(getattr(args, key) or "") or _asked(key) for key in (*ASKED, *FILES)}
    if missing := [key for key, answer in given.items() if not answer]:
        print(tr("missing: {options}").format(options=", ".join(f"--{key}" for key in missing)), file=sys.stderr)
        return 2
    if given["undo"] not in MENDS:
        print(
            tr("there is no mend {name}; there is {known}").format(name=given["undo"], known=", ".join(MENDS)),
            file=sys.stderr,
        )
        return 2
    output = Path(given["output"])
    text = draft(output.stem, given, read_script(given["scene"]))
    if wrong := misses(play(parse(text, str(output)))):
        print("\n".join(f"{output}: {one}" for one in wrong), file=sys.stderr)
        return 1
    replace_file(output, text.encode(), private=False)
    print(output)
    return 0


def _asked(key: str) -> str:
    """An answer from the terminal; nothing where nobody sits there. What must be one of a few words is asked again."""
    if not sys.stdin.isatty():
        return ""
    choices = _choices(key)
    if choices:
        print(f"{key}: {', '.join(choices)}")
    while True:
        try:
            answer = input(f"{key}? ").strip()
        except EOFError:
            return ""
        if not choices or answer in choices:
            return answer
        print(f"{tr('`{word}` is none of these').format(word=printable(answer))}; {did_you_mean(answer, choices)}")


def _choices(key: str) -> tuple[str, ...]:
    """The words that an answer must be one of; empty: any will do."""
    from lessons.file.museum_schema import CULPRITS, MECHANISMS
    from model.engine.mends import MENDS

    return {"undo": tuple(MENDS), "mechanism": MECHANISMS, "culprit": CULPRITS}.get(key, ())
