"""Taking turns: a lock that is fair."""

from __future__ import annotations

import threading
from collections import deque


class Turns:
    """A lock that threads get in the order in which they asked; its holder may take it again.

    Python's own lock lets a thread that comes back at once take it many times in a row.
    """

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._waiting: deque[tuple[int, threading.Lock]] = deque()
        self._holder: int | None = None
        self._depth = 0

    def __enter__(self) -> None:
        me = threading.get_ident()
        if self._holder != me:
            self._wait(me)
        self._depth += 1

    def __exit__(self, *_: object) -> None:
        self._depth -= 1
        if not self._depth:
            with self._guard:
                self._hand_on()

    def _wait(self, me: int) -> None:
        turn = threading.Lock()
        with self._guard:
            if self._holder is None:
                self._holder = me
                return
            turn.acquire()
            self._waiting.append((me, turn))
        try:
            turn.acquire()  # released by the holder before, who has named this thread
        except BaseException:  # Ctrl-C while it waits
            with self._guard:
                if self._holder == me:
                    self._hand_on()
                else:
                    self._waiting.remove((me, turn))
            raise

    def _hand_on(self) -> None:
        if not self._waiting:
            self._holder = None
            return
        self._holder, turn = self._waiting.popleft()
        turn.release()
