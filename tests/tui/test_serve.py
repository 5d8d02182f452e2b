"""`ptescope serve` from outside: real browsers, a room with votes and hand-ins, and those who may not come in."""

import asyncio
import json
import os
import signal
import sys
from argparse import ArgumentParser
from asyncio.subprocess import Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from lessons.file.library import find
from lessons.learner.progress import Store
from lessons.teach import presenter_state as presenting
from lessons.teach.hand_in import parse_hand_in
from tests.tui.browser import CHROMIUM, Browser, browsing, ended, free_port, started, until
from tests.tui.command_line import called
from tests.tui.user import at
from tui.commands import serve
from tui.drivers.opening import lesson_driver

aiohttp = pytest.importorskip("aiohttp", reason="the extra `web` is not installed")

LESSON = "a-reference-is-not-a-mapping"
VOTED = "document.querySelector('#word').textContent"


@asynccontextmanager
async def serving(folder: Path, *options: str, ready: bool = True) -> AsyncIterator[tuple[str, Process]]:
    """A server, and its address. `ready`: it listens already; else a browser may start beside it."""
    port = free_port()
    words = [sys.executable, "-m", "tui", "serve", "--host", "127.0.0.1", "--port", str(port), *options]
    environment = os.environ | {"TMPDIR": str(folder), "XDG_RUNTIME_DIR": str(folder), "XDG_DATA_HOME": str(folder)}
    server = await started(words, environment)
    try:
        if ready:
            await until(port)
        yield f"http://127.0.0.1:{port}", server
    finally:
        await ended(server)


async def so(browser: Browser, expression: str, seconds: float = 15) -> None:
    """Wait until an expression is true."""
    for _ in range(int(seconds * 10)):
        if await browser.value(f"Boolean({expression})"):
            return
        await asyncio.sleep(0.1)
    raise AssertionError(f"never true in the browser: {expression}")


async def guessed(folder: Path) -> str:
    """What the only visitor has answered, as soon as it is kept."""
    for _ in range(150):
        files = await asyncio.to_thread(lambda: [*folder.rglob("ptescope/progress.json")])
        text = "".join([await asyncio.to_thread(file.read_text) for file in files])
        if "guesses" in text:
            return text
        await asyncio.sleep(0.1)
    raise AssertionError("nothing was kept")


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
async def test_a_served_lesson_has_the_focus_fetches_nothing_and_outlives_a_reload(tmp_path: Path) -> None:
    async with serving(tmp_path, LESSON, ready=False) as (url, _), browsing(tmp_path) as browser:
        await until(int(url.rpartition(":")[2]))
        await browser.ask("Network.enable")
        await browser.ask("Page.navigate", url=f"{url}/")
        await so(browser, "document.body.classList.contains('-first-byte')")
        await so(browser, "document.activeElement.className === 'xterm-helper-textarea'")
        for key, text in (("7", "7"), ("Enter", "\r")):
            await browser.key(key, text)
            await asyncio.sleep(0.8)
        assert '"count-of-a-pin": "7"' in await guessed(tmp_path), "no click was needed"
        sessions = await asyncio.to_thread(running, tmp_path)
        await browser.ask("Page.reload")
        await asyncio.sleep(0.5)
        await so(browser, "document.body.classList.contains('-first-byte')")
        assert await asyncio.to_thread(running, tmp_path) == sessions, "the very same session"
        assert browser.outside == [], "no request to any other machine"
        await browser.value("new Image().src = 'http://outside.example/blocked'")
        await browser.ask("Page.navigate", url="http://outside.example/seen")
        assert [line for line in browser.outside if "blocked" in line] == [], "the page's own policy forbids it"
        assert any("seen" in line for line in browser.outside), "it would have been written down"


def test_a_room_has_a_folder_of_its_own_where_none_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    parser = ArgumentParser()
    serve.add_arguments(parser)
    args = parser.parse_args(["--class", "--port", "8001"])
    serve.announce("localhost", args.port, "", args.room)
    told = capsys.readouterr().out
    assert "Names, votes and work are kept in ptescope-class." in told
    assert "ptescope class collect ptescope-class/hand-ins" in told
    assert parser.parse_args(["--class", "week3"]).room == Path("week3")
    assert parser.parse_args([]).room is None


