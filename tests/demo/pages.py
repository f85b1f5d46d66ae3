"""A demo with the dummy world on a free port, and pages that talk to it."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

from magi_rt.demo.app import Door
from magi_rt.demo.messages import FRAME_HEAD
from magi_rt.demo.serve import DemoServer
from magi_rt.demo.worlds import LocalWorlds, Worlds
from magi_rt.world.actions import ActionMap

WAIT_S = 60.0


@contextmanager
def demo(
    folder: Path, worlds: Worlds | None = None, *, door: Door | None = None, **more: Any
) -> Iterator[DemoServer]:
    """A demo that serves on a thread until the block ends."""
    actions = ActionMap.of("dummy")
    made = worlds or LocalWorlds("dummy", {}, start=actions.start, saved=folder)
    server = DemoServer(made, actions, folder, door or Door(), **more)
    thread = threading.Thread(target=server.run)
    thread.start()
    try:
        yield server
    finally:
        server.stop()
        thread.join(2 * WAIT_S)
        assert not thread.is_alive(), "the demo did not end"


class Page:
    """What a browser would do, in words of a test."""

    def __init__(self, server: DemoServer, **headers: str) -> None:
        address, _, token = server.url.partition("?")
        url = address.replace("http", "ws") + "ws" + (f"?{token}" if token else "")
        self._open = ExitStack()
        self.socket: ClientConnection = self._open.enter_context(
            connect(url, max_size=None, additional_headers=headers, open_timeout=WAIT_S)
        )
        self.events: list[dict[str, Any]] = []
        self.newest: dict[int, tuple[Any, ...]] = {}
        self.pixels: dict[int, bytes] = {}
        self._ids = 0
        self.welcome = self.until("welcome")

    def step(self) -> dict[str, Any] | None:
        """Reads one message; an event, or None for a frame."""
        message = self.socket.recv(timeout=WAIT_S)
        if isinstance(message, bytes):
            head = FRAME_HEAD.unpack_from(message)
            self.newest[head[1]] = head
            self.pixels[head[1]] = message[FRAME_HEAD.size :]
            return None
        event: dict[str, Any] = json.loads(message)
        self.events.append(event)
        return event

    def until(self, name: str, **values: Any) -> dict[str, Any]:
        """The next event of that name with these values."""
        end_s = time.monotonic() + WAIT_S
        while time.monotonic() < end_s:
            event = self.step()
            if event and event["event"] == name and values.items() <= event.items():
                return event
        raise AssertionError(f"no {name} with {values} came, but {self.events[-5:]}")

    def since(self, place: int, name: str, **values: Any) -> dict[str, Any]:
        """The first such event from a place of ``events`` on, already there or still to come."""
        for event in self.events[place:]:
            if event["event"] == name and values.items() <= event.items():
                return event
        return self.until(name, **values)

    def until_frame(self, picture: int = 0, chunk: int = 0) -> tuple[Any, ...]:
        """The head of the next frame of a picture that is of this chunk or a later one."""
        while True:
            is_frame = self.step() is None
            head = self.newest.get(picture)
            if is_frame and head is not None and head[5] >= chunk:
                return head

    def send(self, verb: str, **values: Any) -> int:
        self._ids += 1
        self.socket.send(json.dumps({"id": self._ids, "do": verb, **values}))
        return self._ids

    def ask(self, verb: str, **values: Any) -> dict[str, Any]:
        """The answer to a request."""
        return self.until("answer", id=self.send(verb, **values))

    def apply(self, verb: str, **values: Any) -> dict[str, Any]:
        """The receipt of a request that changes the picture."""
        answer = self.ask(verb, **values)
        assert answer["ok"], answer
        return self.until("applied", id=answer["id"])

    def live(self) -> Page:
        """Waits for the first frame."""
        self.until_frame()
        return self

    def __enter__(self) -> Page:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Leaves the demo."""
        self._open.close()
