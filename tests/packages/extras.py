"""What the extras bring, used as others use it: a program that speaks the protocol, a browser that fetches the page."""

import json
import re
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from tests.packages.journeys import PATIENCE, environment

ASKED: Final = (
    {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
    },
    {"jsonrpc": "2.0", "method": "notifications/initialized"},
    {"jsonrpc": "2.0", "id": 2, "method": "tools/list"},
    {
        "jsonrpc": "2.0",
        "id": 3,
        "method": "tools/call",
        "params": {"name": "run", "arguments": {"script": "process p0\n"}},
    },
)
TOOLS: Final = {"run", "explore", "review"}


def trouble_with_mcp(program: str, folder: Path) -> Iterator[str]:
    """Ask `ptescope mcp` for its tools, and let it run a script; what is wrong."""
    with subprocess.Popen(
        [program, "mcp"],
        cwd=folder,
        env=environment(folder, {}),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdin is not None
        assert server.stdout is not None
        assert server.stderr is not None
        answers: dict[int, dict[str, object]] = {}
        for asked in ASKED:
            server.stdin.write(json.dumps(asked) + "\n")
            server.stdin.flush()
            while "id" in asked and asked["id"] not in answers:
                line = server.stdout.readline()
                if not line:
                    yield f"mcp: it ended: {server.stderr.read()[-300:].strip()}"
                    return
                answer = json.loads(line)
                answers[answer.get("id", 0)] = answer
        server.stdin.close()
        server.wait(timeout=PATIENCE)
    listed = json.dumps(answers[2])
    if missing := [tool for tool in sorted(TOOLS) if f'"name": "{tool}"' not in listed]:
        yield f"mcp: there is no tool {missing}"
    if '"isError": true' in json.dumps(answers[3]) or "process p0" not in json.dumps(answers[3]):
        yield f"mcp: run answers {json.dumps(answers[3])[:300]}"


def trouble_with_serve(program: str, folder: Path, port: int) -> Iterator[str]:
    """Let `ptescope serve` give its page, and end it with Ctrl+C; what is wrong."""
    address = f"http://localhost:{port}/"
    with subprocess.Popen(
        [program, "serve", "--port", str(port)],
        cwd=folder,
        env=environment(folder, {}),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as server:
        page, deadline = "", time.monotonic() + PATIENCE
        while not page and server.poll() is None and time.monotonic() < deadline:
            try:
                with urllib.request.urlopen(address, timeout=10) as answer:
                    page = answer.read().decode()
            except urllib.error.HTTPError as error:
                page = f"{error.code} {error.reason}"
            except OSError:
                time.sleep(0.2)
        server.send_signal(signal.SIGINT)
        said, _ = server.communicate(timeout=PATIENCE)
    if not re.search(r"<html", page, re.IGNORECASE):
        yield f"serve: no page but `{page[:200]}`; it says {said[-300:].strip()}"
    if server.returncode not in {0, 130}:
        yield f"serve: Ctrl+C ends it with status {server.returncode}: {said[-300:].strip()}"
