"""What a publisher and a subscriber have done so far."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field


@dataclass
class PublisherStats:
    """What a publisher has done so far.

    Attributes:
        published: frames given to it.
        sent: messages with a frame, over all topics.
        repeated: of those, sent again for newcomers.
        copied: of those, sent as copies since slow readers held the buffers.
        skipped: messages that could not be sent, and doorbells whose reader had not taken the
            earlier ones.
        events: events sent, heartbeats among them.
        ring_in_use: buffers that cannot be written now.
        topics: messages sent by topic.
        wanted: topics that somebody subscribes to now.
    """

    published: int = 0
    sent: int = 0
    repeated: int = 0
    copied: int = 0
    skipped: int = 0
    events: int = 0
    ring_in_use: int = 0
    topics: dict[str, int] = field(default_factory=dict)
    wanted: tuple[str, ...] = ()


@dataclass
class SubscriberStats:
    """What a subscriber has received so far.

    Attributes:
        received: messages with a frame.
        taken: of those, frames handed out (or ready to be).
        events: events received.
        dropped: frames that did not count, by reason: ``stream``, ``epoch``, ``seq`` (not new),
            ``replaced`` (a newer one was there), ``stale``, ``overwritten`` (in shared memory),
            ``malformed``, and ``full`` (all were wanted, but nobody took them). A reason that
            never was counts 0.
        layout: by which frames come now: ``parts``, ``packed`` or ``shared``.
    """

    received: int = 0
    taken: int = 0
    events: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    layout: str = "parts"

    def drop(self, reason: str) -> None:
        """Counts a frame that does not count."""
        self.dropped[reason] += 1
