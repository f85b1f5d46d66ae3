"""The SUB socket: connected with the queue that live pictures need."""

from __future__ import annotations

import zmq

from magi_rt.errors import OptionError
from magi_rt.kept_memory import keep_freed_memory
from magi_rt.stream.keys import ClientKeys, guard_client
from magi_rt.stream.topics import EVENT
from magi_rt.stream.wire import HEADER_BYTES, MAX_PAYLOAD_BYTES

NEWEST_QUEUE = 6
"""Messages that libzmq keeps for a thread that reads them at once."""

_RECONNECT_MS, _RECONNECT_MOST_MS = 100, 1000
_IDLE_S, _AGAIN_S, _TRIES = 2, 1, 3
_DEAD_MS = 5_000


def incoming(
    context: zmq.Context[zmq.Socket[bytes]], address: str, curve: ClientKeys | None, queue: int
) -> zmq.Socket[bytes]:
    """A socket that hears events; OptionError when the address cannot be connected to."""
    keep_freed_memory()
    socket = context.socket(zmq.SUB)
    socket.setsockopt(zmq.RCVHWM, queue)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.MAXMSGSIZE, MAX_PAYLOAD_BYTES + 2 * HEADER_BYTES)
    socket.setsockopt(zmq.IPV6, 1 if "[" in address else 0)
    come_back(socket, address)
    try:
        guard_client(socket, curve)
        socket.subscribe(EVENT)
        socket.connect(address)
    except zmq.ZMQError as error:
        socket.close()
        raise OptionError(
            f"address {address} cannot be connected to ({error.strerror})", field="address"
        ) from error
    return socket


def come_back(socket: zmq.Socket[bytes], address: str) -> None:
    """Has a socket give up connections and attempts that are dead without a word, within seconds.

    Otherwise the system tries ever more rarely while a network is away, and is a minute late when
    it is there again. The system asks, not libzmq, whose own heartbeats end the whole process when
    they give a connection up whose queue is full.
    """
    socket.setsockopt(zmq.RECONNECT_IVL, _RECONNECT_MS)
    socket.setsockopt(zmq.RECONNECT_IVL_MAX, _RECONNECT_MOST_MS)
    if address.startswith("tcp:"):
        socket.setsockopt(zmq.TCP_KEEPALIVE, 1)
        socket.setsockopt(zmq.TCP_KEEPALIVE_IDLE, _IDLE_S)
        socket.setsockopt(zmq.TCP_KEEPALIVE_INTVL, _AGAIN_S)
        socket.setsockopt(zmq.TCP_KEEPALIVE_CNT, _TRIES)
        socket.setsockopt(zmq.TCP_MAXRT, _DEAD_MS)
        socket.setsockopt(zmq.CONNECT_TIMEOUT, _DEAD_MS)


def wake_pair(
    context: zmq.Context[zmq.Socket[bytes]],
) -> tuple[zmq.Socket[bytes], zmq.Socket[bytes]]:
    """Two sockets by which one thread ends the other's wait."""
    wake, woken = context.socket(zmq.PAIR), context.socket(zmq.PAIR)
    address = f"inproc://magi_rt-wake-{id(wake)}"
    woken.bind(address)
    wake.connect(address)
    return wake, woken
