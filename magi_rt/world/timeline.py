"""The timeline of a world: where it is, where it was, and how it moves; no threads, no clock."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from magi_rt.errors import OptionError
from magi_rt.frames import Frame
from magi_rt.world.machine import WorldMachine
from magi_rt.world.moment import Moment
from magi_rt.world.orders import Order
from magi_rt.world.run_log import RunLog
from magi_rt.world.snapshot import Snapshot


class Timeline:
    """One moment that moves on, and the moments before it that can be gone back to.

    ``history`` holds copies of the moments before the last chunks, oldest first. They are never
    changed, so forks share them.
    """

    def __init__(
        self,
        machine: WorldMachine,
        moment: Moment,
        script: RunLog | None = None,
        history: Sequence[Moment] = (),
    ) -> None:
        self.machine = machine
        self.moment = moment
        self.script = script
        self.history: deque[Moment] = deque(history, maxlen=machine.history)

    @property
    def replaying(self) -> bool:
        """True while a log says which prompts come."""
        return self.script is not None and self.moment.chunks < self.script.chunks

    def advance(self, orders: Sequence[Order]) -> list[Frame]:
        """Generates the next chunk; a given order ends the following of a log.

        When anything goes wrong, also an interrupt, the moment is the one before the call.
        """
        script = None if orders else self.script
        if script is not None and self.replaying:
            orders = [
                Order(event.prompt, event.at)
                for event in script.events
                if event.chunk == self.moment.chunks
            ]
        for order in orders:
            self.machine.read_prompt(order.prompt)  # refuses before anything has moved
        before = self.moment.copy() if self.history.maxlen else None
        try:
            self.moment, frames = self.machine.advance(self.moment, orders)
        except BaseException:
            self.moment = before or self.moment
            raise
        self.script = script
        if before is not None:
            self.history.append(before)
        return frames

    def rewind(self, chunks: int) -> None:
        """Goes back to before the last chunks.

        Raises:
            OptionError: that many are not kept.
        """
        kept = len(self.history)
        if isinstance(chunks, bool) or not isinstance(chunks, int) or not 1 <= chunks <= kept:
            way_out = (
                f"give 1 to {kept}"
                if kept
                else "advance first, and open the world with history=N to keep N chunks"
            )
            raise OptionError(
                f"cannot rewind {chunks!r} chunks: {kept} are kept; {way_out}", field="chunks"
            )
        target = self.history[-chunks]
        self.moment = target.copy()
        for _ in range(chunks):
            self.history.pop()

    def snapshot(self) -> Snapshot:
        """A copy of this moment that outlives the world."""
        return self.machine.pack(self.moment)

    def restore(self, snapshot: Snapshot) -> None:
        """Goes to the snapshot's moment; what could be rewound before is forgotten.

        Raises:
            SnapshotError: it was made by another model or with other options.
        """
        self.moment = self.machine.unpack(snapshot)
        self.history.clear()
        self.script = None

    def fork(self) -> Timeline:
        """A second timeline from this moment on, with the same past."""
        return Timeline(self.machine, self.moment.copy(), self.script, self.history)
