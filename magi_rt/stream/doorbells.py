"""Doorbells: headers of shared frames as datagrams, which wake a reader without libzmq's threads.

Pixels in shared memory are there at once; what takes time is telling. Through libzmq that wakes a
thread of the server and two of the reader, one after the other; a datagram wakes the one that
waits. Specified in docs/protocol.md, "Doorbells".
"""

from __future__ import annotations

import errno
import os
import secrets
import select
import socket
import sys
from contextlib import suppress
from pathlib import Path

from magi_rt.stream.wire import HEADER_BYTES

MOST = 64
"""Doorbells that a server rings at most; further readers hear by socket."""

# Six headers fit in what the system takes as the smallest; fewer than there are slots.
_SEND_BYTES = 4_608

_FULL = (errno.EAGAIN, errno.ENOBUFS)  # Linux says the one, macOS the other


def doorbell_path(folder: Path, stream: str, bell: str) -> Path:
    """Where a doorbell hangs: in the folder of the stream's shared memory."""
    return folder / f"magi_rt-{stream}-bell-{bell}"


class Doorbell:
    """The reader's end: a datagram socket beside the file of shared memory.

    Args:
        folder: of that file.
        stream: the server's.

    Attributes:
        bell: 16 hexadecimal digits, its name in the topic.

    Raises:
        OSError: there can be none here; it never can on Windows.
    """

    def __init__(self, folder: Path, stream: str) -> None:
        if sys.platform == "win32":
            raise OSError("there are no datagrams by path on Windows")
        self.bell = secrets.token_hex(8)
        self._path = doorbell_path(folder, stream, self.bell)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            self._socket.setblocking(False)
            self._socket.bind(str(self._path))
            self._path.chmod(0o600)
        except OSError:
            self.close()
            raise

    def fileno(self) -> int:
        """What a poller looks at."""
        return self._socket.fileno()

    def heard(self) -> bytes | None:
        """The next header, one byte too long when it was longer than any can be; None for none."""
        with suppress(OSError):
            return self._socket.recv(HEADER_BYTES + 1)
        return None

    def close(self) -> None:
        """Takes it down."""
        self._socket.close()
        with suppress(OSError):
            self._path.unlink()


class Doorbells:
    """The server's ends of all doorbells, by their names; none is ever waited for."""

    def __init__(self) -> None:
        self._bells: dict[str, _Bell | None] = {}

    def has_room(self, bell: str, path: Path) -> bool:
        """True when one more header can be sent to the reader at that path now."""
        if bell not in self._bells:
            self._bells[bell] = _Bell.at(path)
        known = self._bells[bell]
        return known is not None and bool(known.room.poll(0))

    def ring(self, bell: str, header: bytes) -> bool:
        """Sends a header; False when the reader is gone or has not taken the earlier ones."""
        known = self._bells.get(bell)
        if known is None:
            return False
        try:
            known.socket.send(header)
        except OSError as error:
            if error.errno not in _FULL:
                known.socket.close()
                self._bells[bell] = None
            return False
        return True

    def forget(self, bell: str) -> None:
        """The reader has left."""
        known = self._bells.pop(bell, None)
        if known is not None:
            known.socket.close()

    def close(self) -> None:
        """Lets go of them all."""
        for bell in list(self._bells):
            self.forget(bell)


class _Bell:
    """The server's end of one, and what tells whether it has room."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        try:
            if path.lstat().st_uid != os.getuid():
                raise OSError("it belongs to another user")
            self.socket.setblocking(False)
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BYTES)
            self.socket.connect(str(path))
        except OSError:
            self.socket.close()
            raise
        self.room = select.poll()
        self.room.register(self.socket, select.POLLOUT)

    @classmethod
    def at(cls, path: Path) -> _Bell | None:
        """None where no reader of this user listens."""
        try:
            return cls(path)
        except OSError:
            return None


def is_silent(path: Path) -> bool:
    """True for a doorbell whose reader has died."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as bell:
        try:
            bell.connect(str(path))
        except ConnectionRefusedError:
            return True
        except OSError:
            return False
    return False
