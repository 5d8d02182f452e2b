"""Exports: what is written is what was on the screen, in a form that others can read."""

import json
import re
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree as ET

import pyte
import pytest

from lessons.file.library import find
from lessons.learner.progress import Store
from lessons.teach.class_plan import PlanError, class_plan
from lessons.teach.handout import reference
from model.invariants.registry import INVARIANTS
from model.kernel.arch.boot import boot
from model.script.parser import parse
from tests.tui.user import at
from tui import cli
from tui.app.recording import pause
from tui.drivers.opening import lesson_driver
from tui.drivers.sandbox import SandboxDriver
from tui.drivers.session_commands import carry_out
from tui.export.screen import write_screen
from tui.export.worksheet import answer_key, worksheet
from tui.views.view_model import LessonText, Picture, ShownQuestion

LESSON = "a-reference-is-not-a-mapping"
SCRIPT = "process p0\nmmap p0 buf anon private rw 1\nwrite p0 buf 65\ngup p0 buf as=r write\nmadvise p0 buf dontneed\n"


def exported(what: object, file: Path, *options: str) -> str:
    assert cli.main(["export", str(what), "-o", str(file), *options]) == 0
    return file.read_text(encoding="utf-8")


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "stale.pte"
    path.write_text(SCRIPT)
    return path


def test_a_lesson_as_text_has_every_answer_and_every_reason(tmp_path: Path) -> None:
    text = exported(LESSON, tmp_path / "l.md")
    assert "**Answer: 1025.**" in text
    assert text == reference(find(LESSON))
    assert "* 1024: You forgot the PTE" in text
    assert "{" not in text


def test_a_picture_is_well_formed(tmp_path: Path) -> None:
    root = ET.fromstring(exported(LESSON, tmp_path / "l.svg", "--size", "100x30"))
    assert root.tag.endswith("svg")
    assert "Picture" in "".join(root.itertext())


def test_a_recording_replayed_is_the_screen(script: Path, tmp_path: Path) -> None:
    lines = exported(script, tmp_path / "s.cast", "--size", "100x32").splitlines()
    header, *events = map(json.loads, lines)
    assert (header["version"], header["width"], header["height"]) == (2, 100, 32)
    assert len(events) > 20
    assert [event[0] for event in events] == sorted(event[0] for event in events)
    screen = pyte.Screen(100, 32)
    stream = pyte.Stream(screen)
    for _, kind, text in events:
        assert kind == "o"
        stream.feed(text)
    assert "stale.pte" in screen.display[0]
    assert any("stale-reference" in line for line in screen.display)


def test_a_lesson_is_recorded_to_its_end(tmp_path: Path) -> None:
    text = exported(LESSON, tmp_path / "l.cast", "--size", "80x24")
    parts = len(find(LESSON).items)
    assert f"section {parts} of {parts}" in text


MESSAGE = re.compile(r"    (\w+)->>(\w+): [^;#]+|    Note over (\w+): [^;#:]+|    %% .*")


def test_no_name_breaks_a_diagram(tmp_path: Path) -> None:
    """Processes and tasks called like words of the diagram's language; checked once with Mermaid's own parser."""
    script = tmp_path / "names.pte"
    lines = ("process end", "mmap end End anon private rw 1", "begin alt write end End 65", "finish alt")
    script.write_text("\n".join(lines))
    drawn = exported(script, tmp_path / "names.mmd")
    assert not re.search(r"\bend\b", drawn, re.IGNORECASE)
    assert "participant t0 as" in drawn
    assert "as alt\n" in drawn


def test_a_recording_fits_any_width_and_leaves_time_to_think(script: Path, tmp_path: Path) -> None:
    _, *events = map(json.loads, exported(script, tmp_path / "s.cast", "--size", "100x32").splitlines())
    narrow, wide = pyte.Screen(60, 32), pyte.Screen(140, 32)
    for screen in (narrow, wide):
        stream = pyte.Stream(screen)
        stream.feed(events[-2][2])
    assert [line[:59] for line in wide.display] == [line[:59] for line in narrow.display], "cut off, never broken"
    assert events[-1][2] == "", "the last screen stays as long as it takes to read"
    waits = [later[0] - sooner[0] for sooner, later in pairwise(events)]
    assert max(waits[1:]) < 9, "what was read on the screen before is not read again"
    asked = tui_pause(ask="What is it? " * 20)
    assert asked > 2 * tui_pause()


