"""What a reader gets after its process stood still."""

from __future__ import annotations

import threading
import time

import pytest

from magi_rt.stream.arrivals import LAIN_NS
from magi_rt.stream.publisher import FramePublisher
from magi_rt.stream.received import Received
from tests.stream.subscribing_kit import SOON_S, shown, subscribed
from tests.stream.support import publish, wait_until


@pytest.mark.parametrize("every", [False, True])
def test_after_a_time_of_standing_still_the_newest_frame_is_shown(
    publisher: FramePublisher, every: bool
) -> None:
    with subscribed(publisher, on_frame=(stop := Stop()), every=every) as subscriber:
        publish(publisher, frame=1)
        stop.wait()
        publish(publisher, frame=2)
        stop.end_after_a_while()
        assert shown(subscriber).header.frame == (1 if every else 2)


def test_a_frame_that_is_the_newest_is_shown_however_long_it_has_lain(
    publisher: FramePublisher,
) -> None:
    with subscribed(publisher) as subscriber:
        publish(publisher, frame=1)
        wait_until(lambda: subscriber.latest() is not None, "the frame is there")
        time.sleep(2 * LAIN_NS / 1e9)
        assert shown(subscriber).header.frame == 1
        assert subscriber.next(0.01) is None


def test_an_old_frame_whose_epoch_has_ended_meanwhile_is_not_shown(
    publisher: FramePublisher,
) -> None:
    with subscribed(publisher, on_frame=(stop := Stop())) as subscriber:
        publish(publisher, frame=1)
        stop.wait()
        publisher.event("epoch", epoch=2, reason="reset")
        stop.end_after_a_while()
        assert subscriber.next(0.3) is None
        publish(publisher, frame=7, epoch=2)
        assert shown(subscriber).header.frame == 7


class Stop:
    """Holds a subscriber's thread up, as if its process stood still."""

    def __init__(self) -> None:
        self._stands, self._goes_on = threading.Event(), threading.Event()

    def __call__(self, _: Received) -> None:
        self._stands.set()
        self._goes_on.wait(SOON_S)

    def wait(self) -> None:
        assert self._stands.wait(SOON_S)

    def end_after_a_while(self) -> None:
        time.sleep(2 * LAIN_NS / 1e9)
        threading.Timer(0.02, self._goes_on.set).start()
