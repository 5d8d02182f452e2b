"""The command line as a whole: what it offers, what it says to mistakes, and that nobody ever sees a traceback."""

import os
import re
import subprocess
import sys
from argparse import Action, ArgumentParser, ArgumentTypeError, _SubParsersAction
from collections.abc import Iterator
from pathlib import Path

import pytest

from model.script.verbs import VERBS
from tests.tui.command_line import ROOT, called
from tui.cli import EXIT_BROKEN_PIPE, EXIT_BUG, SUBCOMMANDS, build_parser, main
from tui.session.terminal import no_terminal
from tui.version import __version__


def test_the_help_names_every_subcommand_and_each_has_its_own() -> None:
    text = called("--help").stdout
    assert [name for name in re.findall(r"^    ([a-z][a-z-]*) ", text, re.MULTILINE) if name != "SUBCOMMAND"] == [
        subcommand.name for subcommand in SUBCOMMANDS
    ]
    for subcommand in SUBCOMMANDS:
        done = called(subcommand.name, "--help")
        assert done.returncode == 0
        assert done.stdout.startswith(f"usage: ptescope {subcommand.name}")


def test_the_version() -> None:
    assert called("--version").stdout == f"ptescope {__version__}\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["lesonn"], "ptescope: there is no `lesonn`"),
        (["lessn"], "did you mean `lesson`?"),
        (["lesson", "chek"], "did you mean `check`?"),
        (["lesson"], "the following arguments are required: "),
        (["sandbox", "no/such.pte"], "no/such.pte: No such file or directory"),
        (["run", "--jsn", "x"], "unrecognized arguments: --jsn"),
    ],
)
def test_mistakes_get_one_line_and_status_2(arguments: list[str], message: str) -> None:
    done = called(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert message in done.stderr
    assert done.stderr.count("\n") == 1


def actions(parser: ArgumentParser, wanted: str = "") -> Iterator[Action]:
    """Every operand and option, those of subcommands and of what they do too."""
    for action in parser._actions:
        yield action
        if isinstance(action, _SubParsersAction):
            for name, below in action.choices.items():
                if not wanted or name == wanted:
                    yield from actions(below)


def number(action: Action, text: str) -> int | float | None:
    """The number that an option makes of a text; None where it refuses it in words of its own, or wants none."""
    try:
        found: object = action.type(text) if callable(action.type) else None
    except ArgumentTypeError:
        return None
    return found if isinstance(found, int | float) else None


@pytest.mark.parametrize("name", [subcommand.name for subcommand in SUBCOMMANDS])
def test_every_number_has_bounds_and_the_digits_of_ascii(name: str) -> None:
    """What `int` takes besides those would mean something else than it seems to, or fill the machine."""
    options = list(actions(build_parser([name]), name))
    numeric = [action for action in options if any(number(action, text) for text in ("1", "30", "300"))]
    wrong = ["-1", "1e9", "nan", "inf", "", "1_0", "0x10", "\u0663", "\uff11", "\u00b9", "9" * 30, "9" * 5000]
    for action in numeric:
        assert [text for text in wrong if number(action, text) is not None] == [], action
    assert bool(numeric) or name not in {"explore", "compare", "sweep", "serve", "class", "drill", "live", "replay"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["explore", "--preemptions", "99999999999", "-"], "expected a number from 0 to 1000, not `99999999999`"),
        (["replay", "--jobs", "0", "x"], "expected a number from 1 to 256, not `0`"),
        (["export", "x", "--size", "\u0661\u0662\u0660x40", "-o", "x.svg"], "expected columns x lines such as 120x40"),
        (["export", "x", "--steps", f"1..{'9' * 5000}", "-o", "x.svg"], "expected steps such as 3..9 or 3.."),
    ],
)
def test_bounds_are_said(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(arguments)
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], ["sandbox"]])
def test_without_a_terminal_the_app_does_not_open(arguments: list[str]) -> None:
    done = called(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert "needs a terminal" in done.stderr


def test_a_terminal_that_only_prints_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    for stream in (sys.stdin, sys.stdout):
        monkeypatch.setattr(stream, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "dumb")
    assert "TERM=dumb cannot" in no_terminal()
    monkeypatch.setenv("TERM", "linux")
    assert not no_terminal()


def test_the_verbs_are_listed_from_the_table() -> None:
    text = called("run", "--verbs").stdout
    assert "  gup P WHERE as=R [fast|slow|fast-only] [write] [pin] [longterm] [force] [by=DEV]\n" in text
    assert text.count("\n") >= 2 * len(VERBS)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
@pytest.mark.parametrize("options", [[], ["--json"]])
def test_a_full_disk_is_reported(options: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "tui", "run", *options, "-"],
            cwd=ROOT,
            input="process p0\n",
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1
    assert "No space left on device" in done.stderr


@pytest.mark.parametrize("options", [[], ["-q"], ["--json"]])
def test_whoever_reads_no_further_is_not_told_that_something_did_not_hold(options: list[str], tmp_path: Path) -> None:
    script = tmp_path / "many.pte"
    script.write_text("".join(f"process p{number}\n" for number in range(2000)))
    run = [sys.executable, "-m", "tui", "run", *options, str(script)]
    with subprocess.Popen(run, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as done:
        assert done.stdout is not None
        assert done.stderr is not None
        done.stdout.readline()
        done.stdout.close()
        assert done.stderr.read() == b""
    assert done.returncode == EXIT_BROKEN_PIPE


@pytest.mark.skipif(os.name != "posix", reason="shells that can close a stream")
@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&-"])
def test_closed_streams_are_no_accident(closed: str, tmp_path: Path) -> None:
    script = tmp_path / "one.pte"
    script.write_text("process p0\n")
    name = "-" if closed == "<&-" else str(script)
    call = f'"{sys.executable}" -m tui run "{name}" {closed}'
    done = subprocess.run(["sh", "-c", call], cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_a_bug_is_one_line_too(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def broken(_: list[str]) -> int:
        raise KeyError("frames", 7)

    monkeypatch.setattr("tui.cli.run", broken)
    monkeypatch.delenv("PTESCOPE_TRACEBACK", raising=False)
    assert main([]) == EXIT_BUG
    message = capsys.readouterr().err
    assert message.startswith("ptescope: this is a bug in ptescope: KeyError: ('frames', 7)")
    monkeypatch.setenv("PTESCOPE_TRACEBACK", "1")
    with pytest.raises(KeyError):
        main([])


# -- the sandbox without a screen --------------------------------------------------------------


def test_the_plain_sandbox_carries_out_what_is_typed_and_takes_it_back(tmp_path: Path) -> None:
    scene = tmp_path / "scene.pte"
    scene.write_text("process p0\nmmap p0 buf anon private rw 2\n")
    done = called(
        "sandbox",
        "--plain",
        str(scene),
        text="write p0 buf 7\nread p0 buf\nundo\nundo\nread p0 buf\nraed p0\nread p0 buff\n"
        "? read\n?\nquit\nread p0 buf\n",
    )
    assert (done.returncode, done.stderr) == (0, "")
    heads = [line.split(maxsplit=1)[1] for line in done.stdout.splitlines() if re.match(r" {0,3}\d+  ", line)]
    assert heads == [
        "process p0  answer: ok",
        "mmap p0 buf anon private rw 2  answer: ok: page 16",
        "write p0 buf 7  answer: ok",
        "read p0 buf  answer: ok 7",
        "read p0 buf  answer: ok 0",
    ]
    assert "column 1: unknown command `raed`; did you mean `read`?" in done.stdout
    assert "column 9: `p0` has no label `buff`; did you mean `buf`?" in done.stdout
    assert "the CPU loads the byte at the start of a page" in done.stdout
    assert "go back to before the last command" in done.stdout


def test_the_plain_sandbox_refuses_a_malformed_script() -> None:
    done = called("sandbox", "--plain", "-", text="raed")
    assert (done.returncode, done.stderr) == (2, "-:1:1: unknown command `raed`; did you mean `read`?\n")


def test_the_plain_sandbox_ends_with_its_input() -> None:
    assert called("sandbox", "--plain", text="undo\nprocess p0").returncode == 0


@pytest.mark.parametrize(
    "words", [("recap", "-o", "FILE"), ("export", "tour", "-o", "FILE.md"), ("class", "tour", "--out", "FILE")]
)
def test_a_file_that_cannot_be_written_is_named_as_it_was_typed(
    words: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    (tmp_path / "plain").write_text("a file, no folder")
    wanted = str(tmp_path / "plain" / "notes")
    monkeypatch.setattr("tui.cli._close_output", lambda: None)
    assert main([word.replace("FILE", wanted) for word in words]) != 0
    said = capsys.readouterr().err
    assert wanted in said
    assert "Not a directory" in said
    assert "Errno" not in said
