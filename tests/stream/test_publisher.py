"""What a publisher sends, to plain sockets as a client in any language has them."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import zmq

from magi_rt.errors import MagiError, OptionError, ShapeError
from magi_rt.stream.formats import decode_jpeg, raw_pixels
from magi_rt.stream.outgoing import AT_ONCE, LOCAL_SEND_BYTES, Outgoing
from magi_rt.stream.publisher import FramePublisher
from magi_rt.stream.ring import BufferRing
from magi_rt.stream.shared_frames import SharedReader
from magi_rt.stream.topics import TOPICS
from magi_rt.stream.wire import check_payload, check_topic, unpack_header, unpack_packed
from tests.stream.support import joined, picture, publish, raw_reader, wanted

RGB = "frame/rgb8/top/parts"
ORDER = {"rgb8": [0, 1, 2], "rgba8": [0, 1, 2], "bgr8": [2, 1, 0], "bgra8": [2, 1, 0]}


@pytest.fixture
def publisher() -> Iterator[FramePublisher]:
    with FramePublisher("tcp://127.0.0.1:*") as made:
        yield made


@pytest.mark.parametrize(
    ("address", "limited"), [("tcp://127.0.0.1:*", True), ("tcp://0.0.0.0:*", False)]
)
def test_only_tcp_that_stays_on_this_machine_has_a_small_send_buffer(
    address: str, limited: bool
) -> None:
    outgoing = Outgoing(address, None, None)
    try:
        assert (outgoing.socket.getsockopt(zmq.SNDBUF) == LOCAL_SEND_BYTES) is limited
    finally:
        outgoing.close()


@pytest.mark.parametrize("name", [name.decode() for name in TOPICS])
def test_each_topic_carries_the_picture_as_its_words_say(
    publisher: FramePublisher, name: str
) -> None:
    pixels, topic = picture(60, 90), TOPICS[name.encode()]
    publish(publisher, pixels)
    file = publisher.offer_shared(f"{topic.format}/{topic.rows}")
    with raw_reader(publisher, name) as reader:
        wanted(publisher, name)
        seq = publish(publisher, pixels)
        while True:
            parts = reader.recv_multipart()
            if len(parts) == 1:
                _, header, data = unpack_packed(parts[0])
            else:
                header, data = unpack_header(parts[1]), memoryview(parts[-1])
            if header.seq == seq:
                break
    check_topic(topic, header)
    if header.shared is not None:
        memory = SharedReader(file, publisher.stream)
        copied = memory.copy(*header.shared, header.size)
        assert copied is not None
        data = copied.data
        memory.close()
    check_payload(header, len(data))
    assert (header.width, header.height, header.stream) == (90, 60, publisher.stream)
    if header.format == "jpeg":
        assert decode_jpeg(header, data).shape == pixels.shape
        return
    plain = pixels if topic.rows == "top" else pixels[::-1]
    seen = raw_pixels(header, data)
    assert np.array_equal(seen[..., :3], plain[..., ORDER[header.format]])


def test_a_newcomer_gets_the_last_frame_at_once_and_it_says_so(publisher: FramePublisher) -> None:
    seq = publish(publisher, picture(seed=5), frame=77, first=True)
    with raw_reader(publisher, RGB) as reader:
        wanted(publisher, RGB)
        topic, head, pixels = reader.recv_multipart()
        header = unpack_header(head)
        assert (topic, header.seq, header.frame) == (RGB.encode(), seq, 77)
        assert header.repeated and header.first_of_epoch
        assert pixels == picture(seed=5).tobytes()
        publish(publisher)
        assert not unpack_header(reader.recv_multipart()[1]).repeated


def test_the_last_frame_is_the_one_published_even_if_the_caller_paints_over_it(
    publisher: FramePublisher,
) -> None:
    pixels = picture(seed=5)
    publish(publisher, pixels)
    pixels[:] = 0
    with raw_reader(publisher, RGB) as reader:
        wanted(publisher, RGB)
        assert reader.recv_multipart()[2] == picture(seed=5).tobytes()


def test_frames_on_their_way_are_not_painted_over_by_later_ones(publisher: FramePublisher) -> None:
    big = [picture(300, 400, seed) for seed in range(40)]
    with raw_reader(publisher, RGB) as reader:
        reader.setsockopt(zmq.RCVHWM, 1000)
        wanted(publisher, RGB)
        for seed, pixels in enumerate(big):
            publish(publisher, pixels, frame=seed)
            big[seed] = pixels.copy()
            pixels[:] = 255
        publisher.event("bye", reason="that was all")
        reader.subscribe("event")
        seen = 0
        reader.setsockopt(zmq.RCVTIMEO, 1000)
        while True:
            try:
                parts = reader.recv_multipart()
            except zmq.Again:
                break
            if len(parts) == 3:
                seen += 1
                assert parts[2] == big[unpack_header(parts[1]).frame].tobytes()
    assert seen > 0


def test_borrowed_pixels_are_sent_from_where_they_lie(publisher: FramePublisher) -> None:
    pixels = picture(300, 400)
    with raw_reader(publisher, RGB) as reader:
        wanted(publisher, RGB)
        publish(publisher, pixels, borrowed=True)
        assert publisher.stats.ring_in_use == 0
        assert reader.recv_multipart()[2] == pixels.tobytes()


def test_pixels_with_gaps_are_copied_even_when_borrowed(publisher: FramePublisher) -> None:
    pixels = picture(30, 80)[:, ::2]
    with raw_reader(publisher, RGB) as reader:
        wanted(publisher, RGB)
        publish(publisher, pixels, borrowed=True)
        assert reader.recv_multipart()[2] == pixels.tobytes()


def test_a_stalled_reader_costs_the_others_nothing_and_memory_stays_within_the_ring() -> None:
    pixels = picture(480, 640)
    with (
        FramePublisher("tcp://127.0.0.1:*", ring=4) as publisher,
        raw_reader(publisher, RGB, queue=1) as stalled,
        raw_reader(publisher, RGB) as reader,
    ):
        joined(publisher, stalled, reader)
        for _ in range(150):
            seq = publish(publisher, pixels)
            assert unpack_header(reader.recv_multipart()[1]).seq == seq
        stats = publisher.stats
        assert not stalled.closed
    assert stats.copied > 0
    assert stats.ring_in_use <= 4
    assert stats.skipped == 0


def test_a_ring_hands_out_what_libzmq_has_finished_and_copies_when_it_holds_too_much() -> None:
    ring = BufferRing(8, 100)
    held = []
    for _ in range(6):
        slot = ring.take()
        slot.held = True
        held.append(slot)
    assert all(slot.tracked for slot in held) and len({id(slot) for slot in held}) == 6
    extra = ring.take()
    assert not extra.tracked and ring.in_use == 6
    held[2].held = False
    assert ring.take() is held[2]


def test_any_is_what_the_server_chooses(publisher: FramePublisher) -> None:
    with raw_reader(publisher, "frame/any/bottom/parts") as reader:
        wanted(publisher, "frame/any/bottom/parts")
        seen = []
        for chosen in ("bgra8", "jpeg", "rgb8"):
            publisher.any_format = chosen
            publish(publisher)
            header = unpack_header(reader.recv_multipart()[1])
            seen.append((header.format, header.rows))
    assert seen == [("bgra8", "bottom"), ("jpeg", "top"), ("rgb8", "bottom")]


def test_quality_changes_the_size_of_a_jpeg(publisher: FramePublisher) -> None:
    with raw_reader(publisher, "frame/jpeg/top/parts") as reader:
        wanted(publisher, "frame/jpeg/top/parts")
        sizes = []
        for quality in (20, 95):
            publisher.quality = quality
            publish(publisher, picture(64, 64))
            sizes.append(len(reader.recv_multipart()[2]))
    assert sizes[0] < sizes[1]


def test_pictures_may_change_their_size(publisher: FramePublisher) -> None:
    with raw_reader(publisher, RGB) as reader:
        wanted(publisher, RGB)
        for height, width in ((3, 4), (40, 30), (3, 4)):
            publish(publisher, picture(height, width))
            _, head, pixels = reader.recv_multipart()
            header = unpack_header(head)
            assert (header.height, header.width) == (height, width)
            assert pixels == picture(height, width).tobytes()


def test_nothing_is_made_that_nobody_wants(publisher: FramePublisher) -> None:
    with raw_reader(publisher, "frame/bgr8/top/parts"):
        wanted(publisher, "frame/bgr8/top/parts")
        publish(publisher)
    wanted(publisher)
    for _ in range(3):
        publish(publisher)
    assert publisher.stats.topics == {"frame/bgr8/top/parts": 1}
    assert publisher.stats.published == 4


def test_readers_can_subscribe_to_anything_and_send_anything(publisher: FramePublisher) -> None:
    with zmq.Context() as context, context.socket(zmq.XSUB) as rude:
        rude.setsockopt(zmq.LINGER, 0)
        rude.connect(publisher.address)
        for said in (b"", b"\1", b"\1frame/", b"\1" + b"x" * 200, b"\0never", b"\2", b"hello"):
            rude.send(said)
        rude.send(b"\1" + RGB.encode())
        wanted(publisher, RGB)
        publish(publisher)
        assert publisher.stats.sent == 1


def test_a_reader_that_subscribes_without_end_leaves_time_for_frames(
    publisher: FramePublisher, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Endless:
        """Subscribes to nothing that exists whenever it is read."""

        reads = 0

        def getsockopt(self, _: int) -> int:
            return int(zmq.POLLIN)

        def recv(self, _: int) -> bytes:
            self.reads += 1
            assert self.reads < 100_000, "it is read for ever"
            return b"\x01x"

    endless = Endless()
    with monkeypatch.context() as patched:
        patched.setattr(publisher._out, "socket", endless)
        assert publish(publisher) == 1
    assert endless.reads > 0


def test_what_readers_send_too_fast_waits_on_their_side(publisher: FramePublisher) -> None:
    # more than is read at once would be heaped up by libzmq, without a limit
    assert 0 < publisher.socket.rcvhwm <= AT_ONCE // 8


def test_a_message_of_a_megabyte_ends_that_reader_and_nobody_else(
    publisher: FramePublisher,
) -> None:
    with raw_reader(publisher, RGB) as reader:
        joined(publisher, reader)
        with zmq.Context() as context, context.socket(zmq.XSUB) as rude:
            rude.setsockopt(zmq.LINGER, 0)
            rude.connect(publisher.address)
            rude.send(b"\1" + RGB.encode())
            rude.send(bytes(1_000_000))
            for _ in range(5):
                publish(publisher)
                assert len(reader.recv_multipart()) == 3


def test_shared_memory_is_offered_once_the_size_is_known(publisher: FramePublisher) -> None:
    assert publisher.offer_shared("rgb8/top") == ""
    publish(publisher)
    path = publisher.offer_shared("rgb8/top")
    assert Path(path).exists()
    assert publisher.offer_shared("rgb8/top") == path
    assert publisher.offer_shared("rgb8/bottom") != path
    for none in ("jpeg/top", "any/top", "rgb8", "rgb8/left", ""):
        assert publisher.offer_shared(none) == ""
    publisher.close()
    assert not Path(path).exists()


def test_shared_memory_is_offered_before_the_first_frame_when_the_size_is_told() -> None:
    with FramePublisher("tcp://127.0.0.1:*", size=(3, 4)) as publisher:
        assert Path(publisher.offer_shared("bgra8/bottom")).exists()


def test_a_taken_address_is_an_error_that_says_so(publisher: FramePublisher) -> None:
    with pytest.raises(OptionError, match="another"):
        FramePublisher(publisher.address)


def test_a_file_that_is_no_socket_is_left_as_it_is(tmp_path: Path) -> None:
    file = tmp_path / "notes.txt"
    file.write_text("mine")
    with pytest.raises(OptionError, match="is a file and no socket"):
        FramePublisher(f"ipc://{file}")
    assert file.read_text() == "mine"


def test_no_file_stays_behind_and_none_of_another_server_is_taken(tmp_path: Path) -> None:
    path = tmp_path / "frames"
    publisher = FramePublisher(f"ipc://{path}")
    assert path.is_socket()
    publisher.close()
    assert not path.exists()
    publisher = FramePublisher(f"ipc://{path}")
    path.rename(tmp_path / "gone")
    path.write_text("another's")
    publisher.close()
    assert path.read_text() == "another's"


def test_an_address_that_others_can_reach_needs_keys() -> None:
    with pytest.raises(OptionError, match="keys"):
        FramePublisher("tcp://0.0.0.0:*")


def test_what_is_no_picture_and_what_comes_after_the_end_is_refused(
    publisher: FramePublisher,
) -> None:
    with pytest.raises(ShapeError):
        publish(publisher, np.zeros((3, 4), np.uint8))
    with pytest.raises(OptionError):
        publisher.any_format = "rgb16"
    with pytest.raises(OptionError):
        publisher.quality = 0
    publisher.close()
    publisher.close()
    with pytest.raises(MagiError, match="closed"):
        publish(publisher)
    with pytest.raises(MagiError, match="closed"):
        publisher.poll()


def test_a_ring_that_is_too_small_is_refused() -> None:
    with pytest.raises(OptionError, match="ring is 3"):
        FramePublisher("tcp://127.0.0.1:*", ring=3)


def test_pixels_on_their_way_outlive_the_publisher(tmp_path: Path) -> None:
    publisher = FramePublisher(f"ipc://{tmp_path}/frames")
    with raw_reader(publisher, RGB) as reader:
        wanted(publisher, RGB)
        publish(publisher, picture(200, 300))
        publisher.close()
        del publisher
        gc.collect()
        assert reader.recv_multipart()[2] == picture(200, 300).tobytes()
