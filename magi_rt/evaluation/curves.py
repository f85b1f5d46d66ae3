"""What a long video looks like over time, in numbers per second.

Pictures of other sizes are stretched to 64 x 64 first, so that sharpness can be compared with the
simulator's.
"""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from magi_rt.errors import MediaError
from magi_rt.evaluation import detectors
from magi_rt.media.pictures import Pixels

SIDE = detectors.SIDE
"""Pixels a side of the pictures that are measured."""


@dataclass(frozen=True)
class Curves:
    """Means over every whole second of a video, float64 [seconds].

    ``mass``: share of the picture covered by named, saturated colours (0..1). ``colours``: how
    many named colours are there. ``sharpness``: mean absolute Laplacian of the luminance, grey
    levels. ``brightness``: of the wall, grey levels. ``motion``: mean absolute change from one
    frame to the next within chunks, ``jump``: the same across chunk borders, grey levels.
    """

    mass: NDArray[np.float64]
    colours: NDArray[np.float64]
    sharpness: NDArray[np.float64]
    brightness: NDArray[np.float64]
    motion: NDArray[np.float64]
    jump: NDArray[np.float64]

    @property
    def seconds(self) -> int:
        """How many whole seconds were measured."""
        return len(self.mass)

    @property
    def border_ratio(self) -> float:
        """Change across chunk borders over change within chunks, of the whole video."""
        return float(np.nanmean(self.jump)) / max(float(np.nanmean(self.motion)), 1e-6)

    def rows(self) -> dict[str, list[float]]:
        """The curves as JSON values."""
        return {f.name: [round(float(v), 4) for v in getattr(self, f.name)] for f in fields(self)}


@dataclass
class Meter:
    """Collects numbers chunk by chunk; keeps one frame."""

    fps: float
    _values: dict[str, list[float]] = field(default_factory=dict)
    _last: NDArray[np.float32] | None = None

    def add(self, chunk: Pixels) -> None:
        """Measures the next chunk, uint8 [F, H, W, 3]."""
        small = detectors.small(chunk)
        mass = detectors.colour_masks(small).sum((2, 3))
        self._extend("mass", mass.sum(1) / SIDE**2)
        self._extend("colours", (mass >= detectors.LEAST_OBJECT).sum(1))
        self._extend("sharpness", sharpness(small))
        self._extend("brightness", detectors.brightness(small))
        change = self._changes(small)
        within = change.copy()
        within[0] = np.nan
        across = np.full_like(change, np.nan)
        across[0] = change[0]
        self._extend("motion", within)
        self._extend("jump", across)

    def _changes(self, small: Pixels) -> NDArray[np.float64]:
        """[F]: mean absolute change of every frame against the one before; nan for the first."""
        now = small.astype(np.float32)
        first = np.full_like(now[:1], np.nan) if self._last is None else self._last[None]
        self._last = now[-1]
        change = np.abs(now - np.concatenate([first, now[:-1]]))
        return np.asarray(change.mean((1, 2, 3)), dtype=np.float64)

    def _extend(self, name: str, values: NDArray[np.generic]) -> None:
        self._values.setdefault(name, []).extend(float(value) for value in values)

    def curves(self) -> Curves:
        """The means over the whole seconds so far; MediaError when there is none yet."""
        frames = len(self._values.get("mass", ()))
        seconds = int(frames / self.fps)
        if seconds < 1:
            raise MediaError(f"{frames} frames are less than a second; nothing can be said of them")
        edges = [round(second * self.fps) for second in range(seconds + 1)]

        def means(name: str) -> NDArray[np.float64]:
            values = np.array(self._values[name])
            return np.array([_mean(values[start:stop]) for start, stop in pairwise(edges)])

        return Curves(**{curve.name: means(curve.name) for curve in fields(Curves)})


def sharpness(frames: Pixels) -> NDArray[np.float64]:
    """[F]: mean absolute Laplacian of the luminance, grey levels, over the inner pixels."""
    grey = frames.astype(np.float32) @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    middle = grey[:, 1:-1, 1:-1]
    around = grey[:, :-2, 1:-1] + grey[:, 2:, 1:-1] + grey[:, 1:-1, :-2] + grey[:, 1:-1, 2:]
    return np.asarray(np.abs(around - 4 * middle).mean((1, 2)), dtype=np.float64)


def _mean(values: NDArray[np.float64]) -> float:
    """Mean of what is not nan; nan when nothing is (a second without a chunk border)."""
    known = values[~np.isnan(values)]
    return float(known.mean()) if len(known) else float("nan")
