"""Clips made on the spot: each frame's brightness tells its number."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
from av.video.stream import VideoStream

from magi_rt.media.pictures import Pixels
from magi_rt.media.video_writer import VideoWriter
from magi_rt.training.recordings.recorder import Recorder


def level(frame: int) -> int:
    """The brightness of a frame; neighbours differ by 11."""
    return 20 + frame * 11 % 200


def picture(frame: int, height: int = 32, width: int = 32) -> Pixels:
    return np.full((height, width, 3), level(frame), dtype=np.uint8)


def write_video(
    path: Path, frames: int, *, fps: float = 24, height: int = 32, width: int = 32
) -> None:
    with VideoWriter(path, fps=fps, height=height, width=width) as video:
        for frame in range(frames):
            video.write(picture(frame, height, width))


def write_groups(
    path: Path,
    frames: int,
    group: int,
    side: int,
    codec: str = "libx264",
    options: dict[str, str] | None = None,
) -> None:
    """A video at 24 fps with a key frame every ``group`` frames; its texture gives it a size."""
    texture = np.random.default_rng(1).integers(0, 30, (side, side, 3))
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=24, options=options)
        assert isinstance(stream, VideoStream)
        stream.width = stream.height = side
        stream.pix_fmt = "yuv420p"
        stream.codec_context.gop_size, stream.codec_context.max_b_frames = group, 2
        for number in range(frames):
            pixels = (level(number) + texture).astype(np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode(None))


def damage(path: Path, first: float, end: float) -> None:
    """Write nonsense over a part of a video, from one share of its pictures' bytes to another."""
    data = bytearray(path.read_bytes())
    begin = data.index(b"mdat") + 4
    size = int.from_bytes(data[begin - 8 : begin - 4], "big") - 8
    start, stop = begin + int(first * size), begin + int(end * size)
    data[start:stop] = b"\xff" * (stop - start)
    path.write_bytes(data)


def write_clip(path: Path, frames: int, prompts: dict[int, str], *, fps: float = 24) -> None:
    """A clip through the recorder; ``prompts`` by the frame from which they hold."""
    with Recorder(path, size=None, fps=fps) as recorder:
        for frame in range(frames):
            if frame in prompts:
                recorder.prompt(prompts[frame])
            recorder.frame(picture(frame))


def shown(pixels: Pixels) -> list[int]:
    """The mean brightness of each picture of [F, H, W, 3]."""
    return [round(float(one.mean())) for one in pixels]
