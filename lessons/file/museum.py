"""The museum: from a file to an exhibit, every mistake with its place; and where the exhibits are found.

    +++
    id = "…"
    +++
    What happened, in three sentences.

    ~~~scene
    process p0
    …
    may 1 madvise p0 buf dontneed
    ~~~

A `scene` is played twice: without the mends that `undo` names, and with them. Where the mend was another call, `before`
and `after` are a script each. `remarks` has what is to be said of single micro-steps: `procedure.step: sentence`.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from lessons.file import toml_records as toml
from lessons.file.document import Block, Prose, scan
from lessons.file.loader import read
from lessons.file.museum_schema import Exhibit, ExhibitHeader, SceneText, StepRemark
from lessons.file.problems import LessonError, LessonProblem, did_you_mean, nearest
from lessons.file.toml_mistakes import place
from model.engine.mends import AS_IT_WAS, MENDS
from model.invariants.registry import INVARIANTS
from model.script.parser import parse as parse_script
from model.script.verbs import PROPERTIES
from model.text.problems import ScriptError

MUSEUM: Final = Path(__file__).parents[1] / "museum"
BLOCKS: Final = ("scene", "before", "after", "remarks")
SENTENCES: Final = 3
"""In so many what happened is told."""
SENTENCE: Final = re.compile(r"[.!?][)\"”]?(?=\s|$)")
REMARK: Final = re.compile(r"(?P<step>[A-Za-z_]\w*\.\w+):\s+(?P<text>\S.*)")


def exhibits(folder: Path = MUSEUM) -> list[Exhibit]:
    """Every exhibit of a folder, the oldest first. Raises LessonError, with every problem of every file."""
    found: list[Exhibit] = []
    problems: list[LessonProblem] = []
    for path in sorted(folder.glob("*.md")):
        try:
            found.append(load(path))
        except LessonError as error:
            problems += error.problems
    if problems:
        raise LessonError(problems)
    return sorted(found, key=lambda exhibit: (exhibit.header.year, exhibit.id))


def find(name: str, folder: Path = MUSEUM) -> Exhibit:
    """An exhibit by its name, by a CVE, by the commit that mended it, or by its path.

    Raises:
        LessonError: there is none, or it is malformed.
    """
    path = Path(name)
    if path.suffix == ".md":
        return load(path)
    names = [path.stem for path in folder.glob("*.md")]
    if name in names:
        return load(folder / f"{name}.md")
    for exhibit in exhibits(folder) if re.search(r"\d", name) else ():
        commits = [fix.commit for fix in exhibit.header.fix if fix.commit]
        if name.upper() in exhibit.header.cve or any(len(name) >= 7 and name.startswith(one[:7]) for one in commits):
            return exhibit
    hint = nearest(name, names) or "`ptescope museum` lists them"
    raise LessonError([LessonProblem(name, 0, 0, "no bug of the museum has that name", hint)])


def load(path: Path) -> Exhibit:
    """The exhibit in a file. Raises LessonError, with every problem found."""
    return parse(read(path), str(path))


def parse(source: str, file: str) -> Exhibit:
    """The exhibit that a text describes; `file` is only used in messages. Raises LessonError."""
    document = scan(source, file)
    problems: list[LessonProblem] = []
    header = toml.decode(document.header, ExhibitHeader, file, 1, problems)
    blocks: dict[str, Block] = {}
    story = [part for part in document.parts if isinstance(part, Prose)]
    for part in document.parts:
        if isinstance(part, Prose):
            continue
        if part.kind not in BLOCKS:
            hint = did_you_mean(part.kind, BLOCKS)
            problems.append(LessonProblem(file, part.line, 4, f"no block is called `{part.kind}`", hint))
        elif part.kind in blocks:
            problems.append(LessonProblem(file, part.line, 4, f"a second block `{part.kind}`"))
        blocks[part.kind] = part
    problems += _of_story(story, file)
    remarks = tuple(_remarks(blocks.get("remarks"), file, problems))
    if header is None:
        raise LessonError(problems)
    problems += [
        LessonProblem(file, line + 1, column, text, hint)
        for key, text, hint in (*_of_names(header, file), *_of_header(header, blocks))
        for line, column in [place(document.header, (key,) if key else ())]
    ]
    problems += _of_blocks(blocks, file)
    before, after = _scenes(header, blocks)
    for scene, block in ((before, blocks.get("before") or blocks.get("scene")), (after, blocks.get("after"))):
        if scene is not None and block is not None:
            problems += _of_scene(scene, block, header, file)
    if problems:
        raise LessonError(sorted(problems, key=lambda problem: problem.line))
    return Exhibit(
        file=file,
        header=header,
        story="\n\n".join(part.text for part in story),
        before=before,
        after=after,
        remarks=remarks,
    )


def _of_story(story: list[Prose], file: str) -> Iterator[LessonProblem]:
    """What happened is told, and in three sentences."""
    count = sum(len(SENTENCE.findall(part.text)) for part in story)
    if count != SENTENCES:
        line = story[0].line if story else 1
        yield LessonProblem(file, line, 1, f"what happened is told in {SENTENCES} sentences; here are {count}")


def _of_names(header: ExhibitHeader, file: str) -> Iterator[tuple[str, str, str]]:
    """(key, what is wrong, hint): the file's name, mends and rules that there are."""
    if Path(file).suffix == ".md" and Path(file).stem != header.id:
        yield "id", f"the id is `{header.id}`, so the file must be called {header.id}.md", ""
    for name in header.undo:
        if name not in MENDS:
            yield "undo", f"undo: no mend is called `{name}`", did_you_mean(name, MENDS)
    for name in header.remains:
        if name not in INVARIANTS:
            yield "remains", f"remains: no rule of the machine is called `{name}`", did_you_mean(name, INVARIANTS)
    if header.breaks and header.breaks not in INVARIANTS and header.breaks.split()[0] not in PROPERTIES:
        hint = did_you_mean(header.breaks, INVARIANTS)
        yield "breaks", f"breaks: no rule of the machine is called `{header.breaks}`", hint


