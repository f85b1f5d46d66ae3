"""Runs the demo's application until somebody ends it."""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading
import webbrowser
from pathlib import Path
from types import FrameType
from urllib.parse import quote

import uvicorn

from magi_rt.demo.app import MESSAGE_BYTES, Door, make_app
from magi_rt.demo.room import Room
from magi_rt.demo.worlds import Worlds
from magi_rt.errors import OptionError
from magi_rt.world.actions import ActionMap

_log = logging.getLogger("uvicorn.error")

_HERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}
"""Where this machine finds what is served everywhere. Not localhost, which browsers look up among
the newer addresses first: another program may be at the same port there."""


class DemoServer:
    """A page on a bound port, and the room behind it.

    Args:
        worlds, actions, recordings, everyone_steers: see :class:`magi_rt.demo.room.Room`.
        port: 0 takes a free one.

    Attributes:
        url: the page's address, with the token where there is one.
        room: what the pages share.

    Raises:
        OptionError: the address is taken or is none.
    """

    def __init__(
        self,
        worlds: Worlds,
        actions: ActionMap,
        recordings: Path,
        door: Door,
        *,
        port: int = 0,
        everyone_steers: bool = False,
    ) -> None:
        self._socket = _bound(door.host, port)
        self.url = page_address(door, self._socket.getsockname()[1])
        self.room = Room(worlds, actions, recordings, shared=everyone_steers)
        config = uvicorn.Config(
            make_app(self.room, door), log_level="warning", access_log=False, lifespan="on",
            ws_max_size=MESSAGE_BYTES, ws_ping_interval=10, ws_ping_timeout=20,
            timeout_graceful_shutdown=2,
        )  # fmt: skip
        self._server = _Patient(config, self.room)
        _log.addFilter(_worth_telling)

    def run(self, *, browse: bool = False, seconds: float | None = None) -> None:
        """Serves on this thread until Ctrl-C, :meth:`stop`, or the end of the time."""
        timers = []
        if browse:
            timers.append(threading.Timer(0.5, webbrowser.open, [self.url]))
        if seconds is not None:
            timers.append(threading.Timer(seconds, self.stop))
        for timer in timers:
            timer.daemon = True
            timer.start()
        try:
            self._server.run(sockets=[self._socket])
        finally:
            for timer in timers:
                timer.cancel()
            self._socket.close()

    @property
    def signal(self) -> int:
        """The one that ended it, 0 for none."""
        return self._server.signal

    def obey(self, number: int, frame: FrameType | None) -> None:
        """Ends it in order; a handler of signals."""
        self._server.handle_exit(number, frame)

    def stop(self) -> None:
        """Ends it, from any thread."""
        self._server.should_exit = True


def _worth_telling(record: logging.LogRecord) -> bool:
    """Not that pages which do not go by themselves were left when the demo ended."""
    return not str(record.msg).startswith("Cancel %s running task")


class _Patient(uvicorn.Server):
    """Ends in order, whichever signal comes and how often: worlds not closed leave files."""

    def __init__(self, config: uvicorn.Config, room: Room) -> None:
        super().__init__(config)
        self._room = room
        self.signal = 0

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        if self.should_exit:
            return
        self.signal = sig
        if self._room.state == "warming up":
            print("magi-rt: ends as soon as the world is open", file=sys.stderr)
        self.should_exit = True  # uvicorn's own would raise a kill again, before all is tidied


def page_address(door: Door, port: int) -> str:
    """Where a browser on this machine finds the page, with the token where there is one."""
    host = _HERE.get(door.host, door.host)
    place = f"[{host}]" if ":" in host else host
    token = f"?token={quote(door.token, safe='')}" if door.token else ""
    return f"http://{place}:{port}/{token}"


def _bound(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listening = socket.socket(family, socket.SOCK_STREAM)
    if os.name == "posix":  # on Windows it would let two programs serve the same port
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen()  # who comes before the server runs waits instead of being refused
    except OSError as error:
        listening.close()
        raise OptionError(
            f"the page cannot be served on {host}:{port}: {error.strerror or error}; "
            "try another --port, or 0 for a free one",
            field="port",
        ) from error
    return listening
