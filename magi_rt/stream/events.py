"""What is told besides frames: heartbeats, prompts that begin to show, new epochs, the end."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import msgpack

from magi_rt.stream.fields import (
    read_flag,
    read_number,
    read_stream,
    read_text,
    read_uint,
    read_version,
)
from magi_rt.stream.unpack import bounded_unpack

EVENT_BYTES = 20_480
"""Longest event."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """What every event says; by itself an event of a later version, of an unknown type.

    Attributes:
        stream: 16 hexadecimal digits, this run of the server.
        epoch: the present one.
        seq: of the last frame sent, 0 for none.
        sent_ns: nanoseconds on the server's steady clock.
    """

    type: ClassVar[str] = ""
    stream: str
    epoch: int
    seq: int
    sent_ns: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Heartbeat(Event):
    """Nothing else was sent for 500 ms."""

    type: ClassVar[str] = "heartbeat"
    fps: float
    paused: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class PromptShows(Event):
    """The next frame is the first that a prompt shaped."""

    type: ClassVar[str] = "prompt"
    prompt: int
    text: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NewEpoch(Event):
    """The next frame is the first of a new epoch; reason: reset, image, restore, rewind, flush."""

    type: ClassVar[str] = "epoch"
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerEnds(Event):
    """The server ends; nothing more comes of this stream."""

    type: ClassVar[str] = "bye"
    reason: str


def pack_event(event: Event) -> bytes:
    """The map of an event as it is sent."""
    return bytes(msgpack.packb({"version": 1, "type": event.type, **asdict(event)}))


def unpack_event(data: bytes | memoryview) -> Event:
    """What an event says.

    Raises:
        WireError: it is longer than 20,480 bytes, of another version, lacks a key of its type, or
            a value is out of range.
    """
    values = bounded_unpack(data, EVENT_BYTES)
    read_version(values)
    kind = read_text(values, "type")
    common: dict[str, Any] = {
        "stream": read_stream(values),
        "epoch": read_uint(values, "epoch"),
        "seq": read_uint(values, "seq"),
        "sent_ns": read_uint(values, "sent_ns"),
    }
    if kind == "heartbeat":
        return Heartbeat(
            fps=read_number(values, "fps"), paused=read_flag(values, "paused"), **common
        )
    if kind == "prompt":
        return PromptShows(
            prompt=read_uint(values, "prompt"), text=read_text(values, "text"), **common
        )
    if kind == "epoch":
        return NewEpoch(reason=read_text(values, "reason"), **common)
    if kind == "bye":
        return ServerEnds(reason=read_text(values, "reason"), **common)
    return Event(**common)
