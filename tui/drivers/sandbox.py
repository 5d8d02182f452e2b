"""The sandbox on the stage: a session as a picture, and the stage's moves as the session's."""

from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING, Final, cast

from msgspec.structs import asdict

from lessons.i18n.language import tr
from lessons.learner.own_file import reason
from lessons.play.in_sight import is_in_sight
from model.engine.config import SETTINGS
from model.invariants.checker import Checker
from model.memory.state import Change, State
from model.script.command import Command
from model.script.context import Context
from model.script.drive import look_ahead
from model.script.execute import MAIN
from model.session.session import Position, Session
from model.session.timeline import Node, Timeline
from model.text.problems import ScriptError
from tui.drivers.history_view import Log, all_rules, broken, shown_command, shown_step, strip
from tui.session.completion import help_for, related
from tui.session.user_files import with_driver_files
from tui.views.shown_state import net
from tui.views.view_model import LessonText, Picture, ShownHistory, ShownStep, WatchedValue

if TYPE_CHECKING:
    from lessons.play.step_size import StepSize
    from lessons.play.watches import Watched, Watches
    from model.script.complete import Completion
    from tui.session.autosave import Autosave

MOST_AHEAD: Final = 2000
"""Micro-steps of a command under way that the prompt looks ahead."""

GUIDE: Final = """
`:` opens the prompt, and so does a command that you just type. `n` makes one micro-step, `c` carries the command out; \
the next command carries the last one out first. Try:

```
process p0
mmap p0 buf anon private rw 4
write p0 buf 65
device nic
gup p0 buf as=r write pin by=nic
madvise p0 buf dontneed
dma r write 66
read p0 buf
```

Who got the 66? Go back with `p` and do something else: both ways are kept (`[` and `]` choose).
"""


