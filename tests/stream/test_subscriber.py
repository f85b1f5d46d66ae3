"""A subscriber against real publishers: joining, restarts, silence, noise."""

from __future__ import annotations

import gc
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import zmq

from magi_rt.errors import OptionError
from magi_rt.stream.events import Event, NewEpoch
from magi_rt.stream.incoming import incoming
from magi_rt.stream.publisher import FramePublisher
from magi_rt.stream.received import Received
from magi_rt.stream.subscriber import FrameSubscriber
from tests.stream.subscribing_kit import SOON_S, shown, shown_after, subscribed
from tests.stream.support import (
    NEXT_STREAM,
    STREAM,
    cancel,
    heard_of,
    picture,
    publish,
    raw_reader,
    wait_until,
    wanted,
)

RGB = "frame/rgb8/top/parts"


def test_a_newcomer_sees_the_last_frame_without_waiting_for_another(
    publisher: FramePublisher,
) -> None:
    publish(publisher, picture(seed=3), frame=12)
    with subscribed(publisher) as subscriber:
        received = shown(subscriber)
        assert received.header.frame == 12 and received.header.repeated
        assert np.array_equal(received.pixels, picture(seed=3))
        assert subscriber.connected and subscriber.stream == publisher.stream
        assert subscriber.latest() is received


@pytest.mark.parametrize("layout", ["parts", "packed"])
@pytest.mark.parametrize("rows", ["top", "bottom"])
def test_pixels_arrive_in_the_rows_that_were_asked_for(
    publisher: FramePublisher, layout: str, rows: str
) -> None:
    with subscribed(publisher, layout=layout, rows=rows, format="bgra8") as subscriber:
        publish(publisher)
        pixels = shown(subscriber).pixels
        upright = pixels if rows == "top" else pixels[::-1]
        assert np.array_equal(upright[..., 2::-1], picture())
        assert not pixels.flags.writeable
        assert subscriber.stats.layout == layout


def test_what_a_stranger_cancels_comes_again_though_other_frames_go_on(
    publisher: FramePublisher,
) -> None:
    with subscribed(publisher) as subscriber, raw_reader(publisher, "frame/bgra8/top/parts"):
        wanted(publisher, RGB, "frame/bgra8/top/parts")
        publish(publisher)
        shown(subscriber)
        cancel(publisher, RGB)
        lost = publish(publisher)
        wait_until(
            lambda: publish(publisher) and RGB in heard_of(publisher),
            "the reader hears what it misses and subscribes anew",
        )
        assert shown_after(subscriber, lost + 1).header.seq > lost


def test_a_jpeg_arrives_as_rgb(publisher: FramePublisher) -> None:
    with subscribed(publisher, format="jpeg") as subscriber:
        publish(publisher, picture(24, 32))
        received = shown(subscriber)
        assert received.header.format == "jpeg"
        assert received.pixels.shape == (24, 32, 3)


def test_every_frame_arrives_when_all_are_wanted(publisher: FramePublisher) -> None:
    with subscribed(publisher, every=True) as subscriber:
        for frame in range(20):
            publish(publisher, frame=frame)
            assert shown(subscriber).header.frame == frame


def test_a_reader_that_lost_nothing_has_dropped_zero_for_every_reason(
    publisher: FramePublisher,
) -> None:
    with subscribed(publisher, every=True) as subscriber:
        publish(publisher)
        shown(subscriber)
        assert subscriber.stats.dropped["full"] == 0
        assert subscriber.stats.dropped == {}, "to ask counts nothing"


def test_frames_are_iterated_until_the_subscriber_is_closed(publisher: FramePublisher) -> None:
    seen: list[int] = []
    with subscribed(publisher, every=True) as subscriber:
        thread = threading.Thread(target=lambda: seen.extend(f.header.frame for f in subscriber))
        thread.start()
        for frame in range(5):
            publish(publisher, frame=frame)
        wait_until(lambda: subscriber.stats.taken >= 5, "five frames have come")
        subscriber.close()
        thread.join(SOON_S)
    assert not thread.is_alive()
    assert seen == list(range(5))[: len(seen)]


