"""Ways to bring pictures from one process to another: ours, and those of others.

Reader processes import this and nothing that needs PyTorch.
"""

from __future__ import annotations

import importlib
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import zmq

from magi_rt.stream.formats import Bytes
from magi_rt.stream.publisher import FramePublisher
from magi_rt.stream.subscriber import FrameSubscriber

SIZE = (720, 1280)
"""Height and width of the pictures in pixels; they are RGB."""

_TIMEOUT_S = 20.0


class Sender(Protocol):
    """One end of a way."""

    shared_file: str

    def send(self, pixels: Bytes) -> None:
        """Sends a picture that stays as it is, and waits for nobody."""

    def close(self) -> None: ...


class Reader(Protocol):
    """The other end."""

    def next(self) -> Bytes | None:
        """Waits for a picture; None when none comes for long."""

    def close(self) -> None: ...


@dataclass(frozen=True)
class Way:
    """How pictures travel.

    Attributes:
        needs: a package that must be installed, "" for none.
        reader_binds: the reader owns the address, so there can be one only.
        sender, reader: make an end for an address; a reader is also told the path of the
            sender's shared memory, and whether every picture is wanted or the newest.
    """

    needs: str
    sender: Callable[[str], Sender]
    reader: Callable[[str, str, bool], Reader]
    reader_binds: bool = False

    @property
    def missing(self) -> bool:
        """True when it cannot be measured here."""
        try:
            return bool(self.needs) and importlib.import_module(self.needs) is None
        except ImportError:
            return True


class OurSender:
    """A publisher; readers may also map its shared memory."""

    def __init__(self, address: str) -> None:
        self._publisher = FramePublisher(address, size=SIZE)
        self._running = self._publisher.running()
        self._running.__enter__()
        self.shared_file = self._publisher.offer_shared("rgb8/top")
        self._frame = 0

    def send(self, pixels: Bytes) -> None:
        self._publisher.publish(
            pixels, epoch=1, frame=self._frame, chunk=0, prompt=0,
            due_ns=time.monotonic_ns(), borrowed=True,
        )  # fmt: skip
        self._frame += 1

    def close(self) -> None:
        self._running.__exit__(None, None, None)
        self._publisher.close()


class OurReader:
    """A subscriber of pictures on the socket, or of those in shared memory."""

    def __init__(
        self, address: str, shared_file: str, every: bool, *, layout: str, copy: bool = True
    ) -> None:
        self._frames = FrameSubscriber(
            address, layout=layout, control="", every=every, copy=copy,
            shared_file=shared_file if layout == "shared" else "",
        )  # fmt: skip

    def next(self) -> Bytes | None:
        received = self._frames.next(_TIMEOUT_S)
        return None if received is None else received.pixels

    def close(self) -> None:
        self._frames.close()


class PlainSender:
    """PUB as a beginner writes it: a header, then the pixels without a copy."""

    shared_file = ""

    def __init__(self, address: str) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.PUB)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.bind(address)

    def send(self, pixels: Bytes) -> None:
        self._socket.send_json({"shape": pixels.shape}, zmq.SNDMORE)
        self._socket.send(pixels.data, copy=False)

    def close(self) -> None:
        self._socket.close()
        self._context.term()


class PlainReader:
    """SUB as a beginner writes it: one picture after the other."""

    def __init__(self, address: str, shared_file: str, every: bool) -> None:
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.SUB)
        self._socket.setsockopt(zmq.RCVTIMEO, int(1000 * _TIMEOUT_S))
        self._socket.subscribe(b"")
        self._socket.connect(address)

    def next(self) -> Bytes | None:
        with suppress(zmq.Again):
            header: Any = self._socket.recv_json()
            pixels = self._socket.recv(copy=False).buffer
            return np.frombuffer(pixels, np.uint8).reshape(header["shape"])
        return None

    def close(self) -> None:
        self._socket.close(linger=0)
        self._context.term()


class ImagezmqSender:
    """PUB/SUB of imagezmq, which does not copy either."""

    shared_file = ""

    def __init__(self, address: str) -> None:
        package: Any = importlib.import_module("imagezmq")
        self._sender = package.ImageSender(connect_to=address, REQ_REP=False)
        self._sender.zmq_socket.setsockopt(zmq.LINGER, 0)

    def send(self, pixels: Bytes) -> None:
        self._sender.send_image("", pixels)

    def close(self) -> None:
        self._sender.close()


class ImagezmqReader:
    """Its hub."""

    def __init__(self, address: str, shared_file: str, every: bool) -> None:
        package: Any = importlib.import_module("imagezmq")
        self._hub = package.ImageHub(open_port=address, REQ_REP=False)
        self._hub.zmq_socket.setsockopt(zmq.RCVTIMEO, int(1000 * _TIMEOUT_S))

    def next(self) -> Bytes | None:
        with suppress(zmq.Again):
            pixels: Bytes = self._hub.recv_image()[1]
            return pixels
        return None

    def close(self) -> None:
        self._hub.zmq_socket.close(linger=0)
        self._hub.zmq_context.term()


def _net_gear(address: str, receive: bool) -> Any:
    """NetGear as PUB/SUB, without JPEG, so that all ways carry the same bytes."""
    package: Any = importlib.import_module("vidgear.gears")
    protocol, _, place = address.partition("://")
    host, _, port = place.rpartition(":")
    return package.NetGear(
        address=host, port=port, protocol=protocol, pattern=2, receive_mode=receive,
        jpeg_compression=False, subscriber_timeout=int(_TIMEOUT_S),
    )  # fmt: skip


class NetGearSender:
    """vidgear's NetGear; its sender connects, its reader binds."""

    shared_file = ""

    def __init__(self, address: str) -> None:
        self._gear = _net_gear(address, receive=False)

    def send(self, pixels: Bytes) -> None:
        self._gear.send(pixels)

    def close(self) -> None:
        self._gear.close()


class NetGearReader:
    """Its other end."""

    def __init__(self, address: str, shared_file: str, every: bool) -> None:
        self._gear = _net_gear(address, receive=True)

    def next(self) -> Bytes | None:
        pixels: Bytes | None = self._gear.recv()
        return pixels

    def close(self) -> None:
        self._gear.close()


def _on_socket(address: str, shared_file: str, every: bool) -> Reader:
    return OurReader(address, shared_file, every, layout="parts")


def _in_shared_memory(address: str, shared_file: str, every: bool) -> Reader:
    return OurReader(address, shared_file, every, layout="shared")


def _lent(address: str, shared_file: str, every: bool) -> Reader:
    return OurReader(address, shared_file, every, layout="shared", copy=False)


OURS, SHARED, LENT = "magi_rt", "magi_rt_shared", "magi_rt_lent"
"""On the socket; in shared memory, copied for the reader; there, and read where it lies."""

WAYS = {
    OURS: Way("", OurSender, _on_socket),
    SHARED: Way("", OurSender, _in_shared_memory),
    LENT: Way("", OurSender, _lent),
    "plain": Way("", PlainSender, PlainReader),
    "imagezmq": Way("imagezmq", ImagezmqSender, ImagezmqReader),
    "netgear": Way("vidgear", NetGearSender, NetGearReader, reader_binds=True),
}
"""Every way by its name; ``plain`` is PUB/SUB without any care."""
