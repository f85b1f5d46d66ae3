"""Decoders under bytes that nobody meant: they read them or refuse them, and nothing else.

An ordinary run takes 20,000 mutated messages. More of them, such as a million (some minutes):

    MAGI_RT_FUZZ=1000000 python -m pytest tests/stream/test_fuzz.py -k mutated

``MAGI_RT_FUZZ_SEED`` is the seed they follow from, 0 unless set; a failure names its message.
"""

from __future__ import annotations

import json
import os
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import msgpack
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from magi_rt.stream.answers import pack_answer, unpack_answer
from magi_rt.stream.events import Event, Heartbeat, pack_event, unpack_event
from magi_rt.stream.messages import RequestError, pack_request, unpack_request
from magi_rt.stream.topics import Topic
from magi_rt.stream.unpack import WireError
from magi_rt.stream.wire import (
    FrameHeader,
    pack_header,
    pack_packed,
    unpack_header,
    unpack_packed,
)
from tests.stream.write_golden import FOLDER

MUTATED = int(os.environ.get("MAGI_RT_FUZZ", "20000"))
SEED = int(os.environ.get("MAGI_RT_FUZZ_SEED", "0"))
LONGEST = 4_096
"""Bytes of the longest golden file that is mutated; the longer ones say nothing more."""

ODD_BYTES = (0x00, 0x7F, 0x80, 0x8F, 0x90, 0xC0, 0xC1, 0xC4, 0xC7, 0xCB, 0xCF, 0xD4, 0xD9, 0xDB,
             0xDC, 0xDD, 0xDE, 0xDF, 0xE0, 0xFF)  # fmt: skip
"""Bytes by which msgpack tells types, and the ends of their ranges."""

INDEX: list[dict[str, Any]] = json.loads((FOLDER / "index.json").read_text("utf-8"))["messages"]


def packed_frame(frame: tuple[Topic, FrameHeader, memoryview]) -> bytes:
    topic, header, pixels = frame
    return pack_packed(topic.name, header, pixels)


def known_event(event: Event) -> bytes:
    """An event of a later version cannot be sent again."""
    return pack_event(event if event.type else Heartbeat(**asdict(event), fps=0.0, paused=False))


DECODERS: dict[str, tuple[Callable[[bytes], Any], Callable[[Any], bytes]]] = {
    "header": (unpack_header, pack_header),
    "packed": (unpack_packed, packed_frame),
    "event": (unpack_event, known_event),
    "request": (unpack_request, pack_request),
    "answer": (unpack_answer, pack_answer),
}
"""By kind: what reads it, and what writes it again."""

CORPUS = [
    (each["kind"], data)
    for each in INDEX
    if each["kind"] in DECODERS and len(data := (FOLDER / each["file"]).read_bytes()) <= LONGEST
    for _ in range(12 if each["valid"] else 1)
]


def verdict(kind: str, data: bytes) -> str:
    """``read``, or the code of the refusal; anything else that is raised is a fault.

    What was read is written and read again, and must come out the same.
    """
    unpack, pack = DECODERS[kind]
    try:
        found = unpack(data)
    except (WireError, RequestError) as error:
        assert error.message and len(error.message) < 2_000
        return error.code
    written = pack(found)
    assert pack(unpack(written)) == written
    return "read"


def mutated(data: bytes, other: bytes, dice: random.Random) -> bytes:
    """One to four small changes; a part of another message may be among them."""
    changed = bytearray(data)
    for _ in range(dice.choice((1, 1, 1, 2, 4))):
        at = dice.randrange(len(changed) + 1)
        match dice.randrange(9):
            case 0 | 1:
                changed[at : at + 1] = bytes([dice.randrange(256)])
            case 2:
                changed[at : at + 1] = bytes([dice.choice(ODD_BYTES)])
            case 3 | 4 | 5:
                changed[at : at + 1] = (
                    byte ^ 1 << dice.randrange(8) for byte in changed[at : at + 1]
                )
            case 6:
                del changed[at : at + dice.choice((1, 2, 8))]
            case 7:
                changed[at:at] = dice.randbytes(dice.choice((1, 2, 8)))
            case _:
                begin = dice.randrange(len(other) + 1)
                piece = other[begin : begin + dice.randrange(1, 40)]
                changed[at : at + len(piece)] = piece
    return bytes(changed)


def test_mutated_golden_messages_are_read_or_refused() -> None:
    dice, verdicts = random.Random(SEED), Counter[str]()
    for number in range(MUTATED):
        kind, data = dice.choice(CORPUS)
        message = mutated(data, dice.choice(CORPUS)[1], dice)
        try:
            verdicts[verdict(kind, message)] += 1
        except BaseException as error:
            error.add_note(f"message {number} of seed {SEED}, a {kind}: {message.hex()}")
            raise
    print(dict(verdicts))
    assert verdicts["read"] > MUTATED // 20, "mutations are too wild to reach the inner checks"
    assert verdicts["malformed"] > MUTATED // 4


@pytest.mark.parametrize("kind", DECODERS)
@settings(max_examples=150, deadline=None)
@given(data=st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(kind: str, data: bytes) -> None:
    verdict(kind, data)


NAMES = st.text(max_size=8)
SINGLE = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats()
    | st.text(max_size=20) | st.binary(max_size=20)
)  # fmt: skip
VALUES = st.recursive(
    SINGLE,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=6,
)
RIGHT = {
    kind: [
        msgpack.unpackb((FOLDER / each["file"]).read_bytes())
        for each in INDEX
        if each["kind"] == kind and each["valid"]
    ]
    for kind in DECODERS
    if kind != "packed"
}
"""What the good golden files hold."""


@pytest.mark.parametrize("kind", RIGHT)
@settings(max_examples=150, deadline=None)
@given(data=st.data())
def test_any_values_under_any_keys_are_read_or_refused(kind: str, data: st.DataObject) -> None:
    message = RIGHT[kind][data.draw(st.integers(0, len(RIGHT[kind]) - 1))].copy()
    for key in data.draw(st.lists(st.sampled_from(sorted(message)), max_size=2)):
        message[key] = data.draw(VALUES)
    message |= data.draw(st.dictionaries(NAMES, VALUES, max_size=2))
    verdict(kind, bytes(msgpack.packb(message)))
