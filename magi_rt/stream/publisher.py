"""Frames out: one XPUB socket, from which every reader gets what it subscribed to."""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import zmq

from magi_rt.errors import MagiError, OptionError
from magi_rt.stream import events
from magi_rt.stream.addresses import DEFAULT_ADDRESS, checked_address
from magi_rt.stream.formats import Bytes, check_picture
from magi_rt.stream.keys import ServerKeys, refuse_open_door
from magi_rt.stream.outgoing import Outgoing
from magi_rt.stream.outlets import Made, Outlets, Picture
from magi_rt.stream.shared_frames import remove_abandoned
from magi_rt.stream.stats import PublisherStats
from magi_rt.stream.topics import EVENT, FORMATS, RAW_FORMATS, ROWS, Topic
from magi_rt.stream.wire import FIRST_OF_EPOCH, REPEATED, FrameHeader

HEARTBEAT_MS = 500
DOUBT_S = 3.0
"""For so long after a topic was cancelled heartbeats come between frames as well: libzmq tells of
the last reader's leaving and of a single peer's nonsense alike. Who misses frames hears it in them.
"""
LEAST_RING = 4
_IDLE_S = 0.02


class FramePublisher:
    """Sends frames to any number of readers and never waits for one.

    Every method may be called from any thread. ``poll`` must be called often (every 20 ms or so)
    or ``running`` be entered, so that newcomers get the last frame and idle readers a heartbeat.

    Args:
        address: to bind to, ``tcp://HOST:PORT`` or ``ipc://PATH``; ``tcp://127.0.0.1:*`` takes a
            free port.
        ring: buffers per kind of frame, 4 or more.
        stream: 16 hexadecimal digits; random when left out.
        keys: needed for addresses that other machines can reach.
        context: of ZeroMQ; an own one when left out.
        size: height and width of the frames in pixels, if known before the first one (shared
            memory can be offered from then on).

    Attributes:
        address: as bound, with the port.
        stream: this run's id.
        socket: the XPUB socket, to be polled for input by a caller that calls ``poll`` then.
        epoch: of the frames to come.
        fps, paused: what heartbeats say.

    Raises:
        OptionError: the address cannot be bound, would be open to other machines, or the ring is
            too small.
    """

    def __init__(
        self,
        address: str = DEFAULT_ADDRESS,
        *,
        ring: int = 16,
        stream: str | None = None,
        keys: ServerKeys | None = None,
        context: zmq.Context[zmq.Socket[bytes]] | None = None,
        size: tuple[int, int] | None = None,
    ) -> None:
        if ring < LEAST_RING:
            raise OptionError(f"ring is {ring}; use {LEAST_RING} or more", field="ring")
        refuse_open_door(checked_address(address), keys)
        self.stream = stream or secrets.token_hex(8)
        self.epoch, self.fps, self.paused = 0, 0.0, False
        self._size = size
        self._out = Outgoing(address, keys, context)
        self.socket, self.address = self._out.socket, self._out.address
        self._lock = threading.RLock()
        self._outlets = Outlets(ring)
        self._stats = PublisherStats()
        self._last: Picture | None = None
        self._seq = 0
        self._sent_at = self._beat_at = time.monotonic()
        self._doubted_at = -DOUBT_S
        remove_abandoned()

    def publish(
        self,
        pixels: Bytes,
        *,
        epoch: int,
        frame: int,
        chunk: int,
        prompt: int,
        due_ns: int,
        first: bool = False,
        borrowed: bool = False,
        steps: int = 0,
    ) -> int:
        """Sends a frame on every topic that somebody wants, and returns its ``seq``.

        Args:
            pixels: [H, W, 3] uint8 RGB, top row first.
            epoch, frame, chunk, prompt: as in the protocol's header.
            due_ns: when it is to be shown, ``time.monotonic_ns``.
            first: first frame of its epoch.
            borrowed: the caller never changes these pixels: they are sent from where they lie.
            steps: denoising steps that its chunk took, 0 where that is not known.

        Raises:
            ShapeError: the pixels are no picture.
            MagiError: the publisher is closed.
        """
        check_picture(pixels)
        with self._lock:
            self._hear()
            self._seq += 1
            self._stats.published += 1
            self.epoch = epoch
            height, width, _ = pixels.shape
            header = FrameHeader(
                stream=self.stream, epoch=epoch, seq=self._seq, frame=frame, chunk=chunk,
                prompt=prompt, due_ns=due_ns, sent_ns=0, width=width, height=height, stride=0,
                format="rgb8", rows="top", size=0, flags=FIRST_OF_EPOCH if first else 0,
                steps=steps,
            )  # fmt: skip
            self._size = (height, width)
            self._last = self._picture(header, pixels, borrowed)
            for topic in self._out.wanted.values():
                self._send(topic, self._last, 0)
            self._out.newcomers.clear()
            return self._seq

    def _picture(self, header: FrameHeader, pixels: Bytes, borrowed: bool) -> Picture:
        if borrowed and pixels.flags.c_contiguous:
            self._outlets.release(self._last)
            return Picture(header, pixels, {("rgb8", "top"): Made(pixels.reshape(-1))})
        kept = self._outlets.keep(pixels, self._last)
        assert isinstance(kept.data, np.ndarray)
        return Picture(header, kept.data.reshape(pixels.shape), {("rgb8", "top"): kept})

    def event(self, kind: str, *, epoch: int | None = None, **more: Any) -> None:
        """Sends an event.

        Args:
            kind: ``heartbeat`` (fps, paused), ``prompt`` (prompt, text), ``epoch`` (reason) or
                ``bye`` (reason).
            epoch: the one that begins with the next frame, if another one does.
            more: the keys of that kind.
        """
        with self._lock:
            if epoch is not None:
                self.epoch = epoch
            event = _EVENTS[kind](
                stream=self.stream, epoch=self.epoch, seq=self._seq,
                sent_ns=time.monotonic_ns(), **more,
            )  # fmt: skip
            try:
                self._open_socket().send_multipart([EVENT, events.pack_event(event)], zmq.DONTWAIT)
            except zmq.Again:
                self._stats.skipped += 1
                return
            self._stats.events += 1
            self._sent_at = time.monotonic()

    def poll(self) -> None:
        """Hears subscriptions, sends newcomers the last frame, and idle readers a heartbeat."""
        with self._lock:
            self._hear()
            if self._last is not None:
                for name in self._out.newcomers:
                    self._send(self._out.wanted[name], self._last, REPEATED)
                self._out.newcomers.clear()
            now = time.monotonic()
            doubted = now - self._doubted_at < DOUBT_S
            if now - (self._beat_at if doubted else self._sent_at) >= HEARTBEAT_MS / 1000:
                self.heartbeat()

    def heartbeat(self) -> None:
        """Tells readers the pace, and whether the world stands."""
        self._beat_at = time.monotonic()
        self.event("heartbeat", fps=self.fps, paused=self.paused)

    @contextmanager
    def running(self) -> Iterator[FramePublisher]:
        """Calls ``poll`` on a thread of its own until the block ends or the publisher is closed."""
        ended = threading.Event()

        def serve() -> None:
            while not ended.wait(_IDLE_S):
                with self._lock:
                    if self.socket.closed:
                        return
                    self.poll()

        thread = threading.Thread(target=serve, name="magi_rt publisher", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            ended.set()
            thread.join()

    def offer_shared(self, format_rows: str) -> str:
        """Path of a file through which frames of FORMAT/ROWS go to readers on this machine.

        "" when there can be none: no such format, no size known yet, or no memory left.
        """
        pixel_format, _, rows = format_rows.partition("/")
        with self._lock:
            if pixel_format not in RAW_FORMATS or rows not in ROWS or self._size is None:
                return ""
            return self._outlets.offer_shared(self.stream, (pixel_format, rows), *self._size)

    @property
    def any_format(self) -> str:
        """What the topic format ``any`` is now; OptionError for an unknown one."""
        return self._outlets.any_format

    @any_format.setter
    def any_format(self, pixel_format: str) -> None:
        if pixel_format not in FORMATS:
            raise OptionError(
                f"format is {pixel_format!r}; take one of {', '.join(FORMATS)}", field="format"
            )
        with self._lock:
            self._outlets.any_format = pixel_format

    @property
    def quality(self) -> int:
        """Of JPEG frames, 1 .. 100; OptionError for others."""
        return self._outlets.quality

    @quality.setter
    def quality(self, quality: int) -> None:
        if not 1 <= quality <= 100:
            raise OptionError(f"quality is {quality}; it goes from 1 to 100", field="quality")
        with self._lock:
            self._outlets.quality = quality

    @property
    def stats(self) -> PublisherStats:
        """The counters now, as a copy."""
        with self._lock:
            now = self._stats
            return PublisherStats(
                now.published, now.sent, now.repeated, self._outlets.copied, now.skipped,
                now.events, self._outlets.ring_in_use(), dict(now.topics),
                tuple(sorted(topic.kind for topic in self._out.wanted.values())),
            )  # fmt: skip

    def _hear(self) -> None:
        self._open_socket()
        for topic in self._out.read():
            self._outlets.forget(topic)
            self._doubted_at = time.monotonic()

    def _send(self, topic: Topic, picture: Picture, flags: int) -> None:
        try:
            sent = self._outlets.send(self._open_socket(), topic, picture, flags)
        except zmq.Again:
            sent = False
        if not sent:
            self._stats.skipped += 1
            return
        self._stats.sent += 1
        self._stats.repeated += flags & REPEATED
        self._stats.topics[topic.kind] = self._stats.topics.get(topic.kind, 0) + 1
        self._sent_at = time.monotonic()

    def _open_socket(self) -> zmq.Socket[bytes]:
        if self.socket.closed:
            raise MagiError("the publisher is closed; make another one")
        return self.socket

    def close(self, reason: str = "the publisher was closed") -> None:
        """Says ``bye`` and closes everything; does nothing the second time."""
        with self._lock:
            if self.socket.closed:
                return
            self.event("bye", reason=reason)
            self._outlets.close()
            self._last = None
            self._out.close()

    def __enter__(self) -> FramePublisher:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


_EVENTS: dict[str, type[events.Event]] = {
    each.type: each
    for each in (events.Heartbeat, events.PromptShows, events.NewEpoch, events.ServerEnds)
}
