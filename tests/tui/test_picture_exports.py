"""The picture as a file: the same drawing with strokes of its own, for a page, for slides, for those who only read."""

import asyncio
import re
import shutil
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from tests.tui.browser import CHROMIUM, browsing
from tests.tui.moments import MOMENTS, commands, played
from tui import cli
from tui.export.picture_svg import ARMS, BASE, CELL, CLOSE, LINE, OPEN, SHAPES, Drawing, svg
from tui.views.picture.draw import picture
from tui.views.picture.legend import LINES
from tui.views.row import Row, Span

SVG = "{http://www.w3.org/2000/svg}"
LESSON = "a-reference-is-not-a-mapping"


def drawn(name: str) -> list[Drawing]:
    return [Drawing(command.text, picture(state, 90)) for command, state in played(MOMENTS[name])]


def rows(*lines: str) -> Drawing:
    return Drawing("test", [Row((Span(line),)) for line in lines])


def strokes(root: ET.Element) -> Iterator[tuple[str, float]]:
    """Style and length of each straight stretch."""
    for path in root.iter(f"{SVG}path"):
        style = path.get("class", "").partition(" ")[0]
        for right, down, way, end in re.findall(r"M([\d.]+) ([\d.]+)([HV])([\d.]+)", path.get("d", "")):
            if style in LINES:
                yield style, float(end) - float(right if way == "H" else down)


def exported(what: object, file: Path, *options: str) -> str:
    assert cli.main(["export", str(what), "--picture", "-o", str(file), *options]) == 0
    return file.read_text(encoding="utf-8")


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "move.pte"
    path.write_text("\n".join(command.text for command in commands(MOMENTS["move-under-grab"])))
    return path


@pytest.mark.parametrize("name", MOMENTS)
def test_every_word_stands_in_the_svg_where_it_stood_in_the_picture(name: str) -> None:
    last = drawn(name)[-1]
    root = ET.fromstring(svg([last]))
    texts = [(int(text.get("y", "")), int(text.get("x", "")), text) for text in root.iter(f"{SVG}text")]
    for number, line in enumerate(last.rows):
        missing = {at for at, char in enumerate(line.text) if char not in {" ", OPEN, CLOSE, *ARMS, *SHAPES}}
        for _, x, text in (one for one in texts if one[0] == number * LINE + BASE):
            word, column = text.text or "", x // CELL
            assert line.text[column : column + len(word)] == word
            assert int(text.get("textLength", "")) == len(word) * CELL
            missing -= set(range(column, column + len(word)))
        assert not missing, line.text


@pytest.mark.parametrize("name", MOMENTS)
def test_every_piece_of_a_line_is_drawn_once(name: str) -> None:
    last = drawn(name)[-1]
    pieces = [ARMS[char] for line in last.rows for char in line.text if char in ARMS]
    across = sum((arms >> 2 & 1) + (arms >> 3 & 1) for arms in pieces)
    down = sum((arms & 1) + (arms >> 1 & 1) for arms in pieces)
    found = sum(length for _, length in strokes(ET.fromstring(svg([last]))))
    assert found == across * CELL / 2 + down * LINE / 2


def test_a_bend_that_light_and_dotted_lines_share_is_what_it_joins() -> None:
    dotted = svg([rows("┄╮", " ╰┄")])
    assert {style for style, _ in strokes(ET.fromstring(dotted))} == {"dash"}
    crossed = svg([rows("─╮ ", "┄┄┄", " ╰─")])
    assert sorted(strokes(ET.fromstring(crossed))) == [
        ("dash", 3 * CELL),
        *[("light", LINE / 2)] * 2,
        *[("light", 1.5 * CELL)] * 2,
    ]


def test_boxes_and_signs_are_shapes() -> None:
    root = ET.fromstring(svg([rows("▐w ▌━▶▐f5 ●◆▌◀◇")]))
    boxes = [rect for rect in root.iter(f"{SVG}rect") if rect.get("class", "").startswith("box")]
    assert [(rect.get("x"), rect.get("width")) for rect in boxes] == [("4.5", "27"), ("58.5", "54")]
    assert [text.text for text in root.iter(f"{SVG}text")] == ["w", "f5"]


def test_a_row_is_read_aloud_in_words() -> None:
    titles = [title.text for title in ET.fromstring(svg(drawn("move-under-grab")[-1:])).iter(f"{SVG}title")]
    assert (
        "corruption 16 buf [→v0] cross → [corruption f3 secret driver get 2 =99] ← 99 get corruption g grab" in titles
    )


