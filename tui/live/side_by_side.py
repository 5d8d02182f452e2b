"""A script on the model and on the kernel of this machine, command by command, each looked at after every command.

What cannot be done on the real kernel is done on neither, so that both machines always stand where the same commands
have brought them.
"""

import errno
import platform
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import Any, Final, NamedTuple, Self, cast

import msgspec

from lessons.i18n.language import tr
from model.engine.config import SETTINGS
from model.memory.errno import ERRNO_NAMES
from model.memory.folio import HUGE_ALONE, ORDERS_OF_SIZE
from model.memory.state import State
from model.replay import deltas
from model.replay.compare import Played, as_seen, differences
from model.replay.machine import Reply
from model.replay.observe import HeldReference, Observation, Observer
from model.replay.recording import OpResult
from model.replay.visible import visible
from model.script.command import Command
from model.script.context import Outcome
from model.script.parser import parse_line
from model.script.scope import Scope
from model.session.session import Session
from tui.live import ksmd
from tui.live.actions import ACTIONS, Answer, AskedCommand, KernelCall, Live
from tui.live.kernel_memory import KernelMemory, unreadable
from tui.live.possible import huge_pages_missed, mthp, overcommit, pool, why_not
from tui.live.sight import Looking, may_see_frames
from tui.live.workers import WorkerLostError, Workers

NO_FRAMES: Final[Mapping[str, int]] = MappingProxyType({})


class FieldDifference(NamedTuple):
    """A field in which the two machines differ."""

    field: str
    """`result`, `procs.p0.ptes.16`, `phys.P0` …"""
    kernel: Any
    model: Any


class Compared(NamedTuple):
    """One command on both machines."""

    command: Command
    skipped: str
    """Why it was carried out on neither; empty if it was on both."""
    model: Outcome
    kernel: Answer
    differences: tuple[FieldDifference, ...]
    ops: tuple[dict[str, Any], ...]
    """As a recording has it, with result and state; none where it was skipped."""
    looks: tuple[Observation, Observation] = (Observation(), Observation())
    """What was seen after it: of the kernel, of the model."""
    frames: Mapping[str, int] = NO_FRAMES
    """The model's frames by the names that both have in `looks`."""
    node: int = 0
    """Of the model's history, after it."""


