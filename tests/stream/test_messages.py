"""Requests and answers arrive as they were sent, and nothing else is taken."""

from __future__ import annotations

from typing import Any

import msgpack
import pytest

from magi_rt.stream.answers import Accepted, Answer, Applied, Refusal, pack_answer, unpack_answer
from magi_rt.stream.messages import RequestError, pack_request, unpack_request
from magi_rt.stream.requests import (
    BODIES,
    IMAGE_BYTES,
    Body,
    Bye,
    Fork,
    Hello,
    Image,
    Pause,
    Prompt,
    Request,
    Reset,
    Restore,
    Resume,
    Rewind,
    Set,
    Snapshot,
    Stats,
)
from magi_rt.stream.unpack import WireError

REQUESTS: list[Body] = [
    Hello(versions=(1, 2), name="a game", shared="rgba8/bottom"),
    Hello(versions=(1,)),
    Prompt(text="night falls"),
    Prompt(text="", at="now", flush=True),
    Prompt(text="\N{SNOWFLAKE}" * 4000),
    Reset(),
    Reset(seed=0),
    Reset(seed=2**63 - 1),
    Image(image=b"\x89PNG", seed=3),
    Image(image=bytes(IMAGE_BYTES)),
    Rewind(chunks=2),
    Snapshot(name="before-the_fall-2"),
    Restore(name="a"),
    Fork(name="b"),
    Pause(),
    Resume(),
    Set(fps=30.0),
    Set(format="jpeg", quality=90),
    Stats(),
    Bye(),
]

ANSWERS: list[Answer] = [
    Accepted(1, "0123456789abcdef", 0, {"prompt": 4, "formats": ["rgb8", "jpeg"]}),
    Applied(2**53, "0123456789abcdef", 3, seq=9, frame=8, chunk=1, prompt=4),
    Applied(7, "0123456789abcdef", 3, seq=9, frame=8, chunk=1),
    Refusal(0, "0123456789abcdef", 0, "malformed", "no map"),
]

HEAD = {"version": 1, "client": "c", "id": 5}


def refusal_of(values: Any) -> RequestError:
    """Why a message is refused."""
    data = values if isinstance(values, bytes) else msgpack.packb(values)
    with pytest.raises(RequestError) as caught:
        unpack_request(data)
    return caught.value


@pytest.mark.parametrize("body", REQUESTS, ids=lambda body: str(body)[:40])
def test_a_request_arrives_as_it_was_sent(body: Body) -> None:
    request = Request("client-7 ~", 2**53, body)
    assert unpack_request(pack_request(request)) == request


@pytest.mark.parametrize("answer", ANSWERS, ids=str)
def test_an_answer_arrives_as_it_was_sent(answer: Answer) -> None:
    assert unpack_answer(pack_answer(answer)) == answer


def test_every_type_of_request_is_tried_here() -> None:
    assert {body.kind for body in REQUESTS} == set(BODIES)


def test_what_is_left_out_is_the_default() -> None:
    request = unpack_request(msgpack.packb({**HEAD, "type": "prompt", "text": "rain"}))
    assert request.body == Prompt(text="rain", at="next", flush=False)


