"""Headers of frames and whole packed frames, as bytes and as what they say.

Everything is checked before a pixel is touched: what comes out of here can be trusted to fit
together.
"""

from __future__ import annotations

import struct
import time
from dataclasses import dataclass
from typing import Any

import msgpack

from magi_rt.stream.fields import read_stream, read_uint, read_version, read_word
from magi_rt.stream.topics import ANY, BYTES_PER_PIXEL, FORMATS, ROWS, Topic, parse_topic
from magi_rt.stream.unpack import WireError as WireError
from magi_rt.stream.unpack import bounded_unpack

VERSION = 1
HEADER_BYTES = 1_024
"""Longest header."""

MAX_SIDE = 16_384
"""Largest width and height in pixels."""

MAX_PAYLOAD_BYTES = 268_435_456
TOPIC_BYTES = 63
"""Longest topic of a packed message."""

REPEATED = 1
"""Flag: sent again for a newcomer."""

FIRST_OF_EPOCH = 2
"""Flag: first frame of its epoch."""

_LENGTH = struct.Struct("<I")


@dataclass(frozen=True, slots=True)
class FrameHeader:
    """What is said of one frame; see docs/protocol.md for each key.

    Attributes:
        stream: 16 hexadecimal digits, this run of the server.
        epoch, frame, chunk, prompt: 0 or more.
        seq: 1 or more.
        due_ns, sent_ns: nanoseconds on the server's steady clock.
        width, height: pixels, 1 to 16,384.
        stride: bytes from row to row, 0 for JPEG.
        size: bytes of the payload, 1 to 268,435,456.
        flags: ``REPEATED``, ``FIRST_OF_EPOCH``, or both.
        shared: slot and turn in shared memory, None when the pixels come with the header.
        steps: denoising steps that the frame's chunk took, 0 where that is not known.
    """

    stream: str
    epoch: int
    seq: int
    frame: int
    chunk: int
    prompt: int
    due_ns: int
    sent_ns: int
    width: int
    height: int
    stride: int
    format: str
    rows: str
    size: int
    flags: int = 0
    shared: tuple[int, int] | None = None
    steps: int = 0

    @property
    def repeated(self) -> bool:
        """Sent again for a newcomer."""
        return bool(self.flags & REPEATED)

    @property
    def first_of_epoch(self) -> bool:
        """Nothing of its epoch was sent before it."""
        return bool(self.flags & FIRST_OF_EPOCH)


def pack_header(header: FrameHeader) -> bytes:
    """The header as it is."""
    return _packed(_values(header))


def pack_sent(
    header: FrameHeader,
    pixel_format: str,
    rows: str,
    size: int,
    flags: int,
    shared: tuple[int, int] | None = None,
) -> bytes:
    """The header for a format, of ``size`` bytes, that is handed to the socket now.

    ``flags`` are added to its own. No second header is made, which would take longer than all else
    that is done for a small picture.
    """
    values = _values(header)
    values["format"], values["rows"], values["size"] = pixel_format, rows, size
    values["stride"] = header.width * BYTES_PER_PIXEL.get(pixel_format, 0)
    values["flags"] = header.flags | flags
    if shared is not None:
        values["shared"] = {"slot": shared[0], "turn": shared[1]}
    values["sent_ns"] = time.monotonic_ns()
    return _packed(values)


def _packed(values: dict[str, Any]) -> bytes:
    return bytes(msgpack.packb(values, buf_size=HEADER_BYTES))


def _values(header: FrameHeader) -> dict[str, Any]:
    values: dict[str, Any] = {
        "version": VERSION,
        "stream": header.stream,
        "epoch": header.epoch,
        "seq": header.seq,
        "frame": header.frame,
        "chunk": header.chunk,
        "prompt": header.prompt,
        "due_ns": header.due_ns,
        "sent_ns": header.sent_ns,
        "width": header.width,
        "height": header.height,
        "stride": header.stride,
        "format": header.format,
        "rows": header.rows,
        "size": header.size,
        "flags": header.flags,
    }
    if header.steps:
        values["steps"] = header.steps
    if header.shared is not None:
        values["shared"] = {"slot": header.shared[0], "turn": header.shared[1]}
    return values


