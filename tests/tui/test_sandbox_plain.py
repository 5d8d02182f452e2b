"""The sandbox without a screen: the same session as on the screen, text in, text out."""

import io
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from lessons.i18n.language import ENGLISH, use
from lessons.play.step_size import StepSize
from model.script.parser import parse
from tui.drivers.sandbox import SandboxDriver
from tui.drivers.session_commands import WORDS
from tui.plain.sandbox import PlainSandbox

SCENE = """process p0
mmap p0 buf anon private rw 1
write p0 buf 1
gup p0 buf as=r write pin
"""


def typed(lines: str, script: str = SCENE) -> tuple[SandboxDriver, str]:
    """The sandbox after some lines, and what it has answered to them after a script."""
    output = io.StringIO()
    driver = SandboxDriver(parse(script))
    console = Console(file=output, width=100, color_system=None)
    assert PlainSandbox(driver, io.StringIO(lines), console).run() == 0
    return driver, output.getvalue()


@pytest.fixture
def german() -> Iterator[None]:
    use("de")
    yield
    use(ENGLISH)


def last_command(driver: SandboxDriver) -> str:
    return driver.session.node.command


def test_what_is_watched_is_told_after_each_command() -> None:
    _, answer = typed("watch pincount p0 buf\nput r\nwatch pincount p0 buf\nread p0 buf\nwatch pin\n")
    values = [line.strip() for line in answer.splitlines() if "pincount p0 buf =" in line]
    assert values[0] == "pincount p0 buf = 1"
    assert values[1].startswith("pincount p0 buf = 0  (was 1 until step ")
    assert len(values) == 2
    assert "`pin` is no quantity" in answer


def test_differences_undo_and_redo() -> None:
    driver, answer = typed("put r\ndiff\nundo\ndiff 999\n")
    assert "changed frame 5: refcount 1025 to 1, pins 1 to 0" in answer
    assert "gone reference r" in answer
    assert "There is no place `999`" in answer
    assert last_command(driver) == "gup p0 buf as=r write pin"
    driver, answer = typed("put r\nundo\nundo\nredo\nredo\nredo\n")
    assert last_command(driver) == "put r"
    assert "There is nothing to redo." in answer
    assert "There is nothing to undo." in typed("undo\n", "")[1]


def test_any_two_named_states_are_compared() -> None:
    lines = "bookmark held\nput r\nbookmark gone\nundo\nmemfd f 2\nbookmark now\ndiff gone held\ndiff held now\n"
    _, answer = typed(f"{lines}diff hold\nhistory\ngoto gnoe\n")
    backwards, forwards = answer.index("refcount 1 to 1025, pins 0 to 1"), answer.rindex("new file f")
    assert backwards < forwards, "from gone to held, then from held to now"
    assert "There is no place `hold`; did you mean `held`?" in answer
    assert "There is no place `gnoe`; did you mean `gone`?" in answer
    assert "[held] gup p0 buf as=r write pin = ok" in answer


def test_one_goes_to_a_named_place_and_on_from_there() -> None:
    driver, answer = typed("bookmark held\nput r\ngoto held\n")
    assert "r" in driver.session.state.references
    assert "[held] step " in answer
    driver, _ = typed("bookmark held\nput r\ngoto held\nread p0 buf\nundo\nmemfd f 1\n")
    fork = next(number for number, name in driver.session.timeline.bookmarks.items() if name == "held")
    assert len(driver.session.timeline.children[fork]) == 3, "nothing that was done is lost"


def test_every_place_of_the_tree_can_be_gone_to() -> None:
    before, answer = typed("put r\nundo\nmemfd f 1\nhistory\n")
    rows = [line.strip() for line in answer.splitlines() if line.strip().startswith("#")]
    put = next(row.split()[0] for row in rows if "put r = ok" in row)
    assert any("memfd f 1" in row for row in rows)
    driver, _ = typed(f"put r\nundo\nmemfd f 1\ngoto {put}\n")
    assert last_command(driver) == "put r"
    assert len(driver.session.timeline.nodes) == len(before.session.timeline.nodes)


