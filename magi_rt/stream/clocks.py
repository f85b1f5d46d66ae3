"""How old a frame is, on clocks that need not agree, and when it is too old to be shown."""

from __future__ import annotations

FRESH_FRAMES = 2
"""A frame older than so many frame times is stale."""

SHORTEST_FRAME_NS = 1_000_000_000 // 60
LONGEST_FRAME_NS = 1_000_000_000
WAIT_NS = 100_000_000
"""A stale frame is shown when no fresh one has come for so long."""

USUAL_AFTER_NS = 1_000_000_000
"""What arrives late for so long without a pause is not stale: the way has become longer."""

DRIFT = 1_000
"""One part in so many: clocks of two machines run apart more slowly than that."""


class Ages:
    """The age of frames on one connection, and the pace at which they follow each other.

    Differences of the clocks drift, so the smallest one is forgotten slowly; and when every frame
    of a whole second was late, the way itself has become longer, and counts from then on.
    """

    def __init__(self) -> None:
        self.frame_ns = LONGEST_FRAME_NS
        self._smallest: int | None = None
        self._recent: int | None = None
        self._late_since: int | None = None
        self._last: tuple[int, int] | None = None
        self._heard_ns = 0

    def age_ns(self, sent_ns: int, now_ns: int) -> int:
        """Nanoseconds by which a frame is older than the freshest ones; call it for every frame."""
        difference = now_ns - sent_ns
        if self._smallest is None:
            self._smallest = difference
        else:
            passed = min(max(now_ns - self._heard_ns, 0), WAIT_NS)
            self._smallest = min(difference, self._smallest + passed // DRIFT)
        self._adapt(difference, now_ns)
        self._heard_ns = now_ns
        return difference - self._smallest

    def _adapt(self, difference: int, now_ns: int) -> None:
        assert self._smallest is not None
        paused = now_ns - self._heard_ns > WAIT_NS
        if difference - self._smallest <= self.limit_ns or paused or self._late_since is None:
            late = difference - self._smallest > self.limit_ns
            self._late_since, self._recent = (now_ns, difference) if late else (None, None)
            return
        self._recent = difference if self._recent is None else min(self._recent, difference)
        if now_ns - self._late_since > USUAL_AFTER_NS:
            self._smallest, self._late_since = self._recent, None

    def pace(self, seq: int, due_ns: int) -> None:
        """Learns the frame time from two frames that follow each other."""
        if self._last is not None and seq > self._last[0] and due_ns > self._last[1]:
            each = (due_ns - self._last[1]) // (seq - self._last[0])
            self.frame_ns = min(max(each, SHORTEST_FRAME_NS), LONGEST_FRAME_NS)
        self._last = (seq, due_ns)

    @property
    def limit_ns(self) -> int:
        """A frame of a larger age is stale."""
        return FRESH_FRAMES * self.frame_ns

    def is_stale(self, age_ns: int) -> bool:
        """True when a frame of that age waits for a fresher one."""
        return age_ns > self.limit_ns