def _of_header(header: ExhibitHeader, blocks: dict[str, Block]) -> Iterator[tuple[str, str, str]]:
    """(key, what is wrong, hint): what the blocks need, or make superfluous."""
    played = "scene" in blocks or "before" in blocks
    if played and not header.breaks:
        yield "", "the key `breaks` is missing: which rule of the machine did the bug break?", ""
    if not played and (header.breaks or header.undo):
        yield "breaks" if header.breaks else "undo", "nothing is played here, so nothing is undone or broken", ""
    if not ("scene" in blocks or "after" in blocks) and not header.lacks:
        yield "", "the key `lacks` is missing: what is not played says why", ""
    if "scene" in blocks and not header.undo:
        yield "", "the key `undo` is missing: a `scene` is played without the mends that it names", ""


def _of_blocks(blocks: dict[str, Block], file: str) -> Iterator[LessonProblem]:
    """Which blocks go together."""
    if "scene" in blocks and ("before" in blocks or "after" in blocks):
        yield LessonProblem(file, blocks["scene"].line, 1, "either a `scene`, or `before` and `after`")
    if "after" in blocks and "before" not in blocks:
        yield LessonProblem(file, blocks["after"].line, 1, "`after` without `before`")
    if "remarks" in blocks and "scene" not in blocks and "before" not in blocks:
        yield LessonProblem(file, blocks["remarks"].line, 1, "remarks to steps that nobody makes")


def _remarks(block: Block | None, file: str, problems: list[LessonProblem]) -> Iterator[StepRemark]:
    """`procedure.step: sentence` at the margin; an indented line goes on with the one before."""
    found: list[StepRemark] = []
    for number, line in enumerate(block.lines if block is not None else (), (block.line if block else 0) + 1):
        match = REMARK.fullmatch(line)
        if match:
            found.append(StepRemark(match["step"], match["text"].strip(), number))
        elif line[:1].isspace() and line.strip() and found:
            last = found.pop()
            found.append(StepRemark(last.step, f"{last.text} {line.strip()}", last.line))
        elif line.strip():
            problems.append(LessonProblem(file, number, 1, "a remark names its step", "procedure.step: sentence"))
    yield from found


def _scenes(header: ExhibitHeader, blocks: dict[str, Block]) -> tuple[SceneText | None, SceneText | None]:
    """The two scripts: as it was, and as mended."""
    if "scene" in blocks:
        scene = blocks["scene"]
        undone = "".join(f"set {AS_IT_WAS} {name}\n" for name in header.undo)
        return SceneText(f"{undone}{scene.text}\n", scene.line), SceneText(f"{scene.text}\n", scene.line)
    undone = "".join(f"set {AS_IT_WAS} {name}\n" for name in header.undo)
    before, after = blocks.get("before"), blocks.get("after")
    return (
        SceneText(f"{undone}{before.text}\n", before.line) if before is not None else None,
        SceneText(f"{after.text}\n", after.line) if after is not None else None,
    )


def _of_scene(scene: SceneText, block: Block, header: ExhibitHeader, file: str) -> Iterator[LessonProblem]:
    """What the parser of the script language says, at the place in this file."""
    above = scene.text.count("\n") - len(block.lines)
    try:
        commands = parse_script(scene.text)
    except ScriptError as error:
        for problem in error.problems:
            yield LessonProblem(file, block.line + problem.line - above, problem.column, problem.message)
        return
    if not any(command.verb == "may" for command in commands):
        yield LessonProblem(file, block.line, 1, "nothing may happen in this scene", "may 1 COMMAND")
    if header.breaks and header.breaks not in INVARIANTS:
        stated = [command.text for command in commands if command.verb in PROPERTIES]
        if header.breaks not in stated:
            hint = did_you_mean(header.breaks, stated)
            yield LessonProblem(file, block.line, 1, f"this scene does not state `{header.breaks}`", hint)
