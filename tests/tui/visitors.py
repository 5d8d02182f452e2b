"""Visitors of `ptescope serve` that come, play, search and go: how long each waits, and what they take together.

`python -m tests.tui.visitors [--visitors N] [--apart S]` starts a server, lets the visitors come one after the other,
and prints what docs/serving.md says of it. Exit status 1 where somebody was turned away or not answered, where a
visitor's progress is not kept, or where a session outlives the server. Linux only: it asks /proc.
"""

import argparse
import asyncio
import json
import os
import re
import signal
import sys
import tempfile
import time
from asyncio.subprocess import Process
from pathlib import Path
from typing import Final

import aiohttp

from tests.tui.browser import ended, free_port, started, until

LESSON: Final = "a-reference-is-not-a-mapping"
KEYS: Final = ("7", "\r", *("n", "p") * 12)
"""An answer, then forward and back."""
BETWEEN: Final = 1.0
"""Seconds from one key to the next."""
SEARCHES: Final = 5
"""Every so manyth visitor searches as well, in its last seconds."""
FIRST_SCREEN: Final = 2000
"""Bytes after which a first screen is there."""
PATIENCE: Final = 60.0
SEARCHED: Final = 4.0


class Waited:
    """What the visitors have met, in seconds."""

    def __init__(self) -> None:
        self.screens: list[float] = []
        self.keys: list[float] = []
        self.trouble: list[str] = []
        self.most_mib = 0
        self.most_sessions = 0


class VisitingBrowser:
    """What a browser hears of its session."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.socket: Final = socket
        self.bytes = 0
        self.closed = False

    async def listen(self) -> None:
        """Until the socket is closed."""
        async for message in self.socket:
            if message.type == aiohttp.WSMsgType.BINARY:
                self.bytes += len(message.data)
        self.closed = True

    async def hears(self, more: int, what: str) -> float:
        """Seconds until so many bytes have come. TimeoutError, ConnectionError."""
        begun, before = time.monotonic(), self.bytes
        while self.bytes < before + more:
            if self.closed:
                raise ConnectionError(f"turned away ({self.socket.close_code}) instead of {what}")
            if time.monotonic() - begun > PATIENCE:
                raise TimeoutError(f"no answer to {what}")
            await asyncio.sleep(0.005)
        return time.monotonic() - begun

    async def types(self, key: str) -> None:
        """Send a key."""
        await self.socket.send_str(json.dumps(["stdin", key]))


async def visit(number: int, url: str, waited: Waited) -> None:
    """Come, answer, step, perhaps search, and go."""
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as session:
        async with session.get(f"{url}/") as page:
            await page.text()
        address = f"{url.replace('http', 'ws')}/ws?width=100&height=30"
        async with session.ws_connect(address, headers={"Origin": url}, max_msg_size=0) as socket:
            browser = VisitingBrowser(socket)
            listening = asyncio.create_task(browser.listen())
            waited.screens.append(await browser.hears(FIRST_SCREEN, "a first screen"))
            await asyncio.sleep(BETWEEN)
            for key in KEYS:
                answered = asyncio.create_task(browser.hears(1, f"the key {key!r}"))
                await browser.types(key)
                waited.keys.append(await answered)
                await asyncio.sleep(BETWEEN)
            if number % SEARCHES == 0:
                await browser.types("x")
                await asyncio.sleep(SEARCHED)
            listening.cancel()


async def come_later(number: int, apart: float, url: str, waited: Waited) -> None:
    """A visitor whose turn it is after a while; what goes wrong is noted."""
    await asyncio.sleep(number * apart)
    try:
        await visit(number, url, waited)
    except (aiohttp.ClientError, OSError) as error:
        waited.trouble.append(f"visitor {number}: {str(error) or type(error).__name__}")


async def watch(url: str, waited: Waited) -> None:
    """Note how many sessions there are at once, and what they take, as the teacher's page says it."""
    async with aiohttp.ClientSession() as session:
        while True:
            async with session.get(f"{url}/teacher") as page:
                if told := re.search(r"(\d+) of \d+ sessions, (\d+) MiB", await page.text()):
                    waited.most_sessions = max(waited.most_sessions, int(told[1]))
                    waited.most_mib = max(waited.most_mib, int(told[2]))
            await asyncio.sleep(2)


async def let_them_come(visitors: int, apart: float, folder: Path) -> Waited:
    """A server and all of its visitors, from the first to its end."""
    waited, port = Waited(), free_port()
    url, kept = f"http://127.0.0.1:{port}", folder / "kept"
    words = [sys.executable, "-m", "tui", "serve", LESSON, "--host", "127.0.0.1", "--port", str(port)]
    server: Process = await started([*words, "--keep", str(kept)], os.environ | {"TMPDIR": str(folder)})
    try:
        await until(port)
        watching = asyncio.create_task(watch(url, waited))
        await asyncio.gather(*(come_later(number, apart, url, waited) for number in range(visitors)))
        watching.cancel()
        server.send_signal(signal.SIGTERM)
        await asyncio.wait_for(server.wait(), PATIENCE)
    finally:
        await ended(server)
    found = len([*kept.rglob("progress.json")])
    if found != visitors:
        waited.trouble.append(f"progress of {found} visitors is kept, not of {visitors}")
    if left := running(kept):
        waited.trouble.append(f"{len(left)} sessions outlive the server")
    return waited


def running(folder: Path) -> list[int]:
    """Sessions that run in a folder."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            here = str((process / "cwd").readlink()).startswith(str(folder))
            if here and b"tui.served_session" in (process / "cmdline").read_bytes():
                found.append(int(process.name))
        except OSError:
            continue
    return found


def shared(times: list[float], part: float) -> float:
    """The time within which such a part of them was served."""
    return sorted(times)[min(int(len(times) * part), len(times) - 1)] if times else 0.0


def main() -> int:
    """Let them come; exit status 1 where something went wrong."""
    parser = argparse.ArgumentParser(prog="visitors", description=(__doc__ or "").partition(":")[0])
    parser.add_argument("--visitors", type=int, default=50, metavar="N")
    parser.add_argument("--apart", type=float, default=0.5, metavar="S", help="seconds between two who come")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        waited = asyncio.run(let_them_come(args.visitors, args.apart, Path(folder)))
    for name, times in (("first screen", waited.screens), ("key", waited.keys)):
        median, most = shared(times, 0.5), shared(times, 0.95)
        sys.stdout.write(f"{name}: {len(times)}, median {median:.3f} s, 95 % within {most:.3f} s\n")
    sys.stdout.write(f"at most {waited.most_sessions} sessions at once, {waited.most_mib} MiB together\n")
    sys.stdout.write("".join(f"{line}\n" for line in waited.trouble))
    return bool(waited.trouble)


if __name__ == "__main__":
    sys.exit(main())
