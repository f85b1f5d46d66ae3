"""From one picture to the messages that its readers asked for, without copies libzmq can spare."""

from __future__ import annotations

from dataclasses import dataclass, field

import zmq

from magi_rt.stream.doorbells import Doorbells, doorbell_path
from magi_rt.stream.formats import Bytes, convert, encode_jpeg, payload_bytes
from magi_rt.stream.ring import BufferRing, Slot
from magi_rt.stream.shared_frames import SharedFramesError, SharedWriter
from magi_rt.stream.topics import ANY, Topic
from magi_rt.stream.wire import HEADER_BYTES, FrameHeader, pack_sent, packed_head

HEAD_ROOM = 2 * HEADER_BYTES
"""Bytes before the pixels of a packed frame, into which topic and header are written."""

# Plain numbers: pyzmq's flags cost more to join than a small message to send.
_NOW, _MORE = int(zmq.DONTWAIT), int(zmq.DONTWAIT | zmq.SNDMORE)

Kind = tuple[str, str]
"""Format and rows."""

Socket = zmq.Socket[bytes]


@dataclass
class Made:
    """The pixels of a frame in one format.

    Attributes:
        data: without gaps between rows; or a JPEG.
        slot: of a ring, None for bytes that nobody writes again.
    """

    data: Bytes | bytes
    slot: Slot | None = None

    @property
    def size(self) -> int:
        return len(self.data)


@dataclass
class Picture:
    """The frame that goes out now, or went out last.

    Attributes:
        header: of it as RGB; format, sizes, flags and ``sent_ns`` are put in when it is sent.
        pixels: [H, W, 3] uint8 RGB, which stay as they are as long as this is the last frame.
        made: what has been made of it.
        places: slot and turn of it in shared memory, by the file it lies in.
    """

    header: FrameHeader
    pixels: Bytes
    made: dict[Kind, Made] = field(default_factory=dict)
    places: dict[SharedWriter, tuple[int, int]] = field(default_factory=dict)


