"""The Textual app: themes, and which screen follows which."""

import asyncio
import contextlib
import gc
import os
from collections.abc import Callable, Iterable
from functools import partial
from io import BytesIO, StringIO
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar, Final

from rich.text import Text
from textual.app import App, SystemCommand
from textual.binding import Binding, BindingType
from textual.command import CommandPalette, Provider
from textual.driver import Driver as TerminalDriver
from textual.events import Event, Key, Resize
from textual.filter import NoColor
from textual.geometry import Size
from textual.screen import ModalScreen, Screen

from lessons.file.problems import LessonError
from lessons.i18n.language import tr
from lessons.learner.progress import ProgressError, Store
from tui.app.autoplay import Autoplay
from tui.app.ending_signals import ENDINGS, heed_signals
from tui.app.gone_terminal import outliving
from tui.app.hidden_characters import OnlyVisible
from tui.app.job_control import PROCESS_GROUP, JobControl, with_job_control
from tui.app.large_type import LEAST, LargeType, Way, how_to_enlarge, way_of, with_large_type
from tui.app.typed_command import TypedCommand, TypedLetter
from tui.drivers.opening import lesson_driver
from tui.session.platform_modules import TERMINAL_MODULES, missing_module
from tui.session.preferences import NAME as PREFERENCES
from tui.session.preferences import PreferencesFile
from tui.session.prompt_history import FILE_NAME, PromptHistory, TakesEarlyKeys
from tui.session.start_archive import START
from tui.session.terminal import is_served
from tui.views.glyphs import ASCII, choose
from tui.views.visible import visible
from tui.widgets.role_styles import PTESCOPE, THEMES

if TYPE_CHECKING:
    from rich.console import RenderableType

    from lessons.teach.assignment import Assignment
    from tui.drivers.driver import Driver
    from tui.screens.comparison import Comparison
    from tui.screens.driver_form import DriverDraft
    from tui.screens.home import Home
    from tui.screens.stage import Stage

AFTER_RESIZE: Final = 0.1
"""Seconds after which every screen has another size."""
KEPT_COMMANDS: Final = frozenset({"Theme"})
"""Of Textual's own commands those that our own keys and help do not replace."""


def _actions() -> type[Provider]:
    from tui.app.palette import Actions

    return Actions


def _lessons() -> type[Provider]:
    from tui.app.palette import Lessons

    return Lessons


def _things() -> type[Provider]:
    from tui.app.palette import Things

    return Things


def _forms() -> type[Provider]:
    from tui.app.palette import Forms

    return Forms


