"""A client's end of the control socket: one thread that asks, asks again, and hands out answers."""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field

import zmq

from magi_rt.errors import MagiError, OptionError, RemoteError, ServerLostError
from magi_rt.stream.answers import Accepted, Answer, Applied, Refusal, unpack_answer
from magi_rt.stream.bell import Bell
from magi_rt.stream.connection import Connection
from magi_rt.stream.contexts import end_context
from magi_rt.stream.incoming import come_back
from magi_rt.stream.keys import ClientKeys, guard_client
from magi_rt.stream.messages import pack_request
from magi_rt.stream.requests import REQUEST_BYTES, Request

LOST_S = 1.5
"""A server that is silent for so long counts as lost."""

_PING_S = 0.5
_ASK_AGAIN_S = 1.0
_SENT_ONCE_ABOVE = REQUEST_BYTES  # on a slow way copies of an image would block what follows
_REMEMBERED = 200  # of a client's last requests, by every server; older ones would be done again
_TICK_MS = 100
_LINGER_MS = 200
_log = logging.getLogger("magi_rt.stream")


@dataclass
class Asked:
    """A request on its way.

    Attributes:
        accepted: what the server says at once; a RemoteError when it refuses.
        applied: which frame shows it; None for requests that change no picture.
    """

    request: Request
    accepted: Future[Accepted] = field(default_factory=Future)
    applied: Future[Applied] | None = None
    data: bytes = b""
    sent_s: float | None = None
    stream: str = ""

    def __post_init__(self) -> None:
        for future in (self.accepted, self.applied):
            if future is not None:
                # who waits may be cancelled, as by asyncio.wait_for; what is waited for goes on
                future.set_running_or_notify_cancel()

    @property
    def over(self) -> bool:
        """True when nothing more is expected."""
        later = self.applied
        return self.accepted.done() and (later is None or later.done())