def tui_pause(ask: str = "") -> float:
    question = ShownQuestion(ask) if ask else None
    return pause(Picture("t", "p", boot(), LessonText("", question)))


def test_a_picture_of_the_screen_asks_nobody_for_fonts_and_a_script_shows_itself(script: Path, tmp_path: Path) -> None:
    drawn = exported(script, tmp_path / "s.svg")
    assert "@font-face" not in drawn
    assert not re.search(r"url\((?!#)|https://cdn", drawn)
    text = exported(script, tmp_path / "s.md")
    assert "->  5 madvise p0 buf dontneed" in text
    assert "opens the prompt" not in text


def test_a_diagram_is_what_mermaid_reads(script: Path, tmp_path: Path) -> None:
    head, *rest = exported(script, tmp_path / "s.mmd").splitlines()
    assert head == "sequenceDiagram"
    known = {match[1] for line in rest if (match := re.fullmatch(r"    participant (\w+) as [^;#:]+", line))}
    messages = [line for line in rest if not line.startswith("    participant")]
    for line in messages:
        match = MESSAGE.fullmatch(line)
        assert match, line
        assert {name for name in match.groups() if name} <= known
    assert any("HAZARD stale-reference" in line for line in messages)
    assert any("pte p0 16 gone, was frame 5" in line for line in messages), "what goes does not read like what comes"


def test_what_cannot_be_exported_is_said(script: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["export", str(script), "-o", str(tmp_path / "x.gif")]) == 2
    assert "no format has that suffix" in capsys.readouterr().err
    for size in ("79x24", "9999x40", "wide"):
        with pytest.raises(SystemExit):
            cli.main(["export", str(script), "-o", str(tmp_path / "x.svg"), "--size", size])
        assert f"not `{size}`" in capsys.readouterr().err
    assert cli.main(["export", LESSON, "-o", str(tmp_path / "x.mmd")]) == 2
    assert "made of a script" in capsys.readouterr().err
    script.write_text("process p0\nraed p0 buf\n")
    assert cli.main(["export", str(script), "-o", str(tmp_path / "x.mmd")]) == 2
    assert "did you mean `read`?" in capsys.readouterr().err


def test_a_class_pack(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["class", LESSON, "--out", str(tmp_path)]) == 0
    pack = {path.name: path.read_text(encoding="utf-8") for path in tmp_path.iterdir()}
    assert set(pack) == {"plan.md", "worksheet.html", "key.html", "slides.html", "slides.md"}
    assert not any(re.search(r"\{[a-z]+ [^}]*\}", text) for name, text in pack.items() if not name.endswith(".html"))
    plan = pack["plan.md"]
    assert "> I hold a reference on the page, so its mapping cannot change under me." in plan
    times = re.findall(r"^## (\d+)-(\d+) ", plan, re.MULTILINE)
    assert [end for _, end in times[:-1]] == [start for start, _ in times[1:]], "the times add up"
    assert (times[0][0], times[-1][1]) == ("00", "50")
    assert "<blockquote>" in pack["slides.html"]
    assert pack["slides.md"].count("\n---\n") > 15
    assert cli.main(["class", LESSON, "--out", str(tmp_path)]) == 2
    assert "exists; `--force` replaces it" in capsys.readouterr().err


