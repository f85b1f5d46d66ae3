"""How a reader on the server's machine comes to shared memory, and back to the socket."""

from __future__ import annotations

import logging
import secrets
import time
from contextlib import suppress
from dataclasses import replace
from enum import Enum
from pathlib import Path

import zmq

from magi_rt.errors import MagiError
from magi_rt.stream.answers import Accepted, unpack_answer
from magi_rt.stream.doorbells import Doorbell
from magi_rt.stream.formats import Bytes
from magi_rt.stream.keys import ClientKeys, guard_client
from magi_rt.stream.messages import pack_request
from magi_rt.stream.requests import Hello, Request
from magi_rt.stream.shared_frames import SharedFramesError, SharedReader
from magi_rt.stream.topics import Topic
from magi_rt.stream.wire import FrameHeader, check_topic, unpack_header

PATIENCE_S = 0.4
"""Seconds that a frame has to come once it was asked for again. Heartbeats come half a second
apart, but several are read at once after a stall."""

FAULTS = 8
"""So many frames in a row that were overwritten before they were read: the socket is better."""

_log = logging.getLogger("magi_rt.stream")


class State(Enum):
    """Where frames come from."""

    SOCKET = "socket"
    TRYING = "trying"  # from both: shared memory is not proven yet
    SHARED = "shared"


