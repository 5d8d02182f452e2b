"""Drafts of lessons: an empty one, and one made from a script that somebody has played.

Both pass `lesson check --draft`; what is left is for their author to say.
"""

import json
from collections.abc import Sequence
from typing import Final, NamedTuple

from lessons.author.par import FEW_PLAYS, Found, shortest
from lessons.drills.scenes import pfn_at
from lessons.file.schema import PARTS, Goal, GoalCheck
from lessons.file.schema import LessonCommand as Line
from lessons.play.playback import power_on, try_out
from model.memory.state import State
from model.script.command import Command
from model.script.parser import parse
from model.script.runner import Account, Runner

SETTING: Final = frozenset(
    ("set", "process", "cpu", "device", "memfd", "diskfile", "dax", "bo", "export", "attach", "mmap", "write")
)
"""Verbs that a scene may be set with: what comes before anything else is the world."""
MOST_ASKED: Final = 3
UNTOUCHED: Final = (
    "Say in one sentence what the learner will see.",
    "Say in one sentence what is to be kept.",
    "Say why.",
    "Say what is added or taken away, and by whom.",
    "As before: say what the learner has overlooked.",
    "Say what stands against it.",
    "Say which, and what it means.",
    "Say what follows from it.",
)
"""What a draft leaves to its author: as long as it stands there the lesson is none."""
WIDTH: Final = 44


class LessonDraft(NamedTuple):
    """A lesson file and the world that it needs."""

    lesson: str
    world: str


def empty(name: str, title: str) -> LessonDraft:
    """A lesson that works, to be rewritten: one prediction, one command, one goal."""
    return from_script(
        name,
        title,
        "process p0\nmmap p0 buf anon private rw 2\nwrite p0 buf 65\ngup p0 buf as=r write\nmadvise p0 buf dontneed\n",
    )


def from_script(name: str, title: str, script: str) -> LessonDraft:
    """A lesson that plays a script: its beginning is the world, the rest is asked about and played.

    Raises ScriptError where the script is malformed, ValueError where it does nothing beyond setting a scene.
    """
    commands = [command for command in parse(script) if command.verb not in {"expect", "note", "may"}]
    cut = next((at for at, command in enumerate(commands) if command.verb not in SETTING), len(commands))
    setting, played = commands[:cut], commands[cut:]
    if not played:
        raise ValueError("the script only sets a scene; a lesson needs something that happens in it")
    runner = Runner()
    for command in setting:
        runner.perform(command)
    blocks: list[str] = []
    asked = 0
    for number, command in enumerate(played):
        before = runner.context.state
        account = runner.perform(command)
        question = _question(name, number, command, before, runner.context.state, account) if asked < MOST_ASKED else ""
        asked += bool(question)
        lead = f"Next: `{command.text}`." if number else f"The scene is set. Next: `{command.text}`."
        blocks.append(f"{_wrapped(lead)}\n\n{question}{_do(command, account)}")
    world = "\n".join(("# The scene of this lesson; say in one line what is there.", *(c.text for c in setting), ""))
    goal = _goal(name, setting, played, runner.context.state)
    return LessonDraft("\n".join((_head(name, title), f"~~~world {name}\n~~~\n", *blocks, goal, _after(played))), world)


def _head(name: str, title: str) -> str:
    """Front matter, with what only an author can say left to be said better."""
    return f"""+++
format = 1
id = "{name}"
title = {json.dumps(title, ensure_ascii=False)}
part = "{PARTS[0]}"
order = 99
minutes = 5
summary = "Say in one sentence what the learner will see."
rule = "Say in one sentence what is to be kept."
read = ["mm/memory.c: zap_pte_range"]
+++
"""


def _wrapped(text: str) -> str:
    """A paragraph within the width of the story's pane."""
    lines, line = [], ""
    for word in text.split():
        if line and len(line) + 1 + len(word) > WIDTH:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}".strip()
    return "\n".join((*lines, line))


def _do(command: Command, account: Account) -> str:
    """The command, played; what it breaks is said where it breaks."""
    remarks = ""
    if account.violations and account.steps:
        step = account.steps[-1]
        remarks = (
            f"  {step.procedure}.{step.step}: {' '.join(account.violations[0].message.replace('`', '').split())}\n"
        )
    return f"~~~do by=command\n{command.text}\n{remarks}~~~\n"


