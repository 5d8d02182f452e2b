"""The museum: every bug happens as it was and not as mended; a file is understood, or each mistake has its place."""

from functools import cache
from pathlib import Path

import pytest

from lessons.file.museum import MUSEUM, exhibits, find, load, parse
from lessons.file.museum_schema import Exhibit
from lessons.file.problems import LessonError
from lessons.play.exhibit import ExhibitMissesError, PlayedExhibit, misses, play, verdict_of
from model.driver_files import library
from model.driver_files.parser import parse as parse_driver
from model.engine.mends import MENDS
from model.kernel.all_procedures import all_procedures
from model.script.parser import parse as parse_script
from model.script.runner import Runner
from model.search.as_mended import walk

STEPS = [kind.steps for kind in all_procedures().values()]
PLAYED = sorted(exhibit.id for exhibit in exhibits() if exhibit.before is not None)


@cache
def played(name: str) -> PlayedExhibit:
    return play(find(name))


@pytest.mark.parametrize("name", PLAYED)
def test_a_bug_happens_as_it_was_and_not_as_mended(name: str) -> None:
    assert misses(played(name)) == []


@pytest.mark.parametrize("name", PLAYED)
def test_the_way_into_a_bug_is_the_same_twice_and_is_not_gone_as_mended(name: str) -> None:
    found = played(name)
    rule = found.exhibit.header.breaks
    assert [move.done for move in found.way.moves] == [True] * len(found.told.path.actions)
    if found.again is None:
        return
    assert found.parts is not None
    assert found.differences
    broken = {violation.invariant for move in (*found.again.moves, *found.again.rest) for violation in move.violations}
    assert rule not in broken


def test_every_mend_is_undone_by_some_bug_of_the_museum() -> None:
    undone = {name for exhibit in exhibits() for name in exhibit.header.undo}
    assert undone == set(MENDS)


def test_every_fix_that_a_switch_undoes_is_named_by_the_bugs_that_undo_it() -> None:
    for exhibit in exhibits():
        commits = {fix.commit for fix in exhibit.header.fix}
        assert all(MENDS[name].commit in commits for name in exhibit.header.undo), exhibit.id


def test_what_is_not_shown_says_why() -> None:
    for exhibit in exhibits():
        assert (exhibit.shown == "both") == (not exhibit.header.lacks), exhibit.id


def test_a_bug_is_found_by_its_name_its_cve_and_its_commit() -> None:
    assert find("dirty-cow").id == find("CVE-2016-5195").id == find("cve-2016-5195").id == find("19be0eaffa3a").id
    assert find(str(MUSEUM / "dirty-cow.md")).id == "dirty-cow"


def test_a_name_that_nothing_has_is_answered_with_the_nearest() -> None:
    with pytest.raises(LessonError, match="did you mean `dirty-cow`"):
        find("dirty-cov")


def test_the_machines_part_where_the_old_one_forgets_that_it_wanted_to_write() -> None:
    found = played("dirty-cow")
    assert found.parts is not None
    assert found.again is not None
    assert found.way.moves[found.parts].step == "do_read_fault.do_fault_around"
    assert found.again.moves[found.parts].step == "do_cow_fault.alloc_cow_folio"
    lines = [(line.sign, line.step) for task in found.differences for line in task.lines]
    assert ("-", "do_read_fault.do_fault_around") in lines
    assert ("+", "do_cow_fault.finish_fault") in lines


def test_the_way_walked_on_the_same_machine_parts_nowhere() -> None:
    found = played("lazyfree-read")
    second = walk(found.before.search.scene, found.told.path.actions)
    assert [move.step for move in second.moves] == [move.step for move in found.way.moves]
    assert all(move.same_as(other) for move, other in zip(second.moves, found.way.moves, strict=True))


def test_verdicts_are_plain_values() -> None:
    found = verdict_of(played("dirty-cow"))
    assert found.before.rule == "sometimes"
    assert found.after is not None
    assert found.after.rule == "never"
    assert [command for command, _ in found.before.ended] == ["force-write p0 p0 buf 66", "madvise p0 buf dontneed"]


def test_every_mend_is_explained_in_a_step_that_its_absence_changes() -> None:
    explained = {name for steps in STEPS for step in steps for name, _ in step.was}
    lines = [line for name in library.names() for line in parse_driver(library.text_of(name)).fields]
    in_files = {line.as_it_was: line for line in lines if line.as_it_was and line.words}
    assert explained | set(in_files) == set(MENDS)
    assert all(MENDS[name].commit in line.words for name, line in in_files.items())


# -- mends -------------------------------------------------------------------------------------


def test_several_mends_are_undone_and_none_takes_all_back() -> None:
    def undone(*names: str) -> str | None:
        runner = Runner()
        for command in parse_script("".join(f"set as-it-was {name}\n" for name in names)):
            runner.perform(command)
        return runner.context.state.settings.get("as-it-was")

    assert undone("mremap-flush", "foll-cow") == "foll-cow,mremap-flush"
    assert undone("mremap-flush", "none") == "none"