def test_names_with_the_signs_of_xml_stay_names() -> None:
    root = ET.fromstring(svg([Drawing('<b> & "c"', [Row((Span("<i>&amp;"),))])], "a < b"))
    assert "<i>&amp;" in "".join(text.text or "" for text in root.iter(f"{SVG}text"))
    assert root.findtext(f"{SVG}title") == "a < b"


def test_the_same_drawings_are_the_same_bytes_and_need_nothing_from_elsewhere() -> None:
    once, again = (svg(drawn("stale-tlb")) for _ in range(2))
    assert once == again
    assert re.findall(r"https?://[^\"]*", once) == ["http://www.w3.org/2000/svg"]
    for foreign in ("<script", "@import", "url(", "href", "@font-face"):
        assert foreign not in once


def test_a_picture_follows_light_and_dark_and_moves_only_for_those_who_like_it() -> None:
    moving = svg(drawn("stale-tlb"))
    style = ET.fromstring(moving).findtext(f"{SVG}style") or ""
    light, dark = style.split("@media(prefers-color-scheme:dark)")
    for scheme in (light, dark):
        for looks in (".owner0{color:", ".ground{fill:", ".core{stroke:"):
            assert looks in scheme
    still, movement = style.split("@media(prefers-reduced-motion:no-preference)")
    assert "animation" not in still
    assert "animation" in movement
    steps = len(drawn("stale-tlb"))
    assert f".step{{visibility:hidden}}#s{steps - 1}{{visibility:visible}}" in still, "the last one is to be seen"
    assert "animation" not in svg(drawn("stale-tlb")[-1:])


def test_a_script_becomes_a_picture_or_several_that_follow_each_other(script: Path, tmp_path: Path) -> None:
    root = ET.fromstring(exported(script, tmp_path / "m.svg"))
    text = " ".join(text.text or "" for text in root.iter(f"{SVG}text"))
    assert "dma g write 99" in text
    assert "corruption foreign-dma:" in text
    moving = ET.fromstring(exported(script, tmp_path / "m.svg", "--steps", "7..9"))
    groups = [group for group in moving.iter(f"{SVG}g") if group.get("class") == "step"]
    assert [group.findtext(f"{SVG}title") for group in groups] == [
        "7. grab p0 buf as=g by=nic",
        "8. move b vram",
        "9. bo secret 1 in=gtt",
    ]


def test_a_lesson_becomes_a_picture(tmp_path: Path) -> None:
    root = ET.fromstring(exported(LESSON, tmp_path / "l.svg", "--steps", "3..3"))
    assert "gup_fast.read_pte" in "".join(root.itertext())
    asked = ET.fromstring(exported(LESSON, tmp_path / "l.svg", "--steps", "1..1"))
    assert any((text.text or "").startswith("section 1 of ") for text in asked.iter(f"{SVG}text"))


