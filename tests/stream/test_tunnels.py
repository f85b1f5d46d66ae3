"""A server that is reached through forwarded ports, quick ones and slow ones."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress

import numpy as np

from magi_rt.stream.client import WorldClient
from magi_rt.stream.seed_pictures import picture_file
from tests.stream.serving_kit import LIMIT_S, served, wait_for

PIECE = 16_384


class Tunnel:
    """A port of its own that leads to another one on this machine, as ``ssh -L`` makes it.

    Args:
        to: the address it leads to, ``tcp://HOST:PORT``.
        bytes_per_s: that pass on their way there, 0 for as many as come.

    Attributes:
        carried: bytes that went there and came back.
    """

    def __init__(self, to: str, bytes_per_s: float = 0.0) -> None:
        self._to, self._bytes_per_s = int(to.rsplit(":", 1)[1]), bytes_per_s
        self.carried = [0, 0]
        self._ends: list[socket.socket] = []
        self._door = socket.create_server(("127.0.0.1", 0))
        self.address = f"tcp://127.0.0.1:{self._door.getsockname()[1]}"
        threading.Thread(target=self._open, daemon=True).start()

    def _open(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._door.accept()
                far = socket.create_connection(("127.0.0.1", self._to))
                self._ends += [near, far]
                for way in ((near, far, 0), (far, near, 1)):
                    threading.Thread(target=self._carry, args=way, daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket, way: int) -> None:
        with suppress(OSError), source, target:
            while piece := source.recv(PIECE):
                self.carried[way] += len(piece)
                if self._bytes_per_s and way == 0:
                    time.sleep(len(piece) / self._bytes_per_s)
                target.sendall(piece)

    def cut_after(self, carried: int) -> None:
        """Breaks what is connected as soon as so many bytes went there; others may come."""
        wait_for(lambda: self.carried[0] >= carried, "the bytes")
        for end in self._ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Tunnel:
        return self

    def __exit__(self, *_: object) -> None:
        self._door.close()


def test_frames_come_the_way_that_the_client_was_given() -> None:
    with (
        served() as server,
        Tunnel(server.address) as frames,
        Tunnel(server.control_address) as control,
        WorldClient(frames.address, control=control.address) as client,
        client.watching(layout="parts") as watched,
    ):
        assert client.facts.frames == server.address, "which is not where the client can go"
        assert watched.next(LIMIT_S) is not None
        assert frames.carried[1] > 0


def test_a_client_that_knows_the_control_address_alone_is_told_where_frames_are() -> None:
    with (
        served() as server,
        WorldClient(control=server.control_address) as client,
        client.watching(layout="parts") as watched,
    ):
        assert watched.next(LIMIT_S) is not None


def test_a_large_picture_is_sent_once_over_a_slow_way() -> None:
    picture = noise(1200, 1200)
    with (
        served() as server,
        Tunnel(server.control_address, bytes_per_s=2e6) as control,
        WorldClient(server.address, control=control.address, timeout_s=LIMIT_S) as client,
    ):
        client.seed_image(picture).wait(LIMIT_S)
        client.prompt("rain").wait(LIMIT_S)
        assert len(picture) < control.carried[0] < 1.2 * len(picture)


def test_a_large_picture_is_sent_again_when_the_connection_is_cut() -> None:
    picture = noise(1200, 1200)
    with (
        served() as server,
        Tunnel(server.control_address, bytes_per_s=4e6) as control,
        WorldClient(server.address, control=control.address, timeout_s=LIMIT_S) as client,
    ):
        cutting = threading.Thread(target=control.cut_after, args=(len(picture) // 2,))
        cutting.start()
        assert client.seed_image(picture).wait(LIMIT_S).epoch == 1
        cutting.join()


def noise(height: int, width: int) -> bytes:
    """A PNG that nothing makes smaller, of 3 * height * width bytes and a few."""
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return picture_file(pixels)
