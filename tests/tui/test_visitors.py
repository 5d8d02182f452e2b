"""Visitors who mean no good: what they take of the server, and that it is given back."""

import asyncio
import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from aiohttp.http_exceptions import BadHttpMessage

from tui.web import server, visitors
from tui.web.server import Complaints, Serving, WebServer
from tui.web.visitors import Visitor, VisitorLimits, Visitors


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The time, to be set."""
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


async def test_who_left_without_a_session_is_forgotten_and_a_student_is_not(clock: list[float]) -> None:
    here = Visitors(["false"], VisitorLimits(), lambda: None)
    for number in range(50):
        here.visitor(f"token {number}", Path())
    here.visitor("joined", Path(), "Ada")
    await here.tidy()
    assert len(here.known) == 51
    clock[0] += visitors.LINGER + 1
    here.visitor("token 7", Path())
    await here.tidy()
    assert sorted(here.known) == ["joined", "token 7"], "heard of just now, or with a name"


async def test_who_finds_no_room_takes_no_place() -> None:
    here = Visitors(["false"], VisitorLimits(sessions=0), lambda: None)
    stranger, ada = here.visitor("stranger", Path()), here.visitor("joined", Path(), "Ada")
    for visitor in (stranger, ada):
        assert not await here.attach(visitor, FakeSocket(), 80, 24)  # type: ignore[arg-type]
    assert (list(here.known), here.refused) == (["joined"], 2)


class FakeSocket:
    """A browser's socket that nobody listens to."""

    closed = True


async def test_what_is_typed_faster_than_anybody_types_waits(
    clock: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    waited: list[float] = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)
        clock[0] += seconds

    monkeypatch.setattr(asyncio, "sleep", sleep)
    visitor = Visitor("token", Path())
    for _ in range(100):
        await visitor.may_type(1)
        clock[0] += 0.01
    await visitor.may_type(visitors.PASTE // 2)
    assert waited == [], "a hand, and a paste"
    began = clock[0]
    for _ in range(50):
        await visitor.may_type(visitors.PASTE)
    assert clock[0] - began > 45 * visitors.PASTE / visitors.TYPED


def test_a_connection_that_asks_for_nothing_is_closed(clock: list[float], tmp_path: Path) -> None:
    class Connection:
        closed = False

        def force_close(self) -> None:
            self.closed = True

    silent, speaks = Connection(), Connection()
    http = SimpleNamespace(connections=[silent, speaks])
    web = WebServer(Serving([], tmp_path, "localhost", 0, VisitorLimits()), lambda _: None)
    vars(web)["_http"] = http
    web._close_silent()
    web._asked.add(speaks)  # type: ignore[arg-type]
    clock[0] += server.PATIENCE / 2
    late = Connection()
    http.connections.append(late)
    web._close_silent()
    clock[0] += server.PATIENCE / 2 + 1
    web._close_silent()
    assert [one.closed for one in (silent, speaks, late)] == [True, False, False]
    http.connections.clear()
    web._close_silent()
    assert (web._asked, web._silent) == (set(), {}), "nothing of them is kept"


def test_nonsense_of_visitors_is_no_traceback_for_the_teacher(capsys: pytest.CaptureFixture[str]) -> None:
    log = logging.getLogger("a library")
    log.addHandler(Complaints())
    errors: list[Any] = [BadHttpMessage("\x1b[2J"), BrokenPipeError(), KeyError("\x1b[2J")]
    for error in errors:
        log.error("Error handling request", exc_info=error)
    log.warning("pipe closed by peer")
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert "this is a bug in ptescope: KeyError" in said
    assert "\x1b" not in said
