"""The XPUB socket: bound with the queue that live pictures need, and what its readers want."""

from __future__ import annotations

import zmq

from magi_rt.errors import OptionError
from magi_rt.stream.addresses import refuse_taken, socket_file, stays_here
from magi_rt.stream.contexts import end_context
from magi_rt.stream.doorbells import MOST
from magi_rt.stream.keys import ServerKeys, guard_server
from magi_rt.stream.topics import Topic, parse_topic

SEND_QUEUE = 6
"""Messages that libzmq keeps for each reader: twice two events and a frame. More would only grow
old there."""

READ_QUEUE = 16
"""Messages of one reader that libzmq takes in before they are read. What comes faster waits in that
reader's own connection; with more, libzmq heaps up what it is sent while it looks for news."""

AT_ONCE = 256
"""Messages of readers that are read before frames have their turn, even if more always come."""

LOCAL_SEND_BYTES = 393_216
"""Send buffer of TCP that stays on this machine. The system's own grows to several MB, with which a
large picture takes twice the processor time in the kernel; to other machines it is best."""

# The keys of a guarded connection are exchanged in messages of some 300 bytes.
_SUBSCRIPTION_BYTES = 1_024
_LINGER_MS = 200
_READABLE = int(zmq.POLLIN)


class Outgoing:
    """The socket and the topics that somebody subscribes to.

    Attributes:
        socket: XPUB.
        address: as bound, with the port.
        wanted: by name.
        newcomers: names of topics that somebody has subscribed to since they were last cleared.

    Raises:
        OptionError: the address cannot be bound.
    """

    def __init__(
        self, address: str, curve: ServerKeys | None, context: zmq.Context[zmq.Socket[bytes]] | None
    ) -> None:
        self._own_context = context is None
        self._context = context or zmq.Context()
        self.socket = self._context.socket(zmq.XPUB)
        self._guard = None
        self._file = None
        self.wanted: dict[bytes, Topic] = {}
        self.newcomers: set[bytes] = set()
        try:
            self._guard = guard_server(self.socket, curve)
            self.address = _bind(self.socket, address)
            self._file = socket_file(self.address)
        except BaseException:
            self.close()
            raise

    def read(self) -> list[Topic]:
        """Hears who subscribes; returns topics that nobody wants any more.

        Readers can send anything here; only the names of topics that exist mean something. Asking
        for events also has libzmq look at once for readers whose queues have room again, which
        sends alone do once a millisecond: keep the question even where nothing is to be read.
        """
        left: list[Topic] = []
        if not self.socket.getsockopt(zmq.EVENTS) & _READABLE:  # type: ignore[operator]
            return left
        for _ in range(AT_ONCE):
            try:
                said = self.socket.recv(zmq.DONTWAIT)
            except zmq.Again:
                break
            topic = parse_topic(said[1:])
            if topic is None:
                continue
            if said[0] == 1:
                if topic.bell and sum(bool(each.bell) for each in self.wanted.values()) >= MOST:
                    continue
                self.wanted[topic.name] = topic
                self.newcomers.add(topic.name)
            elif said[0] == 0 and topic.name in self.wanted:
                del self.wanted[topic.name]
                self.newcomers.discard(topic.name)
                left.append(topic)
        return left

    def close(self) -> None:
        """Waits at most 200 ms for what is on its way."""
        if self._file is not None:
            self._file.remove()
        self.socket.close(linger=_LINGER_MS)
        if self._guard is not None:
            self._guard.release()
        if self._own_context:
            end_context(self._context)


def _bind(socket: zmq.Socket[bytes], address: str) -> str:
    socket.setsockopt(zmq.SNDHWM, SEND_QUEUE)
    socket.setsockopt(zmq.RCVHWM, READ_QUEUE)
    socket.setsockopt(zmq.XPUB_VERBOSE, 1)
    socket.setsockopt(zmq.MAXMSGSIZE, _SUBSCRIPTION_BYTES)
    socket.setsockopt(zmq.IPV6, 1 if "[" in address else 0)
    refuse_taken(address)
    if address.startswith("tcp:") and stays_here(address):
        socket.setsockopt(zmq.SNDBUF, LOCAL_SEND_BYTES)
    try:
        socket.bind(address)
    except zmq.ZMQError as error:
        raise OptionError(
            f"address {address} cannot be bound ({zmq.strerror(error.errno or 0)}); another server "
            "may run there: choose another port",
            field="address",
        ) from error
    return socket.getsockopt_string(zmq.LAST_ENDPOINT)
