"""Where, when and how much things move, against a true video: the metrics of Physics-IQ.

After the published definitions of the Physics-IQ benchmark: masks of motion, three intersections
over unions, the squared error, and one score that is 100 for what is as close to the truth as a
second take of it. Videos are uint8 [F, H, W, 3].
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from magi_rt.errors import ShapeError
from magi_rt.media.pictures import Pixels

LEARNING = 0.3
"""Weight of each new frame in the running mean."""
MOTION = 10.0
"""Grey levels from the running mean beyond which a pixel moves."""
SHRINK = 4
"""Masks and pictures are compared at this fraction of their width and height."""
LEAST_OVERLAP = 0.01
"""Of a second take, below which there was no motion to compare."""
GAUSS = np.array([1.0, 4.0, 6.0, 4.0, 1.0], dtype=np.float32) / 16
"""Five taps of a Gaussian of 1.1 pixels, applied down and across."""

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class Closeness:
    """``where``: spatial IoU, ``when``: spatio-temporal IoU, ``how_much``: weighted spatial IoU,
    all 0..1, more is closer; ``error``: mean squared difference of RGB in 0..1, less is closer."""

    where: float
    when: float
    how_much: float
    error: float


def closeness(made: Pixels, true: Pixels) -> Closeness:
    """One video against the true one of the same shape; ShapeError when shapes differ."""
    if made.shape != true.shape:
        raise ShapeError(f"a video of {list(made.shape)} against {list(true.shape)}; cut alike")
    ours, theirs = motion_mask(made), motion_mask(true)
    error = np.square(_shrunk(made) / 255 - _shrunk(true) / 255).mean()
    return Closeness(
        where=_overlap(np.asarray(ours.any(0)), np.asarray(theirs.any(0))),
        when=float(np.mean([_overlap(a, b) for a, b in zip(ours, theirs, strict=True)])),
        how_much=_weighted_overlap(ours.mean(0), theirs.mean(0)),
        error=float(error),
    )


def mean_closeness(several: Sequence[Closeness]) -> Closeness:
    """Each metric averaged over scenes."""
    columns = [(one.where, one.when, one.how_much, one.error) for one in several]
    where, when, how_much, error = (float(value) for value in np.mean(columns, axis=0))
    return Closeness(where, when, how_much, error)


def physics_score(found: Closeness, second_take: Closeness) -> float:
    """0..100: the three overlaps in shares of a second take's, less the excess of the error."""
    pairs = (
        (found.where, second_take.where),
        (found.when, second_take.when),
        (found.how_much, second_take.how_much),
    )
    overlaps = sum(ours / max(theirs, LEAST_OVERLAP) for ours, theirs in pairs) / len(pairs)
    return 100 * float(np.clip(overlaps - (found.error - second_take.error), 0, 1))


def motion_mask(video: Pixels) -> Mask:
    """bool [F, H / 4, W / 4]: where each frame differs from the running mean of those so far.

    Grey, blurred, further than ``MOTION`` from the mean, specks opened and gaps closed by 5 x 5;
    the first frame moves nowhere. A quarter of the size keeps blocks that move in half or more.
    """
    grey = video.astype(np.float32) @ np.array([0.299, 0.587, 0.114], dtype=np.float32)
    grey = _blurred(grey)
    mean, moving = grey[0], np.zeros(grey.shape, dtype=np.bool_)
    for index, frame in enumerate(grey[1:], 1):
        mean = (1 - LEARNING) * mean + LEARNING * frame
        moving[index] = np.abs(frame - mean) > MOTION
    opened = _spread(_spread(moving, grow=False), grow=True)
    closed = _spread(_spread(opened, grow=True), grow=False)
    return np.asarray(_shrunk(closed[..., None])[..., 0] >= 0.5, dtype=np.bool_)


def _blurred(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    for axis in (1, 2):
        pad = [(0, 0)] * 3
        pad[axis] = (2, 2)
        wide = np.pad(grey, pad, mode="reflect")
        length = grey.shape[axis]
        grey = sum(
            weight * wide.take(range(tap, tap + length), axis) for tap, weight in enumerate(GAUSS)
        )
    return grey


def _spread(masks: Mask, *, grow: bool) -> Mask:
    """Masks [F, H, W] grown or shrunk by a square of 5 x 5."""
    for axis in (1, 2):
        pad = [(0, 0)] * 3
        pad[axis] = (2, 2)
        wide = np.pad(masks, pad, constant_values=not grow)
        length = masks.shape[axis]
        shifted = [wide.take(range(tap, tap + length), axis) for tap in range(5)]
        masks = np.logical_or.reduce(shifted) if grow else np.logical_and.reduce(shifted)
    return masks


def _shrunk(frames: NDArray[np.generic]) -> NDArray[np.float32]:
    """float32 [F, H / 4, W / 4, C]: means of blocks; edges that fill no block are left out."""
    count, height, width, channels = frames.shape
    down, across = height // SHRINK, width // SHRINK
    cut = frames[:, : down * SHRINK, : across * SHRINK].astype(np.float32)
    return np.asarray(cut.reshape(count, down, SHRINK, across, SHRINK, channels).mean((2, 4)))


def _overlap(one: Mask, two: Mask) -> float:
    union = int((one | two).sum())
    return int((one & two).sum()) / union if union else 1.0


def _weighted_overlap(one: NDArray[np.floating], two: NDArray[np.floating]) -> float:
    union = float(np.maximum(one, two).sum())
    return float(np.minimum(one, two).sum()) / union if union else 1.0
