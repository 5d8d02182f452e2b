"""The program in another language: what is translated, and that nothing but words is different."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from docs.translations import missing
from lessons.author.translate import placeholders, problems
from lessons.file.library import COURSE, TOUR, entries, find
from lessons.file.loader import load
from lessons.file.schema import PARTS, Do, Goal, Lesson
from lessons.i18n import catalog, language
from lessons.i18n.catalog import BUILT_IN, LESSONS, interface_files, languages, messages
from lessons.i18n.language import ENGLISH, lesson_texts, localized, ntr, ptr, tr, use
from lessons.learner.progress import Progress
from lessons.play.playback import PlayedStep, play, play_all, set_scene
from model.text.wording import counted, phrase, together
from tui.cli import main
from tui.commands.lessons import print_course

FIRST = "a-mapping-costs-no-memory"
TRANSLATED = [TOUR.stem, *(path.stem for path in sorted(COURSE.glob("*.md")) if load(path).header.part in PARTS[:2])]


@pytest.fixture(params=languages())
def code(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each language that there is a translation into; English again afterwards."""
    use(request.param)
    yield request.param
    use(ENGLISH)


def as_written(name: str) -> Lesson:
    """A lesson as it was written."""
    return load(TOUR if name == TOUR.stem else COURSE / f"{name}.md")


def played(lesson: Lesson) -> Iterator[PlayedStep]:
    """Every micro-step of a lesson."""
    standing = None
    for item in lesson.items:
        standing = set_scene(lesson, item) if item.world else standing
        assert standing is not None
        action = item.action
        played_steps = list(play_all(action, standing, lesson.file)) if isinstance(action, Do) else []
        for command in action.solution if isinstance(action, Goal) else ():
            played_steps += play(played_steps[-1].standing if played_steps else standing, command, lesson.file)
        for played_step in played_steps:
            standing = played_step.standing
            yield played_step


def told(lesson: Lesson) -> Iterator[str]:
    """What every micro-step of a lesson says of itself."""
    yield from (one.stepped.doc for one in played(lesson) if one.stepped is not None)


def test_a_translation_leaves_open_what_the_english_text_leaves_open(code: str) -> None:
    files = [*interface_files(code), *(BUILT_IN / code / LESSONS).glob("*.po")]
    texts = [(english, other) for path in files for english, other in messages(path) if "```" not in english]
    assert texts
    assert [english for english, other in texts if placeholders(english) != placeholders(other)] == []


def test_nothing_that_the_interface_says_is_left_untranslated(code: str) -> None:
    assert missing(code) == [], "make translations, then fill in what is empty"


@pytest.mark.usefixtures("code")
@pytest.mark.parametrize("name", TRANSLATED)
def test_the_tour_and_the_first_two_parts_are_translated_to_the_last_word(name: str) -> None:
    assert list(problems(as_written(name))) == []


@pytest.mark.usefixtures("code")
@pytest.mark.parametrize("name", TRANSLATED)
def test_every_step_and_every_alarm_of_a_lesson_is_explained_in_the_readers_language(name: str) -> None:
    steps = list(played(as_written(name)))
    docs = dict.fromkeys(step.stepped.doc for step in steps if step.stepped is not None)
    assert [doc for doc in docs if tr(doc) == doc] == [], "translate them in steps.po of the language"
    alarms = [violation.message for step in steps for violation in step.node.new]
    assert [text for text in alarms if localized(text) == text] == [], "make phrases of them: model/text/wording.py"


