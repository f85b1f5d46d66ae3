"""Ctrl-C that arrives where it does no harm: not in the middle of a frame on its way to disk."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class InterruptGuard:
    """While active, Ctrl-C and a polite kill raise KeyboardInterrupt once, outside `hold` only.

    A second one is ignored, so that the file at hand can be finished; `exit_code` says which
    signal came (130 or 143). Does nothing outside the main thread, where signals do not arrive.
    """

    def __init__(self) -> None:
        self.exit_code = 0
        self._held = False
        self._raised = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> InterruptGuard:
        if threading.current_thread() is threading.main_thread():
            for number in _SIGNALS:
                self._before[number] = signal.signal(number, self._arrived)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def _arrived(self, number: int, frame: FrameType | None) -> None:
        self.exit_code = self.exit_code or 128 + number
        if not self._held:
            self._raise_once()

    def _raise_once(self) -> None:
        if self.exit_code and not self._raised:
            self._raised = True
            raise KeyboardInterrupt

    @contextmanager
    def hold(self) -> Iterator[None]:
        """An interrupt inside waits until the end of the block."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
        self._raise_once()
