"""Answers of the control socket: accepted, applied, error."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgpack

from magi_rt.stream.fields import read_stream, read_text, read_uint, read_version, read_word
from magi_rt.stream.messages import CODES
from magi_rt.stream.requests import ID_LIMIT, REQUEST_BYTES, VERSION
from magi_rt.stream.unpack import WireError, bounded_unpack

_COMMON = ("version", "id", "type", "stream", "epoch")


@dataclass(frozen=True)
class Accepted:
    """Understood and done, or sure to be done.

    Attributes:
        id: of the request.
        stream, epoch: of the server, when it answered.
        values: what the request's row of the protocol says.
    """

    id: int
    stream: str
    epoch: int
    values: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Applied:
    """The picture shows it.

    Attributes:
        seq, frame, chunk, epoch: of the first frame that does.
        prompt: id of the prompt, 0 for other requests.
    """

    id: int
    stream: str
    epoch: int
    seq: int
    frame: int
    chunk: int
    prompt: int = 0


@dataclass(frozen=True)
class Refusal:
    """Not done, and nothing has changed.

    Attributes:
        id: of the request, 0 where none could be read.
        code: one of the protocol's codes.
        message: a sentence.
    """

    id: int
    stream: str
    epoch: int
    code: str
    message: str


Answer = Accepted | Applied | Refusal


def pack_answer(answer: Answer) -> bytes:
    """An answer as it is sent."""
    head: dict[str, Any] = {
        "version": VERSION, "id": answer.id, "type": "accepted", "stream": answer.stream,
        "epoch": answer.epoch,
    }  # fmt: skip
    match answer:
        case Accepted():
            more: Mapping[str, Any] = answer.values
        case Applied():
            head["type"] = "applied"
            more = {"seq": answer.seq, "frame": answer.frame, "chunk": answer.chunk}
            more = {**more, "prompt": answer.prompt} if answer.prompt else more
        case Refusal():
            head["type"] = "error"
            more = {"code": answer.code, "message": answer.message}
    return bytes(msgpack.packb({**more, **head}))


def unpack_answer(data: bytes) -> Answer:
    """The answer in a message.

    Raises:
        WireError: it is no answer of this version.
    """
    values = bounded_unpack(data, REQUEST_BYTES)
    read_version(values)
    number, stream = read_uint(values, "id", most=ID_LIMIT), read_stream(values)
    epoch, kind = read_uint(values, "epoch"), read_text(values, "type")
    if kind == "accepted":
        more = {key: value for key, value in values.items() if key not in _COMMON}
        return Accepted(number, stream, epoch, more)
    if kind == "applied":
        seq, frame, chunk = (read_uint(values, key) for key in ("seq", "frame", "chunk"))
        prompt = read_uint(values, "prompt") if "prompt" in values else 0
        return Applied(number, stream, epoch, seq, frame, chunk, prompt)
    if kind == "error":
        code = read_word(values, "code", CODES)
        return Refusal(number, stream, epoch, code, read_text(values, "message"))
    raise WireError(f"an answer has the unknown type {kind[:40]!r}", field="type")
