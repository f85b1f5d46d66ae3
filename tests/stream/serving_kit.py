"""What the tests of servers share: a served dummy world, and raw sockets without our client."""

from __future__ import annotations

import itertools
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import msgpack
import zmq

from magi_rt.stream.events import Event, unpack_event
from magi_rt.stream.server import WorldServer
from magi_rt.stream.wire import FrameHeader, unpack_header
from magi_rt.world import World
from tests.world.kit import dummy_world

LIMIT_S = 60.0
"""Longest wait for anything that must come; tests end as soon as it is there."""

TOPIC = b"frame/rgb8/top/parts"

Answers = dict[int, list[dict[str, Any]]]
"""Answers by the id of their request."""


@contextmanager
def served(
    world: World | None = None, *, fps: float = 120, **options: Any
) -> Iterator[WorldServer]:
    """A served dummy world of 32 x 32 pixels at a free port, which has shown something."""
    address = options.pop("address", "tcp://127.0.0.1:*")
    with WorldServer(world or dummy_world(), address, fps=fps, **options) as server:
        wait_for(lambda: server.stats()["frames_shown"], "a first frame")
        yield server


def wait_for(true: Callable[[], object], what: str) -> None:
    """Returns as soon as something is true; fails when it never is."""
    deadline = time.monotonic() + LIMIT_S
    while not true():
        assert time.monotonic() < deadline, f"waited in vain for {what}"
        time.sleep(0.005)


class RawControl:
    """A DEALER or REQ socket and msgpack, nothing else."""

    def __init__(self, address: str, kind: int = zmq.DEALER, client: str = "raw") -> None:
        self.client = client
        self.ids = itertools.count(1)
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self.socket = self._context.socket(kind)
        self.socket.linger = 0
        self.socket.connect(address)

    def send(self, kind: str, **values: Any) -> int:
        """Sends a request; returns its id."""
        number = values.pop("id", None) or next(self.ids)
        head = {"version": 1, "client": self.client, "id": number, "type": kind}
        self.socket.send(msgpack.packb({**head, **values}))
        return int(number)

    def answer(self) -> dict[str, Any]:
        """The next answer."""
        assert self.socket.poll(round(1000 * LIMIT_S)), "no answer came"
        values = msgpack.unpackb(self.socket.recv_multipart()[-1])
        assert isinstance(values, dict)
        return values

    def ask(self, kind: str, **values: Any) -> dict[str, Any]:
        """Sends a request; returns the next answer."""
        self.send(kind, **values)
        return self.answer()

    def close(self) -> None:
        self.socket.close()
        self._context.term()

    def __enter__(self) -> RawControl:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class RawFrames:
    """A SUB socket that keeps everything, in the order in which it came."""

    def __init__(self, address: str) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.SUB)
        self._socket.linger, self._socket.rcvhwm = 0, 0
        self._socket.subscribe(TOPIC)
        self._socket.subscribe(b"event")
        self._socket.connect(address)
        self.heard: list[FrameHeader | Event] = []
        self.until(lambda: self.heard)

    def until(self, enough: Callable[[], object]) -> None:
        """Reads until something is true."""
        deadline = time.monotonic() + LIMIT_S
        while not enough():
            assert time.monotonic() < deadline, "waited in vain for frames or events"
            if self._socket.poll(100):
                topic, data, *_ = self._socket.recv_multipart()
                read = unpack_event if topic == b"event" else unpack_header
                self.heard.append(read(data))

    def until_seq(self, seq: int) -> list[FrameHeader]:
        """All frames so far, after reading up to a number."""
        self.until(lambda: any(header.seq >= seq for header in self.frames))
        return self.frames

    @property
    def frames(self) -> list[FrameHeader]:
        """Frames so far, without those sent again for newcomers."""
        return [each for each in self.heard if isinstance(each, FrameHeader) and not each.repeated]

    @property
    def events(self) -> list[Event]:
        """Events so far."""
        return [each for each in self.heard if isinstance(each, Event)]

    def close(self) -> None:
        self._socket.close()
        self._context.term()

    def __enter__(self) -> RawFrames:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def receipts(control: RawControl, *numbers: int, found: Answers | None = None) -> Answers:
    """All answers to some requests that change the picture: two each, or one error."""
    found = {} if found is None else found
    for number in numbers:
        found.setdefault(number, [])

    def over(answers: list[dict[str, Any]]) -> bool:
        return bool(answers) and answers[-1]["type"] in ("applied", "error")

    while not all(over(found[number]) for number in numbers):
        answer = control.answer()
        if answer["id"] in found:
            found[answer["id"]].append(answer)
    return found


def applied(control: RawControl, kind: str, **values: Any) -> dict[str, Any]:
    """Asks for a change; returns what says that it shows."""
    number = control.send(kind, **values)
    accepted, last = receipts(control, number)[number]
    assert (accepted["type"], last["type"]) == ("accepted", "applied")
    return last