class SandboxDriver:
    """Free play. `script` is carried out first; then the learner is at its end."""

    free = True

    def __init__(
        self,
        script: Iterable[Command] = (),
        title: str = "Sandbox",
        start: Context | None = None,
        autosave: "Autosave | None" = None,
        session: Session | None = None,
    ) -> None:
        self.session: Final = session or Session(start)
        self.title = title
        for command in script:
            self.session.perform(command)
        self.log: Final = Log(self.session.timeline)
        self.came_from = self.session.node
        self.autosave: Final = autosave
        self.watches: Watches | None = None
        """What is watched, once anything is."""
        self.word = ""
        """What is to be said when the stage opens."""
        self.folds = False
        """Steps that change nothing in sight are part of the next one that does."""
        self.about = ""
        """What the scene that was loaded is about."""
        self._kept = ""
        """What the file of this session has."""

    # -- looking ---------------------------------------------------------------------------------

    def picture(self) -> Picture:
        """Everything that the stage shows now."""
        session = self.session
        node, timeline = session.node, session.timeline
        under_way = session.running is not None
        nodes, here = strip(timeline)
        return Picture(
            f"{self.title}{_settings(node.state)}",
            tr("step {step}").format(step=node.depth),
            node.state,
            self._tale(),
            shown_step(node.stepped, node.outcome) or shown_command(node),
            _next(session.position(session.running.task if session.running else MAIN)),
            self._changes(),
            broken(timeline),
            all_rules(),
            ShownHistory(nodes, here, captions(node, timeline.bookmarks.get(node.number, ""))),
            self.log.at(node),
            _can(under_way, ahead=timeline.next_from(node.number) is not None, behind=node.parent >= 0),
            tr("to the command's end") if under_way else tr("type a command"),
            "step('command')" if under_way else "prompt",
        )

    def _tale(self) -> LessonText:
        """The command under way and the tasks beside it; on an empty machine, how to begin."""
        session = self.session
        others = [task for task in session.tasks() if session.running is None or task.task != session.running.task]
        lines = [tr("- task `{task}` is in `{procedure}`, next `{step}`").format(**asdict(task)) for task in others]
        if others:
            lines.append("\n" + tr("`step T` makes one micro-step of task T, `finish T` all of them."))
        command = session.running.command.text if session.running else ""
        under_way = tr("`{command}` is under way.").format(command=command) if command else ""
        text = "\n".join([under_way, *([""] if under_way and lines else []), *lines]).strip()
        watched = self.seen()
        return LessonText(text or ("" if watched else self._welcome()), watched=watched)

    def seen(self) -> tuple[WatchedValue, ...]:
        """The watched expressions, and what each is worth."""
        return tuple(map(self._seen, self.watches.at(self.session.node) if self.watches is not None else ()))

    def _welcome(self) -> str:
        """What a loaded scene is about; else how to begin, on an empty machine also what there is from before."""
        if self.about:
            on = tr("`c` goes on by a command, `n` by a step.")
            return f"{self.about}\n\n{on}"
        kept = self.autosave.last() if self.autosave is not None and len(self.session.timeline.nodes) == 1 else None
        if kept is None:
            return tr(GUIDE)
        text = tr("Your last session is kept ({when}): `:restore` brings it back.")
        if kept.commands > 1:  # Fewer lead to where somebody has gone back in a session that may be long.
            text = tr("Your last session is kept ({when}, {count} commands): `:restore` brings it back.")
        return f"{text.format(when=kept.when, count=kept.commands)}\n\n{tr(GUIDE)}"

    def _seen(self, watched: "Watched") -> WatchedValue:
        """A watched expression as the story shows it."""
        since = self.session.timeline.nodes[watched.node].depth
        was = tr("was {value} until step {step}").format(value=watched.before, step=since) if watched.before else ""
        return WatchedValue(watched.text, watched.value, was, watched.fresh)

    def _changes(self) -> tuple[Change, ...]:
        """What is different from where the last move began."""
        timeline, here = self.session.timeline, self.session.node
        between: list[Change] = []
        node = here
        while node.parent >= 0 and node.number != self.came_from.number and node.depth > self.came_from.depth:
            between[:0] = node.changes
            node = timeline.nodes[node.parent]
        return net(between) if node.number == self.came_from.number else here.changes

    def assist(self, line: str) -> "Completion":
        """Help for a command that is being typed: it will start where the one under way ends."""
        running, state = self.session.running, self.session.state
        for stepped in islice(look_ahead(running), MOST_AHEAD) if running is not None else ():
            state = stepped.state
        return help_for(state, line)

    def refers(self, subject: str) -> tuple[frozenset[str], frozenset[str]]:
        """What a subject refers to, and what refers to it."""
        return related(self.session.node.checker.scene, subject)

    def past(self) -> Timeline:
        """The whole history."""
        return self.session.timeline

    def machine(self) -> tuple[Context, Checker]:
        """The machine as it stands, with what is under way on it."""
        node = self.session.node
        return node.context, node.checker

    # -- moves -----------------------------------------------------------------------------------

    def step(self, size: "StepSize") -> str:
        """Take one step of the command under way; where none is, along the branch that was walked before."""
        session = self.session
        self.came_from = before = session.node
        try:
            if session.running is None:
                self._again(size)
            elif size == "over":
                session.step_over()
            elif size == "out":
                session.step_out()
            elif size == "command":
                session.finish()
            elif size == "forward" and self.folds:
                session.step_until(is_in_sight)
            else:
                session.step_into()
        except ScriptError as error:
            return said(error)
        if session.node.number != before.number:
            return ""
        return tr("No command is under way: type one with `:`.") if session.running is None else _waiting(session)

    def _again(self, size: "StepSize") -> None:
        """Along the way that was walked before, by a step of that size."""
        if size == "forward" and self.folds:
            self.session.timeline.forward(is_in_sight)
        else:
            self.session.forward("command" if size in {"over", "out", "command"} else "into")

    def back(self) -> str:
        """Go one micro-step back, or to the last one that shows."""
        here = self.session.node
        if here.parent < 0:
            return tr("This is the beginning.")
        if self.folds:
            self.session.timeline.back(is_in_sight)
        else:
            self.session.back()
        self._stand_still()
        return ""

    def go(self, node: int) -> str:
        """Jump to a node."""
        try:
            self.session.goto(node)
        except IndexError as error:
            return str(error)
        self._stand_still()
        return ""

    def revisit(self, moment: int) -> str:
        """Jump to a micro-step."""
        return self.go(moment)

    def end(self, *, last: bool) -> str:
        """To the beginning, or to the end of this way."""
        timeline = self.session.timeline
        if last:
            timeline.forward(lambda _: False)
        else:
            timeline.goto(0)
        self._stand_still()
        return ""

    def _stand_still(self) -> None:
        """Show what the step that led here changed."""
        here = self.session.node
        self.came_from = self.session.timeline.nodes[max(here.parent, 0)]

    def undo(self) -> str:
        """Back to before the last command; it is kept, and `redo` leads there again."""
        if self.session.node.parent < 0:
            return tr("There is nothing to undo.")
        self.session.back("command")
        self._stand_still()
        return ""

    def redo(self) -> str:
        """Go to the end of the command that comes next on the branch that was walked last."""
        before = self.session.node
        if self.session.forward("command").number == before.number:
            return tr("There is nothing to redo.")
        self._stand_still()
        return ""

    def branch(self, by: int) -> str:
        """Choose another of the branches that lead on from here."""
        ways = self.session.timeline.children.get(self.session.node.number, ())
        if len(ways) < 2:
            return tr("Only one way leads on from here.")
        self.session.timeline.branch(by)
        return ""

    def answer(self, typed: str) -> str:
        """Nothing is ever asked here."""
        del typed
        return tr("Nothing is asked here.")

    def command(self, line: str) -> str:
        """Begin a command and stop before its first micro-step; the one under way is carried out first.

        `begin`, `step` and `finish` are about other tasks: the command under way stays where it is, as it must if it
        waits for one of them.
        """
        session = self.session
        try:
            line = with_driver_files(line)
            if session.running is not None and line.split(maxsplit=1)[:1] in (["step"], ["finish"]):
                command = session.understand(line)
                return self._beside(command) if command is not None else ""
            begins = line.split(maxsplit=1)[:1] == ["begin"]
            if not begins:
                session.finish()
            if session.running is not None and not begins:
                return _waiting(session)
            command = session.understand(line)
            if command is not None:
                self.came_from = session.node
                session.begin_beside(command)
        except ScriptError as error:
            return said(error)
        return ""

    def _beside(self, command: Command) -> str:
        """Let another task make some micro-steps, or all of them, beside the command under way."""
        steps = cast("int", command.get("N", 1)) if command.verb == "step" else MOST_AHEAD
        return self.step_task(str(command.operands["T"]), steps)

    def step_task(self, task: str, steps: int = 1) -> str:
        """Some micro-steps of any task, until it ends or has to wait; says what for."""
        session = self.session
        self.came_from = session.node
        for _ in range(steps):
            at = session.position(task)
            if at is None:
                moved = session.node is not self.came_from
                return "" if moved else tr("There is no task `{task}` now.").format(task=task)
            session.step_task(task)
            waiting = session.position(task)
            if waiting is not None and waiting.blocked:
                return f"{task} {tr('waits')}: {waiting.blocked}"
        return ""

    def hint(self) -> str:
        """The sandbox has no goal, and so no hints."""
        return tr("Hints are for lessons; `?` explains the keys.")

    def keep(self) -> str:
        """Write this session's file, where it has one and is worth it."""
        from tui.session.session_file import SaveError, as_text

        if self.autosave is None or len(self.session.timeline.nodes) == 1:
            return ""
        try:
            text, _ = as_text(self.session, self.watched, verify=False)
            if text != self._kept:
                self.autosave.write(text)
                self._kept = text
        except SaveError as error:
            return tr("This session cannot be kept: {why}").format(why=error)
        except OSError as error:
            return tr("This session cannot be kept: {why}").format(why=reason(error))
        return ""

    @property
    def watched(self) -> list[str]:
        """The watched expressions."""
        return self.watches.texts if self.watches is not None else []

    def watch(self, text: str) -> str:
        """Watch an expression, or no longer if it is watched already."""
        from lessons.play.watches import Watches

        if self.watches is None:
            self.watches = Watches(self.session.timeline)
        known = " ".join(text.split()) in self.watches.texts
        return self.watches.remove(text) if known else self.watches.add(text)

    def bookmark(self, name: str) -> str:
        """Give the present place a name; an empty one takes it away."""
        from model.session.move_log import tidy

        self.session.timeline.bookmark(tidy(name))
        return ""

    def adopt(self, script: str) -> str:
        """Carry a script out as another branch, from the start."""
        from tui.session.session_file import load

        load(self.session, script)
        self._stand_still()
        return ""

    def jumped(self) -> None:
        """Somebody else has moved the session: show what the step that led here changed."""
        self._stand_still()


