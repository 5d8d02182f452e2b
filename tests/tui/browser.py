"""A real browser without a window, for what is made to be seen in one."""

import asyncio
import base64
import contextlib
import os
import re
import shutil
import signal
import socket
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import pytest

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    import aiohttp

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


ERRANDS = re.compile(r"\b((clients2|accounts)\.google\.com|(update|content-autofill|\w+-pa)\.googleapis\.com)\b")
"""What the browser asks by itself, whatever it shows."""


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Browser:
    """Chromium without a window, told what to do over its debugging port."""

    def __init__(self, socket_: "aiohttp.ClientWebSocketResponse", session: "aiohttp.ClientSession", port: int) -> None:
        self.socket = socket_
        self.session = session
        self.port = port
        self.number = 0
        self.outside: list[str] = []
        """What was asked of other hosts, by any page of this browser."""

    async def apart(self) -> "Browser":
        """Another browser, which shares no cookie with this one: a context of its own in the same program."""
        async with self.session.get(f"http://127.0.0.1:{self.port}/json/version") as found:
            whole = (await found.json())["webSocketDebuggerUrl"]
        above = Browser(await self.session.ws_connect(whole, max_msg_size=0), self.session, self.port)
        context = (await above.ask("Target.createBrowserContext"))["browserContextId"]
        page = await above.ask("Target.createTarget", url="about:blank", browserContextId=context)
        address = f"ws://127.0.0.1:{self.port}/devtools/page/{page['targetId']}"
        return Browser(await self.session.ws_connect(address, max_msg_size=0), self.session, self.port)

    async def ask(self, method: str, **params: object) -> dict[str, Any]:
        """One command, and its result."""
        self.number += 1
        await self.socket.send_json({"id": self.number, "method": method, "params": params})
        while True:
            answer = await self.socket.receive_json(timeout=20)
            if answer.get("id") == self.number:
                return cast("dict[str, Any]", answer.get("result", {}))

    async def key(self, key: str, text: str = "") -> None:
        """Press a key, which types `text`."""
        await self.ask("Input.dispatchKeyEvent", type="keyDown" if text else "rawKeyDown", key=key, text=text)
        await self.ask("Input.dispatchKeyEvent", type="keyUp", key=key)

    async def value(self, expression: str) -> object:
        """What an expression of JavaScript is worth."""
        found = await self.ask("Runtime.evaluate", expression=expression, returnByValue=True)
        return found.get("result", {}).get("value")

    async def picture(self) -> bytes:
        """What is in the window; nothing while a page is being loaded."""
        return base64.b64decode((await self.ask("Page.captureScreenshot")).get("data", ""))


async def until(port: int) -> None:
    """Somebody listens there."""
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        await asyncio.sleep(0.05)
    raise TimeoutError(f"nobody listens at {port}")


async def started(words: list[str], environment: dict[str, str]) -> asyncio.subprocess.Process:
    """A program in the background, whose output nobody reads."""
    nowhere = asyncio.subprocess.DEVNULL
    return await asyncio.create_subprocess_exec(
        *words, stdout=nowhere, stderr=nowhere, env=environment, start_new_session=True
    )


@asynccontextmanager
async def browsing(folder: Path) -> "AsyncIterator[Browser]":
    """A browser at an empty page, with its profile in a folder; the network ends at this machine.

    Whatever is asked of another host goes to a proxy that writes it down and answers nothing.
    """
    aiohttp = pytest.importorskip("aiohttp", reason="the extra `web` is not installed")
    assert CHROMIUM is not None
    port = free_port()
    outside: list[str] = []

    open_connections: set[asyncio.StreamWriter] = set()

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_connections.add(writer)
        asked = (await reader.readline()).decode(errors="replace").strip()
        if asked and not ERRANDS.search(asked):
            outside.append(asked)
        writer.close()

    nothing = await asyncio.start_server(refuse, "127.0.0.1", 0)
    cut = f"--proxy-server=http://127.0.0.1:{nothing.sockets[0].getsockname()[1]}"
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--window-size=1200,800", "--remote-allow-origins=*"]
    flags += [cut, "--disable-background-networking", "--disable-component-update", "--no-first-run", "--disable-sync"]
    options = [f"--user-data-dir={folder / 'profile'}", f"--remote-debugging-port={port}", "about:blank"]
    # Chromium puts a socket into the folder for temporary files, and a socket's path has 107 bytes at most.
    process = await started([CHROMIUM, *flags, *options], dict(os.environ))
    try:
        await until(port)
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json") as found:
                page = next(one for one in await found.json() if one["type"] == "page")
            async with session.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=0) as connection:
                browser = Browser(connection, session, port)
                browser.outside = outside
                yield browser
    finally:
        await ended(process)
        nothing.close()
        # A browser may connect and die before it asks: close that end here, while the loop still runs.
        for writer in open_connections:
            writer.close()
        await asyncio.gather(*(writer.wait_closed() for writer in open_connections), return_exceptions=True)


async def ended(process: asyncio.subprocess.Process) -> None:
    """End a program and all that it has started."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    await process.wait()
