"""Clips made on the spot: each frame's brightness tells its number."""

from __future__ import annotations

from pathlib import Path

import numpy as np

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
