"""`ptescope lesson new|check|play|promote|diff|guide|mutate|translate`: for authors of lessons, and for CI."""

import re
import sys
from argparse import ArgumentParser, ArgumentTypeError, Namespace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from lessons.i18n.language import ntr, tr

if TYPE_CHECKING:
    from lessons.author.scaffold import LessonDraft
    from lessons.file.schema import Lesson

EXIT_FINE: Final = 0
EXIT_PROBLEMS: Final = 1
EXIT_MALFORMED: Final = 2


def add_arguments(parser: ArgumentParser) -> None:
    """The deeds of `ptescope lesson`, and their operands."""
    parser.description = (
        "For authors of lessons; `ptescope lesson guide` prints docs/authoring.md, with three worked lessons."
    )
    deeds = parser.add_subparsers(dest="deed", metavar="DEED", required=True)
    new = deeds.add_parser("new", help="write a small lesson to begin with")
    new.add_argument("id", type=identity, metavar="ID", help="its name: the file is called ID.md")
    new.add_argument("--title", metavar="TITLE", help="by default the name in words")
    new.add_argument("--folder", type=Path, default=Path(), metavar="DIR", help="where to write it (default: here)")
    checking = deeds.add_parser("check", help="say what is wrong with lesson files")
    checking.description = (
        "Check lesson files: their form, their texts, and, by playing them on the model, every answer, goal and "
        "solution. Exit status: 0 nothing is wrong, 1 something is."
    )
    checking.add_argument(
        "paths",
        nargs="*",
        metavar="PATH|NAME",
        help="lessons, or folders of them; default: the folders of your own, or else the course",
    )
    checking.add_argument("--draft", action="store_true", help="let the template's own texts pass")
    checking.add_argument(
        "--kernel",
        type=Path,
        metavar="DIR",
        help="kernel sources: do they have what is to be read?",
    )
    play = deeds.add_parser("play", help="play a lesson file; it is read again whenever it is saved")
    play.add_argument("file", metavar="FILE.md|NAME")
    play.add_argument("--plain", action="store_true", help="text in, text out, read once")
    promote = deeds.add_parser("promote", help="make a lesson of a script or a saved session")
    promote.add_argument("script", type=Path, metavar="SCRIPT.pte")
    promote.add_argument("id", nargs="?", type=identity, metavar="ID", help="by default the name of the script")
    promote.add_argument("--title", metavar="TITLE")
    promote.add_argument("--folder", type=Path, default=Path(), metavar="DIR")
    diff = deeds.add_parser("diff", help="say what a learner would notice between two versions")
    diff.description = "Exit status: 0 nothing, 1 something, 2 one of them cannot be played."
    diff.add_argument("old", metavar="OLD.md|NAME")
    diff.add_argument("new", metavar="NEW.md|NAME")
    translate = deeds.add_parser("translate", help="write a lesson's texts as a gettext .po file, to be translated")
    translate.description = (
        "The file has every text of the lesson. What an earlier one has translated is kept, also when the lesson has "
        "changed since; `lesson check` says what is missing."
    )
    translate.add_argument("lesson", metavar="NAME", help="a lesson's name, or its file")
    translate.add_argument("language", metavar="LANG", help="a language code: de, fr, pt_BR")
    translate.add_argument(
        "--folder",
        type=Path,
        metavar="DIR",
        help="a folder of translations (default: beside a lesson of your own, else your own, where the app looks)",
    )
    deeds.add_parser("guide", help="print the authors' guide, docs/authoring.md")
    mutate = deeds.add_parser("mutate", help="break the model on purpose: some lesson must notice each time")
    mutate.description = (
        "A mutant is noticed by another answer, another remark, or a goal that its solution no longer reaches; that a "
        "lesson cannot be played to its end does not count. Exit status: 0 every mutant whose step a lesson makes is "
        "noticed, 1 one survives."
    )
    mutate.add_argument("names", nargs="*", metavar="MUTANT", help="default: all of them")
    mutate.add_argument(
        "--among",
        action="append",
        default=[],
        metavar="PATH|NAME",
        help="a lesson, or a folder of them; default: the folders of your own, or else the course",
    )


def identity(text: str) -> str:
    """Parse the name of a lesson, or raise ArgumentTypeError."""
    if not re.fullmatch(r"[a-z][a-z0-9-]*", text):
        raise ArgumentTypeError(tr("expected small letters, digits and hyphens, not `{text}`").format(text=text))
    return text


def main(args: Namespace) -> int:
    """Run the command; returns the exit status."""
    from lessons.file.problems import LessonError
    from model.text.problems import ScriptError

    try:
        return DEEDS[args.deed](args)
    except LessonError as error:
        print(error, file=sys.stderr)
    except ScriptError as error:
        from tui.commands.run import complain

        complain(str(args.script), error)
    return EXIT_MALFORMED


def check(args: Namespace) -> int:
    """Print what is wrong with lessons."""
    from lessons.author.check import check_paths

    lessons, problems = check_paths([_path(word) for word in args.paths], draft=args.draft)
    if args.kernel is not None:
        from lessons.author.kernel_sources import dead

        if not args.kernel.is_dir():
            print(tr("{folder}: no folder with kernel sources").format(folder=args.kernel), file=sys.stderr)
            return EXIT_MALFORMED
        problems += [problem for lesson in lessons for problem in dead(lesson, args.kernel)]
    for problem in problems:
        print(problem, file=sys.stderr)
    checked = ntr("{n} lesson checked", "{n} lessons checked", len(lessons)).format(n=len(lessons))
    print(f"{checked}, {ntr('{n} problem', '{n} problems', len(problems)).format(n=len(problems))}")
    return EXIT_PROBLEMS if problems else EXIT_FINE


