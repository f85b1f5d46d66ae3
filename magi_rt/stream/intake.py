"""What the subscriber's thread does: read, sort out, keep the newest."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import zmq

from magi_rt.stream.clocks import WAIT_NS, Ages
from magi_rt.stream.events import Event, Heartbeat, ServerEnds, unpack_event
from magi_rt.stream.formats import Bytes
from magi_rt.stream.gate import Gate
from magi_rt.stream.received import Received
from magi_rt.stream.shared_way import SharedWay
from magi_rt.stream.stats import SubscriberStats
from magi_rt.stream.topics import EVENT, parse_topic
from magi_rt.stream.unpack import WireError
from magi_rt.stream.wire import (
    FrameHeader,
    check_payload,
    check_topic,
    unpack_header,
    unpack_packed,
)

LOST_NS = 1_500_000_000
"""A server that says nothing for so long is lost."""

AT_ONCE = 256
"""Messages read before the newest is handed out, even if more come all the time."""

_READABLE, _NOW = int(zmq.POLLIN), int(zmq.DONTWAIT)

_log = logging.getLogger("magi_rt.stream")


@dataclass(frozen=True)
class Candidate:
    """A frame that counts, before its pixels are fetched; payload None: in shared memory."""

    header: FrameHeader
    payload: bytes | memoryview | None
    received_ns: int
    age_ns: int


class Intake:
    """Reads a SUB socket and hands on the frames that a reader shall see.

    Args:
        socket: SUB, connected; used by the thread that calls ``read`` only.
        way: to shared memory, None where it is not wanted.
        every: hand on every frame that counts, not the newest only; stale ones as well.
        copy: pixels of shared frames are copied.
        deliver: called with every frame handed on, while the lock is held.
        announce: called with it afterwards.
        ask_again: called when the server's last frame has not come.
        tell: called with every event.
        clock: nanoseconds, never going back.

    Attributes:
        lock: held while ``gate`` and ``stats`` are used.
        heard_ns: when the present stream said anything last, 0 for never or after its ``bye``.
    """

    def __init__(
        self,
        socket: zmq.Socket[bytes],
        way: SharedWay | None,
        *,
        every: bool,
        copy: bool,
        deliver: Callable[[Received], None],
        announce: Callable[[Received], None],
        ask_again: Callable[[], None],
        tell: Callable[[Event], None],
        clock: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self._socket, self._way, self._every, self._copy = socket, way, every, copy
        self._deliver, self._announce = deliver, announce
        self._ask_again, self._tell, self._clock = ask_again, tell, clock
        self.lock = threading.RLock()
        self.gate, self.stats = Gate(), SubscriberStats()
        self.heard_ns = 0
        self._ages, self._ages_of = Ages(), ""
        self._held: Candidate | None = None
        self._held_since = 0
        self._logged_ns = -LOST_NS

    def read(self) -> None:
        """Reads what is there and hands on the newest frame, unless it is stale."""
        newest: Candidate | None = None
        for found in self._found():
            if found is None:
                continue
            if self._every:
                self._hand_on(found)
                continue
            if newest is not None:
                self._drop("replaced")
            newest = found
        if newest is not None:
            self._consider(newest)
        self.tick()

    def _found(self) -> Iterator[Candidate | None]:
        """What every message held that is there, those of the doorbell first."""
        for _ in range(AT_ONCE):
            rung, found = self._answer_doorbell()
            if not rung:
                break
            yield found
        for _ in range(AT_ONCE):
            if not self._socket.getsockopt(zmq.EVENTS) & _READABLE:  # type: ignore[operator]
                break
            yield self._sort(_parts(self._socket))

    def _answer_doorbell(self) -> tuple[bool, Candidate | None]:
        """Whether somebody rang, and the frame that counts."""
        if self._way is None or self._way.doorbell is None:
            return False, None
        now = self._clock()
        try:
            header = self._way.heard()
        except WireError as error:
            self._count_malformed(error, now)
            return True, None
        if header is None:
            return False, None
        return True, self._admit(header, None, now)

    def tick(self) -> None:
        """What time alone brings about; call it at :attr:`wait_ms`."""
        now = self._clock()
        if self._held is not None and now - self._held_since >= WAIT_NS:
            held, self._held = self._held, None
            self._hand_on(held)
        quiet = now - self.heard_ns > LOST_NS
        if quiet and self._way is not None and self._way.proven:
            self._way.fall_back()

    @property
    def waits(self) -> bool:
        """True while a stale frame waits for a fresh one."""
        return self._held is not None

    @property
    def wait_ms(self) -> int:
        """Milliseconds after which ``tick`` has something to do at the latest."""
        if self._held is None:
            return LOST_NS // 2_000_000
        left = self._held_since + WAIT_NS - self._clock()
        return max(1, left // 1_000_000 + 1)

    def _sort(self, parts: list[zmq.Frame]) -> Candidate | None:
        """Takes a message apart; None when it holds no frame that counts."""
        now = self._clock()
        try:
            if len(parts) == 2 and parts[0].bytes == EVENT:
                self._hear_event(unpack_event(parts[1].buffer), now)
                return None
            header, payload = _frame_in(parts)
        except WireError as error:
            self._count_malformed(error, now)
            return None
        return self._admit(header, payload, now)

    def _admit(
        self, header: FrameHeader, payload: bytes | memoryview | None, now: int
    ) -> Candidate | None:
        with self.lock:
            self.stats.received += 1
            reason = self.gate.refuses(header)
            if reason:
                self.stats.drop(reason)
            if reason != "stream":
                self.heard_ns = now
        if reason == "stream":
            return None
        if self._way is not None:
            self._way.begin(header.stream)
            self._way.hear(header)
        if reason:
            return None
        if header.stream != self._ages_of:
            self._ages, self._ages_of = Ages(), header.stream
        age = self._ages.age_ns(header.sent_ns, now)
        self._ages.pace(header.seq, header.due_ns)
        return Candidate(header, payload, now, age)

    def _consider(self, newest: Candidate) -> None:
        """Hands on a fresh frame at once; a stale one waits for a fresh one."""
        if self._held is not None:
            self._drop("stale")
        if not self._ages.is_stale(newest.age_ns):
            self._held = None
            self._hand_on(newest)
            return
        if self._held is None:
            self._held_since = newest.received_ns
        self._held = newest

    def _hand_on(self, found: Candidate) -> None:
        pixels: bytes | memoryview | Bytes | None = found.payload
        header = found.header
        if pixels is None:
            pixels = self._way.fetch(header, self._copy) if self._way is not None else None
        with self.lock:
            # a receipt may have told of a newer epoch meanwhile
            if header.stream != self.gate.stream or header.epoch < self.gate.epoch:
                self.stats.drop("epoch")
                return
            if pixels is None:
                self.stats.drop("overwritten")
                return
            self.stats.taken += 1
            memory = None if self._copy else self._way
            received = Received(header, pixels, found.received_ns, found.age_ns, memory)
            self._deliver(received)
        self._announce(received)

    def _hear_event(self, event: Event, now: int) -> None:
        with self.lock:
            if not self.gate.hear(event.stream, event.epoch):
                return
            self.stats.events += 1
            self.heard_ns = 0 if isinstance(event, ServerEnds) else now
            missed = isinstance(event, Heartbeat) and event.seq > self.gate.seq
        if missed:
            self._ask_again()
        self._tell(event)

    def _drop(self, reason: str) -> None:
        with self.lock:
            self.stats.drop(reason)

    def _count_malformed(self, error: WireError, now: int) -> None:
        self._drop("malformed")
        if now - self._logged_ns >= 1_000_000_000:
            self._logged_ns = now
            _log.warning("a message from the server does not count: %s", error)


def _parts(socket: zmq.Socket[bytes]) -> list[zmq.Frame]:
    """One message that is there."""
    parts = [socket.recv(_NOW, copy=False)]
    while parts[-1].more:
        parts.append(socket.recv(_NOW, copy=False))
    return parts


def _frame_in(parts: list[zmq.Frame]) -> tuple[FrameHeader, bytes | memoryview | None]:
    """Header and pixels of a message in any layout; WireError when it is none."""
    if len(parts) == 1:
        _, header, pixels = unpack_packed(parts[0].buffer)
        return header, pixels
    topic = parse_topic(parts[0].bytes[:64])
    wanted = {"parts": 3, "shared": 2}.get(topic.layout) if topic is not None else None
    if topic is None or len(parts) != wanted:
        raise WireError(f"{len(parts)} parts under {parts[0].bytes[:64]!r} are no frame")
    header = unpack_header(parts[1].buffer)
    check_topic(topic, header)
    if topic.layout == "shared":
        return header, None
    check_payload(header, len(parts[2].buffer))
    return header, parts[2].buffer
