"""The control socket: requests in, checked and told apart; answers out, and remembered."""

from __future__ import annotations

import logging
import time
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import zmq

from magi_rt.errors import OptionError
from magi_rt.stream.addresses import refuse_taken, socket_file
from magi_rt.stream.answered import Answered
from magi_rt.stream.answers import Accepted, Answer, Applied, Refusal, pack_answer
from magi_rt.stream.keys import ServerKeys, guard_server
from magi_rt.stream.messages import RequestError, unpack_request
from magi_rt.stream.receipts import Ticket
from magi_rt.stream.requests import IMAGE_REQUEST_BYTES, Body

ROUTES = 1024
"""Clients whose way back is remembered."""

LINGER_MS = 300
REQ_ENVELOPE = 2  # route and empty part: a REQ socket, which takes one answer per message
_LOG_EVERY_S = 1.0
_log = logging.getLogger("magi_rt.stream")


@dataclass
class ControlCounts:
    """Messages on the control socket since the start."""

    requests: int = 0
    repeated: int = 0
    malformed: int = 0
    refused: int = 0


@dataclass(frozen=True)
class Asked:
    """A new request and whose it is."""

    ticket: Ticket
    body: Body


class ControlSocket:
    """A ROUTER socket that speaks the protocol. One thread uses it.

    Args:
        address: where to bind; the port may be ``*``.
        stream: id of this run of the server.
        keys: who may connect; None lets everybody in who can reach the address.

    Attributes:
        address: as bound.
        epoch: what answers say; kept up to date by the server.

    Raises:
        OptionError: the address cannot be bound.
    """

    def __init__(
        self,
        context: zmq.Context[zmq.Socket[bytes]],
        address: str,
        *,
        stream: str,
        keys: ServerKeys | None = None,
    ) -> None:
        refuse_taken(address)
        self.stream, self.epoch = stream, 0
        self.counts = ControlCounts()
        self._answered = Answered()
        self._routes: OrderedDict[str, list[bytes]] = OrderedDict()
        self._logged_s = 0.0
        self.socket = context.socket(zmq.ROUTER)
        self.socket.linger = LINGER_MS
        self.socket.maxmsgsize = IMAGE_REQUEST_BYTES
        self.socket.ipv6 = "[" in address
        self._guard = guard_server(self.socket, keys)
        self._file = None
        try:
            self.socket.bind(address)
        except zmq.ZMQError as error:
            self.close()
            raise OptionError(
                f"cannot take requests at {address} ({zmq.strerror(error.errno or 0)}); "
                "choose another port",
                field="control",
            ) from error
        self.address = bound_address(self.socket)
        self._file = socket_file(self.address)

    def close(self) -> None:
        """Lets go of the address; answers on their way have a moment to leave."""
        if self._file is not None:
            self._file.remove()
        self.socket.close()
        if self._guard is not None:
            self._guard.release()

    @property
    def clients(self) -> int:
        """Clients that have asked something, of the last 1,024."""
        return len(self._routes)

    def receive(self) -> Asked | None:
        """The next message if one is there; what needs no doing is answered here.

        Raises:
            zmq.Again: no message is there.
        """
        route, *parts = self.socket.recv_multipart(zmq.NOBLOCK)
        envelope = [route]
        if len(parts) == 2 and parts[0] == b"":  # a REQ socket
            envelope.append(parts.pop(0))
        try:
            if len(parts) != 1:
                raise RequestError("malformed", f"a request is one part, not {len(parts)}")
            request = unpack_request(parts[0])
        except RequestError as error:
            self._not_understood(envelope, error)
            return None
        ticket = Ticket(request.client, request.id)
        self._remember_route(ticket.client, envelope)
        if self._repeated(ticket):
            return None
        self._answered.begin(*ticket)
        self.counts.requests += 1
        return Asked(ticket, request.body)

    def accept(self, ticket: Ticket, values: Mapping[str, Any] | None = None) -> None:
        """Answers that a request is done, or sure to be done."""
        self._answer(ticket, Accepted(ticket.id, self.stream, self.epoch, values or {}))

    def applied(self, ticket: Ticket, *, seq: int, frame: int, chunk: int, prompt: int = 0) -> None:
        """Answers that a frame was sent which shows it."""
        answer = Applied(ticket.id, self.stream, self.epoch, seq, frame, chunk, prompt)
        self._answer(ticket, answer)

    def refuse(self, ticket: Ticket, code: str, message: str) -> None:
        """Answers why a request is not done."""
        self.counts.refused += 1
        self._answer(ticket, Refusal(ticket.id, self.stream, self.epoch, code, message))
        if code == "busy":
            self._answered.forget(*ticket)

    def _answer(self, ticket: Ticket, answer: Answer) -> None:
        packed = pack_answer(answer)
        later = bool(self._answered.answers(*ticket))
        self._answered.keep(*ticket, packed)
        envelope = self._routes.get(ticket.client)
        if later and envelope is not None and len(envelope) == REQ_ENVELOPE:
            return  # a REQ socket would take it for the answer to its next request
        self._send(envelope, packed)

    def _send(self, envelope: list[bytes] | None, packed: bytes) -> None:
        if envelope is None:
            return
        try:
            self.socket.send_multipart([*envelope, packed], zmq.NOBLOCK)
        except zmq.Again:
            _log.warning("an answer was dropped, because its client reads none")

    def _repeated(self, ticket: Ticket) -> bool:
        """True when the request is known; then what was answered is answered again."""
        answers = self._answered.answers(*ticket)
        if answers is None:
            return False
        self.counts.repeated += 1
        envelope = self._routes.get(ticket.client)
        one = envelope is not None and len(envelope) == REQ_ENVELOPE
        for packed in answers[-1:] if one else answers:
            self._send(envelope, packed)
        return True

    def _not_understood(self, envelope: list[bytes], error: RequestError) -> None:
        if error.code in ("malformed", "too_large"):
            self.counts.malformed += 1
            if time.monotonic() - self._logged_s >= _LOG_EVERY_S:
                self._logged_s = time.monotonic()
                _log.warning("malformed requests: %d so far; %s", self.counts.malformed, error)
        else:
            self.counts.refused += 1
        answer = Refusal(error.id, self.stream, self.epoch, error.code, error.message)
        self._send(envelope, pack_answer(answer))

    def _remember_route(self, client: str, envelope: list[bytes]) -> None:
        self._routes[client] = envelope
        self._routes.move_to_end(client)
        if len(self._routes) > ROUTES:
            self._routes.popitem(last=False)


def bound_address(socket: zmq.Socket[bytes]) -> str:
    """Where a socket is bound, with the port that the system chose."""
    endpoint = socket.getsockopt(zmq.LAST_ENDPOINT)
    assert isinstance(endpoint, bytes)
    return endpoint.rstrip(b"\0").decode("utf-8")
