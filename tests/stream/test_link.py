"""A client's end of the control socket, against a plain socket."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future
from threading import Event

import pytest
import zmq

from magi_rt.errors import RemoteError
from magi_rt.stream.answers import Accepted, Refusal, pack_answer
from magi_rt.stream.client import WorldClient
from magi_rt.stream.incoming import incoming
from magi_rt.stream.link import Asked, Link
from magi_rt.stream.messages import unpack_request
from magi_rt.stream.requests import Prompt, Request, Stats
from tests.stream.serving_kit import LIMIT_S, served, wait_for

STREAM = "0" * 16


def test_an_answer_that_came_before_the_connection_broke_still_counts() -> None:
    holding, held, go_on = Event(), Event(), Event()
    with zmq.Context() as context:
        server = context.socket(zmq.ROUTER)
        server.linger = round(1000 * LIMIT_S)
        port = server.bind_to_random_port("tcp://127.0.0.1")
        link = Link(f"tcp://127.0.0.1:{port}", Request("c", 1, Stats()), None, lambda *_: None)
        look = link.connection.look

        def look_late() -> bool:
            if holding.is_set():
                held.set()
                assert go_on.wait(LIMIT_S)
            return look()

        link.connection.look = look_late  # type: ignore[method-assign]
        try:
            asked = Asked(Request("c", 2, Prompt("rain")), applied=Future())
            assert asked.applied is not None
            link.ask(asked)
            route = accept_until(server, asked)
            holding.set()
            assert held.wait(LIMIT_S)
            server.send_multipart([route, pack_answer(Refusal(2, STREAM, 0, "failed", "it ends"))])
            server.close()
            wait_for(lambda: link.connection.monitor.poll(0), "the connection to break")
            go_on.set()
            with pytest.raises(RemoteError, match="it ends"):
                asked.applied.result(LIMIT_S)
        finally:
            go_on.set()
            link.close()
            server.close()


def test_after_a_break_no_request_is_asked_anew_that_servers_may_have_forgotten() -> None:
    with zmq.Context() as context:
        server = context.socket(zmq.ROUTER)
        server.linger = 0
        port = server.bind_to_random_port("tcp://127.0.0.1")
        link = Link(f"tcp://127.0.0.1:{port}", Request("c", 1, Stats()), None, lambda *_: None)
        try:
            forgotten, young = (
                Asked(Request("c", number, Prompt("rain")), applied=Future()) for number in (2, 290)
            )
            for asked in (forgotten, young, Asked(Request("c", 300, Stats()))):
                link.ask(asked)
                accept_until(server, asked)
            server.close()
            wait_for(lambda: not link.connection.up, "the connection to break")
            server = context.socket(zmq.ROUTER)
            server.linger = 0
            wait_for(lambda: bound(server, port), "the port to be free")
            last, seen = Asked(Request("c", 301, Stats())), list[int]()
            while link._broken or not link.connected or young.request.id not in seen:
                accept_one(server, seen)
            link.ask(last)
            while not last.accepted.done():
                accept_one(server, seen)
            assert forgotten.request.id not in seen
        finally:
            link.close()
            server.close()


def test_who_gives_up_the_wait_for_a_receipt_keeps_a_client_that_works() -> None:
    coming, go_on = Event(), Event()
    with served() as server, WorldClient(server.address) as client:
        heard = client._link._on_applied

        def hear_late(stream: str, epoch: int) -> None:
            coming.set()
            assert go_on.wait(LIMIT_S)
            heard(stream, epoch)

        client._link._on_applied = hear_late
        receipt = client.prompt("rain")
        assert coming.wait(LIMIT_S)

        async def give_up() -> None:
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(asyncio.wrap_future(receipt.future), 0.01)

        asyncio.run(give_up())
        go_on.set()
        assert receipt.wait(LIMIT_S).prompt == receipt.prompt
        assert client.stats()["failures"] == 0


def test_frames_and_requests_come_back_within_seconds_of_their_network() -> None:
    address = "tcp://127.0.0.1:1"
    with zmq.Context() as context:
        frames = incoming(context, address, None, 6)
        link = Link(address, Request("c", 1, Stats()), None, lambda *_: None)
        try:
            for each in (frames, link._socket):
                # the system's own patience is minutes, and cannot be waited for here
                for patience_ms in (zmq.TCP_MAXRT, zmq.CONNECT_TIMEOUT):
                    assert each.getsockopt(patience_ms) in range(1, 5_001)
        finally:
            link.close()
            frames.close()


def bound(server: zmq.Socket[bytes], port: int) -> bool:
    """Whether a port could be bound."""
    try:
        server.bind(f"tcp://127.0.0.1:{port}")
    except zmq.ZMQError:
        return False
    return True


def accept_until(server: zmq.Socket[bytes], asked: Asked) -> bytes:
    """Accepts what comes until the request has heard of it; returns the way to its client."""
    route = b""
    while not asked.accepted.done():
        route = accept_one(server, []) or route
    return route


def accept_one(server: zmq.Socket[bytes], seen: list[int]) -> bytes:
    """Accepts a request if one comes; notes its id and returns the way to its client."""
    if not server.poll(10):
        return b""
    route, data = server.recv_multipart()
    seen.append(unpack_request(data).id)
    server.send_multipart([route, pack_answer(Accepted(seen[-1], STREAM, 0, {}))])
    return route