def test_steps_that_are_not_there_are_said(script: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = str(tmp_path / "m.svg")
    assert cli.main(["export", str(script), "--picture", "-o", file, "--steps", "99.."]) == 2
    assert "there is no step 99" in capsys.readouterr().err
    assert cli.main(["export", str(script), "-o", file, "--steps", "1..2"]) == 2
    assert "add --picture or --time-space" in capsys.readouterr().err
    for wrong in ("0..2", "3..2", "x", "2"):
        with pytest.raises(SystemExit):
            cli.main(["export", str(script), "--picture", "-o", file, "--steps", wrong])
        assert f"not `{wrong}`" in capsys.readouterr().err
    assert cli.main(["export", str(script), "--picture", "-o", str(tmp_path / "m.cast")]) == 2
    assert "no format has that suffix" in capsys.readouterr().err


class Page(HTMLParser):
    """What a page has: its steps with their texts, and whether every element is closed."""

    VOID = frozenset({"meta", "input", "br", "hr", "img"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.steps: dict[str, str] = {}
        self.outside: list[str] = []
        """Values of attributes that would fetch something."""
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        if tag not in self.VOID:
            self.open.append(tag)
        if tag == "section":
            self.steps[known["id"] or ""] = ""
        self.outside += [value or "" for name, value in attrs if name in {"src", "href", "srcset", "action"}]

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        pass

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "section" in self.open:
            self.steps[list(self.steps)[-1]] += data


def test_a_lesson_becomes_a_page_with_every_picture_command_step_and_remark(tmp_path: Path) -> None:
    assert cli.main(["export", LESSON, "--picture", "-o", str(tmp_path / "pages" / "reference")]) == 0
    text = (tmp_path / "pages" / "reference" / "index.html").read_text(encoding="utf-8")
    page = Page(text)
    assert list(page.steps) == [f"step-{number}" for number in range(1, len(page.steps) + 1)]
    (grab,) = [words for words in page.steps.values() if "gup_fast.try_grab_folio_fast" in words]
    for told in (
        "gup p0 buf as=dma0 write pin longterm by=nic",
        "Not one bit of the PTE has changed",
        "1025",
        "f5 p0",
    ):
        assert told in grab
    assert any("corruption lost-write:" in words for words in page.steps.values())
    assert page.outside == []
    assert "http" not in text.replace("http-equiv", "").replace("http://www.w3.org", "")
    assert text == exported(LESSON, tmp_path / "page.html"), "one file or a folder: the same page"


def test_what_a_lesson_says_cannot_become_a_part_of_the_page(tmp_path: Path) -> None:
    source = Path("lessons/course") / f"{LESSON}.md"
    assert source.exists()
    lesson = tmp_path / "course" / f"{LESSON}.md"
    shutil.copytree(source.parent, lesson.parent)
    lesson.write_text(lesson.read_text().replace("A network card, `nic`,", "A <script>card</script> & `<nic>`,"))
    page = Page(exported(lesson, tmp_path / "page.html"))
    assert "A <script>card</script> & <nic>" in page.steps["step-1"]


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
async def test_the_page_is_stepped_through_with_the_arrow_keys(script: Path, tmp_path: Path) -> None:
    file = tmp_path / "page.html"
    exported(script, file)
    seen = "[...document.querySelectorAll('section')].filter((step) => step.offsetParent).map((step) => step.id).join()"
    async with browsing(tmp_path) as browser:

        async def shows(wanted: str) -> bool:
            for _ in range(40):
                if await browser.value(seen) == wanted:
                    return True
                await asyncio.sleep(0.05)
            return False

        await browser.ask("Page.navigate", url=f"file://{file}#step-8")
        assert await shows("step-8"), "a link leads to its step"
        for key, step in (("ArrowRight", 9), ("ArrowLeft", 8), ("End", 12), ("ArrowRight", 12), ("Home", 1)):
            await browser.key(key)
            assert await shows(f"step-{step}"), key
        assert await browser.value("document.querySelector('output').textContent") == "1 / 12"
        await browser.ask("Emulation.setEmulatedMedia", media="print")
        assert await shows(",".join(f"step-{number}" for number in range(1, 13))), "on paper all are to be seen"


def test_the_pictures_of_a_script_as_markdown(script: Path, tmp_path: Path) -> None:
    text = exported(script, tmp_path / "m.md")
    steps = text.split("\n## ")
    assert [step.partition("\n")[0] for step in steps[8:10]] == ["8. `move b vram`", "9. `bo secret 1 in=gtt`"]
    *_, (_, last) = played(MOMENTS["move-under-grab"])
    drawing = "\n".join(line.text.rstrip() for line in picture(last, 90))
    assert f"```text\n{drawing}\n```" in steps[-1]
    assert "✗ **corruption foreign-dma**: nic wrote 99" in steps[-1]


def test_time_and_space_of_a_script_as_lanes(tmp_path: Path) -> None:
    script = tmp_path / "race.pte"
    script.write_text(
        "process p0\nmmap p0 buf anon private rw 1\nwrite p0 buf 1\n"
        "begin G gup p0 buf as=r write\nstep G\nmadvise p0 buf dontneed\nfinish G\n"
    )
    assert cli.main(["export", str(script), "--time-space", "-o", str(tmp_path / "r.md"), "--steps", "4.."]) == 0
    text = (tmp_path / "r.md").read_text(encoding="utf-8")
    assert re.search(r"^G: gup p0 buf +as=r.* madvise p0 buf.* PTE p0:16", text, re.MULTILINE)
    assert cli.main(["export", str(script), "--time-space", "-o", str(tmp_path / "r.svg"), "--steps", "4.."]) == 0
    root = ET.fromstring((tmp_path / "r.svg").read_text(encoding="utf-8"))
    assert {"light", "dash"} <= {style for style, _ in strokes(root)}
    words = [text.text for text in root.iter(f"{SVG}text")]
    assert any(word and word.startswith("⋮zap_pte") for word in words)
    assert "empty" in words


def test_time_and_space_runs_along_one_scene(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    scenes = ["export", "the-huge-page-hole", "--time-space", "-o", str(tmp_path / "l.svg"), "--steps", "10.."]
    assert cli.main(scenes) == 2
    assert "different scenes" in capsys.readouterr().err
    assert cli.main([*scenes[:-1], "3..6"]) == 0
