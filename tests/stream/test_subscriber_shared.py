"""A subscriber takes frames from shared memory where it can, and from the socket where not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import zmq

from magi_rt.stream.publisher import FramePublisher
from tests.stream.subscribing_kit import SOON_S, shown, shown_after, subscribed
from tests.stream.support import heard_of, picture, publish, wait_until, wanted

RUNG = "bell/rgb8/top"


def test_shared_memory_is_taken_when_its_file_is_there(publisher: FramePublisher) -> None:
    file = publisher.offer_shared("rgb8/top")
    with subscribed(publisher, layout="auto", shared_file=file) as subscriber:
        wait_until(
            lambda: (publish(publisher), subscriber.stats.layout == "shared")[1],
            "frames come through shared memory",
        )
        wanted(publisher, RUNG)
        received = shown_after(subscriber, publish(publisher, picture(seed=8)))
        assert received.header.shared is not None
        assert np.array_equal(received.pixels, picture(seed=8))
        assert received.intact


def test_lent_pixels_tell_when_the_server_has_come_round(publisher: FramePublisher) -> None:
    file = publisher.offer_shared("rgb8/top")
    with subscribed(publisher, layout="shared", shared_file=file, copy=False) as subscriber:
        wait_until(
            lambda: (publish(publisher), subscriber.stats.layout == "shared")[1],
            "frames come through shared memory",
        )
        wanted(publisher, RUNG)
        wait_until(
            lambda: (publish(publisher), shown(subscriber))[1].header.shared, "a shared frame"
        )
        received = shown_after(subscriber, publish(publisher, picture(seed=8)))
        assert received.intact and np.array_equal(received.pixels, picture(seed=8))
        wait_until(
            lambda: (publish(publisher), not received.intact)[1], "eight more have been written"
        )


def test_a_file_that_is_not_there_leaves_frames_on_the_socket(publisher: FramePublisher) -> None:
    with subscribed(publisher, shared_file="/dev/shm/magi_rt-absent", layout="auto") as subscriber:
        for frame in range(3):
            publish(publisher, frame=frame)
            assert shown(subscriber).header.shared is None
        assert subscriber.stats.layout == "parts"


def test_frames_come_by_socket_again_when_shared_memory_goes_silent(
    publisher: FramePublisher,
) -> None:
    file = publisher.offer_shared("rgb8/top")
    with subscribed(publisher, layout="auto", shared_file=file) as subscriber:
        wait_until(
            lambda: (publish(publisher), subscriber.stats.layout == "shared")[1],
            "frames come through shared memory",
        )
        wanted(publisher, RUNG)
        large = picture(100, 200)
        publish(publisher, large)  # does not fit into the file: nothing can be sent

        def beaten() -> bool:
            publisher.poll()
            return subscriber.stats.layout == "parts"

        wait_until(beaten, "a heartbeat tells of a frame that has not come")
        wait_until(
            lambda: (
                heard_of(publisher)
                and (latest := subscriber.latest()) is not None
                and latest.header.width == 200
            ),
            "the frame comes by socket",
        )


def test_heartbeats_read_at_once_after_a_stall_do_not_end_shared_memory(
    publisher: FramePublisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("magi_rt.stream.shared_way.PATIENCE_S", 1e6)
    file = publisher.offer_shared("rgb8/top")
    with subscribed(publisher, layout="auto", shared_file=file) as subscriber:
        wait_until(
            lambda: (publish(publisher), subscriber.stats.layout == "shared")[1],
            "frames come through shared memory",
        )
        wanted(publisher, RUNG)
        publish(publisher, picture(100, 200))  # does not fit into the file: nothing can be sent
        before = subscriber.stats.events
        for _ in range(3):
            publisher.heartbeat()
        wait_until(lambda: subscriber.stats.events >= before + 3, "they are heard")
        last = publish(publisher)
        shown_after(subscriber, last)
        assert subscriber.stats.layout == "shared"


def test_the_control_address_is_asked_for_shared_memory(publisher: FramePublisher) -> None:
    from magi_rt.stream.answers import Accepted, pack_answer
    from magi_rt.stream.messages import unpack_request
    from magi_rt.stream.requests import Hello

    with zmq.Context() as context, context.socket(zmq.ROUTER) as router:
        router.setsockopt(zmq.LINGER, 0)
        router.setsockopt(zmq.RCVTIMEO, int(1000 * SOON_S))
        port = router.bind_to_random_port("tcp://127.0.0.1")
        control = f"tcp://127.0.0.1:{port}"
        with subscribed(publisher, layout="auto", control=control) as subscriber:
            publish(publisher)
            peer, data = router.recv_multipart()
            request = unpack_request(data)
            assert request.body == Hello(versions=(1,), shared="rgb8/top")
            file = publisher.offer_shared("rgb8/top")
            told = Accepted(request.id, publisher.stream, 1, {"chosen": 1, "shared": file})
            router.send_multipart([peer, b"\xc1 no answer"])
            for _ in range(2):  # a file told twice is taken once
                router.send_multipart([peer, pack_answer(told)])
            wait_until(
                lambda: (publish(publisher), subscriber.stats.layout == "shared")[1],
                "frames come through shared memory",
            )
            bells = Path(file).parent.glob(f"magi_rt-{publisher.stream}-bell-*")
            assert len(list(bells)) == 1


def test_frames_come_by_socket_where_nobody_can_be_asked_for_shared_memory(
    publisher: FramePublisher,
) -> None:
    too_long = "ipc:///" + "x" * 200
    with subscribed(publisher, layout="auto", control=too_long) as subscriber:
        received = shown_after(subscriber, publish(publisher))
        assert received.header.shared is None
