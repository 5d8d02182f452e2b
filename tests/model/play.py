"""A script that is written and run piece by piece, and what its machine looks like in between."""

from model.memory.records import Frame
from model.memory.state import State
from model.script.context import Outcome
from model.script.parser import parse
from model.script.runner import Account, Runner


class Play:
    """A machine on which lines of script are run one after the other; `settings` come before every other line."""

    def __init__(self, settings: str, text: str = "") -> None:
        self.lines: list[str] = []
        self.runner = Runner()
        self.accounts: list[Account] = []
        self.do(settings)
        self.do(text)

    @property
    def state(self) -> State:
        """The machine now."""
        return self.runner.context.state

    def do(self, text: str) -> str:
        """Run some more lines; returns the answer of the last one."""
        self.lines += text.strip().splitlines()
        for command in parse("\n".join(self.lines))[len(self.accounts) :]:
            self.accounts.append(self.runner.perform(command))
        return str(self.accounts[-1].outcome) if self.accounts else ""

    def try_out(self, line: str) -> Outcome:
        """What a command would answer; it is done on a machine of its own."""
        return self.runner.copy().perform(parse("\n".join([*self.lines, line]))[-1]).outcome

    def frame(self, pfn: int) -> Frame:
        """struct page; a free one has nothing in it."""
        return self.state.frames.get(pfn) or Frame()

    def broken(self) -> set[str]:
        """Everything that has gone wrong so far."""
        return {violation.invariant for account in self.accounts for violation in account.violations}
