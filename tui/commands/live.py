"""`ptescope live`: the commands of a script on the kernel of this machine, beside the model."""

import platform
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from lessons.i18n.language import tr
from lessons.learner.own_file import replace_file
from tui.commands.numbers import REPEATS, SEED
from tui.session.platform_modules import missing_module
from tui.session.user_files import FileNameError, UnreadableError, new_file, read_script

if TYPE_CHECKING:
    from model.script.command import Command
    from tui.live.side_by_side import Compared, Machines

EXIT_AGREES: Final = 0
EXIT_DIFFERS: Final = 1
EXIT_MALFORMED: Final = 2
EXIT_NOTHING_DONE: Final = 3

KINDS: Final = ("thp", "mthp", "hugetlb", "ksm", "swap", "uffd")
"""What random programs can be about (PROGRAM_KINDS of tui.live.random_programs; a test compares them)."""

REPEATED: Final = 2
"""How often a difference must come again. The rest of the kernel is at work too: who else holds a page for a moment
(compaction, a batch of another CPU) has it copied where it would be reused."""


def add_arguments(parser: ArgumentParser) -> None:
    """The operands and options of `ptescope live`."""
    parser.description = tr(
        "Carry out a script's ordinary commands on the kernel of this machine, in processes of its own, and on the "
        "model, and compare what both show after each command. Linux only; needs no privileges, but sees more with "
        "CAP_SYS_ADMIN. Exit status: 0 all agree, 1 some do not, 2 the script is malformed or cannot be read, or the "
        "recording cannot be written, 3 nothing could be carried out."
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("file", nargs="?", metavar="FILE", help=tr("the script; `-` reads standard input"))
    what.add_argument(
        "--random", type=REPEATS, metavar="N", help=tr("N random programs instead; stops at a difference")
    )
    parser.add_argument("--seed", type=SEED, default=0, metavar="S", help=tr("the first random program's number"))
    parser.add_argument(
        "--kind", choices=KINDS, default="", help=tr("what random programs are mostly about; without it of everything")
    )
    parser.add_argument("--unprivileged", action="store_true", help=tr("look only at what any user may see"))
    parser.add_argument(
        "--allow-system",
        action="store_true",
        help=tr("settings of the whole machine may be changed for a moment (ksmd); they are put back"),
    )
    parser.add_argument("--json", action="store_true", help=tr("one JSON object a command, for programs"))
    parser.add_argument(
        "--record", metavar="OUT.json", help=tr("write what the kernel did as a recording, for `ptescope replay`")
    )


def main(args: Namespace) -> int:
    """Run the command; returns the exit status."""
    if sys.platform != "linux":
        print(
            tr("ptescope live needs Linux: it compares with the kernel that it runs on, and this is {system}.").format(
                system=platform.system()
            ),
            file=sys.stderr,
        )
        return EXIT_NOTHING_DONE
    if module := missing_module("fcntl", "mmap", "resource"):
        needs = tr("ptescope live needs the module {module}, and this Python has none").format(module=module)
        print(needs, file=sys.stderr)
        return EXIT_NOTHING_DONE
    if args.random is not None:
        return random_programs(args)
    from model.script.parser import parse
    from model.text.problems import ScriptError

    try:
        commands = parse(read_script(args.file))
        record = new_file(args.record, ".json") if args.record else None
    except (UnreadableError, FileNameError) as error:
        print(error, file=sys.stderr)
        return EXIT_MALFORMED
    except ScriptError as error:
        for problem in error.problems:
            print(problem.located(args.file), file=sys.stderr)
        return EXIT_MALFORMED
    return one_script(args, commands, record)


def one_script(args: Namespace, commands: "Sequence[Command]", record: Path | None) -> int:
    """Carry a script out and tell what both machines did."""
    from tui.live.side_by_side import Machines, compare
    from tui.views import live as view

    found: list[Compared] = []
    with Machines(privileged=False if args.unprivileged else None, allow_system=args.allow_system) as machines:
        if not args.json:
            print(view.heading(platform.release(), machines.kernel, machines.looking.seen))
        for one in compare(commands, machines):
            found.append(one)
            if args.json:
                print_json(view.as_json(one))
            else:
                for line in view.lines(one):
                    print(line)
        tally = view.LiveCount.of(found)
        if not args.json:
            print(view.verdict(tally, platform.release(), machines.looking.seen))
        is_recorded = record is None or wrote_recording(record, found, machines, args.file)
    if not is_recorded:
        return EXIT_MALFORMED
    if tally.done == 0:
        return EXIT_NOTHING_DONE
    return EXIT_AGREES if tally.agreed == tally.done else EXIT_DIFFERS


def print_json(row: dict[str, Any]) -> None:
    """One object, one line."""
    import msgspec

    from tui.views.visible import write_json

    write_json(msgspec.json.encode(row))
    sys.stdout.flush()


def wrote_recording(path: Path, found: "Sequence[Compared]", machines: "Machines", file: str) -> bool:
    """Write what the kernel did in the format that `ptescope replay` reads, or say why that cannot be done."""
    from tui.live.recorder import NotRecordableError, recording

    try:
        text = recording(found, machines.looking.seen, name=path.stem, about=f"ptescope live {file}")
        replace_file(path, text.encode(), private=False)
    except NotRecordableError as error:
        print(f"ptescope live: {error}", file=sys.stderr)
    except OSError as error:
        print(f"{path}: {error.strerror}", file=sys.stderr)
    else:
        return True
    return False


def random_programs(args: Namespace) -> int:
    """Random programs until one shows a difference, which is then made as short as it can be."""
    from tui.jobs.progress_bar import progress_bar

    done = passing = 0
    with progress_bar(args.random) as advance:
        for seed in range(args.seed, args.seed + args.random):
            lines, different, commands = run_program(seed, args)
            done += commands
            if different and all(differs(lines, args) for _ in range(REPEATED)):
                break
            passing += different
            advance()
        else:
            print(
                tr("{programs} random programs, {commands} commands: all agree (kernel {release}).").format(
                    programs=args.random, commands=done, release=platform.release()
                )
            )
            if passing:
                print(tr("Differences that did not come again: {count}.").format(count=passing))
            return EXIT_AGREES if done else EXIT_NOTHING_DONE
    shortest = shortened(lines, args)
    print(tr("Program {seed} differs. The shortest script that shows it:").format(seed=seed))
    print("\n".join(f"    {line}" for line in shortest))
    return tell_differences(shortest, args)


def run_program(seed: int, args: Namespace) -> "tuple[list[str], bool, int]":
    """The program of a seed, whether the machines differ, and how many commands both carried out."""
    from tui.live.random_programs import program

    lines = program(seed, ksm=args.allow_system and not args.kind, kind=args.kind)
    found = both(lines, args)
    done = [one for one in found if not one.skipped]
    return lines, any(one.differences for one in done), len(done)


def both(lines: Sequence[str], args: Namespace) -> "list[Compared]":
    """Carry lines out on both machines, up to the first difference; those that are no script do nothing."""
    from model.script.parser import parse
    from model.text.problems import ScriptError
    from tui.live.side_by_side import Machines, compare

    try:
        commands = parse("\n".join(lines))
    except ScriptError:
        return []
    found = []
    with Machines(privileged=False if args.unprivileged else None, allow_system=args.allow_system) as machines:
        for one in compare(commands, machines):
            found.append(one)
            if one.differences:
                break
    return found


def shortened(lines: Sequence[str], args: Namespace) -> list[str]:
    """The shortest part of a program in which the machines still differ."""
    from tui.live.shrink import shrink

    return shrink(lines, lambda fewer: differs(fewer, args))


def differs(lines: Sequence[str], args: Namespace) -> bool:
    """Whether the machines differ somewhere in these lines."""
    return any(one.differences for one in both(lines, args))


def tell_differences(lines: Sequence[str], args: Namespace) -> int:
    """Say what differs at the end of a script."""
    from tui.views.live import sentence

    for one in both(lines, args):
        for difference in one.differences:
            print("  ≠ " + sentence(difference))
    return EXIT_DIFFERS