ASKED_FOR = (
    *("19be0eaffa3a", "17839856fd58", "09854ba94c6a", "eb66ae030829", "b67fbebd4cf9", "99baac21e458", "6c8e2a256915"),
    *("57efa1fe5957", "70e806e4e645", "65291dcfcf89", "ea3d7209ca01", "f8be156be163", "bd2fae8da794", "430657b6be89"),
    *("0d979509539e", "6647e76ab623", "8ac268436e6d", "a6e79df92e4a", "CVE-2019-11487"),
)


@pytest.mark.parametrize("word", ASKED_FOR)
def test_a_mend_is_undone_by_its_commit_as_well(word: str) -> None:
    (command,) = parse_script(f"set as-it-was {word}\n")
    mend = MENDS[str(command.operands["VALUE"])]
    assert word in (mend.commit, *mend.earlier, mend.cve)


# -- files -------------------------------------------------------------------------------------

TEXT = (MUSEUM / "dirty-cow.md").read_text(encoding="utf-8")


def line_of(words: str) -> int:
    """The line of the text in which the words stand first."""
    return TEXT[: TEXT.index(words)].count("\n") + 1


MISTAKES = {
    "an unknown key": ('found = "', 'fund = "', line_of("found ="), 1, "did you mean `found`?"),
    "a missing key": ('rule = "', 'symptom2 = "', 2, 1, "the key `rule` is missing"),
    "an unknown mechanism": (
        '"copy-on-write"',
        '"copy-on-wrte"',
        line_of("mechanism"),
        1,
        "did you mean `copy-on-write`",
    ),
    "an unknown culprit": ('"get_user_pages"', '"gup"', line_of("culprit"), 1, "`gup` cannot stand here"),
    "no such mend": ('["foll-cow"]', '["fol-cow"]', line_of("undo ="), 1, "did you mean `foll-cow`?"),
    "no such rule": ('"read-only-write"', '"read-only"', line_of("breaks"), 1, "did you mean `read-only-write`?"),
    "not a CVE": ('"CVE-2016-5195"', '"2016-5195"', line_of("cve ="), 1, "cve: "),
    "not a commit": ('commit = "19be0eaffa3a"', 'commit = "19be"', line_of("[[fix]]") + 1, 1, "commit: "),
    "another id": ('id = "dirty-cow"', 'id = "dirty"', line_of("id ="), 1, "must be called dirty.md"),
    "too short a story": ("once more.\nIf", "once more, and if", line_of("A write through"), 1, "here are 2"),
    "an unknown block": ("~~~remarks", "~~~remark", line_of("~~~remarks"), 4, "did you mean `remarks`?"),
    "an unknown command": ("pwrite f 0 65", "pwrit f 0 65", line_of("pwrite f"), 1, "did you mean `pwrite`"),
    "an unknown name": ("read p0 buf\n", "read p0 bfu\n", line_of("read p0 buf"), 9, "bfu"),
    "a scene and a before": (
        "~~~scene",
        "~~~before\nmay 1 exit p0\n~~~\n\n~~~scene",
        line_of("~~~scene") + 4,
        1,
        "either",
    ),
    "a remark without a step": (
        "get_user_pages.look_again: The",
        "The",
        line_of("get_user_pages.look"),
        1,
        "names its step",
    ),
    "no front matter": ("+++\nformat", "format", 1, 1, "front matter"),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_each_mistake_is_told_with_its_place_and_a_hint(mistake: str) -> None:
    old, new, line, column, words = MISTAKES[mistake]
    assert old in TEXT
    with pytest.raises(LessonError) as caught:
        parse(TEXT.replace(old, new, 1), "museum/dirty-cow.md")
    found = [str(problem) for problem in caught.value.problems]
    assert any(text.startswith(f"museum/dirty-cow.md:{line}:{column}: ") and words in text for text in found), found


def test_a_scene_in_which_nothing_may_happen_is_told(tmp_path: Path) -> None:
    text = TEXT.replace("may 1 force-write p0 p0 buf 66\nmay 1 madvise p0 buf dontneed\n", "")
    (tmp_path / "dirty-cow.md").write_text(text)
    with pytest.raises(LessonError, match="nothing may happen in this scene"):
        load(tmp_path / "dirty-cow.md")


def edited(old: str, new: str) -> Exhibit:
    assert old in TEXT
    return parse(TEXT.replace(old, new, 1), "museum/dirty-cow.md")


def test_a_bug_that_does_not_happen_is_told() -> None:
    with pytest.raises(ExhibitMissesError, match="`read-only-write` is never broken; broken is nothing"):
        play(edited("may 1 madvise p0 buf dontneed", "may 1 read p0 buf"))


def test_a_set_up_that_fails_is_told_at_its_line() -> None:
    with pytest.raises(LessonError, match=rf"dirty-cow.md:{line_of('read p0 buf')}:1: .*fails"):
        play(edited("read p0 buf\n", "write p0 buf 7\n"))


def test_a_bug_that_is_not_mended_is_told() -> None:
    found = play(edited("may 1 force", "device nic\ngup p0 buf as=r by=nic\nmay 1 dma r write 3\nmay 1 force"))
    assert any("as mended, `foreign-dma` is broken all the same" in text for text in misses(found))


def test_a_remark_to_a_step_that_nobody_makes_is_told() -> None:
    found = play(edited("get_user_pages.look_again:", "do_exit.mmput:"))
    assert misses(found) == ["no step `do_exit.mmput` is made on this way"]
