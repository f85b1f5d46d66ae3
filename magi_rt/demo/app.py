"""The web application: the page, the socket it talks through, and who may come in."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import os
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from starlette.applications import Starlette
from starlette.requests import HTTPConnection, Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from magi_rt.demo.messages import PICTURE_BYTES, PageError, frame_message, id_of, read_request
from magi_rt.demo.room import Room
from magi_rt.demo.viewer import Viewer
from magi_rt.errors import MagiError, OptionError

STATIC = Path(__file__).resolve().parent / "static"
TOKEN_LETTERS = 16
"""Fewest characters of a token."""

_LOCAL = ("localhost", "127.0.0.1", "::1")
_POLICY = (
    "default-src 'self'; img-src 'self' data: blob:; connect-src 'self' ws: wss:; "
    "style-src 'self'; script-src 'self'; frame-ancestors 'none'; base-uri 'none'"
)


@dataclass(frozen=True)
class Door:
    """Who may come in.

    host: interface that is listened on.
    token: what everybody beyond this machine must know, "" on loopback; of ASCII characters.

    Raises:
        OptionError: others can reach the host and there is no token, or one that is short or that
            a cookie cannot hold.
    """

    host: str = "127.0.0.1"
    token: str = ""

    def __post_init__(self) -> None:
        if self.token and len(self.token) < TOKEN_LETTERS:
            raise OptionError(
                f"--token has {len(self.token)} characters; use {TOKEN_LETTERS} or more",
                field="token",
            )
        if not (self.token.isascii() and self.token.isprintable()):
            raise OptionError(
                "--token has characters that browsers do not keep; use letters and digits, as "
                "openssl rand -hex 16 makes them",
                field="token",
            )
        if self.host not in _LOCAL and not self.token:
            raise OptionError(
                f"others can reach {self.host}: give a --token of {TOKEN_LETTERS} characters or "
                "more that they must know, or leave --host out",
                field="token",
            )

    def refusal(self, asked: HTTPConnection) -> str:
        """Why somebody may not come in, "" for who may.

        Without a token, pages of other sites in the same browser are kept out by their names:
        the host asked for must be this machine, and a page's origin must be the page itself.
        """
        host = _host(asked)
        if self.token:
            given = asked.query_params.get("token", "") or asked.cookies.get(_cookie(asked), "")
            if not hmac.compare_digest(given.encode(), self.token.encode()):
                return "the token is missing or wrong; open the address that magi-rt demo printed"
        elif host not in _LOCAL:
            return f"this demo is for this machine only, not for {host[:80]!r}"
        if self.foreign(asked):
            return f"pages of {asked.headers['origin'][:80]!r} may not use this demo"
        return ""

    @staticmethod
    def foreign(asked: HTTPConnection) -> bool:
        """Whether a page of another site asks."""
        origin = asked.headers.get("origin")
        try:
            return origin is not None and urlsplit(origin).netloc != asked.headers.get("host")
        except ValueError:  # it is no address
            return True


def _host(asked: HTTPConnection) -> str:
    """The host that was asked for, without its port; "" for what is none."""
    try:
        return urlsplit(f"//{asked.headers.get('host', '')}").hostname or ""
    except ValueError:
        return ""


def _cookie(asked: HTTPConnection) -> str:
    """Its name: cookies are a host's, and two demos may run there on two ports."""
    return f"magi_token_{asked.scope['server'][1]}"


