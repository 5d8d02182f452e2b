"""The home screen."""

import time
from typing import TYPE_CHECKING, ClassVar, Final

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.message import Message
from textual.screen import Screen

from lessons.file.library import LessonEntry, entries, find
from lessons.file.problems import LessonError
from lessons.i18n.language import tr
from lessons.i18n.lesson_folders import own_worlds
from lessons.learner.progress import LessonProgress, Progress, ProgressError, Store
from tui.session.assigned import assignments_of
from tui.views.bars import keys
from tui.views.glyphs import Glyphs
from tui.views.home import AssignedDrills, LessonLine, ShownAssignment, home
from tui.views.row import Row, Span
from tui.widgets.bar import Bar
from tui.widgets.line_pane import LinePane

if TYPE_CHECKING:
    from lessons.teach.assignment import Assignment

HEADER: Final = Row((Span(" ptescope", "title"), Span(f"  {tr('page tables, references, and who holds what')}")), "bar")


class Home(Screen[None]):
    """Lessons with progress, the sandbox, help."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter,right,n,space", "open", "Open", id="home.open"),
        Binding("s", "sandbox", "Sandbox", id="home.sandbox"),
        Binding("m", "app.museum", "Museum of real bugs", id="home.museum"),
        Binding("r", "app.recap", "What I have learnt", id="home.recap"),
        Binding("R,delete", "reset", "Forget what was done in this lesson", id="home.reset"),
        Binding("g", "glossary", "Glossary: each term in a line", id="home.glossary"),
        Binding("home", "to_end(False)", "To the top", id="home.first"),
        Binding("end", "to_end(True)", "To the bottom", id="home.last"),
        Binding("q", "app.quit", "Quit", id="home.quit"),
    ]

    class Chosen(Message):
        """Open a lesson, or, with an empty name, the sandbox."""

        def __init__(self, lesson: str) -> None:
            super().__init__()
            self.lesson = lesson

    def __init__(self, store: Store, glyphs: Glyphs) -> None:
        super().__init__()
        self.store = store
        self.glyphs = glyphs
        self.entries = entries()
        self.progress = Progress()
        self.assignments = assignments_of(store)
        self.worlds = own_worlds()

    def compose(self) -> ComposeResult:
        """The list between a title and the keys."""
        self.header = Bar(pane_id="header")
        self.pane = LinePane(pane_id="home")
        self.keys = Bar(pane_id="keys")
        self.header.build = lambda _: [HEADER]
        self.pane.build = self._rows
        self.keys.build = self._keys
        yield self.header
        yield self.pane
        yield self.keys

    def on_screen_resume(self) -> None:
        """How far one is may have changed since."""
        self._renew()
        self._point_at_next()

    def _renew(self) -> None:
        """Show the progress anew."""
        try:
            self.progress = self.store.read()
        except ProgressError as error:
            self.notify(str(error), severity="warning", markup=False)
        if self.store.report:
            self.notify(self.store.report, severity="warning", markup=False)
            self.store.report = ""
        self.pane.renew()
        self.keys.renew()

    def _point_at_next(self) -> None:
        """The cursor goes to the lesson that comes next."""
        if self.pane.cursor is None:
            lessons = [entry.header for entry in self.entries if entry.header is not None]
            following = next((one for one in lessons if not self._of(one.id).finished), lessons[0] if lessons else None)
            self.pane.point_at(f"lesson:{following.id}" if following else "open:sandbox")

    def _of(self, name: str) -> LessonProgress:
        return self.progress.lessons.get(name, LessonProgress())

    def _rows(self, width: int) -> list[Row]:
        """The list of lessons as rows."""
        offers = [self._offer(entry) for entry in self.entries]
        by_name = {offer.name: offer for offer in offers}
        assigned = [self._assigned(one, by_name) for one in self.assignments]
        return home(offers, width, self.glyphs, assigned, self.worlds)

    def _assigned(self, assignment: "Assignment", offers: dict[str, LessonLine]) -> ShownAssignment:
        """An assignment, and how much of it is done."""
        drills = tuple(
            AssignedDrills(one.kind, one.seed, one.count, sum(key in self.progress.exercises for key in one.keys))
            for one in assignment.drills
        )
        late = bool(assignment.deadline) and assignment.deadline < time.time()
        lessons = tuple(offers[name] for name in assignment.lessons if name in offers)
        return ShownAssignment(assignment.title, assignment.until, late, lessons, drills)

    def _offer(self, entry: LessonEntry) -> LessonLine:
        """The line of one lesson."""
        header = entry.header
        if header is None:
            return LessonLine(entry.name, "", entry.group, "", 0, 0, 0, finished=False, damaged=str(entry.error))
        done = self._of(header.id)
        return LessonLine(
            header.id,
            header.title,
            entry.group,
            header.summary,
            header.minutes,
            len(entry.lesson.items) if done.item and entry.lesson is not None else 0,
            done.item,
            done.finished,
        )

    def _keys(self, width: int) -> list[Row]:
        """The rows of the key line."""
        hints = [("Enter", "open", "open"), ("up/down", "choose", "open"), ("s", "sandbox", "sandbox")]
        if self._begun():
            hints.append(("R", "start over", "reset"))
        hints.append(("r", "recap", "app.recap"))
        return [
            keys(
                [
                    *hints,
                    ("?", "help", "app.help"),
                    ("^p", "all actions", "app.command_palette"),
                    ("q", "quit", "app.quit"),
                ],
                width,
            )
        ]

    def on_line_pane_pointed(self, message: LinePane.Pointed) -> None:
        """Open the lesson that was clicked."""
        message.stop()
        kind, _, rest = message.subject.partition(":")
        if kind == "action":
            if message.clicked or message.pane is not self.pane:
                self.call_later(self.run_action, rest)
        elif message.clicked:
            self._open(message.subject)
        else:
            self.keys.renew()

    def action_open(self) -> None:
        """Open what the cursor stands on."""
        if self.pane.cursor is not None:
            self._open(self.pane.cursor.subject)

    def _begun(self) -> str:
        """The lesson under the cursor, if anything was done in it."""
        kind, _, name = (self.pane.cursor.subject if self.pane.cursor else "").partition(":")
        return name if kind == "lesson" and name in self.progress.lessons else ""

    def action_reset(self) -> None:
        """Forget what was done in the lesson under the cursor, once that is confirmed; a copy is kept."""
        name = self._begun()
        if not name:
            self.notify(tr("There is nothing here to forget."), markup=False)
            return
        from tui.screens.confirm import YES, Confirm

        try:
            title = find(name).header.title
        except LessonError:  # somebody is writing it just now
            title = name
        text = tr(
            "Everything that you did in *{title}* is forgotten: guesses, commands, how far you are. Other lessons and "
            "the drills stay. The file as it is now is kept as a copy; `ptescope progress import` brings it back."
        )

        def answered(answer: str | None) -> None:
            if answer == YES:
                self._reset(name)

        question = Confirm("Start over", text.format(title=title), tr("forget what I did in this lesson"), self.glyphs)
        self.app.push_screen(question, answered)

    def _reset(self, name: str) -> None:
        """Forget one lesson, and say where the copy is."""
        try:
            aside = self.store.reset_keeping_a_copy(name)
        except ProgressError as error:
            self.notify(str(error), severity="error", markup=False)
            return
        if aside is not None:
            self.notify(tr("Forgotten. The file as it was: {file}").format(file=aside), timeout=10, markup=False)
        self._renew()

    def action_to_end(self, last: bool) -> None:
        """To the top or the bottom of the list."""
        self.pane.to_end(last=last)

    def action_glossary(self) -> None:
        """The page of terms."""
        from tui.screens.glossary import Glossary

        self.app.push_screen(Glossary(self.glyphs))

    def action_sandbox(self) -> None:
        """Open a sandbox on an empty machine."""
        self.post_message(self.Chosen(""))

    def _open(self, subject: str) -> None:
        kind, _, rest = subject.partition(":")
        if kind == "action":
            self.call_later(self.run_action, rest)
        else:
            self.post_message(self.Chosen(rest if kind == "lesson" else ""))