def said(error: ScriptError) -> str:
    """What is wrong with a typed line."""
    return "; ".join(problem.message for problem in error.problems)


def _waiting(session: Session) -> str:
    """Why a step has led nowhere."""
    at = session.position(session.running.task if session.running else MAIN)
    return f"{tr('It waits')}: {at.blocked}" if at is not None and at.blocked else tr("Nothing more happens here.")


def _next(at: Position | None) -> ShownStep | None:
    """The micro-step that comes next."""
    return None if at is None else ShownStep(f"{at.procedure}.{at.step}", at.source, at.doc, at.task, waits=at.blocked)


def _settings(state: State) -> str:
    """What is special about this machine: every setting that is not as usual."""
    special = (f"{key} {value}" for key, value in sorted(state.settings.items()) if value != SETTINGS[key].values[0])
    text = ", ".join(special)
    return f"  ({text})" if text else ""


def captions(node: Node, name: str) -> tuple[str, ...]:
    """Where a node is, in words, and shorter: without the command, which stands over the drawing, too."""
    name = f"[{name}] " if name else ""
    if not node.command:
        return (name + tr("the machine has just been booted"),)
    where = f"{name}{tr('step {step}').format(step=node.depth)}: "
    if not node.stepped:
        return (where + node.command,)
    step = f"{node.stepped.procedure}.{node.stepped.step}"
    return f"{where}{node.command} > {step}", where + step


def _can(under_way: bool, *, ahead: bool, behind: bool) -> frozenset[str]:
    """What is possible at a node."""
    possible = {"command": True, "forward": under_way or ahead, "steps": under_way, "back": behind}
    return frozenset(name for name, can in possible.items() if can)
