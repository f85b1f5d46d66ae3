"""What the tests of subscribers share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from magi_rt.stream.publisher import FramePublisher
from magi_rt.stream.received import Received
from magi_rt.stream.subscriber import FrameSubscriber
from tests.stream.support import heard_of, wait_until

SOON_S = 60.0


@contextmanager
def subscribed(publisher: FramePublisher, **options: Any) -> Iterator[FrameSubscriber]:
    """A subscriber that the publisher has heard of; without shared memory unless asked for."""
    options = {"layout": "parts"} | options
    with FrameSubscriber(publisher.address, **options) as subscriber:
        wait_until(lambda: heard_of(publisher), "somebody subscribes")
        yield subscriber


def shown(subscriber: FrameSubscriber) -> Received:
    received = subscriber.next(SOON_S)
    assert received is not None
    return received


def shown_after(subscriber: FrameSubscriber, seq: int) -> Received:
    """The frame of that ``seq`` or a later one; earlier ones may still be on their way."""
    while (received := shown(subscriber)).header.seq < seq:
        pass
    return received