def test_callbacks_get_frames_and_events_and_may_fail(publisher: FramePublisher) -> None:
    frames: list[int] = []
    events: list[Event] = []

    def note(received: Received) -> None:
        frames.append(received.header.frame)
        raise RuntimeError("the caller's own mistake")

    with subscribed(publisher, on_frame=note, on_event=events.append, every=True):
        for frame in range(3):
            publish(publisher, frame=frame)
        publisher.event("epoch", epoch=2, reason="flush")
        wait_until(lambda: len(frames) >= 3 and events, "frames and an event have come")
    assert frames[-3:] == [0, 1, 2]
    assert isinstance(events[-1], NewEpoch) and events[-1].reason == "flush"


def test_a_callback_may_close_the_subscriber(publisher: FramePublisher) -> None:
    holder: list[FrameSubscriber] = []
    closed = threading.Event()

    def end(_: Received) -> None:
        holder[0].close()
        closed.set()

    before = threading.active_count()
    publish(publisher)
    with subscribed(publisher, on_frame=end) as subscriber:
        holder.append(subscriber)
        wait_until(lambda: (publish(publisher), closed.is_set())[1], "the callback has closed it")
        wait_until(lambda: threading.active_count() == before, "its thread has ended")
        assert sum(1 for _ in subscriber) <= 1
    holder.clear()
    del subscriber, end
    gc.collect()  # what was left open would be told as a warning, and warnings are errors


def test_after_a_receipt_no_older_frame_is_handed_out(publisher: FramePublisher) -> None:
    with subscribed(publisher) as subscriber:
        publish(publisher, epoch=1)
        wait_until(subscriber.latest, "a frame has come")
        subscriber.drop_before(2)
        assert subscriber.latest() is None
        assert subscriber.next(0) is None
        publish(publisher, epoch=1)
        publish(publisher, epoch=2)
        assert shown(subscriber).header.epoch == 2


def test_an_event_of_a_new_epoch_takes_the_old_frames_back(publisher: FramePublisher) -> None:
    with subscribed(publisher, every=True) as subscriber:
        publish(publisher, epoch=1)
        wait_until(subscriber.latest, "a frame has come")
        publisher.event("epoch", epoch=2, reason="reset")
        wait_until(lambda: subscriber.epoch == 2, "the event has come")
        wait_until(lambda: subscriber.latest() is None, "the old frame is gone")
        assert subscriber.next(0) is None


def test_a_silent_server_is_lost_and_found_again(publisher: FramePublisher) -> None:
    with subscribed(publisher) as subscriber:
        publish(publisher)
        wait_until(lambda: subscriber.connected, "the server is heard")
        wait_until(lambda: not subscriber.connected, "its silence is noticed")
        wait_until(lambda: heard_of(publisher) and subscriber.connected, "its heartbeat is heard")


def test_a_server_that_says_bye_is_lost_at_once(publisher: FramePublisher) -> None:
    with subscribed(publisher) as subscriber:
        publish(publisher)
        wait_until(lambda: subscriber.connected, "the server is heard")
        publisher.close()
        wait_until(lambda: not subscriber.connected, "its bye is heard")


def test_a_restarted_server_is_found_and_its_frames_count_from_one(tmp_path: Path) -> None:
    address = f"ipc://{tmp_path}/frames"
    with FramePublisher(address, stream=STREAM) as first, subscribed(first) as subscriber:
        for _ in range(5):
            publish(first, epoch=9)
        wait_until(lambda: subscriber.epoch == 9, "a frame has come")
        first.close()
        with FramePublisher(address, stream=NEXT_STREAM) as second:
            wanted(second, RGB)
            publish(second, epoch=0, frame=1)
            wait_until(lambda: subscriber.stream == NEXT_STREAM, "the new stream is heard")
            wait_until(
                lambda: (latest := subscriber.latest()) and latest.header.stream == NEXT_STREAM,
                "its frame is shown",
            )
            assert subscriber.epoch == 0