def test_an_alarm_is_said_in_the_readers_language_with_the_same_names_and_numbers() -> None:
    taken = phrase(
        "{name} holds {frame}, taken at {place}.", name="r", frame=phrase("frame {pfn}", pfn=5), place="here"
    )
    one = together((taken, phrase("{holder:capital} was not told.", holder=phrase("the holder"))))
    assert one == "r holds frame 5, taken at here. The holder was not told."
    assert localized(one) == one
    use("de")
    try:
        assert localized(one) == "r hält Frame 5, genommen an here. Der Halter hat davon nichts erfahren."
        assert localized(counted(1, "{n} more page", "{n} more pages")) == "1 weitere Seite"
        assert localized(counted(3, "{n} more page", "{n} more pages")) == "3 weitere Seiten"
        assert localized("a name") == "a name"
    finally:
        use(ENGLISH)


def test_a_translation_that_asks_for_what_there_is_not_is_left_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    use("de")
    monkeypatch.setattr(language, "tr", lambda text: text.replace("{pfn}", "{nothing}"))
    try:
        assert localized(phrase("frame {pfn}", pfn=5)) == "frame 5"
    finally:
        monkeypatch.undo()
        use(ENGLISH)


def test_only_the_words_are_different(code: str) -> None:
    assert code != ENGLISH
    english, other = load(COURSE / f"{FIRST}.md"), find(FIRST)
    assert other.header.title != english.header.title
    assert other.revision == english.revision, "progress made in one language goes on in the other"
    assert list(told(other)) == list(told(english))


def test_a_lesson_without_translation_stays_english(code: str) -> None:
    assert not lesson_texts("the-huge-page-hole"), code
    assert find("the-huge-page-hole").header.title == "The huge-page hole"


def test_the_language_is_chosen_as_gettext_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(language, "_chosen", [])
    tr.cache_clear()
    monkeypatch.delenv("PTESCOPE_LANGUAGE")
    monkeypatch.setenv("LANG", "de_AT.UTF-8")
    monkeypatch.delenv("LC_ALL", raising=False)
    monkeypatch.delenv("LANGUAGE", raising=False)
    assert tr("forward") == "weiter"


def test_an_unknown_language_is_named() -> None:
    with pytest.raises(FileNotFoundError, match="there are: de"):
        use("tlh")


def test_the_list_of_lessons_is_translated(capsys: pytest.CaptureFixture[str]) -> None:
    use("de")
    try:
        print_course(entries(), Progress())
    finally:
        use(ENGLISH)
    said = capsys.readouterr().out
    assert said.startswith("Was abgebildet ist\n  neu ")
    assert "(8 Minuten)" in said


HEADER = """msgid ""
msgstr ""
"Language: {code}\\n"
"Plural-Forms: nplurals=2; plural=(n != 1);\\n"
"Content-Type: text/plain; charset=utf-8\\n"

"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A reader's own folder of translations."""
    monkeypatch.setattr("lessons.i18n.catalog.own_folder", lambda: tmp_path)
    yield tmp_path
    catalog.damaged.clear()
    use(ENGLISH)


def write(folder: Path, name: str, text: str, code: str = "de") -> Path:
    path = folder / code / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(HEADER.format(code=code) + text, encoding="utf-8")
    return path


def test_a_readers_own_translation_goes_first(own: Path) -> None:
    write(own, "mine.po", 'msgid "forward"\nmsgstr "voran"\n')
    use("de")
    assert tr("forward") == "voran"
    assert tr("quit") == "Ende", "what it does not have comes from the program"


def test_a_language_of_ones_own_is_a_language(own: Path) -> None:
    write(own, "mine.po", 'msgid "forward"\nmsgstr "avanti"\n', code="it")
    assert languages() == ["de", "it"]
    use("it")
    assert (tr("forward"), tr("quit")) == ("avanti", "quit")