def _path(word: str) -> Path:
    """A file or folder as it was named, or the file of a lesson by the lesson's name. Raises LessonError."""
    from lessons.file.library import find_file

    path = Path(word)
    return path if path.exists() else find_file(word)


def new(args: Namespace) -> int:
    """A lesson to begin with."""
    from lessons.author.scaffold import empty

    return _write(args.id, empty(args.id, args.title or _in_words(args.id)), args.folder)


def promote(args: Namespace) -> int:
    """A lesson of what was played."""
    from lessons.author.scaffold import from_script
    from tui.session.user_files import UnreadableError, read_script

    try:
        text = read_script(str(args.script))
    except UnreadableError as error:
        print(error, file=sys.stderr)
        return EXIT_MALFORMED
    try:
        name = args.id or identity(args.script.stem.lower().replace("_", "-"))
    except ArgumentTypeError as error:
        print(tr("{file}: {problem}; say ID after it").format(file=args.script, problem=error), file=sys.stderr)
        return EXIT_MALFORMED
    try:
        draft = from_script(name, args.title or _in_words(name), text)
    except ValueError as error:
        print(f"{args.script}: {error}", file=sys.stderr)
        return EXIT_MALFORMED
    return _write(name, draft, args.folder)


def _in_words(name: str) -> str:
    return name.replace("-", " ").capitalize()


def _write(name: str, draft: "LessonDraft", folder: Path) -> int:
    """Write both files, and say what is left to do. Nothing that exists is replaced."""
    from lessons.author.check import check_lesson
    from lessons.file.loader import load
    from lessons.i18n.lesson_folders import WORLDS
    from lessons.learner.own_file import replace_file

    lesson, world = folder / f"{name}.md", folder / WORLDS / f"{name}.pte"
    for path in (lesson, world):
        if path.exists():
            print(tr("{file} exists; choose another name or another --folder").format(file=path), file=sys.stderr)
            return EXIT_MALFORMED
    world.parent.mkdir(parents=True, exist_ok=True)
    replace_file(world, draft.world.encode(), private=False)
    replace_file(lesson, draft.lesson.encode(), private=False)
    for problem in check_lesson(load(lesson)):
        print(problem, file=sys.stderr)
    written = tr(
        "{lesson} and {world} are written. `ptescope lesson play {lesson}` plays it and follows what you save."
    )
    print(written.format(lesson=lesson, world=world))
    return EXIT_FINE


def play(args: Namespace) -> int:
    """Play a lesson file and follow its changes."""
    from tui.session.terminal import EXIT_NO_TERMINAL, no_terminal

    if args.plain:
        from lessons.learner.progress import Store
        from tui.commands.learn import play_plain

        play_plain(_load(_path(args.file)), Store())
        return EXIT_FINE
    if refusal := no_terminal():
        print(f"ptescope: {refusal}; {tr('`{command}` needs none').format(command='--plain')}", file=sys.stderr)
        return EXIT_NO_TERMINAL
    from tui.app.launch import author

    return author(_path(args.file))


def _load(path: Path) -> "Lesson":
    from lessons.file.loader import load

    return load(path)


def diff(args: Namespace) -> int:
    """Print what differs between two versions of a lesson."""
    from lessons.author.diff import differences

    found = list(differences(_load(_path(args.old)), _load(_path(args.new))))
    for line in found:
        print(line)
    return EXIT_PROBLEMS if found else EXIT_FINE


def translate(args: Namespace) -> int:
    """A lesson's texts for a translator."""
    from lessons.author.translate import file_in, skeleton
    from lessons.file.library import find_file
    from lessons.i18n.catalog import lesson_files, own_folder
    from lessons.i18n.lesson_folders import TRANSLATIONS, lesson_folders
    from lessons.learner.own_file import reason, replace_file

    path = find_file(args.lesson)
    lesson = _load(path)
    own = next((folder for folder in lesson_folders() if folder.resolve() == path.parent.resolve()), None)
    beside = own / TRANSLATIONS if own is not None else own_folder()
    target = file_in(args.folder or beside, args.language, lesson.id)
    earlier = target if target.is_file() else next(iter(lesson_files(args.language, lesson.id)), None)
    try:
        content = skeleton(lesson, args.language, earlier)
        target.parent.mkdir(parents=True, exist_ok=True)
        replace_file(target, content, private=False)
    except OSError as error:
        print(reason(error), file=sys.stderr)
        return EXIT_MALFORMED
    except ValueError as error:
        print(f"{earlier or target}: {error}", file=sys.stderr)
        return EXIT_MALFORMED
    print(target)
    return EXIT_FINE


def mutate(args: Namespace) -> int:
    """Which lessons notice which mutant."""
    from tui.commands.lesson_mutate import report

    return report(args.names, args.among)


def guide(_args: Namespace) -> int:
    """Print the authors' guide."""
    from tui.session.documents import document

    print(document("authoring.md"), end="")
    return EXIT_FINE


DEEDS: Final = {
    "guide": guide,
    "new": new,
    "check": check,
    "play": play,
    "promote": promote,
    "diff": diff,
    "mutate": mutate,
    "translate": translate,
}
