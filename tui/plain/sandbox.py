"""The sandbox as text in, text out: for screen readers, pipes and terminals without cursor movement.

It shows the session that the app's sandbox shows, and moves it by the same moves; what is different is only that a
command is carried to its end where nothing is said of stepping.
"""

from typing import TYPE_CHECKING, Final, TextIO

from rich.console import Console
from rich.text import Text

from lessons.i18n.language import tr
from lessons.play.step_size import StepSize
from model.script.execute import MAIN
from model.script.verbs import VERBS
from model.session.accounts import accounts, way_between
from model.text.problems import ScriptError, did_you_mean
from tui.drivers.sandbox import SandboxDriver, captions
from tui.drivers.session_commands import BY_NAME
from tui.plain.panes import machine
from tui.plain.sandbox_commands import PLAIN_WORDS, use
from tui.session.user_files import with_driver_files
from tui.session.why_query import offered
from tui.views.glyphs import words
from tui.views.plain_text import VERBOSE, Narrator

if TYPE_CHECKING:
    from model.session.timeline import Node

PROMPT: Final = "ptescope> "
STEPS: Final[dict[str, StepSize]] = {"n": "into", "i": "into", "o": "over", "u": "out", "c": "command"}
KEYS: Final = (
    ("COMMAND", "run it, and tell what happened"),
    ("i COMMAND", "begin it, and make its first micro-step; `o COMMAND` steps over what that calls"),
    ("n, i", "one micro-step of the command under way; an empty line does the same"),
    ("o", "on past what the next micro-step calls"),
    ("u", "on until this function returns"),
    ("c", "to the command's end"),
    ("p, b", "one micro-step back"),
    ("s", "show the machine: address spaces, page table, memory, holders"),
)
LAST_KEYS: Final = (("? [VERB]", "this help, or what a verb does"), ("quit", "leave (so does the end of the input)"))
ELSEWHERE: Final = frozenset({"load", "scene", "restore", "code"})
"""Session commands after which the way to where one is then is told, command by command …"""
MOVES: Final = frozenset({"goto", "undo", "redo"})
"""… and those after which one is told where one is."""