def test_plurals_and_contexts_are_gettexts(own: Path) -> None:
    write(
        own,
        "mine.po",
        'msgid "{n} page"\nmsgid_plural "{n} pages"\nmsgstr[0] "{n} Seite"\nmsgstr[1] "{n} Seiten"\n\n'
        'msgctxt "page table"\nmsgid "Walk"\nmsgstr "Weg durch die Tabelle"\n',
    )
    use("de")
    assert [ntr("{n} page", "{n} pages", n).format(n=n) for n in (1, 2)] == ["1 Seite", "2 Seiten"]
    assert (ptr("page table", "Walk"), ptr("elsewhere", "Walk")) == ("Weg durch die Tabelle", "Walk")
    use(ENGLISH)
    assert [ntr("{n} page", "{n} pages", n).format(n=n) for n in (1, 2)] == ["1 page", "2 pages"]
    assert ptr("page table", "Walk") == "Walk"


@pytest.mark.parametrize("content", [b"msgid \xff", b"nonsense\n", b'\nmsgid "forward"\nmsgstr "vor\n'])
def test_a_damaged_file_is_named_and_left_aside(
    own: Path, content: bytes, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write(own, "mine.po", "")
    path.write_bytes(path.read_bytes() + content)
    use("de")
    assert tr("forward") == "weiter"
    assert list(catalog.damaged) == [path]
    monkeypatch.setenv("PTESCOPE_LANGUAGE", "de")
    monkeypatch.setattr(language, "_chosen", [])
    assert main(["lessons"]) == 0
    assert capsys.readouterr().err == f"ptescope: {catalog.damaged[path]}\n"
    assert str(catalog.damaged[path]).startswith(f"{path}: not a gettext .po file")


@pytest.mark.parametrize("string", ['"vor', 'vor"', '"', '"vor\\"', '"vo"r"', '""\n"vor\\n'])
def test_a_string_without_its_closing_quote_is_named_with_its_line(own: Path, string: str) -> None:
    path = write(own, "mine.po", f'\nmsgid "forward"\nmsgstr {string}\n')
    lines = path.read_text(encoding="utf-8").splitlines()
    use("de")
    assert tr("forward") == "weiter"
    assert f": line {len(lines)}: a string ends with" in catalog.damaged[path].reason


def test_what_translators_tools_write_is_taken(own: Path) -> None:
    text = '\n#, c-format\n#| msgid "for\nmsgctxt "a \\"b\\""\nmsgid ""\n  "forw"\n"ard"\nmsgstr "vor\\\\" \n'
    text += '#~ msgid "x\n#~ msgstr "y\n'
    path = write(own, "mine.po", "")
    path.write_bytes((path.read_text(encoding="utf-8") + text).replace("\n", "\r\n").encode())
    use("de")
    assert ptr('a "b"', "forward") == "vor\\"
    assert not catalog.damaged


def test_a_lesson_is_translated_from_a_skeleton(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lesson", "translate", "the-huge-page-hole", "de"]) == 0
    path = own / "de" / LESSONS / "the-huge-page-hole.po"
    assert capsys.readouterr().out == f"{path}\n"
    text = path.read_text(encoding="utf-8")
    assert 'msgid "The huge-page hole"\nmsgstr ""' in text
    lesson = load(COURSE / "the-huge-page-hole.md")
    assert all(problem.text.startswith("not translated") for problem in problems(lesson))
    filled = text.replace('msgid "The huge-page hole"\nmsgstr ""', 'msgid "The huge-page hole"\nmsgstr "Das Loch"')
    path.write_text(filled + '\nmsgid "Nobody says this."\nmsgstr "Keiner sagt das."\n', encoding="utf-8")
    said = [problem.text for problem in problems(lesson)]
    assert "the lesson does not say this: `Nobody says this.`" in said
    assert "not translated: `The huge-page hole`" not in said
    use("de")
    assert find("the-huge-page-hole").header.title == "Das Loch"
    assert main(["lesson", "translate", "the-huge-page-hole", "de"]) == 0, "a second time keeps what is there"
    assert 'msgstr "Das Loch"' in path.read_text(encoding="utf-8")


def test_a_language_that_is_none_is_refused(own: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["lesson", "translate", "tour", "../../x"]) == 2
    assert "is no language code" in capsys.readouterr().err
    assert not list(own.rglob("*.po"))