class Machines:
    """The two machines side by side. A context manager: leaving it ends every process that it has started."""

    def __init__(self, *, privileged: bool | None = None, allow_system: bool = False) -> None:
        self.allow_system = allow_system
        """Settings of the whole machine may be changed, and are put back."""
        self.scanned = False
        self.huge = False
        """Huge pages were asked for."""
        self.workers = Workers()
        self.observer = Observer(arena=0)
        self.looking = Looking(
            self.workers,
            privileged=may_see_frames() if privileged is None else privileged,
            memory=None if privileged is False or unreadable() else KernelMemory(),
            orders=ORDERS_OF_SIZE.get(mthp(), HUGE_ALONE),
        )
        self.session = Session()
        self.processes: list[str] = []
        self.held: dict[str, HeldReference] = {}
        self.kernel_look, self.model_look = Observation(), Observation()
        self.kernel = nearest_kernel()
        """The model's kernel."""
        for setting in (
            f"kernel {self.kernel}",
            f"swap {swap()}",
            f"hugetlb {pool()}",
            f"hugetlb-overcommit {overcommit()}",
            f"mthp {mthp()}",
        ):
            line = f"set {setting}"
            self._on_the_model(cast("Command", parse_line(line, Scope())))

    def __enter__(self) -> Self:
        """Nothing runs yet."""
        self.workers.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End and close everything."""
        self.looking.close()
        self.workers.__exit__(kind, error, trace)
        if self.scanned:
            ksmd.forget_the_dead()

    def perform(self, command: Command) -> Compared:
        """Carry one command out on both. Raises WorkerLostError where a process of the real kernel is lost."""
        before = self.session.state
        skipped = why_not(command, before, self.workers, allow_system=self.allow_system)
        if skipped:
            return Compared(command, skipped, Outcome(), "", (), ())
        self.observer.freed.clear()
        outcome = self._on_the_model(command)
        after = self.session.state
        if command.verb not in ACTIONS:
            return Compared(command, "", outcome, "ok", (), ())
        created = tuple(name for name in after.files if name not in before.files)
        asked = AskedCommand(command, before, outcome, created)
        action = ACTIONS[command.verb](Live(self.workers, self.looking.took, self.looking.dropped), asked)
        self.huge = self.huge or action.op.get("advice") in ("HUGEPAGE", "COLLAPSE")
        missed = huge_pages_missed() if self.huge else 0
        self.scanned = self.scanned or action.op["op"] == "ksm_scan"
        try:
            done = action.do()
            answer = cast("Answer", done) if action.valued else "ok"
        except OSError as error:
            number = error.errno or 0  # Python does not know EHWPOISON
            answer = errno.errorcode.get(number) or ERRNO_NAMES.get(number, str(number))
        self._keep_books(after)
        found = self._compare(command, outcome, answer, action)
        if found.differences and self.huge and huge_pages_missed() != missed:
            raise WorkerLostError(tr("this machine had no free huge page just then, or khugepaged made one"))
        return found

    def _on_the_model(self, command: Command) -> Outcome:
        """Every micro-step is watched: a frame may be freed and allocated again within one command."""
        before = self.session.node.depth
        node = self.session.perform(command)
        for made in self.session.timeline.path_to(node)[before + 1 :]:
            self.observer.watch(made.changes)
        return node.outcome or Outcome()

    def _keep_books(self, state: State) -> None:
        """Who is alive and what is held, as the recorder notes it."""
        self.processes = [name for name in self.processes if name in state.processes]
        self.processes += [name for name in state.processes if name not in self.processes]
        self.held = {
            name: self.held.get(name) or HeldReference(one.kind, one.process, one.vpn, one.frames)
            for name, one in state.references.items()
        }

    def _compare(self, command: Command, outcome: Outcome, answer: Answer, action: KernelCall) -> Compared:
        seen = self.looking.seen
        model = self.observer.look(self.session.state, self.processes, self.held, {})
        kernel = self.looking.look(self.observer.freed)
        reply = as_reply(outcome, action.op)
        theirs = deltas.delta(self.kernel_look, kernel, self.looking.freed)
        kernel_answer = OpResult(result=answer, state=theirs)
        played = as_seen(Played(reply, self.model_look, model, list(self.observer.freed)), seen, kernel)
        found = tuple(
            FieldDifference(*one) for one in differences(kernel_answer, visible(kernel, seen, kernel), played)
        )
        self.kernel_look, self.model_look = kernel, model
        done = {"result": answer, "state": msgspec.to_builtins(theirs)}
        before = tuple(op | {"result": "ok", "state": {}} for op in action.before)
        return Compared(
            command,
            "",
            outcome,
            answer,
            found,
            (*before, action.op | done),
            (kernel, model),
            {name: pfn for pfn, name in self.observer.names.items()},
            self.session.node.number,
        )


def as_reply(outcome: Outcome, op: dict[str, Any]) -> Reply:
    """The model's answer as a recording writes it."""
    match outcome.status:
        case "error":
            return Reply(outcome.errno)
        case "signal":
            return Reply(outcome.signal, outcome.si_code)
        case "ok" if op["op"] == "mremap" and outcome.value is not None:
            return Reply(outcome.value if op.get("to", -1) >= 0 or outcome.value == op["at"] else "moved")
        case "ok" if op["op"] == "get":
            return Reply(op["pages"])
        case "ok" if op["op"] == "file_read" and outcome.value is None:
            return Reply("EOF")
        case "ok" if op["op"] in VALUED and outcome.value is not None:
            return Reply(outcome.value)
        case "ok":
            return Reply("ok")
        case _:
            return Reply(str(outcome))


VALUED: Final = ("read", "file_read", "dma_read", "peek", "remote_read", "odirect_out")
"""Ops whose result is a value."""


def nearest_kernel() -> str:
    """The model's kernel that is nearest to the one at hand: the newest that is not newer, or the oldest there is."""
    release = re.match(r"([0-9]{1,4})\.([0-9]{1,4})", platform.release())  # 6.18+, 7.0-rc1
    here = tuple(map(int, release.groups())) if release else (0, 0)
    known = sorted(SETTINGS["kernel"].values, key=lambda name: tuple(map(int, name.split("."))))
    older = [name for name in known if tuple(map(int, name.split("."))) <= here]
    return older[-1] if older else known[0]


def swap() -> str:
    """The swap space at hand, in the model's words."""
    try:
        lines = Path("/proc/swaps").read_text(encoding="ascii", errors="replace").splitlines()[1:]
    except OSError:
        return "off"
    if not lines:
        return "off"
    return "zram" if any("zram" in line.split()[0] for line in lines) else "file"


def compare(commands: Iterable[Command], machines: Machines) -> Iterator[Compared]:
    """Each command on both machines. After a process was lost nothing more is carried out."""
    lost = ""
    for command in commands:
        if lost:
            yield Compared(command, lost, Outcome(), "", (), ())
            continue
        try:
            yield machines.perform(command)
        except WorkerLostError as error:
            lost = str(error)
            yield Compared(command, lost, Outcome(), "", (), ())
