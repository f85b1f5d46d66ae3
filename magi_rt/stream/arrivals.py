"""Frames that have arrived and wait for their reader: all of them, or the newest."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable

from magi_rt.stream.received import Received

QUEUE = 240
"""Frames kept for a reader that wants every one."""

LAIN_NS = 100_000_000
"""A frame that nothing has replaced for so long may only seem the newest: the process may have
stood still, and what came meanwhile is not read yet."""

LOOK_S = 0.2
"""For how long the thread that reads is then waited for at most: twice what a stale frame waits for
a fresh one."""


class Arrivals:
    """Between the thread that reads the socket and those that want frames.

    Args:
        every: keep up to 240 frames instead of the newest.
        look: has the thread read what is there and call :meth:`looked`. It must not wait.

    Attributes:
        changed: held while anything here is used.
        latest: the newest frame, None when there is none that counts.
        closed: nothing more will come.
    """

    def __init__(self, every: bool, look: Callable[[], None]) -> None:
        self.changed = threading.Condition()
        self.latest: Received | None = None
        self.closed = False
        self._every, self._look, self._looks = every, look, 0
        self._queue: deque[Received] = deque(maxlen=QUEUE)

    def put(self, received: Received) -> bool:
        """Keeps a frame; True when another that nobody has taken had to go, of those that all were
        wanted."""
        with self.changed:
            self.latest = received
            if not self._every:
                self._queue.clear()
            full = len(self._queue) == QUEUE
            self._queue.append(received)
            self.changed.notify_all()
            return full

    def forget(self, is_old: Callable[[Received], bool]) -> None:
        """Frames that are old are gone, whether anybody has taken them or not."""
        with self.changed:
            while self._queue and is_old(self._queue[0]):
                self._queue.popleft()
            if self.latest is not None and is_old(self.latest):
                self.latest = None

    def next(self, timeout_s: float | None) -> Received | None:
        """Waits for a frame that was not returned yet; None when none came, or all is closed."""
        due = None if timeout_s is None else time.monotonic() + timeout_s
        with self.changed:
            self._wait(due)
            if self._queue and not self._every and _has_lain(self._queue[0]):
                self._look_again()
                self._wait(due)  # that frame may have been of an epoch that has ended
            return self._queue.popleft() if self._queue else None

    def _wait(self, due: float | None) -> None:
        left = None if due is None else max(0.0, due - time.monotonic())
        self.changed.wait_for(lambda: self._queue or self.closed, left)

    def _look_again(self) -> None:
        looks = self._looks
        if not self.closed:
            self._look()
        self.changed.wait_for(lambda: self._looks > looks or self.closed, LOOK_S)

    def looked(self) -> None:
        """All that had come when ``look`` was called is read."""
        with self.changed:
            self._looks += 1
            self.changed.notify_all()

    def close(self) -> bool:
        """Whoever waits goes on; False when it was closed before."""
        with self.changed:
            if self.closed:
                return False
            self.closed = True
            self.changed.notify_all()
            return True


def _has_lain(received: Received) -> bool:
    return time.monotonic_ns() - received.received_ns > LAIN_NS
