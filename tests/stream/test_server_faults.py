"""Whatever is sent to a server, it answers, counts, and goes on."""

from __future__ import annotations

import json
import logging
import random
from typing import Any

import msgpack
import pytest
import zmq

from magi_rt.stream.messages import pack_request
from magi_rt.stream.requests import IMAGE_REQUEST_BYTES, Prompt, Request
from tests.stream.serving_kit import RawControl, RawFrames, served, wait_for
from tests.stream.write_golden import FOLDER

INDEX: list[dict[str, Any]] = json.loads((FOLDER / "index.json").read_text("utf-8"))["messages"]


def test_every_faulty_request_of_the_golden_files_is_answered_and_the_server_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    faulty = [each for each in INDEX if each["kind"] == "request" and not each["valid"]]
    malformed = [each for each in faulty if each["code"] in ("malformed", "too_large")]
    caplog.set_level(logging.WARNING, "magi_rt.stream")
    with (
        served() as server,
        RawFrames(server.address) as frames,
        RawControl(server.control_address) as control,
    ):
        for entry in faulty:
            control.socket.send((FOLDER / entry["file"]).read_bytes())
            answer = control.answer()
            said = {key: answer[key] for key in ("type", "id", "code")}
            assert said == {"type": "error", "id": entry["id"], "code": entry["code"]}, entry
        uptime_s = server.stats()["uptime_s"]
        assert control.ask("stats")["stats"]["requests_malformed"] == len(malformed)
        assert control.ask("prompt", text="rain")["type"] == "accepted"
        frames.until(lambda: len(frames.frames) > 3)
    logged = [each for each in caplog.records if "malformed" in each.getMessage()]
    assert 1 <= len(logged) <= uptime_s + 1


@pytest.mark.parametrize("parts", [[b"", b"", b"x"], [b"a", b"b"], [b""], [b"", b""], [b"x"] * 70])
def test_messages_of_other_shapes_are_malformed(parts: list[bytes]) -> None:
    with served() as server, RawControl(server.control_address) as control:
        control.socket.send_multipart(parts)
        wait_for(lambda: server.stats()["requests_malformed"] == 1, "the count")
        assert control.ask("pause")["type"] in ("accepted", "error")


def test_mutated_requests_never_stop_the_server() -> None:
    dice = random.Random(3)
    good = pack_request(Request("raw", 5, Prompt("rain", "now", True)))
    with served() as server, RawControl(server.control_address) as control:
        for _ in range(2000):
            data = bytearray(good)
            for _ in range(dice.randint(1, 4)):
                data[dice.randrange(len(data))] = dice.randrange(256)
            control.socket.send(bytes(data[: dice.randint(0, len(data) + 1)]))
        control.send("stats", id=2**40)
        while (answer := control.answer())["id"] != 2**40:
            assert answer["type"] in ("accepted", "applied", "error")
        assert answer["stats"]["requests_malformed"] > 1000


def test_a_message_beyond_every_limit_costs_the_connection_and_nothing_else() -> None:
    with served() as server:
        with RawControl(server.control_address) as control:
            control.socket.send(bytes(IMAGE_REQUEST_BYTES + 1))
        with RawControl(server.control_address, client="other") as control:
            assert control.ask("hello", versions=[1])["chosen"] == 1


def test_a_client_that_reads_no_answers_does_not_hold_the_server_up() -> None:
    with served() as server, RawControl(server.control_address) as deaf:
        deaf.socket.rcvhwm = 1
        for _ in range(5000):
            deaf.send("stats")
        with RawControl(server.control_address, client="other") as control:
            assert control.ask("hello", versions=[1])["type"] == "accepted"


def test_a_subscriber_that_sends_nonsense_is_ignored() -> None:
    with (
        served() as server,
        RawFrames(server.address) as frames,
        zmq.Context() as context,
        context.socket(zmq.XSUB) as rude,
    ):
        rude.linger = 0
        rude.connect(server.address)
        for nonsense in (b"", b"\x01", b"\x01frame/", b"\x02what", b"\x01" + bytes(300)):
            rude.send(nonsense)
        frames.until(lambda: len(frames.frames) > 20)


def test_the_same_id_for_something_else_gets_the_first_answer() -> None:
    with served() as server, RawControl(server.control_address) as control:
        first = control.ask("pause", id=3)
        assert control.ask("resume", id=3) == first
        assert server.stats()["paused"] is True


def test_a_request_of_unknown_keys_is_refused_by_name() -> None:
    with served() as server, RawControl(server.control_address) as control:
        answer = control.ask("prompt", text="rain", flsh=True)
        assert answer["code"] == "refused" and "flsh" in answer["message"]


def test_msgpack_that_claims_more_than_it_holds_is_malformed() -> None:
    bomb = b"\x81\xa7version\xdd\xff\xff\xff\xff"
    with served() as server, RawControl(server.control_address) as control:
        control.socket.send(bomb)
        answer = control.answer()
        assert (answer["code"], answer["id"]) == ("malformed", 0)
        assert len(msgpack.packb(answer)) < 1000