def test_a_subscriber_without_a_server_waits_and_ends_when_told() -> None:
    with FrameSubscriber("ipc:///tmp/magi_rt-nobody-is-here") as subscriber:
        assert subscriber.latest() is None
        assert subscriber.next(0.01) is None
        assert not subscriber.connected
        assert (subscriber.stream, subscriber.epoch) == ("", 0)
    subscriber.close()
    assert subscriber.next() is None


def test_a_subscriber_may_be_closed_at_the_moment_in_which_its_thread_ends(
    publisher: FramePublisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    subscriber = FrameSubscriber(publisher.address, layout="parts")
    wake, woken = subscriber._wake, subscriber._woken
    wanted(publisher, RGB)

    class Late:
        """Says that there is something to end only when the thread has had time to see it."""

        def send(self, _message: bytes, _flags: int) -> None:
            for _ in range(150):  # it looks up by itself once a second
                if woken.closed:
                    break
                time.sleep(0.01)
            wake.send(b"", zmq.DONTWAIT)

        def close(self) -> None:
            wake.close()

    monkeypatch.setattr(subscriber, "_wake", Late())
    subscriber.close()
    assert subscriber.closed and woken.closed and wake.closed


def test_a_context_that_ends_first_ends_the_subscriber(publisher: FramePublisher) -> None:
    context = zmq.Context()
    subscriber = FrameSubscriber(publisher.address, layout="parts", context=context)
    context.term()
    assert subscriber.next() is None
    subscriber.close()


def test_noise_between_frames_does_not_stop_them() -> None:
    with zmq.Context() as context, context.socket(zmq.XPUB) as socket:
        socket.setsockopt(zmq.LINGER, 0)
        port = socket.bind_to_random_port("tcp://127.0.0.1")
        with FrameSubscriber(f"tcp://127.0.0.1:{port}", layout="parts") as subscriber:
            socket.setsockopt(zmq.RCVTIMEO, int(1000 * SOON_S))
            heard = {socket.recv(), socket.recv()}
            assert heard == {b"\1event", b"\1" + RGB.encode()}
            for noise in ([b"event"], [b"event", b"\xc1"], [RGB.encode(), b"", b""]):
                socket.send_multipart(noise)
            wait_until(lambda: subscriber.stats.dropped["malformed"] == 3, "noise is counted")
            assert not subscriber.connected


@pytest.mark.parametrize(
    "options",
    [
        {"address": "tcp://127.0.0.1:*"},
        {"address": "nowhere"},
        {"address": "tcp://127.0.0.1:70000"},
        {"control": "nowhere"},
        {"control": "tcp://127.0.0.1:*"},
        {"format": "rgb16"},
        {"rows": "left"},
        {"layout": "fastest"},
        {"format": "jpeg", "rows": "bottom"},
        {"format": "jpeg", "layout": "shared"},
    ],
)
def test_words_that_mean_nothing_are_refused_at_once(options: dict[str, str]) -> None:
    before = threading.active_count()
    with pytest.raises(OptionError):
        FrameSubscriber(**options)  # type: ignore[arg-type]
    assert threading.active_count() == before


def test_a_reader_that_is_held_up_for_long_is_not_given_up_by_heartbeats() -> None:
    """libzmq's heartbeats end the process when the queue of the connection they give up is full."""
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    with incoming(context, "tcp://127.0.0.1:9", None, 6) as socket:
        assert socket.getsockopt(zmq.HEARTBEAT_IVL) == 0
        assert socket.getsockopt(zmq.TCP_KEEPALIVE) == 1
    context.term()
