"""Pixels in a file that two processes of one machine map: only the header passes a socket."""

from __future__ import annotations

import mmap
import os
import stat
import struct
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import numpy as np

from magi_rt.errors import MagiError
from magi_rt.stream.doorbells import is_silent
from magi_rt.stream.formats import Bytes

if sys.platform != "win32":
    import fcntl

MAGIC = b"MAGISHM1"
PREFIX = "magi_rt-"
_OURS = f"{PREFIX}{'[0-9a-f]' * 16}-*"
SLOTS = 8
"""Frames that lie in a file: a frame stays for one fewer further ones."""

PAGE = 4_096
MAX_SLOTS = 1_024
_HEAD = struct.Struct("<8s16sIIQQ")
_TURNS = 64
_ABANDONED_S = 60.0


class SharedFramesError(MagiError):
    """A shared-memory file cannot be made, mapped, or is not the one asked for."""


def shared_folder() -> Path:
    """Where such files lie: memory itself where the system offers that."""
    memory = Path("/dev/shm")
    usable = memory.is_dir() and os.access(memory, os.W_OK | os.X_OK)
    return memory if usable else Path(tempfile.gettempdir())


class SharedWriter:
    """The server's end of one file.

    Args:
        stream: 16 hexadecimal digits.
        name: what lies in it, a part of the file's name: ``rgb8-top``.
        slot_bytes: most bytes of a frame; memory for eight of them is taken at once.
        folder: of the file; memory where the system offers that.
        turn: the even number at which turns begin: the ``beyond`` of an earlier file of the same
            stream and name, so that a reader which still maps that one takes none of its frames
            for one of these.

    Raises:
        SharedFramesError: the file cannot be made; on Windows it never can.
    """

    def __init__(
        self, stream: str, name: str, slot_bytes: int, *, folder: Path | None = None, turn: int = 0
    ) -> None:
        folder = folder or shared_folder()
        self.stream = stream
        self.path = folder / f"{PREFIX}{stream}-{name}"
        if sys.platform == "win32":  # a file that is mapped can be neither renamed nor removed
            raise SharedFramesError(
                f"{self.path} cannot be made on Windows; readers get pixels by socket",
                field="shared",
            )
        self.slot_bytes = -(-slot_bytes // PAGE) * PAGE
        self._start = -(-(_TURNS + 8 * SLOTS) // PAGE) * PAGE
        head = _HEAD.pack(MAGIC, stream.encode("ascii"), SLOTS, 0, self.slot_bytes, self._start)
        try:
            self._file, self._map = self._make(head)
        except OSError as error:
            raise SharedFramesError(
                f"{self.path} cannot be made ({error.strerror}); readers get pixels by socket",
                field="shared",
            ) from error
        self._all: Bytes = np.frombuffer(self._map, dtype=np.uint8)
        self._turns = self._all[_TURNS : _TURNS + 8 * SLOTS].view("<u8")
        self._turns[:] = turn
        self._next = 0

    def _make(self, head: bytes) -> tuple[int, mmap.mmap]:
        """Locked before it has its name, so that nobody takes it for a dead server's."""
        young = self.path.with_name(f"{self.path.name}.part")
        file = os.open(young, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            size = self._start + SLOTS * self.slot_bytes
            _reserve(file, size)
            lock(file)
            mapped = mmap.mmap(file, size)
            mapped[: len(head)] = head
            os.replace(young, self.path)
        except BaseException:
            os.close(file)
            with suppress(OSError):
                os.unlink(young)
            raise
        return file, mapped

    def begin(self, size: int) -> tuple[int, Bytes] | None:
        """The next slot's number and its pixels to be written; None when a frame is too large."""
        if size > self.slot_bytes:
            return None
        slot = self._next
        self._next = (slot + 1) % SLOTS
        self._turns[slot] |= np.uint64(1)
        start = self._start + slot * self.slot_bytes
        return slot, self._all[start : start + size]

    def end(self, slot: int) -> int:
        """The slot is written; returns its turn, for the header."""
        self._turns[slot] += np.uint64(1)
        return int(self._turns[slot])

    @property
    def beyond(self) -> int:
        """An even number that no turn has passed."""
        return int(self._turns.max()) + 1 & ~1

    def close(self) -> None:
        """Removes the file; readers that have mapped it keep what they see."""
        if self._file < 0:
            return
        with suppress(OSError):
            os.unlink(self.path)
        self._all = self._turns = np.empty(0, dtype=np.uint8)
        with suppress(BufferError):  # somebody still looks at a slot; the map ends with them
            self._map.close()
        os.close(self._file)
        self._file = -1


class SharedReader:
    """A client's end of one file; it can only read.

    Args:
        path: as the server told; its name must begin with ``magi_rt-``.
        stream: the server's, which must stand in the file.

    Raises:
        SharedFramesError: the file is absent, of somebody else, of another stream, or no such
            file at all.
    """

    def __init__(self, path: str | Path, stream: str) -> None:
        try:
            self._map = _map_for_reading(Path(path))
        except (OSError, ValueError) as error:
            raise SharedFramesError(f"{path} cannot be mapped ({error})", field="shared") from error
        self._all: Bytes = np.frombuffer(self._map, dtype=np.uint8)
        magic, owner, slots, _, self._slot_bytes, self._start = _HEAD.unpack_from(self._map)
        whole = self._start + slots * self._slot_bytes <= len(self._map)
        sound = magic == MAGIC and 2 <= slots <= MAX_SLOTS and _TURNS + 8 * slots <= self._start
        if not (whole and sound and owner == stream.encode("ascii")):
            self.close()
            raise SharedFramesError(f"{path} holds no frames of stream {stream}", field="shared")
        self._turns = self._all[_TURNS : _TURNS + 8 * slots].view("<u8")

    def view(self, slot: int, turn: int, size: int) -> Bytes | None:
        """The slot's pixels where they lie, None when they are not those of that turn.

        They change when the server comes round; :meth:`intact` tells afterwards.
        """
        if not self.intact(slot, turn) or size > self._slot_bytes:
            return None
        start = self._start + slot * self._slot_bytes
        return self._all[start : start + size]

    def intact(self, slot: int, turn: int) -> bool:
        """True while a slot holds the pixels of that turn."""
        return slot < len(self._turns) and turn % 2 == 0 and int(self._turns[slot]) == turn

    def copy(self, slot: int, turn: int, size: int) -> Bytes | None:
        """A copy of the slot's pixels, None when they were overwritten before or meanwhile."""
        seen = self.view(slot, turn, size)
        copied = None if seen is None else seen.copy()
        return copied if self.intact(slot, turn) else None

    def close(self) -> None:
        """Unmaps the file once nobody looks at its pixels any more."""
        self._all = self._turns = np.empty(0, dtype=np.uint8)
        with suppress(BufferError):
            self._map.close()


def _map_for_reading(path: Path) -> mmap.mmap:
    if not path.name.startswith(PREFIX):
        raise ValueError(f"its name does not begin with {PREFIX}")
    # a server could name a pipe, on which an ordinary open would wait for ever
    flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_NOFOLLOW", 0)
    file = os.open(path, flags)
    try:
        status = os.fstat(file)
        if not stat.S_ISREG(status.st_mode) or status.st_size < PAGE:
            raise ValueError("it is no file of frames")
        if hasattr(os, "getuid") and status.st_uid != os.getuid():
            raise ValueError("it belongs to another user")
        return mmap.mmap(file, status.st_size, access=mmap.ACCESS_READ)
    finally:
        os.close(file)


def _reserve(file: int, size: int) -> None:
    """Takes the whole size from the system now: writing to a map on a full one ends the process."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file, 0, size)
    else:
        os.write(file, bytes(size))


def lock(file: int) -> bool:
    """Holds a file until its process ends; False when another process holds it."""
    if sys.platform == "win32":
        return True  # no server makes files there
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def remove_abandoned(folder: Path | None = None) -> list[Path]:
    """Removes the files of this user whose servers have died, and dead readers' doorbells.

    Returns:
        What was removed.
    """
    removed = []
    for path in (folder or shared_folder()).glob(_OURS):
        with suppress(OSError):
            if path.is_socket():
                if is_silent(path):
                    path.unlink()
                    removed.append(path)
                continue
            young = path.name.endswith(".part")
            if young and time.time() - path.stat().st_mtime < _ABANDONED_S:
                continue
            file = os.open(path, os.O_RDWR | getattr(os, "O_NOFOLLOW", 0))
            try:
                if lock(file):
                    os.unlink(path)
                    removed.append(path)
            finally:
                os.close(file)
    return removed
