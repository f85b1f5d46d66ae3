"""What a publisher tells besides frames: heartbeats, beginnings and its end."""

from __future__ import annotations

import threading

from magi_rt.stream.events import Heartbeat, NewEpoch, PromptShows, ServerEnds, unpack_event
from magi_rt.stream.publisher import FramePublisher
from tests.stream.support import publish, raw_reader, wait_until, wanted

RGB = "frame/rgb8/top/parts"


def test_an_idle_publisher_sends_heartbeats_that_say_how_it_is(publisher: FramePublisher) -> None:
    publisher.fps, publisher.paused = 24.0, True
    publish(publisher, epoch=3)
    with raw_reader(publisher, "event") as reader:

        def arrived() -> bool:
            publisher.poll()
            return bool(reader.poll(0))

        wait_until(arrived, "a heartbeat comes")
        beat = unpack_event(reader.recv_multipart()[1])
    assert isinstance(beat, Heartbeat)
    assert (beat.fps, beat.paused, beat.epoch, beat.seq) == (24.0, True, 3, 1)


def test_a_publisher_that_runs_by_itself_serves_newcomers_and_beats(
    publisher: FramePublisher,
) -> None:
    publish(publisher)
    with publisher.running(), raw_reader(publisher, RGB, "event") as reader:
        kinds = {reader.recv_multipart()[0] for _ in range(2)}
        while kinds != {RGB.encode(), b"event"}:
            kinds.add(reader.recv_multipart()[0])


def test_events_say_what_begins_and_how_it_ends() -> None:
    publisher = FramePublisher("tcp://127.0.0.1:*")
    with raw_reader(publisher, RGB, "event") as reader:
        wanted(publisher, RGB)
        publisher.event("epoch", epoch=4, reason="flush")
        publisher.event("prompt", prompt=9, text="night falls")
        publish(publisher, epoch=4)
        publisher.close("enough")
        said = [reader.recv_multipart() for _ in range(4)]
    found = [unpack_event(parts[1]) for parts in said if parts[0] == b"event"]
    assert [type(event) for event in found] == [NewEpoch, PromptShows, ServerEnds]
    assert [event.epoch for event in found] == [4, 4, 4]
    assert [event.seq for event in found] == [0, 0, 1]
    assert said[2][0] == RGB.encode()


def test_a_publisher_may_be_closed_while_it_runs_by_itself(publisher: FramePublisher) -> None:
    before = set(threading.enumerate())
    with publisher.running():
        (runner,) = (each for each in threading.enumerate() if each.name == "magi_rt publisher")
        publisher.close()
        wait_until(lambda: not runner.is_alive(), "its thread ends")
    assert set(threading.enumerate()) <= before
