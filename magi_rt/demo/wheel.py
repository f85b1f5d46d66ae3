"""Who steers: one viewer holds the wheel, others ask for it; nobody asks too often."""

from __future__ import annotations

from collections.abc import Callable

IDLE_S = 30.0
"""A wheel whose holder has not steered for so long goes to who asked first."""

BURST, PER_SECOND = 40.0, 20.0
"""Requests of one viewer: so many at once, and so many per second in the long run."""


class Wheel:
    """One wheel for all viewers, who are told apart by numbers.

    Args:
        shared: everybody steers, nobody needs the wheel.
        clock: seconds that only grow.

    Attributes:
        turns: how often it was given to somebody.
    """

    def __init__(self, clock: Callable[[], float], *, shared: bool = False) -> None:
        self.shared = shared
        self.holder: int | None = None
        self.asking: list[int] = []
        self.turns = 0
        self._clock, self._used = clock, 0.0

    def join(self, viewer: int) -> None:
        """A viewer comes; the first one steers."""
        if self.holder is None:
            self._give(viewer)

    def leave(self, viewer: int, present: list[int]) -> None:
        """A viewer goes; the wheel goes to who asked first, else to who is here longest."""
        self.asking = [each for each in self.asking if each != viewer]
        if self.holder == viewer:
            heirs = [each for each in (*self.asking, *present) if each != viewer]
            self.holder = None
            if heirs:
                self._give(heirs[0])

    def ask(self, viewer: int) -> bool:
        """A viewer wants to steer. True when it may at once; who asked before goes first."""
        idle = self._clock() - self._used > IDLE_S
        if self.holder in (None, viewer) or (idle and self.asking[:1] in ([], [viewer])):
            self._give(viewer)
            return True
        if viewer not in self.asking:
            self.asking.append(viewer)
        return False

    def pass_on(self) -> bool:
        """Hands a wheel that nobody has used for long to who asked first; True when it did."""
        idle = self._clock() - self._used > IDLE_S
        if self.shared or not self.asking or not idle:
            return False
        self._give(self.asking[0])
        return True

    def give(self, viewer: int, to: int) -> bool:
        """The holder hands the wheel on; False when it is not this viewer's to give."""
        if self.holder != viewer:
            return False
        self._give(to)
        return True

    def may_steer(self, viewer: int) -> bool:
        """True when this viewer's requests count; they also keep the wheel."""
        if self.shared:
            return True
        if self.holder != viewer:
            return False
        self._used = self._clock()
        return True

    def _give(self, viewer: int) -> None:
        self.turns += self.holder != viewer
        self.holder, self._used = viewer, self._clock()
        self.asking = [each for each in self.asking if each != viewer]


class Bucket:
    """Lets a burst through, then a steady number per second."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock, self._left, self._filled = clock, BURST, clock()

    def take(self) -> bool:
        """True when one more request is allowed now."""
        now = self._clock()
        self._left = min(BURST, self._left + (now - self._filled) * PER_SECOND)
        self._filled = now
        if self._left < 1:
            return False
        self._left -= 1
        return True