def test_a_worksheet_has_scenes_tables_and_numbers_and_gives_no_answer_away() -> None:
    lessons = [find(LESSON)]
    sheet, key = worksheet(lessons), answer_key(lessons)
    text = " ".join(re.sub(r"<style>.*?</style>|<[^>]+>", " ", sheet, flags=re.DOTALL).split())
    assert "Name:" in text
    assert sheet.count("<svg") == 5, "one picture for each scene"
    assert "1. (before line 1) The frame's refcount is 1 now. What is it after one pin?" in text
    assert "2. (before lines 4 to 5) After the madvise" in text
    assert "3. (before line 6)" in text
    assert "1025" not in text, "no page says it, not even the picture of a later scene"
    assert "1024" not in text
    assert "____ =1" in text, "there is a blank instead"
    assert "<td>1025</td>" not in sheet
    assert '<td class="fill">1025</td>' in key, "the table filled in"
    assert '<span class="true">1025</span>' in key
    numbers = re.findall(r"<b>(\d+)\.</b>", sheet)
    assert numbers == re.findall(r"<b>(\d+)\.</b>", key) == [str(number) for number in range(1, len(numbers) + 1)]


def test_a_plan_refuses_what_does_not_fit() -> None:
    names = ("a-mapping-costs-no-memory", "how-the-walk-works", "a-move-nukes-the-ptes")
    with pytest.raises(PlanError, match=r"3 lessons take 63 minutes in a room, and there are 50; these fit: a-mapping"):
        class_plan([find(name) for name in names])
    with pytest.raises(PlanError, match=r"give it --minutes \d+"):
        class_plan([find(LESSON)], 20)


def test_exercises_for_print_and_their_key(tmp_path: Path) -> None:
    words = ["class", "drills", "pte:2", "walk:1", "which-op:1", "--seed", "7", "--out", str(tmp_path)]
    assert cli.main(words) == 0
    sheet, key = ((tmp_path / name).read_text() for name in ("drills.html", "drills-key.html"))
    assert sheet.count("<h3>") == key.count('class="true"') == 4
    assert sheet.count("<svg") == 4, "one each, two where two machines are compared, none where it would tell"
    assert cli.main(["class", "drills", "ptee:2", "--out", str(tmp_path)]) == 2


def test_a_recording_that_is_cut_short_says_so(
    script: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tui.app.recording.MOST_FRAMES", 3)
    assert cli.main(["export", str(script), "-o", str(tmp_path / "s.cast")]) == 0
    assert "ends after 3 screens" in capsys.readouterr().err
    assert len((tmp_path / "s.cast").read_text().splitlines()) == 1 + 3 + 1


async def test_the_screen_is_exported_from_within(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with at(store, lesson_driver(find(LESSON), store)) as user:
        await user.press("E", "enter")
        await user.pilot.pause()
        assert "Saved as ptescope.svg." in user.told()
        assert f"all&#160;{len(INVARIANTS)}&#160;rules&#160;hold" in (tmp_path / "ptescope.svg").read_text()
        await user.press("E")
        await user.enter("x")
        await user.pilot.pause()
        assert "ptescope-2.svgx: a screen becomes an .svg or .md file." in user.told()
        assert write_screen(user.app, "ptescope.svg") == "ptescope.svg exists: choose another name."
        assert write_screen(user.app, "none/x.md") == "none/x.md: No such file or directory"
        assert write_screen(user.app, "x.md") == "Saved as x.md."
        assert f"all {len(INVARIANTS)} rules hold" in (tmp_path / "x.md").read_text()


def test_a_browser_reads_and_writes_no_files_of_the_serving_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEXTUAL_DRIVER", "textual.drivers.web_driver:WebDriver")
    driver = SandboxDriver()
    secret = tmp_path / "secret.pte"
    secret.write_text("hunter2")
    assert "no files" in carry_out(driver, f"load {secret}")
    assert "no files" in carry_out(driver, f"save {tmp_path / 'mine'}")
    assert list(tmp_path.iterdir()) == [secret]


@pytest.mark.parametrize("key", ["T", "question_mark", "ctrl+r", "y", "D"])
async def test_screens_above_others_are_exported_too(
    key: str, store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    async with at(store, SandboxDriver(parse("process p0\nmmap p0 buf anon private rw 1\n"))) as user:
        await user.press(key)
        await user.pilot.pause()
        above = user.screen
        await user.press("E", "enter")
        await user.pilot.pause()
        assert "Saved as ptescope.svg." in user.told()
        assert user.screen is above
