"""`ptescope serve`: the pages, the sockets, and who may use them."""

import asyncio
import contextlib
import json
import logging
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from aiohttp import WSMsgType, web
from aiohttp.http import HttpProcessingError

from lessons.i18n.language import ntr, tr
from lessons.teach.presenter_state import Presented, published
from lessons.teach.room import ClassFolder, RoomError, RoomState, Student, ballot_key, publish_room
from model.text.words import whole_number
from tui.export.picture_svg import Drawing, svg
from tui.export.print_page import prose, words
from tui.session.handing_in import handed_in
from tui.views.row import Row, Span
from tui.views.visible import visible
from tui.web import texts
from tui.web.addresses import is_loopback, is_ours, name_of, same_origin
from tui.web.visitors import (
    HIGHEST,
    LARGEST_MESSAGE,
    PASTE,
    WIDEST,
    Visitor,
    VisitorLimits,
    Visitors,
    taken,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

COOKIE: Final = "ptescope"
KEPT: Final = 30 * 86_400
"""Seconds that a browser remembers who it is."""
MOST_VISITORS: Final = 2_000
POLL: Final = 0.4
"""Seconds between two looks at what the presenter says."""
WAIT: Final = 20.0
"""Seconds that a browser's question waits for something new."""
HERE: Final = 45.0
"""Seconds after which a student that is not heard is not counted as here."""
TIDY: Final = 15.0
LARGEST_FORM: Final = 16_384
PATIENCE: Final = 10.0
"""Seconds in which a new connection must have asked for something, and a form must have come whole."""
UNUSED: Final = 30.0
"""Seconds that a connection is kept for another request."""

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Serving(NamedTuple):
    """What is served to whom."""

    words: "Sequence[str]"
    """What starts a session."""
    folder: Path
    """Where visitors' progress is kept."""
    host: str
    port: int
    limits: VisitorLimits
    allowed: tuple[str, ...] = ()
    """Names under which this machine is known besides its own."""
    public: str = ""
    """The address in front of a proxy."""
    room: ClassFolder | None = None


class WebServer:
    """One server, from its start to Ctrl+C."""

    def __init__(self, serving: Serving, told: Callable[[str], None]) -> None:
        self.serving: Final = serving
        self.told: Final = told
        """Says how things stand, in one line, to the teacher."""
        self.visitors: Final = Visitors(serving.words, serving.limits, self.changed)
        self.where: Presented | None = None
        """What the presenter said last."""
        self.version = 0
        """Rises when the room has something new to show."""
        self._news = asyncio.Event()
        self._seen: tuple[object, ...] = ()
        self._dirty = True
        self._http: web.Server | None = None
        self._asked: set[web.RequestHandler] = set()
        """The connections that have asked for something …"""
        self._silent: dict[web.RequestHandler, float] = {}
        """… and since when the others are known."""

    # -- the application ---------------------------------------------------------------------------

    def application(self) -> web.Application:
        """Routes, checks and background work."""
        application = web.Application(middlewares=[self._checked], client_max_size=LARGEST_FORM)
        static = Path(str(files("textual_serve"))) / "static"
        room = self.serving.room is not None
        application.add_routes(
            [
                web.get("/", self.follow if room else self.terminal),
                web.get("/app", self.terminal),
                web.get("/ws", self.socket),
                web.get("/alive", self.alive),
                web.get("/teacher", self.teacher),
                web.get("/download/{key}", self.download),
                web.static("/static", static),
                web.static("/pages", Path(__file__).with_name("pages")),
            ]
        )
        if room:
            application.add_routes(
                [
                    web.post("/join", self.join),
                    web.get("/room", self.room),
                    web.get("/picture.svg", self.picture),
                    web.post("/vote", self.vote),
                    web.post("/hand-in", self.hand_in),
                ]
            )
        application.cleanup_ctx.append(self._background)
        return application

    async def run(self, ready: asyncio.Event | None = None) -> None:
        """Serve until SIGINT, SIGTERM, or, unless it is ignored, SIGHUP."""
        if not os.environ.get("PTESCOPE_TRACEBACK"):
            for name in ("aiohttp.server", "asyncio"):
                log = logging.getLogger(name)
                log.handlers, log.propagate = [Complaints()], False
        runner = web.AppRunner(self.application(), access_log=None, shutdown_timeout=2, keepalive_timeout=UNUSED)
        await runner.setup()
        self._http = runner.server
        await web.TCPSite(runner, self.serving.host, self.serving.port).start()
        stop = asyncio.Event()
        hang_up = getattr(signal, "SIGHUP", signal.SIGTERM)
        endings = {signal.SIGINT, signal.SIGTERM, hang_up}
        for number in endings if signal.getsignal(hang_up) != signal.SIG_IGN else endings - {hang_up}:
            with contextlib.suppress(NotImplementedError, RuntimeError):
                asyncio.get_running_loop().add_signal_handler(number, stop.set)
        if ready is not None:
            ready.set()
        try:
            await stop.wait()
        finally:
            self._news.set()
            await self.visitors.end()
            await runner.cleanup()

    async def _background(self, _application: web.Application) -> AsyncIterator[None]:
        """What goes on besides requests, from start to end."""
        tasks = [asyncio.create_task(self._tidying()), asyncio.create_task(self._watching())]
        yield
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _tidying(self) -> None:
        """End what nobody needs, and tell the teacher how things stand."""
        last = time.monotonic()
        while True:
            await asyncio.sleep(1)
            self._close_silent()
            if time.monotonic() - last > TIDY:
                last = time.monotonic()
                await self.visitors.tidy()
                self._dirty = True
            if self._dirty:
                self._dirty = False
                self.told(self.status())

    def _close_silent(self) -> None:
        """Close connections that have asked for nothing: aiohttp would keep them for ever."""
        now = time.monotonic()
        there = set(self._http.connections) if self._http is not None else set()
        self._asked &= there
        self._silent = {one: self._silent.get(one, now) for one in there - self._asked}
        for connection, since in self._silent.items():
            if now - since > PATIENCE:
                connection.force_close()

    async def _watching(self) -> None:
        """Follow the presenter, and tell it of the room."""
        told = 0.0
        while self.serving.room is not None:
            await asyncio.sleep(POLL)
            self.where = published()
            where = self.where
            seen: tuple[object, ...] = ()
            if where is not None:
                seen = (
                    where.lesson,
                    where.part,
                    where.shown,
                    where.picture,
                    where.question_id,
                    where.round,
                    where.ballots,
                )
            if seen != self._seen:
                self._seen = seen
                self._turn()
            if self._dirty or time.monotonic() - told > 2:
                told = time.monotonic()
                self._tell_presenter()

    def _turn(self) -> None:
        """Let every waiting browser know that there is something new."""
        self.version += 1
        news, self._news = self._news, asyncio.Event()
        news.set()

    def _tell_presenter(self) -> None:
        room, where = self.serving.room, self.where
        assert room is not None
        now = time.monotonic()
        here = sum(now - one.heard < HERE for one in self.visitors.known.values() if one.name)
        votes = room.votes(where) if where is not None else {}
        handed = sum(1 for _ in room.hand_ins.glob("*.ptework"))
        publish_room(RoomState(time.time(), here, dict(votes), ballot_key(where) if where is not None else "", handed))

    def changed(self) -> None:
        """Something about the visitors is new."""
        self._dirty = True

    def status(self) -> str:
        """How things stand, in one line."""
        running = self.visitors.running
        memory = sum(taken(one.service.pid)[0] for one in running if one.service is not None)
        many = ntr("{n} visitor", "{n} visitors", len(self.visitors.known)).format(n=len(self.visitors.known))
        told = tr("{running} of {most} sessions, {memory} MiB").format(
            running=len(running), most=self.serving.limits.sessions, memory=memory
        )
        refused = tr("{count} refused").format(count=self.visitors.refused) if self.visitors.refused else ""
        return ", ".join(filter(None, (many, told, refused)))

    # -- who may ------------------------------------------------------------------------------------

    @web.middleware
    async def _checked(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Only under a name of this machine, and what changes something only from its own pages."""
        host = request.headers.get("Host", "")
        public = name_of(self.serving.public.partition("://")[2]) if self.serving.public else ""
        if not is_ours(host, (*self.serving.allowed, public)):
            return _plain(403, tr("This server does not answer under that name: --allow-host NAME allows it."))
        self._asked.add(request.protocol)
        changes = request.method == "POST" or request.path == "/ws"
        if changes and not same_origin(request.headers.get("Origin", ""), host, self.serving.public):
            return _plain(403, tr("That came from another page."))
        try:
            async with asyncio.timeout(PATIENCE if request.method == "POST" else None):
                response = await handler(request)
        except TimeoutError:
            return _plain(408, "")
        if not response.prepared:
            response.headers["Content-Security-Policy"] = texts.POLICY
            response.headers["X-Content-Type-Options"] = "nosniff"
            response.headers["Referrer-Policy"] = "same-origin"
        return response

    def _token(self, request: web.Request) -> str:
        token = request.cookies.get(COOKIE, "")
        return (
            token
            if 20 <= len(token) <= 64 and token.isascii() and token.replace("-", "").replace("_", "").isalnum()
            else ""
        )

    def _remember(self, response: web.StreamResponse, token: str) -> None:
        response.set_cookie(COOKIE, token, max_age=KEPT, httponly=True, samesite="Strict", path="/")

    def _student(self, request: web.Request) -> Student | None:
        room = self.serving.room
        return room.student(self._token(request)) if room is not None else None

    def _visitor(self, request: web.Request) -> Visitor | None:
        """Who asks; None: a student who has not joined, or one visitor too many."""
        token, room = self._token(request), self.serving.room
        if room is not None:
            student = room.student(token)
            return self.visitors.visitor(token, room.data(student), student.name) if student is not None else None
        if not token:
            return None
        if token not in self.visitors.known and len(self.visitors.known) >= MOST_VISITORS:
            return None  # in three minutes those that have left are forgotten
        visitor = Visitor(token, self.serving.folder)
        return self.visitors.visitor(token, self.serving.folder / visitor.key)

    # -- pages --------------------------------------------------------------------------------------

    async def alive(self, _request: web.Request) -> web.Response:
        """For a page that waits until the server is back."""
        return web.Response(text="yes")

    async def terminal(self, request: web.Request) -> web.Response:
        """The app."""
        room, student = self.serving.room, self._student(request)
        if room is not None and student is None:
            raise web.HTTPFound("/")
        head = texts.header(student.name, "own") if student is not None else ""
        size = request.query.get("fontsize", "16")
        size = size if 6 <= (whole_number(size) or 0) <= 64 else "16"
        body = (
            f'{head}<div id="terminal" class="textual-terminal" data-font-size="{size}"></div>'
            f'<div id="gone"><div><p id="said"></p>'
            f'<button id="restart" class="go" type="button">{escape(tr("Begin again"))}</button></div></div>'
        )
        data = json.dumps(texts.terminal_texts())
        scripts = ("/pages/app.js", "/static/js/textual.js")
        response = _html(texts.page("ptescope", body, scripts=scripts, data=data, kind="terminal-page"))
        if room is None and not self._token(request):
            self._remember(response, Visitors.new_token())
        return response

    async def follow(self, request: web.Request) -> web.Response:
        """A student's page: what the room sees."""
        student = self._student(request)
        if student is None:
            return _html(texts.joining())
        body = (
            f"{texts.header(student.name, 'follow')}<main><p><b id=title></b> <span id=where></span></p>"
            '<div id="text" aria-live="polite"></div><img id="picture" alt="" hidden>'
            '<h2 id="ask"></h2><div id="answers"></div><p class="word" id="word" role="status"></p></main>'
        )
        return _html(texts.page("ptescope", body, scripts=("/pages/room.js",), data=json.dumps(texts.room_texts())))

    async def join(self, request: web.Request) -> web.Response:
        """A student says who they are."""
        from lessons.learner.own_file import reason

        room = self.serving.room
        assert room is not None
        form = await request.post()
        name, word = str(form.get("name", "")), str(form.get("word", ""))
        token = Visitors.new_token()
        try:
            student = room.join(token, name, word)
        except RoomError as error:
            return _html(texts.joining(str(error), name[:40]), status=409)
        except OSError as error:
            return _html(texts.joining(reason(error), name[:40]), status=507)
        self.visitors.visitor(token, room.data(student), student.name)
        response = web.Response(status=303, headers={"Location": "/"})
        self._remember(response, token)
        return response

    # -- the room -----------------------------------------------------------------------------------

    async def room(self, request: web.Request) -> web.Response:
        """What the room sees now; asked with the version that is known, it answers when there is another."""
        room, student = self.serving.room, self._student(request)
        if room is None or student is None:
            return _plain(403, tr("Join first."))
        self._visitor(request)
        if request.query.get("v") == str(self.version):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._news.wait(), WAIT)
        return web.json_response(self._seen_by(room, student))

    def _seen_by(self, room: ClassFolder, student: Student) -> dict[str, object]:
        where = self.where
        if where is None:
            waiting = prose(tr("Nobody is presenting yet: this page follows when somebody does."))
            nothing = {"text": waiting, "picture": "", "ask": "", "choices": [], "round": 0, "mine": ""}
            return {"version": self.version, "title": "ptescope", "where": "", **nothing}
        asked = where.round > 0
        return {
            "version": self.version,
            "title": where.title,
            "where": tr("section {at} of {parts}").format(at=where.part, parts=where.parts),
            "text": prose(where.shown),
            "picture": str(self.version) if where.picture else "",
            "ask": words(where.question) if asked else "",
            "choices": [words(choice) for choice in where.choices] if asked else [],
            "round": where.round,
            "mine": room.votes(where).get(student.folder, ""),
        }

    async def picture(self, request: web.Request) -> web.Response:
        """The picture that the room sees."""
        if self._student(request) is None or self.where is None or not self.where.picture:
            return _plain(404, "")
        rows = [Row(tuple(Span(text, role) for text, role in line)) for line in self.where.picture]
        drawn = svg([Drawing(self.where.question or self.where.title, rows)])
        return web.Response(text=drawn, content_type="image/svg+xml", headers={"Cache-Control": "no-store"})

    async def vote(self, request: web.Request) -> web.Response:
        """A student's vote."""
        room, student = self.serving.room, self._student(request)
        if room is None or student is None:
            return _plain(403, tr("Join first."))
        self.where = published()
        if self.where is None:
            return web.json_response({"word": tr("Nothing is being voted on now.")})
        form = await request.post()
        try:
            room.vote(student, self.where, str(form.get("answer", "")))
        except RoomError as error:
            return web.json_response({"word": str(error)})
        except OSError as error:
            return web.json_response({"word": tr("the vote cannot be kept: {why}").format(why=error.strerror)})
        self._tell_presenter()
        return web.json_response({"word": tr("Your vote is in; you may change it.")})

    async def hand_in(self, request: web.Request) -> web.Response:
        """What a student has done by now, as a file in the class's folder."""
        from lessons.learner.own_file import replace_file
        from lessons.learner.progress import NAME, ProgressError, Store
        from lessons.teach.hand_in import HandInError

        room, student = self.serving.room, self._student(request)
        if room is None or student is None:
            return _plain(403, tr("Join first."))
        store = Store(room.data(student) / "ptescope" / NAME)
        try:
            work = handed_in(store, f"{student.name};{student.folder}", None)
            replace_file(room.hand_ins / f"{student.folder}.ptework", work.content)
        except (HandInError, ProgressError, OSError) as error:
            return web.json_response({"word": str(error)})
        self.changed()
        return web.json_response({"word": tr("Handed in at {time}.").format(time=time.strftime("%H:%M"))})

    async def teacher(self, request: web.Request) -> web.Response:
        """Who is here and what they take; for this machine only."""
        peer = request.remote or ""
        if not is_loopback(peer) or not is_loopback(name_of(request.headers.get("Host", ""))):
            return _plain(403, tr("This page is for the teacher's own machine."))
        rows = []
        now = time.monotonic()
        for one in self.visitors.known.values():
            memory, seconds = taken(one.service.pid) if one.is_running and one.service is not None else (0, 0)
            state = (
                tr("in a session") if one.socket is not None else tr("away") if now - one.heard > HERE else tr("here")
            )
            cells = (one.name or one.key, state, f"{memory} MiB", f"{seconds} s", str(one.refused or ""))
            rows.append("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in cells) + "</tr>")
        heads = (tr("visitor"), tr("state"), tr("memory"), tr("CPU time"), tr("refused"))
        head = "".join(f"<th>{escape(cell)}</th>" for cell in heads)
        limits = self.serving.limits
        told = tr("At most {sessions} sessions, {memory} MiB each, {search} s of CPU time a search.").format(
            sessions=limits.sessions, memory=limits.memory, search=limits.search
        )
        table = f"<table><tr>{head}</tr>{''.join(rows)}</table>"
        body = f"<main><h1>{escape(self.status())}</h1><p>{escape(told)}</p>{table}</main>"
        return _html(texts.page("ptescope", body))

    # -- the terminal -------------------------------------------------------------------------------

    async def socket(self, request: web.Request) -> web.StreamResponse:
        """The socket of a terminal: keys in, screen out."""
        visitor = self._visitor(request)
        if visitor is None:
            return _plain(403, tr("Open the page first."))
        socket = web.WebSocketResponse(heartbeat=15, max_msg_size=LARGEST_MESSAGE, compress=False)
        await socket.prepare(request)
        width, height = _size(request.query.get("width", ""), request.query.get("height", ""))
        try:
            if not await self.visitors.attach(visitor, socket, width, height):
                await socket.close(code=4002, message=b"full")
                return socket
            async for message in socket:
                if message.type == WSMsgType.TEXT:
                    await self._heard(visitor, socket, message.data)
        finally:
            self.visitors.detach(visitor, socket)
        return socket

    async def _heard(self, visitor: Visitor, socket: web.WebSocketResponse, data: str) -> None:
        """One message of a browser; what is none is let go."""
        service = visitor.service
        visitor.heard = time.monotonic()
        try:
            match json.loads(data):
                case ["stdin", str(typed)] if service is not None and len(typed) <= PASTE:
                    await visitor.may_type(len(typed))
                    visitor.typed = time.monotonic()
                    await service.send_bytes(typed.encode("utf-8", "replace"))
                case ["resize", {"width": int(width), "height": int(height)}] if service is not None:
                    await service.set_terminal_size(*_size(str(width), str(height)))
                case ["ping", value]:
                    await socket.send_json(["pong", value])
                case ["focus", *_] if service is not None:
                    await service.focus()
                case ["blur", *_] if service is not None:
                    await service.blur()
                case _:
                    pass
        except (ValueError, RecursionError, ConnectionError):
            return

    async def download(self, request: web.Request) -> web.StreamResponse:
        """A file that a session gives to its browser."""
        downloads = self.visitors.downloads
        visitor = self.visitors.known.get(self._token(request))
        try:
            meta = await downloads.get_download_metadata(request.match_info["key"])
        except KeyError:
            return _plain(404, "")
        if visitor is None or visitor.service is not meta.app_service:
            return _plain(403, tr("That is another visitor's."))
        name = "".join(letter for letter in meta.file_name if letter.isalnum() or letter in "-_. ") or "file"
        response = web.StreamResponse(headers={"Content-Disposition": f'attachment; filename="{name}"'})
        response.content_type = "application/octet-stream"
        await response.prepare(request)
        async for chunk in downloads.download(request.match_info["key"]):
            await response.write(chunk)
        await response.write_eof()
        return response


class Complaints(logging.Handler):
    """What libraries complain of, for the teacher's terminal: a fault of ours in a line, and no nonsense of visitors.

    A request that is none, or a pipe whose session has ended, would be pages of traceback there.
    """

    def emit(self, record: logging.LogRecord) -> None:
        """Say it, if it is worth that."""
        error = record.exc_info[1] if record.exc_info else None
        if error is not None and not isinstance(error, HttpProcessingError | ConnectionError):
            said = f"ptescope serve: {tr('this is a bug in ptescope')}: {type(error).__name__}: {error}"
            sys.stderr.write(visible(f"{said} ({tr('with PTESCOPE_TRACEBACK=1 it says more')})\n"))


def _size(width: str, height: str) -> tuple[int, int]:
    """Columns and lines of a browser's terminal, within what makes sense."""

    def within(text: str, least: int, most: int, usual: int) -> int:
        return min(max(int(text), least), most) if text.isdecimal() and len(text) < 6 else usual

    return within(width, 1, WIDEST, 80), within(height, 1, HIGHEST, 24)


def _html(text: str, status: int = 200) -> web.Response:
    return web.Response(text=text, content_type="text/html", status=status, headers={"Cache-Control": "no-store"})


def _plain(status: int, text: str) -> web.Response:
    return web.Response(text=text, status=status)
