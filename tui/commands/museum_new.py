"""`ptescope museum new`: asks for what makes a bug, and writes its file once both scenes show what is told."""

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Final

from lessons.file.museum_new import ASKED
from lessons.i18n.language import tr

NEW: Final = "new"
"""Instead of a bug's name."""


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

    answers = {key: getattr(args, key) or _asked(key) for key in ASKED}
    missing = [key for key, answer in answers.items() if not answer]
    if missing or args.output is None or args.scene is None:
        named = [*missing, *(key for key in ("output", "scene") if getattr(args, key) is None)]
        print(tr("missing: {options}").format(options=", ".join(f"--{key}" for key in named)), file=sys.stderr)
        return 2
    if answers["undo"] not in MENDS:
        print(
            tr("there is no mend {name}; there is {known}").format(name=answers["undo"], known=", ".join(MENDS)),
            file=sys.stderr,
        )
        return 2
    text = draft(args.output.stem, answers, read_script(str(args.scene)))
    if wrong := misses(play(parse(text, str(args.output)))):
        print("\n".join(f"{args.output}: {one}" for one in wrong), file=sys.stderr)
        return 1
    replace_file(args.output, text.encode(), private=False)
    print(args.output)
    return 0


def _asked(key: str) -> str:
    """An answer from the terminal; nothing where nobody sits there."""
    return input(f"{key}: ") if sys.stdin.isatty() else ""