def test_commands_are_stepped_as_on_the_screen() -> None:
    _, answer = typed("i madvise p0 buf dontneed\n")
    assert "do_madvise.check_arguments" in answer
    assert "next: do_madvise.mmap_lock" in answer
    screen = SandboxDriver(parse(SCENE))
    assert not screen.command("madvise p0 buf dontneed")
    lines = ""
    sizes: dict[str, StepSize] = {
        "i madvise p0 buf dontneed": "into",
        "i": "into",
        "o": "over",
        "n": "into",
        "c": "command",
    }
    for line, size in sizes.items():
        lines += f"{line}\n"
        assert not screen.step(size)
        plain, _ = typed(lines)
        assert (plain.session.state, plain.session.node.number) == (screen.session.state, screen.session.node.number)
    assert screen.session.running is None


def test_an_empty_line_goes_on_and_a_colon_before_a_line_is_left_out() -> None:
    stepped, _ = typed(":i put r\n\n\n:watch refcount p0 buf\n")
    by_key, _ = typed("i put r\nn\nn\nwatch refcount p0 buf\n")
    assert stepped.session.node.number == by_key.session.node.number
    assert stepped.watched == ["refcount p0 buf"]


WAITING = "begin walk cpu=1 gup p0 buf as=r2 write pin fast-only\nstep walk 4\n"


def test_a_command_that_has_to_wait_is_undone_unless_it_is_stepped() -> None:
    driver, answer = typed(f"run\n{WAITING}madvise p0 buf dontneed\nrun\n")
    assert "No task is in flight" in answer
    assert "madvise p0 buf dontneed  answer: blocked on " in answer
    assert "walk: gup_fast." in answer
    assert driver.session.running is None
    driver, answer = typed(f"{WAITING}i madvise p0 buf dontneed\nc\n")
    assert "(waits: " in answer
    assert driver.session.running is not None
    driver, answer = typed(f"{WAITING}i madvise p0 buf dontneed\nc\nfinish walk\nc\n")
    assert driver.session.running is None
    assert last_command(driver) == "madvise p0 buf dontneed"


def test_a_code_a_scene_and_a_file_are_branches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sandbox, answer = typed("save mine\ncode\n")
    assert "Saved as mine.pte." in answer
    code = answer[answer.index("pte1.") :]
    other, _ = typed(f"code {''.join(code.split())}\n", "process p9")
    assert other.session.state == sandbox.session.state
    loaded, _ = typed("scene stale-tlb\nload mine.pte\n", "")
    assert loaded.session.state == sandbox.session.state
    assert "stale-tlb" in loaded.session.timeline.bookmarks.values(), "what was there before is kept"
    _, answer = typed("scene stale-tbl\nload nobody\ncode pte1.AAAA.AAAA\nsave\nscenes\nscript\nsettings\n")
    assert "did you mean `stale-tlb`" in answer
    assert "nobody: No such file" in answer
    assert "damaged" in answer
    assert "A file name is missing: `save FILE`." in answer
    assert "right-way-dma-buf: " in answer
    assert "gup p0 buf as=r write pin" in answer
    assert "`settings` needs a screen" in answer


@pytest.mark.parametrize("name", [".", "/", "~nobody-of-that-name/x"])
def test_a_bad_file_name_loses_nothing(name: str) -> None:
    driver, _ = typed(f"save {name}\nload {name}\nput r\n")
    assert last_command(driver) == "put r"


def test_every_session_command_answers_something_or_does_something() -> None:
    for word in WORDS:
        driver, answer = typed(f"put r\n{word.name}\n")
        told = answer.partition("put r  ")[2].partition("\n")[2]
        moved = last_command(driver) != "put r"
        assert word.name == "bookmark" or moved or told.strip(), word.name


@pytest.mark.usefixtures("german")
def test_the_readers_language_is_spoken() -> None:
    _, answer = typed("i put r\nc\nundo\nhistory\nwhy\nrun\ngoto nowhere\nraed\n")
    answer = answer.partition("put r")[2]
    for english in ("Nothing", "There is", "micro-steps", "No rule is", "next:", "No task", "column 1"):
        assert english not in answer, english
    assert "Schritt" in answer