def unpack_header(data: bytes | memoryview) -> FrameHeader:
    """What a header says.

    Raises:
        WireError: it is longer than 1,024 bytes, of another version, lacks a key, or its values
            are out of range or contradict each other.
    """
    values = bounded_unpack(data, HEADER_BYTES)
    read_version(values)
    header = FrameHeader(
        stream=read_stream(values),
        epoch=read_uint(values, "epoch"),
        seq=read_uint(values, "seq", least=1),
        frame=read_uint(values, "frame"),
        chunk=read_uint(values, "chunk"),
        prompt=read_uint(values, "prompt"),
        due_ns=read_uint(values, "due_ns"),
        sent_ns=read_uint(values, "sent_ns"),
        width=read_uint(values, "width", least=1, most=MAX_SIDE),
        height=read_uint(values, "height", least=1, most=MAX_SIDE),
        stride=read_uint(values, "stride", most=MAX_PAYLOAD_BYTES),
        format=read_word(values, "format", FORMATS),
        rows=read_word(values, "rows", ROWS),
        size=read_uint(values, "size", least=1, most=MAX_PAYLOAD_BYTES),
        flags=read_uint(values, "flags", most=REPEATED | FIRST_OF_EPOCH),
        shared=_shared(values),
        steps=read_uint(values, "steps", most=2**32 - 1) if "steps" in values else 0,
    )
    _check_sizes(header)
    return header


def _shared(values: dict[str, Any]) -> tuple[int, int] | None:
    if "shared" not in values:
        return None
    place = values["shared"]
    if not isinstance(place, dict):
        raise WireError("shared holds no map of slot and turn", field="shared")
    return read_uint(place, "slot"), read_uint(place, "turn")


def _check_sizes(header: FrameHeader) -> None:
    if header.format == "jpeg":
        if header.stride != 0 or header.rows != "top" or header.shared is not None:
            raise WireError(
                "a JPEG has stride 0, its top row first, and no place in shared memory",
                field="stride",
            )
        return
    least = header.width * BYTES_PER_PIXEL[header.format]
    if header.stride < least:
        raise WireError(
            f"stride is {header.stride}; {header.width} pixels of {header.format} take {least}",
            field="stride",
        )
    if header.size != header.height * header.stride:
        raise WireError(
            f"size is {header.size}; {header.height} rows of {header.stride} bytes are "
            f"{header.height * header.stride}",
            field="size",
        )


def check_topic(topic: Topic, header: FrameHeader) -> None:
    """Raise WireError when a header does not describe a frame of the topic it came under."""
    if (topic.layout == "shared") != (header.shared is not None):
        raise WireError(f"shared does not go with the layout {topic.layout}", field="shared")
    if topic.format not in (ANY, header.format):
        raise WireError(f"format is {header.format} under {topic.name.decode()}", field="format")
    if header.format != "jpeg" and header.rows != topic.rows:
        raise WireError(f"rows is {header.rows} under {topic.name.decode()}", field="rows")


def check_payload(header: FrameHeader, size: int) -> None:
    """Raise WireError when a payload has another length than its header says."""
    if size != header.size:
        raise WireError(f"{size} bytes of pixels came; size says {header.size}", field="size")


def packed_head(topic: bytes, header: bytes) -> bytes:
    """What comes before the pixels in the packed layout."""
    return b"".join((topic, b"\0", _LENGTH.pack(len(header)), header))


def pack_packed(topic: bytes, header: FrameHeader, pixels: bytes | memoryview) -> bytes:
    """One whole frame in one part."""
    return b"".join((packed_head(topic, pack_header(header)), pixels))


def unpack_packed(data: bytes | memoryview) -> tuple[Topic, FrameHeader, memoryview]:
    """Topic, header and pixels of one whole frame; the pixels are a view, nothing is copied.

    Raises:
        WireError: as :func:`unpack_header`; or the topic is unknown or not ``packed``, the
            header is cut short or does not go with the topic, or the pixels do not have the length
            it says.
    """
    view = memoryview(data)
    end = bytes(view[: TOPIC_BYTES + 1]).find(b"\0")
    topic = parse_topic(bytes(view[: max(end, 0)]))
    if topic is None or topic.layout != "packed":
        raise WireError("the message does not begin with a packed topic and a zero byte")
    begin = end + 1 + _LENGTH.size
    if len(view) < begin:
        raise WireError("the message ends before its header's length")
    (length,) = _LENGTH.unpack_from(view, end + 1)
    if length > HEADER_BYTES:
        raise WireError(
            f"the header has {length:,} bytes; at most {HEADER_BYTES:,} are taken",
            code="too_large",
        )
    if length > len(view) - begin:
        raise WireError("the message ends within its header")
    header = unpack_header(view[begin : begin + length])
    check_topic(topic, header)
    pixels = view[begin + length :]
    check_payload(header, len(pixels))
    return topic, header, pixels
