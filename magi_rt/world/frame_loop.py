"""Frames at the pace of a clock, generated on a worker thread ahead of a loop that shows them."""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Generator, Sequence
from contextlib import suppress
from typing import Any

from magi_rt.errors import ClosedWorldError, OptionError
from magi_rt.frames import Frame
from magi_rt.world.options import checked_rate, checked_whole

WHEN_SLOW = ("wait", "drop_oldest")
"""What happens when frames are shown more slowly than they are made."""

BUFFER_LIMIT = 10_000
"""Most frames that can wait to be shown."""


class FrameBuffer:
    """A bounded queue between one worker that makes chunks and one loop that takes frames.

    ``epoch`` counts the jumps of the world (rewind, restore): frames made before a jump are
    neither kept nor taken. ``chunks`` is the number after the last chunk that was seen: chunks
    from it on were made ahead.
    """

    def __init__(self, limit: int, when_slow: str, chunks: int = 0) -> None:
        self.limit, self.when_slow, self.chunks = limit, when_slow, chunks
        self.dropped = 0
        self.epoch = 0
        self._frames: deque[Frame] = deque()
        self._changed = threading.Condition()
        self._failure: BaseException | None = None
        self._ended = False

    def put(self, frames: Sequence[Frame], epoch: int) -> None:
        """Appends a chunk's frames; waits for room or drops the oldest, as was agreed."""
        for frame in frames:
            with self._changed:
                self._wait_while_full()
                if self._ended or epoch != self.epoch:
                    return
                if len(self._frames) == self.limit:
                    self._frames.popleft()
                    self.dropped += 1
                self._frames.append(frame)
                self._changed.notify_all()

    def wait_for_room(self) -> bool:
        """Blocks while nothing more is wanted; False once the loop has ended."""
        with self._changed:
            self._wait_while_full()
            return not self._ended

    def _wait_while_full(self) -> None:
        """Until a frame is taken, the world jumps or the loop ends; not where frames may drop."""
        if self.when_slow == "wait":
            self._changed.wait_for(lambda: self._ended or len(self._frames) < self.limit)

    def wait_for_frame(self) -> None:
        """Blocks until :meth:`take` has an answer."""
        with self._changed:
            self._changed.wait_for(lambda: self._frames or self._ended or self._failure is not None)

    def take(self) -> Frame | None:
        """The oldest frame, waiting for one; None after the end.

        Raises:
            BaseException: what stopped the worker, after the frames made before are taken.
        """
        with self._changed:
            self.wait_for_frame()
            if self._frames:
                frame = self._frames.popleft()
                self.chunks = frame.chunk + 1
                self._changed.notify_all()
                return frame
            if self._failure is not None and not self._ended:
                raise self._failure
            return None

    def fail(self, failure: BaseException) -> None:
        """Tells the loop why no more frames will come."""
        with self._changed:
            self._failure = failure
            self._changed.notify_all()

    def jump(self, chunks: int) -> None:
        """Forgets what was made before the world jumped to where it has made so many chunks."""
        with self._changed:
            self.epoch += 1
            self.chunks = chunks
            self._frames.clear()
            self._changed.notify_all()

    def end(self) -> None:
        """No more frames are wanted; wakes both sides."""
        with self._changed:
            self._ended = True
            self._frames.clear()
            self._changed.notify_all()

    def pause(self, seconds: float) -> None:
        """Waits, but no longer than until the end."""
        with self._changed:
            self._changed.wait_for(lambda: self._ended, timeout=max(0.0, seconds))


class FrameLoop:
    """The one loop that may show a world's frames; may be asked from any thread while it ends."""

    def __init__(self) -> None:
        self._buffer: FrameBuffer | None = None
        self._dropped = 0
        self._lock = threading.Lock()

    def begin(self, buffer: FrameBuffer, chunks: int) -> None:
        """A loop begins in a world that has made so many chunks; OptionError when one runs."""
        with self._lock:
            if self._buffer is not None:
                raise OptionError("another frames() loop runs on this world; close it, or fork()")
            buffer.chunks = chunks
            self._buffer = buffer

    def leave(self) -> None:
        """The loop has ended."""
        with self._lock:
            if self._buffer is not None:
                self._dropped += self._buffer.dropped
            self._buffer = None

    @property
    def dropped(self) -> int:
        """Frames dropped by this loop and those before it."""
        with self._lock:
            return self._dropped + (self._buffer.dropped if self._buffer else 0)

    def unseen(self, chunks: int) -> int:
        """Of so many chunks made, those of which nothing was shown yet."""
        buffer = self._buffer
        return chunks - buffer.chunks if buffer else 0

    def jump(self, chunks: int) -> None:
        """The world has jumped, see :meth:`FrameBuffer.jump`."""
        buffer = self._buffer
        if buffer is not None:
            buffer.jump(chunks)

    def end(self) -> None:
        """Ends a running loop."""
        buffer = self._buffer
        if buffer is not None:
            buffer.end()


class Pace:
    """The clock that frames are shown by; ``None`` frames per second means no clock."""

    def __init__(self, fps: float | None) -> None:
        self.period_s = 1 / fps if fps else 0.0
        self._due_s: float | None = None

    def wait_s(self) -> float:
        """Seconds until the next frame is due; a late frame moves the clock, nothing is rushed."""
        now_s = time.monotonic()
        if self._due_s is None or self._due_s < now_s - self.period_s:
            self._due_s = now_s
        wait_s = max(0.0, self._due_s - now_s)
        self._due_s += self.period_s
        return wait_s


Make = Callable[[], tuple[int, Sequence[Frame]]]
"""Makes the next chunk: the epoch it belongs to and its frames."""


def stream_frames(
    make: Make, buffer: FrameBuffer, fps: float | None
) -> Generator[Frame, None, None]:
    """Yields frames as they fall due while a worker makes more; ends the worker when left."""
    worker = threading.Thread(
        target=_work, args=(make, buffer, fps), name="magi_rt frames", daemon=True
    )
    pace = Pace(fps)
    try:
        worker.start()
        while True:
            buffer.wait_for_frame()
            buffer.pause(pace.wait_s())
            frame = buffer.take()  # only now: while it waited the world may have jumped
            if frame is None:
                return
            yield frame
    finally:
        buffer.end()
        with suppress(RuntimeError):  # an interrupt came before it began: then it ends as it begins
            worker.join()


def _work(make: Make, buffer: FrameBuffer, fps: float | None) -> None:
    """Makes chunks until the loop ends; whatever goes wrong is raised in the loop."""
    try:
        while buffer.wait_for_room():
            begun_s = time.monotonic()
            epoch, frames = make()
            buffer.put(frames, epoch)
            if buffer.when_slow == "drop_oldest" and fps:
                # Nobody holds this worker back, so the clock does: one chunk per chunk's time.
                buffer.pause(begun_s + len(frames) / fps - time.monotonic())
    except ClosedWorldError:
        buffer.end()
    except BaseException as failure:
        buffer.fail(failure)


def checked_stream_options(fps: Any, buffer: Any, when_slow: object) -> tuple[float | None, int]:
    """``fps`` and ``buffer`` of ``World.frames`` in Python's own types.

    Raises:
        OptionError: an option is outside its range.
    """
    if when_slow not in WHEN_SLOW:
        raise OptionError(
            f"when_slow is {when_slow!r}; it must be 'wait' or 'drop_oldest'", field="when_slow"
        )
    rate = None if fps is None else checked_rate("fps", fps)
    return rate, checked_whole("buffer", buffer, 1, BUFFER_LIMIT)
