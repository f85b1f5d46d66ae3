"""Ball or box, read off the pixels of one colour."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from magi_rt.evaluation.detectors import LEAST_OBJECT, Mask

SHAPES = ("ball", "box")
ROUND, SQUARE = 0.6, 0.87
"""Shares of its frame that a thing fills: a ball 0.62 to 0.88, a box 0.93 and more."""
LINE = 3
"""Pixels of a row or column from which it is part of a thing; fewer are the blend of an edge."""
LOPSIDED = 4
"""Units by which height and width of a single thing may differ."""


def shapes(masks: Mask) -> NDArray[np.int64]:
    """[F, 6, H, W] -> [F, 6]: an index of ``SHAPES``, -1 where pixels are not one whole thing."""
    found = np.full(masks.shape[:2], -1, dtype=np.int64)
    for place in np.argwhere(masks.sum((2, 3)) >= LEAST_OBJECT):
        found[tuple(place)] = _shape(masks[tuple(place)])
    return found


def _shape(mask: Mask) -> int:
    tall, wide = (np.flatnonzero(mask.sum(axis) >= LINE) for axis in (1, 0))
    if not (len(tall) and len(wide)):
        return -1
    framed = mask[tall[0] : tall[-1] + 1, wide[0] : wide[-1] + 1]
    if abs(framed.shape[0] - framed.shape[1]) > LOPSIDED:
        return -1
    full = float(framed.mean())
    return SHAPES.index("box") if full >= SQUARE else SHAPES.index("ball") if full >= ROUND else -1
