"""What a world starts from: nothing, a first picture, or a video that it continues."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from magi_rt.errors import MediaError, OptionError, SnapshotError
from magi_rt.media.pictures import (
    Pixels,
    check_readable,
    picture_to_pixels,
    pixels_in_memory,
    read_image,
    resize,
)

if TYPE_CHECKING:
    from torch import Tensor

    from magi_rt.backends.base import Executor

KINDS = ("nothing", "image", "video")
PREFIX_FRAMES = 32
"""Video frames that are looked at before continuing, as in the published pipeline."""


@dataclass(frozen=True)
class Start:
    """The pinned beginning of a world.

    Attributes:
        kind: "nothing", "image" or "video".
        source: the file's name, or "pixels" for pixels given in memory; "" for nothing.
        latents: [C, T, h, w] float32 on the CPU, ``None`` for nothing.
        notes: sentences on what was done to the pixels.
    """

    kind: str = "nothing"
    source: str = ""
    latents: Tensor | None = field(default=None, compare=False)
    notes: tuple[str, ...] = ()

    def card(self) -> dict[str, Any]:
        """All but the latents, as JSON values."""
        return {"kind": self.kind, "source": self.source, "notes": list(self.notes)}

    @classmethod
    def from_card(cls, card: Mapping[str, Any], latents: Tensor | None) -> Start:
        """The inverse of :meth:`card`.

        Raises:
            SnapshotError: it is no such card, or the latents are not of its kind.
        """
        kind, source, notes = card["kind"], card["source"], card["notes"]
        if kind not in KINDS or not all(type(each) is str for each in (source, *notes)):
            raise SnapshotError(f"a start is {kind!r} of {source!r}", field="start")
        if latents is not None and not latents.isfinite().all():
            raise SnapshotError("the start's latents hold what is no number", field="start")
        return cls(kind, source, latents, tuple(notes))

    def check_fits(self, channels: int, latent_size: tuple[int, int], kind: str) -> None:
        """Raises SnapshotError when the start of a damaged log or snapshot is none of a model."""
        if self.latents is None:
            return
        shape = tuple(self.latents.shape)
        if len(shape) != 4 or shape[1] < 1 or (shape[0], *shape[2:]) != (channels, *latent_size):
            height, width = latent_size
            raise SnapshotError(
                f"the {kind} is damaged: its start has latents of shape {shape}, not "
                f"[{channels}, frames, {height}, {width}]",
                field="start",
            )


class Picture(NamedTuple):
    """A first picture that was read.

    pixels: uint8 [H, W, 3] sRGB, of any size.
    source: the file's name, or "pixels".
    """

    pixels: Pixels
    source: str


def check_start(image: Any, video: Any) -> tuple[Any, Any]:
    """Refuses what needs no model to be refused, so that nobody waits for one.

    Returns:
        The image and the video for :func:`read_start`; pixels, and a picture's file, are read.

    Raises:
        OptionError: both an image and a video are given.
        MediaError: there is no such file, or the pixels are not what they should be.
    """
    if image is not None and video is not None:
        raise OptionError("image and video are both given; a world starts from one", field="video")
    if image is not None:
        return _picture(image), None
    if isinstance(video, str | Path):
        check_readable(Path(video), "video")
    elif video is not None:
        return None, pixels_in_memory(video, "video")
    return None, video


def read_start(image: Any, video: Any, *, executor: Executor, size: tuple[int, int]) -> Start:
    """Reads, stretches and encodes what a world starts from.

    Raises:
        MediaError: a file cannot be read, or pixels are not what they should be.
    """
    if image is not None:
        return _start_image(image, executor, size)
    if video is not None:
        return _start_video(video, executor, size)
    return Start()


def _start_image(image: Any, executor: Executor, size: tuple[int, int]) -> Start:
    pixels, source = _picture(image)
    notes = _stretch_notes(pixels.shape[:2], size, "picture")
    latents = _encode(resize(pixels, *size)[None], executor)
    return Start("image", source, latents, notes)


def _picture(image: Any) -> Picture:
    if isinstance(image, Picture):
        return image
    if isinstance(image, str | Path):
        return Picture(read_image(image), Path(image).name)
    if all(hasattr(image, name) for name in ("convert", "width", "height")):  # Pillow's
        return Picture(picture_to_pixels(image), "pixels")
    return Picture(pixels_in_memory(image, "image"), "pixels")


def _start_video(video: Any, executor: Executor, size: tuple[int, int]) -> Start:
    runtime = executor.config.runtime
    wanted = max(PREFIX_FRAMES, runtime.frames_per_chunk)
    if isinstance(video, str | Path):
        from magi_rt.media.video_reader import read_video

        # only the first frame at full size: the others are stretched one by one while reading
        given = read_video(video, fps=runtime.fps, limit=1).shape[1:3]
        pixels = read_video(video, fps=runtime.fps, limit=wanted, size=size)
        source = Path(video).name
    else:
        pixels, source = pixels_in_memory(video, "video"), "pixels"
        given = pixels.shape[1:3]
    if len(pixels) < runtime.frames_per_chunk:
        raise MediaError(
            f"the video has {len(pixels)} frames at {runtime.fps} per second; one chunk, the "
            f"least to continue from, is {runtime.frames_per_chunk}",
            field="video",
        )
    factor = runtime.temporal_downsample_factor
    used = min(len(pixels), wanted) // factor * factor
    notes = (
        f"the world continues after the first {used} frames ({used / runtime.fps:.2f} s) "
        "of the video",
        *_stretch_notes(given, size, "video"),
    )
    return Start("video", source, _encode(resize(pixels[:used], *size), executor), notes)


def _stretch_notes(given: tuple[int, ...], size: tuple[int, int], kind: str) -> tuple[str, ...]:
    if tuple(given) == size:
        return ()
    return (
        f"the {kind} of {given[1]}x{given[0]} pixels was stretched to {size[1]}x{size[0]} "
        "(width x height), nothing cropped",
    )


def _encode(pixels: Pixels, executor: Executor) -> Tensor:
    """uint8 [T, H, W, 3] -> latents on the CPU."""
    import torch

    from magi_rt.backends.room import room_for

    with room_for("the first pictures"):
        latents = executor.encode(torch.from_numpy(np.ascontiguousarray(pixels)))
    return latents.to("cpu", torch.float32, copy=True)
