"""Headers of shared frames come as datagrams, and by socket where they cannot."""

from __future__ import annotations

import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
import zmq

from magi_rt.stream.doorbells import MOST, Doorbell, Doorbells, doorbell_path
from magi_rt.stream.publisher import FramePublisher
from magi_rt.stream.shared_frames import SLOTS, SharedReader, remove_abandoned
from magi_rt.stream.subscriber import FrameSubscriber
from magi_rt.stream.topics import Topic
from magi_rt.stream.wire import unpack_header
from tests.stream.subscribing_kit import shown, shown_after, subscribed
from tests.stream.support import STREAM, heard_of, picture, publish, wait_until, wanted

RUNG = "bell/rgb8/top"


@contextmanager
def rung(publisher: FramePublisher, **options: object) -> Iterator[FrameSubscriber]:
    """A subscriber that hears by doorbell alone."""
    file = publisher.offer_shared("rgb8/top")
    with subscribed(publisher, layout="auto", shared_file=file, **options) as subscriber:
        wait_until(
            lambda: (publish(publisher), subscriber.stats.layout == "shared")[1],
            "frames come through shared memory",
        )
        wanted(publisher, RUNG)
        yield subscriber


@pytest.fixture
def bell(publisher: FramePublisher) -> Iterator[Doorbell]:
    """A doorbell that the publisher was told of, whose reader does nothing by itself."""
    folder = Path(publisher.offer_shared("rgb8/top")).parent
    hung = Doorbell(folder, publisher.stream)
    with zmq.Context() as context, context.socket(zmq.SUB) as reader:
        reader.setsockopt(zmq.LINGER, 0)
        reader.connect(publisher.address)
        reader.subscribe(Topic("rgb8", "top", "shared", hung.bell).name)
        wanted(publisher, RUNG)
        yield hung
    hung.close()


def test_a_reader_of_shared_memory_hears_by_doorbell_and_nothing_comes_by_socket(
    publisher: FramePublisher,
) -> None:
    with rung(publisher) as subscriber:
        by_socket = publisher.stats.topics.get("frame/rgb8/top/shared", 0)
        for seed in range(20):
            received = shown_after(subscriber, publish(publisher, picture(seed=seed)))
            assert np.array_equal(received.pixels, picture(seed=seed))
        assert publisher.stats.topics.get("frame/rgb8/top/shared", 0) == by_socket
        assert publisher.stats.topics[RUNG] >= 20


def test_every_frame_comes_in_order_when_all_are_wanted(publisher: FramePublisher) -> None:
    with rung(publisher, every=True) as subscriber:
        first = publish(publisher)
        shown_after(subscriber, first)
        for seq in range(first + 1, first + 30):
            assert publish(publisher, picture(seed=seq)) == seq
            received = shown(subscriber)
            assert received.header.seq == seq
            assert np.array_equal(received.pixels, picture(seed=seq))


def test_several_readers_hear_of_one_and_the_same_place(publisher: FramePublisher) -> None:
    with rung(publisher) as one:
        file = publisher.offer_shared("rgb8/top")
        with FrameSubscriber(
            publisher.address, layout="auto", control="", shared_file=file
        ) as other:
            wait_until(
                lambda: (publish(publisher), publisher.stats.wanted == (RUNG, RUNG))[1],
                "both hear by doorbell",
            )
            seq = publish(publisher, picture(seed=3))
            places = {shown_after(each, seq).header.shared for each in (one, other)}
            assert len(places) == 1


def test_a_reader_that_takes_nothing_is_not_waited_for_and_its_slots_stay(
    publisher: FramePublisher, bell: Doorbell
) -> None:
    reader = SharedReader(publisher.offer_shared("rgb8/top"), publisher.stream)
    before = publisher.stats.skipped
    for seed in range(4 * SLOTS):
        publish(publisher, picture(seed=seed))
    assert publisher.stats.skipped - before > 2 * SLOTS
    taken = 0
    while (said := bell.heard()) is not None:
        header = unpack_header(said)
        assert header.shared is not None
        pixels = reader.copy(*header.shared, header.size)
        assert pixels is not None
        assert np.array_equal(pixels.reshape(3, 4, 3), picture(seed=taken))
        taken += 1
    assert 1 <= taken < SLOTS
    publish(publisher)
    assert bell.heard() is not None  # there is room again
    reader.close()