def make_app(room: Room, door: Door) -> Starlette:
    """The application for one room; it opens the room at its start and closes it at its end."""

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        opening = asyncio.ensure_future(room.open())
        try:
            yield
        finally:
            try:
                await opening
            finally:
                await room.close()

    async def page(request: Request) -> Response:
        if refusal := door.refusal(request):
            return PlainTextResponse(refusal, 403)
        answer = FileResponse(STATIC / "index.html", headers=_safe())
        if door.token:
            answer.set_cookie(_cookie(request), door.token, httponly=True, samesite="strict")
        return answer

    async def replay(request: Request) -> Response:
        if refusal := door.refusal(request):
            return PlainTextResponse(refusal, 403)
        number = 1 if request.query_params.get("picture") == "1" else 0
        try:
            if number >= len(room.pictures):
                raise PageError(f"there is no picture {number} yet")
            text = await asyncio.to_thread(room.worlds.replay, number)
        except MagiError as error:
            return JSONResponse({"error": error.message}, 409)
        headers = {"Content-Disposition": 'attachment; filename="run.json"', **_safe()}
        return Response(text, media_type="application/json", headers=headers)

    async def recording(request: Request) -> Response:
        if refusal := door.refusal(request):
            return PlainTextResponse(refusal, 403)
        path = room.recordings / Path(request.path_params["name"]).name
        if path.suffix != ".mp4" or not os.path.isfile(path):
            return PlainTextResponse("there is no such recording", 404)
        return FileResponse(path, filename=path.name, headers=_safe())

    async def talk(socket: WebSocket) -> None:
        if door.refusal(socket):
            if not door.foreign(socket):
                # a refused handshake would look to the page like a connection that was lost
                await socket.accept()
            await socket.close(4403)
            return
        await socket.accept()
        # when the demo ends, requests that still wait are given up
        with contextlib.suppress(asyncio.CancelledError):
            await _serve_page(room, socket)

    routes = [
        Route("/", page),
        Route("/replay.json", replay),
        Route("/recordings/{name}", recording),
        WebSocketRoute("/ws", talk),
        Mount("/static", _Pages(directory=STATIC)),
    ]
    return Starlette(routes=routes, lifespan=lifespan)


class _Pages(StaticFiles):
    """Files of the page; browsers ask each time whether they are still the same."""

    def file_response(self, *args: Any, **more: Any) -> Response:
        answer = super().file_response(*args, **more)
        answer.headers.update({**_safe(), "Cache-Control": "no-cache"})
        if answer.headers.get("content-type", "").startswith("text/plain"):
            # some Windows registries call scripts text, which browsers then refuse to run
            answer.headers["content-type"] = "text/javascript; charset=utf-8"
        return answer


def _safe() -> dict[str, str]:
    return {
        "Content-Security-Policy": _POLICY,
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
        "Cache-Control": "no-store",
    }


async def _serve_page(room: Room, socket: WebSocket) -> None:
    """One page, from hello to good-bye."""
    try:
        viewer = room.join()
    except PageError as error:
        await socket.close(4429, error.message)
        return
    sending = asyncio.ensure_future(_send(room, viewer, socket))
    try:
        await _receive(room, viewer, socket)
    finally:
        room.leave(viewer)
        sending.cancel()
        with contextlib.suppress(asyncio.CancelledError, WebSocketDisconnect, RuntimeError):
            await sending


async def _receive(room: Room, viewer: Viewer, socket: WebSocket) -> None:
    """Requests one after the other, so that they are done in the order they were made in."""
    while True:
        try:
            message = await socket.receive()
        except RuntimeError:
            return
        if message["type"] == "websocket.disconnect":
            return
        text = message.get("text")
        try:
            if text is None:
                raise PageError("a message must be text")
            request = read_request(text)
        except PageError as error:
            viewer.bucket.take()
            viewer.tell({"event": "answer", "id": id_of(error), "ok": False,
                         "error": error.message})  # fmt: skip
            continue
        await room.answer(viewer, request)


async def _send(room: Room, viewer: Viewer, socket: WebSocket) -> None:
    """Everything that waits for a page; while it reads slowly, frames are left out."""
    while socket.application_state is WebSocketState.CONNECTED:
        events, frames = await viewer.next()
        for event in events:
            await socket.send_text(event)
        for number, received in frames.items():
            if received is not None and number < max(1, len(room.pictures)):
                await socket.send_bytes(frame_message(received, number))
        if viewer.lost:
            await socket.close(4408, "the page did not read what it was told")
            return


MESSAGE_BYTES = PICTURE_BYTES + 65_536
"""Longest message that the server's socket takes."""
