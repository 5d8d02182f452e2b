"""What comes from outside never reaches a terminal with control characters in it: arguments, names, texts, screens."""

import json
import re
import sys
import unicodedata
from io import StringIO
from pathlib import Path
from typing import Final

import pytest
from rich.table import Table
from rich.text import Text

from lessons.learner.progress import Store
from model.text.words import HIDDEN
from tests.lessons.small_lesson import TEXT, WORLDS
from tests.tui.command_line import Answered, called
from tests.tui.sandboxes import STALE, driver_of
from tests.tui.user import at
from tui.views.plain_text import Printer
from tui.views.visible import VisibleStream, raw, visible, visible_streams, write_json

HOSTILE: Final = "A\x1b]0;x\x07B\x9b31mC\u202eD\x7fE\x85F\u2066G\x08H\u200bI\u061cJ\U000e0041K"
SPELT: Final = r"A\x1b]0;x\x07B\x9b31mC\u202eD\x7fE\x85F\u2066G\x08H\u200bI\u061cJ\U000e0041K"
JOINERS: Final = "\u200c\u200d"
"""Of the characters without a shape those that words of some languages are written with."""
SHAPED: Final = re.compile("[\u0600-\u0605\u06dd\u070f\u0890\u0891\u08e2\U000110bd\U000110cd\U00013430-\U0001343f]")
"""Those of category Cf that one sees: signs before numbers, and what joins hieroglyphs."""


def clean(done: Answered) -> Answered:
    for text in (done.stdout, done.stderr):
        assert not HIDDEN.search(text.replace("\n", "")), text
    assert done.returncode != 70, done.stderr
    return done


@pytest.mark.parametrize(
    "words",
    [
        (HOSTILE,),
        ("run", f"{HOSTILE}.pte"),
        ("explore", "--seed", HOSTILE, "-"),
        ("driver", "check", HOSTILE),
        ("replay", HOSTILE),
        ("learn", HOSTILE),
        ("lesson", "check", HOSTILE),
        ("lesson", "new", HOSTILE),
        ("lesson", "promote", f"{HOSTILE}.pte"),
        ("drill", HOSTILE),
        ("museum", HOSTILE),
        ("review", HOSTILE),
        ("progress", "import", HOSTILE),
        ("class", "collect", HOSTILE),
        ("serve", "--host", HOSTILE),
        ("serve", "--port", HOSTILE),
        ("lessons", "--lessons", HOSTILE),
    ],
    ids=lambda words: "-".join(words[:-1]) or "command",
)
def test_arguments(words: tuple[str, ...]) -> None:
    assert SPELT in clean(called(*words)).stderr


@pytest.mark.parametrize(
    "words", [(), ("learn", "tour"), ("drill",), ("sandbox",)], ids=lambda words: words[0] if words else "home"
)
def test_what_is_typed_as_text(words: tuple[str, ...]) -> None:
    told = clean(called(*words, "--plain", text=f"{HOSTILE}\n\udcff\nq\n"))
    assert told.returncode == 0
    assert SPELT.lower() in told.stdout.lower() or words == ("sandbox",)


def test_a_script_whose_name_no_lesson_may_have(tmp_path: Path) -> None:
    script = tmp_path / f"2nd {HOSTILE}.pte"
    script.write_text("process p0\n")
    told = clean(called("lesson", "promote", str(script)))
    assert told.returncode == 2
    assert "expected small letters, digits and hyphens" in told.stderr


@pytest.mark.parametrize("words", [(), ("learn", "tour"), ("drill",)], ids=lambda words: words[0] if words else "home")
def test_a_number_that_python_does_not_read_is_no_answer(words: tuple[str, ...]) -> None:
    told = clean(called(*words, "--plain", text=f"{'9' * 5000}\n0x{'f' * 5000}\n²\n٣\nq\n"))
    assert told.returncode == 0