def _question(name: str, number: int, command: Command, before: State, after: State, account: Account) -> str:
    """A prediction about the command, if something about it is worth guessing; empty otherwise."""
    if account.outcome.status in {"error", "signal"}:
        answer = account.outcome.errno or account.outcome.signal
        kind = "error" if account.outcome.errno else "signal"
        return _choice(f"{name}-{number}", command, answer, kind)
    for process, label in sorted(before.labels):
        pfn = pfn_at(before, process, label, 0)
        if pfn is None or pfn_at(after, process, label, 0) != pfn:
            continue
        old, new = before.frames[pfn].refcount, after.frames[pfn].refcount
        if old != new:
            return _number(f"{name}-{number}", command, f"{process} {label}", old, new)
    if account.violations:
        return _yes_no(f"{name}-{number}", command, account.violations[0].invariant)
    return ""


def _number(name: str, command: Command, subject: str, old: int, new: int) -> str:
    """How many references the page has afterwards."""
    return f"""~~~predict
id = "{name}"
kind = "number"
ask = "The page of `{subject}` has refcount {{refcount {subject}}}. What is it after `{command.text}`?"
answer = "refcount {subject}"
right = "Say why."
otherwise = "Say what is added or taken away, and by whom."

[[wrong]]
is = {old}
reply = "As before: say what the learner has overlooked."
~~~
~~~hint
where: The picture: the count in the box of that page's frame.
what: Who holds it now, and who will hold it afterwards?
next: The difference is {new - old:+d}.
show: {new}.
~~~

"""


def _choice(name: str, command: Command, answer: str, kind: str) -> str:
    """Granted, or refused with what."""
    return f"""~~~predict
id = "{name}"
kind = "choice"
ask = "What does `{command.text}` answer?"

[[option]]
text = "ok"
when = "ok"
reply = "Say what stands against it."

[[option]]
text = "{answer}"
when = "{kind} {answer}"
~~~
~~~hint
where: Look at what the command asks for, and at the flags of what it asks of.
what: Who could refuse it, and on what ground?
next: It is refused.
show: {answer}.
~~~

"""


def _yes_no(name: str, command: Command, rule: str) -> str:
    """Whether it breaks a rule."""
    return f"""~~~predict
id = "{name}"
kind = "yes/no"
ask = "Does `{command.text}` break a rule?"
answer = "violation {rule}"
right = "Say which, and what it means."
otherwise = "It breaks {rule}: say why."
~~~
~~~hint
where: The rules.
what: Who believes what about that page, and is it still so?
next: Think of {rule}.
show: yes.
~~~

"""


def _goal(name: str, setting: Sequence[Command], played: Sequence[Command], state: State) -> str:
    """A goal: what is true at the end of the script and was not at its beginning."""
    held = sorted(state.references)
    if not held:
        return ""
    text = _wrapped("Now you: bring it about once more.")
    checks = "\n".join(f"expect held {reference}  # a reference {reference} is held" for reference in held)
    commands = "\n".join(_solution(setting, played, held))
    return f"""{text}

~~~world {name}
~~~

~~~goal id={name}-again
{checks}
~~~
~~~solution
{commands}
~~~
~~~hint
where: Which of the commands above changes what is asked for?
what: Their order matters.
~~~
"""


def _solution(setting: Sequence[Command], played: Sequence[Command], held: Sequence[str]) -> list[str]:
    """What of the script leads to the references that are held at its end; or less, if less is found."""
    standing = power_on()
    for command in setting:
        standing = try_out(standing, command.text)[-1].standing
    checks = tuple(GoalCheck(f"held {reference}", "", 1) for reference in held)
    way: Found = tuple(command.text for command in played)
    solution: list[str] = []
    while way:
        solution = list(way)
        goal = Goal("", checks, 1, tuple(Line(text, 1) for text in solution))
        way, _ = shortest(goal, standing, len(solution), FEW_PLAYS)
    return solution


def _after(played: Sequence[Command]) -> str:
    """The end of the lesson."""
    return f"""~~~after
Say what follows from it.

To try in the sandbox: `{played[-1].text}`, and press `x`: every schedule from there.
~~~
"""
