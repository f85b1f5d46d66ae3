"""Golden frames and events that nobody may take: each with the code and the reason."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Any

from tests.stream.golden_frames import JPEG, Golden, event, header, packed, pixels_of, whole


def bad(name: str, data: bytes, why: str, code: str = "malformed") -> Golden:
    return Golden(name, name.split("-")[0], data, code=code, why=why)


def nested(depth: int) -> Any:
    """Arrays in each other, so many."""
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def bad_maps(kind: str, values: dict[str, Any]) -> Iterator[Golden]:
    """What no map may be, whatever it says: the same faults in every kind of message."""
    data, size = packed(values), len(values)
    entries = data[3:] if size > 15 else data[1:]

    def headed(count: int) -> bytes:
        return b"\xde" + struct.pack(">H", count)

    def more(key: bytes, value: bytes) -> bytes:
        return headed(size + 1) + entries + key + value

    extra, text = packed("more"), 16_001
    yield bad(f"{kind}-empty", b"", "no bytes at all")
    yield bad(f"{kind}-truncated", data[: len(data) // 2], "it ends in the middle")
    yield bad(f"{kind}-one-byte-short", data[:-1], "the last byte is missing")
    yield bad(f"{kind}-trailing-byte", data + b"\xc0", "bytes follow the map")
    yield bad(f"{kind}-array", packed(list(values.values())), "an array, not a map")
    yield bad(f"{kind}-text", packed("version"), "text, not a map")
    yield bad(f"{kind}-too-deep", more(extra, packed(nested(4))), "five deep")
    yield bad(f"{kind}-far-too-deep", more(extra, b"\x91" * 600 + b"\xc0"), "601 deep")
    yield bad(f"{kind}-array-too-long", more(extra, packed([0] * 65)), "an array of 65 entries")
    many = {f"k{place:02}": 0 for place in range(65 - size)}
    yield bad(f"{kind}-too-many-keys", packed({**values, **many}), "a map of 65 entries")
    yield bad(f"{kind}-claims-many-keys", b"\xdf\xff\xff\xff\xff" + entries, "4,294,967,295 keys")
    yield bad(
        f"{kind}-claims-long-array", more(extra, b"\xdd\xff\xff\xff\xff"), "4,294,967,295 entries"
    )
    yield bad(f"{kind}-claims-long-text", more(extra, b"\xdb\xff\xff\xff\xff"), "4 GB of text")
    yield bad(f"{kind}-claims-long-binary", more(extra, b"\xc6\xff\xff\xff\xff"), "4 GB of bytes")
    yield bad(f"{kind}-number-as-key", more(packed(5), packed(5)), "a key that is no text")
    yield bad(f"{kind}-binary-as-key", more(packed(b"more"), packed(5)), "a key that is no text")
    yield bad(f"{kind}-nested-number-as-key", more(extra, packed({5: 5})), "a key that is no text")
    yield bad(f"{kind}-not-utf8", more(extra, b"\xa2\xc3\x28"), "text that is no UTF-8")
    yield bad(f"{kind}-surrogate", more(extra, b"\xa3\xed\xa0\x80"), "a surrogate in UTF-8")
    yield bad(f"{kind}-extension", more(extra, b"\xd4\x05\x00"), "an extension type")
    yield bad(f"{kind}-timestamp", more(extra, b"\xd6\xff\0\0\0\0"), "an extension type")
    yield bad(f"{kind}-never-used-byte", more(extra, b"\xc1"), "the byte that msgpack never uses")
    if kind != "header":
        yield bad(f"{kind}-text-too-long", more(extra, packed("x" * text)), "text of 16,001 bytes")
    for key in ("version", "stream", "epoch"):
        if key in values:
            rest = {name: value for name, value in values.items() if name != key}
            yield bad(f"{kind}-without-{key}", packed(rest), f"{key} is missing")
    if kind != "request":
        yield bad(f"{kind}-version-2", packed({**values, "version": 2}), "version 2", "version")
    text_version = packed({**values, "version": "1"})
    yield bad(f"{kind}-version-as-text", text_version, "version is text")
    yield bad(f"{kind}-version-as-true", packed({**values, "version": True}), "version is true")


def bad_headers() -> Iterator[Golden]:
    yield from bad_maps("header", header())
    for key in list(header())[2:]:
        if key not in ("stream", "epoch"):
            yield bad(f"header-without-{key}", packed(header(**{key: ...})), f"{key} is missing")
    changes: dict[str, tuple[dict[str, Any], str]] = {
        "negative-epoch": ({"epoch": -1}, "epoch is negative"),
        "epoch-as-float": ({"epoch": 3.0}, "epoch is a float"),
        "seq-zero": ({"seq": 0}, "seq counts from 1"),
        "width-as-text": ({"width": "4"}, "width is text"),
        "width-zero": ({"width": 0}, "width is 0"),
        "width-16385": ({"width": 16_385, "stride": 49_155, "size": 147_465}, "width is 16,385"),
        "height-zero": ({"height": 0, "size": 0}, "height is 0"),
        "height-16385": ({"height": 16_385, "size": 196_620}, "height is 16,385"),
        "stride-too-small": ({"stride": 11, "size": 33}, "4 pixels of rgb8 take 12 bytes"),
        "stride-for-rgb-with-rgba": ({"format": "rgba8"}, "4 pixels of rgba8 take 16 bytes"),
        "size-too-small": ({"size": 35}, "3 rows of 12 bytes are 36"),
        "size-too-large": ({"size": 37}, "3 rows of 12 bytes are 36"),
        "size-over-limit": (
            {"width": 16_384, "height": 16_384, "stride": 49_152, "size": 805_306_368},
            "size is at most 268,435,456",
        ),
        "size-wraps-32-bits": (
            {"width": 16_384, "height": 16_384, "stride": 262_144, "size": 1},
            "16,384 rows of 262,144 bytes are 4,294,967,296",
        ),
        "format-unknown": ({"format": "rgb16"}, "no such format"),
        "format-any": ({"format": "any"}, "any is for topics"),
        "format-empty": ({"format": ""}, "no such format"),
        "format-with-zero-byte": ({"format": "rgb8\0"}, "no such format"),
        "format-as-binary": ({"format": b"rgb8"}, "format is no text"),
        "rows-unknown": ({"rows": "left"}, "no such row order"),
        "flags-unknown": ({"flags": 4}, "bit 2 has no meaning in version 1"),
        "steps-as-text": ({"steps": "8"}, "steps is text"),
        "steps-negative": ({"steps": -8}, "steps is negative"),
        "steps-of-33-bits": ({"steps": 2**32}, "steps has more than 32 bits"),
        "stream-too-short": ({"stream": "00c0ffee5eed2a7"}, "15 digits"),
        "stream-too-long": ({"stream": "00c0ffee5eed2a7f0"}, "17 digits"),
        "stream-no-digits": ({"stream": "00c0ffee5eed2a7g"}, "g is no digit"),
        "stream-nil": ({"stream": None}, "stream is nil"),
        "jpeg-with-stride": ({"format": "jpeg"}, "JPEG has no stride"),
        "jpeg-bottom": ({"format": "jpeg", "stride": 0, "rows": "bottom"}, "JPEG is always top"),
        "jpeg-shared": (
            {"format": "jpeg", "stride": 0, "shared": {"slot": 0, "turn": 2}},
            "JPEG is not offered in shared memory",
        ),
        "shared-without-turn": ({"shared": {"slot": 2}}, "turn is missing"),
        "shared-without-slot": ({"shared": {"turn": 18}}, "slot is missing"),
        "shared-as-array": ({"shared": [2, 18]}, "shared is no map"),
        "shared-negative-slot": ({"shared": {"slot": -2, "turn": 18}}, "slot is negative"),
    }
    for name, (changed, why) in changes.items():
        yield bad(f"header-{name}", packed(header(**changed)), why)
    long = packed(header(more="x" * 1_024))
    yield bad("header-too-large", long, "more than 1,024 bytes", "too_large")


def bad_packed() -> Iterator[Golden]:
    topic, pixels, values = b"frame/rgb8/top/packed", pixels_of(36), packed(header())
    fine = whole(topic, values, pixels)
    head = len(topic) + 1

    def lengthed(length: int) -> bytes:
        return fine[:head] + struct.pack("<I", length) + fine[head + 4 :]

    yield bad("packed-empty", b"", "no bytes at all")
    yield bad("packed-only-topic", topic, "no zero byte after the topic")
    yield bad("packed-ends-in-length", fine[: head + 3], "three bytes of the length")
    yield bad("packed-ends-in-header", fine[: head + 50], "the header is cut short")
    yield bad("packed-pixel-short", fine[:-1], "35 bytes of pixels, size says 36")
    yield bad("packed-pixel-long", fine + b"\0", "37 bytes of pixels, size says 36")
    yield bad("packed-without-pixels", fine[:-36], "no pixels, size says 36")
    yield bad("packed-length-one-short", lengthed(len(values) - 1), "the header is cut short")
    yield bad("packed-length-zero", lengthed(0), "no header")
    huge = lengthed(2**32 - 1)
    yield bad("packed-length-huge", huge, "a header of 4,294,967,295 bytes", "too_large")
    yield bad("packed-topic-unknown", whole(b"frame/rgb9/top/packed", values, pixels), "no format")
    yield bad("packed-topic-of-parts", whole(b"frame/rgb8/top/parts", values, pixels), "not packed")
    yield bad("packed-topic-empty", whole(b"", values, pixels), "no topic")
    endless = whole(b"frame/" * 20, values, pixels)
    yield bad("packed-topic-endless", endless, "no zero byte within 64 bytes")
    yield bad("packed-jpeg-bottom", whole(
        b"frame/jpeg/bottom/packed", packed(header(format="jpeg", stride=0, size=len(JPEG))), JPEG
    ), "there is no such topic")  # fmt: skip
    other = whole(b"frame/bgr8/top/packed", values, pixels)
    yield bad("packed-other-format", other, "the header says rgb8, the topic bgr8")
    turned = whole(b"frame/rgb8/bottom/packed", values, pixels)
    yield bad("packed-other-rows", turned, "the header says top, the topic bottom")
    shared = packed(header(shared={"slot": 0, "turn": 2}))
    yield bad("packed-shared", whole(topic, shared, pixels), "pixels cannot lie in two places")
    second = whole(topic, packed(header(version=2)), pixels)
    yield bad("packed-version-2", second, "version 2", "version")


def bad_events() -> Iterator[Golden]:
    yield from bad_maps("event", event("heartbeat", fps=24.0, paused=False))
    listed: dict[str, tuple[dict[str, Any], str]] = {
        "without-type": (event("bye", reason="", type=...), "type is missing"),
        "type-as-number": (event("bye", reason="", type=4), "type is no text"),
        "without-seq": (event("bye", reason="", seq=...), "seq is missing"),
        "without-sent_ns": (event("bye", reason="", sent_ns=...), "sent_ns is missing"),
        "negative-seq": (event("bye", reason="", seq=-1), "seq is negative"),
        "heartbeat-without-fps": (event("heartbeat", paused=False), "fps is missing"),
        "heartbeat-without-paused": (event("heartbeat", fps=24.0), "paused is missing"),
        "heartbeat-fps-as-text": (event("heartbeat", fps="24", paused=False), "fps is text"),
        "heartbeat-fps-nan": (event("heartbeat", fps=float("nan"), paused=False), "fps is NaN"),
        "heartbeat-fps-infinite": (
            event("heartbeat", fps=float("inf"), paused=False), "fps is infinite",
        ),
        "heartbeat-fps-negative": (event("heartbeat", fps=-24.0, paused=False), "fps is negative"),
        "heartbeat-paused-as-number": (event("heartbeat", fps=24.0, paused=0), "paused is 0"),
        "prompt-without-text": (event("prompt", prompt=7), "text is missing"),
        "prompt-without-prompt": (event("prompt", text="night falls"), "prompt is missing"),
        "prompt-text-as-binary": (event("prompt", prompt=7, text=b"night"), "text is no text"),
        "epoch-without-reason": (event("epoch"), "reason is missing"),
        "bye-without-reason": (event("bye"), "reason is missing"),
    }  # fmt: skip
    for name, (values, why) in listed.items():
        yield bad(f"event-{name}", packed(values), why)
    long = packed(event("bye", reason="x" * 15_000, more="x" * 6_000))
    yield bad("event-too-large", long, "more than 20,480 bytes", "too_large")