@pytest.mark.parametrize(
    "text", ["nonsense", "example.org", "ftp://example.org", "http://", "https://[", "http://a b", "http://a:99999"]
)
def test_an_address_for_others_that_is_none_is_refused(text: str) -> None:
    done = called("serve", "--public-url", text)
    assert done.returncode == 2
    assert "--public-url" in done.stderr
    assert f"begins with http:// or https:// and a name, not `{text}`" in done.stderr


def test_an_address_for_others_is_taken() -> None:
    parser = ArgumentParser()
    serve.add_arguments(parser)
    for text in ("https://class.example.org/", "http://10.0.0.7:8000", "http://[2001:db8::1]/"):
        assert parser.parse_args(["--public-url", text]).public_url == text


def running(folder: Path) -> set[int]:
    """The sessions that run in a folder."""
    found = set()
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes()
            here = str((process / "cwd").readlink()).startswith(str(folder))
        except OSError:
            continue
        if here and b"tui.served_session" in words:
            found.add(int(process.name))
    return found


async def loses_the_network_for_a_moment(browser: Browser) -> None:
    """A vote that is lost is said to be, and how it stands is said again afterwards."""
    await browser.value("window.kept = window.fetch; window.fetch = () => Promise.reject()")
    await browser.value("document.querySelector('#answers form').requestSubmit()")
    await so(browser, f"{VOTED}.includes('connection is gone')")
    await browser.value("window.fetch = window.kept")
    await so(browser, f"{VOTED}.includes('vote is in')")


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine")
async def test_two_browsers_vote_the_presenter_sees_it_and_one_hands_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: Store
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    room = tmp_path / "room"
    async with serving(tmp_path, "--class", str(room), ready=False) as (url, _), browsing(tmp_path) as ada:
        await until(int(url.rpartition(":")[2]))
        bob = await ada.apart()
        for browser, name in ((ada, "Ada"), (bob, "Bob")):
            await browser.ask("Page.navigate", url=f"{url}/")
            await so(browser, "document.querySelector('form.join')")
            await browser.value(f"document.querySelector('[name=name]').value = '{name}'")
            await browser.value("document.querySelector('form.join').submit()")
            await so(browser, "document.querySelector('#hand-in')")
        async with at(store, lesson_driver(find(LESSON), store), (100, 30)) as user:
            await user.press("P")
            for browser, answer in ((ada, "1025"), (bob, "2")):
                await so(browser, "document.querySelector('#answers input')")
                assert "What is it after one pin?" in str(
                    await browser.value("document.querySelector('#ask').innerText")
                )
                await so(
                    browser,
                    "document.querySelector('#picture').complete && document.querySelector('#picture').naturalWidth",
                )
                await browser.value(f"document.querySelector('#answers input').value = '{answer}'")
                await browser.value("document.querySelector('#answers form').requestSubmit()")
                await so(browser, f"{VOTED}.includes('vote is in')")
            await loses_the_network_for_a_moment(ada)
            for _ in range(40):
                await user.pilot.pause(0.1)
                if "2 here, 2 voted" in user.seen():
                    break
            assert "2 here, 2 voted" in user.seen()
            await user.press("V")
            assert "1025:1 2:1" in user.seen() or "2:1 1025:1" in user.seen(), "hands may be added"
            await user.press("enter")
            heard = presenting.published()
            assert heard is not None
            assert heard.ballots["count-of-a-pin"].counts == ((1, 1),)
            await so(ada, f"{VOTED}.includes('Vote again')")
            await user.press("s")
            await so(bob, "document.querySelector('#where').textContent.startsWith('section 2')")
            assert not await bob.value("document.querySelector('#answers').children.length"), "nothing is open"
            assert not await bob.value(VOTED), "nor does anything ask for a vote"
            await user.press("q", "e")
        await bob.value("document.querySelector('#hand-in').click()")
        await so(bob, f"{VOTED}.includes('There is nothing to hand in yet')")
        await bob.ask("Page.navigate", url=f"{url}/app")
        await so(bob, "document.activeElement.className === 'xterm-helper-textarea'")
        await so(bob, "document.body.classList.contains('-first-byte')")
        student = next(folder for folder in (room / "students").iterdir() if folder.name.startswith("bob"))
        Store(student / "ptescope" / "progress.json").answered("pte", right=True, seed=3, chosen=1)
        await bob.ask("Page.navigate", url=f"{url}/")
        await so(bob, "document.querySelector('#hand-in')")
        await bob.value("document.querySelector('#hand-in').click()")
        await so(bob, f"{VOTED}.includes('Handed in at')")
        assert ada.outside == [], "nor of a room's pages, in either browser"
        (work,) = (room / "hand-ins").iterdir()
        assert parse_hand_in(work.read_bytes()).name == "Bob"