class SharedWay:
    """Subscribes a socket to the ``parts`` of a topic, and to ``shared`` where that works.

    Args:
        socket: SUB; used by the same thread only.
        topic: the ``parts`` topic.
        control: address that is asked for the file, "" when nobody is asked.
        file: path of the file, where it is known already.
        keys: for the control address.

    Attributes:
        dealer: the socket to be polled for the answer, None when nobody is asked.
        doorbell: to be polled for headers, None while there is none.
    """

    def __init__(
        self,
        socket: zmq.Socket[bytes],
        topic: Topic,
        *,
        control: str = "",
        file: str = "",
        keys: ClientKeys | None = None,
    ) -> None:
        self._socket, self._parts, self._file = socket, topic, file
        self._shared = Topic(topic.format, topic.rows, "shared")
        self.state = State.SOCKET
        self.dealer: zmq.Socket[bytes] | None = None
        if control and not file:
            self.dealer = self._asking(control, keys)
        self._client, self._asked = secrets.token_hex(8), 0
        self._stream, self._faults = "", 0
        self._sought_at: float | None = None
        self._reader: SharedReader | None = None
        self.doorbell: Doorbell | None = None
        self._rung = False
        socket.subscribe(topic.name)

    def _asking(self, control: str, keys: ClientKeys | None) -> zmq.Socket[bytes] | None:
        dealer: zmq.Socket[bytes] = self._socket.context.socket(zmq.DEALER)
        dealer.setsockopt(zmq.LINGER, 0)
        dealer.setsockopt(zmq.IPV6, 1 if "[" in control else 0)
        guard_client(dealer, keys)
        try:
            dealer.connect(control)
        except zmq.ZMQError as error:  # the path of a file can be too long by the last letters
            _log.info("%s cannot be asked (%s); frames come by socket", control, error.strerror)
            dealer.close()
            return None
        return dealer

    def begin(self, stream: str) -> None:
        """The first frame of a stream has come: asks for its file, once."""
        if stream == self._stream:
            return
        self.fall_back()
        self._stream = stream
        if self._file:
            self._try(self._file)
        elif self.dealer is not None:
            self._asked += 1
            asked = Hello(versions=(1,), shared=f"{self._shared.format}/{self._shared.rows}")
            request = pack_request(Request(self._client, self._asked, asked))
            self.dealer.send(request, zmq.DONTWAIT)

    def hear_answers(self) -> None:
        """Reads what the control address answers."""
        while self.dealer is not None:
            try:
                answer = unpack_answer(self.dealer.recv(zmq.DONTWAIT))
            except zmq.Again:
                return
            except MagiError as error:
                _log.debug("an answer about shared memory cannot be read: %s", error)
                continue
            if isinstance(answer, Accepted) and answer.id == self._asked:
                path = answer.values.get("shared")
                if answer.stream == self._stream and isinstance(path, str) and path:
                    self._try(path)

    def _try(self, path: str) -> None:
        if self._reader is not None:  # it was told twice
            return
        try:
            self._reader = SharedReader(Path(path), self._stream)
        except SharedFramesError as error:
            _log.info("%s; frames come by socket", error)
            return
        self.state, self._faults, self._sought_at = State.TRYING, 0, None
        self._socket.subscribe(self._shared.name)
        with suppress(OSError):  # headers come by socket then
            self.doorbell = Doorbell(Path(path).parent, self._stream)
            self._socket.subscribe(self._bell.name)

    @property
    def _bell(self) -> Topic:
        assert self.doorbell is not None
        return replace(self._shared, bell=self.doorbell.bell)

    def heard(self) -> FrameHeader | None:
        """The next header that came through the doorbell; None when there is none.

        Raises:
            WireError: it is none of a shared frame of this topic.
        """
        said = self.doorbell.heard() if self.doorbell is not None else None
        if said is None:
            return None
        header = unpack_header(said)
        check_topic(self._shared, header)
        if not self._rung:
            self._rung = True
            self._socket.unsubscribe(self._shared.name)
        return header

    @property
    def proven(self) -> bool:
        """True while frames come through shared memory alone."""
        return self.state is State.SHARED

    def hear(self, header: FrameHeader) -> None:
        """A shared frame was announced; the first one that is really there proves the way."""
        if header.shared is None or self._reader is None or header.stream != self._stream:
            return
        self._sought_at = None
        if self.state is State.TRYING and self._reader.intact(*header.shared):
            self.state = State.SHARED
            self._socket.unsubscribe(self._parts.name)

    def fetch(self, header: FrameHeader, copy: bool) -> Bytes | None:
        """The pixels of a shared frame; None when they were overwritten."""
        assert header.shared is not None
        if self._reader is None or header.stream != self._stream:
            return None
        read = self._reader.copy if copy else self._reader.view
        pixels = read(*header.shared, header.size)
        self._faults = 0 if pixels is not None else self._faults + 1
        if self._faults >= FAULTS:
            self.fall_back()
        return pixels

    def intact(self, header: FrameHeader) -> bool:
        """True while the pixels of a shared frame are still its own."""
        reader = self._reader
        return reader is not None and header.shared is not None and reader.intact(*header.shared)

    def fall_back(self) -> None:
        """Frames come by socket from now on, until another stream begins."""
        if self.state is State.SHARED:
            self._socket.subscribe(self._parts.name)
        if self.state is not State.SOCKET and not self._rung:
            self._socket.unsubscribe(self._shared.name)
        self.state = State.SOCKET
        if self.doorbell is not None:
            self._socket.unsubscribe(self._bell.name)
            self.doorbell.close()
            self.doorbell, self._rung = None, False
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    def ask_again(self) -> None:
        """Makes the server send its last frame again; by socket when it does not come this way.

        A heartbeat may only have overtaken the frame that it names, which is still at the door.
        """
        now = time.monotonic()
        if self.proven and self._sought_at is not None:
            if now - self._sought_at >= PATIENCE_S:
                self.fall_back()
        elif self.proven:
            self._sought_at = now
            topic = self._bell if self._rung else self._shared
            self._socket.unsubscribe(topic.name)
            self._socket.subscribe(topic.name)
        else:
            self._socket.unsubscribe(self._parts.name)
            self._socket.subscribe(self._parts.name)

    def close(self) -> None:
        """Unmaps the file, takes the doorbell down and closes the control socket."""
        if self.doorbell is not None:
            self.doorbell.close()
        if self._reader is not None:
            self._reader.close()
        if self.dealer is not None:
            self.dealer.close()
