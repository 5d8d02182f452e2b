"""The server: three tools over the Model Context Protocol, by the official package (extra `mcp`)."""

import asyncio
import os
from contextlib import aclosing
from typing import Annotated, Any, Final, Literal

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import Field

from model.compare.cells import MOST_STATES
from model.compare.ranking import QUIET
from model.compare.scenes import DriverRow
from model.driver_files import library
from model.driver_files.resolve import whole
from model.engine.config import SETTINGS
from model.script.own_driver import TAKEN, usable
from model.text.problems import ScriptError, did_you_mean
from tui.jobs.compare import CellBounds, compared
from tui.jobs.compare_cache import Answer
from tui.jobs.subprocess_job import ProcessGoneError, Work, run_in_process
from tui.tools import work
from tui.tools.work import ToolLimits, WorkRefused
from tui.version import __version__
from tui.views.review_table import ReviewResult, as_object

ABOUT: Final = """\
ptescope simulates the Linux memory manager: page tables, reference counts, TLBs, GUP, buffers that move. A script says
what happens, one command a line; `may N COMMAND` lines say what may happen, for `explore`. The language: docs/script.md
of ptescope, or `ptescope run --verbs`. Answers hold for the model and for sequentially consistent memory. No tool reads
or writes a file: a driver of your own is written out, as `driver NAME; LINE; LINE` in a script."""
MOST_SCRIPT: Final = 200_000
"""Characters of a script or driver."""
GRACE: Final = 10
"""Seconds beyond its limit after which a call is ended without an answer."""
Script = Annotated[str, Field(max_length=MOST_SCRIPT, description="the script; `use FILE` is refused")]
DriverName = Annotated[
    str,
    Field(
        max_length=MOST_SCRIPT,
        description="the name of a bundled driver (qxl, vgem, udmabuf …), or the text of a driver file",
    ),
]
Kernel = Annotated[str, Field(description=f"one of {', '.join(SETTINGS['kernel'].values)}")]


def server(seconds: int, memory: int, most_states: int) -> MCPServer[Any]:
    """The server, each call of which may take so many seconds and MiB."""
    made: MCPServer[Any] = MCPServer("ptescope", instructions=ABOUT, version=__version__, log_level="ERROR")
    limits = ToolLimits(seconds, memory, most_states)
    calls = Calls(limits)
    made.tool()(calls.run)
    made.tool()(calls.explore)
    made.tool()(calls.review)
    return made


class Calls:
    """The tools. At most one call a CPU is under way; others wait."""

    def __init__(self, limits: ToolLimits) -> None:
        self.limits = limits
        self.free = asyncio.Semaphore(os.cpu_count() or 1)

    async def run(self, script: Script, state: Literal["none", "changes"] = "none") -> dict[str, Any]:
        """Carry a script out. Returns what each command answered, which rules broke, and whether every `expect` held.

        `state`: with `changes` each command tells what it changed in the machine.
        """
        return await self.answer(work.run, script, state)

    async def explore(
        self, script: Script, preemptions: Annotated[int, Field(ge=0, le=100)] | None = None
    ) -> dict[str, Any]:
        """Search every schedule of what the `may` lines of a script permit, interleaved micro-step by micro-step.

        Returns a verdict for each rule (never, sometimes, always, vacuous, or null where the search ended too early),
        and for each that can be broken a script that replays the way into it. `preemptions`: only the schedules with
        at most so many. `exit_status` is that of `ptescope explore`.
        """
        return await self.answer(work.explore, script, preemptions)

    async def review(self, driver: DriverName, kernel: Kernel = SETTINGS["kernel"].values[0]) -> dict[str, Any]:
        """Review a driver: every grabber against each of its operations, and against fork, munmap, mremap and exit.

        Returns the cells, worst first; of those that are not in order the scene, a script for `explore`, and the
        trace, one for `run`. Where time is up, `not_searched` has the rest.
        """
        if kernel not in SETTINGS["kernel"].values:
            raise ToolError(f"there is no kernel `{kernel}`: expected {', '.join(SETTINGS['kernel'].values)}")
        try:
            row = row_of(driver)
        except ScriptError as error:
            raise ToolError(work.listed(error.problems, "driver")) from None
        states = min(MOST_STATES, self.limits.most_states)
        answers: dict[str, Answer] = {}
        async with self.free:
            due = asyncio.get_running_loop().time() + self.limits.seconds
            scenes: work.ReviewScenes = await self.told(due, work.review_scenes, row, kernel)
            try:
                async with asyncio.timeout_at(due):
                    bounds = CellBounds(states, 1, self.limits.memory)
                    async with aclosing(run_in_process(compared, list(scenes.asked), bounds)) as coming:
                        async for text, answer in coming:  # one by one: what is known when time is up is told
                            answers[text] = answer  # noqa: PERF403
            except TimeoutError:
                pass
            except ProcessGoneError as gone:
                raise ToolError(f"the process that searched is gone: {gone}") from None
        told = as_object(ReviewResult(row.name, kernel, "none", states, scenes.acts, scenes.asked, answers))
        return work.plain({**told, "cells": [_short(cell) for cell in cells_of(told)]})

    async def answer(self, doing: Work, *arguments: object) -> dict[str, Any]:
        """What a function of `work` tells, as JSON has it. Raises ToolError where it has no answer."""
        async with self.free:
            due = asyncio.get_running_loop().time() + self.limits.seconds + GRACE
            return dict(await self.told(due, doing, *arguments))

    async def told(self, due: float, doing: Work, *arguments: object) -> Any:
        """The first thing that a function of `work` tells, up to a time of the loop. Raises ToolError."""
        try:
            async with asyncio.timeout_at(due):
                async with aclosing(run_in_process(doing, self.limits, *arguments)) as coming:
                    async for told in coming:
                        if isinstance(told, WorkRefused):
                            raise ToolError(told.why)
                        return told
        except TimeoutError:
            raise ToolError(f"it took more than {self.limits.seconds} seconds, and has no answer yet") from None
        except ProcessGoneError as gone:
            raise ToolError(f"the process that did it is gone: {gone}") from None
        raise ToolError("the process that did it said nothing")


def row_of(driver: str) -> DriverRow:
    """What is to be reviewed. Raises ToolError and ScriptError."""
    names = library.bundled()
    if driver.strip() in names:
        return DriverRow((driver.strip(),))
    if not driver.lstrip().startswith("driver "):
        hint = did_you_mean(driver, names) or f": {', '.join(names)}"
        raise ToolError(f"no bundled driver is called that, and a text would begin with `driver NAME`{hint}")
    name = whole(driver).name
    if name in names:
        raise ToolError(TAKEN.format(name=name))
    return DriverRow((usable(driver).name,), text=driver)


def cells_of(told: dict[str, object]) -> list[dict[str, object]]:
    """The cells of a review as an object."""
    cells = told["cells"]
    assert isinstance(cells, list)
    return cells


def _short(cell: dict[str, object]) -> dict[str, object]:
    """A cell that is in order, without its scene."""
    return {key: value for key, value in cell.items() if cell["outcome"] not in QUIET or key not in {"scene", "trace"}}
