"""Frames in: the newest one of a server, at any moment."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace

import zmq

from magi_rt.errors import OptionError
from magi_rt.stream.addresses import (
    DEFAULT_ADDRESS,
    checked_destination,
    control_address,
    stays_here,
)
from magi_rt.stream.arrivals import QUEUE, Arrivals
from magi_rt.stream.contexts import end_context
from magi_rt.stream.events import Event
from magi_rt.stream.incoming import NEWEST_QUEUE, incoming, wake_pair
from magi_rt.stream.intake import LOST_NS, Intake
from magi_rt.stream.keys import ClientKeys
from magi_rt.stream.received import Received
from magi_rt.stream.shared_way import SharedWay
from magi_rt.stream.stats import SubscriberStats
from magi_rt.stream.topics import LAYOUTS, RAW_FORMATS, Topic

_log = logging.getLogger("magi_rt.stream")


class FrameSubscriber:
    """Receives frames on a thread of its own; no method waits unless it says so.

    Every method may be called from any thread. The thread reads all that is there and keeps the
    newest frame, so a slow reader sees fresh pictures, fewer of them.

    Args:
        address: of the server's frames.
        format: ``rgb8``, ``rgba8``, ``bgra8``, ``bgr8``, ``jpeg`` or ``any``.
        rows: ``top`` or ``bottom``: which row comes first.
        layout: ``auto`` takes shared memory where the server is on this machine and offers it,
            else ``parts``; ``shared`` is the same with an error for formats that cannot be shared.
        every: keep every frame, up to 240, instead of the newest only.
        keys: for servers that want them.
        control: address that is asked for shared memory; the one that belongs to ``address`` when
            left out, nobody when "".
        shared_file: path of the file, where it is known (``FramePublisher.offer_shared``).
        copy: False lends pixels in shared memory as they lie there: see ``Received.intact``.
        on_frame, on_event: called on the subscriber's thread with every frame taken (no matter
            whether ``next`` is called as well) and every event. They should return soon.
        context: of ZeroMQ; an own one when left out.

    Raises:
        OptionError: an address or one of the words is none.
    """

    def __init__(
        self,
        address: str = DEFAULT_ADDRESS,
        *,
        format: str = "rgb8",
        rows: str = "top",
        layout: str = "auto",
        every: bool = False,
        keys: ClientKeys | None = None,
        control: str | None = None,
        shared_file: str = "",
        copy: bool = True,
        on_frame: Callable[[Received], None] | None = None,
        on_event: Callable[[Event], None] | None = None,
        context: zmq.Context[zmq.Socket[bytes]] | None = None,
    ) -> None:
        topic, try_shared = _chosen(format, rows, layout)
        if control is None and try_shared and stays_here(address):
            control = control_address(address)
        for each in filter(None, (address, control)):
            checked_destination(each)
        self._on_frame, self._on_event = on_frame, on_event
        self._arrivals = Arrivals(every, self._wake_up)
        self._own_context = context is None
        self._context = context or zmq.Context()
        try:
            socket = incoming(self._context, address, keys, QUEUE if every else NEWEST_QUEUE)
        except BaseException:
            self._end_context()
            raise
        self._wake, self._woken = wake_pair(self._context)
        self._way = None
        if try_shared:
            self._way = SharedWay(socket, topic, control=control or "", file=shared_file, keys=keys)
        else:
            socket.subscribe(topic.name)
        self._topic = topic
        self._intake = Intake(
            socket, self._way, every=every, copy=copy, deliver=self._take,
            announce=self._announce, ask_again=self._ask_again, tell=self._tell,
        )  # fmt: skip
        self._socket = socket
        self._thread = threading.Thread(target=self._run, name="magi_rt subscriber", daemon=True)
        self._thread.start()

    def latest(self) -> Received | None:
        """The newest frame, the same one until a newer one has come; None before the first.

        Also None when its epoch has ended and no frame of the new one is there yet.
        """
        return self._arrivals.latest

    def next(self, timeout_s: float | None = None) -> Received | None:
        """Waits for a frame that ``next`` has not returned yet.

        After a time in which the whole process stood still, this is the newest frame that the
        server has sent and not the last one that came before, unless every frame is wanted.

        Args:
            timeout_s: seconds to wait; None waits until the subscriber is closed.

        Returns:
            The frame, None when none came in time or the subscriber is closed.
        """
        return self._arrivals.next(timeout_s)

    def __iter__(self) -> Iterator[Received]:
        """Frames as they come, until the subscriber is closed."""
        while (received := self.next()) is not None:
            yield received

    def drop_before(self, epoch: int, stream: str | None = None) -> None:
        """Frames of older epochs do not count from now on, as a receipt tells.

        Args:
            epoch: of the receipt.
            stream: of the receipt; the present one when left out.
        """
        with self._intake.lock:
            gate = self._intake.gate
            if gate.hear(stream or gate.stream, epoch):
                self._arrivals.forget(self._is_old)

    def _is_old(self, received: Received) -> bool:
        """True for frames of epochs and streams that have ended; the intake's lock is held."""
        gate, header = self._intake.gate, received.header
        return header.stream != gate.stream or header.epoch < gate.epoch

    @property
    def connected(self) -> bool:
        """True while the server says something at least every 1.5 seconds."""
        return time.monotonic_ns() - self._intake.heard_ns <= LOST_NS

    @property
    def closed(self) -> bool:
        """True once it has been closed."""
        return self._arrivals.closed

    @property
    def stream(self) -> str:
        """Id of the server's run, "" before anything was heard."""
        return self._intake.gate.stream

    @property
    def epoch(self) -> int:
        """The newest epoch heard of."""
        return self._intake.gate.epoch

    @property
    def stats(self) -> SubscriberStats:
        """The counters now, as a copy."""
        with self._intake.lock:
            now = self._intake.stats
            shared = self._way is not None and self._way.proven
            layout = "shared" if shared else self._topic.layout
            return replace(now, dropped=Counter(now.dropped), layout=layout)

    def _take(self, received: Received) -> None:
        self._arrivals.forget(self._is_old)
        if self._arrivals.put(received):
            self._intake.stats.drop("full")

    def _announce(self, received: Received) -> None:
        if self._on_frame is not None:
            _call(self._on_frame, received)

    def _ask_again(self) -> None:
        if self._way is not None:
            self._way.ask_again()
        else:
            self._socket.unsubscribe(self._topic.name)
            self._socket.subscribe(self._topic.name)

    def _tell(self, event: Event) -> None:
        with self._intake.lock:
            self._arrivals.forget(self._is_old)
        if self._on_event is not None:
            _call(self._on_event, event)

    def _run(self) -> None:
        poller = zmq.Poller()
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._woken, zmq.POLLIN)
        dealer = self._way.dealer if self._way is not None else None
        if dealer is not None:
            poller.register(dealer, zmq.POLLIN)
        asked, doorbell = False, None
        try:
            while not self._arrivals.closed:
                if self._way is not None and self._way.doorbell is not doorbell:
                    if doorbell is not None:
                        poller.unregister(doorbell)
                    doorbell = self._way.doorbell
                    if doorbell is not None:
                        poller.register(doorbell, zmq.POLLIN)
                ready = dict(poller.poll(self._intake.wait_ms))
                if dealer is not None and dealer in ready and self._way is not None:
                    self._way.hear_answers()
                if self._woken in ready:
                    self._woken.recv(zmq.DONTWAIT)
                    asked = True
                self._intake.read()
                if asked and not self._intake.waits:
                    asked = False
                    self._arrivals.looked()
        except zmq.ContextTerminated:
            pass  # the caller's context ends before the subscriber
        finally:
            if self._way is not None:
                self._way.close()
            self._socket.close()
            with self._arrivals.changed:  # who wakes sends to ``_woken``, which is open until then
                self._arrivals.close()
                self._woken.close()
                self._wake.close()
            self._end_context()

    def _wake_up(self) -> None:
        """Ends the thread's wait; ``changed`` is held and nothing closed yet."""
        with suppress(zmq.Again, zmq.ContextTerminated):  # it is awake, or ends by itself
            self._wake.send(b"", zmq.DONTWAIT)

    def _end_context(self) -> None:
        if self._own_context:
            end_context(self._context)

    def close(self) -> None:
        """Ends the thread and closes the sockets; ``next`` and iteration end. Twice is fine."""
        with self._arrivals.changed:
            if not self._arrivals.close():
                return
            self._wake_up()
        if threading.current_thread() is self._thread:
            return  # the thread ends when the function that it called returns
        self._thread.join()

    def __enter__(self) -> FrameSubscriber:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _chosen(pixel_format: str, rows: str, layout: str) -> tuple[Topic, bool]:
    """The topic to begin with, and whether shared memory is tried."""
    if layout not in ("auto", *LAYOUTS):
        raise OptionError(
            f"layout is {layout!r}; take one of auto, {', '.join(LAYOUTS)}", field="layout"
        )
    if layout == "shared":
        Topic(pixel_format, rows, "shared")
    begin = layout if layout in ("parts", "packed") else "parts"
    shared = layout == "shared" or (layout == "auto" and pixel_format in RAW_FORMATS)
    return Topic(pixel_format, rows, begin), shared


def _call(function: Callable[..., None], value: object) -> None:
    try:
        function(value)
    except Exception:
        _log.exception("a function that was given to the subscriber failed; frames go on")
