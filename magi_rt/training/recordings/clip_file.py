"""One video file at any rate and size: its frames' times first, its pictures when asked for.

Indexing reads the packets without decoding them; a window is decoded from the key frame before it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from magi_rt.errors import MediaError
from magi_rt.media.pictures import MAX_PIXELS, MIN_SIDE, Pixels, check_readable, resize
from magi_rt.media.video_reader import upright_pixels

if TYPE_CHECKING:
    import av
    from av.container import InputContainer
    from av.video.stream import VideoStream

SEEK_BACK_S = (0.0, 2.0, 20.0)
"""How far before a window a seek may aim until it lands early enough; then from the start."""
SETTLED_S = 1.0  # for so long after a seek, an MPEG program stream may count some frames wrong
MAX_LOST = 2  # frames at a file's ends that its packets promise and a decoder may keep back
_LARGE = 512 * 512  # pixels from which several decoding threads pay


@dataclass(frozen=True)
class ClipFile:
    """A video's index. ``stamps`` int64: when each frame shows, in ticks of ``tick_s`` seconds.

    ``length_s`` runs from the first frame to the end of the last; width and height in pixels.
    """

    path: Path
    stamps: npt.NDArray[np.int64]
    tick_s: float
    length_s: float
    width: int
    height: int

    @property
    def rate(self) -> float:
        """Frames per second of the file itself, on average."""
        return len(self.stamps) / self.length_s

    def frames_at(self, fps: float) -> int:
        """How many pictures the video has when shown at ``fps``."""
        # a hair less than the end, so that rounded time stamps add no frame
        return max(1, int(np.ceil((self.length_s - 1e-3) * fps)))

    def read(self, first: int, count: int, *, fps: float, size: int) -> Pixels:
        """Pictures first .. first + count - 1 at ``fps``: uint8 [count, size, size, 3].

        Picture k is the file's frame nearest to k / fps seconds after the first one, scaled so
        that it covers the square, the sides beyond it cut off evenly. MediaError when the file
        cannot be decoded there.
        """
        check_readable(self.path, "video")
        try:
            pictures = self._window(first, count, fps, size)
        except MediaError as error:
            raise self._damaged(first / fps, (first + count) / fps) from error
        if pictures is None:
            raise self._damaged(first / fps, (first + count) / fps)
        return pictures

    def _damaged(self, start_s: float, end_s: float) -> MediaError:
        return MediaError(
            f"{self.path} cannot be decoded between {start_s:.1f} and {end_s:.1f} s; it is damaged "
            "there: cut that part off, or record it again",
            field="video",
        )

    def _window(self, first: int, count: int, fps: float, size: int) -> Pixels | None:
        """What ``read`` gives, None where no try shows it."""
        wanted_s = (first + np.arange(count)) / fps
        times_s = (self.stamps - self.stamps[0]) * self.tick_s
        nearest = np.searchsorted((times_s[1:] + times_s[:-1]) / 2, wanted_s, side="right")
        wanted = [int(stamp) for stamp in self.stamps[nearest]]
        settled_s = SETTLED_S if self.path.suffix.lower() == ".mpg" else 0.0
        for back_s in SEEK_BACK_S:
            aim = wanted[0] - round((back_s + settled_s) / self.tick_s)
            if aim <= self.stamps[0]:
                break
            latest = wanted[0] - round(settled_s / self.tick_s)
            if (pictures := self._pictures(wanted, size, latest, aim)) is not None:
                return pictures
        latest = max(wanted[0], int(self.stamps[: MAX_LOST + 1][-1]))
        return self._pictures(wanted, size, latest)

    def _pictures(
        self, wanted: list[int], size: int, latest: int, aim: int | None = None
    ) -> Pixels | None:
        """The frames with the wanted stamps (rising), or the next one decoded where one is missing.

        ``aim`` is the stamp to seek to, None to begin with the file. None if too little comes, or
        if the first frame that comes is later than ``latest``.
        """
        pictures = np.empty((len(wanted), size, size, 3), dtype=np.uint8)
        done = 0
        # opened anew at every try: an open decoder takes no threads, and from some containers no
        # seek leads back to the first frame
        with _opened(self.path) as container:
            stream = container.streams.video[0]
            if self.width * self.height > _LARGE:
                stream.thread_type = "AUTO"
            if aim is not None:
                container.seek(aim, stream=stream)
            timed = ((one.pts, one) for one in container.decode(stream) if one.pts is not None)
            for number, (stamp, frame) in enumerate(timed):
                if number == 0 and stamp > latest:
                    return None
                if wanted[done] <= stamp:
                    picture = fitted(frame, size)
                while done < len(wanted) and wanted[done] <= stamp:
                    pictures[done] = picture
                    done += 1
                if done == len(wanted):
                    return pictures
        if done == 0 or len(wanted) - done > MAX_LOST:
            return None
        pictures[done:] = pictures[done - 1]
        return pictures


def index_clip(path: str | Path) -> ClipFile:
    """The index of a video file; MediaError for one that is missing, no video, or damaged."""
    path = Path(path)
    check_readable(path, "video")
    with _opened(path) as container:
        if not container.streams.video:
            raise MediaError(
                f"{path} has no video track, or is cut short; give a whole video", field="video"
            )
        stream = container.streams.video[0]
        width, height = stream.codec_context.width, stream.codec_context.height
        if min(width, height) < MIN_SIDE or width * height > MAX_PIXELS:
            raise MediaError(
                f"{path} is {width}x{height} pixels; give {MIN_SIDE}x{MIN_SIDE} or more, and not "
                f"more than {MAX_PIXELS} in all",
                field="video",
            )
        stamps, last = _stamps(path, container, stream)
        assert stream.time_base is not None
        tick_s = float(stream.time_base)
        rate = float(stream.average_rate or stream.guessed_rate or 24)
    tail_s = last * tick_s if last else 1 / rate
    length_s = float(stamps[-1] - stamps[0]) * tick_s + tail_s
    return ClipFile(path, stamps, tick_s, length_s, width, height)


def _stamps(
    path: Path, container: InputContainer, stream: VideoStream
) -> tuple[npt.NDArray[np.int64], int]:
    """When the frames show, sorted, in ticks; and how long the last one stays, 0 if unknown."""
    shown: list[tuple[int, int]] = []
    for packet in container.demux(stream):
        if packet.size == 0 or packet.is_discard:
            continue
        if packet.pts is None:
            raise MediaError(
                f"{path} does not say when its frames show; convert it, as in "
                f"ffmpeg -i {path.name} {path.stem}-new.mp4",
                field="video",
            )
        shown.append((packet.pts, packet.duration or 0))
    if not shown:
        raise MediaError(f"{path} holds no pictures; give another video", field="video")
    return np.unique(np.array([stamp for stamp, _ in shown], dtype=np.int64)), max(shown)[1]


def fitted(frame: av.VideoFrame, size: int) -> Pixels:
    """A decoded frame as uint8 [size, size, 3] sRGB: upright, covering the square, cut evenly.

    Scaled by Pillow, as first pictures and videos of worlds are: FFmpeg's scaler makes colours
    darker by 1 to 2 levels unless it is told not to, which not every PyAV can.
    """
    pixels = upright_pixels(frame)
    scale = size / min(frame.width, frame.height)
    height, width = (max(size, round(side * scale)) for side in pixels.shape[:2])
    top, left = (height - size) // 2, (width - size) // 2
    cut = resize(pixels, height, width)[top : top + size, left : left + size]
    return np.ascontiguousarray(cut)


@contextmanager
def _opened(path: Path) -> Iterator[InputContainer]:
    """The file's container; what FFmpeg says of it becomes MediaError."""
    import av

    try:
        # absolute, as FFmpeg takes what stands before a first colon for a protocol
        with av.open(os.path.abspath(path)) as container:
            yield container
    except (av.error.FFmpegError, OSError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise MediaError(
            f"{path} is not a video that can be read, or is damaged ({reason}); "
            "give a whole mp4, mov, mkv, webm, avi or gif file",
            field="video",
        ) from error
