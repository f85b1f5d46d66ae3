"""World: a video that is generated while you watch, chunk by chunk, steered by prompts."""

from __future__ import annotations

import asyncio
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

from magi_rt.checkpoints.layout import spelled
from magi_rt.errors import PromptError
from magi_rt.frames import Frame
from magi_rt.world.frame_loop import FrameBuffer, FrameLoop, checked_stream_options, stream_frames
from magi_rt.world.machine import WorldMachine, deadline_of
from magi_rt.world.options import WorldOptions, checked_size
from magi_rt.world.orders import Begun, Order, WaitingOrders, checked_when
from magi_rt.world.prompt_text import shortened
from magi_rt.world.prompts import CUT, UNREAD
from magi_rt.world.run_log import RunLog
from magi_rt.world.timeline import Timeline
from magi_rt.world.travel import WorldTravel


class World(WorldTravel):
    """One stream of chunks with a memory, made by :meth:`open`, :meth:`fork` or :meth:`replay`.

    All methods may be called from any thread: calls on one world and its forks are served one
    after the other, in the order in which they came. So ``snapshot``, ``restore``, ``rewind``,
    ``fork``, ``anew`` and ``close`` wait for a chunk that is being made (in asyncio:
    ``await asyncio.to_thread(world.snapshot)``); facts, ``prompt`` and ``drop_prompts`` do not.

    A call that is refused, fails or is interrupted changes nothing: the next call finds the world
    as it was before. Only a world without ``history`` (large ones by default)
    keeps what such a call has computed once a step was done: its prompt holds, the next ``advance``
    goes on from there to the same frames, and a prompt given to that one shapes what comes after.

    Attributes:
        notes: sentences on what was chosen or changed while opening (a stretched picture, ...), and
            on the last prompt of which nothing could be read.
    """

    def __init__(self, timeline: Timeline, waiting: Sequence[Order] = ()) -> None:
        self._timeline = timeline
        self._lock = timeline.machine.lock
        self._waiting = WaitingOrders(waiting)
        self._deadline = deadline_of(timeline.machine)
        self._loop = FrameLoop()
        self._closed = False
        self.notes: list[str] = [*timeline.machine.notes, *timeline.notes]
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="magi_rt asyncio")

    @classmethod
    def open(
        cls,
        model: str | Path = "nano",
        *,
        seed: int = 0,
        image: Any = None,
        video: Any = None,
        steps: int | None = None,
        window: int | None = None,
        depth: int | None = None,
        size: tuple[int, int] | None = None,
        backend: str = "auto",
        device: str = "auto",
        dtype: str = "auto",
        attention: str = "auto",
        history: int | None = None,
        adapt: bool | tuple[int, ...] = False,
        fps: float | None = None,
    ) -> World:
        """Opens a world; nothing is generated yet.

        Args:
            model: a built-in world ("nano", "dummy") or a folder in the published layout; a
                ``Path`` is always a folder.
            image: first picture: a file name, a PIL picture, or [H, W, 3] sRGB, uint8 0..255 or
                float 0..1. Any size; it is stretched to the world's.
            video: video to continue: a file name (resampled to the world's frame rate), or
                [T, H, W, 3] at the world's frame rate. The first 32 frames are used.
            seed: 0 unless told otherwise, whatever the model's configuration says.
            steps, window, depth, size: see :class:`magi_rt.world.options.WorldOptions`; ``None`` is
                the model's own.
            backend, device, dtype, attention: what computes, where and how; the same.
            history, adapt, fps: the same.

        Raises:
            OptionError, MediaError: an option, the image or the video cannot be used.
            CheckpointError, ConfigError, BackendError: the model cannot be opened.
        """
        options = WorldOptions(
            seed=seed, steps=steps, window=window, depth=depth, backend=backend, device=device,
            dtype=dtype, attention=attention, history=history, adapt=adapt, fps=fps,
            size=None if size is None else checked_size(size),
        )  # fmt: skip
        machine = WorldMachine.open(spelled(model), options, image=image, video=video)
        return cls(Timeline(machine, machine.begin()))

    @classmethod
    def replay(
        cls,
        path: str | Path,
        *,
        model: str | Path | None = None,
        backend: str | None = None,
        device: str | None = None,
        dtype: str | None = None,
        attention: str | None = None,
    ) -> World:
        """Opens a world that repeats a run saved by ``world.log.save(path)``.

        ``advance()`` follows the log: prompts come where they came before, and the frames are the
        same, bit for bit, on the same machine, backend and number of threads (``notes`` says when
        something differs). After the log's last chunk, or from the first prompt you give, the
        world goes on freely (``replaying`` turns False).

        Args:
            path: the log.
            model: where the model is now, when it has moved.
            backend, device, dtype, attention: as in :meth:`open`; with others than the log's,
                frames are near the first run's. ``None``: the log's own, or "auto" beside another
                backend (attention also beside another device).

        Raises:
            SnapshotError: the log is damaged, or was made by another model.
            CheckpointError, ConfigError, BackendError: the model cannot be opened.
        """
        log = RunLog.load(path)
        wishes = {"backend": backend, "device": device, "dtype": dtype, "attention": attention}
        machine = WorldMachine.reopen(log, None if model is None else spelled(model), wishes)
        return cls(Timeline.following(machine, log))

    # Moving on

    def advance(self, prompt: str | None = None, at: str = "next") -> list[Frame]:
        """Generates the next chunk and returns its frames, oldest first.

        Args:
            prompt: what the world shall show from now on, at most 4,000 characters; "" for no
                prompt at all; ``None`` keeps the last one. Text beyond ``prompt_limits.tokens``
                tokens is not read, nor what cleaning takes away (Chinese characters, addresses,
                long numbers); ``notes`` says so where nothing is left, or the end is not read.
            at: "next" shapes the chunks begun from now on; "now" also re-prompts the chunks that
                are already in flight, so it shows earlier and less cleanly.

        Raises:
            ClosedWorldError, PromptError, OptionError: refused; nothing has changed.
        """
        checked_when(at)
        given = [] if prompt is None else [Order(prompt, at)]
        with self._lock:
            self._refuse_closed()
            with self._waiting.begun(self.chunks, given) as call:
                frames = self._in_time(call)
            self._note_unread(call.orders)
            return frames

    def _in_time(self, call: Begun) -> list[Frame]:
        """The next chunk, with as many steps as the deadline leaves."""
        timeline, deadline = self._timeline, self._deadline
        if deadline is None:
            return timeline.advance(call)
        whole, begun = timeline.window_is_full, deadline.clock()
        frames = timeline.advance(call, deadline.choose(timeline.steps))
        deadline.measured(timeline.steps, deadline.clock() - begun, counts=whole)
        return frames

    def _note_unread(self, orders: Sequence[Order]) -> None:
        """Says in the notes which prompt, the latest alone, was not read, or not to its end."""
        for order in orders:
            told = self._timeline.machine.book.unread(order.prompt)
            if told:
                kinds = (UNREAD, CUT)
                self.notes[:] = [n for n in self.notes if not any(kind in n for kind in kinds)]
                self.notes.append(f"{shortened(order.prompt)!r}{told}")

    async def aadvance(self, prompt: str | None = None, at: str = "next") -> list[Frame]:
        """:meth:`advance` for asyncio programs: on a thread of its own, in the order of the calls.

        The event loop never waits for a chunk. A call that is cancelled before its turn does
        nothing; one that is cancelled later still finishes its chunk, whose frames are lost.
        """
        loop = asyncio.get_running_loop()
        try:
            frames = loop.run_in_executor(self._pool, self.advance, prompt, at)
        except RuntimeError:  # what a pool says that was shut down
            self._refuse_closed()
            raise
        return await frames

    def prompt(self, text: str | None, at: str = "next") -> None:
        """Leaves a prompt for the next ``advance``, ``None`` for none; returns at once.

        This steers a running :meth:`frames` loop, from any thread. Arguments and errors as in
        :meth:`advance`.
        """
        order = Order("" if text is None else text, at)
        self._refuse_closed()
        if text is not None:
            self._waiting.put(order)

    def drop_prompts(self) -> int:
        """Forgets the prompts that wait for the next ``advance``; returns how many, at once.

        A call that has begun keeps those it began with.
        """
        return self._waiting.clear()

    def frames(
        self,
        fps: float | None = 24,
        *,
        buffer: int | None = None,
        when_slow: str = "wait",
    ) -> Generator[Frame, None, None]:
        """Frames at the pace of the clock, without end; chunks are made ahead on a worker thread.

        Args:
            fps: frames per second shown, 0.001 .. 1000; ``None``: as they come.
            buffer: most frames made ahead, 1 .. 10,000; ``None``: two chunks. A prompt shows
                after what waits in the buffer.
            when_slow: what happens when the loop takes frames more slowly than they are made:
                "wait" (generation waits, every frame is shown) or "drop_oldest" (the world keeps
                time, the frames that waited longest are dropped and counted in
                ``dropped_frames``).

        When the loop ends (``break``, an exception, ``close()``), the worker finishes its chunk
        and stops; the world is then up to the buffer and one chunk ahead of the last frame shown.
        After a rewind or restore, frames made before it are not shown any more. What goes wrong
        on the worker is raised in the loop; a prompt that the model cannot read is left out, and
        ``notes`` says so.

        Raises:
            OptionError: an option is outside its range, or another loop runs on this world.
        """
        wanted = 2 * self.frames_per_chunk if buffer is None else buffer
        rate, limit = checked_stream_options(fps, wanted, when_slow)
        self._refuse_closed()
        return self._stream(FrameBuffer(limit, when_slow), rate)

    def _stream(self, buffer: FrameBuffer, fps: float | None) -> Generator[Frame, None, None]:
        with self._lock:
            self._refuse_closed()
            self._loop.begin(buffer, self.chunks)

        def make() -> tuple[int, list[Frame]]:
            with self._lock:
                for _ in self._waiting.look():
                    try:
                        return buffer.epoch, self.advance()
                    except PromptError as error:  # it waits no longer
                        others = (note for note in self.notes if note != error.message)
                        self.notes[:] = [*others, error.message]
                return buffer.epoch, self.advance()

        try:
            yield from stream_frames(make, buffer, fps)
        finally:
            self._loop.leave()

    # Sideways, and the end

    def fork(self) -> World:
        """A second world that continues exactly as this one would, and can be steered apart.

        Prompts that wait here wait there too. Both share the weights and take turns on threads.
        While a :meth:`frames` loop runs, it begins where :meth:`snapshot` would be taken. It is
        ``replaying`` then: prompts come where this world has heeded them ahead of what is shown,
        until the fork gets one of its own.
        """
        with self._lock:
            self._refuse_closed()
            twin, made = self._timeline.fork(self._unseen), self.chunks
            waiting = (replace(each, due=max(each.due, made)) for each in self._waiting.look())
            return World(twin, tuple(waiting))

    def anew(self, *, seed: int | None = None, image: Any = None) -> World:
        """A second world at the beginning, with this one's model, options, seed and first picture.

        Another seed or image may be given as in :meth:`open`, whose errors are raised.
        """
        with self._lock:
            self._refuse_closed()
            machine = self._timeline.machine.anew(self._timeline.moment, seed, image)
            return World(Timeline(machine, machine.begin()))

    def close(self) -> None:
        """Ends a running ``frames`` loop and lets go of the stream's memory; closing twice is fine.

        The log stays. The weights go when nothing refers to the world or its forks any more.
        """
        self._loop.end()
        with self._lock:
            self._closed = True
            self._timeline.let_go()
        self._pool.shutdown(wait=False)  # calls that wait for their turn refuse themselves

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