class Link:
    """Keeps asking until it is answered, whatever happens to the connection.

    An unanswered request is sent again under its id, so it is done once; a large one only when the
    connection was cut. Requests that a server accepted before it died fail with
    :class:`ServerLostError`. Ids of requests count up one by one.

    Args:
        ping: a request without effect; its answers tell that the server lives, and which it is.
        on_applied: called on the link's thread with stream and epoch of every receipt.

    Attributes:
        connection: whether it stands, and why not.
        stream, epoch: the newest that an answer told.

    Raises:
        OptionError: libzmq cannot connect there.
    """

    def __init__(
        self,
        address: str,
        ping: Request,
        keys: ClientKeys | None,
        on_applied: Callable[[str, int], None],
    ) -> None:
        self._on_applied = on_applied
        self.stream = ""
        self.epoch = 0
        self._ping = pack_request(ping)
        self._ping_id = self._newest_id = ping.id
        self._heard_s = self._pinged_s = float("-inf")
        self._broken = self._cut = False
        self._asked: dict[int, Asked] = {}
        self._new: queue.SimpleQueue[Asked] = queue.SimpleQueue()
        self._ended, self._ending = False, threading.Lock()
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._socket = self._context.socket(zmq.DEALER)
        self._socket.linger = _LINGER_MS
        self._socket.maxmsgsize = REQUEST_BYTES
        self._socket.ipv6 = "[" in address
        come_back(self._socket, address)
        guard_client(self._socket, keys)
        self.connection = Connection(self._socket, keyed=keys is not None)
        self._bell = Bell()
        try:
            self._socket.connect(address)
        except zmq.ZMQError as error:
            self._end()
            raise OptionError(
                f"address {address} cannot be connected to ({error.strerror})", field="address"
            ) from error
        self._thread = threading.Thread(target=self._work, name="magi_rt client", daemon=True)
        self._thread.start()

    def ask(self, asked: Asked) -> None:
        """Sends a request; its futures are set when answers come.

        Raises:
            ServerLostError: the client is closed.
        """
        asked.data = pack_request(asked.request)
        with self._ending:
            if self._ended:
                raise ServerLostError("this client is closed; make another one")
            self._new.put(asked)
        self._bell.ring()

    def give_up(self, asked: Asked, error: MagiError) -> None:
        """Asks no more; whoever waits gets the error."""
        for future in (asked.accepted, asked.applied):
            if future is not None and not future.done():
                with suppress(InvalidStateError):  # answered meanwhile
                    future.set_exception(error)

    @property
    def connected(self) -> bool:
        """True when the server was heard within the last 1.5 s."""
        return not self._ended and time.monotonic() - self._heard_s < LOST_S

    def close(self) -> None:
        """Ends the thread and the connection; whoever waits gets a ServerLostError."""
        with self._ending:
            self._ended = True
        self._bell.ring()
        self._thread.join()

    # The thread

    def _work(self) -> None:
        poller = zmq.Poller()
        for each in (self._socket, self.connection.monitor, self._bell):
            poller.register(each, zmq.POLLIN)
        try:
            while not self._ended:
                poller.poll(_TICK_MS)
                self._bell.silence()
                self._look_at_connection()
                self._listen()
                self._speak()
            self._speak()
        except Exception:
            _log.exception("the client's connection fails")
        finally:
            self._end()

    def _look_at_connection(self) -> None:
        self._cut = self.connection.look() or self._cut
        self._broken = self._broken or self._cut or not self.connected

    def _listen(self) -> None:
        while True:
            try:
                parts = self._socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            try:
                answer = unpack_answer(parts[-1])
            except MagiError as error:
                _log.warning("an answer cannot be read: %s", error)
                continue
            self._heard(answer)

    def _heard(self, answer: Answer) -> None:
        self._heard_s = time.monotonic()
        if answer.stream != self.stream:
            self.stream, self.epoch = answer.stream, answer.epoch
            self._fail_those_of_other_streams()
        self.epoch = max(self.epoch, answer.epoch)
        if answer.id == self._ping_id and self._broken:
            self._broken = False
            self._ask_anew()
        asked = self._asked.get(answer.id)
        if asked is None:
            return
        self._settle(asked, answer)
        if asked.over:
            del self._asked[answer.id]

    def _settle(self, asked: Asked, answer: Answer) -> None:
        match answer:
            case Accepted():
                asked.stream = answer.stream
                with suppress(InvalidStateError):  # given up, or told before
                    asked.accepted.set_result(answer)
            case Applied() if asked.applied is not None and not asked.applied.done():
                self._on_applied(answer.stream, answer.epoch)
                with suppress(InvalidStateError):  # given up meanwhile
                    asked.applied.set_result(answer)
            case Refusal():
                self.give_up(asked, RemoteError(answer.code, answer.message))

    def _fail_those_of_other_streams(self) -> None:
        for asked in list(self._asked.values()):
            if asked.stream and asked.stream != self.stream:
                self._lose(asked, "the server was restarted before a frame showed it")

    def _ask_anew(self) -> None:
        """After a break all is asked again, since requests, answers and receipts may be lost.

        A large request is so only where the connection was cut, not where it was silent; an
        accepted one only while the server is sure to remember that it did it.
        """
        for asked in self._asked.values():
            if asked.accepted.done() and self._newest_id - asked.request.id >= _REMEMBERED:
                continue
            if self._cut or len(asked.data) <= _SENT_ONCE_ABOVE:
                asked.sent_s = None
        self._cut = False

    def _speak(self) -> None:
        now_s = time.monotonic()
        with suppress(queue.Empty):
            while True:
                asked = self._new.get_nowait()
                self._asked[asked.request.id] = asked
                self._newest_id = max(self._newest_id, asked.request.id)
        self._asked = {number: asked for number, asked in self._asked.items() if not asked.over}
        if not self.connection.up:
            return  # what nobody takes now is not to be done much later
        try:
            if now_s - max(self._heard_s, self._pinged_s) >= _PING_S:
                self._socket.send(self._ping, zmq.NOBLOCK)
                self._pinged_s = now_s
            for asked in self._asked.values():
                if self._is_due(asked, now_s):
                    self._socket.send(asked.data, zmq.NOBLOCK)
                    asked.sent_s = now_s
        except zmq.Again:
            return  # the queue is full: the next tick tries again

    def _is_due(self, asked: Asked, now_s: float) -> bool:
        if asked.sent_s is None:
            return True
        if asked.accepted.done() or len(asked.data) > _SENT_ONCE_ABOVE:
            return False
        return now_s - asked.sent_s >= _ASK_AGAIN_S

    def _lose(self, asked: Asked, why: str) -> None:
        del self._asked[asked.request.id]
        self.give_up(asked, ServerLostError(f"{asked.request.body.kind}: {why}; ask again"))

    def _end(self) -> None:
        with self._ending:
            self._ended = True
        with suppress(queue.Empty):
            while True:
                asked = self._new.get_nowait()
                self._asked[asked.request.id] = asked
        for asked in list(self._asked.values()):
            self._lose(asked, "the client was closed")
        self.connection.close()
        self._socket.close()
        end_context(self._context)
        self._bell.close()
