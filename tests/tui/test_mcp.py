"""`ptescope mcp`: the tools as another program sees them, through the client of the official package, in memory."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

import pytest

from model.script.parser import parse
from model.script.runner import Runner
from tests.tui.driver_texts import EARLY_FREE
from tui.cli import main

if TYPE_CHECKING:
    from mcp import Client

pytestmark = pytest.mark.skipif(find_spec("mcp") is None, reason="the extra `mcp` is not installed")

STALE = """process p0
device nic
mmap p0 buf anon private rw 1
write p0 buf 1
may 1 gup p0 buf as=r write by=nic
may 1 madvise p0 buf dontneed
may 1 dma r write 65
"""


@pytest.fixture(autouse=True)
def _in_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a process of its own would do; that there is one is tested in test_subprocess_job."""

    async def run_here(work: Callable[..., None], *arguments: object) -> AsyncIterator[object]:
        told: list[object] = []
        work(told.append, *arguments)
        for one in told:
            yield one

    monkeypatch.setattr("tui.tools.server.run_in_process", run_here)
    monkeypatch.setattr("tui.tools.work.limit_memory", lambda _: None)


@asynccontextmanager
async def client(seconds: int = 60, most_states: int = 100_000) -> AsyncIterator["Client"]:
    from mcp import Client

    from tui.tools.server import server

    async with Client(server(seconds, 4096, most_states)) as one:
        yield one


async def asked(tool: str, seconds: int = 60, **arguments: object) -> dict[str, Any]:
    """The answer of a tool, or {"error": text}."""
    async with client(seconds, 2_000 if tool == "review" else 100_000) as one:
        result = await one.call_tool(tool, arguments)
    if result.is_error:
        return {"error": "".join(getattr(part, "text", "") for part in result.content)}
    found: dict[str, Any] = result.structured_content or {}
    return found


async def test_the_tools_say_what_they_want() -> None:
    async with client() as one:
        known = {tool.name: tool for tool in (await one.list_tools()).tools}
    assert set(known) == {"run", "explore", "review"}
    assert known["run"].input_schema["required"] == ["script"]
    assert "`use FILE` is refused" in known["explore"].input_schema["properties"]["script"]["description"]


async def test_a_search_and_the_way_that_it_found() -> None:
    found = await asked("explore", script=STALE)
    assert (found["exit_status"], found["complete"], found["ended"]) == (1, True, None)
    worst = found["violations"][0]
    assert worst["severity"] == "corruption"
    again = await asked("run", script=worst["script"])
    assert worst["invariant"] in {one["invariant"] for one in again["violations"]}


async def test_a_run_tells_what_did_not_hold_and_no_more_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    script = "process p0\nmmap p0 a anon private rw 1\nread p0 a\nexpect value 3\n"
    told = await asked("run", script=script, state="changes")
    assert (told["held"], told["commands_left_out"], len(told["commands"])) == (False, 0, 4)
    monkeypatch.setattr("tui.tools.work.MOST_ANSWER", 300)
    assert (await asked("run", script=script))["commands_left_out"] > 0


async def test_a_review_of_a_driver_that_is_written_out() -> None:
    found = await asked("review", driver=EARLY_FREE, kernel="6.1")
    assert (found["driver"], found["worst"]) == ("mine", "corrupts")
    worst = found["cells"][0]
    runner = Runner()
    last = [runner.perform(command) for command in parse(worst["trace"])][-1]
    assert worst["invariant"] in {one.invariant for one in last.violations}
    assert all("scene" not in cell for cell in found["cells"] if cell["outcome"] == "safe")


@pytest.mark.parametrize(
    ("tool", "arguments", "said"),
    [
        ("run", {"script": "use /etc/passwd\n"}, "script:1:1: `use` reads no file here"),
        ("run", {"script": "porcess p0\n"}, "did you mean `process`?"),
        ("explore", {"script": "process p0\n"}, "nothing may happen"),
        ("explore", {"script": "process p0\nmay 1 exit p9\n"}, "p9"),
        ("review", {"driver": "qlx"}, "did you mean `qxl`?"),
        ("review", {"driver": "driver mine\nlike nobody\n"}, "driver:2:1"),
        ("review", {"driver": "driver qxl\nmap at=fault insert=pfn\n"}, "choose another name"),
        ("review", {"driver": "qxl", "kernel": "2.4"}, "expected 6.18"),
        ("run", {"script": "#" * 300_000}, "at most 200000"),
        ("explore", {"script": STALE, "preemptions": -1}, "greater than or equal to 0"),
    ],
)
async def test_what_is_wrong_is_said(tool: str, arguments: dict[str, Any], said: str) -> None:
    assert said in (await asked(tool, **arguments))["error"]


async def test_what_a_review_needs_beforehand_is_bounded_too(monkeypatch: pytest.MonkeyPatch) -> None:
    """To find what an operation needs others are tried, in a process of its own: the server goes on meanwhile."""

    async def never_done(work: Callable[..., None], *_arguments: object) -> AsyncIterator[object]:
        asked_for.append(work.__name__)
        await asyncio.sleep(60)
        yield None

    asked_for: list[str] = []
    monkeypatch.setattr("tui.tools.server.run_in_process", never_done)
    told = await asked("review", seconds=0, driver="panfrost")
    assert "it took more than 0 seconds" in told["error"]
    assert asked_for == ["review_scenes"]


async def test_a_search_ends_when_its_time_is_up() -> None:
    found = await asked("explore", seconds=0, script=STALE.replace("may 1", "may *"))
    assert (found["complete"], found["ended"], found["exit_status"]) == (False, "it took more than 0 seconds", 3)


async def test_a_search_that_does_not_ask_for_the_time_is_broken_off(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tui.tools.work.OVERDUE", 0.05)
    monkeypatch.setattr("model.search.strategy.Strategy.run", lambda _self, **_: time.sleep(60))
    found = await asked("explore", seconds=0, script=STALE)
    assert (found["complete"], found["ended"], found["exit_status"]) == (False, "it took more than 0 seconds", 3)
    assert set(found["verdicts"].values()) == {None}


async def test_of_very_many_mistakes_the_first_are_told() -> None:
    told = (await asked("run", script="raed p0 a\n" * 5_000))["error"]
    assert told.endswith("and 4950 more problems")


def test_without_the_package_it_says_how_to_get_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tui.commands.mcp.find_spec", lambda name: None if name == "mcp" else find_spec(name))
    assert main(["mcp"]) == 2
    assert (
        capsys.readouterr().err
        == "ptescope mcp needs the official package of the protocol: pip install 'ptescope[mcp]'\n"
    )
