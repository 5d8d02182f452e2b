"""`lesson translate`: a lesson's texts as a gettext .po file, to be filled in; and what is wrong with one that is."""

import string
from collections.abc import Iterator, Mapping
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

from lessons.file.problems import LessonProblem
from lessons.file.schema import Lesson
from lessons.file.translation import texts_of
from lessons.i18n.catalog import LESSONS, languages, lesson_files, read_catalog
from model.text.wording import CAPITAL

if TYPE_CHECKING:
    from babel.messages.catalog import Catalog

COMMENT = """# {title}: translation into {language}.
# What stands in braces, {{refcount p0 buf}}, is filled in by the model and stays as it is.
# Names of kernel functions and flags are not translated."""


def skeleton(lesson: Lesson, code: str, existing: Path | None = None) -> bytes:
    """A .po file with every text of a lesson; what `existing` has translated is kept, what is gone is marked `#~`.

    Raises ValueError where `code` is no language, or `existing` is no .po file; OSError where it cannot be read.
    """
    from babel.core import Locale, UnknownLocaleError
    from babel.messages.catalog import Catalog
    from babel.messages.pofile import write_po

    try:
        language = Locale.parse(code).english_name
    except (UnknownLocaleError, ValueError) as error:
        raise ValueError(f"`{code}` is no language code, such as `de` or `pt_BR`") from error
    template: Catalog = Catalog(fuzzy=False)
    for text in texts_of(lesson):
        template.add(text)
    if existing is None:
        catalog = Catalog(locale=code, project="ptescope", version="1", fuzzy=False)
        catalog.header_comment = COMMENT.format(title=lesson.id, language=language)
    else:
        catalog = read_catalog(existing)
    catalog.update(template, no_fuzzy_matching=existing is None, keep_user_comments=True)
    stream = BytesIO()
    write_po(stream, catalog, width=100)
    return stream.getvalue()


def file_in(folder: Path, code: str, name: str) -> Path:
    """Where a folder of translations keeps the texts of a lesson."""
    return folder / code / LESSONS / f"{name}.po"


def problems(lesson: Lesson) -> Iterator[LessonProblem]:
    """What is wrong with the translations of a lesson: damaged, incomplete, or about texts that it does not have."""
    said = texts_of(lesson)
    for code in languages():
        for path in lesson_files(code, lesson.id):
            try:
                catalog = read_catalog(path)
            except (OSError, ValueError) as error:
                yield LessonProblem(str(path), 1, 1, str(error).splitlines()[0])
                continue
            yield from _compared(said, catalog, path)


def _compared(said: list[str], catalog: "Catalog", path: Path) -> Iterator[LessonProblem]:
    """A catalog held against what the lesson says."""
    texts = {str(message.id): message for message in catalog if message.id}
    for text in said:
        message = texts.get(text)
        if message is None:
            yield LessonProblem(str(path), 1, 1, f"not translated: {_short(text)}", "`lesson translate` adds it")
        elif not message.string:
            yield LessonProblem(str(path), message.lineno or 1, 1, f"not translated: {_short(text)}")
        elif message.fuzzy:
            hint = "read it, mend it, and remove the mark"
            yield LessonProblem(str(path), message.lineno or 1, 1, f"only guessed, marked fuzzy: {_short(text)}", hint)
        elif placeholders(text) != placeholders(str(message.string)):
            what = f"the translation leaves open {_listed(str(message.string))}, the English text {_listed(text)}"
            yield LessonProblem(str(path), message.lineno or 1, 1, what)
    for text in texts.keys() - set(said):
        yield LessonProblem(str(path), texts[text].lineno or 1, 1, f"the lesson does not say this: {_short(text)}")


def placeholders(text: str) -> Mapping[str, int]:
    """What a text leaves open, and how often: `{count}`, `{refcount p0 buf:#x}`.

    >>> placeholders("{n} of {n:#x}") == {"n:": 1, "n:#x": 1}
    True
    """
    try:
        parts = string.Formatter().parse(text)
        found = [f"{name}:{'' if form == CAPITAL else form}" for _, name, form, _ in parts if name is not None]
    except ValueError:  # braces of C code in prose
        return {}
    return {one: found.count(one) for one in found}


def _listed(text: str) -> str:
    return ", ".join(f"{{{name.removesuffix(':')}}}" for name in sorted(placeholders(text))) or "nothing"


def _short(text: str) -> str:
    return f"`{text}`" if len(text) <= 60 else f"`{text[:57]}…`"