async def test_nobody_else_comes_in_and_nobody_takes_more_than_their_share(tmp_path: Path) -> None:
    async with (
        serving(tmp_path, "--class", str(tmp_path / "room"), "--sessions", "1") as (url, server),
        aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as ada,
        aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as bob,
    ):
        ours = {"Origin": url}

        async def status(method: str, path: str, **options: object) -> int:
            async with ada.request(method, url + path, allow_redirects=False, **options) as answer:
                return int(answer.status)

        assert await status("GET", "/", headers={"Host": "evil.example"}) == 403, "a name that is pointed at us"
        assert await status("GET", "/", headers={"Host": ""}) == 403, "no name at all"
        assert await status("POST", "/join", data={"name": "Ada"}) == 403, "no page of ours"
        assert await status("POST", "/join", data={"name": "Ada"}, headers={"Origin": "http://evil.example"}) == 403
        assert await status("GET", "/room") == 403
        assert await status("GET", "/ws", headers=ours) == 403, "who has not joined has no session"
        for path in ("/pages/../server.py", "/static/..%2f..%2fetc/passwd", "/download/0"):
            assert await status("GET", path) == 404
        assert await status("POST", "/join", data={"name": "Ada", "word": "x"}, headers=ours) == 303
        async with bob.post(f"{url}/join", data={"name": "ADA"}, headers=ours) as answer:
            assert "ADA is here already" in await answer.text()
        async with bob.post(f"{url}/join", data={"name": "\x1b[2J<b>Bob"}, headers=ours) as answer:
            page = await answer.text()
            assert "<b>Bob" not in page
            assert "&lt;b&gt;Bob" in page
        record = tmp_path / "room" / "class.json"
        record.rename(tmp_path / "kept")
        record.mkdir()
        for _ in range(2):
            async with (
                aiohttp.ClientSession() as eve,
                eve.post(f"{url}/join", data={"name": "Eve"}, headers=ours) as no,
            ):
                assert (no.status, "class.json: " in await no.text()) == (507, True), "said, and no name is taken by it"
        record.rmdir()
        (tmp_path / "kept").rename(record)
        async with bob.post(f"{url}/vote", data={"answer": "1"}, headers=ours) as answer:
            assert (await answer.json())["word"] == "Nothing is being voted on now."
        address = url.replace("http", "ws") + "/ws?width=80&height=24"
        async with ada.ws_connect(address, headers=ours) as first:
            assert (await first.receive(timeout=20)).type == aiohttp.WSMsgType.BINARY
            for junk in ("[", "{}", '["stdin", 3]', '["resize", {"width": "x"}]', "[" * 50_000, '["stdin", "\\ud800"]'):
                await first.send_str(junk)
            async with bob.ws_connect(address, headers=ours) as second:
                closed = await second.receive(timeout=10)
                assert (closed.type, closed.data) == (aiohttp.WSMsgType.CLOSE, 4002), "one session, and Ada has it"
            await first.send_str(json.dumps(["ping", 7]))
            while (message := await first.receive(timeout=10)).type != aiohttp.WSMsgType.TEXT:
                pass
            assert json.loads(message.data) == ["pong", 7], "junk does no harm"
            async with ada.get(f"{url}/teacher") as answer:
                page = await answer.text()
            assert "2 visitors, 1 of 1 sessions" in page
            assert "1 refused" in page
            assert "<td>Ada</td><td>in a session</td>" in page
        assert await asyncio.to_thread(running, tmp_path), "it waits for its browser"
        server.send_signal(signal.SIGKILL)
        for _ in range(100):
            if not await asyncio.to_thread(running, tmp_path):
                return
            await asyncio.sleep(0.1)
        raise AssertionError("a session outlives its server")