class PtescopeApp(App[None]):
    """ptescope on the screen. It opens on a driver's stage, or at home."""

    TITLE = "ptescope"
    CSS_PATH = "ptescope.tcss"
    COMMANDS: ClassVar[set[type[Provider] | Callable[[], type[Provider]]]] = {
        _actions,
        _lessons,
        _things,
        _forms,
    }
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("question_mark,f1", "help", "Help", key_display="?", id="app.help"),
        Binding("ctrl+d", "drill", "Drills: endless practice", id="app.drill"),
        Binding("H", "hand_in", "Hand in: one file for the teacher", id="app.hand-in"),
        Binding("ctrl+r", "recap", "What I have learnt", id="app.recap"),
        Binding("ctrl+t", "compare", "Compare drivers, grabbers and defences", id="app.compare"),
        Binding("ctrl+y", "review", "Review a driver, also one of your own", id="app.review"),
        Binding("ctrl+n", "own_driver", "Describe a driver: a form that says what is wrong", id="app.own-driver"),
        Binding("plus,equals_sign", "faster(2.0)", "Autoplay faster", show=False, id="app.faster"),
        Binding("minus", "faster(0.5)", "Autoplay slower", show=False, id="app.slower"),
        Binding("E", "export", "This screen as a file, SVG or Markdown", id="app.export"),
        Binding("t", "next_theme", "Next theme", id="app.theme"),
        Binding("ctrl+z", "suspend_process", "To the shell; `fg` leads back", priority=True, id="app.stop"),
    ]

    def __init__(self, store: Store, driver: "Driver | None" = None) -> None:
        super().__init__()
        self.store = store
        self.glyphs = choose()
        self.first = driver
        self.has_staged = False
        """A stage has been made: until then none can be in front."""
        self.presents = False
        """Open as a presentation."""
        self.speed_wanted = 0.0
        """Open with autoplay at this speed; 0: not."""
        self.autoplay = Autoplay(self)
        self.typed_command = TypedCommand(lambda: self.stage_in_front, lambda: self.theme)
        self.driver_draft: DriverDraft | None = None
        """What has been filled in of a driver of one's own."""
        self.prompt_history = PromptHistory(store.path.with_name(FILE_NAME))
        for theme in THEMES:
            self.register_theme(theme)
        self.preferences = PreferencesFile(store.path.with_name(PREFERENCES))
        wanted = os.environ.get("TEXTUAL_THEME") or self.preferences.read().theme
        # Set without its watcher: the stylesheet has not been parsed yet, and need not be parsed twice.
        self.set_reactive(App.theme, wanted if wanted in self.available_themes else PTESCOPE.name)
        self.stylesheet.set_variables(self.get_css_variables())
        if self.no_color:
            self._filters.append(NoColor())  # Textual's own makes colours grey, which are colours still.
        self._filters.append(OnlyVisible())
        if self.glyphs is ASCII:
            from tui.app.ascii_borders import OnlyAscii

            self._filters.append(OnlyAscii())
        if os.environ.get("PTESCOPE_REDUCED_MOTION"):
            self.animation_level = "none"

    def get_driver_class(self) -> type[TerminalDriver]:
        """Textual's driver; for a room it can draw large type. Without a terminal's modules only exports draw."""
        if os.name == "posix" and missing_module(*TERMINAL_MODULES):
            from textual.drivers.headless_driver import HeadlessDriver

            return HeadlessDriver
        return with_large_type(outliving(with_job_control(super().get_driver_class())))

    def action_suspend_process(self) -> None:
        """To the shell."""
        driver: object = self._driver
        if isinstance(driver, JobControl):
            driver.stop_for_shell(PROCESS_GROUP)

    def action_large_type(self) -> None:
        """Twice as large, or as before; says how to enlarge the font where the terminal cannot draw that."""
        driver: object = self._driver
        way = way_of(os.environ)
        if not isinstance(driver, LargeType) or not way:
            self.notify(how_to_enlarge(os.environ), timeout=8, markup=False)
            return
        if driver.way:
            way = ""
        elif self.size.width < 2 * LEAST[0] or self.size.height < 2 * LEAST[1]:
            wanted = f"{2 * LEAST[0]}x{2 * LEAST[1]}"
            said = tr("Large type needs a terminal of {wanted}; this one has {width}x{height}. Make it full-screen.")
            self.notify(said.format(wanted=wanted, width=self.size.width, height=self.size.height), markup=False)
            return
        self._enlarge(driver, way)

    def end_large_type(self) -> None:
        """As before: a room is no longer looked to."""
        driver: object = self._driver
        if isinstance(driver, LargeType) and driver.way:
            self._enlarge(driver, "")

    def _enlarge(self, driver: LargeType, way: Way) -> None:
        size = Size(*driver.enlarge(way))
        self.post_message(Resize(size, size))
        self.set_timer(AFTER_RESIZE, partial(self._repaint, driver))

    def _repaint(self, driver: LargeType) -> None:
        driver.wipe()
        self.refresh(layout=True)

    def action_command_palette(self) -> None:
        """Open the command palette."""
        if not isinstance(self.screen, CommandPalette):
            from tui.app.palette import Palette

            self.push_screen(Palette())

    def exit(self, result: None = None, return_code: int = 0, message: "RenderableType | None" = None) -> None:
        """End the app, whoever wants it to: the learner, a signal, a terminal that has gone. What was done is kept."""
        said = self._keep_all()
        super().exit(result, return_code, message or (Text(visible(said)) if said else None))

    def _keep_all(self) -> str:
        """Keep what no screen has kept yet; says why where that is not possible."""
        if not self.has_staged:
            return ""
        from tui.screens.stage import Stage

        words = [screen.keep_now() for screen in self.screen_stack if isinstance(screen, Stage)]
        return "\n".join(filter(None, words))

    def _fatal_error(self) -> None:
        """A bug: leave the screen and hand it to the command line, which tells of it in one line."""
        with contextlib.suppress(Exception):  # it may be the bug
            self._keep_all()
        self._close_messages_no_wait()

    @property
    def bug(self) -> Exception | None:
        """The exception that ended the app, if one did."""
        return self._exception

    def on_mount(self) -> None:
        """Leave the terminal as it was, and keep what was done, where the program is ended from outside."""
        self.app_resume_signal.subscribe(self, self._drawn_anew)
        if self.is_headless:
            return  # an export: it is ended like any other work
        loop = asyncio.get_running_loop()
        for asked in ENDINGS if os.name == "posix" else ():
            with contextlib.suppress(RuntimeError, ValueError):  # a test runs the app outside the main thread
                loop.add_signal_handler(asked, partial(self.exit, return_code=128 + asked))
        heed_signals()

    def _drawn_anew(self, _: object) -> None:
        """Back in the foreground (fg): Textual takes the terminal's other screen again, which is empty then."""
        self.refresh(layout=True)

    def on_ready(self) -> None:
        """The first frame is out. What has come to be so far stays, so the collector need never look at it again."""
        gc.freeze()
        gc.enable()
        START.started()
        if self.presents:
            self.action_present()
        if self.speed_wanted:
            self.autoplay.start(self.speed_wanted)

    async def on_event(self, event: Event) -> None:
        """Every event; of the keys those that turn out to be the beginning of a command open the prompt."""
        begun = self.typed_command.takes(event) if isinstance(event, Key) and not event.is_forwarded else None
        if begun is None or not self._open_prompt(*begun):
            await super().on_event(event)

    def _open_prompt(self, begun: str, first: TypedLetter) -> bool:
        """The prompt, with a command that was begun where there was none; what its letters did is taken back."""
        stage = first.stage
        while self.screen is not stage:
            if not isinstance(self.screen, ModalScreen):
                return False  # another stage: that is no slip of the keys
            self.pop_screen()
        if self.theme != first.theme:
            self.theme = first.theme
            self.preferences.change(theme=first.theme)
        if stage is not None:
            stage.begin_command(begun, first.place)
        return True

    def on_key(self, event: Key) -> None:
        """What is typed so fast that it comes before the prompt is open goes into the prompt all the same."""
        screen = self.screen
        if isinstance(screen, TakesEarlyKeys) and screen.take_early(event):
            event.prevent_default()

    # -- screens ------------------------------------------------------------------------------------

    def get_default_screen(self) -> Screen[None]:
        """The first screen is the one that was asked for: no other is laid out and painted before it."""
        return self._home() if self.first is None else self.stage(self.first)

    def stage(self, driver: "Driver", *, from_lesson: bool = False) -> "Stage":
        """The stage that shows a driver. `from_lesson`: a sandbox that was opened from a lesson."""
        from tui.screens.stage import Stage

        self.has_staged = True
        driver.folds = self.preferences.read().folds
        if driver.free:
            from tui.drivers.sandbox import SandboxDriver
            from tui.screens.sandbox_stage import SandboxStage

            assert isinstance(driver, SandboxDriver)
            stage: Stage = SandboxStage(driver, self.glyphs, from_lesson=from_lesson)
        elif getattr(driver, "reload", None) is not None:
            from tui.drivers.author import AuthorDriver
            from tui.screens.author_stage import AuthorStage

            assert isinstance(driver, AuthorDriver)
            stage = AuthorStage(driver, self.glyphs)
        else:
            stage = Stage(driver, self.glyphs)
        stage.prompt_history = self.prompt_history
        return stage

    @property
    def stage_in_front(self) -> "Stage | None":
        """The screen in front, if it is a stage. Home, which needs none, does not wait until one is imported."""
        if not self.has_staged:
            return None
        from tui.screens.stage import Stage

        return self.screen if isinstance(self.screen, Stage) else None

    def _home(self) -> Screen[None]:
        from tui.screens.home import Home

        return Home(self.store, self.glyphs)

    async def on_stage_left(self) -> None:
        """From a stage one comes home. The one that the program began with stays below: Textual keeps it."""
        if len(self.screen_stack) > 1:
            await self.pop_screen()
        else:
            await self.push_screen(self._home())

    def on_home_chosen(self, message: "Home.Chosen") -> None:
        """Something was chosen at home."""
        name = message.lesson
        if name:
            self.action_lesson(name)
        else:
            self.action_sandbox()

    def action_lesson(self, name: str) -> None:
        """Open a lesson where it was left."""
        from lessons.file.library import find

        try:
            driver = lesson_driver(find(name), self.store)
        except (LessonError, ProgressError) as error:
            self.notify(str(error), title=tr("This lesson cannot be played"), severity="error", markup=False)
            return
        self.push_screen(self.stage(driver))

    async def action_next_lesson(self, name: str) -> None:
        """Open a lesson in place of the one that is done."""
        if (stage := self.stage_in_front) is not None:
            if word := stage.driver.keep():
                self.notify(word, severity="warning", markup=False)
            await self.on_stage_left()
        self.action_lesson(name)

    def action_sandbox(self) -> None:
        """Free play on an empty machine."""
        from tui.drivers.opening import sandbox_driver

        self.push_screen(self.stage(sandbox_driver(self.store)))

    def action_sandbox_from_lesson(self) -> None:
        """From a lesson to a sandbox on the very state on the screen; leaving it leads back."""
        from tui.drivers.lesson import LessonDriver
        from tui.drivers.sandbox_from_lesson import sandbox_from

        stage = self.stage_in_front
        if stage is not None and isinstance(stage.driver, LessonDriver):
            self.push_screen(self.stage(sandbox_from(stage.driver.player), from_lesson=True))

    def action_code(self) -> None:
        """The code of a lesson's step, to be pasted into any sandbox."""
        from tui.drivers.lesson import LessonDriver
        from tui.drivers.sandbox_from_lesson import sandbox_from
        from tui.screens.code import StateCode

        stage = self.stage_in_front
        if stage is not None and isinstance(stage.driver, LessonDriver):
            self.push_screen(StateCode(sandbox_from(stage.driver.player).session, self.glyphs))
        else:
            self.notify(tr("A state code is of a lesson's step, or of the sandbox."), markup=False)

    def action_explore(self, draw: bool = False) -> None:
        """Search from the state on the stage; `draw`: at once, and show the map of its states."""
        from tui.drivers.sandbox import SandboxDriver
        from tui.screens.explorer import Explorer

        if (stage := self.stage_in_front) is not None:
            driver = stage.driver  # a sandbox's picture has its settings in the title, which the trail will have too
            title = driver.title if isinstance(driver, SandboxDriver) else stage.picture.title
            self.push_screen(Explorer(driver.past(), title, self.glyphs, draw=draw))

    def action_own_driver(self) -> None:
        """A form that makes a driver file, and a sandbox in which its operation is stepped through."""
        from tui.screens.driver_form import DriverDraft, DriverForm

        self.driver_draft = self.driver_draft or DriverDraft()

        def tried(text: str | None) -> None:
            if text:
                self._try_driver(text)

        self.push_screen(DriverForm(self.driver_draft, self.glyphs), tried)

    def _try_driver(self, text: str) -> None:
        """A sandbox in which the first operation of a driver is about to make its first micro-step."""
        from model.driver_files.trial import trial
        from tui.drivers.opening import sandbox_driver

        driver = sandbox_driver(self.store)
        scene, operation = trial(text)
        for line in scene:
            if word := driver.command(line):
                self.notify(word, severity="warning", markup=False)
                return
            driver.step("command")
        driver.command(operation)
        self.push_screen(self.stage(driver))

    def action_drill(self, kind: str = "") -> None:
        """Exercises, from today's number on."""
        from lessons.drills.book import today_seed
        from lessons.drills.own_worlds import WorldError
        from tui.drivers.drill import DrillDriver

        try:
            driver = DrillDriver(self.store, kind, today_seed())
        except (ProgressError, WorldError) as error:
            self.notify(str(error), severity="error", markup=False)
            return
        self.push_screen(self.stage(driver))

    def action_assigned_drill(self, kind: str, seed: int, count: int) -> None:
        """The exercises of an assignment: the same for everybody, and as many as were assigned."""
        from lessons.drills.own_worlds import WorldError
        from tui.drivers.drill import DrillDriver

        try:
            driver = DrillDriver(self.store, kind, seed, fixed=True, last=seed + count - 1)
        except (ProgressError, WorldError) as error:
            self.notify(str(error), severity="error", markup=False)
            return
        self.push_screen(self.stage(driver))

    def action_hand_in(self) -> None:
        """What was done of the assignment, as a file for the teacher; in a browser it is downloaded."""
        from lessons.teach.assignment import FOLDER, opened
        from tui.screens.prompt import Prompt
        from tui.session.handing_in import write_hand_in

        assignment = next(iter(opened(self.store.path.parent / FOLDER)), None)

        def typed(name: str | None) -> None:
            if name and is_served():
                self._download_hand_in(name, assignment)
            elif name:
                said = write_hand_in(self.store, name, assignment, Path())
                self.notify(said, timeout=10, markup=False)

        self.push_screen(Prompt(tr("your name; after a semicolon your address or number, if you have one")), typed)

    def _download_hand_in(self, name: str, assignment: "Assignment | None") -> None:
        from lessons.teach.hand_in import HandInError
        from tui.session.handing_in import handed_in

        try:
            work = handed_in(self.store, name, assignment)
        except (HandInError, ProgressError) as error:
            self.notify(str(error), markup=False)
            return
        self.deliver_binary(BytesIO(work.content), save_filename=work.file)

    def action_recap(self) -> None:
        """What was learnt, to read."""
        from tui.screens.recap import Recap

        if not isinstance(self.screen, Recap):
            self.push_screen(Recap(self.store, self.glyphs))

    def action_why(self) -> None:
        """The steps behind what the cursor points at, or behind the broken rules."""
        from tui.screens.why import Why
        from tui.views.verdict import is_muted

        if (stage := self.stage_in_front) is not None:
            muted = is_muted(stage.picture)
            if muted and not stage.focus_subject:
                self.notify(tr("rules: after your answer"), markup=False)
                return

            def go(node: int | None) -> None:
                if node is not None:
                    stage.move(lambda: stage.driver.revisit(node))

            self.push_screen(Why(stage.driver.past(), stage.focus_subject, self.glyphs, alarms=not muted), go)

    def action_open(self, screen: str) -> None:
        """A screen over the stage, by its module in `tui.screens` and its class: `legend.Legend`."""
        from importlib import import_module

        from tui.screens.overlay import Overlay

        stage = self.stage_in_front
        module, _, name = screen.partition(".")
        kind = getattr(import_module(f"tui.screens.{module}"), name)
        if stage is not None and issubclass(kind, Overlay):
            above = kind.over(stage)
            self.push_screen(above, lambda chosen: above.finished(stage, chosen) if chosen else None)

    def action_present(self) -> None:
        """The lesson on the stage, for a room."""
        from lessons.teach import presenter_state
        from lessons.teach.lecture import FOLDER, Lectures
        from tui.drivers.lecture import LectureDriver
        from tui.drivers.lesson import LessonDriver
        from tui.screens.presenter import Presenter

        stage = self.stage_in_front
        if stage is None or not isinstance(stage.driver, LessonDriver):
            self.notify(tr("Only a lesson can be presented."), markup=False)
            return
        held = presenter_state.become_presenter()
        if held is None:
            self.notify(presenter_state.already_presenting(), severity="warning", markup=False)
            return
        driver = LectureDriver(stage.driver.player.lesson, Lectures(self.store.path.parent / FOLDER))
        self.push_screen(Presenter(driver, self.glyphs, held), lambda _: self.end_large_type())

    def action_autoplay(self) -> None:
        """Let the lesson or session step by itself, or stop that."""
        self.autoplay.toggle()

    def action_faster(self, factor: float) -> None:
        """Change the speed of autoplay."""
        self.autoplay.change(factor)

    def action_compare(self) -> None:
        """Exporters, grabbers and defences."""
        from tui.screens.comparison import Comparison

        self.push_screen(Comparison(self.glyphs))

    def action_review(self) -> None:
        """One driver against everybody who can do harm: one that comes along, or that a file describes."""
        from model.text.problems import ScriptError
        from tui.screens.driver_review import OWN_KERNEL, DriverReview
        from tui.screens.prompt import Prompt
        from tui.session.reviewed import assist, row_of
        from tui.session.user_files import UnreadableError

        screens: list[DriverReview] = []

        def refuses(name: str) -> str:
            try:
                screens[:] = [DriverReview(self.glyphs, row_of(name), OWN_KERNEL)]
            except UnreadableError as error:
                return str(error)
            except ScriptError as error:
                return "\n".join(one.located(name) for one in error.problems)
            return ""

        def typed(name: str | None) -> None:
            if name:
                self.push_screen(screens[0])

        self.push_screen(Prompt(tr("the driver to review"), assist=assist, refuses=refuses), typed)

    def on_comparison_review_asked(self, message: "Comparison.ReviewAsked") -> None:
        """One driver of the comparison against everybody, under the defence that is shown there."""
        from tui.screens.driver_review import DriverReview

        self.push_screen(DriverReview(self.glyphs, message.row, message.kernel, message.defence))

    def action_museum(self) -> None:
        """Real bugs, as they were and as mended."""
        from tui.screens.museum import Museum

        self.push_screen(Museum(self.glyphs))

    def action_export(self) -> None:
        """The screen as it is, as a file; a browser's files are elsewhere, Textual knows the way there."""
        from tui.export.screen import free_name, svg, write_screen

        if is_served():
            self.deliver_text(StringIO(svg(self)), save_filename="ptescope.svg", mime_type="image/svg+xml")
            return
        from tui.screens.prompt import Prompt

        def typed(name: str | None) -> None:
            if name:
                self.call_after_refresh(lambda: self.notify(write_screen(self, name), markup=False))

        self.push_screen(Prompt(tr("file, .svg or .md"), begin=free_name()), typed)

    def action_help(self) -> None:
        """Open the help: keys, signs, words."""
        from tui.screens.help import Help

        self.push_screen(Help(self.screen, self.glyphs))

    def action_help_quit(self) -> None:
        """Ctrl+C ends nothing here, where a hand that copies would lose its place; say what does."""
        self.notify(tr("^q ends the program; what was done is kept."), timeout=4, markup=False)

    def action_fold_steps(self) -> None:
        """Let steps that change nothing in sight be part of the next press, or stop at each again."""
        if (stage := self.stage_in_front) is not None:
            stage.driver.folds = not stage.driver.folds
            self.preferences.change(folds=stage.driver.folds)
            folded = tr("n goes on to the next step that changes something in sight; i still goes into each.")
            self.notify(folded if stage.driver.folds else tr("n stops at every micro-step."), markup=False)

    def action_next_theme(self) -> None:
        """Our own themes, then Textual's."""
        ours = [theme.name for theme in THEMES]
        names = [*ours, *sorted(name for name in self.available_themes if name not in ours)]
        self.theme = names[(names.index(self.theme) + 1) % len(names)]
        self.preferences.change(theme=self.theme)
        self.notify(self.theme, title=tr("Theme"), timeout=2)

    def get_system_commands(self, screen: Screen[object]) -> Iterable[SystemCommand]:
        """Textual's own commands that make sense here."""
        return (command for command in super().get_system_commands(screen) if command.title in KEPT_COMMANDS)