def test_a_whole_number_is_taken_for_frames_per_second() -> None:
    request = unpack_request(msgpack.packb({**HEAD, "type": "set", "fps": 24}))
    assert request.body == Set(fps=24.0)


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({"type": "stats", "loud": True}, "refused"),
        ({"type": "dance"}, "unknown_type"),
        ({"type": 4}, "malformed"),
        ({}, "malformed"),
        ({"type": "prompt"}, "malformed"),
        ({"type": "prompt", "text": 7}, "malformed"),
        ({"type": "prompt", "text": "x" * 4001}, "refused"),
        ({"type": "prompt", "text": "x", "at": "later"}, "refused"),
        ({"type": "prompt", "text": "x", "flush": 1}, "malformed"),
        ({"type": "reset", "seed": -1}, "refused"),
        ({"type": "reset", "seed": 2**63}, "refused"),
        ({"type": "reset", "seed": True}, "malformed"),
        ({"type": "reset", "seed": None}, "malformed"),
        ({"type": "image", "image": "text"}, "malformed"),
        ({"type": "image", "image": b""}, "refused"),
        ({"type": "image", "image": bytes(IMAGE_BYTES + 1)}, "refused"),
        ({"type": "rewind", "chunks": 0}, "refused"),
        ({"type": "rewind", "chunks": 1.0}, "malformed"),
        ({"type": "rewind", "chunks": 1, "to": 1}, "refused"),
        ({"type": "snapshot", "name": "../up"}, "refused"),
        ({"type": "snapshot", "name": "a/b"}, "refused"),
        ({"type": "snapshot", "name": "a\n"}, "refused"),
        ({"type": "restore", "name": ""}, "refused"),
        ({"type": "fork", "name": "x" * 65}, "refused"),
        ({"type": "set"}, "refused"),
        ({"type": "set", "fps": 0.5}, "refused"),
        ({"type": "set", "fps": float("nan")}, "refused"),
        ({"type": "set", "fps": "fast"}, "malformed"),
        ({"type": "set", "format": "any"}, "refused"),
        ({"type": "set", "quality": 101}, "refused"),
        ({"type": "hello", "versions": [2, 3]}, "version"),
        ({"type": "hello", "versions": []}, "refused"),
        ({"type": "hello", "versions": 1}, "malformed"),
        ({"type": "hello", "versions": [1], "shared": "jpeg/top"}, "refused"),
        ({"type": "stats", "version": 2}, "version"),
        ({"type": "stats", "version": "1"}, "malformed"),
        ({"type": "stats", "client": ""}, "malformed"),
        ({"type": "stats", "client": "caf\u00e9"}, "malformed"),
    ],
    ids=lambda value: str(value)[:60],
)
def test_what_is_wrong_is_named_and_keeps_its_id(values: dict[str, Any], code: str) -> None:
    error = refusal_of({**HEAD, **values})
    assert (error.code, error.id) == (code, 5)
    assert error.message


@pytest.mark.parametrize("number", [0, -1, 2**53 + 1, 1.0, True, "1", None])
def test_a_wrong_id_is_answered_under_0(number: object) -> None:
    error = refusal_of({"version": 1, "client": "c", "id": number, "type": "stats"})
    assert (error.code, error.id) == ("malformed", 0)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xc1",
        b"\x93\x01\x02\x03",
        msgpack.packb({1: 2}),
        msgpack.packb({**HEAD, "type": "stats"}) + b"\x00",
        msgpack.packb({**HEAD, "type": "hello", "versions": [[[[[1]]]]]}),
        msgpack.packb({**HEAD, **{f"k{place}": 0 for place in range(65)}}),
        msgpack.packb({**HEAD, "type": msgpack.ExtType(4, b"x")}),
        msgpack.packb({**HEAD, "type": "prompt", "text": "x" * 16_001}),
        b"\xdf\xff\xff\xff\xff",
    ],
    ids=lambda data: repr(data[:12]),
)
def test_bytes_that_are_no_map_within_the_limits_are_malformed(data: bytes) -> None:
    assert refusal_of(data).code == "malformed"


def test_what_is_too_long_is_too_large() -> None:
    long = {**HEAD, "type": "stats", "more": bytes(65_536)}
    assert refusal_of(long).code == "too_large"
    assert refusal_of(bytes(IMAGE_BYTES + 65_537)).code == "too_large"


def test_a_refusal_of_an_unknown_key_names_the_known_ones() -> None:
    error = refusal_of({**HEAD, "type": "prompt", "text": "x", "flsh": True})
    assert "'flsh'" in error.message and "flush" in error.message


@pytest.mark.parametrize(
    "change",
    [
        {"version": 2},
        {"type": "perhaps"},
        {"stream": "short"},
        {"epoch": -1},
        {"id": None},
        {"type": "applied"},
        {"type": "error", "code": "strange", "message": ""},
    ],
    ids=str,
)
def test_an_answer_that_is_none_is_not_taken(change: dict[str, Any]) -> None:
    values = msgpack.unpackb(pack_answer(Accepted(1, "0123456789abcdef", 0)))
    with pytest.raises(WireError):
        unpack_answer(msgpack.packb({**values, **change}))
