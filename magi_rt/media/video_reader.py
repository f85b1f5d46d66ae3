"""Video files: read any that FFmpeg can, at the frame rate asked for.

Pixels are uint8 sRGB, [height, width, 3], top row first.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from magi_rt.errors import MediaError
from magi_rt.media.pictures import MAX_PIXELS, Pixels, check_readable, resize

if TYPE_CHECKING:
    import av
    from av.container import InputContainer


def read_video(
    path: str | Path,
    *,
    fps: float,
    limit: int,
    size: tuple[int, int] | None = None,
) -> Pixels:
    """Read the first `limit` frames of a video at `fps`, as uint8 [T, H, W, 3], T <= limit.

    Any frame rate, also a varying one, is resampled in time: picture k is the source frame
    nearest to k / fps seconds, so a slower source repeats frames and a faster one skips some.
    The rotation a phone wrote down is applied; what is transparent is laid over black. `size`
    (height, width) stretches every frame while reading, which keeps memory small. T is smaller
    than `limit` when the video ends.
    Raises MediaError for a file that is missing, no video, damaged, or without pictures.
    """
    import av

    path = Path(path)
    check_readable(path, "video")
    if not fps > 0 or limit < 1:
        raise MediaError(f"fps {fps} and limit {limit} must be positive", field="fps")
    frames: list[Pixels] = []
    try:
        # absolute, as FFmpeg takes what stands before a first colon for a protocol
        with av.open(os.path.abspath(path)) as container:
            for picture in _resampled(path, container, fps):
                frames.append(resize(picture, *size) if size else picture)
                if len(frames) == limit:
                    break
    except (av.error.FFmpegError, OSError) as error:
        raise MediaError(
            f"{path} is not a video that can be read, or is damaged ({_reason(error)}); "
            "give an mp4, webm, mov, mkv or gif file",
            field="video",
        ) from error
    if not frames:
        raise MediaError(f"{path} holds no pictures; give another video", field="video")
    if any(frame.shape != frames[0].shape for frame in frames):
        raise MediaError(f"{path} changes its picture size midway; convert it", field="video")
    return np.stack(frames)


def _reason(error: BaseException) -> str:
    return getattr(error, "strerror", None) or str(error)


def _resampled(path: Path, container: InputContainer, fps: float) -> Iterator[Pixels]:
    """Source frames nearest to 0, 1/fps, 2/fps ... seconds after the first one."""
    made = 0
    held: av.VideoFrame | None = None
    held_s = ends_s = 0.0
    for frame, time_s, length_s in _timed_frames(path, container):
        if held is not None:
            middle_s = (held_s + time_s) / 2
            if made / fps < middle_s:
                pixels = upright_pixels(held)
                while made / fps < middle_s:
                    yield pixels
                    made += 1
        held, held_s, ends_s = frame, time_s, time_s + length_s
    if held is not None:
        pixels = upright_pixels(held)
        # a hair less than the end, so that rounded time stamps add no frame
        while made == 0 or made / fps < ends_s - 1e-3:
            yield pixels
            made += 1


def _timed_frames(
    path: Path, container: InputContainer
) -> Iterator[tuple[av.VideoFrame, float, float]]:
    """Each decoded frame with its time since the first and the usual frame length, in seconds."""
    if not container.streams.video:
        raise MediaError(
            f"{path} has no video track, or is cut short; give a whole video", field="video"
        )
    stream = container.streams.video[0]
    stream.thread_type = "AUTO"
    rate = float(stream.average_rate or stream.guessed_rate or 24)
    first_s: float | None = None
    latest_s = 0.0
    for index, frame in enumerate(container.decode(stream)):
        if frame.width * frame.height > MAX_PIXELS:
            raise MediaError(
                f"{path} is {frame.width}x{frame.height} pixels, more than {MAX_PIXELS}; "
                "make it smaller first",
                field="video",
            )
        stamp_s = index / rate if frame.time is None else frame.time
        first_s = stamp_s if first_s is None else first_s
        latest_s = max(latest_s, stamp_s - first_s)  # stamps that run back are held
        yield frame, latest_s, 1 / rate


def upright_pixels(frame: av.VideoFrame) -> Pixels:
    """A decoded frame as uint8 [H, W, 3] sRGB, turned as its file says; laid over black where it
    lets something through, as pictures are."""
    if any(component.is_alpha for component in frame.format.components):
        wide = frame.to_ndarray(format="rgba").astype(np.uint16)
        pixels = np.asarray((wide[..., :3] * wide[..., 3:] + 127) // 255, dtype=np.uint8)
    else:
        pixels = np.asarray(frame.to_ndarray(format="rgb24"), dtype=np.uint8)
    if frame.rotation % 90 == 0:
        pixels = np.rot90(pixels, frame.rotation // 90 % 4)
    return np.ascontiguousarray(pixels)