def test_a_newcomer_gets_the_last_frame_through_its_doorbell(publisher: FramePublisher) -> None:
    folder = Path(publisher.offer_shared("rgb8/top") or _first(publisher)).parent
    publish(publisher, picture(seed=5))
    hung = Doorbell(folder, publisher.stream)
    with zmq.Context() as context, context.socket(zmq.SUB) as reader:
        reader.setsockopt(zmq.LINGER, 0)
        reader.connect(publisher.address)
        reader.subscribe(Topic("rgb8", "top", "shared", hung.bell).name)
        wait_until(lambda: heard_of(publisher), "the doorbell is known")
        said = hung.heard()
        assert said is not None and unpack_header(said).repeated
    hung.close()


def _first(publisher: FramePublisher) -> str:
    publish(publisher)
    return publisher.offer_shared("rgb8/top")


def test_a_doorbell_whose_reader_has_gone_is_not_rung_again(
    publisher: FramePublisher, bell: Doorbell
) -> None:
    publish(publisher)
    bell.close()
    skipped = publisher.stats.skipped
    publish(publisher)
    publish(publisher)
    assert publisher.stats.skipped == skipped + 2


def test_a_doorbell_that_hangs_nowhere_costs_nobody_anything(publisher: FramePublisher) -> None:
    publisher.offer_shared("rgb8/top")
    with subscribed(publisher) as subscriber:
        with zmq.Context() as context, context.socket(zmq.SUB) as reader:
            reader.setsockopt(zmq.LINGER, 0)
            reader.connect(publisher.address)
            reader.subscribe(b"bell/rgb8/top/0123456789abcdef")
            wanted(publisher, RUNG, "frame/rgb8/top/parts")
            for seed in range(3):
                received = shown_after(subscriber, publish(publisher, picture(seed=seed)))
                assert np.array_equal(received.pixels, picture(seed=seed))
        wanted(publisher, "frame/rgb8/top/parts")


def test_a_server_hangs_up_after_so_many_doorbells(publisher: FramePublisher) -> None:
    with zmq.Context() as context, context.socket(zmq.SUB) as reader:
        reader.setsockopt(zmq.LINGER, 0)
        reader.connect(publisher.address)
        for bell in range(MOST + 20):
            reader.subscribe(f"bell/rgb8/top/{bell:016x}".encode())
        reader.subscribe(b"frame/rgb8/top/parts")
        wait_until(lambda: "frame/rgb8/top/parts" in heard_of(publisher), "all were heard")
        assert publisher.stats.wanted.count(RUNG) == MOST


def test_what_rings_and_is_no_header_is_counted_and_frames_go_on(
    publisher: FramePublisher,
) -> None:
    with rung(publisher) as subscriber:
        folder = Path(publisher.offer_shared("rgb8/top")).parent
        (path,) = folder.glob(f"magi_rt-{publisher.stream}-bell-*")
        for noise in (b"", b"\xc1", b"x" * 1_025, b"x" * 2_000):
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as stranger:
                stranger.sendto(noise, str(path))
        wait_until(lambda: subscriber.stats.dropped["malformed"] >= 4, "all four are counted")
        received = shown_after(subscriber, publish(publisher, picture(seed=9)))
        assert np.array_equal(received.pixels, picture(seed=9))


@pytest.fixture
def folder() -> Iterator[Path]:
    """With a path short enough for a socket."""
    with tempfile.TemporaryDirectory(prefix="magi_rt-bells-") as made:
        yield Path(made)


def test_a_doorbell_is_its_user_s_alone_and_goes_with_its_reader(folder: Path) -> None:
    hung = Doorbell(folder, STREAM)
    path = doorbell_path(folder, STREAM, hung.bell)
    assert path.stat().st_mode & 0o777 == 0o600
    bells = Doorbells()
    assert bells.has_room(hung.bell, path) and bells.ring(hung.bell, b"header")
    assert hung.heard() == b"header" and hung.heard() is None
    hung.close()
    assert not path.exists()
    assert not bells.ring(hung.bell, b"header")
    bells.close()


def test_a_folder_whose_path_is_too_long_leaves_headers_on_the_socket(tmp_path: Path) -> None:
    deep = tmp_path / ("x" * 120)
    deep.mkdir()
    with pytest.raises(OSError, match="too long"):
        Doorbell(deep, STREAM)


def test_doorbells_of_dead_readers_are_taken_down_and_others_stay(folder: Path) -> None:
    living = Doorbell(folder, STREAM)
    dies = (
        "import os, sys; from pathlib import Path\n"
        "from magi_rt.stream.doorbells import Doorbell\n"
        f"Doorbell(Path({str(folder)!r}), {STREAM!r}); os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", dies], check=True)
    assert len(list(folder.iterdir())) == 2
    (removed,) = remove_abandoned(folder)
    assert removed != doorbell_path(folder, STREAM, living.bell)
    assert [each.name for each in folder.iterdir()] == [f"magi_rt-{STREAM}-bell-{living.bell}"]
    living.close()