class Outlets:
    """Every buffer of a publisher.

    Args:
        ring: buffers per kind of frame, 4 or more.

    Attributes:
        any_format: what ``any`` is.
        quality: of JPEG, 1 .. 100.
        copied: messages sent as copies, since slow readers held the ring.
    """

    def __init__(self, ring: int) -> None:
        self.ring = ring
        self.any_format = "rgb8"
        self.quality = 90
        self.copied = 0
        self._rings: dict[tuple[str, ...], BufferRing] = {}
        self._shared: dict[Kind, SharedWriter] = {}
        self._turns: dict[Kind, int] = {}
        self._doorbells = Doorbells()

    def keep(self, pixels: Bytes, picture: Picture | None) -> Made:
        """A copy of a picture as RGB, and the buffers of the last one are free again."""
        self.release(picture)
        slot = self._ring(("rgb8", "top"), pixels.size).take()
        slot.held = True
        slot.data.reshape(pixels.shape)[:] = pixels
        return Made(slot.data, slot)

    def release(self, picture: Picture | None) -> None:
        """The picture is not the last one any more."""
        for made in picture.made.values() if picture else ():
            if made.slot is not None:
                made.slot.held = False

    def forget(self, topic: Topic) -> None:
        """Nobody wants the topic now: its buffers are given back."""
        words = (topic.format, topic.rows)
        if topic.bell:
            self._doorbells.forget(topic.bell)
        elif topic.layout == "packed":
            self._rings.pop((*words, "packed"), None)
        elif topic.layout == "parts" and words != ("rgb8", "top"):
            self._rings.pop(words, None)

    def offer_shared(self, stream: str, kind: Kind, height: int, width: int) -> str:
        """Path of the file for a kind of frame; "" when there can be none."""
        size = payload_bytes(height, width, kind[0])
        writer = self._shared.get(kind)
        if writer is not None and writer.slot_bytes >= size:
            return str(writer.path)
        if writer is not None:
            self._turns[kind] = writer.beyond
            writer.close()
        try:
            turn = self._turns.get(kind, 0)
            self._shared[kind] = SharedWriter(stream, "-".join(kind), size, turn=turn)
        except SharedFramesError:
            self._shared.pop(kind, None)
            return ""
        return str(self._shared[kind].path)

    def send(self, socket: Socket, topic: Topic, picture: Picture, flags: int) -> bool:
        """Sends a picture on a topic; False when it cannot be.

        Raises:
            zmq.Again: libzmq takes nothing now.
        """
        if topic.layout == "shared":
            return self._send_shared(socket, topic, picture, flags)
        if topic.layout == "packed":
            self._send_packed(socket, topic, picture, flags)
            return True
        kind = self._kind(topic)
        made = self._make(picture, kind)
        copy = made.slot is not None and not made.slot.tracked
        self.copied += copy
        parts = [topic.name, pack_sent(picture.header, *kind, made.size, flags)]
        tracked = made.slot is not None and not copy
        tracker = self._send_parts(socket, parts, made.data, copy, tracked)
        if made.slot is not None:
            made.slot.sent(tracker)
        return True

    def _make(self, picture: Picture, kind: Kind) -> Made:
        """The picture in a format, converted once however many topics want it so."""
        made = picture.made.get(kind)
        if made is None:
            made = picture.made[kind] = self._convert(picture, kind)
        return made

    def _kind(self, topic: Topic) -> Kind:
        chosen = self.any_format if topic.format == ANY else topic.format
        return (chosen, "top" if chosen == "jpeg" else topic.rows)

    def _convert(self, picture: Picture, kind: Kind) -> Made:
        if kind[0] == "jpeg":
            return Made(encode_jpeg(picture.pixels, self.quality))
        height, width, _ = picture.pixels.shape
        slot = self._ring(kind, payload_bytes(height, width, kind[0])).take()
        slot.held = True
        convert(picture.pixels, *kind, slot.data)
        return Made(slot.data, slot)

    def _ring(self, words: tuple[str, ...], size: int) -> BufferRing:
        ring = self._rings.get(words)
        if ring is None or ring.size != size:
            ring = self._rings[words] = BufferRing(self.ring, size)
        return ring

    @staticmethod
    def _send_parts(
        socket: Socket, parts: list[bytes], data: Bytes | bytes, copy: bool, tracked: bool
    ) -> zmq.MessageTracker | None:
        for part in parts:
            socket.send(part, _MORE)
        buffer = data if isinstance(data, bytes) else data.data
        sent = socket.send(buffer, _NOW, copy=copy, track=tracked)
        return sent if isinstance(sent, zmq.MessageTracker) else None

    def _send_packed(self, socket: Socket, topic: Topic, picture: Picture, flags: int) -> None:
        kind = self._kind(topic)
        made = self._make(picture, kind)
        if isinstance(made.data, bytes):
            head = pack_sent(picture.header, *kind, made.size, flags)
            socket.send(packed_head(topic.name, head) + made.data, _NOW, copy=False)
            return
        words = (topic.format, topic.rows, "packed")
        slot = self._ring(words, HEAD_ROOM + made.size).take()
        slot.data[HEAD_ROOM:] = made.data
        header = pack_sent(picture.header, *kind, made.size, flags)
        head = packed_head(topic.name, header)
        begin = HEAD_ROOM - len(head)
        slot.data[begin:HEAD_ROOM] = bytearray(head)
        self.copied += not slot.tracked
        tracked = slot.tracked
        slot.sent(self._send_parts(socket, [], slot.data[begin:], not tracked, tracked))

    def _send_shared(self, socket: Socket, topic: Topic, picture: Picture, flags: int) -> bool:
        kind = (topic.format, topic.rows)
        writer = self._shared.get(kind)
        if writer is None:
            return False
        if topic.bell:
            path = doorbell_path(writer.path.parent, writer.stream, topic.bell)
            if not self._doorbells.has_room(topic.bell, path):
                return False  # before anything is copied for it
        place = picture.places.get(writer) or self._write(writer, picture, kind)
        if place is None:
            return False
        size = payload_bytes(picture.header.height, picture.header.width, kind[0])
        header = pack_sent(picture.header, *kind, size, flags, place)
        if topic.bell:
            return self._doorbells.ring(topic.bell, header)
        socket.send(topic.name, _MORE)
        socket.send(header, _NOW)
        return True

    def _write(self, writer: SharedWriter, picture: Picture, kind: Kind) -> tuple[int, int] | None:
        """Slot and turn of a picture that is written now; None when it does not fit."""
        height, width, _ = picture.pixels.shape
        begun = writer.begin(payload_bytes(height, width, kind[0]))
        if begun is None:
            return None
        slot, pixels = begun
        made = picture.made.get(kind)
        if made is not None and not isinstance(made.data, bytes):
            pixels[:] = made.data
        else:
            convert(picture.pixels, *kind, pixels)
        place = picture.places[writer] = (slot, writer.end(slot))
        return place

    def ring_in_use(self) -> int:
        """Buffers that libzmq or the last frame holds."""
        return sum(ring.in_use for ring in self._rings.values())

    def close(self) -> None:
        """Removes the files of shared memory, and lets go of doorbells."""
        self._doorbells.close()
        for writer in self._shared.values():
            writer.close()
        self._shared.clear()
