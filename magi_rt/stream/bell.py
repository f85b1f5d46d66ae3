"""A bell: wakes a thread that polls sockets."""

from __future__ import annotations

import socket
from contextlib import suppress


class Bell:
    """To be registered with a poller; any thread may ring it."""

    def __init__(self) -> None:
        self._heard, self._rung = socket.socketpair()
        self._heard.setblocking(False)
        self._rung.setblocking(False)

    def fileno(self) -> int:
        """What a poller looks at."""
        return self._heard.fileno()

    def ring(self) -> None:
        """Wakes the poller; a bell that rings already, or is closed, is left as it is."""
        with suppress(OSError):
            self._rung.send(b"!")

    def silence(self) -> None:
        """Ends the ringing."""
        with suppress(OSError):
            self._heard.recv(4096)

    def close(self) -> None:
        """Closes both ends."""
        self._heard.close()
        self._rung.close()
