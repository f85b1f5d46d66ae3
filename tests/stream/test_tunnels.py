"""A server that is reached through forwarded ports, quick ones and slow ones."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress

from magi_rt.stream.client import WorldClient
from tests.stream.serving_kit import LIMIT_S, served

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
        self._door = socket.create_server(("127.0.0.1", 0))
        self.address = f"tcp://127.0.0.1:{self._door.getsockname()[1]}"
        threading.Thread(target=self._open, daemon=True).start()

    def _open(self) -> None:
        with suppress(OSError):
            while True:
                near, _ = self._door.accept()
                far = socket.create_connection(("127.0.0.1", self._to))
                for way in ((near, far, 0), (far, near, 1)):
                    threading.Thread(target=self._carry, args=way, daemon=True).start()

    def _carry(self, source: socket.socket, target: socket.socket, way: int) -> None:
        with suppress(OSError), source, target:
            while piece := source.recv(PIECE):
                self.carried[way] += len(piece)
                if self._bytes_per_s and way == 0:
                    time.sleep(len(piece) / self._bytes_per_s)
                target.sendall(piece)

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
