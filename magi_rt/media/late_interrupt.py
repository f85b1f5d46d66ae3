"""Ctrl-C that waits for the end of a block, such as a frame on its way into a video."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def late_interrupt() -> Iterator[None]:
    """A first Ctrl-C inside is handled at the end of the block, as it would have been inside.

    A second one is handled at once, should the block never end. Does nothing outside the main
    thread, where signals do not arrive, and where a program without Python's handlers gets them.
    """
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or not callable(before):
        yield
        return
    came: list[tuple[int, FrameType | None]] = []

    def note(number: int, frame: FrameType | None) -> None:
        came.append((number, frame))
        if len(came) > 1:
            before(number, frame)

    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
        if came:
            before(*came[0])
