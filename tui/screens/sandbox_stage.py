"""The stage of the sandbox: the same picture as in a lesson, and the moves that only free play has."""

from typing import TYPE_CHECKING, ClassVar, cast

from textual.binding import BindingType
from textual.events import Paste

from lessons.i18n.language import tr
from tui.screens.sandbox_keys import HINTS, SANDBOX_KEYS
from tui.screens.stage import Stage
from tui.screens.stage_keys import NARROW

if TYPE_CHECKING:
    from model.script.complete import Completion
    from tui.drivers.sandbox import SandboxDriver
    from tui.views.glyphs import Glyphs


class SandboxStage(Stage):
    """A stage whose driver is a session. `from_lesson`: it was opened from a lesson, to which one goes back."""

    BINDINGS: ClassVar[list[BindingType]] = SANDBOX_KEYS

    def __init__(self, driver: "SandboxDriver", glyphs: "Glyphs", *, from_lesson: bool = False) -> None:
        super().__init__(driver, glyphs)
        self.from_lesson = from_lesson
        self.word = driver.word

    def on_mount(self) -> None:
        """What was typed in other sandboxes can be recalled in this one."""
        super().on_mount()
        self.prompt_history = getattr(self.app, "prompt_history", self.prompt_history)

    @property
    def sandbox(self) -> "SandboxDriver":
        """The driver, as what it is."""
        return cast("SandboxDriver", self.driver)

    def _key_hints(self) -> list[tuple[str, str, str]]:
        """The usual ones, and ours where there is room."""
        *first, panes, helped, leave, palette = super()._key_hints()
        ours = [(key, tr(does), action) for key, does, action in HINTS] if self.size.width >= NARROW else []
        back = [("s", tr("back to the lesson"), "leave")] if self.from_lesson else []
        return [*first, *back, panes, helped, leave, palette, *ours]

    # -- the prompt ---------------------------------------------------------------------------------

    def ask_line(self, begin: str) -> None:
        """A command of the script language, or a word about the session."""
        self._ask(tr("command"), self._carry_out_all, self._help, begin, many=True)

    def on_paste(self, event: Paste) -> None:
        """A script, or a state code, pasted while no prompt is open is carried out."""
        from tui.screens.prompt import pasted

        lines = [f"code {line}" if line.startswith("pte") else line for line in pasted(event.text)]
        if lines:
            event.stop()
            self.move(lambda: self._carry_out_all("\n".join(lines)))

    def _carry_out_all(self, text: str) -> str:
        """One line, as far as its first micro-step, or several to their ends.

        Says which of several was not carried out, and leaves out those after it.
        """
        from tui.drivers.session_commands import is_word

        lines, word = text.splitlines(), ""
        for number, line in enumerate(lines, 1):
            word = self._carry_out(line)
            if is_word(line) or len(lines) == 1:
                continue
            if not word and self.sandbox.session.running is not None:
                word = self.sandbox.step("command")
            if word and number < len(lines):
                left = tr("`{line}` ({number} of {count}; the rest is left out): {why}")
                return left.format(line=line, number=number, count=len(lines), why=word)
        return word

    def _help(self, line: str) -> "Completion":
        from tui.drivers.session_commands import assist

        return assist(self.sandbox, line, self.sandbox.assist(line))

    def _carry_out(self, line: str) -> str:
        """What a typed line says; a word that opens a screen opens it after this."""
        from tui.drivers.session_commands import SCREENS, carry_out, is_word

        if not is_word(line):
            return self.sandbox.command(line)
        name, _, rest = line.partition(" ")
        if name == "code" and not rest.strip():
            self.call_later(self.action_code)
        elif name in SCREENS:
            self.call_later(self._open, name, rest.strip())
        else:
            return carry_out(self.sandbox, line)
        return ""

    def _open(self, name: str, rest: str) -> None:
        """Open what a word names."""
        match name:
            case "history":
                self.action_tree()
            case "diff":
                self.open_difference(rest)
            case "why":
                self.ask_why(rest)
            case "run":
                self.action_tasks()
            case "scenes":
                self.action_scenes()
            case "settings":
                self.action_settings()
            case "script":
                self.action_script()
            case _:
                self.open_form(rest)

    def use_word(self, name: str) -> None:
        """Use a word about the session; the prompt opens where something is to follow it."""
        from tui.drivers.session_commands import BY_NAME, SCREENS

        if name in SCREENS - {"form"}:
            self._open(name, "")
        elif name == "code":
            self.action_code()
        elif name == "form":
            self.open_form("")
        elif " " in BY_NAME[name].usage:
            self.ask_line(f"{name} ")
        else:
            self.move(lambda: self._carry_out(name))

    def ask_why(self, words: str) -> None:
        """Why something is as it is, by its name; alone why the rules are broken."""
        from tui.session.why_query import AskError, asked

        try:
            subject = asked(self.sandbox.session.state, words)
        except AskError as error:
            self.notify(str(error), severity="warning", markup=False)
            return
        self.focus_subject = subject
        self.show_picture()
        self.call_later(self.run_action, "app.why")

    # -- moves --------------------------------------------------------------------------------------

    def action_tasks(self) -> None:
        """Open the list of tasks: choose who moves."""
        from tui.screens.tasks import Tasks

        self.app.push_screen(Tasks(self.sandbox, self.glyphs, self.move))

    def action_bookmark(self) -> None:
        """Give this place a name."""
        timeline = self.sandbox.session.timeline
        here = timeline.here.number
        self._ask(tr("name of this place"), self.sandbox.bookmark, begin=timeline.bookmarks.get(here, ""))

    def action_named(self, by: int) -> None:
        """To the next, or previous, place with a name on the way that is shown."""
        nodes, here = self.picture.history.nodes, self.picture.history.here
        way = nodes[here + 1 :] if by > 0 else nodes[:here][::-1]
        found = next((node.number for node in way if node.name), None)
        if found is None:
            self.move(lambda: tr("There is no bookmark that way; `B` makes one here."))
        else:
            self.move(lambda: self.sandbox.go(found))

    def action_tree(self) -> None:
        """Open the tree of the history."""
        from tui.screens.tree import Tree

        def chosen(subject: str | None) -> None:
            kind, *numbers = (subject or "").split(":")
            self.move(lambda: self.sandbox.go(int(numbers[0])) if kind == "node" else "")
            if kind == "diff":
                self._compare(int(numbers[0]), int(numbers[1]))

        self.app.push_screen(Tree(self.sandbox.session.timeline, self.glyphs), chosen)

    def action_watch(self) -> None:
        """Watch an expression, or no longer."""
        self.ask_line("watch ")

    def action_save(self) -> None:
        """Ask for a file, and save the session in it."""
        self.ask_line("save ")

    def action_load(self) -> None:
        """Load a script or a session."""
        self.ask_line("load ")

    def action_difference(self) -> None:
        """What differs from another state."""
        self.open_difference("")

    def open_difference(self, names: str) -> None:
        """Show what differs between two places that `goto` knows; by default the step before, and here."""
        from tui.drivers.session_commands import NoPlaceError, places_of

        try:
            found = places_of(self.sandbox.session.timeline, names) if names else [-1]
        except NoPlaceError as error:
            why = str(error)
            self.move(lambda: why)
        else:
            self._compare(found[0], found[1] if len(found) > 1 else -1)

    def _compare(self, node: int, to: int) -> None:
        """What differs between two nodes; -1: the step before, and the present."""
        from tui.screens.difference import Difference

        def chosen(subject: str | None) -> None:
            if subject:
                self.point(subject)

        self.app.push_screen(Difference(self.sandbox.session.timeline, self.glyphs, node, to), chosen)

    def action_scenes(self) -> None:
        """Open the list of ready scenes."""
        from tui.drivers.session_commands import load_scene
        from tui.screens.scenes import Scenes

        def chosen(name: str | None) -> None:
            if name:
                self.move(lambda: at_its_start(name))

        def at_its_start(name: str) -> str:
            load_scene(self.sandbox, name)  # The story tells what it is about.
            return self.sandbox.end(last=False)

        self.app.push_screen(Scenes(self.glyphs), chosen)

    def action_code(self) -> None:
        """Show the code of this state; open another."""
        from tui.drivers.session_commands import open_code
        from tui.screens.code import Code

        def typed(code: str | None) -> None:
            if code:
                self.move(lambda: open_code(self.sandbox, code))

        self.app.push_screen(Code(self.sandbox.session, self.glyphs), typed)

    def action_script(self) -> None:
        """Show the script that leads here."""
        from tui.screens.code import ScriptText

        self.app.push_screen(ScriptText(self.sandbox.session, self.glyphs))

    def action_settings(self) -> None:
        """Replay on another kernel or with another defence, side by side."""
        from tui.screens.settings import Settings

        def adopted(script: str | None) -> None:
            if script:
                self.move(lambda: self.sandbox.adopt(script))

        self.app.push_screen(Settings(self.sandbox.session, self.glyphs), adopted)

    def open_form(self, verb: str) -> None:
        """Fill in a command in fields."""
        from tui.screens.form import Form, FormChoice

        def filled(line: str | None) -> None:
            if line:
                self.prompt_history.add(line)
                self.move(lambda: self.sandbox.command(line))

        def named(name: str | None) -> None:
            if name:
                self.app.push_screen(Form(name, self.sandbox.session.state, self.glyphs), filled)

        if verb:
            named(verb)
        else:
            self.app.push_screen(FormChoice(self.glyphs), named)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only a sandbox that was opened from a lesson leads back to one."""
        if action in {"back_to_lesson", "app.sandbox_from_lesson"} and not self.from_lesson:
            return False
        return super().check_action(action, parameters)

    def action_back_to_lesson(self) -> None:
        """Go back to the lesson."""
        self.action_leave()