@pytest.mark.parametrize(
    ("old", "new", "where"),
    [
        ("minutes = 5", "minutes = {}", "7:11"),
        ("is = 2", "is = {}", "26:6"),
        ("~~~do by=procedure", "~~~goal id=g par={}\nexpect absent p0 buf  # x\n~~~\n~~~do by=procedure", "36:1"),
        ("show: 1.", "show: {}.", ""),
        ("show: 1.", "show: 007.", ""),
    ],
)
def test_an_enormous_number_in_a_lesson_has_its_place(tmp_path: Path, old: str, new: str, where: str) -> None:
    lesson = tmp_path / "small.md"
    lesson.write_text(TEXT.replace(old, new.format("9" * 5000), 1))
    (tmp_path / "worlds").mkdir()
    for name, script in WORLDS.items():
        (tmp_path / "worlds" / f"{name}.pte").write_text(script)
    assert f"small.md:{where}" in clean(called("lesson", "check", "--draft", str(lesson))).stderr


def test_every_character_without_a_shape_is_spelt_out() -> None:
    for code in range(sys.maxunicode + 1):
        sign = chr(code)
        if unicodedata.category(sign) in {"Cc", "Cf", "Zl", "Zp"} and sign not in JOINERS + "\t":
            assert HIDDEN.search(sign) or SHAPED.match(sign), f"U+{code:04X}"


def test_files_and_what_is_in_them(tmp_path: Path) -> None:
    file = tmp_path / f"{HOSTILE}.driver"
    file.write_text(f"driver okd\r\nlike vgem\r\nabout {HOSTILE}\r\nsource {HOSTILE}\r\n", newline="")
    shown = clean(called("driver", "show", str(file)))
    assert shown.stdout.startswith(f"driver okd\nlike vgem\nabout {SPELT}\n"), shown
    recording = tmp_path / f"{HOSTILE}.json"
    recording.write_text(json.dumps({"name": HOSTILE, "ops": [{"op": HOSTILE}]}))
    assert SPELT in clean(called("replay", str(recording))).stdout
    assert json.loads(clean(called("replay", "--emit", str(recording))).stdout)["name"] == HOSTILE


def test_the_environment() -> None:
    for name in ("PTESCOPE_LESSONS", "PTESCOPE_LANGUAGE", "LANG", "TERM", "COLUMNS", "HOME", "XDG_DATA_HOME"):
        clean(called("lessons", **{name: HOSTILE}))


def test_json_says_the_same_without_what_a_terminal_carries_out(capsys: pytest.CaptureFixture[str]) -> None:
    write_json(json.dumps({"a": HOSTILE + "ß→"}, ensure_ascii=False).encode())
    told = capsys.readouterr().out
    assert not HIDDEN.search(told.rstrip("\n"))
    assert json.loads(told) == {"a": HOSTILE + "ß→"}


def test_rich_may_colour_what_it_may_not_carry_out() -> None:
    out = StringIO()
    printer = Printer(file=out, force_terminal=True, color_system="standard", highlight=False, markup=False, width=200)
    table = Table(HOSTILE)
    table.add_row(Text(HOSTILE, "red"))
    printer.print(HOSTILE, table)
    told = out.getvalue()
    assert told.startswith(SPELT.replace(r"\x07", "").replace(r"\x08", "")), "Rich leaves these two out"
    assert "\x1b[31mA\\x1b]0;x" in told
    assert not HIDDEN.search(re.sub(r"\x1b\[[\d;]*m|\n", "", told))


def test_streams_are_as_they_were_afterwards() -> None:
    before = sys.stdout, sys.stderr
    with visible_streams():
        inside = sys.stdout
    assert raw(inside) is before[0]
    assert isinstance(inside, VisibleStream)
    assert (sys.stdout, sys.stderr) == before
    assert visible("a\r\nb\rc\td\n") == "a\r\nb\\rc\td\n"


async def test_what_the_app_draws(store: Store) -> None:
    async with at(store, driver_of(*STALE)) as user:
        user.app.notify(HOSTILE, title=HOSTILE, markup=False)
        await user.pilot.pause()
        await user.press(":", *"load x")
        drawn = "\n".join(
            "".join(segment.text for segment in user.app._filters[0].apply(list(strip), user.app.styles.background))
            for strip in user.screen._compositor.render_strips()
        )
        assert not HIDDEN.search(drawn.replace("\n", ""))
