"""Ctrl-C that arrives where it does no harm: not in the middle of a frame on its way to disk."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from types import FrameType, TracebackType

_HANGUP = getattr(signal, "SIGHUP", None)  # not on Windows


@contextmanager
def endings(arrived: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Inside, Ctrl-C, a polite kill and a terminal that is closed call `arrived` instead.

    What `nohup` keeps going goes on when its terminal is closed. What would be written to a closed
    terminal goes nowhere, instead of failing. Does nothing outside the main thread, where signals
    do not arrive.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = [signal.SIGINT, signal.SIGTERM]
    screens = [number for number in (1, 2) if os.isatty(number)]
    if _HANGUP is not None and signal.getsignal(_HANGUP) is not signal.SIG_IGN:
        numbers.append(_HANGUP)

    def came(number: int, frame: FrameType | None) -> None:
        if number == _HANGUP:
            _silence(screens)
        arrived(number, frame)

    before = {number: signal.signal(number, came) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _silence(screens: list[int]) -> None:
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for screen in screens:
        os.dup2(nowhere, screen)
    os.close(nowhere)


class InterruptGuard:
    """While active, what ends a program raises KeyboardInterrupt once, outside `hold` only.

    A second one is ignored, so that the file at hand can be finished; `exit_code` says which
    signal came: 130 for Ctrl-C, 143 for a polite kill, 129 for a closed terminal. See `endings`.
    """

    def __init__(self) -> None:
        self.exit_code = 0
        self._held = False
        self._raised = False
        self._signals = ExitStack()

    def __enter__(self) -> InterruptGuard:
        self._signals.enter_context(endings(self._arrived))
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._signals.close()

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
