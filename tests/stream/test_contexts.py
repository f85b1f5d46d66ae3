"""The end of a context waits for what is on its way, and not for ever."""

from __future__ import annotations

import logging
import time

import pytest
import zmq

from magi_rt.stream import contexts
from magi_rt.stream.contexts import end_context


def test_a_context_whose_sockets_are_closed_ends() -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    context.socket(zmq.PUB).close()
    assert end_context(context) and context.closed


def test_open_sockets_are_closed_where_that_is_asked_for() -> None:
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    socket = context.socket(zmq.PUB)
    assert end_context(context, 0) and socket.closed


def test_one_that_does_not_end_is_left_behind_and_told(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(contexts, "LIMIT_S", 0.1)
    context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
    socket = context.socket(zmq.PUB)
    with caplog.at_level(logging.WARNING, "magi_rt.stream"):
        assert not end_context(context)  # a socket is still open
    assert "left behind" in caplog.text
    socket.close(linger=0)
    end_s = time.monotonic() + 30
    while not context.closed:
        assert time.monotonic() < end_s, "closing the socket did not end the context"
        time.sleep(0.01)
