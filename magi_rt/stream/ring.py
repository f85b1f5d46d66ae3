"""Buffers that libzmq reads from while it sends, and when each may be written again."""

from __future__ import annotations

import numpy as np
import zmq

from magi_rt.stream.formats import Bytes

RESERVE = 4
"""One part in so many is kept free: sent frames hold the rest at most."""


class Slot:
    """One buffer.

    Attributes:
        data: uint8 of the ring's size.
        tracked: False for the one buffer whose content is to be sent as a copy.
        held: True while the last frame lies in it; it is not handed out then.
    """

    def __init__(self, size: int, tracked: bool) -> None:
        self.data: Bytes = np.empty(size, dtype=np.uint8)
        self.tracked = tracked
        self.held = False
        self._pending: list[zmq.MessageTracker] = []

    def sent(self, tracker: zmq.MessageTracker | None) -> None:
        """The buffer went out, or a part of it, and libzmq tells by the tracker when it is done."""
        if tracker is not None and not tracker.done:
            self._pending.append(tracker)

    @property
    def busy(self) -> bool:
        """libzmq still reads from it, or the last frame lies in it."""
        if self._pending:
            self._pending = [each for each in self._pending if not each.done]
        return self.held or bool(self._pending)


class BufferRing:
    """A few buffers of one size, made when first needed.

    Args:
        slots: 4 or more; a quarter is kept in reserve.
        size: bytes of each.
    """

    def __init__(self, slots: int, size: int) -> None:
        self.size = size
        self._limit = slots - max(1, slots // RESERVE)
        self._slots: list[Slot] = []
        self._copied: list[Slot] = []

    def take(self) -> Slot:
        """A buffer to write into.

        When readers hold all but the reserve it is one whose content is sent as a copy
        (``tracked`` is False): the other readers go on, and the ring does not grow.
        """
        for slot in self._slots:
            if not slot.busy:
                return slot
        if len(self._slots) < self._limit:
            self._slots.append(Slot(self.size, tracked=True))
            return self._slots[-1]
        for slot in self._copied:
            if not slot.held:
                return slot
        self._copied.append(Slot(self.size, tracked=False))
        return self._copied[-1]

    @property
    def in_use(self) -> int:
        """Buffers that cannot be written now."""
        return sum(slot.busy for slot in self._slots)