class PlainSandbox:
    """A session on a console."""

    def __init__(self, driver: SandboxDriver, lines: TextIO, output: Console) -> None:
        self.driver: Final = driver
        self.lines = lines
        self.output = output
        self.narrator: Final = Narrator(output, signs=words())
        self.closely: Final = Narrator(output, VERBOSE, words())

    @property
    def here(self) -> "Node":
        """The present place in the history."""
        return self.driver.session.node

    @property
    def waits(self) -> bool:
        """A plain command is under way and has to wait for a task."""
        running = self.driver.session.running
        return running is not None and running.task == MAIN

    def run(self) -> int:
        """Until the input ends, or `quit`: first what led here is told. Returns the exit status."""
        self.print_commands()
        self.say(self.driver.word)
        while typed := self._ask():
            line = typed.strip().removeprefix(":").strip()  # the key that opens the app's prompt
            match line.split():
                case [] if self.driver.session.running is not None:
                    self.step("into")
                case [] | ["?"]:
                    self.help("")
                case ["?", verb]:
                    self.help(verb)
                case ["quit" | "q" | "exit"]:
                    break
                case ["s"]:
                    self.machine()
                case ["p" | "b"]:
                    self.moved(self.driver.back())
                case [size] if size in STEPS:
                    self.step(STEPS[size])
                case [size, *_] if size in STEPS:
                    self.begin(line[1:].strip(), STEPS[size])
                case [word, *_] if word in BY_NAME:
                    self.use(line)
                case _:
                    self.carry_out(line)
            if self.lines.isatty():
                self.say(self.driver.keep())
        return 0

    def _ask(self) -> str:
        """The next line with its newline; empty at the end of the input."""
        if self.lines.isatty():
            self.output.print(PROMPT, end="")
        try:
            return self.lines.readline()
        except KeyboardInterrupt:
            return ""

    # -- moves -----------------------------------------------------------------------------------

    def carry_out(self, line: str) -> None:
        """A command, to its end; one that would have to wait is undone, as in a script."""
        before, session = self.here, self.driver.session
        beside = session.running is not None and line.split(maxsplit=1)[0] in {"begin", "step", "finish"}
        if not self.understood(line):
            return
        word = self.driver.command(line)
        if not word and not beside and session.running is not None:
            word = self.driver.step("command")
            if self.waits:
                session.undo()
                word = ""
        self.tell(before)
        self.say(word)

    def begin(self, line: str, size: StepSize) -> None:
        """A command, as far as the first step of that size leads."""
        if not self.understood(line):
            return
        before = self.here
        word = self.driver.command(line)
        if word:
            self.say(word)
            return
        start = self.here
        if self.driver.session.running is None:
            self.tell(before)  # it has no micro-steps
            return
        self.say(tr("`{command}` is under way.").format(command=start.command))
        self.step(size)

    def understood(self, line: str) -> bool:
        """Whether a line is a command here; says with its column what is wrong. One under way may make it one."""
        if self.driver.session.running is None:
            try:
                self.driver.session.understand(with_driver_files(line))
            except ScriptError as error:
                for problem in error.problems:
                    column = tr("column {column}").format(column=problem.column)
                    self.narrator.line(6, Text(f"{column}: {problem.message}", "yellow"))
                return False
        return True

    def step(self, size: StepSize) -> None:
        """Go on with the command under way, or along the branch that was walked before."""
        before = self.here
        word = self.driver.step(size)
        self.say(word)
        if self.here.number != before.number:
            self.tell(before, closely=True)

    def use(self, line: str) -> None:
        """Carry a session command out."""
        before, name = self.here, line.split(maxsplit=1)[0]
        word = use(self.driver, line, self.output.width - 6, self.narrator.signs)
        if name == "run" and self.here.number != before.number:
            self.tell(before, closely=True)
        elif name in ELSEWHERE and self.here.number != before.number:
            self.print_commands()
        if name in MOVES:
            self.moved(word)
        else:
            self.say(word)
        if name == "watch" and not word:
            self.tell_watched()

    def moved(self, word: str) -> None:
        """Where one is after going to another place, or why one is not there."""
        if word:
            self.say(word)
            return
        timeline = self.driver.session.timeline
        self.say(captions(self.here, timeline.bookmarks.get(self.here.number, ""))[0])
        self.tell_watched()

    # -- telling ---------------------------------------------------------------------------------

    def print_commands(self) -> None:
        """Every command that led here."""
        timeline = self.driver.session.timeline
        if self.here.parent >= 0:
            self.tell(timeline.nodes[0])

    def tell(self, before: "Node", *, closely: bool = False) -> None:
        """What has happened since a place behind us; `closely`: each micro-step with what it means."""
        here, narrator = self.here, self.closely if closely else self.narrator
        if here.number == before.number:
            return
        for account in accounts(self.driver.session.timeline, before, here):
            over = account.command.line < here.depth or here.outcome is not None
            if closely or not over:
                self.narrator.partly(account, narrator, over=over)
            else:
                narrator.tell(account)
        if any(node.new for node in way_between(self.driver.session.timeline, before, here)):
            self.say(offered())
        at = self.driver.session.position(here.running.task) if here.running else None
        if at is not None:
            waits = f"  ({tr('waits')}: {at.blocked})" if at.blocked else ""
            self.say(f"{tr('next')}: {at.procedure}.{at.step}{waits}")
        self.tell_watched()

    def tell_watched(self) -> None:
        """What the watched expressions are worth now."""
        for seen in self.driver.seen():
            was = f"  ({seen.was})" if seen.fresh else ""
            self.narrator.line(6, Text.assemble((seen.text, "bold"), f" = {seen.value}{was}"))

    def machine(self) -> None:
        """All panes, one below the other."""
        for title, rows in machine(self.here.state, self.here.changes, self.output.width):
            self.narrator.line(0, Text(f"{title}:", "bold"))
            for text in rows:
                self.output.print(Text(text), soft_wrap=True)

    def say(self, text: str) -> None:
        """A word to the user, line by line."""
        for line in text.split("\n") if text else ():
            self.narrator.line(6, Text(line))

    def help(self, verb: str) -> None:
        """Print what can be typed."""
        if verb and verb not in VERBS:
            unknown = tr("There is no verb `{name}`{hint}")
            self.say(unknown.format(name=verb[:40], hint=did_you_mean(verb, VERBS)))
            return
        commands = ((word.usage, word.help) for word in PLAIN_WORDS)
        for key, text in () if verb else (*KEYS, *commands, *LAST_KEYS):
            self.narrator.line(2, Text(f"{key:20}", "bold").append(tr(text), "none"))
        self.narrator.verbs(known for known in VERBS.values() if verb in {"", known.name})
