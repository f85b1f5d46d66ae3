"""Golden frames and events: made by hand, so that they bind the code that reads and writes them."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgpack

STREAM = "00c0ffee5eed2a7f"
RAW = {"rgb8": 3, "rgba8": 4, "bgra8": 4, "bgr8": 3}
JPEG = bytes.fromhex("ffd8ffe000104a46494600010100000100010000ffd9")


@dataclass(frozen=True)
class Golden:
    """One message of the collection.

    Attributes:
        name: of the file, without its ending.
        kind: header, packed, event, request or answer.
        data: the message.
        value: what it says, None for an invalid one.
        code, why: of an invalid one.
        more: further keys of its entry in the index.
    """

    name: str
    kind: str
    data: bytes
    value: dict[str, Any] | None = None
    code: str = ""
    why: str = ""
    more: dict[str, Any] = field(default_factory=dict)


def packed(value: Any) -> bytes:
    return bytes(msgpack.packb(value))


def header(**changed: Any) -> dict[str, Any]:
    """A good header of 4x3 RGB pixels, with changes; a key changed to ``...`` is left out."""
    values: dict[str, Any] = {
        "version": 1, "stream": STREAM, "epoch": 3, "seq": 4711, "frame": 960, "chunk": 40,
        "prompt": 7, "due_ns": 81_000_000_123, "sent_ns": 81_000_456_789, "width": 4, "height": 3,
        "stride": 12, "format": "rgb8", "rows": "top", "size": 36, "flags": 0,
    }  # fmt: skip
    return {key: value for key, value in (values | changed).items() if value is not ...}


def raw(pixel_format: str, rows: str = "top") -> dict[str, Any]:
    """What a header says of 4x3 pixels of a format."""
    stride = 4 * RAW[pixel_format]
    return {"format": pixel_format, "rows": rows, "stride": stride, "size": 3 * stride}


def pixels_of(size: int) -> bytes:
    return bytes((7 * place + 1) % 256 for place in range(size))


def whole(topic: bytes, values: bytes, pixels: bytes) -> bytes:
    return topic + b"\0" + struct.pack("<I", len(values)) + values + pixels


def shared_memory() -> bytes:
    """A mapped file of two slots of 48 bytes: turn 4 in slot 0, turn 2 in slot 1."""
    head = struct.pack("<8s16sIIQQ", b"MAGISHM1", STREAM.encode(), 2, 0, 48, 4_096)
    file = bytearray(4_096 + 2 * 48)
    file[: len(head)] = head
    file[64:80] = struct.pack("<QQ", 4, 2)
    file[4_096:] = pixels_of(2 * 48)
    return bytes(file)


def good_headers() -> Iterator[Golden]:
    for pixel_format in RAW:
        for rows in ("top", "bottom"):
            for layout in ("parts", "shared"):
                place = {"shared": {"slot": 2, "turn": 18}} if layout == "shared" else {}
                values = header(**raw(pixel_format, rows), **place)
                yield good(f"header-{pixel_format}-{rows}-{layout}", values)
    jpeg = {"format": "jpeg", "stride": 0, "size": len(JPEG)}
    yield good("header-jpeg-top-parts", header(**jpeg))
    yield good("header-repeated", header(flags=1))
    yield good("header-first-of-epoch", header(flags=2))
    yield good("header-both-flags", header(flags=3))
    yield good("header-steps", header(steps=8))
    yield good("header-most-steps", header(steps=2**32 - 1))
    yield good("header-padded-rows", header(stride=16, size=48))
    yield good(
        "header-largest-numbers",
        header(
            epoch=2**64 - 1, seq=2**64 - 1, frame=2**64 - 1, chunk=2**63, prompt=2**53 + 1,
            due_ns=2**63 - 1, sent_ns=2**63, width=16_384, height=4_096, stride=65_536,
            size=268_435_456, format="rgba8",
        ),
    )  # fmt: skip
    yield good("header-smallest-numbers", header(
        epoch=0, seq=1, frame=0, chunk=0, prompt=0, due_ns=0, sent_ns=0, width=1, height=1,
        stride=3, size=3,
    ))  # fmt: skip
    backwards = dict(reversed(list(header().items())))
    yield Golden("header-other-order", "header", packed(backwards), header())
    later = header() | {"colour": "sRGB", "lens": {"mm": [18, 55]}, "deep": [[[1]]], "none": None}
    later |= {"raw": b"\1", "half": -0.5, "below": -(2**63)}
    yield Golden("header-unknown-keys", "header", packed(later), header())
    twice = b"\xde\x00\x11" + packed({"seq": 1})[1:] + packed(header())[3:]
    yield Golden("header-key-twice-last-counts", "header", twice, header())
    signed = packed({"epoch": 3}).replace(b"\x03", b"\xd0\x03")[1:]
    wide = b"\xde\x00\x10" + packed(header(epoch=...))[1:] + signed
    yield Golden("header-signed-but-positive", "header", wide, header())


def good(name: str, values: dict[str, Any]) -> Golden:
    return Golden(name, "header", packed(values), values)


def good_packed() -> Iterator[Golden]:
    for pixel_format in (*RAW, "any"):
        for rows in ("top", "bottom"):
            values = header(**raw("bgr8" if pixel_format == "any" else pixel_format, rows))
            yield _good_packed(f"{pixel_format}/{rows}", values, pixels_of(values["size"]))
    jpeg = header(format="jpeg", stride=0, size=len(JPEG))
    yield _good_packed("jpeg/top", jpeg, JPEG)
    yield _good_packed("any/bottom", jpeg, JPEG, name="packed-any-bottom-as-jpeg")


def _good_packed(words: str, values: dict[str, Any], pixels: bytes, name: str = "") -> Golden:
    topic = f"frame/{words}/packed"
    value = {"topic": topic, "header": values, "pixels": {"bytes": pixels.hex()}}
    name = name or f"packed-{words.replace('/', '-')}"
    return Golden(name, "packed", whole(topic.encode(), packed(values), pixels), value)


def event(kind: str, **more: Any) -> dict[str, Any]:
    common = {"stream": STREAM, "epoch": 3, "seq": 4711, "sent_ns": 81_000_456_789}
    values = {"version": 1, "type": kind, **common, **more}
    return {key: value for key, value in values.items() if value is not ...}


def good_events() -> Iterator[Golden]:
    listed: dict[str, dict[str, Any]] = {
        "heartbeat": event("heartbeat", fps=23.976, paused=False),
        "heartbeat-paused-before-any-frame": event("heartbeat", fps=24.0, paused=True, seq=0),
        "prompt": event("prompt", prompt=7, text="a red ball, gravity pulls left"),
        "prompt-not-ascii": event("prompt", prompt=8, text="Regen fällt — 雨 🌧"),
        "prompt-longest": event("prompt", prompt=9, text="🌧" * 4_000),
        "bye": event("bye", reason="the server ends"),
    }
    for reason in ("reset", "image", "restore", "rewind", "flush"):
        listed[f"epoch-{reason}"] = event("epoch", reason=reason)
    for name, values in listed.items():
        yield Golden(f"event-{name}", "event", packed(values), values)
    whole_fps = event("heartbeat", fps=24, paused=False)
    yield Golden("event-heartbeat-whole-fps", "event", packed(whole_fps), whole_fps)
    later = event("weather", wind=[3, 4])
    common = {key: value for key, value in later.items() if key != "wind"}
    yield Golden("event-of-unknown-type", "event", packed(later), common)
