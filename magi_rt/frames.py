"""The picture a caller receives."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from magi_rt.errors import ShapeError


@dataclass(frozen=True, eq=False)
class Frame:
    """One finished picture and where it belongs in the stream.

    Attributes:
        pixels: [H, W, 3] uint8, sRGB, top row first. In frames of a world a view into the pictures
            of the whole chunk: keep ``pixels.copy()`` of one, or all of them stay in memory.
        index: number of the picture, 0 for the first generated one.
        chunk: number of the chunk it was generated in, 0 for the first generated one.
        prompt: the prompt that shaped it (with several chunks in flight an older one than the
            prompt last given).
        time_s: presentation time in seconds, index / frames per second.
        steps: denoising steps per chunk that were being taken when its chunk was finished; 0 where
            that is not known.

    Raises:
        ShapeError: the pixels are not [H, W, 3] uint8.
    """

    pixels: npt.NDArray[np.uint8]
    index: int
    chunk: int
    prompt: str
    time_s: float
    steps: int = 0

    def __post_init__(self) -> None:
        shape = self.pixels.shape
        if len(shape) != 3 or shape[2] != 3 or self.pixels.dtype != np.uint8:
            raise ShapeError(
                f"pixels are {list(shape)} {self.pixels.dtype}; a frame takes [H, W, 3] uint8",
                field="pixels",
            )

    @property
    def height(self) -> int:
        """Rows of pixels."""
        return int(self.pixels.shape[0])

    @property
    def width(self) -> int:
        """Columns of pixels."""
        return int(self.pixels.shape[1])
