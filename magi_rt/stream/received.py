"""A frame that has arrived."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Protocol

from magi_rt.stream.formats import Bytes, decode_jpeg, raw_pixels
from magi_rt.stream.wire import FrameHeader


class Memory(Protocol):
    """Where shared pixels lie."""

    def intact(self, header: FrameHeader) -> bool:
        """True while they are those of the header."""
        ...


@dataclass(frozen=True, eq=False)
class Received:
    """One frame as it came; ``pixels``, ``index`` and ``chunk`` are those of a ``Frame``.

    Attributes:
        header: what the server says of it.
        payload: its bytes; they may not be written to.
        received_ns: when it was taken from the socket, ``time.monotonic_ns``.
        age_ns: how much older it was then than the freshest frames of this connection.
    """

    header: FrameHeader
    payload: bytes | memoryview | Bytes = field(repr=False)
    received_ns: int
    age_ns: int
    _memory: Memory | None = field(default=None, repr=False)

    @cached_property
    def pixels(self) -> Bytes:
        """[H, W, C] uint8 in the header's format and row order, read-only; a JPEG as RGB.

        Raises:
            WireError: a JPEG cannot be decoded.
        """
        if self.header.format == "jpeg":
            return decode_jpeg(self.header, bytes(self.payload))
        pixels = raw_pixels(self.header, self.payload)
        pixels.flags.writeable = False
        return pixels

    @property
    def index(self) -> int:
        """The world's own number of the picture, as in :class:`magi_rt.Frame`."""
        return self.header.frame

    @property
    def chunk(self) -> int:
        """Number of the chunk it was generated in, as in :class:`magi_rt.Frame`."""
        return self.header.chunk

    @property
    def intact(self) -> bool:
        """False when the server has overwritten these pixels in shared memory meanwhile.

        It matters to subscribers that were asked not to copy: ask after having used the pixels.
        """
        if self.header.shared is None or self._memory is None:
            return True
        return self._memory.intact(self.header)
