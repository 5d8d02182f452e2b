"""Home as text in and text out: what there is, and a word that opens it."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, TextIO

from rich.console import Console
from rich.text import Text

from lessons.drills.own_worlds import WorldError
from lessons.file.library import TOUR, LessonEntry, entries
from lessons.file.problems import LessonError, nearest
from lessons.i18n.language import tr
from lessons.i18n.lesson_folders import own_worlds
from lessons.learner.progress import LessonProgress, Progress, ProgressError, Store
from lessons.play.player import Player
from tui.plain.drill import PlainDrill
from tui.plain.lesson import WIDEST, PlainLesson
from tui.plain.panes import legend
from tui.plain.sandbox import PlainSandbox
from tui.plain.typed_lines import typed_line
from tui.session.assigned import assignments_of
from tui.views.home import ABOUT

if TYPE_CHECKING:
    from lessons.teach.assignment import DrillSet

OTHERS = ("tour", "drill", "sandbox", "recap", "hand-in")
"""What there is besides the numbered lessons, by the word that opens it."""
WHAT: Final = "A number or a name opens a lesson; also: tour, drill, sandbox, recap, hand-in. l lists again, q quits."
"""What can be typed."""


class PlainHome:
    """The list of lessons; a number or a name opens one, and leaving that leads back here."""

    def __init__(self, store: Store, lines: TextIO, output: Console) -> None:
        self.store = store
        self.lines = lines
        self.output = output
        self.entries = [entry for entry in entries() if entry.header is not None]
        self.assignments = assignments_of(store)
        self.assigned = [drills for assignment in self.assignments for drills in assignment.drills]
        """Exercises that were assigned, in the order of their numbers."""

    def run(self) -> None:
        """Until `q` or the end of the input."""
        self.say(tr(ABOUT))
        self.list()
        while (word := self.ask()) is not None and word != "q":
            if word in {"", "l"}:
                self.list()
                continue
            if word == "?":
                self.help()
                continue
            self.open(word)

    def _hand_in(self, name: str) -> None:
        """One file for the teacher, of the assignment that is next."""
        from tui.session.handing_in import write_hand_in

        if not name.strip():
            self.say(tr("Say whose work it is: hand-in NAME, or hand-in NAME; NUMBER."))
            return
        self.say(write_hand_in(self.store, name, next(iter(self.assignments), None), Path()))

    def ask(self) -> str | None:
        """One word; None at the end of the input."""
        line = typed_line(f"[{tr('home')}]> ", self.lines, self.output)
        typed = line.strip()
        return (typed if typed.lower().startswith("hand-in ") else typed.lower()) if line else None

    def list(self) -> None:
        """Every lesson with its number, and what else there is."""
        done = self._progress()
        self._list_assignments(done)
        group = ""
        for number, entry in enumerate(self.entries, 1):
            assert entry.header is not None
            if entry.group != group:
                group = entry.group
                self.say(f"{tr(group)}:")
            self.say(f"  {number}. {entry.header.title}{self._far(done.get(entry.header.id))}")
        if worlds := own_worlds():
            told = tr("my worlds opens practice on the worlds of your own lessons: {names}.")
            self.say(told.format(names=", ".join(worlds)))
        self.say(tr(WHAT))

    def _list_assignments(self, done: dict[str, LessonProgress]) -> None:
        """What was assigned, and how much of it is done."""
        titles = {entry.header.id: entry.header.title for entry in self.entries if entry.header is not None}
        answered = self._read().exercises
        number = 0
        for assignment in self.assignments:
            until = f", {tr('until {when}').format(when=assignment.until)}" if assignment.until else ""
            self.say(f"{tr('Assignment')}: {assignment.title}{until}.")
            for name in assignment.lessons:
                self.say(f"  {titles.get(name, name)}{self._far(done.get(name)) or ', ' + tr('open')}")
            for drills in assignment.drills:
                number += 1
                title = tr("Drill {kind}, {count} exercises").format(kind=drills.kind, count=drills.count)
                right = sum(key in answered for key in drills.keys)
                self.say(f"  a{number}. {title}, {tr('{done} of {count}').format(done=right, count=drills.count)}")
        if self.assignments:
            self.say(tr("a1 opens what was assigned under that number; hand-in NAME writes the file for the teacher."))

    def help(self) -> None:
        """What can be typed, and what short forms in listings mean."""
        self.say(tr(WHAT))
        self.say(tr("In each of them s shows the machine, h gives a hint, ? explains the keys, and q leads back here."))
        for form, meaning in legend():
            self.say(f"{form}: {meaning}")

    def _progress(self) -> dict[str, LessonProgress]:
        return self._read().lessons

    def _read(self) -> Progress:
        try:
            return self.store.read()
        except ProgressError as error:
            self.say(str(error))
            return Progress()

    def _far(self, done: LessonProgress | None) -> str:
        """How far a lesson is, in words; nothing of one that was not begun."""
        if done is None:
            return ""
        return f", {tr('done')}" if done.finished else f", {tr('begun')}"

    def open(self, word: str) -> None:
        """What a word stands for; back here after it."""
        doors: dict[str, Callable[[], None]] = {"drill": self._drill, "sandbox": self._sandbox, "recap": self._recap}
        doors |= {"my worlds": partial(self._drill, "@")} if own_worlds() else {}
        doors |= {f"a{number}": partial(self._assigned_drill, one) for number, one in enumerate(self.assigned, 1)}
        entry = self._entry(word)
        try:
            if word in doors:
                doors[word]()
            elif word.split(maxsplit=1)[0].lower() == "hand-in":
                self._hand_in(word[len("hand-in") :])
            elif word == TOUR.stem or entry is not None:
                self._lesson(word if entry is None else entry.name)
            else:
                known = [*OTHERS, *(one.name for one in self.entries)]
                hint = nearest(word, known) or tr("l lists what there is")
                self.say(tr("`{word}` opens nothing ({hint}).").format(word=word, hint=hint))
        except (LessonError, ProgressError, WorldError) as error:
            self.say(str(error))

    def _entry(self, word: str) -> LessonEntry | None:
        """The lesson of a number or a name."""
        if word.isascii() and word.isdigit() and len(word) < 5 and 1 <= int(word) <= len(self.entries):
            return self.entries[int(word) - 1]
        return next((entry for entry in self.entries if entry.name == word), None)

    def _lesson(self, name: str) -> None:
        from lessons.file.library import find

        lesson = find(name)
        PlainLesson(Player(lesson, self.store.lesson(lesson.id)), self.store, self.lines, self.output).run()

    def _drill(self, kind: str = "") -> None:
        from lessons.drills.book import today_seed

        PlainDrill(self.store, self.lines, self.output).run(kind, today_seed(), 0)

    def _assigned_drill(self, drills: "DrillSet") -> None:
        PlainDrill(self.store, self.lines, self.output).run(drills.kind, drills.seed, drills.count, fixed=True)

    def _recap(self) -> None:
        from lessons.teach.recap import recap
        from tui.views.markdown import markdown

        text = recap(self.entries, self._read())
        for row in markdown(text, min(self.output.width, WIDEST)):
            self.say(row.text.rstrip())

    def _sandbox(self) -> None:
        from tui.drivers.opening import sandbox_driver

        PlainSandbox(sandbox_driver(self.store), self.lines, self.output).run()

    def say(self, text: str) -> None:
        """Print a line."""
        self.output.print(Text(text), soft_wrap=True)
