"""What is known of a run of frames: read off the pixels, or off the truth behind them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from magi_rt.evaluation import detectors
from magi_rt.evaluation.shapes import SHAPES, shapes
from magi_rt.training.worlds.toybox_scene import COLOURS, WEATHERS, State


@dataclass(frozen=True)
class Reading:
    """F frames in numbers, in units of a room that is 64 wide.

    ``mass`` float32 [F, 6]: pixels that each named colour covers, of 64 x 64. ``centre`` float32
    [F, 6, 2]: its middle (x, y), nan where it is absent. ``shape`` int64 [F, 6]: 0 ball,
    1 box, -1 where the colour is not one whole thing. ``light`` float32 [F]: 0 night, 0.5 dusk,
    1 day, nan where no wall is seen. ``weather`` int64 [F]: clear, rain, snow, or -1 likewise.
    """

    mass: NDArray[np.float32]
    centre: NDArray[np.float32]
    shape: NDArray[np.int64]
    light: NDArray[np.float32]
    weather: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.light)

    def part(self, start: int, stop: int | None = None) -> Reading:
        """The frames from ``start`` to ``stop``, as a slice counts them."""
        return Reading(*(getattr(self, field.name)[start:stop] for field in fields(self)))

    @property
    def present(self) -> NDArray[np.bool_]:
        """[F, 6]: the colours that are there."""
        return np.asarray(self.mass >= detectors.LEAST_OBJECT, dtype=np.bool_)

    @property
    def middle(self) -> NDArray[np.float32]:
        """[F, 2]: common middle (x, y) of all that is there, nan where nothing is."""
        weight = np.where(self.present, self.mass, 0.0)[..., None]
        total = weight.sum(1)
        with np.errstate(invalid="ignore"):
            middle = (np.nan_to_num(self.centre) * weight).sum(1) / total
        return np.asarray(middle, dtype=np.float32)


def read(frames: Any) -> Reading:
    """Frames, uint8 [F, H, W, 3], by detectors that see nothing but pixels."""
    pixels = detectors.small(frames)
    masks = detectors.colour_masks(pixels)
    light, weather = detectors.sky(pixels, masks)
    mass = masks.sum((2, 3)).astype(np.float32)
    return Reading(mass, detectors.centres(masks), shapes(masks), light, weather)


def true_reading(states: Sequence[State], row: int) -> Reading:
    """What a perfect reader would see of one room over time, from the simulator's states."""
    frames = len(states)
    mass = np.zeros((frames, len(COLOURS)), dtype=np.float32)
    centre = np.full((frames, len(COLOURS), 2), np.nan, dtype=np.float32)
    shape = np.full((frames, len(COLOURS)), -1, dtype=np.int64)
    for frame, state in enumerate(states):
        extent = state.extent[row].numpy()
        box = state.half[row].numpy() > 0
        area = np.where(box, 4.0, np.pi) * extent**2
        settled = (state.opacity[row] >= 0.5).numpy() & state.alive[row].numpy()
        new = (state.colour_mix[row] >= 0.5).numpy()
        shown = np.where(new, state.colour[row].numpy(), state.colour_before[row].numpy())
        for place in np.flatnonzero(settled):
            mass[frame, shown[place]] += area[place]
            centre[frame, shown[place]] = state.position[row, place].numpy()
            shape[frame, shown[place]] = SHAPES.index("box" if box[place] else "ball")
    light = np.array([float(state.light[row]) for state in states], dtype=np.float32)
    weather = np.array([WEATHERS.index(state.facts[row].weather) for state in states])
    return Reading(mass, centre, shape, light, weather)
