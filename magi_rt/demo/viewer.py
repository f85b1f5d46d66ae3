"""One page that watches: what waits to be sent to it, never more than the newest frames."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from magi_rt.demo.wheel import Bucket
from magi_rt.world.actions import Stick

MOST_WAITING = 512
"""Events that may wait for a page; one that reads none of so many is let go."""


class Viewer:
    """A page's end in the room. Lives on the event loop.

    Args:
        number: tells viewers apart.
        clock: seconds that only grow.

    Attributes:
        sticks: what each of its devices points at; turn: of the wheel, in which they were moved.
        skipped: frames that were not sent because newer ones came first.
    """

    def __init__(self, number: int, clock: Callable[[], float]) -> None:
        self.number, self.bucket = number, Bucket(clock)
        self.sticks: dict[str, Stick] = {}
        self.turn = 0
        self.lost = False
        self._events: deque[str] = deque()
        self._frames: dict[int, object] = {}
        self.skipped = 0
        self._something = asyncio.Event()

    def tell(self, event: Mapping[str, Any]) -> None:
        """Leaves an event or answer for the page."""
        if len(self._events) >= MOST_WAITING:
            self.lost = True
        else:
            self._events.append(json.dumps(event))
        self._something.set()

    def refresh(self, picture: int, frame: object) -> None:
        """Says that a picture has a newer frame."""
        self.skipped += picture in self._frames
        self._frames[picture] = frame
        self._something.set()

    async def next(self) -> tuple[list[str], dict[int, Any]]:
        """Waits until there is something to send; takes all of it."""
        await self._something.wait()
        self._something.clear()
        events, frames = list(self._events), self._frames
        self._events.clear()
        self._frames = {}
        return events, frames
