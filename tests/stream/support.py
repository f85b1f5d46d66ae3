"""What the tests of frames share: pictures, headers, and waiting for what must happen."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

import numpy as np
import zmq

from magi_rt.stream.formats import Bytes
from magi_rt.stream.publisher import FramePublisher
from magi_rt.stream.wire import FrameHeader, unpack_header

STREAM, NEXT_STREAM = "00c0ffee5eed2a7f", "0ddba11ca5cade00"
PATIENCE_S = 60.0
"""Far more than anything here takes; only a failure waits so long."""

HEADER = FrameHeader(
    stream=STREAM, epoch=1, seq=1, frame=0, chunk=0, prompt=0, due_ns=0, sent_ns=0, width=4,
    height=3, stride=12, format="rgb8", rows="top", size=36,
)  # fmt: skip


def picture(height: int = 3, width: int = 4, seed: int = 0) -> Bytes:
    """[H, W, 3] random pixels."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def wait_until(happened: Callable[[], object], what: str) -> None:
    """Returns as soon as something has happened, fails after a long time."""
    end = time.monotonic() + PATIENCE_S
    while not happened():
        assert time.monotonic() < end, f"waited in vain until {what}"
        time.sleep(0.002)


def publish(publisher: FramePublisher, pixels: Bytes | None = None, **changed: object) -> int:
    """Publishes a frame; epoch 1 and zeros unless told otherwise."""
    values = {"epoch": 1, "frame": 0, "chunk": 0, "prompt": 0, "due_ns": time.monotonic_ns()}
    return publisher.publish(picture() if pixels is None else pixels, **values | changed)  # type: ignore[arg-type]


def heard_of(publisher: FramePublisher) -> tuple[str, ...]:
    """Lets the publisher look after its readers; the topics they want."""
    publisher.poll()
    return publisher.stats.wanted


def wanted(publisher: FramePublisher, *topics: str) -> None:
    """Waits until somebody wants the topics, and nobody any other."""

    def arrived() -> bool:
        publisher.poll()
        return set(publisher.stats.wanted) == set(topics)

    wait_until(arrived, f"{topics} are wanted")


def joined(publisher: FramePublisher, *readers: zmq.Socket[bytes]) -> None:
    """Waits until each of these readers of ``parts`` has got a frame; nothing queues afterwards."""
    publish(publisher)
    for reader in readers:

        def arrived(reader: zmq.Socket[bytes] = reader) -> bool:
            publisher.poll()
            return bool(reader.poll(2))

        wait_until(arrived, "a frame comes")
    last = publish(publisher)
    for reader in readers:
        while unpack_header(reader.recv_multipart()[1]).seq != last:
            pass


def cancel(publisher: FramePublisher, topic: str) -> None:
    """Cancels a topic over a connection that never asked for it, as no library lets one."""
    host, _, port = publisher.address.removeprefix("tcp://").partition(":")
    greeting = b"\xff" + bytes(8) + b"\x7f\x03\x00" + b"NULL".ljust(20, b"\0") + bytes(32)
    ready = b"\x05READY\x0bSocket-Type" + (3).to_bytes(4, "big") + b"SUB"
    said = b"\0" + topic.encode()
    with socket.create_connection((host, int(port)), timeout=PATIENCE_S) as peer:
        peer.sendall(greeting + b"\x04" + bytes([len(ready)]) + ready)
        heard = b""
        while b"READY" not in heard:  # what comes before that ends the connection
            heard += peer.recv(1024)
        peer.sendall(b"\0" + bytes([len(said)]) + said)
        wait_until(lambda: topic not in heard_of(publisher), "it is cancelled")


@contextmanager
def raw_reader(
    publisher: FramePublisher, *topics: str, queue: int = 1000
) -> Iterator[zmq.Socket[bytes]]:
    """A plain SUB socket, as a client in any language has it, which keeps so many messages."""
    with zmq.Context() as context, context.socket(zmq.SUB) as socket:
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.RCVHWM, queue)
        socket.setsockopt(zmq.RCVTIMEO, int(1000 * PATIENCE_S))
        for topic in topics:
            socket.subscribe(topic)
        socket.connect(publisher.address)
        yield socket


def numbered(seq: int, **changed: object) -> FrameHeader:
    return replace(HEADER, seq=seq, **changed)  # type: ignore[arg-type]
