"""Where a world can go besides onward: to a snapshot, or back."""

from __future__ import annotations

from magi_rt.errors import ClosedWorldError, SnapshotError
from magi_rt.world.facts import WorldFacts
from magi_rt.world.orders import WaitingOrders
from magi_rt.world.snapshot import Snapshot
from magi_rt.world.turns import Turns


class WorldTravel(WorldFacts):
    """The part of a world that jumps; what jumps drops the prompts that wait."""

    _lock: Turns
    _waiting: WaitingOrders
    _closed: bool

    def snapshot(self) -> Snapshot:
        """The world at this moment, to be restored later or saved with ``.save(path)``.

        While a :meth:`frames` loop runs, this moment is the end of the chunk that it showed last;
        where the history does not reach back to it, it is the end of the newest chunk made.
        """
        with self._lock:
            self._refuse_closed()
            return self._timeline.snapshot(self._unseen)

    def restore(self, state: Snapshot) -> None:
        """Goes to the moment of a snapshot, of this world or of one with the same model, size,
        steps, window and depth; chunk and frame numbers go with it. Prompts that wait are
        dropped; chunks before the snapshot cannot be rewound. A replay ends: the world goes on
        freely from there.

        Raises:
            SnapshotError: it is none, or was made by another model or with other options.
        """
        if not isinstance(state, Snapshot):
            raise SnapshotError(
                f"a world is restored from a Snapshot, not from {type(state).__name__}; read a "
                "file with Snapshot.load(path)",
                field="state",
            )
        with self._lock:
            self._refuse_closed()
            self._timeline.restore(state)
            self._jumped()

    def rewind(self, chunks: int = 1) -> None:
        """Takes the last chunks back: the world continues as if they had never been made.

        Prompts that came with them are forgotten too, also the one that left the path of a replay,
        and prompts that wait are dropped. While a :meth:`frames` loop runs, the last chunk is the
        one that it showed last: those made ahead go back as well.

        Raises:
            OptionError: fewer than 1, or more than ``rewindable``.
        """
        with self._lock:
            self._refuse_closed()
            self._timeline.rewind(chunks, self._unseen)
            self._jumped()

    def _refuse_closed(self) -> None:
        if self._closed:
            raise ClosedWorldError("this world is closed; open another one")

    def _jumped(self) -> None:
        self._waiting.clear()
        self._loop.jump(self.chunks)
