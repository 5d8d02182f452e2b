"""The sandbox without a screen: words about the session, text in, text out."""

import io
from pathlib import Path

import pytest
from rich.console import Console

from model.script.parser import parse
from tui.plain.sandbox import PlainSandbox

SCENE = """process p0
mmap p0 buf anon private rw 1
write p0 buf 1
gup p0 buf as=r write pin
"""


def typed(lines: str, script: str = SCENE) -> tuple[PlainSandbox, str]:
    """What a sandbox answers to some lines, after a script."""
    output = io.StringIO()
    sandbox = PlainSandbox(parse(script), io.StringIO(lines), Console(file=output, width=100, color_system=None))
    assert sandbox.run() == 0
    return sandbox, output.getvalue()


def test_what_is_watched_is_told_after_each_command() -> None:
    _, answer = typed("watch pincount p0 buf\nput r\nwatch pincount p0 buf\nread p0 buf\nwatch pin\n")
    assert [line.strip() for line in answer.splitlines() if "pincount p0 buf =" in line] == [
        "pincount p0 buf = 1",
        "pincount p0 buf = 0",
    ]
    assert "`pin` is no quantity" in answer


def test_differences_and_undo() -> None:
    _, answer = typed("put r\ndiff\nundo\ndiff 99\n")
    assert "~ frame 5: refcount 1025 -> 1, pins 1 -> 0" in answer
    assert "- reference r" in answer
    assert "There are 4 commands to look back over." in answer


def test_any_two_named_states_are_compared() -> None:
    lines = "bookmark\nbookmark held\nput r\nbookmark gone\nundo\nmemfd f 2\ndiff gone held\ndiff held 0\ndiff hold\n"
    _, answer = typed(f"{lines}goto gone\nundo\ndiff held gone now\nbookmark\ngoto gnoe\n")
    backwards, forwards = answer.index("refcount 1 -> 1025, pins 0 -> 1"), answer.rindex("+ file f")
    assert backwards < forwards, "from gone to held, then from held to now"
    assert "No state has a name" in answer
    assert "There is no place `hold`; did you mean `held`?" in answer
    assert "There is no place `gnoe`; did you mean `gone`?" in answer
    assert "Expected `diff [A [B]]`." in answer
    assert "held: gup p0 buf as=r write pin" in answer


def test_one_goes_to_a_named_state_and_back() -> None:
    sandbox, _ = typed("bookmark held\nput r\ngoto held\n")
    assert "r" in sandbox.runner.context.state.references
    assert sandbox.done[-1] == "gup p0 buf as=r write pin"
    sandbox, _ = typed("bookmark held\nput r\ngoto held\nread p0 buf\nundo\nundo\n")
    assert sandbox.done[-1] == "put r"
    assert "r" not in sandbox.runner.context.state.references


def test_a_code_a_scene_and_a_file_start_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sandbox, answer = typed("save mine\ncode\n")
    assert "Saved as mine.pte." in answer
    code = answer[answer.index("pte1.") :]
    other, _ = typed(f"code {''.join(code.split())}\n", "process p9")
    assert other.runner.context.state == sandbox.runner.context.state
    loaded, _ = typed("scene stale-tlb\nload mine.pte\n", "")
    assert loaded.runner.context.state == sandbox.runner.context.state
    assert loaded.done == sandbox.done
    _, answer = typed("scene stale-tbl\nload nobody\ncode pte1.AAAA.AAAA\nsave\nscenes\nscript\n")
    assert "did you mean `stale-tlb`" in answer
    assert "nobody: No such file" in answer
    assert "damaged" in answer
    assert "Expected `save FILE`." in answer
    assert "right-way-dma-buf: " in answer
    assert "gup p0 buf as=r write pin" in answer
