"""What the script language knows between two commands: the machine, the tasks that were begun, the last answer."""

from typing import Literal

import msgspec

from model.invariants.violation import Violation
from model.memory.errno import ERRNO_NAMES
from model.memory.state import State
from model.script.command import Command

Status = Literal["ok", "error", "signal", "blocked", "failed"]
"""`failed` is an expectation that does not hold; the others are the kernel's answers."""


class Outcome(msgspec.Struct, frozen=True, omit_defaults=True):
    """How a command ended."""

    status: Status = "ok"
    value: int | None = None
    is_page: bool = False
    """The value is the number of a virtual page."""
    errno: str = ""
    signal: str = ""
    si_code: str = ""
    on: str = ""
    """What a task waits for."""
    message: str = ""
    """What else a reader should know: what does not exist, what was found instead …"""

    def to_json(self) -> dict[str, object]:
        """The `result` of the trace contract."""
        result: dict[str, object] = {"status": self.status}
        match self.status:
            case "ok" if self.value is not None:
                result["value"] = self.value
            case "error":
                result["errno"] = self.errno
            case "signal":
                result["signal"] = self.signal
            case "blocked":
                result["on"] = self.on
            case "failed":
                result["message"] = self.message
            case _:
                pass
        return result

    def in_words(self) -> str:
        """In words, as a reader is told it.

        >>> Outcome("ok", 16, is_page=True).in_words()
        'ok: page 16'
        """
        return f"ok: page {self.value}" if self.is_page else str(self)

    def __str__(self) -> str:
        """In words, as scripts write it.

        >>> str(Outcome("ok", 65)), str(Outcome("error", errno="EFAULT"))
        ('ok 65', 'error EFAULT')
        """
        match self.status:
            case "ok":
                return "ok" if self.value is None else f"ok {self.value}"
            case "error":
                return f"error {self.errno}"
            case "signal":
                return f"signal {self.signal}"
            case "blocked":
                return f"blocked on {self.on}"
            case "failed":
                return self.message


OK = Outcome()


def refused(errno: int, message: str = "") -> Outcome:
    """The answer `error ERRNO`."""
    return Outcome("error", errno=ERRNO_NAMES.get(errno, f"errno {errno}"), message=message)


class Context(msgspec.Struct, frozen=True):
    """Everything that the next command starts from. Immutable, like the State in it: keep it to come back to it."""

    state: State
    begun: dict[str, Command] = {}
    """Task → the command that it runs: it decides how the task's result reads."""
    last: Outcome = OK
    """The answer to the last command that `expect` can ask about."""
    violations: tuple[Violation, ...] = ()
    """What that command broke."""
