"""What is shown, written to an mp4 on a thread of its own."""

from __future__ import annotations

import queue
import threading
import time
from pathlib import Path

import numpy as np

from magi_rt.errors import MagiError, MediaError
from magi_rt.media.video_writer import VideoWriter
from magi_rt.stream.received import Received

QUEUE_FRAMES = 240
GOOD_SIDE = 512
"""Small worlds are enlarged by a whole number until their shorter side has about this many."""

LONGEST_S = 600.0
"""Longest video; who records ends it when the recorder is full."""

LONG_ENOUGH = "ten minutes are recorded"
RESIZED = "the world's pictures have another size now"


class Recorder:
    """Writes frames until :meth:`finish`; frames that come too fast for the disk are left out.

    Args:
        path: of the mp4, which is there whole after ``finish``.
        fps: of the video; frames shown at another pace are repeated or passed over, so that it
            lasts as long as what it shows.
        height, width: of the frames; with the first one of another size the video is full.

    Attributes:
        frames: of the video, written or waiting; at most ten minutes of them are taken.
        left_out: so many came too fast.
        full: why it takes no more, "" while it does.
    """

    def __init__(self, path: Path, *, fps: float, height: int, width: int) -> None:
        scale = max(1, round(GOOD_SIDE / min(height, width)))
        self.path, self.frames, self.left_out, self.full = path, 0, 0, ""
        self._size = (height, width)
        self._most = round(LONGEST_S * fps)
        self._fps, self._owed = fps, 0.0
        self._writer = VideoWriter(path, fps=fps, height=height, width=width, scale=scale)
        self._waiting: queue.Queue[tuple[Received, int] | None] = queue.Queue(QUEUE_FRAMES)
        self._failure: MagiError | None = None
        self._thread = threading.Thread(target=self._work, name="magi_rt recorder", daemon=True)
        self._thread.start()

    def take(self, received: Received, fps: float) -> None:
        """One more frame, shown for 1 / ``fps`` seconds; returns at once."""
        if (received.header.height, received.header.width) != self._size:
            self.full = self.full or RESIZED  # a server that was started anew with another world
        if self.full:
            return
        self._owed += self._fps / fps
        times = round(self._owed)
        if not times:
            return
        self._owed -= times
        try:
            self._waiting.put_nowait((received, times))
        except queue.Full:
            self.left_out += times
            return
        self.frames += times
        if self.frames >= self._most:
            self.full = LONG_ENOUGH

    def finish(self) -> Path:
        """The whole video.

        Raises:
            MediaError: it could not be written, or no frame came; then there is no file.
        """
        self._waiting.put(None)
        self._thread.join()
        if self._failure is not None:
            self._writer.discard()
            raise self._failure
        self._writer.close()
        return self.path

    def _work(self) -> None:
        while (waiting := self._waiting.get()) is not None:
            received, times = waiting
            if self._failure is None:
                try:
                    pixels = np.ascontiguousarray(received.pixels[..., :3])
                    for _ in range(times):
                        self._writer.write(pixels)
                except MagiError as error:
                    self._failure = error
                except Exception as error:  # a thread that ended here would leave half a video
                    said = f"{self.path} could not be written ({type(error).__name__}: {error})"
                    self._failure = MediaError(said, field="path")


def free_name(folder: Path) -> Path:
    """A name for a video that nothing in the folder has."""
    stem = time.strftime("world-%Y%m%d-%H%M%S")
    number, path = 1, folder / f"{stem}.mp4"
    while path.exists():
        number += 1
        path = folder / f"{stem}-{number}.mp4"
    return path
