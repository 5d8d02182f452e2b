"""The program in another language: what is translated, and that nothing but words is different."""

import ast
import string
from collections.abc import Iterator

import msgspec
import pytest

from lessons.file.library import COURSE, TOUR, entries, find
from lessons.file.loader import load
from lessons.file.schema import PARTS, Do, Goal, Lesson
from lessons.file.translation import WORDS
from lessons.i18n import language
from lessons.i18n.language import ENGLISH, LANGUAGES, catalogue, languages, lesson_texts, plain, tr, use
from lessons.learner.progress import Progress
from lessons.play.playback import play, play_all, set_scene
from tui.commands.lessons import print_course
from tui.drivers.history_view import all_rules
from tui.drivers.sandbox import GUIDE
from tui.screens.help import RENAMED
from tui.screens.stage_keys import HINTS, PANES
from tui.views.home import ABOUT, WAYS
from tui.views.manual import SIGNS
from tui.views.manual import WORDS as MANUAL_WORDS

FIRST = "a-mapping-costs-no-memory"
TRANSLATED = ("tour", FIRST)
SAME = {"0", "0.", "3.", "SIGSEGV", "SIGSEGV.", "SIGBUS"}
"""What is the same in every language."""


@pytest.fixture(params=languages())
def code(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each language that there is a translation into; English again afterwards."""
    use(request.param)
    yield request.param
    use(ENGLISH)


def words(record: object) -> Iterator[str]:
    """Every text of a lesson that the learner reads."""
    if isinstance(record, tuple):
        for one in record:
            yield from words(one)
    elif isinstance(record, msgspec.Struct):
        for name in record.__struct_fields__:
            value = getattr(record, name)
            if isinstance(value, str):
                if name in WORDS and value and not (name == "text" and hasattr(record, "remarks")):
                    yield value
            else:
                yield from words(value)


def fields(text: str) -> set[str]:
    """What a text leaves open: `{count}`."""
    return {f"{name}:{form}" for _, name, form, _ in string.Formatter().parse(text) if name is not None}


def told(lesson: Lesson) -> Iterator[str]:
    """What every micro-step of a lesson says of itself."""
    standing = None
    for item in lesson.items:
        standing = set_scene(lesson, item) if item.world else standing
        assert standing is not None
        action = item.action
        beats = list(play_all(action, standing, lesson.file)) if isinstance(action, Do) else []
        for command in action.solution if isinstance(action, Goal) else ():
            beats += play(beats[-1].standing if beats else standing, command, lesson.file)
        for beat in beats:
            standing = beat.standing
            if beat.stepped is not None:
                yield beat.stepped.doc


def test_a_translation_leaves_open_what_the_english_text_leaves_open(code: str) -> None:
    texts = {english: other for english, other in catalogue(code).items() if "```" not in english}
    for path in (LANGUAGES / code / "lessons").glob("*.toml"):
        texts |= lesson_texts(path.stem)
    assert [english for english, other in texts.items() if fields(english) != fields(other)] == []


def test_what_tables_say_is_translated(code: str) -> None:
    said = [
        *PARTS,
        ABOUT,
        GUIDE,
        *RENAMED.values(),
        *(text for title, summary, _ in WAYS for text in (title, summary)),
        *(title for _, title, _ in PANES),
        *(does for _, _, does, _ in HINTS),
        *(text for _, text in SIGNS),
        *(text for _, text in MANUAL_WORDS),
        *(rule.rule for rule in all_rules()),
    ]
    known = catalogue(code)
    assert [text for text in said if plain(text) not in known] == []


@pytest.mark.usefixtures("code")
@pytest.mark.parametrize("name", TRANSLATED)
def test_the_first_lesson_is_translated_to_the_last_word(name: str) -> None:
    lesson = load(TOUR if name == TOUR.stem else COURSE / f"{name}.md")
    texts = lesson_texts(name)
    assert [text for text in words(lesson) if plain(text) not in texts and plain(text) not in SAME] == []
    assert [doc for doc in dict.fromkeys(told(lesson)) if tr(doc) == doc] == []
    assert set(texts) <= {plain(text) for text in words(lesson)}, "translations of what the lesson does not say"


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
    monkeypatch.setattr(language, "_spoken", [])
    monkeypatch.delenv("PTESCOPE_LANGUAGE")
    monkeypatch.setenv("LANG", "de_AT.UTF-8")
    monkeypatch.delenv("LC_ALL", raising=False)
    monkeypatch.delenv("LANGUAGE", raising=False)
    assert tr("forward") == "weiter"


def test_an_unknown_language_is_named() -> None:
    with pytest.raises(FileNotFoundError, match="there are: de"):
        use("tlh")


def said_in_the_source() -> Iterator[str]:
    """Every text that the source gives to `tr`, and what every key is said to do."""
    for folder in ("tui", "lessons"):
        for path in sorted((COURSE.parents[1] / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                    continue
                place = {"tr": 0, "Binding": 2}.get(node.func.id)
                if place is None or len(node.args) <= place:
                    continue
                text = node.args[place]
                if isinstance(text, ast.Constant) and isinstance(text.value, str) and text.value.strip():
                    yield text.value


def test_nothing_that_the_source_says_is_left_untranslated(code: str) -> None:
    known = catalogue(code)
    assert [text for text in dict.fromkeys(said_in_the_source()) if plain(text) not in known] == []


def test_the_list_of_lessons_is_translated(capsys: pytest.CaptureFixture[str]) -> None:
    use("de")
    try:
        print_course(entries(), Progress())
    finally:
        use(ENGLISH)
    said = capsys.readouterr().out
    assert said.startswith("Was abgebildet ist\n  neu ")
    assert "(8 Minuten)" in said
